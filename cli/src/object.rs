//! Objects of a token: found by label, CKA_ID or URI, and read into something that can be shown.

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use crate::algorithm::Algorithm;
use crate::encoding::{hex, parse_hex};
use crate::error::{Error, Result};
use crate::public_key::{self, PublicKey};
use crate::token::parse_uri;
use crate::uri::{Kind, Uri};

/// How the user names a key.
#[derive(Debug, Clone)]
pub(crate) enum KeyName {
    /// A label or, when no label fits, CKA_ID in hexadecimal.
    Text(String),
    Uri(Box<Uri>),
}

/// An object and the attributes that were read from it.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) handle: ObjectHandle,
    pub(crate) class: ObjectClass,
    attributes: Vec<Attribute>,
}

/// The classes that the command deals in.
pub(crate) const CLASSES: [ObjectClass; 4] =
    [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY, ObjectClass::SECRET_KEY, ObjectClass::CERTIFICATE];

/// What is read from every object; a token leaves out what the object does not have.
const WANTED: [AttributeType; 22] = [
    AttributeType::Class,
    AttributeType::KeyType,
    AttributeType::Label,
    AttributeType::Id,
    AttributeType::ParameterSet,
    AttributeType::EcParams,
    AttributeType::EcPoint,
    AttributeType::Modulus,
    AttributeType::PublicExponent,
    AttributeType::ValueLen,
    AttributeType::PublicKeyInfo,
    AttributeType::Sensitive,
    AttributeType::Extractable,
    AttributeType::AlwaysSensitive,
    AttributeType::NeverExtractable,
    AttributeType::AlwaysAuthenticate,
    AttributeType::Local,
    AttributeType::Sign,
    AttributeType::Verify,
    AttributeType::Encrypt,
    AttributeType::Decrypt,
    AttributeType::Subject,
];

impl KeyName {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if Uri::is_uri(text) {
            Ok(Self::Uri(Box::new(parse_uri(text)?)))
        } else {
            Ok(Self::Text(text.to_owned()))
        }
    }

    pub(crate) fn uri(&self) -> Option<&Uri> {
        match self {
            Self::Uri(uri) => Some(uri),
            Self::Text(_) => None,
        }
    }

    /// The templates to search with, one after the other until one finds something.
    fn templates(&self, class: ObjectClass) -> Vec<Vec<Attribute>> {
        let class = || Attribute::Class(class);
        match self {
            Self::Text(text) => {
                let mut templates = vec![vec![class(), Attribute::Label(text.clone().into_bytes())]];
                let id = parse_hex(text).filter(|id| !id.is_empty());
                templates.extend(id.map(|id| vec![class(), Attribute::Id(id)]));
                templates
            }
            Self::Uri(uri) => {
                let mut template = vec![class()];
                template
                    .extend(uri.object.as_ref().map(|label| Attribute::Label(label.clone().into_bytes())));
                template.extend(uri.id.as_ref().map(|id| Attribute::Id(id.clone())));
                vec![template]
            }
        }
    }
}

impl std::fmt::Display for KeyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Uri(uri) => write!(f, "{uri}"),
        }
    }
}

impl Object {
    /// All objects of one class that the session can see.
    pub(crate) fn all(session: &Session, class: ObjectClass) -> Result<Vec<Self>> {
        Self::some(session, class, usize::MAX)
    }

    /// At most `limit` objects of one class.
    pub(crate) fn some(session: &Session, class: ObjectClass, limit: usize) -> Result<Vec<Self>> {
        let handles = session.find_objects(&[Attribute::Class(class)])?;
        handles.into_iter().take(limit).map(|handle| Self::read(session, handle, class)).collect()
    }

