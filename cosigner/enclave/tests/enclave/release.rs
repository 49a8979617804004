//! The program that enclave images carry knows no NSM but /dev/nsm.

use std::process::Command;

const REAL: &str = env!("CARGO_BIN_EXE_trellis-enclave");
const EMULATED: &str = env!("CARGO_BIN_EXE_trellis-enclave-emulated");

#[test]
fn the_released_program_takes_no_emulated_nsm() {
    for argument in ["--nsm=emulated", "--nsm=/tmp", "--pcr=0=00"] {
        let output = Command::new(REAL).arg(argument).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{argument}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("unexpected argument"), "{output:?}");
    }
    let output = Command::new(REAL).output().unwrap();
    if std::path::Path::new("/dev/nsm").exists() {
        return;
    }
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/dev/nsm"), "{output:?}");
}

#[test]
fn nothing_of_the_emulation_is_in_the_released_program() {
    // A name in the emulation's certificates.
    let name = b"trellis-test.nitro-enclaves";
    let has = |program: &str| std::fs::read(program).unwrap().windows(name.len()).any(|bytes| bytes == name);
    assert!(has(EMULATED), "the name is not the emulation's any more");
    assert!(!has(REAL));
}
