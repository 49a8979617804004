//! A document before it is signed, and the signature.

use coset::cbor::{Value, ser::into_writer};

use crate::{Authority, Key};

/// The protected header: {1: -35}, ES384.
const PROTECTED: &[u8] = &[0xa1, 0x01, 0x38, 0x22];

/// What an NSM puts into a document.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Instance and enclave.
    pub module_id: String,
    /// Milliseconds since 1970.
    pub timestamp: u64,
    /// All registers, PCR0 first; 48 bytes each.
    pub pcrs: Vec<[u8; 48]>,
    /// As asked for.
    pub public_key: Option<Vec<u8>>,
    /// As asked for.
    pub user_data: Option<Vec<u8>>,
    /// As asked for.
    pub nonce: Option<Vec<u8>>,
}

impl Draft {
    /// A document of a signed image that is not in debug mode: PCR0, 1, 2, 3, 4 and 8 are set. `timestamp` is in
    /// milliseconds since 1970.
    pub fn new(timestamp: u64) -> Self {
        let mut pcrs = vec![[0; 48]; 16];
        for index in [0, 1, 2, 3, 4, 8] {
            pcrs[index] = [0x10 + u8::try_from(index).expect("below 16"); 48];
        }
        let module_id = "i-0trellis-enc0".into();
        Self { module_id, timestamp, pcrs, public_key: None, user_data: None, nonce: None }
    }

    /// The fields with a chain, in the order of a real NSM.
    pub fn fields(&self, chain: &[Vec<u8>]) -> Vec<(Value, Value)> {
        let (leaf, cas) = chain.split_last().expect("a chain has a last certificate");
        let optional = |bytes: &Option<Vec<u8>>| bytes.clone().map_or(Value::Null, Value::Bytes);
        let pcrs = self
            .pcrs
            .iter()
            .enumerate()
            .map(|(index, pcr)| (Value::Integer((index as u64).into()), Value::Bytes(pcr.to_vec())));
        [
            ("module_id", Value::Text(self.module_id.clone())),
            ("digest", Value::Text("SHA384".into())),
            ("timestamp", Value::Integer(self.timestamp.into())),
            ("pcrs", Value::Map(pcrs.collect())),
            ("certificate", Value::Bytes(leaf.clone())),
            ("cabundle", Value::Array(cas.iter().cloned().map(Value::Bytes).collect())),
            ("public_key", optional(&self.public_key)),
            ("user_data", optional(&self.user_data)),
            ("nonce", optional(&self.nonce)),
        ]
        .map(|(name, value)| (Value::Text(name.into()), value))
        .into()
    }

    /// The signed document: an untagged COSE_Sign1.
    pub fn sign(&self, authority: &Authority) -> Vec<u8> {
        sign(&payload(self.fields(&authority.issue())), authority.leaf_key())
    }
}

/// A payload of any fields.
pub fn payload(fields: Vec<(Value, Value)>) -> Vec<u8> {
    encode(&Value::Map(fields))
}

/// Any payload, signed: an untagged COSE_Sign1.
pub fn sign(payload: &[u8], key: &Key) -> Vec<u8> {
    let (protected, payload) = (Value::Bytes(PROTECTED.to_vec()), Value::Bytes(payload.to_vec()));
    let signed = [Value::Text("Signature1".into()), protected.clone(), Value::Bytes(vec![]), payload.clone()];
    let signature = Value::Bytes(key.sign(&encode(&Value::Array(signed.into()))));
    encode(&Value::Array(vec![protected, Value::Map(vec![]), payload, signature]))
}

fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    into_writer(value, &mut out).expect("memory takes whatever is written");
    out
}
