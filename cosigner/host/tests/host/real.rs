//! The whole chain: the host, the KMS double, and the real enclave's program over an emulated NSM, each a process.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    num::NonZeroU32,
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use algorithms::{
    PublicKey, Signing, ed25519,
    ml_dsa::{self, Hedging, ParameterSet},
};
use attest::{
    Pcr, Policy,
    birth::{Claims, Layout},
    sha256,
};
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    signature::{Ed25519KeyPair, KeyPair},
};
use clap::Parser;
use cosigner_host::{Record, Records};
use cosigner_protocol::{
    Address, Algorithm, Bytes, KmsKey, Secret, Timeouts, Transport,
    message::{Class, FromEnclave, Layer, Request, Response, SealedKey, ToEnclave},
};
use document_maker::Authority;
use enclave::{Options, emulated::Emulated, serve};

use crate::parts::{Client, Double, Host, KEY, LONG, child, failed, is_key, no_record, signing, user};

#[derive(Parser)]
struct CommandLine {
    #[arg(long)]
    nsm: std::path::PathBuf,
    /// All of PCR0 is this byte, where another image is meant.
    #[arg(long, default_value_t = 0x10)]
    image: u8,
    #[command(flatten)]
    options: Options,
}

/// What a child process does that is to be an enclave.
pub(crate) fn enclave(arguments: &[String]) {
    let line = CommandLine::parse_from(arguments);
    let nsm = Emulated::open(&line.nsm, &[(0, [line.image; 48])]).unwrap();
    serve(Box::new(nsm), &line.options.begin().unwrap()).unwrap();
}

/// All three processes.
struct Chain {
    host: Host,
    enclave: Enclave,
    double: Double,
    folder: tempfile::TempDir,
    root: [u8; 32],
}

struct Enclave(Child);

