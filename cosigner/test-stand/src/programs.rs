//! Where the co-signer's programs are. TRELLIS_STAND_PROGRAMS names a folder with all of them, built already;
//! otherwise they are built here, beside the test program itself.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The environment variable that names a folder.
const VARIABLE: &str = "TRELLIS_STAND_PROGRAMS";

/// What is built, as scripts/parts.sh does. None but these: with the feature on, the enclave's own program would not be
/// the one of a release.
const BUILDS: [&[&str]; 2] = [
    &["-p", "trellis-enclave", "--features", "emulated-nsm", "--bin", "trellis-enclave-emulated"],
    &[
        "-p",
        "trellis-cosigner-host",
        "--bin",
        "trellis-cosigner-host",
        "-p",
        "trellis-kms-double",
        "--bin",
        "trellis-kms-double",
    ],
];

/// The folder, built if need be: once in this process, and one process at a time.
pub(crate) fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| std::env::var_os(VARIABLE).map_or_else(build_all, PathBuf::from))
}

fn build_all() -> PathBuf {
    let built = BUILDS.map(|arguments| build(&[&["build"], arguments].concat()));
    built[0].clone()
}

/// Runs cargo with these arguments in the workspace, for the profile of the program that asks, one process at a time.
/// Returns the profile's folder, in which the program itself was built.
pub fn build(arguments: &[&str]) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let target = target_directory();
    let lock = File::create(target.join("test-build.lock")).expect("the target directory can be written");
    lock.lock().expect("the lock of the target directory is free in the end");
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace.expect("cosigner/ lies in the workspace")).args(arguments).arg("--quiet");
    cargo.arg("--target-dir").arg(&target);
    if profile == "release" {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo can be run");
    assert!(status.success(), "building {cargo:?} failed");
    target.join(profile)
}

/// The directory above the profile's, in which the program itself was built.
fn target_directory() -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a path");
    let is_profile = |folder: &&Path| ["debug", "release"].iter().any(|name| folder.ends_with(name));
    let profile = program.ancestors().find(is_profile).and_then(Path::parent);
    profile.expect("programs lie in target/PROFILE or below").to_owned()
}
