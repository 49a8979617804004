//! Where `libtrellis_pkcs11.so` is. TRELLIS_MODULE names one that is built already (`make test` does); otherwise
//! it is built here, as the release is: alone, as a cdylib.

use std::{
    path::{Path, PathBuf},
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
    let built = test_stand::build(&["build", "-p", env!("CARGO_PKG_NAME"), "--example", name]);
    built.join("examples").join(format!("lib{name}.so"))
}

fn build() -> PathBuf {
    let built = test_stand::build(&["rustc", "-p", "trellis-pkcs11", "--lib", "--crate-type", "cdylib"]);
    if backend::is_tpm() {
        test_stand::build(&["build", "-p", "trellis-tpm-plugin"]);
    }
    built.join("libtrellis_pkcs11.so")
}
