//! `trellis key import --batch`: many keys and certificates or none.

use std::fs;

use serde_json::{Value, json};

use crate::bench::{Bench, Kind};

/// Keys and certificates in a folder `keys`: an RSA key with its certificate, an EC key with one in the same file.
fn prepare(bench: &Bench) {
    fs::create_dir_all(bench.path("keys/folder within")).unwrap();
    bench.openssl(&[
        "genpkey",
        "-algorithm",
        "rsa",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
        "-out",
        "keys/web.key",
    ]);
    bench.p256_pem("ec.pem");
    for (key, subject, out) in
        [("keys/web.key", "/CN=web", "keys/web.crt"), ("ec.pem", "/CN=mail", "mail.crt")]
    {
        bench.openssl(&["req", "-x509", "-key", key, "-subj", subject, "-days", "9", "-out", out]);
    }
    let both = [bench.read("mail.crt"), b"a comment\n".to_vec(), bench.read("ec.pem")].concat();
    bench.write("keys/mail.pem", both);
}

fn ids(json: &Value, kind: &str) -> Vec<(String, String)> {
    let word = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
    let items = json[kind].as_array().unwrap();
    items.iter().map(|item| (word(item, "label"), word(item, "id"))).collect()
}

fn listed(bench: &Bench) -> usize {
    bench.user_json(&["key", "list"])["keys"].as_array().unwrap().len()
}

#[test]
fn keys_and_their_certificates_come_together() {
    let bench = Bench::new();
    prepare(&bench);
    let trellis = bench.kind == Kind::Trellis;
    let json = bench.user_json(&["key", "import", "--batch", &bench.arg("keys")]);
    assert_eq!(json["at_once"], trellis);
    let (keys, mut certificates) = (ids(&json, "keys"), ids(&json, "certificates"));
    certificates.sort();
    assert_eq!(keys.iter().map(|(label, _)| &**label).collect::<Vec<_>>(), ["mail", "web"]);
    assert_eq!(certificates, keys, "a certificate has label and id of its key");
    assert_eq!(json["keys"][0]["algorithm"], "ecdsa-p256");
    assert_eq!(listed(&bench), 2);
    let message = bench.write("message", "batch");
    for (name, file) in [("web", "keys/web.key"), ("mail", "ec.pem")] {
        let key = bench.user_json(&["key", "show", name]);
        assert_eq!((&key["sensitive"], &key["extractable"]), (&json!(true), &json!(false)));
        assert_eq!(key["objects"].as_array().unwrap().len(), 3, "{key}");
        bench.openssl(&["pkey", "-in", file, "-pubout", "-out", "public.pem"]);
        bench.ok(&["key", "export-public", name, "--out", &bench.arg("exported")]);
        assert_eq!(bench.read("exported"), bench.read("public.pem"));
        bench.user(&["sign", &message, "--key", name, "--out", &bench.arg("signature")]);
        bench.ok(&["verify", &message, "--signature", &bench.arg("signature"), "--key", name]);
    }
    // A certificate that comes later finds the key on the token.
    bench.openssl(&[
        "req",
        "-x509",
        "-key",
        "ec.pem",
        "-subj",
        "/CN=later",
        "-days",
        "9",
        "-out",
        "later.crt",
    ]);
    let later = bench.user_json(&["key", "import", "--batch", &bench.arg("later.crt")]);
    assert_eq!(ids(&later, "certificates"), [("later".to_owned(), keys[0].1.clone())]);
    let text = bench.user(&["key", "import", "--batch", &{
        bench.p256_pem("one.pem");
        bench.arg("one.pem")
    }]);
    let how = if trellis { "all at once" } else { "one after the other" };
    assert!(
        text.text().contains("Imported 1 key to token `test`, ") && text.text().contains(how),
        "{}",
        text.text()
    );
}

