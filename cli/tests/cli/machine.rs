//! What is not about keys: random bytes, mechanisms, the doctor, completions, finding the module, broken pipes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::bench::{Bench, Kind};

#[test]
fn random_bytes_in_every_form() {
    let bench = Bench::new();
    assert_eq!(bench.ok(&["random"]).text().trim().len(), 64);
    assert_eq!(bench.ok(&["random", "-n", "5000", "--format", "raw"]).stdout.len(), 5000);
    assert_ne!(bench.ok(&["random"]).text(), bench.ok(&["random"]).text());
    let json = bench.ok_json(&["random", "--bytes", "3"]);
    assert_eq!((&json["bytes"], json["random"].as_str().unwrap().len()), (&json!(3), 6));
    let out = bench.arg("random");
    let json = bench.ok_json(&["random", "-n", "7", "--format", "raw", "--out", &out]);
    assert_eq!((json, bench.read("random").len()), (json!({ "bytes": 7, "out": out }), 7));
    bench.run(&["random", "-n", "0"]).expect(2);
    Bench::empty().run(&["random"]).expect(4);
}

#[test]
fn mechanisms_with_names_sizes_and_uses() {
    let bench = Bench::empty();
    let json = bench.ok_json(&["mechanisms"]);
    let list = json["mechanisms"].as_array().unwrap();
    let rsa = list.iter().find(|mechanism| mechanism["name"] == "CKM_RSA_PKCS_KEY_PAIR_GEN").unwrap();
    assert_eq!(rsa["code"], "0x00000000");
    assert!(rsa["uses"].as_array().unwrap().contains(&json!("generate-key-pair")));
    assert!(rsa["min_key_size"].as_u64().unwrap() >= 512 && rsa["max_key_size"].as_u64().unwrap() >= 4096);
    // cryptoki has no names for these; they are listed all the same.
    let unnamed = if bench.kind == Kind::SoftHsm { "CKM_MD5" } else { "CKM_SHA3_256" };
    assert!(list.iter().any(|mechanism| mechanism["name"] == unnamed), "{unnamed}");
    let text = bench.ok(&["mechanisms"]).text();
    assert!(text.contains("CKM_EDDSA") && text.contains("sign verify"), "{text}");
}

fn check<'a>(doctor: &'a Value, name: &str) -> &'a Value {
    let checks = doctor["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name} in {doctor}"))
}

#[test]
fn the_doctor_finds_a_healthy_module() {
    let bench = Bench::new();
    let doctor = bench.ok_json(&["doctor"]);
    assert_eq!(doctor["ok"], true);
    for name in ["module path", "module", "interfaces", "token", "configuration", "entropy"] {
        assert_eq!(check(&doctor, name)["status"], "ok", "{doctor}");
    }
    assert!(check(&doctor, "openssl")["detail"].as_str().unwrap().starts_with("3."));
    if bench.kind == Kind::Trellis {
        assert_eq!(check(&doctor, "self-test")["status"], "ok");
        assert_eq!(check(&doctor, "store")["status"], "ok");
    }
    let text = bench.ok(&["doctor"]).text();
    assert!(text.contains("ok       module path"), "{text}");
    let empty = Bench::empty();
    let doctor = empty.ok_json(&["doctor"]);
    assert_eq!((&check(&doctor, "tokens")["status"], &doctor["ok"]), (&json!("warning"), &json!(true)));
}

#[test]
fn the_doctor_works_without_a_module() {
    let bench = Bench::empty();
    let run = bench.run(&["--module", "/nowhere/x.so", "--json", "doctor"]).expect(1);
    let doctor = run.json();
    assert_eq!(doctor["ok"], false);
    assert_eq!(check(&doctor, "module path")["status"], "problem");
    assert!(check(&doctor, "module path")["remedy"].is_string());
    assert_eq!(check(&doctor, "entropy")["status"], "ok");
    let text = bench.run(&["--module", "/nowhere/x.so", "doctor"]).expect(1).text();
    assert!(text.contains("PROBLEM  module path") && text.contains("Broken: 1."), "{text}");
    let not_a_module = bench.write("module.so", "no library");
    let doctor = bench.run(&["--module", &not_a_module, "--json", "doctor"]).expect(1).json();
    assert_eq!(check(&doctor, "module")["status"], "problem");
}

