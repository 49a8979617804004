//! `trellis key import --batch`: the keys and certificates of many files, all or none. All are read, checked and named
//! before the token is asked for anything; Trellis's own module then makes them in one call.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use serde::Serialize;

use crate::algorithm::Algorithm;
use crate::batch::{Content, Item};
use crate::certificate::Certificate;
use crate::commands::generate::{Identity, Policy, random_id};
use crate::commands::import::{create_key, too_small};
use crate::commands::key::open_for_writing;
use crate::encoding::hex;
use crate::error::{Error, Result, While};
use crate::object::{Object, class_name};
use crate::options::{Global, Outcome, TokenArgs};
use crate::output::{clean, show};
use crate::private_key::{PrivateKey, SecretTemplate};
use crate::public_key::PublicKey;
use crate::token::OpenToken;

/// As many objects as Trellis's module makes in one call; a key pair has two.
const MOST_OBJECTS: usize = 1 << 16;

/// What has been imported.
#[derive(Debug, Serialize)]
struct BatchJson {
    keys: Vec<ItemJson>,
    certificates: Vec<ItemJson>,
    /// Whether all of it was one change of the token.
    at_once: bool,
}

#[derive(Debug, Serialize)]
struct ItemJson {
    label: String,
    id: String,
    algorithm: Option<String>,
}

pub(crate) fn run(
    global: &Global,
    paths: &[PathBuf],
    algorithm: Option<Algorithm>,
    policy: &Policy,
    token: &TokenArgs,
) -> Result<Outcome> {
    let mut items = Item::read_all(paths, algorithm)?;
    check(&items, policy)?;
    let module = token.load(global, None)?;
    let open = open_for_writing(&module, token)?;
    refuse_taken(&open, &items)?;
    let ids = ids(&open, &items)?;
    let mut json = BatchJson { keys: Vec::new(), certificates: Vec::new(), at_once: false };
    for (item, id) in items.iter().zip(&ids) {
        let (list, algorithm) = match &item.content {
            Content::Key(key) => (&mut json.keys, Some(key.algorithm)),
            Content::Certificate(certificate) => {
                (&mut json.certificates, certificate.public_key().ok().map(|key| key.algorithm()))
            }
        };
        let algorithm = algorithm.map(|algorithm| algorithm.to_string());
        list.push(ItemJson { label: item.label.clone(), id: hex(id), algorithm });
    }
    let names: Vec<_> = items.iter().zip(&ids).map(|(item, id)| name(item, id)).collect();
    for (item, name) in items.iter_mut().zip(&names) {
        if let Content::Key(key) = &mut item.content {
            key.template.extend(name.iter().cloned());
            key.template.extend(policy.secret(key.algorithm));
        }
    }
    let raw = module.raw()?;
    match raw.vendor().filter(|vendor| vendor.creates_many()) {
        Some(vendor) => {
            json.at_once = true;
            at_once(&items, &names, |templates| vendor.create_objects(open.session().handle(), templates))?;
        }
        None => one_by_one(open.session(), items, &names)?,
    }
    show(global, &json, || sentence(&json, open.token.info.label()))?;
    Ok(Outcome::Done)
}

/// What can be said without a token.
fn check(items: &[Item], policy: &Policy) -> Result<()> {
    let mut labels: HashMap<&str, &str> = HashMap::new();
    let mut certificates: HashMap<&[u8], &str> = HashMap::new();
    for item in items {
        let before = match &item.content {
            Content::Key(key) => {
                policy.check(key.algorithm).while_doing(&item.source)?;
                labels.insert(&item.label, &item.source).map(|before| {
                    let what = format!("a key `{}` comes from {before} already", clean(&item.label));
                    Error::conflict(what).remedy("rename one of the files")
                })
            }
            Content::Certificate(certificate) => {
                certificates.insert(&certificate.der, &item.source).map(|before| {
                    Error::conflict(format!("it is the same certificate as in {before}"))
                        .remedy("leave out one of them")
                })
            }
        };
        if let Some(error) = before {
            return Err(error.while_doing(&item.source));
        }
    }
    let objects = |item: &Item| match &item.content {
        Content::Key(key) if !key.algorithm.is_secret_key() => 2,
        _ => 1,
    };
    let count: usize = items.iter().map(objects).sum();
    if count > MOST_OBJECTS {
        return Err(Error::usage(format!(
            "these are {count} objects (a key pair has two), and at most {MOST_OBJECTS} can be made at once"
        ))
        .remedy("import them in several parts"));
    }
    Ok(())
}

