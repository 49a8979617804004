//! A key as people think of it: all the objects that belong together, shown as one.

use std::collections::HashMap;

use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki::session::Session;
use cryptoki_sys::{CK_ATTRIBUTE_TYPE, CK_ULONG, CKA_VENDOR_DEFINED};
use serde::Serialize;

use crate::encoding::{base64, hex};
use crate::object::{Object, class_name};
use crate::output::{clean, fields};
use crate::public_key::PublicKey;
use crate::token::{OpenToken, Token};
use crate::uri::Kind;

/// Trellis's attribute for where a key is (docs/vendor-interface.md).
const CKA_TRELLIS_PLACE: CK_ATTRIBUTE_TYPE = CKA_VENDOR_DEFINED | 0x5452_4C01;

/// The objects that belong together: of one CKA_ID, or of one label where there is no CKA_ID.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) objects: Vec<Object>,
}

/// A key in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct KeyJson {
    pub(crate) label: String,
    pub(crate) id: String,
    pub(crate) algorithm: String,
    pub(crate) objects: Vec<&'static str>,
    uses: Vec<&'static str>,
    sensitive: Option<bool>,
    extractable: Option<bool>,
    always_sensitive: Option<bool>,
    never_extractable: Option<bool>,
    always_authenticate: Option<bool>,
    local: Option<bool>,
    /// Where the key is, as far as the token tells: `key list` and `key show` ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<&'static str>,
    /// SubjectPublicKeyInfo in base64.
    public_key: Option<String>,
    uri: String,
}

impl Entry {
    /// In the order in which the first object of each entry comes.
    pub(crate) fn group(objects: Vec<Object>) -> Vec<Self> {
        let mut entries: Vec<Self> = Vec::new();
        let mut places = HashMap::new();
        for object in objects {
            let name = match object.id() {
                [] => Err(object.label()),
                id => Ok(id.to_vec()),
            };
            let place = *places.entry(name).or_insert(entries.len());
            match entries.get_mut(place) {
                Some(entry) => entry.objects.push(object),
                None => entries.push(Self { objects: vec![object] }),
            }
        }
        entries
    }

    /// The object that speaks for the key: the private or secret half, when it can be seen.
    fn main(&self) -> &Object {
        let secret =
            |object: &&Object| matches!(object.class, ObjectClass::PRIVATE_KEY | ObjectClass::SECRET_KEY);
        self.objects.iter().find(secret).unwrap_or(&self.objects[0])
    }

    fn label(&self) -> String {
        let labels = std::iter::once(self.main()).chain(&self.objects).map(Object::label);
        labels.into_iter().find(|label| !label.is_empty()).unwrap_or_default()
    }

    fn public_key(&self) -> Option<PublicKey> {
        // A certificate also tells the key, so it comes last.
        let mut objects: Vec<_> = self.objects.iter().collect();
        objects.sort_by_key(|object| object.class == ObjectClass::CERTIFICATE);
        objects.into_iter().find_map(Object::public_key)
    }

    /// What the key may be used for: the private or secret half, when it can be seen.
    fn uses(&self) -> Vec<&'static str> {
        let main = self.main();
        let uses = [
            (AttributeType::Sign, "sign"),
            (AttributeType::Verify, "verify"),
            (AttributeType::Encrypt, "encrypt"),
            (AttributeType::Decrypt, "decrypt"),
        ];
        uses.iter().filter(|(kind, _)| main.flag(*kind) == Some(true)).map(|(_, word)| *word).collect()
    }

    pub(crate) fn json(&self, token: &Token) -> KeyJson {
        let main = self.main();
        let mut uri = token.uri();
        uri.id = Some(main.id().to_vec()).filter(|id| !id.is_empty());
        uri.object = Some(self.label()).filter(|label| !label.is_empty());
        uri.kind = match main.class {
            ObjectClass::PRIVATE_KEY => Some(Kind::Private),
            ObjectClass::SECRET_KEY => Some(Kind::SecretKey),
            ObjectClass::CERTIFICATE => Some(Kind::Cert),
            _ => Some(Kind::Public),
        };
        KeyJson {
            label: self.label(),
            id: hex(main.id()),
            algorithm: main.algorithm_name(),
            objects: self.objects.iter().map(|object| class_name(object.class)).collect(),
            uses: self.uses(),
            sensitive: main.flag(AttributeType::Sensitive),
            extractable: main.flag(AttributeType::Extractable),
            always_sensitive: main.flag(AttributeType::AlwaysSensitive),
            never_extractable: main.flag(AttributeType::NeverExtractable),
            always_authenticate: main.flag(AttributeType::AlwaysAuthenticate),
            local: main.flag(AttributeType::Local),
            place: None,
            public_key: self.public_key().and_then(|key| key.spki().ok()).map(|der| base64(&der)),
            uri: uri.to_string(),
        }
    }

    pub(crate) fn json_with_place(&self, open: &OpenToken) -> KeyJson {
        KeyJson { place: self.place(open.session()), ..self.json(&open.token) }
    }

    /// Where Trellis says that the key is; nothing for other vendors' tokens.
    fn place(&self, session: &Session) -> Option<&'static str> {
        let kind = AttributeType::VendorDefined(CKA_TRELLIS_PLACE);
        let told = session.get_attributes(self.main().handle, &[kind]).ok()?;
        let value = told.into_iter().find_map(|attribute| match attribute {
            Attribute::VendorDefined((_, value)) => Some(value),
            _ => None,
        })?;
        match CK_ULONG::from_ne_bytes(value.try_into().ok()?) {
            0 => Some("sealed under the PIN"),
            1 => Some("sealed by the HSM"),
            2 => Some("in the HSM"),
            3 => Some("sealed by the enclave"),
            4 => Some("in the enclave"),
            5 => Some("sealed by the TPM"),
            _ => None,
        }
    }

    /// "Made ml-dsa-65 key `web` (id 00ff, private public)."
    pub(crate) fn sentence(&self, verb: &str, json: &KeyJson) -> String {
        let objects = json.objects.join(" ");
        format!(
            "{verb} {} key `{}` (id {}, {objects}).\n{}",
            json.algorithm,
            clean(&json.label),
            json.id,
            json.uri
        )
    }

    pub(crate) fn notes(&self) -> String {
        let main = self.main();
        let mut notes = Vec::new();
        if main.flag(AttributeType::Extractable) == Some(true) {
            notes.push("extractable");
        }
        if main.flag(AttributeType::AlwaysAuthenticate) == Some(true) {
            notes.push("PIN at every use");
        }
        notes.join(", ")
    }

    /// Everything about the key, line by line, and its public half in PEM.
    pub(crate) fn describe(&self, json: &KeyJson) -> String {
        let yes = |flag: Option<bool>| flag.map_or("", |flag| if flag { "yes" } else { "no" }).to_owned();
        let mut text = fields(&[
            ("label", clean(&json.label)),
            ("id", json.id.clone()),
            ("algorithm", json.algorithm.clone()),
            ("objects", json.objects.join(" ")),
            ("uses", json.uses.join(" ")),
            ("sensitive", yes(json.sensitive)),
            ("extractable", yes(json.extractable)),
            ("made in the token", yes(json.local)),
            ("PIN at every use", yes(json.always_authenticate)),
            ("place", json.place.unwrap_or_default().to_owned()),
            ("URI", json.uri.clone()),
        ]);
        if let Some(pem) = self.public_key().and_then(|key| key.pem().ok()) {
            text.push_str(&pem);
        }
        text
    }
}
