//! Many new objects in one call (T_CreateObjects of docs/vendor-interface.md): each as C_CreateObject makes it, and the
//! public half of a pair without its value.

use algorithms::PublicKey;
use cryptoki_sys as ck;
use hsm_backends::{AttributeType, NewSecret};

use crate::{
    attribute::{Given, ObjectKind, Origin, PairType},
    error::Result,
    reason,
    session::Session,
    template::{RawAttribute, Template},
};

use super::{
    material,
    new::{self, NewObject},
};

/// What a public key is made of. A template without any of these can be the half of the private key before it.
const MATERIAL: [AttributeType; 4] =
    [ck::CKA_VALUE, ck::CKA_EC_POINT, ck::CKA_MODULUS, ck::CKA_PUBLIC_EXPONENT];

/// One object for each template, in order; nothing is in the store yet. The first template that is refused is told by
/// its number, from 0.
pub(crate) fn created(session: &Session, templates: &[Vec<RawAttribute<'_>>]) -> Result<Vec<NewObject>> {
    let mut objects = Vec::with_capacity(templates.len());
    let mut before = None;
    for (number, template) in templates.iter().enumerate() {
        let made = one(session, template, before.take());
        let (object, key) = made.inspect_err(|_| reason::template(number))?;
        objects.push(object);
        before = key;
    }
    Ok(objects)
}

/// Key type and public key of a private key, whose public half may follow.
type Before = (PairType, PublicKey);

fn one(
    session: &Session,
    template: &Template<'_>,
    before: Option<Before>,
) -> Result<(NewObject, Option<Before>)> {
    if let Some((pair, key)) = before
        && ObjectKind::named_by(template) == Ok(ObjectKind::Public(pair))
        && !template.iter().any(|attribute| MATERIAL.contains(&attribute.kind))
    {
        return Ok((public_half(session, template, pair, &key)?, None));
    }
    let mut object = new::created(session, template)?;
    let key = match (ObjectKind::of(&object.attributes), &object.secret) {
        (Some(ObjectKind::Private(pair)), Some(NewSecret::Private(key))) => Some((pair, key.public_key()?)),
        _ => None,
    };
    if object.attributes.flag(ck::CKA_TOKEN) {
        object.secret = object.secret.map(NewSecret::packed).transpose()?;
    }
    Ok((object, key))
}

/// The template may give the domain parameters; if it does, they must be the key's.
fn public_half(
    session: &Session,
    template: &Template<'_>,
    pair: PairType,
    key: &PublicKey,
) -> Result<NewObject> {
    let kind = ObjectKind::Public(pair);
    let mut given = Given::parse_partial(template, kind, Origin::Create)?;
    let contributed = material::pair_attributes(key, kind)?;
    for (kind, value) in contributed.iter().filter(|(kind, _)| MATERIAL.contains(kind) || is_parameter(*kind))
    {
        if !given.attributes.contains(kind) {
            given.attributes.set(kind, value.clone());
        }
    }
    given.complete(kind, Origin::Create)?;
    new::permit(session, &mut given.attributes, kind)?;
    new::assemble_with(given.attributes, kind, None, &contributed)
}

fn is_parameter(kind: AttributeType) -> bool {
    [ck::CKA_PARAMETER_SET, ck::CKA_EC_PARAMS].contains(&kind)
}