/// One look at every key of the token, however many are to come.
fn refuse_taken(open: &OpenToken, items: &[Item]) -> Result<()> {
    let session = open.session();
    let token = clean(open.token.info.label());
    let wanted: HashMap<_, _> = items
        .iter()
        .filter(|item| matches!(item.content, Content::Key(_)))
        .map(|item| (item.label.as_bytes(), item))
        .collect();
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY, ObjectClass::SECRET_KEY] {
        for object in all(session, class)? {
            let Some(item) = read_one(session, object, AttributeType::Label)
                .and_then(|label| wanted.get(label.as_slice()).copied())
            else {
                continue;
            };
            let what = format!(
                "{}: token `{token}` has a key `{}` already ({})",
                item.source,
                clean(&item.label),
                class_name(class)
            );
            return Err(
                Error::conflict(what).remedy("rename the file; `trellis key delete` removes the old key")
            );
        }
    }
    let wanted: HashMap<_, _> =
        certificates(items).map(|(item, known)| (known.der.as_slice(), item)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    for object in all(session, ObjectClass::CERTIFICATE)? {
        let value = read_one(session, object, AttributeType::Value);
        if let Some(item) = value.and_then(|value| wanted.get(value.as_slice()).copied()) {
            return Err(Error::conflict(format!("{}: the token has this certificate already", item.source))
                .remedy("leave it out; see `trellis key list`"));
        }
    }
    Ok(())
}

/// CKA_ID of each: a random one, and of a certificate that of its key, here or on the token.
fn ids(open: &OpenToken, items: &[Item]) -> Result<Vec<Vec<u8>>> {
    let mut ids = items.iter().map(|_| random_id()).collect::<Result<Vec<_>>>()?;
    let mut waiting: HashMap<PublicKey, Vec<usize>> = HashMap::new();
    for (place, item) in items.iter().enumerate() {
        if let Content::Certificate(certificate) = &item.content
            && let Ok(key) = certificate.public_key()
        {
            waiting.entry(key).or_default().push(place);
        }
    }
    for (place, item) in items.iter().enumerate() {
        let Content::Key(key) = &item.content else { continue };
        if !waiting.keys().any(|wanted| wanted.algorithm() == key.algorithm) {
            continue;
        }
        let Some(public) = public_half(open.session(), key) else { continue };
        for certificate in waiting.remove(&public).into_iter().flatten() {
            ids[certificate] = ids[place].clone();
        }
    }
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        if waiting.is_empty() {
            break;
        }
        for object in Object::all(open.session(), class)?.iter().filter(|object| !object.id().is_empty()) {
            let Some(public) = object.public_key() else { continue };
            for certificate in waiting.remove(&public).into_iter().flatten() {
                ids[certificate] = object.id().to_vec();
            }
        }
    }
    Ok(ids)
}

/// The public half: from the file, or else from what the token computes when it has the key for a moment.
fn public_half(session: &Session, key: &PrivateKey) -> Option<PublicKey> {
    if key.public.is_some() || key.algorithm.is_secret_key() {
        return key.public.clone();
    }
    let mut template = SecretTemplate::new(key.template.attributes().to_vec());
    template.extend([Attribute::Token(false), Attribute::Private(true), Attribute::Sign(true)]);
    let object = session.create_object(template.attributes()).ok()?;
    let told = session.get_attributes(object, &[AttributeType::PublicKeyInfo]);
    // It goes with the session at the latest.
    let _ = session.destroy_object(object);
    PublicKey::from_attributes(&told.ok()?)
}

fn name(item: &Item, id: &[u8]) -> Vec<Attribute> {
    Identity { label: item.label.clone(), id: None }.attributes(id)
}

/// All in one call: each private key with its public half behind it, which takes its value from it.
fn at_once(
    items: &[Item],
    names: &[Vec<Attribute>],
    create: impl FnOnce(&[&[Attribute]]) -> Result<()>,
) -> Result<()> {
    let mut others = Vec::with_capacity(items.len());
    for (item, name) in items.iter().zip(names) {
        others.push(match &item.content {
            Content::Key(key) if key.algorithm.is_secret_key() => Vec::new(),
            Content::Key(key) => bare_public_half(key, name)?,
            Content::Certificate(certificate) => certificate_object(certificate, name),
        });
    }
    let (mut templates, mut owners): (Vec<&[Attribute]>, Vec<&Item>) = (Vec::new(), Vec::new());
    for (item, other) in items.iter().zip(&others) {
        if let Content::Key(key) = &item.content {
            templates.push(key.template.attributes());
            owners.push(item);
        }
        if !other.is_empty() {
            templates.push(other);
            owners.push(item);
        }
    }
    create(&templates).map_err(|error| match error.template().and_then(|number| owners.get(number)) {
        Some(item) => named(error, item),
        None => error.while_doing("importing; nothing was imported"),
    })
}