impl Enclave {
    /// Every signature asks KMS.
    fn start(folder: &Path, image: u8) -> Self {
        let socket = folder.join("enclave");
        let _ = std::fs::remove_file(&socket);
        let (listen, image) = (format!("unix:{}", socket.display()), image.to_string());
        let nsm = folder.join("nsm");
        let nsm = nsm.to_str().unwrap();
        let arguments = [
            "enclave",
            "--nsm",
            nsm,
            "--listen",
            &listen,
            "--image",
            &image,
            "--keep-open",
            "0",
            "--until-eof",
        ];
        let mut child = child(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening") {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the enclave did not start");
        }
        // What it says later must not fill the pipe.
        thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        Self(child)
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Enclave {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Chain {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let root = Authority::open(&folder.path().join("nsm"), now).unwrap().root_sha256();
        let double = Double::start(&folder, &root);
        let enclave = Enclave::start(folder.path(), 0x10);
        let host = Host::start(&folder, &double.endpoint, "host");
        Self { host, enclave, double, folder, root }
    }

    fn client(&self) -> Client {
        self.host.client()
    }

    fn records(&self) -> Records {
        Records::open(&self.folder.path().join("records")).unwrap()
    }

    /// Another image from now on, or the same again.
    fn restart(&mut self, image: u8) {
        self.enclave.kill();
        self.enclave = Enclave::start(self.folder.path(), image);
    }
}

/// Whether it is a signature of `a message` by the key, by the algorithms' own code.
fn verify(key: &Response, signature: &Response) {
    let (Response::Key { key, .. }, Response::Signature { signature }) = (key, signature) else {
        panic!("{key:?} {signature:?}")
    };
    let bytes = &key.public_key.0;
    let ml_dsa = |set| PublicKey::MlDsa(ml_dsa::PublicKey::from_bytes(set, bytes).unwrap());
    let public = match key.algorithm {
        Algorithm::MlDsa44 => ml_dsa(ParameterSet::MlDsa44),
        Algorithm::MlDsa65 => ml_dsa(ParameterSet::MlDsa65),
        Algorithm::MlDsa87 => ml_dsa(ParameterSet::MlDsa87),
        Algorithm::Ed25519 => PublicKey::Ed25519(ed25519::PublicKey::from_bytes(bytes).unwrap()),
    };
    let message = b"a message";
    let signing = match key.algorithm {
        Algorithm::Ed25519 => Signing::Ed25519(ed25519::Input::Pure(message)),
        _ => {
            let input = ml_dsa::Input::Message { context: b"", message };
            Signing::MlDsa { input, hedging: Hedging::Hedged }
        }
    };
    public.verify(signing, &signature.0).unwrap();
}

#[test]
fn keys_of_every_algorithm_are_born_sign_and_outlive_everybody() {
    let mut chain = Chain::new();
    let mut client = chain.client();
    let keys: Vec<_> = Algorithm::ALL
        .iter()
        .map(|algorithm| {
            client.ask(&Request::Generate { user_id: user(algorithm.name()), algorithm: *algorithm })
        })
        .collect();
    for key in &keys {
        let Response::Key { key, kms_key, wrapped_key, birth_attestation } = key else { panic!("{key:?}") };
        let pcrs = BTreeMap::from([(0, Pcr::new([0x10; 48]))]);
        let policy =
            Policy { root: chain.root, pcrs: &pcrs, allow_debug: false, nonce: None, freshness: None };
        let document = policy.verify(&birth_attestation.0).unwrap();
        let claims = Claims {
            public_key_sha256: sha256(&key.public_key.0),
            wrapped_key_sha256: sha256(&wrapped_key.0),
            user_id: key.algorithm.name(),
            kms_key: KEY,
            algorithm: key.algorithm.name(),
        };
        assert_eq!(kms_key.as_str(), KEY);
        claims.verify(&document, Layout::V1).unwrap();
        verify(&client.public_key(claims.user_id), &client.sign(claims.user_id));
    }
    // Host and enclave are killed and started again, in the middle of nothing.
    chain.restart(0x10);
    chain.host.kill();
    chain.host = Host::start(&chain.folder, &chain.double.endpoint, "host");
    let mut client = chain.client();
    for key in &keys {
        let Response::Key { key: public, .. } = key else { panic!("{key:?}") };
        let name = public.user_id.as_str();
        assert_eq!(&client.public_key(name), key);
        verify(key, &client.sign(name));
    }
    assert_eq!(chain.double.calls("GenerateDataKey"), 4);
}

#[test]
fn whatever_is_exchanged_in_a_record_is_refused_with_its_reason() {
    let chain = Chain::new();
    let mut client = chain.client();
    for name in ["alice", "bob"] {
        assert!(is_key(&client.generate(name)));
    }
    let records = chain.records();
    let of = |name: &str| records.find(&user(name)).unwrap().unwrap();
    let (alice, bob) = (of("alice"), of("bob"));
    let mut sign_with = |change: &dyn Fn(&mut SealedKey)| {
        let mut record = alice.clone();
        change(&mut record.key);
        assert!(records.destroy(&user("alice")).unwrap());
        assert!(records.insert(&record).unwrap());
        client.sign("alice")
    };
    let refused = |layer| failed(Class::SigningFailed, layer);
    let bobs = &bob.key;
    assert_eq!(sign_with(&|key| key.wrapped_key = bobs.wrapped_key.clone()), refused(Layer::KmsContext));
    assert_eq!(sign_with(&|key| key.sealed_key = bobs.sealed_key.clone()), refused(Layer::Sealing));
    assert_eq!(sign_with(&|key| key.public_key = bobs.public_key.clone()), refused(Layer::Sealing));
    assert_eq!(sign_with(&|key| *key.sealed_key.0.last_mut().unwrap() ^= 1), refused(Layer::Sealing));
    assert_eq!(
        sign_with(&|key| *key = SealedKey { user_id: key.user_id.clone(), ..bobs.clone() }),
        refused(Layer::KmsContext)
    );
    let signed = sign_with(&|_| ());
    verify(&client.public_key("alice"), &signed);
}

#[test]
fn another_image_opens_nothing_and_harms_nothing() {
    let mut chain = Chain::new();
    let mut client = chain.client();
    let key = client.generate("me");
    assert!(is_key(&key));
    chain.restart(0x11);
    let denied = failed(Class::SigningFailed, Layer::KmsAttestation);
    assert_eq!(client.sign("me"), denied);
    assert_eq!(client.generate("you"), denied);
    assert_eq!(client.public_key("you"), no_record());
    chain.restart(0x10);
    verify(&key, &client.sign("me"));
}

#[test]
fn an_enclave_that_is_killed_within_a_request_loses_nothing() {
    let mut chain = Chain::new();
    let host = &chain.host;
    for (round, request) in [
        (0, Request::Generate { user_id: user("me"), algorithm: Algorithm::MlDsa65 }),
        (1, signing("me", b"a message")),
    ] {
        chain.double.command("hold");
        let answer = thread::scope(|scope| {
            let asking = scope.spawn(|| host.client().ask(&request));
            // The enclave has asked KMS; it dies before it hears from it, and another one is asked anew.
            chain.double.wait_for(1);
            chain.enclave.kill();
            chain.enclave = Enclave::start(chain.folder.path(), 0x10);
            chain.double.command("release");
            asking.join().unwrap()
        });
        match round {
            0 => assert_eq!(answer, host.client().public_key("me")),
            _ => verify(&host.client().public_key("me"), &answer),
        }
    }
    assert!(chain.double.calls("GenerateDataKey") >= 2);
}

#[test]
fn an_answer_with_a_data_key_in_clear_makes_no_key() {
    let mut chain = Chain::new();
    let mut client = chain.client();
    assert!(is_key(&client.generate("me")));
    let refused = failed(Class::InternalError, Layer::KmsService);
    for mode in ["plaintext", "both"] {
        chain.double.command(mode);
        assert_eq!(client.generate("you"), refused);
        assert_eq!(client.sign("me"), refused);
    }
    assert_eq!(client.public_key("you"), no_record());
}

#[test]
fn a_token_opens_with_its_pin_only() {
    let chain = Chain::new();
    let mut client = chain.client();
    let secret = |byte| Secret::new(vec![byte; 32]);
    let tries = NonZeroU32::new(2).unwrap();
    let keep = Request::KeepToken { user_id: user("token"), token_key: secret(7), pin: secret(1), tries };
    let Response::TokenKept { token } = client.ask(&keep) else { panic!("it was not kept") };
    let mut open =
        |token: &_, pin| client.ask(&Request::OpenToken { token: Clone::clone(token), pin: secret(pin) });
    assert_eq!(open(&token, 1), Response::TokenOpened { token_key: secret(7) });
    assert_eq!(open(&token, 2), Response::PinIncorrect {});
    assert_eq!(open(&token, 1), Response::TokenOpened { token_key: secret(7) });
    let mut other = token.clone();
    other.user_id = user("another token");
    assert_eq!(open(&other, 1), failed(Class::SigningFailed, Layer::KmsContext));
    let mut other = token.clone();
    other.sealed_token = Bytes(vec![0; token.sealed_token.0.len()]);
    assert!(matches!(open(&other, 1), Response::Failed(_)));
    let mut other = token.clone();
    other.kms_key = KmsKey::try_from(crate::parts::OTHER_KEY.to_owned()).unwrap();
    assert_eq!(open(&other, 1), failed(Class::SigningFailed, Layer::KmsAttestation));
    assert_eq!(open(&token, 2), Response::PinIncorrect {});
    assert_eq!(open(&token, 2), Response::PinIncorrect {});
    assert_eq!(open(&token, 1), Response::PinLocked {});
}

/// What docs/threat-model.md says of a host that is hostile when a key is made: it learns the key, and cannot hide it later.
#[test]
fn a_key_born_under_a_hosts_own_data_key_is_known_to_it_and_signs_nowhere_else() {
    let chain = Chain::new();
    let (mut client, records) = (chain.client(), chain.records());
    let make = || Request::Generate { user_id: user("me"), algorithm: Algorithm::Ed25519 };
    // A wrapped key for the same user, honestly come by.
    assert!(is_key(&client.ask(&make())));
    let wrapped_key = records.find(&user("me")).unwrap().unwrap().key.wrapped_key;
    assert!(records.destroy(&user("me")).unwrap());

    // The hostile host answers in place of KMS.
    let address = Address::Unix(chain.folder.path().join("enclave"));
    let mut enclave = Transport::connect(&address, Timeouts { connect: LONG, frame: LONG }).unwrap();
    let kms_key = KmsKey::try_from(KEY.to_owned()).unwrap();
    let request = ToEnclave::Generate { user_id: user("me"), algorithm: Algorithm::Ed25519, kms_key };
    let FromEnclave::KmsGenerateDataKey { attestation, .. } = enclave.ask(&request).unwrap() else {
        panic!("no question")
    };
    let pcrs = BTreeMap::new();
    let policy = Policy { root: chain.root, pcrs: &pcrs, allow_debug: false, nonce: None, freshness: None };
    let document = policy.verify(&attestation.0).unwrap();
    let own = [0x5a; 32];
    let envelope = kms_double::envelope::seal(document.public_key().unwrap(), &own).unwrap();
    enclave.say(&ToEnclave::KmsReply { ciphertext_for_recipient: Bytes(envelope), wrapped_key }).unwrap();
    let FromEnclave::Generated { key, birth_attestation, enclave_version } = enclave.hear().unwrap() else {
        panic!("no key")
    };

    // It opens the sealed key, as docs/formats.md says.
    let text16 =
        |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat();
    let name = key.algorithm.name();
    let bound = [
        b"pqs-aad\0\x01".to_vec(),
        text16("me"),
        vec![u8::try_from(name.len()).unwrap()],
        name.into(),
        sha256(&key.public_key.0).to_vec(),
        text16(KEY),
    ];
    let (nonce, sealed) = key.sealed_key.0[1..].split_at(12);
    let mut seed = sealed.to_vec();
    let opener = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &own).unwrap());
    let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
    let seed = opener.open_in_place(nonce, Aad::from(bound.concat()), &mut seed).unwrap();
    let stolen = Ed25519KeyPair::from_seed_unchecked(seed).unwrap();
    assert_eq!(stolen.public_key().as_ref(), key.public_key.0);

    // Where somebody else stands between the enclave and KMS, the key does not sign.
    assert!(records.insert(&Record { key, birth_attestation, enclave_version }).unwrap());
    assert!(is_key(&client.public_key("me")));
    assert_eq!(client.sign("me"), failed(Class::SigningFailed, Layer::Sealing));
}
