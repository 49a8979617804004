//! `trellis tpm`, with Trellis's own module over a software TPM.

#[path = "../../../hsm-backends/tests/tpm/swtpm.rs"]
#[expect(dead_code, reason = "it is shared with the tests of the stores")]
mod swtpm;

use crate::bench::{Bench, Kind, WITH_PIN, WITH_SO_PIN};
use swtpm::Swtpm;

#[test]
fn the_doctor_looks_for_the_tpm_of_a_slot_that_has_no_token_yet() {
    let bench = Bench::empty();
    if bench.kind != Kind::Trellis {
        return;
    }
    let tpm = Swtpm::start(&bench.path("tpm"));
    let slot = format!("[[slot]]\npath = 'blank'\nbackend = 'tpm'\ntcti = '{}'\n", tpm.tcti());
    let configuration = bench.write("blank.toml", slot);
    let doctor = || {
        let output = bench.command(&["doctor"]).env("TRELLIS_CONF", &configuration).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let text = doctor();
    assert!(text.contains("no token yet") && !text.contains("PROBLEM"), "{text}");
    drop(tpm);
    let text = doctor();
    assert!(text.contains("no TPM answers") && text.contains("try:"), "{text}");
}

#[test]
fn a_token_is_shown_and_sealed_anew() {
    let bench = Bench::empty();
    // Another module has no such store.
    if bench.kind != Kind::Trellis {
        return;
    }
    bench.init("plain");
    bench.run(&["tpm", "show", "--token", "plain"]).expect(7).says("no TPM");
    let tpm = Swtpm::start(&bench.path("tpm"));
    let store = bench.arg("tokens/sealed");
    let tcti = tpm.tcti();
    let slot = ["--backend", "tpm", "--path", &store, "--tcti", &tcti, "--pcrs", "sha256:10,16"];
    bench.ok_json(&[&["token", "init", "--label", "sealed"][..], &slot, &WITH_PIN, &WITH_SO_PIN].concat());
    let sealed = ["--token", "sealed"];
    bench.user(&[&["key", "generate", "-a", "ml-dsa-65", "-l", "k"][..], &sealed].concat());
    let message = bench.write("message", "message");
    let sign = |source: &str| {
        let arguments = ["sign", "-k", "k", "-o", "signature", "--pin-source", source, &message];
        bench.run(&[&arguments[..], &sealed].concat())
    };
    let show = || bench.ok_json(&[&["tpm", "show"][..], &sealed].concat());
    sign("env:TEST_PIN").expect(0);

    let shown = show();
    assert_eq!(shown["user"]["pcrs"], "sha256:10,16");
    assert_eq!((&shown["user"]["pcrs_fit"], &shown["user"]["tries"]), (&"true".into(), &"0".into()));
    assert_eq!((&shown["so"]["pcrs"], &shown["user"]["limit"]), (&"".into(), &"10".into()));
    sign("env:TEST_WRONG_PIN").expect(3);
    assert_eq!(show()["user"]["tries"], "1");

    tpm.extend(16);
    sign("env:TEST_PIN").expect(5).says("trellis tpm reseal");
    let shown = show();
    assert_eq!((&shown["user"]["pcrs_fit"], &shown["user"]["tries"]), (&"false".into(), &"1".into()));
    let reseal =
        |source: &str| bench.run(&[&["tpm", "reseal", "--so-pin-source", source][..], &sealed].concat());
    reseal("env:TEST_WRONG_PIN").expect(3);
    assert!(reseal("env:TEST_SO_PIN").expect(0).text().contains("as they are now"));
    sign("env:TEST_PIN").expect(0);
    let text = bench.run(&[&["tpm", "show"][..], &sealed].concat()).expect(0).text();
    assert!(text.contains("sha256:10,16") && text.contains("0x1807400"), "{text}");
    // Without the TPM the token is still listed, and its cause is told.
    drop(tpm);
    sign("env:TEST_PIN").expect(4).says("no TPM answers");
    bench.run(&[&["tpm", "show"][..], &sealed].concat()).expect(5).says("no TPM answers");
}
