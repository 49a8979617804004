//! Where `libtrellis_pkcs11.so` is. TRELLIS_MODULE names one that is built already (`make test` does); otherwise
//! it is built here, as the release is: alone, as a cdylib.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::backend;

/// The environment variable that names a module to test.
pub const VARIABLE: &str = "TRELLIS_MODULE";

/// The module under test, built if need be: once in this process, and one process at a time.
pub fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os(VARIABLE) {
        Some(path) => PathBuf::from(path),
        None => build(),
    })
}

/// A shared library that is an example of this crate, built.
pub fn example(name: &str) -> PathBuf {
    let target = target_directory();
    cargo(&target, |cargo| {
        cargo.args(["build", "--quiet", "-p", env!("CARGO_PKG_NAME"), "--example", name]);
    });
    target.join(profile()).join("examples").join(format!("lib{name}.so"))
}

fn build() -> PathBuf {
    let target = target_directory();
    cargo(&target, |cargo| {
        cargo.args(["rustc", "--quiet", "-p", "trellis-pkcs11", "--lib", "--crate-type", "cdylib"]);
    });
    if backend::is_tpm() {
        cargo(&target, |cargo| {
            cargo.args(["build", "--quiet", "-p", "trellis-tpm-plugin"]);
        });
    }
    target.join(profile()).join("libtrellis_pkcs11.so")
}

fn profile() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

/// One process at a time.
fn cargo(target: &Path, arguments: impl FnOnce(&mut Command)) {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace");
    let lock = File::create(target.join("test-module.lock")).expect("the target directory can be written");
    lock.lock().expect("the lock of the target directory is free in the end");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace);
    arguments(&mut cargo);
    cargo.arg("--target-dir").arg(target);
    if profile() == "release" {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo can be run");
    assert!(status.success(), "building {cargo:?} failed");
}

/// The directory above the profile's, in which the test program itself was built.
fn target_directory() -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a path");
    let deps = program.parent().expect("test programs lie in target/PROFILE/deps");
    deps.ancestors().nth(2).expect("test programs lie in target/PROFILE/deps").to_owned()
}
