//! Data keys of KMS, which the host has to ask for. The host only ever sees them wrapped, or encrypted to a key of this
//! enclave.
//!
//! What comes back is not signed by KMS: a host that owns the enclave's RSA key's public half can make a data key up.
//! It then has sealed with a key that it knows, which docs/threat-model.md says.

use std::time::Duration;

use algorithms::SecretBytes;
use cosigner_protocol::{
    Bytes, KmsKey, Transport, UserId,
    message::{FromEnclave, KmsRefusal, Layer, ToEnclave},
};

use crate::{
    envelope::{self, EnvelopeError},
    nsm::Nsm,
    recipient::Recipients,
    refusal::Refusal,
    service::Broken,
};

/// AES-256.
const LEN: usize = 32;
/// The longest CiphertextBlob that KMS takes.
const LONGEST_WRAPPED: usize = 6144;

/// A data key. `Debug` prints nothing.
#[derive(Debug)]
pub(crate) struct DataKey(SecretBytes);

impl DataKey {
    pub(crate) fn bytes(&self) -> &SecretBytes {
        &self.0
    }
}

/// Who asks, and by what connection.
pub(crate) struct Asking<'a> {
    pub(crate) transport: &'a mut Transport,
    pub(crate) nsm: &'a dyn Nsm,
    pub(crate) recipients: &'a Recipients,
    pub(crate) patience: Duration,
}

impl Asking<'_> {
    /// A new data key, and the same as KMS wrapped it.
    pub(crate) fn generate(
        &mut self,
        kms_key: &KmsKey,
        user_id: &UserId,
    ) -> Result<(DataKey, Bytes), Broken> {
        self.ask(|attestation| FromEnclave::KmsGenerateDataKey {
            kms_key: kms_key.clone(),
            user_id: user_id.clone(),
            attestation,
        })
    }

    /// The data key that KMS once wrapped.
    pub(crate) fn decrypt(
        &mut self,
        kms_key: &KmsKey,
        user_id: &UserId,
        wrapped_key: &Bytes,
    ) -> Result<DataKey, Broken> {
        let (key, echoed) = self.ask(|attestation| FromEnclave::KmsDecryptDataKey {
            kms_key: kms_key.clone(),
            user_id: user_id.clone(),
            attestation,
            wrapped_key: wrapped_key.clone(),
        })?;
        if echoed == *wrapped_key {
            Ok(key)
        } else {
            Err(Refusal::refused(Layer::KmsReply, "the answer is to another wrapped key").into())
        }
    }

    fn ask(&mut self, question: impl FnOnce(Bytes) -> FromEnclave) -> Result<(DataKey, Bytes), Broken> {
        let recipient = self.recipients.next(self.patience)?;
        let attestation = self.nsm.attest(None, Some(recipient.spki())).map_err(Refusal::from)?;
        self.transport.say(&question(Bytes(attestation)))?;
        match self.transport.hear::<ToEnclave>()? {
            ToEnclave::KmsReply { ciphertext_for_recipient, wrapped_key } => {
                let opened = envelope::open(&ciphertext_for_recipient.0, &recipient);
                let key = opened.map_err(|error| Refusal::refused(Layer::KmsReply, reason(error)))?;
                if key.len() != LEN || !(1..=LONGEST_WRAPPED).contains(&wrapped_key.0.len()) {
                    return Err(Refusal::refused(Layer::KmsReply, "the data key has another length").into());
                }
                Ok((DataKey(key), wrapped_key))
            }
            ToEnclave::KmsError { reason } => Err(refusal(reason).into()),
            _ => Err(Broken::Unexpected),
        }
    }
}

fn reason(error: EnvelopeError) -> &'static str {
    match error {
        EnvelopeError::Form => "what came is no CiphertextForRecipient",
        EnvelopeError::OtherRecipient => "the CiphertextForRecipient is to another key, or was there before",
        EnvelopeError::Content => "the CiphertextForRecipient was altered",
    }
}

fn refusal(reason: KmsRefusal) -> Refusal {
    match reason {
        KmsRefusal::Denied => {
            Refusal::refused(Layer::KmsAttestation, "KMS denies it to this enclave or its host")
        }
        KmsRefusal::InvalidCiphertext => {
            Refusal::refused(Layer::KmsContext, "the wrapped key is another's or of another context")
        }
        KmsRefusal::Service => Refusal::failed(Layer::KmsService, "KMS cannot be reached or failed"),
    }
}
