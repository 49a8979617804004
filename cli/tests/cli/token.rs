//! `trellis token`: initialising, choosing, PINs and where they come from, backup.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::bench::{Bench, Kind, PIN, WITH_PIN, WITH_SO_PIN};

const INIT: [&str; 2] = ["token", "init"];

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_new_token_is_listed_and_shown() {
    let bench = Bench::empty();
    let before = bench.ok_json(&["token", "list"]);
    assert!(before["tokens"].as_array().unwrap().iter().all(|token| token["initialized"] == false));
    bench.run(&["token", "show"]).expect(4).says("trellis token init");

    let made = bench.init("größe 1");
    assert_eq!(made["label"], "größe 1");
    let shown = bench.ok_json(&["token", "show"]);
    let names = [
        "initialized",
        "label",
        "login_required",
        "manufacturer",
        "model",
        "pin_length_max",
        "pin_length_min",
        "protected_authentication_path",
        "serial",
        "sessions",
        "sessions_max",
        "slot_id",
        "so_pin",
        "uri",
        "user_pin",
        "write_protected",
    ];
    let mut have = keys(&shown);
    have.sort_unstable();
    assert_eq!(have, names);
    assert_eq!(shown["serial"], made["serial"]);
    assert_eq!((&shown["user_pin"], &shown["so_pin"]), (&json!("ok"), &json!("ok")));

    let list = bench.ok(&["token", "list"]).text();
    assert!(list.contains("größe 1") && list.contains("not initialised"), "{list}");
    assert!(bench.ok(&["token", "show"]).text().contains("user PIN"));
}

#[test]
fn what_init_refuses_changes_nothing() {
    let bench = Bench::empty();
    let with_pins = |arguments: &[&str]| bench.run(&[&INIT[..], arguments, &WITH_PIN, &WITH_SO_PIN].concat());
    with_pins(&["--label", "123456789012345678901234567890123"]).expect(2).says("32 bytes");
    with_pins(&["--label", ""]).expect(2);
    with_pins(&["--label", "a "]).expect(2).says("spaces");
    with_pins(&["--label", "a", "--slot", "987654"]).expect(4).says("no slot 987654").says("token list");
    let short = bench.write("short", "123\n");
    fs::set_permissions(&short, fs::Permissions::from_mode(0o600)).unwrap();
    let source = format!("file:{short}");
    let short_pin = [&INIT[..], &["--label", "a", "--pin-source", &source], &WITH_SO_PIN].concat();
    bench.run(&short_pin).expect(3).says("3 bytes");
    bench.run(&[&INIT[..], &["--label", "a"]].concat()).expect(3).says("no terminal");
    bench.run(&["token", "show"]).expect(4);

    bench.init("a");
    with_pins(&["--label", "a"]).expect(6).says("already");
    if bench.kind == Kind::Trellis {
        bench.init("b");
        bench.init("c");
        // That no slot is free is not what is wrong.
        with_pins(&["--label", "a"]).expect(6).says("there is a token `a` already");
        with_pins(&["--label", "d"]).expect(4).says("initialised already");
    }
}

#[test]
fn a_token_is_erased_only_when_that_is_said_twice() {
    let bench = Bench::new();
    bench.generate("ed25519", "k");
    let erase = |more: &[&str]| {
        let so_pin: &[&str] = if more.contains(&"--so-pin-source") { &[] } else { &WITH_SO_PIN };
        bench.run(&[&INIT[..], &["--label", "new"], more, &WITH_PIN, so_pin].concat())
    };
    let slot = bench.ok_json(&["token", "show"])["slot_id"].to_string();
    erase(&["--slot", &slot]).expect(6).says("--erase");
    erase(&["--token", "test"]).expect(2).says("--erase");
    erase(&["--token", "test", "--erase"]).expect(6).says("--yes");
    erase(&["--token", "test", "--erase", "--yes", "--so-pin-source", "env:TEST_WRONG_PIN"]).expect(3);
    bench.user(&["key", "show", "k"]);
    erase(&["--token", "test", "--erase", "--yes"]).expect(0);
    assert_eq!(bench.ok_json(&["token", "show"])["label"], "new");
    assert_eq!(bench.user_json(&["key", "list"])["keys"], json!([]));
}

