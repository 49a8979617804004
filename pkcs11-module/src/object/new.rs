//! New objects: who may make them, and how they enter the store or the session, all of a call's objects or none.

use std::sync::{Arc, OnceLock};

use algorithms::SecretBytes;
use cryptoki_sys as ck;
use hsm_backends::{Attributes, Change, NewSecret, RecordId, Role, SecretKey};

use crate::{
    Module,
    attribute::{Given, ObjectKind, Origin, SecretType, because, check, complete, notes, row},
    error::{Error, Result},
    handle::ObjectHandle,
    session::Session,
    sync::RwLock,
    template::Template,
};

use super::{SessionObject, certificate, material};

/// An object that is complete and permitted, but is nowhere yet.
#[derive(Debug)]
pub(crate) struct NewObject {
    pub(crate) attributes: Attributes,
    pub(crate) secret: Option<NewSecret>,
}

/// C_CreateObject's object.
pub(crate) fn created(session: &Session, template: &Template<'_>) -> Result<NewObject> {
    let kind = ObjectKind::named_by(template)?;
    let mut given = Given::parse(template, kind, Origin::Create)?;
    permit(session, &mut given.attributes, kind)?;
    let secret = match kind {
        ObjectKind::Private(pair) => Some(imported(material::private_key(pair, &given)?)),
        ObjectKind::Secret(_) => {
            let bytes = given.secret(ck::CKA_VALUE).ok_or(Error::TemplateIncomplete)?;
            Some(secret_key(bytes.clone()))
        }
        _ => None,
    };
    assemble(given.attributes, kind, secret)
}

/// Fills in the defaults and checks that this session may make such an object. Called before any key is made.
pub(crate) fn permit(session: &Session, attributes: &mut Attributes, kind: ObjectKind) -> Result<()> {
    attributes.set(ck::CKA_CLASS, kind.class());
    if let Some(key_type) = kind.key_type() {
        attributes.set(ck::CKA_KEY_TYPE, key_type);
    }
    complete(attributes, kind);
    let role = session.slot.role();
    if attributes.flag(ck::CKA_TOKEN) && !session.read_write {
        return Err(Error::SessionReadOnly);
    }
    if attributes.flag(ck::CKA_TRUSTED) && role != Some(Role::SecurityOfficer) {
        let why = format_args!("CKA_TRUSTED is the security officer's");
        return Err(because(Error::AttributeReadOnly, why));
    }
    check(attributes, kind, role)
}

/// Adds what the key or certificate itself says. A given attribute that says otherwise is
/// CKR_ATTRIBUTE_VALUE_INVALID.
pub(crate) fn assemble(
    attributes: Attributes,
    kind: ObjectKind,
    secret: Option<NewSecret>,
) -> Result<NewObject> {
    let contributed = match (kind, &secret) {
        (ObjectKind::Private(_), Some(NewSecret::Private(key))) => {
            material::pair_attributes(&key.public_key()?, kind)?
        }
        (ObjectKind::Secret(secret), Some(NewSecret::Secret(key))) => {
            material::check_secret_len(secret, key.bytes().len())?;
            material::secret_attributes(key.bytes(), secret)?
        }
        (ObjectKind::Public(pair), None) => {
            material::pair_attributes(&material::public_key(pair, &attributes)?, kind)?
        }
        (ObjectKind::Certificate, None) => certificate::contributed(&attributes)?,
        (ObjectKind::Data, None) => Attributes::new(),
        _ => return Err(Error::GeneralError),
    };
    assemble_with(attributes, kind, secret, &contributed)
}

/// [`assemble`] where what the key says is known.
pub(super) fn assemble_with(
    mut attributes: Attributes,
    kind: ObjectKind,
    secret: Option<NewSecret>,
    contributed: &Attributes,
) -> Result<NewObject> {
    for (kind_of, value) in contributed.iter() {
        let given = attributes.value(kind_of);
        if given.is_some_and(is_empty) && row(kind_of, kind).is_some_and(|row| row.has(notes::EMPTIES)) {
            // The template says that there is to be none.
            continue;
        }
        let given = given.filter(|given| !is_empty(given));
        // A point may have been given compressed; it has been compared as a key.
        if given.is_some_and(|given| given != value) && !may_differ(kind, kind_of) {
            let why = format_args!("attribute {kind_of:#x} is not that of the key or certificate");
            return Err(because(Error::AttributeValueInvalid, why));
        }
        if given.is_none() || kind_of == ck::CKA_EC_POINT {
            attributes.set(kind_of, value.clone());
        }
    }
    check_value_agrees(&attributes, kind, secret.as_ref())?;
    Ok(NewObject { attributes, secret })
}

