//! `trellis key move`: between two tokens of one module, with any module; and between stores of Trellis's.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fips204::ml_dsa_65;
use fips204::traits::{KeyGen, SerDes, Verifier};
use serde_json::{Value, json};

use crate::bench::{Bench, Kind, PIN, Run, WITH_PIN};
use crate::machine::is_documented;

const WITH_TO_PIN: [&str; 2] = ["--to-pin-source", "env:TEST_PIN"];

/// A module with the tokens `a` and `b`.
fn two_tokens() -> Bench {
    let bench = Bench::empty();
    bench.init("a");
    bench.init("b");
    bench
}

fn generate(bench: &Bench, algorithm: &str, label: &str, more: &[&str]) -> Value {
    let make = ["key", "generate", "--token", "a", "--extractable", "-a", algorithm, "-l", label];
    bench.user_json(&[&make[..], more].concat())
}

fn try_move(bench: &Bench, key: &str, from: &str, to: &str, more: &[&str]) -> Run {
    let arguments = ["key", "move", key, "--token", from, "--to", to, "--json"];
    bench.run(&[&arguments[..], more, &WITH_PIN, &WITH_TO_PIN].concat())
}

fn moved(bench: &Bench, key: &str, from: &str, to: &str, more: &[&str]) -> Value {
    let report = try_move(bench, key, from, to, more).expect(0).json();
    is_documented(&report);
    report
}

fn show(bench: &Bench, key: &str, token: &str) -> Value {
    bench.user_json(&["key", "show", key, "--token", token])
}

fn keys(bench: &Bench, token: &str) -> Vec<Value> {
    bench.user_json(&["key", "list", "--token", token])["keys"].as_array().unwrap().clone()
}

/// `class result proof` of each object.
fn results(report: &Value) -> Vec<String> {
    let objects = report["objects"].as_array().unwrap();
    let word = |object: &Value, name: &str| object[name].as_str().unwrap_or("-").to_owned();
    let line = |object| ["class", "result", "proof"].map(|name| word(object, name)).join(" ");
    objects.iter().map(line).collect()
}

/// The key in the token signs what OpenSSL verifies with the public key in `file`.
fn signs_for_openssl(bench: &Bench, key: &str, token: &str, public: &str) {
    let message = bench.write("message", format!("{key} in {token}"));
    let ecdsa: &[&str] = if show(bench, key, token)["algorithm"].as_str().unwrap().starts_with("ecdsa") {
        &["--der"]
    } else {
        &[]
    };
    let sign = ["sign", &message, "--key", key, "--token", token, "--out", &bench.arg("signature")];
    bench.user(&[&sign[..], ecdsa].concat());
    bench.openssl(&["dgst", "-sha256", "-verify", public, "-signature", "signature", "message"]);
}

#[test]
fn a_moved_key_signs_where_it_is_now_and_is_nowhere_else() {
    let bench = two_tokens();
    for algorithm in ["ecdsa-p256", "rsa-2048"] {
        let before = generate(&bench, algorithm, algorithm, &[]);
        let public = format!("{algorithm}.pem");
        bench.ok(&["key", "export-public", algorithm, "--token", "a", "--out", &bench.arg(&public)]);
        let report = moved(&bench, algorithm, "a", "b", &[]);
        assert_eq!(results(&report), ["private moved signature", "public moved -"]);
        assert_eq!(report["source_deleted"], true);
        assert!(report["from"].as_str().unwrap().contains("token=a"), "{report}");
        assert!(report["to"].as_str().unwrap().contains("token=b"), "{report}");
        let after = show(&bench, algorithm, "b");
        for same in ["label", "id", "public_key", "uses", "sensitive", "extractable", "objects"] {
            assert_eq!(before[same], after[same], "{same}");
        }
        // What cannot be true of a copy is not said of it.
        for claim in ["always_sensitive", "never_extractable", "local"] {
            assert_eq!(after[claim], false, "{claim}");
        }
        signs_for_openssl(&bench, algorithm, "b", &public);
    }
    let aes = generate(&bench, "aes-256", "aes", &[]);
    assert_eq!(results(&moved(&bench, "aes", "a", "b", &[])), ["secret moved encryption"]);
    assert_eq!(show(&bench, "aes", "b")["id"], aes["id"]);
    assert!(keys(&bench, "a").is_empty());
    let again = generate(&bench, "aes-128", "other", &["--id", "0102"]);
    let text = ["key", "move", "0102", "--token", "a", "--to", "b"];
    let text = bench.ok(&[&text[..], &WITH_PIN, &WITH_TO_PIN].concat()).text();
    assert!(text.contains("aes-128") && text.contains("the source is deleted"), "{again}\n{text}");
}

