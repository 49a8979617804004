//! A double in this process, and the plainest client of it. (The host's tests use AWS' own client and a process.)

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rsa::{KeySize, PrivateDecryptingKey},
};
use base64ct::{Base64, Encoding};
use document_maker::{Authority, Draft};
use kms_double::{Arn, Faults, Keys, Policy, Server, Service};
use serde_json::{Value, json};

pub(crate) const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0000-4000-8000-00000000000a";
pub(crate) const OTHER_KEY: &str =
    "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0000-4000-8000-00000000000b";
pub(crate) const CALLER: &str = "arn:aws:iam::111122223333:role/parent";

/// An enclave's side: who vouches for it, and its key.
pub(crate) struct Enclave {
    pub(crate) authority: Authority,
    pub(crate) key: PrivateDecryptingKey,
}

impl Enclave {
    pub(crate) fn new() -> Self {
        // Ten minutes old, so that a document may be older than KMS takes.
        let authority = Authority::new(now() / 1000 - 600);
        Self { authority, key: PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap() }
    }

    pub(crate) fn public_key(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = self.key.public_key().as_der().unwrap();
        der.as_ref().to_vec()
    }

    pub(crate) fn draft(&self) -> Draft {
        let mut draft = Draft::new(now());
        draft.public_key = Some(self.public_key());
        draft
    }

    pub(crate) fn recipient(&self, draft: &Draft) -> Value {
        recipient(&draft.sign(&self.authority))
    }

    /// The PCR0 of a draft, as a policy has it.
    pub(crate) fn pcr0(&self) -> String {
        "10".repeat(48)
    }
}

pub(crate) fn recipient(document: &[u8]) -> Value {
    json!({
        "AttestationDocument": Base64::encode_string(document),
        "KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
    })
}

pub(crate) fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Only an enclave with these registers may use the key for its data keys.
pub(crate) fn policy(conditions: &Value) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "Data keys",
            "Effect": "Allow",
            "Principal": {"AWS": CALLER},
            "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
            "Resource": "*",
            "Condition": conditions,
        }],
    })
}

pub(crate) fn start(enclave: &Enclave, policy: &Value) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::open(&folder.path().join("keys"), &[arn(KEY), arn(OTHER_KEY)]).unwrap();
    let policy = Policy::parse(policy.to_string().as_bytes()).unwrap();
    let root = enclave.authority.root_sha256();
    let (caller, faults) = (CALLER.to_owned(), Faults::default());
    Server::start(Service { keys, policy, root, caller, faults }).unwrap()
}

pub(crate) fn arn(text: &str) -> Arn {
    text.parse().unwrap()
}

/// One call: the status and the answer.
pub(crate) fn call(server: &Server, operation: &str, body: &Value) -> (u16, Value) {
    let (status, body) =
        post(server, &format!("X-Amz-Target: TrentService.{operation}\r\n{SIGNED}"), &body.to_string());
    (status, serde_json::from_str(&body).unwrap())
}

pub(crate) const SIGNED: &str = "Authorization: AWS4-HMAC-SHA256 Credential=x\r\n";

/// A call with any headers: the status, or 0 for an answer that is cut off in its head, and the body.
pub(crate) fn post(server: &Server, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server.endpoint().strip_prefix("http://").unwrap()).unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: kms\r\nContent-Type: application/x-amz-json-1.1\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.get(9..12).map_or(0, |status| status.parse().unwrap());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    (status, body.unwrap_or_default())
}

/// The bytes of a member.
pub(crate) fn bytes(answer: &Value, member: &str) -> Vec<u8> {
    let text = answer[member].as_str().unwrap_or_else(|| panic!("no {member} in {answer}"));
    Base64::decode_vec(text).unwrap()
}

/// The code of an error.
pub(crate) fn code(answer: &(u16, Value)) -> &str {
    answer.1["__type"].as_str().unwrap_or_else(|| panic!("no error: {answer:?}"))
}