#[test]
fn tokens_are_chosen_by_label_serial_and_uri() {
    let bench = Bench::empty();
    let (a, b) = (bench.init("a"), bench.init("b"));
    bench.run(&["token", "show"]).expect(6).says("`a`").says("`b`").says("--token");
    bench.run(&["token", "show", "--token", "c"]).expect(4).says("`a`").says("`b`");
    let chosen = |name: &str| bench.ok_json(&["token", "show", "--token", name])["serial"].clone();
    assert_eq!(chosen("a"), a["serial"]);
    assert_eq!(chosen(b["serial"].as_str().unwrap()), b["serial"]);
    assert_eq!(chosen(b["uri"].as_str().unwrap()), b["serial"]);
    assert_eq!(chosen("pkcs11:token=a"), a["serial"]);
    bench.run(&["token", "show", "--token", "pkcs11:tokn=a"]).expect(2).says("tokn");
    bench.run(&["token", "show", "--token", "pkcs11:token=a?pin-value=1"]).expect(2).says("pin-value");

    // A key's URI chooses its token too, and may name module and PIN.
    let pin = bench.write("pin", PIN);
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o600)).unwrap();
    let make = ["key", "generate", "-a", "ed25519", "-l", "k", "--token", "b"];
    bench.user(&make);
    let uri = format!("pkcs11:token=b;object=k?pin-source=file:{pin}&module-path={}", bench.module.display());
    let mut show = bench.command(&["key", "show", &uri, "--json"]);
    let output = show.env_remove("TRELLIS_MODULE").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bare = format!("pkcs11:token=b;object=k?pin-source={pin}");
    bench.ok(&["key", "show", &bare]);
    bench.run(&["key", "show", "pkcs11:token=b;object=k?pin-source=|cat"]).expect(2).says("pin-source");
}

#[test]
fn the_user_changes_the_pin() {
    let bench = Bench::new();
    let set = |from: &str, to: &str| {
        bench.run(&["token", "set-pin", "--pin-source", from, "--new-pin-source", to, "--json"])
    };
    assert_eq!(
        set("env:TEST_WRONG_PIN", "env:TEST_NEW_PIN").expect(3).error()["return_value"],
        "CKR_PIN_INCORRECT"
    );
    set("env:TEST_PIN", "env:TEST_NEW_PIN").expect(0);
    bench.run(&["key", "list", "--pin-source", "env:TEST_NEW_PIN"]).expect(0);
    bench.run(&["key", "list", "--pin-source", "env:TEST_PIN"]).expect(3).says("PIN is wrong");
}

#[test]
fn the_officer_changes_and_resets() {
    let bench = Bench::new();
    let so = |so: &str, more: &[&str]| {
        bench.run(
            &[&["token"], more, &["--so-pin-source", so, "--new-pin-source", "env:TEST_NEW_PIN"]].concat(),
        )
    };
    so("env:TEST_WRONG_PIN", &["reset-pin"]).expect(3);
    so("env:TEST_SO_PIN", &["reset-pin"]).expect(0);
    bench.run(&["key", "list", "--pin-source", "env:TEST_NEW_PIN"]).expect(0);
    so("env:TEST_SO_PIN", &["set-pin"]).expect(2).says("--so");
    so("env:TEST_SO_PIN", &["set-pin", "--so"]).expect(0);
    so("env:TEST_SO_PIN", &["reset-pin"]).expect(3);
    so("env:TEST_NEW_PIN", &["reset-pin"]).expect(0);
}

