//! `trellis sign` and `trellis verify`, cross-checked with OpenSSL.

use std::fs;

use serde_json::json;

use crate::bench::{Bench, Kind};

/// Algorithms with the length of their raw signatures.
const ALGORITHMS: [(&str, usize); 5] =
    [("ed25519", 64), ("ecdsa-p256", 64), ("ecdsa-p384", 96), ("ecdsa-p521", 132), ("rsa-2048", 256)];
const ML_DSA: [(&str, usize); 3] = [("ml-dsa-44", 2420), ("ml-dsa-65", 3309), ("ml-dsa-87", 4627)];

fn algorithms(bench: &Bench) -> Vec<(&'static str, usize)> {
    let ml_dsa: &[_] = if bench.kind == Kind::Trellis { &ML_DSA } else { &[] };
    ALGORITHMS.iter().chain(ml_dsa).copied().collect()
}

#[test]
fn what_is_signed_verifies_and_nothing_else_does() {
    let bench = Bench::new();
    let message = bench.write("message", "one message");
    let other = bench.write("other", "one messagf");
    let empty = bench.write("empty", "");
    // Larger than one part, so that it goes to the token in parts where the token takes parts.
    let large = bench.write("large", vec![0x5a; 700_001]);
    for (algorithm, length) in algorithms(&bench) {
        bench.generate(algorithm, algorithm);
        let (signature, public) = (bench.arg("signature"), bench.arg("public"));
        bench.ok(&["key", "export-public", algorithm, "--out", &public]);
        for file in [&message, &empty, &large] {
            bench.user(&["sign", file, "--key", algorithm, "--out", &signature]);
            assert_eq!(bench.read("signature").len(), length, "{algorithm}");
            let run = bench.ok(&["verify", file, "--signature", &signature, "--key", algorithm]);
            assert_eq!(run.text(), "valid\n");
            bench.ok(&["verify", file, "--signature", &signature, "--public-key", &public]);
            let run =
                bench.run(&["verify", &other, "--signature", &signature, "--public-key", &public]).expect(1);
            assert!(run.text().starts_with("INVALID") && run.stderr.is_empty(), "{algorithm}");
        }
        let mut torn = bench.read("signature");
        torn[7] ^= 1;
        fs::write(&signature, &torn).unwrap();
        let run = bench.run(&["verify", &large, "-s", &signature, "-k", algorithm, "--json"]).expect(1);
        assert_eq!(run.json(), json!({ "valid": false, "algorithm": algorithm }));
        fs::write(&signature, &torn[1..]).unwrap();
        let run = bench.run(&["verify", &large, "-s", &signature, "-k", algorithm]).expect(1);
        assert!(run.text().contains(&format!("{} bytes", length - 1)), "{}", run.text());
    }
}

