//! An enclave's process with a root of its own, the KMS that trusts that root, and the host between them.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use cosigner_protocol::{
    Address, Algorithm, Bytes, KmsKey, Secret, Timeouts, Transport, UserId,
    message::{Class, Failure, FromEnclave, Input, Layer, SealedKey, ToEnclave},
};
use document_maker::Authority;

use crate::kms::Kms;

pub(crate) struct World {
    directory: tempfile::TempDir,
    options: Vec<String>,
    pub(crate) kms: Kms,
    pub(crate) root: [u8; 32],
    enclave: Option<Child>,
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::try_from(name.to_owned()).unwrap()
}

pub(crate) fn kms_key() -> KmsKey {
    KmsKey::try_from("arn:aws:kms:eu-central-1:111122223333:key/k".to_owned()).unwrap()
}

pub(crate) fn text(message: &str) -> Input {
    Input::Message { context: Bytes::default(), message: Secret::new(message.as_bytes().to_vec()) }
}

impl World {
    pub(crate) fn new(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let root = Authority::open(&directory.path().join("nsm"), now).unwrap().root_sha256();
        let options = options.iter().map(ToString::to_string).collect();
        let mut world = Self { directory, options, kms: Kms::new(root), root, enclave: None };
        world.start();
        world
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("enclave")
    }

    fn start(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        let mut child = Command::new(env!("CARGO_BIN_EXE_trellis-enclave-emulated"))
            .arg("--nsm")
            .arg(self.directory.path().join("nsm"))
            .arg(format!("--listen=unix:{}", self.socket().display()))
            .arg("--until-eof")
            .args(&self.options)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let listens = lines.find(|line| line.contains("listening"));
        assert!(listens.is_some(), "the enclave did not start");
        // Its log must not fill the pipe.
        std::thread::spawn(move || lines.for_each(|line| eprintln!("{line}")));
        self.enclave = Some(child);
    }

    /// kill -9, and another start.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.start();
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut enclave) = self.enclave.take() {
            enclave.kill().unwrap();
            enclave.wait().unwrap();
        }
    }

    pub(crate) fn address(&self) -> Address {
        Address::Unix(self.socket())
    }

    pub(crate) fn connect(&self) -> Transport {
        Transport::connect(&self.address(), Timeouts::default()).unwrap()
    }

    /// Asks as an honest host does, and counts the questions to KMS.
    pub(crate) fn ask_counting(&self, request: &ToEnclave) -> (FromEnclave, u32) {
        let mut transport = self.connect();
        let mut questions = 0;
        let mut heard: FromEnclave = transport.ask(request).unwrap();
        while let FromEnclave::KmsGenerateDataKey { .. } | FromEnclave::KmsDecryptDataKey { .. } = heard {
            transport.say(&self.kms.answer(&heard)).unwrap();
            questions += 1;
            heard = transport.hear().unwrap();
        }
        (heard, questions)
    }

    pub(crate) fn ask(&self, request: &ToEnclave) -> FromEnclave {
        self.ask_counting(request).0
    }

    /// A key and its birth attestation.
    pub(crate) fn generate(&self, name: &str, algorithm: Algorithm) -> (SealedKey, Bytes) {
        let request = ToEnclave::Generate { user_id: user(name), algorithm, kms_key: kms_key() };
        match self.ask(&request) {
            FromEnclave::Generated { key, birth_attestation, .. } => (key, birth_attestation),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn sign(&self, key: &SealedKey, input: Input) -> Result<Vec<u8>, (Class, Layer)> {
        signature(self.ask(&sign(key, input)))
    }
}

pub(crate) fn sign(key: &SealedKey, input: Input) -> ToEnclave {
    ToEnclave::Sign { key: key.clone(), input, deterministic: false }
}

pub(crate) fn signature(answer: FromEnclave) -> Result<Vec<u8>, (Class, Layer)> {
    match answer {
        FromEnclave::Signature { signature } => Ok(signature.0),
        FromEnclave::Failed(Failure { class, layer }) => Err((class, layer)),
        other => panic!("{other:?}"),
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill();
    }
}