/// `pin-source` of a slot is the user's: it serves C_Login where no source is given, and neither the officer nor C_SetPIN.
#[test]
fn a_slot_with_pin_source_asks_for_what_the_file_does_not_serve() {
    let bench = Bench::new();
    if bench.kind != Kind::Trellis {
        return;
    }
    let file = bench.write("slot.pin", PIN);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let slots = String::from_utf8(bench.read("trellis.toml")).unwrap();
    let with_source = slots.replacen("[[slot]]", &format!("[[slot]]\npin-source = \"file:{file}\""), 1);
    bench.write("trellis.toml", with_source);
    assert_eq!(bench.ok_json(&["token", "show"])["protected_authentication_path"], true);
    bench.ok(&["key", "list"]);
    bench.ok(&["key", "list", "--pin-source", "env:TEST_PIN"]);
    bench.run(&["key", "list", "--pin-source", "env:TEST_WRONG_PIN"]).expect(3).says("PIN is wrong");
    bench.run(&["key", "list", "--pin-source", "prompt"]).expect(3).says("no terminal");

    let to_new = ["--new-pin-source", "env:TEST_NEW_PIN"];
    let so = |command: &[&str]| bench.run(&[&["token"], command, &to_new].concat());
    so(&["reset-pin"]).expect(3).says("the SO PIN is needed").says("--so-pin-source");
    so(&["reset-pin", "--so-pin-source", "env:TEST_WRONG_PIN"]).expect(3).says("SO PIN of token `test`");
    so(&["set-pin", "--so"]).expect(3).says("the SO PIN is needed");
    so(&["set-pin", "--so", "--so-pin-source", "env:TEST_WRONG_PIN"]).expect(3).says("PIN is wrong");
    let changed = so(&["set-pin", "--so", "--so-pin-source", "env:TEST_SO_PIN"]).expect(0).text();
    assert!(!changed.contains("pin-source"), "{changed}");

    let set =
        |from: &[&str], to: &str| bench.run(&[&["token", "set-pin", "--new-pin-source", to], from].concat());
    set(&[], "env:TEST_NEW_PIN").expect(3).says("`pin-source` of slot 0").says("--pin-source file:PATH");
    set(&["--pin-source", "env:TEST_WRONG_PIN"], "env:TEST_NEW_PIN").expect(3).says("PIN is wrong");
    let changed = set(&["--pin-source", &format!("file:{file}")], "env:TEST_NEW_PIN").expect(0).text();
    assert!(changed.contains("The file that `pin-source` of slot 0 names must have it too"), "{changed}");
    bench.run(&["key", "list"]).expect(3).says("PIN is wrong");
    bench.write("slot.pin", "a new pin 2");
    bench.ok(&["key", "list"]);

    let reset =
        ["token", "reset-pin", "--so-pin-source", "env:TEST_NEW_PIN", "--new-pin-source", "env:TEST_PIN"];
    assert!(bench.ok(&reset).text().contains("must have it too"));
    bench.run(&["key", "list"]).expect(3);
    bench.write("slot.pin", PIN);
    bench.ok(&["key", "list"]);
}

#[test]
fn a_wrong_pin_is_reported_for_people_and_for_programs() {
    let bench = Bench::new();
    let wrong = ["key", "list", "--pin-source", "env:TEST_WRONG_PIN"];
    bench.run(&wrong).expect(3).says("trellis: user PIN of token `test`: the PIN is wrong").says("\n  try: ");
    let error = bench.run(&[&wrong[..], &["--json"]].concat()).expect(3).error();
    assert_eq!(error["kind"], "login");
    assert_eq!(error["exit_code"], 3);
    assert_eq!(error["return_value"], "CKR_PIN_INCORRECT");
    assert_eq!(error["function"], "C_Login");
    assert!(error["message"].is_string() && error["remedy"].is_string());
}

#[test]
fn pins_come_from_files_environment_and_systemd() {
    let bench = Bench::new();
    let list = |source: &str| bench.run(&["key", "list", "--pin-source", source]);
    let path = bench.write("pin", format!("{PIN}\n"));
    let file = format!("file:{path}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    list(&file).expect(3).says("chmod 600");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    list(&file).expect(0);
    fs::write(&path, format!("{PIN}\n\n")).unwrap();
    list(&file).expect(3).says("PIN is wrong");
    fs::write(&path, "\n").unwrap();
    list(&file).expect(3).says("empty");
    let new = ["token", "set-pin", "--pin-source", "env:TEST_PIN", "--new-pin-source", &file];
    bench.run(&new).expect(3).says("the user PIN has 0 bytes").says("a PIN of 4 to 255 bytes");
    let folder = list(&format!("file:{}", bench.arg(""))).expect(8).says("is a folder");
    assert!(!folder.stderr.contains("chmod"), "{}", folder.stderr);
    fs::write(&path, vec![b'1'; 5000]).unwrap();
    list(&file).expect(3).says("too long");
    list("file:/nowhere/pin").expect(8).says("no such file");
    list("env:NO_SUCH_VARIABLE").expect(3).says("NO_SUCH_VARIABLE");
    list("systemd:pin").expect(3).says("LoadCredential");
    fs::write(&path, PIN).unwrap();
    let mut with_systemd = bench.command(&["key", "list", "--pin-source", "systemd:pin"]);
    assert!(with_systemd.env("CREDENTIALS_DIRECTORY", bench.path("")).status().unwrap().success());

    let refused = list("8675309").expect(2).says("file:PATH");
    assert!(!refused.stderr.contains("8675309"), "{}", refused.stderr);
    list("prompt").expect(3).says("no terminal");
}

/// A terminal by util-linux `script`; the answers are typed when their questions have been asked.
pub(crate) fn typed(bench: &Bench, arguments: &str, dialogue: &[(&str, &str)]) -> (i32, String) {
    let mut command = Command::new("script");
    let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_trellis"));
    command.args(["--quiet", "--return", "--echo", "never", "--command", &line, "/dev/null"]);
    bench.environment(&mut command);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut seen = Vec::new();
    let mut byte = [0];
    for (question, answer) in dialogue {
        let start = seen.len();
        while !String::from_utf8_lossy(&seen[start..]).contains(question) {
            assert_eq!(stdout.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&seen));
            seen.push(byte[0]);
        }
        stdin.write_all(answer.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }
    stdout.read_to_end(&mut seen).unwrap();
    (child.wait().unwrap().code().unwrap(), String::from_utf8(seen).unwrap())
}

#[test]
fn a_pin_is_asked_for_without_showing_it() {
    let bench = Bench::new();
    bench.generate("ed25519", "k");
    let question = "user PIN of token `test`: ";
    let (code, seen) = typed(&bench, "key list", &[(question, &format!("{PIN}\n"))]);
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("ed25519") && !seen.contains(PIN), "{seen}");
    // Slips of the finger: one character is taken back, then the whole line.
    let (code, seen) = typed(&bench, "key list", &[(question, &format!("oops\u{15}{PIN}é\u{7f}\n"))]);
    assert_eq!(code, 0, "{seen}");
    // Who typed a wrong one has no source to check.
    let (code, seen) = typed(&bench, "key list", &[(question, "wrong one\n")]);
    assert!(code == 3 && seen.contains("type it again") && !seen.contains("source"), "{seen}");
    // Ctrl-C gives up.
    let (code, seen) = typed(&bench, "key list", &[(question, "12\u{3}")]);
    assert_eq!(code, 3, "{seen}");
}