#[test]
fn a_label_that_the_target_has_is_refused_and_the_key_stays() {
    let bench = two_tokens();
    generate(&bench, "ecdsa-p256", "k", &[]);
    moved(&bench, "k", "a", "b", &["--copy"]);
    // What an earlier run has brought there is no other key.
    moved(&bench, "k", "a", "b", &[]);
    generate(&bench, "ecdsa-p256", "k", &[]);
    try_move(&bench, "k", "a", "b", &[]).expect(6).says("of the same label already");
    assert_eq!((keys(&bench, "a").len(), keys(&bench, "b").len()), (1, 1));
}

#[test]
fn a_pin_at_every_use_goes_with_the_key() {
    let bench = two_tokens();
    generate(&bench, "ecdsa-p384", "k", &["--context-login"]);
    if bench.kind == Kind::Trellis {
        // Trellis lets no such key out (decisions/0005).
        try_move(&bench, "k", "a", "b", &[]).expect(7).says("with these restrictions");
        assert!(keys(&bench, "b").is_empty());
        return;
    }
    assert_eq!(results(&moved(&bench, "k", "a", "b", &[])), ["private moved signature", "public moved -"]);
    assert_eq!(show(&bench, "k", "b")["always_authenticate"], true);
}

#[test]
fn what_may_not_move_stays_and_says_why() {
    let bench = two_tokens();
    bench.user(&["key", "generate", "--token", "a", "-a", "ecdsa-p256", "-l", "fixed"]);
    for more in [&[][..], &["--copy"]] {
        let error = try_move(&bench, "fixed", "a", "b", more).expect(7).error();
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("stays where it is") && message.contains("CKA_EXTRACTABLE"), "{error}");
    }
    generate(&bench, "ecdsa-p256", "k", &["--id", "01"]);
    bench.user(&["key", "generate", "--token", "b", "-a", "ecdsa-p256", "-l", "other", "--id", "01"]);
    try_move(&bench, "k", "a", "b", &[]).expect(6).says("another key with the id 01");
    generate(&bench, "aes-128", "s", &["--id", "02"]);
    bench.user(&["key", "generate", "--token", "b", "-a", "aes-128", "-l", "other s", "--id", "02"]);
    try_move(&bench, "s", "a", "b", &[]).expect(6).says("another key with the id 02");
    try_move(&bench, "k", "a", "a", &[]).expect(2).says("one token");
    try_move(&bench, "k", "a", "nowhere", &[]).expect(4).says("`b`");
    try_move(&bench, "nobody", "a", "b", &[]).expect(4);
    let wrong = ["key", "move", "k", "--token", "a", "--to", "b", "--to-pin-source", "env:TEST_WRONG_PIN"];
    bench.run(&[&wrong[..], &WITH_PIN].concat()).expect(3).says("token `b`");
    assert_eq!((keys(&bench, "a").len(), keys(&bench, "b").len()), (3, 2));
}

