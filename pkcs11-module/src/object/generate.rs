//! Key generation (PKCS#11 v3.2 section 5.18): templates first, then the key, then both objects in one step.

use algorithms::Algorithm;
use cryptoki_sys as ck;
use hsm_backends::{Attributes, KeySpec, NewSecret};

use crate::{
    Module,
    attribute::{Given, ObjectKind, Origin, PairType, SecretType, because, notes, rows_of},
    error::{Error, Result},
    mechanism::{MechanismCall, Scheme},
    session::Session,
    template::Template,
};

use super::{
    material,
    new::{self, NewObject},
};

/// F4, the public exponent of RSA keys for which the template gives none.
const DEFAULT_EXPONENT: &[u8] = &[1, 0, 1];

/// C_GenerateKey.
pub(crate) fn secret_key(
    module: &Module,
    session: &Session,
    call: &MechanismCall,
    template: &Template<'_>,
) -> Result<NewObject> {
    let secret = match call.row.scheme {
        Scheme::GenerateAes => SecretType::Aes,
        Scheme::GenerateGenericSecret => SecretType::Generic(ck::CKK_GENERIC_SECRET),
        _ => return Err(Error::MechanismInvalid),
    };
    let kind = ObjectKind::Secret(secret);
    let Given { mut attributes, .. } = Given::parse(template, kind, Origin::Generate)?;
    let len = attributes.ulong(ck::CKA_VALUE_LEN).ok_or(Error::TemplateIncomplete)?;
    let len = usize::try_from(len).map_err(|_| Error::AttributeValueInvalid)?;
    material::check_secret_len(secret, len)?;
    new::permit(session, &mut attributes, kind)?;
    let key = make(module, session, &KeySpec::Secret { len }, &attributes)?;
    mark_generated(&mut attributes, call.row.kind);
    new::assemble(attributes, kind, Some(key))
}

/// C_GenerateKeyPair: the public and the private key, to be added together.
pub(crate) fn key_pair(
    module: &Module,
    session: &Session,
    call: &MechanismCall,
    public: &Template<'_>,
    private: &Template<'_>,
) -> Result<[NewObject; 2]> {
    let pair = match call.row.scheme {
        Scheme::GenerateMlDsa => PairType::MlDsa,
        Scheme::GenerateEdwards => PairType::EcEdwards,
        Scheme::GenerateEc => PairType::Ec,
        Scheme::GenerateRsa => PairType::Rsa,
        _ => return Err(Error::MechanismInvalid),
    };
    let (public_kind, private_kind) = (ObjectKind::Public(pair), ObjectKind::Private(pair));
    let mut private = Given::parse(private, private_kind, Origin::Generate)?.attributes;
    let mut public = public_template(public, pair, &private)?;
    let spec = key_spec(pair, &public)?;
    new::permit(session, &mut public, public_kind)?;
    new::permit(session, &mut private, private_kind)?;

    let key = make(module, session, &spec, &private)?;
    let NewSecret::Private(opened) = &key else { return Err(Error::DeviceError) };
    mark_generated(&mut public, call.row.kind);
    mark_generated(&mut private, call.row.kind);
    let contributed = material::pair_attributes(&opened.public_key()?, public_kind)?;
    for (kind, value) in contributed.iter() {
        public.set(kind, value.clone());
    }
    let private = new::assemble(private, private_kind, Some(key))?;
    Ok([NewObject { attributes: public, secret: None }, private])
}

/// The public template, with the domain parameters that stand in the private one. Both may have them if they agree.
fn public_template(template: &Template<'_>, pair: PairType, private: &Attributes) -> Result<Attributes> {
    let kind = ObjectKind::Public(pair);
    let mut given = Given::parse_partial(template, kind, Origin::Generate)?;
    for row in rows_of(ObjectKind::Private(pair)).filter(|row| row.has(notes::EITHER)) {
        let Some(value) = private.value(row.kind) else { continue };
        if given.attributes.set(row.kind, value.clone()).is_some_and(|other| other != *value) {
            let why = format_args!("{} differs between the two templates", row.name);
            return Err(because(Error::TemplateInconsistent, why));
        }
    }
    given.complete(kind, Origin::Generate)?;
    Ok(given.attributes)
}

fn key_spec(pair: PairType, public: &Attributes) -> Result<KeySpec> {
    match material::pair_algorithm(pair, public)? {
        Algorithm::Rsa => {
            let bits = public.ulong(ck::CKA_MODULUS_BITS).ok_or(Error::TemplateIncomplete)?;
            let modulus_bits = u32::try_from(bits)
                .ok()
                .filter(|bits| algorithms::rsa::MODULUS_BITS.contains(bits) && bits % 8 == 0)
                .ok_or(Error::AttributeValueInvalid)?;
            let public_exponent = public.bytes(ck::CKA_PUBLIC_EXPONENT).unwrap_or(DEFAULT_EXPONENT).to_vec();
            Ok(KeySpec::Rsa { modulus_bits, public_exponent })
        }
        algorithm => Ok(KeySpec::Pair(algorithm)),
    }
}

/// Makes the key: where the store makes its keys if it will be kept there, otherwise in this process.
fn make(module: &Module, session: &Session, spec: &KeySpec, attributes: &Attributes) -> Result<NewSecret> {
    let made = if attributes.flag(ck::CKA_TOKEN) {
        session.slot.user_vault()?.generate_for(spec, attributes)
    } else {
        NewSecret::generate(spec)
    };
    made.map_err(|error| match error {
        hsm_backends::StoreError::Algorithm(why @ algorithms::Error::PairwiseCheckFailed) => module.fail(why),
        // Of what can be refused here only the template's exponent is left.
        hsm_backends::StoreError::Algorithm(
            algorithms::Error::ParameterInvalid | algorithms::Error::KeySizeRange,
        ) => Error::AttributeValueInvalid,
        error => error.into(),
    })
}

/// What a generated key knows of its past.
fn mark_generated(attributes: &mut Attributes, mechanism: u64) {
    attributes.set(ck::CKA_LOCAL, true);
    attributes.set(ck::CKA_KEY_GEN_MECHANISM, mechanism);
    if attributes.contains(ck::CKA_SENSITIVE) {
        attributes.set(ck::CKA_ALWAYS_SENSITIVE, attributes.flag(ck::CKA_SENSITIVE));
        attributes.set(ck::CKA_NEVER_EXTRACTABLE, !attributes.flag(ck::CKA_EXTRACTABLE));
    }
}
