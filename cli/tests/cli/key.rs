//! `trellis key`: generate, list, show, import, export-public, delete.

use serde_json::{Value, json};

use crate::bench::{Bench, Kind};

const PAIRS: [&str; 5] = ["ed25519", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048"];
const ML_DSA: [&str; 3] = ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"];

fn listed(bench: &Bench) -> Vec<Value> {
    bench.user_json(&["key", "list"])["keys"].as_array().unwrap().clone()
}

fn sorted(value: &Value) -> Vec<String> {
    let mut words: Vec<_> =
        value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect();
    words.sort();
    words
}

#[test]
fn every_algorithm_is_made_private_and_sensitive() {
    let bench = Bench::new();
    let ml_dsa: &[&str] = if bench.kind == Kind::Trellis { &ML_DSA } else { &[] };
    for algorithm in PAIRS.iter().chain(ml_dsa) {
        let key = bench.generate(algorithm, algorithm);
        assert_eq!(key["algorithm"], *algorithm);
        assert_eq!(sorted(&key["objects"]), ["private", "public"]);
        assert!(key["uses"].as_array().unwrap().contains(&json!("sign")), "{key}");
        assert_eq!((&key["sensitive"], &key["extractable"]), (&json!(true), &json!(false)));
        assert_eq!((&key["always_sensitive"], &key["never_extractable"]), (&json!(true), &json!(true)));
        assert_eq!((&key["local"], &key["always_authenticate"]), (&json!(true), &json!(false)));
        assert_eq!(key["id"].as_str().unwrap().len(), 32);
        assert!(key["public_key"].as_str().is_some_and(|key| key.starts_with('M')));
        let uri = key["uri"].as_str().unwrap();
        assert!(
            uri.starts_with("pkcs11:") && uri.contains("type=private") && uri.contains("token=test"),
            "{uri}"
        );
    }
    for algorithm in ["aes-128", "aes-256"] {
        let key = bench.generate(algorithm, algorithm);
        assert_eq!((&key["algorithm"], &key["objects"]), (&json!(algorithm), &json!(["secret"])));
        assert_eq!((&key["sensitive"], &key["extractable"]), (&json!(true), &json!(false)));
        assert_eq!(key["public_key"], Value::Null);
    }
    assert_eq!(listed(&bench).len(), PAIRS.len() + ml_dsa.len() + 2);
    if bench.kind == Kind::SoftHsm {
        let make = ["key", "generate", "-a", "ml-dsa-65", "-l", "k"];
        bench.user_fails(&make, 7).says("CKM_ML_DSA_KEY_PAIR_GEN").says("trellis mechanisms");
    }
}

#[test]
fn policies_are_chosen() {
    let bench = Bench::new();
    let make = [
        "key",
        "generate",
        "-a",
        "ecdsa-p256",
        "-l",
        "k",
        "--extractable",
        "--context-login",
        "--id",
        "00:ff",
    ];
    let key = bench.user_json(&make);
    assert_eq!((&key["extractable"], &key["always_authenticate"]), (&json!(true), &json!(true)));
    assert_eq!(key["id"], "00ff");
    let text = bench.user(&["key", "list"]).text();
    assert!(text.contains("extractable, PIN at every use"), "{text}");
    bench.user_fails(&["key", "generate", "-a", "aes-256", "-l", "a", "--context-login"], 2);
    bench.user_fails(&["key", "generate", "-a", "aes-256", "-l", "a", "--id", "0x1"], 2).says("hexadecimal");
    bench.user_fails(&["key", "generate", "-a", "dsa", "-l", "a"], 2).says("ml-dsa-65");
}

#[test]
fn labels_and_ids_are_not_given_twice() {
    let bench = Bench::new();
    let make = |label: &str, id: &str| {
        bench.run(&[
            "key",
            "generate",
            "-a",
            "ed25519",
            "-l",
            label,
            "--id",
            id,
            "--pin-source",
            "env:TEST_PIN",
        ])
    };
    make("k", "01").expect(0);
    make("k", "02").expect(6).says("another label");
    make("l", "01").expect(6).says("another id");
    assert_eq!(listed(&bench).len(), 1);
    make("l", "02").expect(0);
}

#[test]
fn a_key_is_named_by_label_id_and_uri() {
    let bench = Bench::new();
    let key = bench.generate("ecdsa-p256", "web server");
    bench.generate("ecdsa-p256", "other");
    let names = [
        "web server",
        key["id"].as_str().unwrap(),
        &key["id"].as_str().unwrap().to_uppercase(),
        key["uri"].as_str().unwrap(),
        "pkcs11:object=web%20server",
    ];
    for name in names {
        assert_eq!(bench.user_json(&["key", "show", name])["id"], key["id"], "{name}");
    }
    bench.user_fails(&["key", "show", "nobody"], 4).says("one of: other, web server");
    bench.user_fails(&["key", "show", "pkcs11:type=private"], 6).says("several keys");
    bench.user_fails(&["key", "show", "pkcs11:token=elsewhere"], 4).says("`test`");
    let text = bench.user(&["key", "show", "other"]).text();
    assert!(text.contains("BEGIN PUBLIC KEY") && text.contains("sign"), "{text}");
}

#[test]
fn without_a_login_only_the_public_half_is_seen() {
    let bench = Bench::new();
    bench.generate("ed25519", "k");
    let public = bench.ok_json(&["key", "list", "--public"]);
    assert_eq!(public["keys"][0]["objects"], json!(["public"]));
    bench.run(&["key", "list"]).expect(3).says("--public");
    assert_eq!(bench.ok_json(&["key", "show", "k", "--public"])["objects"], json!(["public"]));
    let empty = Bench::new();
    assert!(empty.ok(&["key", "list", "--public"]).text().contains("only after a login"));
}

#[test]
fn imported_keys_sign_what_openssl_verifies() {
    let bench = Bench::new();
    let message = bench.write("message", "import");
    bench.openssl(&["genpkey", "-algorithm", "ed25519", "-out", "ed.pem"]);
    bench.openssl(&["genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", "ec.pem"]);
    bench.openssl(&["genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "rsa.pem"]);
    let cases: [(&str, &str, &[&str]); 3] = [
        ("ed", "ed25519", &["-rawin"]),
        ("ec", "ecdsa-p384", &["-rawin", "-digest", "sha384"]),
        ("rsa", "rsa-2048", &["-rawin", "-digest", "sha256"]),
    ];
    for (name, algorithm, options) in cases {
        let (private, public) = (format!("{name}.pem"), format!("{name}.pub"));
        bench.openssl(&["pkey", "-in", &private, "-pubout", "-out", &public]);
        // DER on standard input, PEM from a file.
        let der = bench.openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", &private, "-outform", "DER"]).stdout;
        let import = ["key", "import", "-", "--label", name, "--public-key", &bench.arg(&public), "--json"];
        let run =
            bench.run_with_input(&[&import[..], &["--pin-source", "env:TEST_PIN"]].concat(), &der).expect(0);
        let key = run.json();
        assert_eq!(key["algorithm"], algorithm);
        assert_eq!(sorted(&key["objects"]), ["private", "public"]);
        assert_eq!((&key["sensitive"], &key["local"]), (&json!(true), &json!(false)));
        let signature = bench.arg("signature");
        let der_form: &[&str] = if name == "ec" { &["--der"] } else { &[] };
        bench.user(&[&["sign", &message, "--key", name, "--out", &signature][..], der_form].concat());
        let verify =
            ["pkeyutl", "-verify", "-pubin", "-inkey", &public, "-in", "message", "-sigfile", "signature"];
        bench.openssl(&[&verify[..], options].concat());
        // What comes out again is what went in.
        bench.ok(&["key", "export-public", name, "--out", &bench.arg("exported")]);
        assert_eq!(bench.read("exported"), bench.read(&public));
    }
    bench.user_fails(&["key", "import", &bench.arg("ec.pem"), "--label", "ec"], 6).says("another label");
    let again = ["key", "import", &bench.arg("rsa.pem"), "-l", "x", "--public-key", &bench.arg("ec.pub")];
    bench.user_fails(&again, 8).says("not the public half");
    assert_eq!(listed(&bench).len(), 3);
}

#[test]
fn the_public_half_comes_from_the_token_or_is_asked_for() {
    let bench = Bench::new();
    bench.openssl(&["genpkey", "-algorithm", "ed25519", "-out", "ed.pem"]);
    let import = ["key", "import", &bench.arg("ed.pem"), "--label", "k"];
    if bench.kind == Kind::SoftHsm {
        bench.user_fails(&import, 7).says("--public-key");
        assert!(listed(&bench).is_empty(), "a half imported key stayed");
    } else {
        bench.openssl(&["pkey", "-in", "ed.pem", "-pubout", "-out", "ed.pub"]);
        bench.user(&import);
        bench.ok(&["key", "export-public", "k", "--out", &bench.arg("exported")]);
        assert_eq!(bench.read("exported"), bench.read("ed.pub"));
    }
}

#[test]
fn bare_keys_need_their_algorithm() {
    let bench = Bench::new();
    let aes = bench.write("aes", [7; 32]);
    bench.user_fails(&["key", "import", &aes, "--label", "k"], 8).says("--algorithm");
    bench.user_fails(&["key", "import", &aes, "--label", "k", "--algorithm", "aes-128"], 8).says("16 bytes");
    let key = bench.user_json(&["key", "import", &aes, "--label", "k", "--algorithm", "aes-256"]);
    assert_eq!((&key["algorithm"], &key["objects"]), (&json!("aes-256"), &json!(["secret"])));
    if bench.kind == Kind::Trellis {
        let key = bench.user_json(&["key", "import", &aes, "--label", "seed", "--algorithm", "ml-dsa-65"]);
        assert_eq!(
            (&key["algorithm"], sorted(&key["objects"])),
            (&json!("ml-dsa-65"), vec!["private".into(), "public".into()])
        );
        let message = bench.write("message", "seed");
        bench.user(&["sign", &message, "-k", "seed", "-o", &bench.arg("s")]);
        bench.ok(&["verify", &message, "-s", &bench.arg("s"), "-k", "seed"]);
    }
}

#[test]
fn files_that_cannot_be_imported_say_why() {
    let bench = Bench::new();
    let import =
        |file: &str| bench.run(&["key", "import", file, "--label", "k", "--pin-source", "env:TEST_PIN"]);
    bench.openssl(&["genpkey", "-algorithm", "ed25519", "-out", "k.pem", "-aes256", "-pass", "pass:x"]);
    import(&bench.arg("k.pem")).expect(7).says("encrypted").says("openssl pkey");
    bench.openssl(&["genpkey", "-algorithm", "x25519", "-out", "x.pem"]);
    import(&bench.arg("x.pem")).expect(7).says("1.3.101.110");
    let ssh = bench.arg("ssh");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ecdsa", "-N", "", "-f", &ssh])
        .status()
        .expect("OpenSSH is installed (Debian package openssh-client)");
    assert!(made.success());
    import(&ssh).expect(7).says("OpenSSH's own format").says("ssh-keygen -p -m PKCS8 -f");
    if bench.kind == Kind::Trellis {
        bench.openssl(&[
            "genpkey",
            "-algorithm",
            "rsa",
            "-pkeyopt",
            "rsa_keygen_bits:1024",
            "-out",
            "rsa.pem",
        ]);
        import(&bench.arg("rsa.pem")).expect_failure().says("an RSA key of 1024 bits");
    }
    import(&bench.write("text", "no key")).expect(8);
    import(&bench.write("torn", "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n")).expect(8).says("damaged");
    import(&bench.write("big", vec![0; 100_000])).expect(8).says("too large");
    import(&bench.arg("nowhere")).expect(8).says("no such file");
    import(&bench.arg("")).expect(8);
    assert!(listed(&bench).is_empty());
}

#[test]
fn a_certificate_joins_its_key() {
    let bench = Bench::new();
    bench.openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=Trellis",
        "-keyout",
        "k.pem",
        "-out",
        "cert.pem",
    ]);
    bench.openssl(&["x509", "-in", "cert.pem", "-outform", "DER", "-out", "cert.der"]);
    let key = bench.user_json(&["key", "import", &bench.arg("k.pem"), "--label", "k"]);
    let joined = bench.user_json(&["key", "import", &bench.arg("cert.der"), "--label", "k"]);
    assert_eq!(joined["id"], key["id"]);
    assert_eq!(sorted(&joined["objects"]), ["certificate", "private", "public"]);
    bench
        .user_fails(&["key", "import", &bench.arg("cert.pem"), "--label", "k"], 6)
        .says("certificate already");

    let message = bench.write("message", "certificate");
    bench.user(&["sign", &message, "-k", "k", "-o", &bench.arg("s")]);
    for certificate in ["cert.pem", "cert.der"] {
        bench.ok(&["verify", &message, "-s", &bench.arg("s"), "--public-key", &bench.arg(certificate)]);
    }
    // The key goes, the certificate stays until it is meant.
    bench.user(&["key", "delete", "k", "--yes"]);
    let left = listed(&bench);
    assert_eq!((left.len(), &left[0]["objects"]), (1, &json!(["certificate"])));
    assert_eq!(left[0]["algorithm"], "ecdsa-p256");
    bench.user_fails(&["key", "delete", "k", "--yes"], 4).says("--with-certificates");
    bench.user(&["key", "delete", "k", "--yes", "--with-certificates"]);
    assert!(listed(&bench).is_empty());
}

#[test]
fn public_keys_are_exported_in_three_forms() {
    let bench = Bench::new();
    let key = bench.generate("ed25519", "k");
    let export = |format: &str| bench.ok(&["key", "export-public", "k", "--format", format]).stdout;
    let (pem, der, raw) = (export("pem"), export("der"), export("raw"));
    assert_eq!(raw.len(), 32);
    assert!(der.ends_with(&raw));
    bench.write("pub.pem", &pem);
    assert_eq!(bench.openssl(&["pkey", "-pubin", "-in", "pub.pem", "-outform", "DER"]).stdout, der);
    let exported = bench.ok_json(&["key", "export-public", "k"]);
    assert_eq!((&exported["public_key"], &exported["algorithm"]), (&key["public_key"], &json!("ed25519")));
    bench.generate("rsa-2048", "r");
    bench.run(&["key", "export-public", "r", "--format", "raw"]).expect(7).says("--format der");
    bench.generate("aes-128", "a");
    bench.user_fails(&["key", "export-public", "a"], 4);
}

#[test]
fn deleting_wants_a_confirmation_and_takes_both_halves() {
    let bench = Bench::new();
    bench.generate("ed25519", "k");
    bench.generate("ed25519", "l");
    bench.user_fails(&["key", "delete", "k"], 6).says("--yes");
    let deleted = bench.user_json(&["key", "delete", "k", "--yes"]);
    assert_eq!(
        (&deleted["deleted"]["label"], sorted(&deleted["deleted"]["objects"])),
        (&json!("k"), vec!["private".into(), "public".into()])
    );
    bench.user_fails(&["key", "delete", "k", "--yes"], 4);
    bench.user(&["key", "delete", "pkcs11:object=l;type=public", "--yes"]);
    let left = listed(&bench);
    assert_eq!((left.len(), &left[0]["objects"]), (1, &json!(["private"])));
}