#[test]
fn a_run_that_ended_early_is_finished_by_the_next() {
    let bench = two_tokens();
    let delete = |token: &str, what: &str| {
        bench.user(&["key", "delete", what, "--token", token, "--yes"]);
    };
    generate(&bench, "ecdsa-p256", "k", &["--id", "01"]);
    bench.ok(&["key", "export-public", "k", "--token", "a", "--out", &bench.arg("k.pem")]);
    let copied = moved(&bench, "k", "a", "b", &["--copy"]);
    assert_eq!((results(&copied).len(), &copied["source_deleted"]), (2, &json!(false)));
    assert_eq!((keys(&bench, "a").len(), keys(&bench, "b").len()), (1, 1));
    // Between the private and the public half.
    delete("b", "pkcs11:id=%01;type=public");
    let report = moved(&bench, "k", "a", "b", &["--copy"]);
    assert_eq!(results(&report), ["private already-there signature", "public moved -"]);
    // Between the two deletions at the end.
    delete("a", "pkcs11:id=%01;type=public");
    let report = moved(&bench, "01", "a", "b", &[]);
    assert_eq!(results(&report), ["private already-there signature"]);
    assert!(keys(&bench, "a").is_empty());
    signs_for_openssl(&bench, "k", "b", "k.pem");

    generate(&bench, "aes-256", "s", &[]);
    moved(&bench, "s", "a", "b", &["--copy"]);
    assert_eq!(results(&moved(&bench, "s", "a", "b", &[])), ["secret already-there encryption"]);
    assert_eq!(keys(&bench, "b").len(), 2);
}

/// Of all that has one CKA_ID, a part cannot go: the rest is in both tokens, which is said, and the next run finishes.
#[test]
fn what_moved_before_the_rest_could_not_is_told() {
    let bench = two_tokens();
    generate(&bench, "ecdsa-p256", "k", &["--id", "01"]);
    // Our command makes no second key of one CKA_ID.
    let mut tool = Command::new("pkcs11-tool");
    bench.environment(&mut tool);
    tool.arg("--module").arg(&bench.module).args(["--token-label", "a", "--login", "--pin", PIN]);
    tool.args(["--keygen", "--key-type", "AES:32", "--label", "fixed", "--id", "01"]);
    assert!(tool.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    for _ in 0..2 {
        let error = try_move(&bench, "k", "a", "b", &[]).expect(7).error();
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with("the secret object does not move"), "{error}");
        assert!(message.contains("token `b` has these objects now as well: private, public"), "{error}");
        assert!(error["remedy"].as_str().unwrap().contains("then run the command again"), "{error}");
        assert_eq!((keys(&bench, "a").len(), keys(&bench, "b").len()), (1, 1));
    }
    bench.user(&["key", "delete", "pkcs11:id=%01;type=secret-key", "--token", "a", "--yes"]);
    let report = moved(&bench, "k", "a", "b", &[]);
    assert_eq!(results(&report), ["private already-there signature", "public already-there -"]);
    assert!(keys(&bench, "a").is_empty());
}

#[test]
fn certificates_go_along_when_they_are_meant() {
    let bench = two_tokens();
    bench.p256_pem("k.key");
    bench.openssl(&["req", "-x509", "-key", "k.key", "-subj", "/CN=Trellis", "-out", "cert.pem"]);
    for file in ["k.key", "cert.pem"] {
        let import = ["key", "import", &bench.arg(file), "-l", "k", "--token", "a"];
        let more: &[&str] = if file == "k.key" { &["--extractable"] } else { &[] };
        bench.user(&[&import[..], more].concat());
    }
    assert_eq!(results(&moved(&bench, "k", "a", "b", &["--copy"])).len(), 2);
    let report = moved(&bench, "k", "a", "b", &["--with-certificates"]);
    let results = results(&report);
    assert_eq!(results[2], "certificate moved -");
    assert!(keys(&bench, "a").is_empty());
    assert_eq!(show(&bench, "k", "b")["objects"].as_array().unwrap().len(), 3);
}