#[test]
fn openssl_verifies_what_we_sign() {
    let bench = Bench::new();
    let message = bench.write("message", vec![b'x'; 300_000]);
    let verify = |options: &[&str]| {
        let common = ["-verify", "public", "-signature", "signature"];
        bench.openssl(&[&["dgst"], options, &common, &["message"]].concat());
    };
    let cases: [(&str, &[&str], &[&str]); 8] = [
        ("ecdsa-p256", &["--der"], &["-sha256"]),
        ("ecdsa-p384", &["--der"], &["-sha384"]),
        ("ecdsa-p521", &["--der"], &["-sha512"]),
        ("ecdsa-p256", &["--der", "--hash", "sha512"], &["-sha512"]),
        ("rsa-2048", &[], &["-sha256"]),
        ("rsa-2048", &["--hash", "sha512"], &["-sha512"]),
        (
            "rsa-2048",
            &["--pss"],
            &["-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"],
        ),
        (
            "rsa-2048",
            &["--pss", "--hash", "sha384"],
            &["-sha384", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:48"],
        ),
    ];
    for algorithm in ["ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048", "ed25519"] {
        bench.generate(algorithm, algorithm);
    }
    for (algorithm, ours, theirs) in cases {
        bench.ok(&["key", "export-public", algorithm, "--out", &bench.arg("public")]);
        bench.user(&[&["sign", &message, "-k", algorithm, "-o", &bench.arg("signature")][..], ours].concat());
        verify(theirs);
    }
    bench.ok(&["key", "export-public", "ed25519", "--out", &bench.arg("public")]);
    bench.user(&["sign", &message, "-k", "ed25519", "-o", &bench.arg("signature")]);
    let check = [
        "pkeyutl",
        "-verify",
        "-rawin",
        "-pubin",
        "-inkey",
        "public",
        "-in",
        "message",
        "-sigfile",
        "signature",
    ];
    bench.openssl(&check);
    fs::write(bench.path("message"), "changed").unwrap();
    assert!(!bench.try_openssl(&check).status.success());
}

/// r and s side by side, as PKCS#11 has them, from the DER that OpenSSL writes.
fn halves(der: &[u8], field: usize) -> Vec<u8> {
    let number = |at: usize| {
        assert_eq!(der[at], 2);
        let length = usize::from(der[at + 1]);
        (&der[at + 2..at + 2 + length], at + 2 + length)
    };
    let (r, next) = number(2);
    let (s, end) = number(next);
    assert_eq!((der[0], end), (0x30, der.len()));
    let mut both = vec![0; 2 * field];
    for (half, place) in [r, s].iter().zip(both.chunks_mut(field)) {
        let half = &half[half.iter().take_while(|byte| **byte == 0).count()..];
        place[field - half.len()..].copy_from_slice(half);
    }
    both
}

#[test]
fn we_verify_what_openssl_signs() {
    let bench = Bench::new();
    let message = bench.write("message", vec![b'y'; 300_000]);
    bench.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ec.pem"]);
    bench.openssl(&["genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:3072", "-out", "rsa.pem"]);
    bench.openssl(&["genpkey", "-algorithm", "ed25519", "-out", "ed.pem"]);
    for name in ["ec", "rsa"] {
        bench.openssl(&[
            "dgst",
            "-sha256",
            "-sign",
            &format!("{name}.pem"),
            "-out",
            &format!("{name}.sig"),
            "message",
        ]);
    }
    bench.openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", "ed.pem", "-in", "message", "-out", "ed.sig"]);
    bench.write("ec.raw", halves(&bench.read("ec.sig"), 32));
    let verify = |signature: &str, key: &str, more: &[&str]| {
        let (signature, key) = (bench.arg(signature), bench.arg(key));
        bench.run(&[&["verify", &message, "-s", &signature, "-p", &key][..], more].concat())
    };
    for name in ["ec", "rsa", "ed"] {
        let private = format!("{name}.pem");
        bench.openssl(&["pkey", "-in", &private, "-pubout", "-out", &format!("{name}.pub")]);
        bench.openssl(&[
            "pkey",
            "-in",
            &private,
            "-pubout",
            "-outform",
            "DER",
            "-out",
            &format!("{name}.der"),
        ]);
        for form in ["pub", "der"] {
            verify(&format!("{name}.sig"), &format!("{name}.{form}"), &[]).expect(0);
        }
        verify(&format!("{name}.sig"), &private, &[]).expect(8).says("private key");
    }
    verify("ec.raw", "ec.pub", &[]).expect(0);
    verify("ed.sig", "rsa.pub", &[]).expect(1);

    // The bare key, which only its algorithm tells from any other bytes.
    let der = bench.read("ed.der");
    let raw = &der[der.len() - 32..];
    bench.write("ed.raw", raw);
    verify("ed.sig", "ed.raw", &[]).expect(8).says("--algorithm");
    verify("ed.sig", "ed.raw", &["--algorithm", "ed25519"]).expect(0);
    verify("ed.sig", "ed.raw", &["--algorithm", "ml-dsa-65"]).expect(8);
    verify("ed.sig", "ed.pub", &["--algorithm", "ecdsa-p256"]).expect(2).says("ed25519");
    let point = bench.read("ec.der");
    bench.write("ec.point", &point[point.len() - 65..]);
    verify("ec.sig", "ec.point", &["--algorithm", "p256"]).expect(0);
}

#[test]
fn standard_input_and_output_and_their_forms() {
    let bench = Bench::new();
    bench.generate("ed25519", "k");
    let message = bench.write("message", "piped");
    let sign = |more: &[&str]| {
        let arguments = [&["sign", "-", "-k", "k", "--pin-source", "env:TEST_PIN"], more].concat();
        bench.run_with_input(&arguments, b"piped").expect(0)
    };
    let raw = sign(&[]).stdout;
    assert_eq!(raw.len(), 64);
    let (hex, base64) = (sign(&["--format", "hex"]).stdout, sign(&["--format", "base64"]).stdout);
    assert_eq!((hex.len(), base64.len()), (129, 89));
    let json = sign(&["--json"]).json();
    assert_eq!(json["signature"].as_str().unwrap(), String::from_utf8_lossy(&base64).trim());
    assert_eq!(
        (&json["algorithm"], &json["key"]["label"], &json["out"]),
        (&json!("ed25519"), &json!("k"), &json!(null))
    );
    for (name, form) in [("raw", &raw), ("hex", &hex), ("base64", &base64)] {
        let signature = bench.write("signature", form);
        bench.ok(&["verify", &message, "-s", &signature, "-k", "k"]);
        bench.ok(&["verify", &message, "-s", &signature, "-k", "k", "--format", name]);
        bench.run_with_input(&["verify", "-", "-s", &signature, "-k", "k"], b"piped").expect(0);
        bench.run_with_input(&["verify", "-", "-s", &signature, "-k", "k"], b"other").expect(1);
        bench.run_with_input(&["verify", &message, "-s", "-", "-k", "k"], form).expect(0);
    }
    let signature = bench.write("signature", &raw);
    bench.run(&["verify", &message, "-s", &signature, "-k", "k", "--format", "hex"]).expect(8);
    bench.run(&["verify", "-", "-s", "-", "-k", "k"]).expect(2);
    let out = bench.arg("out");
    assert_eq!(sign(&["--json", "--out", &out]).json()["out"], json!(out));
    assert_eq!(bench.read("out"), raw);
}

#[test]
fn a_key_with_context_login_asks_at_every_use() {
    let bench = Bench::new();
    let message = bench.write("message", "again");
    let large = bench.write("large", vec![1; 600_000]);
    for (algorithm, _) in algorithms(&bench) {
        bench.user(&["key", "generate", "-a", algorithm, "-l", algorithm, "--context-login"]);
        for file in [&message, &large] {
            bench.user(&["sign", file, "-k", algorithm, "-o", &bench.arg("s")]);
            bench.ok(&["verify", file, "-s", &bench.arg("s"), "-k", algorithm]);
        }
    }
}

#[test]
fn what_cannot_be_signed_is_said_before_the_pin_is_asked() {
    let bench = Bench::new();
    let message = bench.write("message", "m");
    bench.generate("rsa-2048", "rsa");
    bench.generate("ecdsa-p256", "ec");
    bench.generate("ed25519", "ed");
    let sign = |key: &str, more: &[&str]| {
        bench.run(&[&["sign", &message, "-k", key, "--pin-source", "env:TEST_PIN"], more].concat())
    };
    bench.run(&["sign", &bench.arg("nowhere"), "-k", "rsa"]).expect(8).says("no such file");
    sign("nobody", &[]).expect(4).says("ec, ed, rsa");
    sign("rsa", &["--context", "c"]).expect(2).says("--context");
    sign("ec", &["--deterministic"]).expect(7);
    sign("ec", &["--pss"]).expect(2);
    sign("ed", &["--hash", "sha256"]).expect(2).says("sha512");
    sign("ed", &["--context", &"c".repeat(256)]).expect(2).says("255");
    sign("ed", &["--context-hex", "0"]).expect(2);
    sign("ed", &["--der"]).expect(2);
    sign("ed", &["--out", &bench.arg("no/such/folder")]).expect(8);
    bench.run(&["sign", &message, "-k", "ed", "--pin-source", "env:TEST_WRONG_PIN"]).expect(3);
    assert!(!bench.path("no").exists());
    bench.run(&["verify", &message, "-s", &message]).expect(2).says("--public-key");
}

#[test]
fn contexts_bind_and_prehashes_differ() {
    let bench = Bench::new();
    let message = bench.write("message", "bound");
    if bench.kind == Kind::SoftHsm {
        // SoftHSM 2.6 has no ML-DSA, and would sign with Ed25519 as if there were no context.
        bench.generate("ed25519", "ed");
        bench.user_fails(&["sign", &message, "-k", "ed", "--context", "a"], 7).says("older than PKCS#11 3.0");
        bench.run(&["verify", &message, "-s", &message, "-k", "ed", "--hash", "sha512"]).expect(7);
        return;
    }
    let signature = bench.arg("signature");
    for algorithm in ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87", "ed25519"] {
        bench.generate(algorithm, algorithm);
        let sign = |more: &[&str]| {
            bench.user(&[&["sign", &message, "-k", algorithm, "-o", &signature], more].concat());
            bench.read("signature")
        };
        let verify = |more: &[&str]| {
            bench.run(&[&["verify", &message, "-s", &signature, "-k", algorithm], more].concat()).code
        };
        sign(&["--context", "a"]);
        assert_eq!([verify(&["--context", "a"]), verify(&["--context-hex", "61"])], [0, 0], "{algorithm}");
        assert_eq!([verify(&[]), verify(&["--context", "b"])], [1, 1], "{algorithm}");
        sign(&["--hash", "sha512", "--context", "a"]);
        assert_eq!(verify(&["--hash", "sha512", "--context", "a"]), 0, "{algorithm}");
        assert_eq!([verify(&["--context", "a"]), verify(&["--hash", "sha512"])], [1, 1], "{algorithm}");
        assert_eq!(sign(&["--deterministic"]), sign(&["--deterministic"]), "{algorithm}");
        assert_eq!(verify(&[]), 0, "{algorithm}");
    }
    assert_ne!(
        {
            bench.user(&["sign", &message, "-k", "ml-dsa-65", "-o", &signature]);
            bench.read("signature")
        },
        {
            bench.user(&["sign", &message, "-k", "ml-dsa-65", "-o", &signature]);
            bench.read("signature")
        },
        "hedged signatures repeat"
    );
    for hash in
        ["sha224", "sha256", "sha384", "sha3-224", "sha3-256", "sha3-384", "sha3-512", "shake128", "shake256"]
    {
        bench.user(&["sign", &message, "-k", "ml-dsa-44", "-o", &signature, "--hash", hash]);
        bench.ok(&["verify", &message, "-s", &signature, "-k", "ml-dsa-44", "--hash", hash]);
        bench.run(&["verify", &message, "-s", &signature, "-k", "ml-dsa-44"]).expect(1);
    }
}

