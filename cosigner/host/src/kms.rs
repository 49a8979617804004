//! The relay to KMS: asks for the enclave, hands back what only the enclave can open, and nothing else.

use std::{error::Error, fmt, time::Duration};

use aws_sdk_kms::{
    Client,
    config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata, SdkError},
    primitives::Blob,
    types::{DataKeySpec, KeyEncryptionMechanism, RecipientInfo},
};
use cosigner_protocol::{
    Bytes, KmsKey, UserId,
    message::{KmsRefusal, ToEnclave},
};
use tokio::runtime::Handle;
use zeroize::Zeroize;

/// The one name in the encryption context.
const USER_ID: &str = "user_id";
/// How often a call is tried: throttling and KMS' own failures pass.
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const CONNECT: Duration = Duration::from_secs(2);

/// What is asked of KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The KMS key.
    pub kms_key: KmsKey,
    /// For the encryption context.
    pub user_id: UserId,
    /// To whom KMS shall encrypt.
    pub attestation: Bytes,
    /// The data key to unwrap, or nothing for a new one.
    pub wrapped_key: Option<Bytes>,
}

/// What KMS answered: neither part is of use to anybody but the enclave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The data key, encrypted to the enclave.
    pub ciphertext_for_recipient: Bytes,
    /// The data key as KMS wrapped it.
    pub wrapped_key: Bytes,
}

/// Why there is no reply.
#[derive(Debug)]
pub struct Refusal {
    /// What the enclave is told.
    pub reason: KmsRefusal,
    /// For the log.
    pub cause: String,
}

/// Why KMS cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KmsConfigError {
    /// A KMS key is not named by its whole ARN, or is in another region than the first.
    Key(String),
    /// An endpoint that is neither https:// nor on this machine.
    Endpoint(String),
}

/// KMS in one region, through AWS' client.
#[derive(Debug)]
pub struct Kms {
    runtime: Handle,
    client: Client,
    /// The key for what is new, then those that older records may name.
    keys: Vec<KmsKey>,
}

impl Kms {
    /// Finds credentials where AWS' client finds them (environment, profile, instance role). `keys` begins with the one
    /// for new data keys. `endpoint` is for a VPC endpoint or a test. A call with all its tries ends `within` a time.
    pub fn new(
        runtime: &Handle,
        keys: Vec<KmsKey>,
        endpoint: Option<&str>,
        within: Duration,
    ) -> Result<Self, KmsConfigError> {
        let mut regions =
            keys.iter().map(|key| region(key).ok_or_else(|| KmsConfigError::Key(key.as_str().to_owned())));
        let first = regions.next().ok_or_else(|| KmsConfigError::Key(String::new()))??;
        for (other, key) in regions.zip(&keys[1..]) {
            if other? != first {
                return Err(KmsConfigError::Key(key.as_str().to_owned()));
            }
        }
        if let Some(endpoint) = endpoint.filter(|endpoint| !is_private(endpoint)) {
            return Err(KmsConfigError::Endpoint(endpoint.to_owned()));
        }
        let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(FIRST_PAUSE);
        let timeouts = TimeoutConfig::builder()
            .operation_timeout(within)
            .operation_attempt_timeout(within / 2)
            .connect_timeout(CONNECT)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(first.to_owned()))
            .retry_config(retries)
            .timeout_config(timeouts);
        if let Some(endpoint) = endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let client = Client::new(&runtime.block_on(loader.load()));
        Ok(Self { runtime: runtime.clone(), client, keys })
    }

    /// The KMS key for what is new.
    pub fn key(&self) -> &KmsKey {
        &self.keys[0]
    }

    /// Asks, and waits as long as it takes. Not to be called within the runtime.
    pub fn ask(&self, question: &Question) -> Result<Reply, Refusal> {
        // A record or a token that somebody made up must not spend the host's rights on another key.
        if !self.keys.contains(&question.kms_key) {
            let cause = format!("the KMS key {} is not among the configured ones", question.kms_key.as_str());
            return Err(Refusal { reason: KmsRefusal::Denied, cause });
        }
        // On a thread of the runtime, whose stack is deep enough for the client (`main`).
        let call = self.runtime.spawn(call(self.client.clone(), question.clone()));
        self.runtime.block_on(call).unwrap_or_else(|error| {
            let cause = format!("the call was cut off: {error}");
            Err(Refusal { reason: KmsRefusal::Service, cause })
        })
    }
}

async fn call(client: Client, question: Question) -> Result<Reply, Refusal> {
    let (kms_key, user_id) = (question.kms_key.as_str(), question.user_id.as_str());
    match &question.wrapped_key {
        None => {
            let call = client.generate_data_key().key_id(kms_key).key_spec(DataKeySpec::Aes256);
            let call = call.encryption_context(USER_ID, user_id).recipient(recipient(&question));
            let answer = call.send().await.map_err(refusal)?;
            let wrapped_key = answer.ciphertext_blob.map(Blob::into_inner);
            reply(&question, answer.plaintext, answer.key_id, answer.ciphertext_for_recipient, wrapped_key)
        }
        Some(wrapped_key) => {
            let call = client.decrypt().key_id(kms_key).ciphertext_blob(Blob::new(wrapped_key.0.clone()));
            let call = call.encryption_context(USER_ID, user_id).recipient(recipient(&question));
            let answer = call.send().await.map_err(refusal)?;
            let wrapped_key = Some(wrapped_key.0.clone());
            reply(&question, answer.plaintext, answer.key_id, answer.ciphertext_for_recipient, wrapped_key)
        }
    }
}

