//! Which attributes go with an object from one token to another, and whether the copy has them.

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use cryptoki_sys::CK_MECHANISM_TYPE;

use crate::error::{Error, Result};
use crate::object;

/// Of every object.
const OBJECT: [AttributeType; 5] = [
    AttributeType::Label,
    AttributeType::Private,
    AttributeType::Modifiable,
    AttributeType::Copyable,
    AttributeType::Destroyable,
];
/// Of every key.
const KEY: [AttributeType; 5] = [
    AttributeType::Id,
    AttributeType::StartDate,
    AttributeType::EndDate,
    AttributeType::Derive,
    AttributeType::AllowedMechanisms,
];
const PRIVATE: [AttributeType; 9] = [
    AttributeType::Subject,
    AttributeType::Sensitive,
    AttributeType::Extractable,
    AttributeType::Sign,
    AttributeType::SignRecover,
    AttributeType::Decrypt,
    AttributeType::Unwrap,
    AttributeType::AlwaysAuthenticate,
    AttributeType::WrapWithTrusted,
];
const SECRET: [AttributeType; 10] = [
    AttributeType::Sensitive,
    AttributeType::Extractable,
    AttributeType::Sign,
    AttributeType::Verify,
    AttributeType::Encrypt,
    AttributeType::Decrypt,
    AttributeType::Wrap,
    AttributeType::Unwrap,
    AttributeType::WrapWithTrusted,
    AttributeType::Trusted,
];
const PUBLIC: [AttributeType; 6] = [
    AttributeType::Subject,
    AttributeType::Verify,
    AttributeType::VerifyRecover,
    AttributeType::Encrypt,
    AttributeType::Wrap,
    AttributeType::Trusted,
];
const CERTIFICATE: [AttributeType; 11] = [
    AttributeType::Id,
    AttributeType::StartDate,
    AttributeType::EndDate,
    AttributeType::CertificateType,
    AttributeType::Subject,
    AttributeType::Issuer,
    AttributeType::SerialNumber,
    AttributeType::Value,
    AttributeType::Url,
    AttributeType::HashOfSubjectPublicKey,
    AttributeType::HashOfIssuerPublicKey,
];
const DATA: [AttributeType; 3] = [AttributeType::Application, AttributeType::ObjectId, AttributeType::Value];

/// The attributes that go with an object: those that name it, say what may be done with it, and keep it safe.
#[derive(Debug, Clone)]
pub(super) struct Travel {
    pub(super) attributes: Vec<Attribute>,
    /// What the user should know of what stays behind.
    pub(super) notes: Vec<String>,
}

impl Travel {
    /// Reads them. An attribute that restricts the key and cannot be read is an error: the copy would be freer.
    pub(super) fn read(session: &Session, handle: ObjectHandle, class: ObjectClass) -> Result<Self> {
        let mut wanted = OBJECT.to_vec();
        let own: &[AttributeType] = match class {
            ObjectClass::PRIVATE_KEY => &PRIVATE,
            ObjectClass::SECRET_KEY => &SECRET,
            ObjectClass::PUBLIC_KEY => &PUBLIC,
            ObjectClass::CERTIFICATE => &CERTIFICATE,
            _ => &DATA,
        };
        let is_key =
            [ObjectClass::PRIVATE_KEY, ObjectClass::SECRET_KEY, ObjectClass::PUBLIC_KEY].contains(&class);
        wanted.extend_from_slice(if is_key { &KEY } else { &[] });
        wanted.extend_from_slice(own);
        let mut notes = Vec::new();
        let mut attributes = match object::attributes(session, handle, &wanted) {
            Ok(attributes) => attributes,
            Err(_) => one_by_one(session, handle, &wanted, &mut notes)?,
        };
        if is_key {
            refuse_unreadable(session, handle, &attributes)?;
        }
        if attributes.contains(&Attribute::Trusted(true)) {
            notes.push("CKA_TRUSTED stays behind: only the security officer can set it".to_owned());
        }
        attributes.retain(says_something);
        Ok(Self { attributes, notes })
    }

    /// A boolean of the object; false where it does not have it.
    pub(super) fn is(&self, wanted: &Attribute) -> bool {
        self.attributes.contains(wanted)
    }