#[test]
fn a_large_file_shows_its_progress_on_a_terminal_only() {
    let bench = Bench::new();
    bench.generate("rsa-2048", "k");
    let large = bench.arg("large");
    fs::File::create(&large).unwrap().set_len(130 << 20).unwrap();
    let sign = format!("sign {large} --key k --out {} --pin-source env:TEST_PIN", bench.arg("s"));
    let (code, seen) = crate::token::typed(&bench, &sign, &[]);
    assert!(code == 0 && seen.contains("128 of 130 MiB"), "{seen}");
    let run = bench.ok(&["verify", &large, "-s", &bench.arg("s"), "-k", "k"]);
    assert_eq!((run.text().as_str(), run.stderr.as_str()), ("valid\n", ""));
}

#[test]
fn plain_ed25519_takes_files_of_any_size_that_fits_into_memory() {
    let bench = Bench::new();
    bench.generate("ed25519", "ed");
    // Longer than what Trellis's module would keep of a message in parts.
    let (large, signature) = (bench.arg("large"), bench.arg("signature"));
    fs::File::create(&large).unwrap().set_len((16 << 20) + 300_001).unwrap();
    let kinds: &[&[&str]] = match bench.kind {
        Kind::Trellis => &[&[], &["--context", "c"], &["--hash", "sha512"]],
        Kind::SoftHsm => &[&[]],
    };
    for more in kinds {
        bench.user(&[&["sign", &large, "-k", "ed", "-o", &signature], *more].concat());
        bench.ok(&[&["verify", &large, "-s", &signature, "-k", "ed"], *more].concat());
    }
}