/// SIGKILL after each tenth of a run: the key is somewhere, and the next run finishes. SoftHSM writes its token's file
/// in place at every login, and a process that is killed then leaves no token at all.
#[test]
fn a_killed_run_loses_nothing() {
    const KILLS: u32 = 10;
    let bench = two_tokens();
    if bench.kind != Kind::Trellis {
        return;
    }
    let key = generate(&bench, "ecdsa-p256", "k", &["--id", "01"]);
    bench.ok(&["key", "export-public", "k", "--token", "a", "--out", &bench.arg("k.pem")]);
    let start = Instant::now();
    moved(&bench, "k", "a", "b", &[]);
    let whole = start.elapsed();
    let private_in = |token: &str| {
        let found = keys(&bench, token);
        found.iter().any(|key| key["objects"].as_array().unwrap().contains(&json!("private")))
    };
    let (mut from, mut to) = ("b", "a");
    for kill in 0..KILLS {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trellis"));
        bench.environment(&mut command);
        command.args(["key", "move", "01", "--token", from, "--to", to]).args(WITH_PIN).args(WITH_TO_PIN);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * kill / KILLS + Duration::from_millis(1));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(private_in(from) || private_in(to), "the key is lost after kill {kill}");
        if !keys(&bench, from).is_empty() {
            moved(&bench, "01", from, to, &[]);
        }
        assert!(keys(&bench, from).is_empty());
        assert_eq!(keys(&bench, to).len(), 1);
        assert_eq!(show(&bench, "01", to)["public_key"], key["public_key"]);
        (from, to) = (to, from);
    }
    signs_for_openssl(&bench, "k", from, "k.pem");
}

/// ML-DSA keys by seed and expanded, to a token of the same kind and to one over an HSM and back.
#[test]
fn ml_dsa_keys_move_between_stores_with_and_without_their_seeds() {
    let bench = two_tokens();
    if bench.kind != Kind::Trellis {
        return;
    }
    let folder = bench.path("softhsm");
    std::fs::create_dir(&folder).unwrap();
    bench.write("softhsm2.conf", format!("directories.tokendir = {}\n", folder.display()));
    let slots = String::from_utf8(bench.read("trellis.toml")).unwrap();
    let hsm = format!(
        "{slots}[[slot]]\nbackend = \"pkcs11\"\npath = \"{}\"\nmodule-path = \"{}\"\n",
        bench.arg("tokens/hsm"),
        Bench::softhsm().display()
    );
    let mut init = Command::new("softhsm2-util");
    bench.environment(&mut init);
    init.args(["--init-token", "--free", "--label", "hsm", "--pin", PIN, "--so-pin", "officer pin 1"]);
    assert!(init.stdout(Stdio::null()).status().unwrap().success());
    bench.write("trellis.toml", &hsm);

    let (public, private) = ml_dsa_65::KG::keygen_from_seed(&[7; 32]);
    let seed = bench.write("seed", [7; 32]);
    let expanded = bench.write("expanded", private.into_bytes());
    for (label, file) in [("seed", &seed), ("expanded", &expanded)] {
        bench.user(&["key", "import", file, "-l", label, "-a", "ml-dsa-65", "--extractable", "--token", "a"]);
        bench.user(&[
            "key",
            "delete",
            &format!("pkcs11:object={label};type=public"),
            "--token",
            "a",
            "--yes",
        ]);
        for (from, to) in [("a", "b"), ("b", "hsm"), ("hsm", "a")] {
            let report = moved(&bench, label, from, to, &[]);
            assert_eq!(results(&report), ["private moved signature"]);
            assert!(keys(&bench, from).iter().all(|key| key["label"] != label), "{from}");
            let message = bench.write("message", to);
            bench.user(&["sign", &message, "-k", label, "--token", to, "-o", &bench.arg("signature")]);
            let signature = bench.read("signature").try_into().unwrap();
            assert!(public.verify(to.as_bytes(), &signature, &[]), "{label} in {to}");
        }
    }

    // Two slots in front of one token of the HSM: the key would be deleted where it has just been "found".
    moved(&bench, "seed", "a", "hsm", &[]);
    let second = format!(
        "[[slot]]\nbackend = \"pkcs11\"\npath = \"{}\"\nmodule-path = \"{}\"\n",
        bench.arg("tokens/again"),
        Bench::softhsm().display()
    );
    bench.write("trellis.toml", hsm + &second);
    try_move(&bench, "seed", "pkcs11:slot-id=3", "pkcs11:slot-id=4", &[]).expect(2).says("one token");
    assert_eq!(show(&bench, "seed", "pkcs11:slot-id=3")["algorithm"], "ml-dsa-65");
}