/// What goes on to the enclave. An answer with a data key in clear is refused whole: whoever sent it is not KMS, or was
/// not asked with Recipient, and this machine must never have seen it.
fn reply(
    question: &Question,
    plaintext: Option<Blob>,
    key_id: Option<String>,
    ciphertext_for_recipient: Option<Blob>,
    wrapped_key: Option<Vec<u8>>,
) -> Result<Reply, Refusal> {
    let service = |cause: &str| Refusal { reason: KmsRefusal::Service, cause: cause.to_owned() };
    if let Some(plaintext) = plaintext.map(Blob::into_inner).filter(|bytes| !bytes.is_empty()) {
        let mut plaintext = plaintext;
        plaintext.zeroize();
        return Err(service(
            "the answer has a data key in clear (Plaintext), and was thrown away: is the endpoint KMS?",
        ));
    }
    if key_id.as_deref() != Some(question.kms_key.as_str()) {
        return Err(service("the answer names another key than was asked for"));
    }
    match (ciphertext_for_recipient.map(Blob::into_inner), wrapped_key) {
        (Some(sealed), Some(wrapped_key)) if !sealed.is_empty() && !wrapped_key.is_empty() => {
            Ok(Reply { ciphertext_for_recipient: Bytes(sealed), wrapped_key: Bytes(wrapped_key) })
        }
        _ => Err(service("the answer has no CiphertextForRecipient or no CiphertextBlob")),
    }
}

fn recipient(question: &Question) -> RecipientInfo {
    RecipientInfo::builder()
        .attestation_document(Blob::new(question.attestation.0.clone()))
        .key_encryption_algorithm(KeyEncryptionMechanism::RsaesOaepSha256)
        .build()
}

fn refusal<E: ProvideErrorMetadata + Error + 'static>(error: SdkError<E>) -> Refusal {
    let code = error.code().unwrap_or_default();
    let reason = match code {
        "InvalidCiphertextException" | "IncorrectKeyException" => KmsRefusal::InvalidCiphertext,
        "AccessDeniedException"
        | "ValidationException"
        | "NotFoundException"
        | "DisabledException"
        | "InvalidKeyUsageException"
        | "KMSInvalidStateException" => KmsRefusal::Denied,
        _ => KmsRefusal::Service,
    };
    let cause = match code {
        "" => causes(&error),
        code => format!("{code}: {}", error.message().unwrap_or_default()),
    };
    Refusal { reason, cause }
}

/// An error and what is behind it, on one line.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text += &format!(": {error}");
        next = error.source();
    }
    text
}

/// The region in `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`.
fn region(key: &KmsKey) -> Option<&str> {
    let parts: Vec<_> = key.as_str().split(':').collect();
    match parts[..] {
        ["arn", _, "kms", region, _, id] if !region.is_empty() && id.starts_with("key/") => Some(region),
        _ => None,
    }
}

/// Whether nobody on the way can read along.
fn is_private(endpoint: &str) -> bool {
    let local = ["http://127.0.0.1:", "http://[::1]:"];
    endpoint.starts_with("https://") || local.iter().any(|start| endpoint.starts_with(start))
}

impl Reply {
    /// As the enclave gets it.
    pub fn into_message(self) -> ToEnclave {
        let Self { ciphertext_for_recipient, wrapped_key } = self;
        ToEnclave::KmsReply { ciphertext_for_recipient, wrapped_key }
    }
}

impl fmt::Display for KmsConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(
                f,
                "the KMS key '{key}' is not arn:aws:kms:REGION:ACCOUNT:key/ID in the region of the first one"
            ),
            Self::Endpoint(endpoint) => {
                write!(f, "the KMS endpoint {endpoint} is neither https:// nor on this machine")
            }
        }
    }
}

impl Error for KmsConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_encrypted_or_here() {
        assert!(is_private("https://vpce-1.kms.eu-central-1.vpce.amazonaws.com"));
        assert!(is_private("http://127.0.0.1:8080"));
        for wrong in
            ["http://127.0.0.1.example.org:80", "http://kms", "http://127.0.0.1@evil:80", "127.0.0.1:1", ""]
        {
            assert!(!is_private(wrong), "{wrong}");
        }
    }

    #[test]
    fn the_region_is_in_the_arn() {
        let region = |text: &str| region(&KmsKey::try_from(text.to_owned()).unwrap()).map(str::to_owned);
        assert_eq!(region("arn:aws:kms:eu-central-1:111122223333:key/1").as_deref(), Some("eu-central-1"));
        for wrong in [
            "arn:aws:kms:eu-central-1:111122223333:alias/x",
            "arn:aws:kms::1:key/1",
            "key/1",
            "arn:aws:s3:r:1:key/1",
        ] {
            assert_eq!(region(wrong), None, "{wrong}");
        }
    }
}