#[test]
fn the_doctor_looks_at_who_may_write_the_configuration() {
    let bench = Bench::new();
    let conf = bench.path("trellis.toml");
    fs::set_permissions(&conf, fs::Permissions::from_mode(0o666)).unwrap();
    let doctor = bench.run(&["--json", "doctor"]).expect(1).json();
    assert_eq!(check(&doctor, "configuration")["status"], "problem");
    let mut without = bench.command(&["--json", "doctor"]);
    let output = without.env("TRELLIS_CONF", bench.path("no.toml")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_module_is_named_by_option_environment_or_place() {
    let bench = Bench::empty();
    let run = |environment: Option<&str>, arguments: &[&str]| {
        let mut command = bench.command(arguments);
        match environment {
            Some(path) => command.env("TRELLIS_MODULE", path),
            None => command.env_remove("TRELLIS_MODULE"),
        };
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let module = bench.module.to_str().unwrap();
    assert_eq!(run(None, &["--module", module, "token", "list"]).0, 0);
    assert_eq!(run(Some("/nowhere/x.so"), &["--module", module, "token", "list"]).0, 0);
    let (code, error) = run(Some("/nowhere/x.so"), &["token", "list"]);
    assert!(code == 5 && error.contains("/nowhere/x.so (from TRELLIS_MODULE)"), "{error}");

    // A copy of the command in a place of its own, with and without a module beside it.
    let bin = bench.path("prefix/bin");
    fs::create_dir_all(&bin).unwrap();
    let copy = bin.join("trellis");
    Bench::copy_program(env!("CARGO_BIN_EXE_trellis"), &copy);
    let alone = || {
        let mut command = std::process::Command::new(&copy);
        bench.environment(&mut command);
        let output = command.args(["token", "list"]).env_remove("TRELLIS_MODULE").output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = alone();
    assert_eq!(code, 5);
    for place in [
        "prefix/bin/libtrellis_pkcs11.so",
        "prefix/lib/pkcs11/libtrellis_pkcs11.so",
        "--module",
        "TRELLIS_MODULE",
    ] {
        assert!(error.contains(place), "{error}");
    }
    let lib = bench.path("prefix/lib/pkcs11");
    fs::create_dir_all(&lib).unwrap();
    std::os::unix::fs::symlink(&bench.module, lib.join("libtrellis_pkcs11.so")).unwrap();
    assert_eq!(alone().0, 0);
}

#[test]
fn a_library_that_is_no_module_is_told_apart() {
    let bench = Bench::empty();
    bench
        .run(&["--module", &bench.write("text.so", "text"), "token", "list"])
        .expect(5)
        .says("does not load");
    bench.run(&["--module", "libc.so.6", "token", "list"]).expect(5).says("C_GetFunctionList");
}

#[test]
fn help_usage_and_completions() {
    let bench = Bench::empty();
    let help = bench.ok(&["--help"]).text();
    for code in 0..=8 {
        assert!(help.contains(&format!("\n  {code}  ")), "{help}");
    }
    bench.run(&[]).expect(2);
    bench.run(&["nothing"]).expect(2);
    let error = bench.run(&["--json", "sign"]).expect(2).error();
    assert_eq!((&error["kind"], &error["exit_code"]), (&json!("usage"), &json!(2)));
    for shell in ["bash", "zsh", "fish"] {
        let script = bench.ok(&["completions", shell]).text();
        assert!(script.contains("export-public"), "{shell}");
    }
    let bash = bench.write("completions", bench.ok(&["completions", "bash"]).stdout);
    assert!(std::process::Command::new("bash").args(["-n", &bash]).status().unwrap().success());
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let bench = Bench::new();
    let mut command = bench.command(&["random", "-n", "1000000", "--format", "hex"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

const MANUAL: &str = include_str!("../../../docs/cli.md");

/// Every name in a document, at any depth.
fn names(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            found.push(name.clone());
            names(value, found);
        }),
        Value::Array(values) => values.iter().for_each(|value| names(value, found)),
        _ => {}
    }
}

/// The manual explains every name in the document.
pub(crate) fn is_documented(document: &Value) {
    let mut found = Vec::new();
    names(document, &mut found);
    for name in found {
        assert!(MANUAL.contains(&format!("`{name}`")), "docs/cli.md does not explain `{name}`");
    }
}

#[test]
fn every_name_in_json_is_documented() {
    let bench = Bench::new();
    let manual = MANUAL;
    let message = bench.write("message", "m");
    let generated = bench.generate("ed25519", "k");
    let signed = bench.user_json(&["sign", &message, "-k", "k", "-o", &bench.arg("s")]);
    let documents = [
        generated,
        signed,
        bench.ok_json(&["token", "list"]),
        bench.ok_json(&["token", "show"]),
        bench.user_json(&["key", "list"]),
        bench.ok_json(&["key", "export-public", "k"]),
        bench.ok_json(&["verify", &message, "-s", &bench.arg("s"), "-k", "k"]),
        bench.ok_json(&["random"]),
        bench.ok_json(&["mechanisms"]),
        bench.ok_json(&["doctor"]),
        bench.user_json(&["key", "delete", "k", "--yes"]),
        serde_json::from_str(&bench.run(&["key", "show", "k", "--public", "--json"]).expect(4).stderr)
            .unwrap(),
    ];
    documents.iter().for_each(is_documented);
    for line in
        bench.ok(&["--help"]).text().lines().filter(|line| line.starts_with("  ") && line.contains("  "))
    {
        let word = line.split_whitespace().next().unwrap();
        if word.len() == 1 {
            assert!(manual.contains(&format!("\n| {word} | ")), "docs/cli.md has no exit code {word}");
        }
    }
}
