//! The program itself.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use serde_json::json;

use crate::client::{CALLER, KEY, policy};

#[test]
fn it_says_where_it_is_obeys_and_ends_with_its_input() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("policy"), policy(&json!({})).to_string()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_trellis-kms-double"))
        .args(["--key", KEY, "--caller", CALLER, "--root", &"ab".repeat(32)])
        .arg("--keys")
        .arg(path("keys"))
        .arg("--policy")
        .arg(path("policy"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut commands = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let endpoint = answers.next().unwrap();
    assert!(endpoint.starts_with("http://127.0.0.1:"), "{endpoint}");
    for (command, answer) in [("fail 1 X", "ok"), ("waiting", "0"), ("dance", "error: no command dance")] {
        writeln!(commands, "{command}").unwrap();
        assert_eq!(answers.next().unwrap(), answer);
    }
    drop(commands);
    assert!(child.wait().unwrap().success());
    assert!(path("keys").exists());
}