#[test]
fn a_new_pin_is_asked_for_twice_and_a_deletion_once() {
    let bench = Bench::new();
    bench.generate("ed25519", "k");
    let set = "token set-pin --pin-source env:TEST_PIN";
    let (code, seen) = typed(&bench, set, &[("user PIN: ", "one more pin\n"), ("again: ", "one more pim\n")]);
    assert!(code == 3 && seen.contains("differ"), "{seen}");
    let (code, seen) = typed(&bench, set, &[("user PIN: ", "one more pin\n"), ("again: ", "one more pin\n")]);
    assert!(code == 0 && !seen.contains("one more pin"), "{seen}");
    bench.run(&["key", "list", "--pin-source", "env:TEST_PIN"]).expect(3);

    let delete = "key delete k";
    let pin = ("`test`: ", "one more pin\n");
    let (code, seen) = typed(&bench, delete, &[pin, ("[y/N]", "n\n")]);
    assert!(code == 6 && seen.contains("nothing was changed"), "{seen}");
    let (code, seen) = typed(&bench, delete, &[pin, ("[y/N]", "yes\n")]);
    assert!(code == 0 && seen.contains("Deleted"), "{seen}");
}

#[test]
fn backup_and_restore() {
    let bench = Bench::new();
    bench.generate("ed25519", "k");
    let passphrase = ["--passphrase-source", "env:TEST_NEW_PIN"];
    let backup = |out: &str| {
        bench.run(&[&["token", "backup", "--token", "test", "--out", out][..], &passphrase].concat())
    };
    if bench.kind == Kind::SoftHsm {
        backup(&bench.arg("b")).expect(7).says("this module has no backup");
        let file = bench.write("b", "");
        bench.run(&[&["token", "restore", &file][..], &passphrase].concat()).expect(7).says("no backup");
        return;
    }
    let file = bench.arg("backup");
    backup(&file).expect(0);
    backup(&file).expect(6).says("exists already");
    let restore = |more: &[&str]| bench.run(&[&["token", "restore", &file][..], more].concat());
    restore(&["--passphrase-source", "env:TEST_WRONG_PIN"]).expect_failure();
    let slot = bench.ok_json(&["token", "show"])["slot_id"].to_string();
    let message = bench.write("message", "restored");
    bench.user(&["sign", &message, "-k", "k", "-o", &bench.arg("before")]);
    bench.user(&["key", "delete", "k", "--yes"]);
    restore(&[&passphrase[..], &["--slot", &slot]].concat()).expect(6).says("--replace");
    restore(&[&passphrase[..], &["--slot", &slot, "--replace"]].concat()).expect(6).says("--yes");
    restore(&[&passphrase[..], &["--slot", &slot, "--replace", "--yes"]].concat()).expect(0);
    bench.ok(&["verify", &message, "-s", &bench.arg("before"), "-k", "k"]);
    bench.user(&["sign", &message, "-k", "k", "-o", &bench.arg("after")]);
    assert_eq!(bench.read("before"), bench.read("after"));
}
