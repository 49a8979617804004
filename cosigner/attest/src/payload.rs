//! The payload: the CBOR map that an NSM signs, with the types and sizes that its specification gives the fields.
//!
//! The encoding is the NSM's business, since it is signed; what is refused is what has no single meaning.

use std::collections::BTreeMap;

use coset::cbor::{Value, de::from_reader};

use crate::{Error, Field, Pcr};

/// Indexes of registers end below this.
const REGISTERS: u8 = 32;
/// A certificate is no longer than this.
const CERTIFICATE: usize = 1024;
/// A nonce, user_data or public_key is no longer than this.
const OPTIONAL: usize = 1024;
/// A module id is no longer than this; real ones have 39 bytes.
const MODULE_ID: usize = 256;

/// What an error repeats of a name that a stranger has chosen, in characters.
const NAME: usize = 32;

/// A payload whose fields have the right form. Nothing is verified yet.
pub(crate) struct Payload {
    pub(crate) module_id: String,
    /// Milliseconds since 1970.
    pub(crate) timestamp: u64,
    pub(crate) pcrs: BTreeMap<u8, Pcr>,
    pub(crate) certificate: Vec<u8>,
    /// The root first.
    pub(crate) ca_bundle: Vec<Vec<u8>>,
    pub(crate) public_key: Option<Vec<u8>>,
    pub(crate) user_data: Option<Vec<u8>>,
    pub(crate) nonce: Option<Vec<u8>>,
}

impl Payload {
    pub(crate) fn decode(mut payload: &[u8]) -> Result<Self, Error> {
        let map: Value = from_reader(&mut payload).map_err(|_| Error::Payload)?;
        let Value::Map(pairs) = map else { return Err(Error::Payload) };
        if !payload.is_empty() {
            return Err(Error::Payload);
        }
        let mut fields = BTreeMap::new();
        for (key, value) in pairs {
            let Value::Text(key) = key else { return Err(Error::Payload) };
            if fields.contains_key(&key) {
                return Err(Error::FieldRepeated(key.chars().take(NAME).collect()));
            }
            fields.insert(key, value);
        }
        Self::from_fields(Fields(fields))
    }

    fn from_fields(mut fields: Fields) -> Result<Self, Error> {
        let module_id = fields.text(Field::ModuleId)?;
        if module_id.is_empty() || module_id.len() > MODULE_ID {
            return Err(Error::FieldInvalid(Field::ModuleId));
        }
        if fields.text(Field::Digest)? != "SHA384" {
            return Err(Error::FieldInvalid(Field::Digest));
        }
        Ok(Self {
            module_id,
            timestamp: fields.timestamp()?,
            pcrs: fields.pcrs()?,
            certificate: certificate(fields.required(Field::Certificate)?)
                .ok_or(Error::FieldInvalid(Field::Certificate))?,
            ca_bundle: fields.ca_bundle()?,
            public_key: fields.optional(Field::PublicKey)?,
            user_data: fields.optional(Field::UserData)?,
            nonce: fields.optional(Field::Nonce)?,
        })
    }
}

/// What is left of the map. What stays in it to the end is not known here; it is signed, and means nothing to us.
struct Fields(BTreeMap<String, Value>);

impl Fields {
    fn required(&mut self, field: Field) -> Result<Value, Error> {
        self.0.remove(field.name()).ok_or(Error::FieldMissing(field))
    }

    fn text(&mut self, field: Field) -> Result<String, Error> {
        self.required(field)?.into_text().map_err(|_| Error::FieldInvalid(field))
    }

    fn timestamp(&mut self) -> Result<u64, Error> {
        let value = self.required(Field::Timestamp)?.into_integer().ok();
        let milliseconds = value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0);
        milliseconds.ok_or(Error::FieldInvalid(Field::Timestamp))
    }

    fn pcrs(&mut self) -> Result<BTreeMap<u8, Pcr>, Error> {
        let invalid = Error::FieldInvalid(Field::Pcrs);
        let Value::Map(pairs) = self.required(Field::Pcrs)? else { return Err(invalid) };
        let mut pcrs = BTreeMap::new();
        for (index, value) in pairs {
            let index = index.into_integer().ok().and_then(|index| u8::try_from(index).ok());
            let value = value.into_bytes().ok();
            let value = value.and_then(|value| Pcr::try_from(value.as_slice()).ok());
            let (Some(index), Some(value)) = (index.filter(|index| *index < REGISTERS), value) else {
                return Err(invalid);
            };
            if pcrs.insert(index, value).is_some() {
                return Err(Error::FieldRepeated(format!("PCR{index}")));
            }
        }
        if pcrs.is_empty() { Err(invalid) } else { Ok(pcrs) }
    }

    fn ca_bundle(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let list = self.required(Field::CaBundle)?.into_array().ok();
        let list: Option<Vec<_>> = list.and_then(|list| list.into_iter().map(certificate).collect());
        list.ok_or(Error::FieldInvalid(Field::CaBundle))
    }

    /// Bytes, or nothing: null or not there at all.
    fn optional(&mut self, field: Field) -> Result<Option<Vec<u8>>, Error> {
        match self.0.remove(field.name()) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bytes(bytes)) if bytes.len() <= OPTIONAL => Ok(Some(bytes)),
            Some(_) => Err(Error::FieldInvalid(field)),
        }
    }
}

fn certificate(value: Value) -> Option<Vec<u8>> {
    value.into_bytes().ok().filter(|der| !der.is_empty() && der.len() <= CERTIFICATE)
}
