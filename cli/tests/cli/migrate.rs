//! `trellis migrate softhsm`: a real SoftHSM token into one of Trellis's. With another module there is nothing to test.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::{AuthPin, Date, Ulong};
use serde_json::{Value, json};

use crate::bench::{Bench, Kind, PIN, Run, SO_PIN};
use crate::machine::is_documented;

/// A bench with the empty SoftHSM token `old` and Trellis's token `new`.
fn two_modules() -> Option<Bench> {
    let bench = Bench::empty();
    if bench.kind != Kind::Trellis {
        return None;
    }
    let folder = bench.path("softhsm");
    fs::create_dir(&folder).unwrap();
    bench.write("softhsm2.conf", format!("directories.tokendir = {}\n", folder.display()));
    tool(&bench, "softhsm2-util", &["--init-token", "--free", "--label", "old", "--so-pin", SO_PIN]);
    bench.init("new");
    Some(bench)
}

fn tool(bench: &Bench, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    bench.environment(&mut command);
    let output =
        command.args(arguments).args(["--pin", PIN]).output().expect("softhsm2 and opensc are installed");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn pkcs11_tool(bench: &Bench, arguments: &[&str]) {
    let module = Bench::softhsm();
    let login = ["--module", module.to_str().unwrap(), "--token-label", "old", "--login"];
    tool(bench, "pkcs11-tool", &[&login[..], arguments].concat());
}

/// A key that the command itself makes in the SoftHSM token.
fn generate(bench: &Bench, algorithm: &str, label: &str, more: &[&str]) -> Value {
    let module = Bench::softhsm();
    let make = ["key", "generate", "--module", module.to_str().unwrap(), "--token", "old"];
    bench.user_json(&[&make[..], &["-a", algorithm, "-l", label], more].concat())
}

fn try_migrate(bench: &Bench, more: &[&str]) -> Run {
    let migrate = ["migrate", "softhsm", "--from", "old", "--from-pin-source", "env:TEST_PIN", "--json"];
    bench.run(&[&migrate[..], more].concat())
}

fn migrate(bench: &Bench, code: i32) -> Value {
    let report = try_migrate(bench, &["--to", "new", "--to-pin-source", "env:TEST_PIN"]).expect(code).json();
    is_documented(&report);
    report
}

/// Of each object, by class and label: the result and the proof.
fn results(report: &Value) -> BTreeMap<String, String> {
    let word = |object: &Value, name: &str| object[name].as_str().unwrap_or("-").to_owned();
    let objects = report["objects"].as_array().unwrap();
    let line = |object| {
        let [class, label, result, proof] =
            ["class", "label", "result", "proof"].map(|name| word(object, name));
        (format!("{class} {label}"), format!("{result} {proof}"))
    };
    objects.iter().map(line).collect()
}

fn of<'v>(report: &'v Value, class: &str, label: &str) -> &'v Value {
    let is_it = |object: &&Value| object["class"] == class && object["label"] == label;
    report["objects"].as_array().unwrap().iter().find(is_it).unwrap()
}

/// Every file of SoftHSM's. A login itself counts up the number of 8 bytes that token.object begins with.
fn files(bench: &Bench) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let token = fs::read_dir(bench.path("softhsm")).unwrap().next().unwrap().unwrap().path();
    for entry in fs::read_dir(token).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        found.insert(name.clone(), if name == "token.object" { bytes[8..].to_vec() } else { bytes });
    }
    found
}

/// The key in token `new` signs what OpenSSL verifies with the public key in `file`.
fn signs_for_openssl(bench: &Bench, key: &str, public: &str, more: &[&str]) {
    let message = bench.write("message", key);
    bench.user(&[&["sign", &message, "--key", key, "--out", &bench.arg("signature")][..], more].concat());
    bench.openssl(&["dgst", "-sha256", "-verify", public, "-signature", "signature", "message"]);
}

