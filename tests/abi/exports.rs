//! What the shared library exports, needs and asks of the loader.

use std::{collections::BTreeSet, process::Command};

use trellis_tests::library;

use crate::abuse::NAMES;

fn output(program: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(program).args(arguments).arg(library::path()).output().expect("binutils is installed");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("names are ASCII")
}

#[test]
fn the_functions_of_the_standard_and_nothing_else() {
    let symbols = output("nm", &["-D", "--defined-only", "--format=posix"]);
    let exported: BTreeSet<_> = symbols.lines().filter_map(|line| line.split(' ').next()).collect();
    let mut expected: BTreeSet<_> = NAMES.iter().copied().collect();
    expected.extend(["C_Initialize", "C_Finalize", "C_WaitForSlotEvent"]);
    assert_eq!(exported, expected);
}

#[test]
fn the_library_stays_loaded_and_brings_its_own_cryptography() {
    let dynamic = output("readelf", &["--dynamic", "--wide"]);
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
    for foreign in ["libcrypto", "libssl", "libsqlite3", "libstdc++"] {
        assert!(!dynamic.contains(foreign), "{dynamic}");
    }
}
