//! `trellis token init --backend`: a slot that was not there before, with Trellis's own module.

use std::fs;
use std::process::Command;

use crate::bench::{Bench, Kind, PIN, SO_PIN, WITH_PIN, WITH_SO_PIN};

const SOFTHSM: [&str; 2] =
    ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];

/// Only Trellis's module reads the file; with SoftHSM in its place there is nothing to test here.
fn bench() -> Option<Bench> {
    let bench = Bench::empty();
    (bench.kind == Kind::Trellis).then_some(bench)
}

fn softhsm() -> &'static str {
    SOFTHSM.into_iter().find(|path| fs::exists(path).unwrap()).expect("SoftHSM (Debian package softhsm2)")
}

fn init<'a>(label: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["token", "init", "--label", label][..], more, &WITH_PIN, &WITH_SO_PIN].concat()
}

fn config(bench: &Bench) -> String {
    String::from_utf8(bench.read("trellis.toml")).unwrap()
}

#[test]
fn a_slot_is_added_with_the_token() {
    let Some(bench) = bench() else { return };
    let before = config(&bench);
    let store = bench.arg("tokens/new");
    let made = bench.ok_json(&init("new", &["--backend", "embedded", "--path", &store, "--pin-tries", "3"]));
    assert_eq!(made["slot_id"], 3);
    let after = config(&bench);
    assert!(after.starts_with(&before) && after.contains("pin-tries = 3"), "{after}");
    let key = ["key", "generate", "-a", "ed25519", "-l", "k", "--token", "new"];
    bench.user(&key);
    assert!(fs::exists(&store).unwrap());

    // What cannot be made leaves the file as it was: a path that another slot has, a label that is taken, a short PIN.
    let taken = bench.arg("tokens/a");
    bench
        .run(&init("x", &["--backend", "embedded", "--path", &taken]))
        .expect(5)
        .says("two slots have the path");
    bench.run(&init("new", &["--backend", "embedded"])).expect(6).says("already");
    bench
        .run(&init("x", &["--backend", "embedded", "--pin-source", "env:HOME", "--module-path", "/x"]))
        .expect(2);
    bench.run(&["token", "init", "--label", "x", "--backend", "embedded"]).expect(3).says("no terminal");
    bench.run(&init("x", &["--backend", "pkcs11"])).expect(2).says("--module-path");
    bench.run(&init("x", &["--backend", "pkcs11", "--module-path", "/no/such.so"])).expect(5);
    bench.run(&init("x", &["--backend", "embedded", "--tcti", "tabrmd"])).expect(2).says("--backend tpm");
    assert_eq!(config(&bench), after);
}

#[test]
fn the_slot_that_needs_no_file_stays_when_there_is_one() {
    let Some(bench) = bench() else { return };
    let run = |arguments: &[&str]| {
        let output = bench.command(arguments).env_remove("TRELLIS_CONF").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&init("first", &[]));
    let said = run(&init("second", &["--backend", "embedded"]));
    assert!(said.contains("slot 1 of") && said.contains(".config/trellis/trellis.toml"), "{said}");
    let list = run(&["token", "list"]);
    assert!(list.contains("first") && list.contains("second"), "{list}");
    assert!(fs::exists(bench.path(".local/share/trellis/second")).unwrap());
}

#[test]
fn a_token_of_an_hsm_is_made_or_adopted() {
    let Some(bench) = bench() else { return };
    let with_hsm = ["--backend", "pkcs11", "--module-path", softhsm()];
    let utility = |arguments: &[&str]| {
        let mut command = Command::new("softhsm2-util");
        command.args(arguments);
        bench.environment(&mut command);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // A new token in the HSM; the slot names it by its serial number.
    let made = bench.ok_json(&init("made", &with_hsm));
    assert!(utility(&["--show-slots"]).contains("made"));
    let named = format!("token = \"pkcs11:serial={}\"", made["serial"].as_str().unwrap());
    assert!(config(&bench).contains(&named), "{}", config(&bench));

    // One that its owner has made with the HSM's tool keeps its PINs and keys.
    utility(&["--init-token", "--free", "--label", "old", "--pin", PIN, "--so-pin", SO_PIN]);
    let before = config(&bench);
    let wrong = ["token", "init", "--label", "old", "--pin-source", "env:TEST_WRONG_PIN"];
    bench.run(&[&wrong[..], &with_hsm].concat()).expect(3);
    assert_eq!(config(&bench), before);
    let adopt = [&["token", "init", "--label", "old"][..], &with_hsm, &WITH_PIN].concat();
    bench.ok(&adopt);
    for token in ["made", "old"] {
        for (algorithm, place) in [("ml-dsa-44", "sealed"), ("ed25519", "in the HSM")] {
            bench.user(&["key", "generate", "-a", algorithm, "-l", algorithm, "--token", token]);
            let shown = bench.user(&["key", "show", algorithm, "--token", token]).text();
            assert!(shown.contains(place), "{shown}");
        }
    }
}
