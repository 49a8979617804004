//! GenerateDataKey and Decrypt, as the KMS API reference describes them.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::rand;
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{Arn, Faults, Keys, KmsError, Mode, Policy, condition::Facts, envelope};

/// An encryption context: what must be said again to decrypt.
pub type Context = BTreeMap<String, String>;

/// How old an attestation document may be, in milliseconds.
const OLDEST: u64 = 5 * 60 * 1000;
/// Bytes of a CiphertextBlob, at most (API reference).
const LONGEST_CIPHERTEXT: usize = 6144;
/// Bytes of JSON of an encryption context, at most.
const LONGEST_CONTEXT: usize = 8192;

/// What there is to be asked.
#[derive(Debug)]
pub struct Service {
    /// The keys.
    pub keys: Keys,
    /// The policy of all of them.
    pub policy: Policy,
    /// SHA-256 of the root that attestation documents must have.
    pub root: [u8; 32],
    /// Who makes the calls, as a principal in the policy.
    pub caller: String,
    /// What goes wrong on command.
    pub faults: Faults,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GenerateDataKey {
    key_id: String,
    key_spec: Option<String>,
    number_of_bytes: Option<u32>,
    #[serde(default)]
    encryption_context: Context,
    recipient: Option<Recipient>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypt {
    ciphertext_blob: String,
    key_id: Option<String>,
    encryption_algorithm: Option<String>,
    #[serde(default)]
    encryption_context: Context,
    recipient: Option<Recipient>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Recipient {
    attestation_document: String,
    key_encryption_algorithm: String,
}

/// The answer to both, with the members that fit.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    key_id: Arn,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext_blob: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_algorithm: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext_for_recipient: Option<String>,
}

/// What a verified document says to KMS.
struct Attested {
    public_key: Vec<u8>,
    pcrs: BTreeMap<u8, String>,
}

impl Service {
    /// Answers one call: the part of `X-Amz-Target` after the point, and the body.
    pub(crate) fn call(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, KmsError> {
        self.faults.begin(operation)?;
        let answer = match operation {
            "GenerateDataKey" => self.generate_data_key(&parse(body)?)?,
            "Decrypt" => self.decrypt(&parse(body)?)?,
            other => return Err(KmsError::new("UnknownOperationException", format!("no {other} here"))),
        };
        Ok(serde_json::to_vec(&answer).expect("an answer is JSON"))
    }

    fn generate_data_key(&self, request: &GenerateDataKey) -> Result<Answer, KmsError> {
        let length = match (request.key_spec.as_deref(), request.number_of_bytes) {
            (Some("AES_256"), None) => 32,
            (Some("AES_128"), None) => 16,
            (None, Some(length)) if (1..=1024).contains(&length) => length as usize,
            _ => return Err(KmsError::validation("Please specify either number of bytes or key spec.")),
        };
        check_context(&request.encryption_context)?;
        let attested = request.recipient.as_ref().map(|recipient| self.attested(recipient)).transpose()?;
        let key = self.keys.find(&request.key_id)?;
        self.authorise(key, "kms:GenerateDataKey", &request.encryption_context, attested.as_ref())?;

        let mut data_key = Zeroizing::new(vec![0; length]);
        rand::fill(&mut data_key).map_err(|_| KmsError::new("KMSInternalException", "no randomness"))?;
        let ciphertext = self.keys.encrypt(key, &request.encryption_context, &data_key);
        let mut answer = self.answer(key, &data_key, attested.as_ref())?;
        answer.ciphertext_blob = Some(Base64::encode_string(&ciphertext));
        Ok(answer)
    }

    fn decrypt(&self, request: &Decrypt) -> Result<Answer, KmsError> {
        let ciphertext = bytes("ciphertextBlob", &request.ciphertext_blob)?;
        if !(1..=LONGEST_CIPHERTEXT).contains(&ciphertext.len()) {
            return Err(KmsError::validation(
                "Value at 'ciphertextBlob' failed to satisfy constraint: length 1 to 6144",
            ));
        }
        if request.encryption_algorithm.as_deref().is_some_and(|algorithm| algorithm != "SYMMETRIC_DEFAULT") {
            return Err(KmsError::new("InvalidKeyUsageException", "the key is symmetric"));
        }
        check_context(&request.encryption_context)?;
        let attested = request.recipient.as_ref().map(|recipient| self.attested(recipient)).transpose()?;
        let named = request.key_id.as_deref().map(|name| self.keys.find(name)).transpose()?;
        let key = self.keys.owner(&ciphertext)?;
        if named.is_some_and(|named| named != key) {
            return Err(KmsError::new(
                "IncorrectKeyException",
                "The key ID in the request does not identify a CMK that can perform this operation.",
            ));
        }
        self.authorise(key, "kms:Decrypt", &request.encryption_context, attested.as_ref())?;
        let plaintext = self.keys.decrypt(key, &request.encryption_context, &ciphertext)?;
        let mut answer = self.answer(key, &plaintext, attested.as_ref())?;
        answer.encryption_algorithm = Some("SYMMETRIC_DEFAULT");
        Ok(answer)
    }

    /// With Recipient the secret goes to the recipient alone, unless the double is told to misbehave.
    fn answer(&self, key: &Arn, secret: &[u8], attested: Option<&Attested>) -> Result<Answer, KmsError> {
        let sealed = match attested {
            Some(attested) => Some(envelope::seal(&attested.public_key, secret).ok_or_else(|| {
                KmsError::validation("The public key in the attestation document is not an RSA key")
            })?),
            None => None,
        };
        let mode = self.faults.mode();
        let plaintext = sealed.is_none() || mode != Mode::Honest;
        Ok(Answer {
            key_id: key.clone(),
            ciphertext_blob: None,
            encryption_algorithm: None,
            plaintext: plaintext.then(|| Base64::encode_string(secret)),
            ciphertext_for_recipient: sealed
                .filter(|_| mode != Mode::Plaintext)
                .map(|sealed| Base64::encode_string(&sealed)),
        })
    }

    /// Verifies a document. One of an enclave in debug mode is genuine: its registers are zero, and it is for the policy
    /// to ask for others.
    fn attested(&self, recipient: &Recipient) -> Result<Attested, KmsError> {
        if recipient.key_encryption_algorithm != "RSAES_OAEP_SHA_256" {
            return Err(KmsError::validation(
                "Value at 'recipient.keyEncryptionAlgorithm' is not in the enum",
            ));
        }
        let document = bytes("recipient.attestationDocument", &recipient.attestation_document)?;
        let none = BTreeMap::new();
        let policy = attest::Policy {
            root: self.root,
            pcrs: &none,
            allow_debug: true,
            nonce: None,
            freshness: Some(attest::Freshness { now: now(), oldest: OLDEST, ahead: OLDEST }),
        };
        let attestation = policy.verify(&document).map_err(|error| {
            KmsError::validation(format!("The attestation document is not valid: {error}"))
        })?;
        let public_key = attestation
            .public_key()
            .ok_or_else(|| KmsError::validation("The attestation document has no public key"))?;
        let pcrs = attestation.pcrs().iter().map(|(index, pcr)| (*index, pcr.to_string()));
        Ok(Attested { public_key: public_key.to_vec(), pcrs: pcrs.collect() })
    }

    fn authorise(
        &self,
        key: &Arn,
        action: &str,
        context: &Context,
        attested: Option<&Attested>,
    ) -> Result<(), KmsError> {
        let pcrs = attested.map(|attested| attested.pcrs.clone()).unwrap_or_default();
        if self.policy.allows(&self.caller, action, &Facts { pcrs, context }) {
            return Ok(());
        }
        let caller = &self.caller;
        Err(KmsError::access_denied(format!(
            "User: {caller} is not authorized to perform: {action} on resource: {key} because no resource-based policy allows the {action} action"
        )))
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, KmsError> {
    serde_json::from_slice(body).map_err(|error| KmsError::new("SerializationException", error.to_string()))
}

fn bytes(name: &str, base64: &str) -> Result<Vec<u8>, KmsError> {
    let decoded = Base64::decode_vec(base64);
    decoded.map_err(|_| KmsError::new("SerializationException", format!("'{name}' is not base64")))
}

fn check_context(context: &Context) -> Result<(), KmsError> {
    let length = serde_json::to_vec(context).map_or(usize::MAX, |json| json.len());
    if length > LONGEST_CONTEXT {
        return Err(KmsError::validation("The encryption context is too long"));
    }
    Ok(())
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