fn is_empty(value: &hsm_backends::Value) -> bool {
    matches!(value, hsm_backends::Value::Bytes(bytes) if bytes.is_empty())
}

/// Issuer and serial number of a certificate are what the application says they are (section 4.6.3).
fn may_differ(kind: ObjectKind, attribute: u64) -> bool {
    attribute == ck::CKA_EC_POINT
        || (kind == ObjectKind::Certificate && matches!(attribute, ck::CKA_ISSUER | ck::CKA_SERIAL_NUMBER))
}

/// CKA_CHECK_VALUE of a generic secret, which is kept only where the application gave it: the first three bytes of
/// the SHA-1 hash (section 4.10).
fn check_value_agrees(attributes: &Attributes, kind: ObjectKind, secret: Option<&NewSecret>) -> Result<()> {
    let (ObjectKind::Secret(SecretType::Generic(_)), Some(NewSecret::Secret(key))) = (kind, secret) else {
        return Ok(());
    };
    match attributes.bytes(ck::CKA_CHECK_VALUE) {
        None | Some([]) => Ok(()),
        Some(given) => {
            let digest = algorithms::digest::Hash::Sha1.digest(key.bytes().expose())?;
            if digest[..3] == *given { Ok(()) } else { Err(Error::AttributeValueInvalid) }
        }
    }
}

/// A secret key that is in no store yet.
pub(crate) fn secret_key(bytes: SecretBytes) -> NewSecret {
    NewSecret::Secret(Arc::new(SecretKey::new(bytes)))
}

/// A private key that is in no store yet.
pub(crate) fn imported(key: algorithms::PrivateKey) -> NewSecret {
    NewSecret::import(key)
}

/// [`add`] for one object.
pub(crate) fn add_one(module: &Module, session: &Session, object: NewObject) -> Result<ObjectHandle> {
    add(module, session, vec![object])?.pop().ok_or(Error::GeneralError)
}

/// Puts objects where they belong: token objects in one commit, then session objects. All of them or none; the handles
/// are in the order of the objects.
pub(crate) fn add(module: &Module, session: &Session, objects: Vec<NewObject>) -> Result<Vec<ObjectHandle>> {
    let slot = &session.slot;
    let private = |attributes: &Attributes| attributes.flag(ck::CKA_PRIVATE);
    let is_users = |object: &NewObject| {
        private(&object.attributes) || (object.attributes.flag(ck::CKA_TOKEN) && object.secret.is_some())
    };
    let vault = if objects.iter().any(is_users) { Some(slot.user_vault()?) } else { slot.vault() };
    let commit = |changes| match &vault {
        Some(vault) => vault.commit(changes),
        None => slot.store.public().commit(changes),
    };

    let mut changes = Vec::new();
    // One for each object, in order.
    let mut places = Vec::with_capacity(objects.len());
    for NewObject { attributes, secret } in objects {
        let id = RecordId::random()?;
        if attributes.flag(ck::CKA_TOKEN) {
            changes.push(Change::Create { id, attributes, secret });
            places.push(Place::Token(id));
        } else {
            places.push(Place::Session(Arc::new(SessionObject {
                session: session.handle,
                id,
                attributes: RwLock::new(Arc::new(attributes)),
                secret,
                public_key: OnceLock::new(),
            })));
        }
    }
    if !changes.is_empty() {
        commit(changes)?;
    }
    let handle = |place: &Place| match place {
        Place::Token(id) => slot.objects.token_object(*id),
        Place::Session(object) => slot.objects.add_session_object(object.clone()),
    };
    let handles: Vec<_> = places.iter().map(handle).collect();

    // Another thread may have closed the session or logged out meanwhile, and swept before the objects were here.
    let in_session = || {
        places.iter().filter_map(|place| match place {
            Place::Session(object) => Some(object),
            Place::Token(_) => None,
        })
    };
    let swept = if in_session().next().is_none() {
        None
    } else if let Err(error) = module.session(session.handle) {
        Some(error)
    } else if in_session().any(|object| private(&object.attributes.read())) {
        slot.user_vault().err()
    } else {
        None
    };
    let Some(error) = swept else { return Ok(handles) };
    for handle in handles {
        slot.objects.remove(handle);
    }
    let undone = |place| match place {
        Place::Token(id) => Some(Change::Destroy { id }),
        Place::Session(_) => None,
    };
    let undone: Vec<_> = places.into_iter().filter_map(undone).collect();
    if !undone.is_empty() {
        commit(undone)?;
    }
    Err(error)
}

/// Where a new object has come to be.
enum Place {
    Token(RecordId),
    Session(Arc<SessionObject>),
}