#[test]
fn one_bad_file_and_nothing_is_imported() {
    let bench = Bench::new();
    prepare(&bench);
    let import = |paths: &[&str], code: i32| {
        let paths: Vec<_> = paths.iter().map(|path| bench.arg(path)).collect();
        let mut arguments = vec!["key", "import", "--batch"];
        arguments.extend(paths.iter().map(String::as_str));
        bench.user_fails(&arguments, code)
    };
    bench.write("keys/notes.txt", "not a key");
    import(&["keys"], 8).says("notes.txt: ").says("try: ");
    fs::remove_file(bench.path("keys/notes.txt")).unwrap();
    import(&["keys", "nowhere"], 8).says("nowhere");
    fs::copy(bench.path("ec.pem"), bench.path("mail.key")).unwrap();
    import(&["keys", "mail.key"], 6).says("a key `mail` comes from").says("rename");
    import(&["keys", "mail.crt"], 6).says("mail.crt: ").says("same certificate");
    bench.user_fails(&["key", "import", "--batch", "-"], 2).says("standard input");
    bench.user_fails(&["key", "import", "--batch", "x", "--label", "x"], 2).says("--batch");
    bench
        .user_fails(&["key", "import", &bench.arg("ec.pem"), &bench.arg("keys/web.key"), "-l", "x"], 2)
        .says("--batch");
    bench.user_fails(&["key", "import", &bench.arg("ec.pem")], 2).says("--label");
    assert_eq!(listed(&bench), 0);
    // What only the token can tell: the public half in the file belongs to another key.
    if bench.kind == Kind::Trellis {
        let der = bench.openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", "ec.pem", "-outform", "DER"]).stdout;
        let mut damaged = der;
        *damaged.last_mut().unwrap() ^= 1;
        bench.write("keys/damaged.der", damaged);
        import(&["keys"], 5).says("keys/damaged.der").says("nothing was imported").says("T_CreateObjects");
        fs::remove_file(bench.path("keys/damaged.der")).unwrap();
        assert_eq!(listed(&bench), 0);
    }
    bench.user(&["key", "import", "--batch", &bench.arg("keys")]);
    let other = fs::copy(bench.path("keys/web.key"), bench.path("web.pem")).map(|_| "web.pem").unwrap();
    import(&[other], 6).says("web.pem: ").says("a key `web` already").says("rename");
    fs::copy(bench.path("keys/web.crt"), bench.path("again.crt")).unwrap();
    import(&["again.crt"], 6).says("again.crt: ").says("has this certificate already");
    assert_eq!(listed(&bench), 2);
}

/// Seeds, whose public halves no file tells: the token computes them, and finds the certificate's key.
#[test]
fn seeds_and_policies() {
    let bench = Bench::new();
    if bench.kind == Kind::SoftHsm {
        bench.openssl(&["genpkey", "-algorithm", "ed25519", "-out", "ed.pem"]);
        bench.p256_pem("ec.pem");
        let import = ["key", "import", "--batch", &bench.arg("ec.pem"), &bench.arg("ed.pem")];
        bench.user_fails(&import, 7).says("ed.pem; nothing was imported").says("--public-key");
        assert_eq!(listed(&bench), 0, "what was made before stayed");
        return;
    }
    fs::create_dir(bench.path("seeds")).unwrap();
    for name in ["a", "b", "c"] {
        bench.write(&format!("seeds/{name}.seed"), name.repeat(32));
    }
    let import = ["key", "import", "--batch", &bench.arg("seeds"), "-a", "ml-dsa-65", "--extractable"];
    let json = bench.user_json(&import);
    assert_eq!((json["keys"].as_array().unwrap().len(), &json["keys"][2]["label"]), (3, &json!("c")));
    assert_eq!(bench.user_json(&["key", "show", "b"])["extractable"], true);
    let message = bench.write("message", "seed");
    bench.user(&["sign", &message, "-k", "c", "-o", &bench.arg("s")]);
    bench.ok(&["verify", &message, "-s", &bench.arg("s"), "-k", "c"]);
    bench.openssl(&["genpkey", "-algorithm", "ed25519", "-out", "ed.pem"]);
    bench.openssl(&["req", "-x509", "-key", "ed.pem", "-subj", "/CN=ed", "-days", "9", "-out", "ed.crt"]);
    let json = bench.user_json(&[
        "key",
        "import",
        "--batch",
        &bench.arg("ed.crt"),
        &bench.arg("ed.pem"),
        "--context-login",
    ]);
    assert_eq!(ids(&json, "keys"), ids(&json, "certificates"));
    assert_eq!(bench.user_json(&["key", "show", "ed"])["always_authenticate"], true);
    let aes = bench.write("aes", [7; 32]);
    let json = bench.user_json(&["key", "import", "--batch", &aes, "-a", "aes-256"]);
    assert_eq!(json["keys"][0]["algorithm"], "aes-256");
}