    pub(super) fn id(&self) -> &[u8] {
        let id = self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::Id(id) => Some(id.as_slice()),
            _ => None,
        });
        id.unwrap_or_default()
    }

    /// The attributes to look for the object's copy with: its CKA_ID, or its label where it has none.
    pub(super) fn name(&self) -> Vec<Attribute> {
        let wanted = |attribute: &&Attribute| match attribute {
            Attribute::Id(id) => !id.is_empty(),
            Attribute::Label(_) => self.id().is_empty(),
            _ => false,
        };
        self.attributes.iter().filter(wanted).cloned().collect()
    }

    /// Of these mechanisms, those that CKA_ALLOWED_MECHANISMS leaves.
    pub(super) fn allowed(&self, mechanisms: &[CK_MECHANISM_TYPE]) -> Vec<CK_MECHANISM_TYPE> {
        let allowed = self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::AllowedMechanisms(allowed) => Some(allowed),
            _ => None,
        });
        let is_allowed = |code: &&CK_MECHANISM_TYPE| {
            allowed.is_none_or(|allowed| {
                allowed.iter().any(|mechanism| CK_MECHANISM_TYPE::from(*mechanism) == **code)
            })
        };
        mechanisms.iter().filter(is_allowed).copied().collect()
    }

    /// What tells one certificate or data object from another of the same name.
    pub(super) fn content(&self) -> Vec<&Attribute> {
        let content = |attribute: &&Attribute| {
            matches!(attribute, Attribute::Value(_) | Attribute::Application(_) | Attribute::Label(_))
        };
        self.attributes.iter().filter(content).collect()
    }

    /// Holds a key that was in the target before to what keeps the source's safe.
    pub(super) fn check_no_weaker(&self, session: &Session, there: ObjectHandle) -> Result<()> {
        let keeps_safe = |attribute: &&Attribute| {
            matches!(
                attribute,
                Attribute::Private(true)
                    | Attribute::Sensitive(true)
                    | Attribute::Extractable(false)
                    | Attribute::AlwaysAuthenticate(true)
                    | Attribute::WrapWithTrusted(true)
                    | Attribute::AllowedMechanisms(_)
            )
        };
        let attributes = self.attributes.iter().filter(keeps_safe).cloned().collect();
        let strict = Self { attributes, notes: Vec::new() };
        strict.check_kept(session, there).map_err(|error| {
            error.while_doing("the target has this key, less strict").remedy("delete it there")
        })
    }

    /// Holds the object in the target to what was asked for it.
    pub(super) fn check_kept(&self, session: &Session, copy: ObjectHandle) -> Result<()> {
        let kinds: Vec<_> = self.attributes.iter().map(Attribute::attribute_type).collect();
        let kept = object::attributes(session, copy, &kinds)?;
        match self.attributes.iter().find(|attribute| !kept.contains(attribute)) {
            None => Ok(()),
            Some(lost) => Err(Error::unsupported(format!(
                "the target does not keep {} of it as it is in the source",
                lost.attribute_type()
            ))),
        }
    }
}

/// Where one attribute spoils the whole call: SoftHSM 2.6.1 fails to show the dates of a private object that has any.
/// They are for reference only; nothing else may be missing.
fn one_by_one(
    session: &Session,
    handle: ObjectHandle,
    wanted: &[AttributeType],
    notes: &mut Vec<String>,
) -> Result<Vec<Attribute>> {
    let mut attributes = Vec::new();
    for kind in wanted {
        match object::attributes(session, handle, &[*kind]) {
            Ok(read) => attributes.extend(read),
            Err(_) if matches!(kind, AttributeType::StartDate | AttributeType::EndDate) => {
                notes.push(format!("{kind} stays behind: the source does not show it"));
            }
            Err(error) => return Err(error.while_doing(&format!("reading {kind}"))),
        }
    }
    Ok(attributes)
}

/// What `cryptoki` cannot read would be left out in silence: a mechanism that it has no name for, a template.
fn refuse_unreadable(session: &Session, handle: ObjectHandle, read: &[Attribute]) -> Result<()> {
    use cryptoki::object::AttributeInfo;
    let allowed = AttributeType::AllowedMechanisms;
    let has = |kind: AttributeType| match session.get_attribute_info(handle, &[kind]) {
        Ok(info) => matches!(info.first(), Some(AttributeInfo::Available(length)) if *length > 0),
        Err(_) => false,
    };
    if !read.iter().any(|attribute| attribute.attribute_type() == allowed) && has(allowed) {
        return Err(Error::unsupported(
            "its CKA_ALLOWED_MECHANISMS has a mechanism that this command does not know; the copy would be less strict",
        ));
    }
    let templates = [
        (cryptoki_sys::CKA_WRAP_TEMPLATE, "CKA_WRAP_TEMPLATE"),
        (cryptoki_sys::CKA_UNWRAP_TEMPLATE, "CKA_UNWRAP_TEMPLATE"),
        (cryptoki_sys::CKA_DERIVE_TEMPLATE, "CKA_DERIVE_TEMPLATE"),
    ];
    match templates.iter().find(|(code, _)| has(AttributeType::VendorDefined(*code))) {
        Some((_, name)) => Err(Error::unsupported(format!(
            "it has a {name}, which this command does not carry over; the copy would be less strict"
        ))),
        None => Ok(()),
    }
}

/// Whether the value is another than the one that every token takes where nothing is said. Usage flags and what keeps a
/// key safe are always said: tokens differ in what they take for them.
fn says_something(attribute: &Attribute) -> bool {
    match attribute {
        Attribute::Modifiable(flag) | Attribute::Copyable(flag) | Attribute::Destroyable(flag) => !flag,
        Attribute::AlwaysAuthenticate(flag) | Attribute::WrapWithTrusted(flag) => *flag,
        Attribute::Trusted(_) => false,
        Attribute::StartDate(date) | Attribute::EndDate(date) => !date.is_empty(),
        Attribute::AllowedMechanisms(mechanisms) => !mechanisms.is_empty(),
        Attribute::Label(bytes)
        | Attribute::Id(bytes)
        | Attribute::Subject(bytes)
        | Attribute::Issuer(bytes)
        | Attribute::SerialNumber(bytes)
        | Attribute::Url(bytes)
        | Attribute::Application(bytes)
        | Attribute::ObjectId(bytes)
        | Attribute::HashOfSubjectPublicKey(bytes)
        | Attribute::HashOfIssuerPublicKey(bytes) => !bytes.is_empty(),
        _ => true,
    }
}