#[test]
fn all_that_may_leave_a_softhsm_token_is_moved_and_the_source_stays_as_it_was() {
    let Some(bench) = two_modules() else { return };
    // Filled by softhsm2-util (not extractable), by pkcs11-tool and by the command.
    bench.openssl(&["genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "rsa.pem"]);
    bench.p256_pem("ec.pem");
    bench.openssl(&[
        "req",
        "-x509",
        "-key",
        "ec.pem",
        "-subj",
        "/CN=Trellis",
        "-outform",
        "DER",
        "-out",
        "ec.crt",
    ]);
    let import = ["--import", "rsa.pem", "--token", "old", "--label", "util", "--id", "aa"];
    tool(&bench, "softhsm2-util", &import);
    for (name, id) in [("rsa", "21"), ("ec", "22")] {
        let [private, public] = [format!("{name}.der"), format!("{name}.pub.der")];
        let pem = format!("{name}.pem");
        bench.openssl(&["pkey", "-in", &pem, "-outform", "DER", "-out", &private]);
        bench.openssl(&["pkey", "-in", &pem, "-pubout", "-outform", "DER", "-out", &public]);
        bench.openssl(&["pkey", "-in", &pem, "-pubout", "-out", &format!("{name}.pub")]);
        let write = ["--label", name, "--id", id, "--write-object"];
        pkcs11_tool(&bench, &[&write[..], &[&private, "--type", "privkey", "--extractable"]].concat());
        pkcs11_tool(&bench, &[&write[..], &[&public, "--type", "pubkey"]].concat());
    }
    pkcs11_tool(&bench, &["--write-object", "ec.crt", "--type", "cert", "--label", "ec", "--id", "22"]);
    bench.write("data", "some data");
    let data = ["--write-object", "data", "--type", "data", "--label", "data", "--application-label", "app"];
    pkcs11_tool(&bench, &[&data[..], &["--private"]].concat());
    pkcs11_tool(
        &bench,
        &["--keygen", "--key-type", "AES:16", "--label", "aes", "--id", "23", "--extractable"],
    );
    pkcs11_tool(
        &bench,
        &[
            "--keygen",
            "--key-type",
            "GENERIC:33",
            "--label",
            "mac",
            "--id",
            "24",
            "--extractable",
            "--sensitive",
        ],
    );
    pkcs11_tool(
        &bench,
        &["--keygen", "--key-type", "GENERIC:9", "--label", "short", "--id", "25", "--extractable"],
    );
    let p521 = generate(&bench, "ecdsa-p521", "p521", &["--extractable"]);
    generate(&bench, "ecdsa-p384", "pin", &["--extractable", "--context-login"]);
    generate(&bench, "aes-256", "aes-256", &["--extractable"]);
    generate(&bench, "ecdsa-p256", "fixed", &[]);
    generate(&bench, "ed25519", "ed", &["--extractable"]);

    let before = files(&bench);
    let report = migrate(&bench, 1);
    assert!(files(&bench) == before, "SoftHSM's files changed");
    let mut expected: BTreeMap<String, String> = BTreeMap::new();
    for label in ["rsa", "ec", "p521", "pin"] {
        expected.insert(format!("private {label}"), "moved signature".into());
        expected.insert(format!("public {label}"), "moved -".into());
    }
    for label in ["util", "fixed", "ed"] {
        expected.insert(format!("private {label}"), "not-moved -".into());
        expected.insert(format!("public {label}"), "not-moved -".into());
    }
    for (object, result) in [
        ("secret aes", "moved encryption"),
        ("secret aes-256", "moved encryption"),
        ("secret mac", "moved mac"),
        ("secret short", "moved value"),
        ("certificate ec", "moved -"),
        ("data data", "moved -"),
    ] {
        expected.insert(object.into(), result.into());
    }
    assert_eq!(results(&report), expected);
    assert_eq!(
        (&report["moved"], &report["already_there"], &report["not_moved"]),
        (&json!(14), &json!(0), &json!(6))
    );
    for (label, why) in [
        ("util", "CKA_EXTRACTABLE"),
        ("fixed", "CKA_EXTRACTABLE"),
        ("ed", "does not wrap a key of this kind"),
    ] {
        let reason = of(&report, "private", label)["reason"].as_str().unwrap();
        assert!(reason.contains(why), "{label}: {reason}");
        assert!(of(&report, "private", label)["remedy"].as_str().unwrap().contains("--adopt"));
    }

    let notes = of(&report, "private", "rsa")["notes"].to_string();
    assert!(notes.contains("does not decrypt"), "{notes}");

    // What is there now is the same keys, no weaker.
    let show = |key: &str| bench.user_json(&["key", "show", key]);
    let moved = show("p521");
    for same in ["id", "label", "public_key", "uses", "extractable", "sensitive", "always_authenticate"] {
        assert_eq!(moved[same], p521[same], "{same}");
    }
    assert_eq!((&moved["never_extractable"], &moved["always_sensitive"]), (&json!(false), &json!(false)));
    assert_eq!(show("pin")["always_authenticate"], true);
    assert_eq!(show("ec")["objects"], json!(["private", "public", "certificate"]));
    assert_eq!((&show("mac")["sensitive"], &show("aes")["sensitive"]), (&json!(true), &json!(false)));
    signs_for_openssl(&bench, "rsa", "rsa.pub", &[]);
    signs_for_openssl(&bench, "ec", "ec.pub", &["--der"]);
    let module = bench.module.clone();
    let read = ["--module", module.to_str().unwrap(), "--token-label", "new", "--login", "--read-object"];
    let data = ["--type", "data", "--label", "data", "--application-label", "app", "-o", "read"];
    tool(&bench, "pkcs11-tool", &[&read[..], &data].concat());
    assert_eq!(bench.read("read"), b"some data");

    // A second run finds all of it.
    let again = migrate(&bench, 1);
    assert_eq!(
        (&again["moved"], &again["already_there"], &again["not_moved"]),
        (&json!(0), &json!(14), &json!(6))
    );
    assert_eq!(results(&again)["private rsa"], "already-there signature");
    assert_eq!(bench.user_json(&["key", "list"])["keys"].as_array().unwrap().len(), 8);
    assert!(files(&bench) == before, "SoftHSM's files changed");

    // For people, with the reasons and what to do.
    let text = ["migrate", "softhsm", "--from", "old", "--from-pin-source", "env:TEST_PIN", "--to", "new"];
    let text = bench.run(&[&text[..], &["--to-pin-source", "env:TEST_PIN"]].concat()).expect(1).text();
    for words in ["NOT MOVED", "CKA_EXTRACTABLE is false", "try: ", "14 were there already, 6 could not move"]
    {
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn a_token_that_moves_whole_ends_with_zero() {
    let Some(bench) = two_modules() else { return };
    assert_eq!(migrate(&bench, 0)["objects"], json!([]));
    generate(&bench, "rsa-2048", "k", &["--extractable"]);
    assert_eq!(migrate(&bench, 0)["moved"], 2);
    assert_eq!(migrate(&bench, 0)["already_there"], 2);
    // Another key under its id is left as it is.
    bench.user(&["key", "delete", "k", "--yes"]);
    let id = generate(&bench, "ecdsa-p256", "l", &["--extractable"])["id"].as_str().unwrap().to_owned();
    bench.user(&["key", "generate", "-a", "ecdsa-p256", "-l", "other", "--id", &id]);
    let report = migrate(&bench, 1);
    assert!(of(&report, "private", "l")["reason"].as_str().unwrap().contains("another key"), "{report}");
    assert_eq!(of(&report, "private", "k")["result"], "moved");
}

#[test]
fn a_copy_without_proof_does_not_stay() {
    let Some(bench) = two_modules() else { return };
    let id = generate(&bench, "ecdsa-p256", "k", &["--extractable"])["id"].as_str().unwrap().to_owned();
    // Somebody else's public key beside the private one.
    bench.p256_pem("other.pem");
    bench.openssl(&["pkey", "-in", "other.pem", "-pubout", "-outform", "DER", "-out", "other.der"]);
    let module = Bench::softhsm();
    let delete = ["key", "delete", "pkcs11:object=k;type=public", "--module", module.to_str().unwrap()];
    bench.user(&[&delete[..], &["--token", "old", "--yes"]].concat());
    pkcs11_tool(&bench, &["--write-object", "other.der", "--type", "pubkey", "--label", "k", "--id", &id]);
    let report = migrate(&bench, 1);
    let reason = of(&report, "private", "k")["reason"].as_str().unwrap();
    assert!(reason.contains("not its public half"), "{reason}");
    assert_eq!(bench.user_json(&["key", "list"])["keys"], json!([]));
}

#[test]
fn what_is_not_there_is_named() {
    let Some(bench) = two_modules() else { return };
    let to = ["--to", "new", "--to-pin-source", "env:TEST_PIN"];
    try_migrate(&bench, &[&to[..], &["--from-module", "/nowhere.so"]].concat()).expect(5).says("/nowhere.so");
    try_migrate(&bench, &["--to", "nobody", "--to-pin-source", "env:TEST_PIN"]).expect(4).says("`new`");
    try_migrate(&bench, &[]).expect(2).says("--to");
    let from = ["migrate", "softhsm", "--from", "nobody", "--from-pin-source", "env:TEST_PIN"];
    bench.run(&[&from[..], &to].concat()).expect(4).says("SoftHSM").says("`old`");
    let wrong = ["migrate", "softhsm", "--from", "old", "--from-pin-source", "env:TEST_WRONG_PIN"];
    bench.run(&[&wrong[..], &to].concat()).expect(3).says("token `old`");
    bench.write("softhsm2.conf", "directories.tokendir = /nowhere\n");
    try_migrate(&bench, &to).expect_failure().says("SOFTHSM2_CONF");
}

/// Keys that no tool makes, made and looked at by this test in processes of its own: SoftHSM finds its configuration in the
/// environment alone.
#[test]
fn what_is_not_sensitive_stays_so_and_what_is_limited_stays_limited() {
    const ROLE: &str = "TRELLIS_TEST_ROLE";
    match std::env::var(ROLE).as_deref() {
        Ok("fill") => return fill(),
        Ok("look") => return look(),
        _ => {}
    }
    let Some(bench) = two_modules() else { return };
    let play = |role: &str| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        bench.environment(&mut child);
        let test = "migrate::what_is_not_sensitive_stays_so_and_what_is_limited_stays_limited";
        let output = child.env(ROLE, role).args(["--exact", test]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{role}: {said}");
    };
    play("fill");
    let before = files(&bench);
    let report = migrate(&bench, 1);
    assert!(files(&bench) == before);
    for label in ["rsa", "ec", "ed25519"] {
        assert_eq!(results(&report)[&format!("private {label}")], "moved signature", "{report}");
        let key = bench.user_json(&["key", "show", label]);
        assert_eq!((&key["sensitive"], &key["extractable"]), (&json!(false), &json!(true)), "{label}");
    }
    assert_eq!(results(&report)["private limited"], "moved signature", "{report:#}");
    play("look");
    // SoftHSM does not show the dates of a private object.
    let notes = of(&report, "private", "limited")["notes"].to_string();
    assert!(notes.contains("CKA_START_DATE") && notes.contains("CKA_END_DATE"), "{notes}");
    // What the key may do is not widened, and what the target cannot do is said.
    let decrypts = of(&report, "private", "decrypts")["reason"].as_str().unwrap();
    assert!(decrypts.contains("does not decrypt with RSA"), "{decrypts}");
    let agrees = of(&report, "private", "agrees")["reason"].as_str().unwrap();
    assert!(agrees.contains("key agreement"), "{agrees}");
    assert_eq!(report["not_moved"], 4);

    // Between two SoftHSM tokens these uses are proven, too.
    tool(&bench, "softhsm2-util", &["--init-token", "--free", "--label", "other", "--so-pin", SO_PIN]);
    for (label, proof) in [("decrypts", "decryption"), ("agrees", "agreement")] {
        let module = Bench::softhsm();
        let to =
            ["key", "move", label, "--module", module.to_str().unwrap(), "--token", "old", "--to", "other"];
        let report = bench.user_json(&[&to[..], &["--to-pin-source", "env:TEST_PIN"]].concat());
        assert_eq!(results(&report)[&format!("private {label}")], format!("moved {proof}"));
    }
}

fn logged_in(module: impl AsRef<Path>) -> Session {
    let pkcs11 = Pkcs11::new(module).unwrap();
    pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
    let session = pkcs11.open_rw_session(slot).unwrap();
    session.login(UserType::User, Some(&AuthPin::from(PIN))).unwrap();
    session
}

/// What may be done with the key `limited`.
fn limits() -> [Attribute; 1] {
    [Attribute::AllowedMechanisms(vec![MechanismType::ECDSA])]
}

/// When it may be used.
fn dates() -> [Attribute; 2] {
    let date = |year: &str| Date::new_from_str_slice(year, "01", "31").unwrap();
    [Attribute::StartDate(date("2026")), Attribute::EndDate(date("2036"))]
}

fn look() {
    let session = logged_in(std::env::var_os("TRELLIS_MODULE").unwrap());
    let has = |class, wanted: &[Attribute]| {
        let found = session.find_objects(&[Attribute::Class(class), Attribute::Label("limited".into())]);
        let [key] = found.unwrap()[..] else { panic!("there is one") };
        let kinds: Vec<_> = wanted.iter().map(Attribute::attribute_type).collect();
        assert_eq!(session.get_attributes(key, &kinds).unwrap(), wanted);
        key
    };
    has(ObjectClass::PUBLIC_KEY, &dates());
    let key = has(ObjectClass::PRIVATE_KEY, &limits());
    assert!(session.sign(&Mechanism::EcdsaSha256, key, b"message").is_err());
    session.sign(&Mechanism::Ecdsa, key, &[7; 32]).unwrap();
}

fn fill() {
    let session = logged_in(Bench::softhsm());
    let p256 = || Attribute::EcParams(vec![0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
    let ed25519 = || Attribute::EcParams(vec![0x06, 3, 0x2b, 0x65, 0x70]);
    let rsa = || Attribute::ModulusBits(Ulong::new(2048));
    let make = |label: &str, mechanism, size, uses: [bool; 3], more: &[Attribute]| {
        let name = [Attribute::Token(true), Attribute::Label(label.into()), Attribute::Id(label.into())];
        let [sign, decrypt, derive] = uses;
        let mut public = name.to_vec();
        public.extend([size, Attribute::Verify(sign), Attribute::Encrypt(decrypt)]);
        let mut private = name.to_vec();
        private.extend([Attribute::Sensitive(false), Attribute::Extractable(true), Attribute::Private(true)]);
        private.extend([Attribute::Sign(sign), Attribute::Decrypt(decrypt), Attribute::Derive(derive)]);
        private.extend_from_slice(more);
        if !more.is_empty() {
            public.extend(dates());
            private.extend(dates());
        }
        session.generate_key_pair(&mechanism, &public, &private).unwrap();
    };
    make("rsa", Mechanism::RsaPkcsKeyPairGen, rsa(), [true, true, false], &[]);
    make("ec", Mechanism::EccKeyPairGen, p256(), [true, false, true], &[]);
    make("ed25519", Mechanism::EccEdwardsKeyPairGen, ed25519(), [true, false, false], &[]);
    make("limited", Mechanism::EccKeyPairGen, p256(), [true, false, false], &limits());
    make("decrypts", Mechanism::RsaPkcsKeyPairGen, rsa(), [false, true, false], &[]);
    make("agrees", Mechanism::EccKeyPairGen, p256(), [false, false, true], &[]);
}

/// Trellis in front of SoftHSM: the slot is added, every key is checked through it, and a second run finds it there.
#[test]
fn an_adopted_token_is_used_through_a_slot_of_its_own() {
    let Some(bench) = two_modules() else { return };
    generate(&bench, "ed25519", "ed", &[]);
    generate(&bench, "ecdsa-p256", "ec", &[]);
    generate(&bench, "aes-256", "aes", &[]);
    let before = files(&bench);
    let slots = bench.read("trellis.toml");
    try_migrate(&bench, &["--adopt", "--to-pin-source", "env:TEST_WRONG_PIN"]).expect(3);
    assert_eq!(bench.read("trellis.toml"), slots);
    for added in [true, false] {
        let report = try_migrate(&bench, &["--adopt"]).expect(0).json();
        is_documented(&report);
        assert_eq!((&report["added"], &report["slot_id"]), (&json!(added), &json!(3)));
        let results = results(&report);
        for label in ["ed", "ec"] {
            assert_eq!(results[&format!("private {label}")], "usable signature", "{report}");
        }
        assert_eq!((results["secret aes"].as_str(), results.len()), ("usable -", 5));
    }
    // Trellis adds its own key for what SoftHSM cannot do, and touches nothing else.
    let after = files(&bench);
    for (name, bytes) in before.iter().filter(|(name, _)| Path::new(name).extension().is_some()) {
        assert!(after[name] == *bytes, "{name} changed");
    }
    let sign = bench.write("message", "adopted");
    bench.user(&["sign", &sign, "-k", "ec", "--token", "old", "--der", "-o", &bench.arg("signature")]);
    bench.ok(&["key", "export-public", "ec", "--token", "old", "-o", &bench.arg("ec.pub")]);
    bench.openssl(&["dgst", "-sha256", "-verify", "ec.pub", "-signature", "signature", "message"]);
    let text = ["migrate", "softhsm", "--from", "old", "--adopt"];
    let text = bench.ok(&[&text[..], &["--from-pin-source", "env:TEST_PIN"]].concat()).text();
    assert!(text.contains("all of it can be used through Trellis"), "{text}");
}