    /// The objects of one class with that name.
    pub(crate) fn named(session: &Session, class: ObjectClass, name: &KeyName) -> Result<Vec<Self>> {
        for template in name.templates(class) {
            let found = Self::search(session, class, &template)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// The one object of a class with that name.
    pub(crate) fn one(session: &Session, class: ObjectClass, name: &KeyName) -> Result<Option<Self>> {
        let mut found = Self::named(session, class, name)?;
        if found.len() > 1 {
            let each: Vec<_> = found
                .iter()
                .map(|object| format!("`{}` (id {})", object.label(), hex(object.id())))
                .collect();
            return Err(Error::conflict(format!("several keys match `{name}`: {}", each.join(", ")))
                .remedy("name the key by its id, or by a URI with id=..."));
        }
        Ok(found.pop())
    }

    fn search(session: &Session, class: ObjectClass, template: &[Attribute]) -> Result<Vec<Self>> {
        let handles = session.find_objects(template)?;
        handles.into_iter().map(|handle| Self::read(session, handle, class)).collect()
    }

    pub(crate) fn read(session: &Session, handle: ObjectHandle, class: ObjectClass) -> Result<Self> {
        let mut attributes = attributes(session, handle, &WANTED)?;
        // CKA_VALUE is asked for only where it is public.
        let is_ml_dsa = attributes.contains(&Attribute::KeyType(KeyType::ML_DSA));
        if class == ObjectClass::CERTIFICATE || (class == ObjectClass::PUBLIC_KEY && is_ml_dsa) {
            attributes.extend(self::attributes(session, handle, &[AttributeType::Value])?);
        }
        if !attributes.contains(&Attribute::Class(class)) {
            attributes.push(Attribute::Class(class));
        }
        Ok(Self { handle, class, attributes })
    }

    pub(crate) fn label(&self) -> String {
        let label = self.bytes(|attribute| match attribute {
            Attribute::Label(label) => Some(label),
            _ => None,
        });
        String::from_utf8_lossy(label).into_owned()
    }

    pub(crate) fn id(&self) -> &[u8] {
        self.bytes(|attribute| match attribute {
            Attribute::Id(id) => Some(id),
            _ => None,
        })
    }

    /// The DER of a certificate; empty otherwise.
    pub(crate) fn value(&self) -> &[u8] {
        self.bytes(|attribute| match attribute {
            Attribute::Value(value) => Some(value),
            _ => None,
        })
    }

    /// A boolean attribute; `None` where the object does not have it.
    pub(crate) fn flag(&self, kind: AttributeType) -> Option<bool> {
        self.attributes.iter().filter(|attribute| attribute.attribute_type() == kind).find_map(|attribute| {
            match attribute {
                Attribute::Sensitive(flag)
                | Attribute::Extractable(flag)
                | Attribute::AlwaysSensitive(flag)
                | Attribute::NeverExtractable(flag)
                | Attribute::AlwaysAuthenticate(flag)
                | Attribute::Local(flag)
                | Attribute::Sign(flag)
                | Attribute::Verify(flag)
                | Attribute::Encrypt(flag)
                | Attribute::Decrypt(flag) => Some(*flag),
                _ => None,
            }
        })
    }

    pub(crate) fn public_key(&self) -> Option<PublicKey> {
        if self.class == ObjectClass::CERTIFICATE {
            return crate::certificate::Certificate::from_der(self.value()).ok()?.public_key().ok();
        }
        PublicKey::from_attributes(&self.attributes)
    }

    /// The algorithm and size; `None` for what the command does not know.
    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        let find = |pick: fn(&Attribute) -> Option<Algorithm>| self.attributes.iter().find_map(pick);
        match self.key_type() {
            Some(KeyType::ML_DSA) => find(|attribute| match attribute {
                Attribute::ParameterSet(set) => public_key::ml_dsa(*set).map(Algorithm::MlDsa),
                _ => None,
            }),
            Some(KeyType::EC) => find(|attribute| match attribute {
                Attribute::EcParams(params) => public_key::curve(params).map(Algorithm::Ecdsa),
                _ => None,
            }),
            Some(KeyType::EC_EDWARDS) => find(|attribute| match attribute {
                Attribute::EcParams(params) => is_ed25519(params).then_some(Algorithm::Ed25519),
                _ => None,
            }),
            Some(KeyType::RSA) => find(|attribute| match attribute {
                Attribute::Modulus(modulus) => Some(Algorithm::Rsa(public_key::bits(modulus))),
                _ => None,
            }),
            Some(KeyType::AES) => find(|attribute| match attribute {
                Attribute::ValueLen(length) => u32::try_from(**length * 8).ok().map(Algorithm::Aes),
                _ => None,
            }),
            Some(_) => None,
            None => self.public_key().map(|key| key.algorithm()),
        }
    }

    /// The algorithm's name, or the standard's name of its key type.
    pub(crate) fn algorithm_name(&self) -> String {
        match (self.algorithm(), self.key_type()) {
            (Some(algorithm), _) => algorithm.to_string(),
            (None, Some(kind)) => {
                kind.to_string().trim_start_matches("CKK_").to_ascii_lowercase().replace('_', "-")
            }
            (None, None) => "unknown".into(),
        }
    }

    pub(crate) fn key_type(&self) -> Option<KeyType> {
        self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::KeyType(kind) => Some(*kind),
            _ => None,
        })
    }

    /// CKA_VALUE_LEN of a secret key in bytes.
    pub(crate) fn value_len(&self) -> Option<usize> {
        self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::ValueLen(length) => usize::try_from(**length).ok(),
            _ => None,
        })
    }

    fn bytes(&self, pick: fn(&Attribute) -> Option<&Vec<u8>>) -> &[u8] {
        self.attributes.iter().find_map(pick).map_or(&[], Vec::as_slice)
    }
}

/// The word for a class in output and in URIs.
pub(crate) fn class_name(class: ObjectClass) -> &'static str {
    match class {
        ObjectClass::PRIVATE_KEY => "private",
        ObjectClass::PUBLIC_KEY => "public",
        ObjectClass::SECRET_KEY => "secret",
        ObjectClass::CERTIFICATE => "certificate",
        ObjectClass::DATA => "data",
        _ => "other",
    }
}

/// The class that a URI's `type` names.
pub(crate) fn class_of(kind: Kind) -> Option<ObjectClass> {
    match kind {
        Kind::Private => Some(ObjectClass::PRIVATE_KEY),
        Kind::Public => Some(ObjectClass::PUBLIC_KEY),
        Kind::SecretKey => Some(ObjectClass::SECRET_KEY),
        Kind::Cert => Some(ObjectClass::CERTIFICATE),
        Kind::Data => None,
    }
}

/// Reads in one call; one attribute at a time when a value is of a kind that `cryptoki` has no name for.
pub(crate) fn attributes(
    session: &Session,
    handle: ObjectHandle,
    wanted: &[AttributeType],
) -> Result<Vec<Attribute>> {
    use cryptoki::error::Error as Cryptoki;
    match session.get_attributes(handle, wanted) {
        Ok(attributes) => Ok(attributes),
        Err(error @ Cryptoki::Pkcs11(..)) => Err(error.into()),
        Err(_) => {
            let one = |kind: &AttributeType| session.get_attributes(handle, &[*kind]).unwrap_or_default();
            Ok(wanted.iter().flat_map(one).collect())
        }
    }
}

/// CKA_EC_PARAMS of Ed25519: its OID, or the curve name that RFC 7748 era tokens use.
fn is_ed25519(params: &[u8]) -> bool {
    const NAME: &[u8] = b"\x13\x0cedwards25519";
    params == crate::algorithm::der_of(crate::algorithm::ED25519) || params == NAME
}