/// The public half of a private key before it. What the file tells of it must agree.
fn bare_public_half(key: &PrivateKey, name: &[Attribute]) -> Result<Vec<Attribute>> {
    let mut template = vec![
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(key.algorithm.key_type()),
        Attribute::Verify(true),
        Attribute::Private(false),
    ];
    template.extend(name.iter().cloned());
    if let Some(public) = &key.public {
        template.push(Attribute::PublicKeyInfo(public.spki()?));
    }
    Ok(template)
}

fn certificate_object(certificate: &Certificate, name: &[Attribute]) -> Vec<Attribute> {
    let mut template = certificate.attributes();
    template.extend(name.iter().cloned());
    template.push(Attribute::Private(false));
    template
}

/// With a module that knows no other way. What was made before a failure is destroyed.
fn one_by_one(session: &Session, items: Vec<Item>, names: &[Vec<Attribute>]) -> Result<()> {
    let mut made = Vec::new();
    for (item, name) in items.into_iter().zip(names) {
        let Item { source, label, content } = item;
        let created = match content {
            Content::Certificate(certificate) => session
                .create_object(&certificate_object(&certificate, name))
                .map(|object| vec![object])
                .map_err(|error| (error.into(), None)),
            Content::Key(key) => {
                let algorithm = key.algorithm;
                create_key(session, key, name).map_err(|(error, made)| (too_small(error, algorithm), made))
            }
        };
        match created {
            Ok(objects) => made.extend(objects),
            Err((error, half)) => {
                made.extend(half);
                let left =
                    made.iter().rev().filter(|object| session.destroy_object(**object).is_err()).count();
                let doing = match left {
                    0 => format!("{source}; nothing was imported"),
                    left => {
                        format!("{source}, key `{}`; {left} objects imported before are left", clean(&label))
                    }
                };
                return Err(error.while_doing(&doing));
            }
        }
    }
    Ok(())
}

fn named(error: Error, item: &Item) -> Error {
    let error = match &item.content {
        Content::Key(key) => too_small(error, key.algorithm),
        Content::Certificate(_) => error,
    };
    error.while_doing(&format!("{}; nothing was imported", item.source))
}

fn certificates(items: &[Item]) -> impl Iterator<Item = (&Item, &Certificate)> {
    items.iter().filter_map(|item| match &item.content {
        Content::Certificate(certificate) => Some((item, certificate)),
        Content::Key(_) => None,
    })
}

/// Every object of a class, asked for in large portions.
fn all(session: &Session, class: ObjectClass) -> Result<Vec<ObjectHandle>> {
    const PORTION: NonZeroUsize = NonZeroUsize::new(1024).expect("1024 is not 0");
    let template = [Attribute::Class(class)];
    Ok(session.iter_objects_with_cache_size(&template, PORTION)?.collect::<std::result::Result<_, _>>()?)
}

/// One attribute of bytes; `None` where the object does not have it, or is gone.
fn read_one(session: &Session, object: ObjectHandle, kind: AttributeType) -> Option<Vec<u8>> {
    match session.get_attributes(object, &[kind]).ok()?.pop()? {
        Attribute::Label(bytes) | Attribute::Value(bytes) => Some(bytes),
        _ => None,
    }
}

/// "Imported 2 keys and 1 certificate to token `test`, all at once."
fn sentence(json: &BatchJson, token: &str) -> String {
    let count = |number: usize, what: &str| match number {
        0 => None,
        1 => Some(format!("1 {what}")),
        number => Some(format!("{number} {what}s")),
    };
    let each = [count(json.keys.len(), "key"), count(json.certificates.len(), "certificate")];
    let what = each.into_iter().flatten().collect::<Vec<_>>().join(" and ");
    let how = match json.at_once {
        true => "all at once",
        false => "one after the other: this module has no way to make all or none",
    };
    format!("Imported {what} to token `{}`, {how}.", clean(token))
}