#[test]
fn keys_that_make_no_signatures_are_named_for_what_they_are() {
    let bench = Bench::new();
    let message = bench.write("message", "m");
    bench.generate("aes-256", "secret");
    bench.user_fails(&["sign", &message, "-k", "secret"], 2).says("`secret` is a secret key (aes-256)");
    bench.generate("ed25519", "pair");
    let uri = "pkcs11:object=pair;type=private";
    bench.user(&["key", "delete", uri, "--yes"]);
    bench.user_fails(&["sign", &message, "-k", "pair"], 2).says("has of `pair` only the public");
    bench.user_fails(&["sign", &message, "-k", "nobody"], 4);
}

#[test]
fn a_signature_replaces_an_older_one_but_never_its_message() {
    let bench = Bench::new();
    bench.generate("ed25519", "ed");
    let message = bench.write("message", "m");
    let link = bench.arg("link");
    std::os::unix::fs::symlink(&message, &link).unwrap();
    let older = bench.write("signature", "an older signature");
    for out in [&message, &link] {
        bench
            .user_fails(&["sign", &message, "-k", "ed", "-o", out], 2)
            .says("is the file that is to be signed");
    }
    assert_eq!(bench.read("message"), b"m");
    bench.user(&["sign", &message, "-k", "ed", "-o", &older]);
    assert_eq!(bench.read("signature").len(), 64);
}
