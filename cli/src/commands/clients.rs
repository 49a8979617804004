//! For `trellis doctor`: the PKCS#11 clients of this machine, and what each can do with a Trellis token.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::commands::doctor::Check;
use crate::module::LIBRARY;

/// A client that tells its version.
struct Client {
    program: &'static str,
    /// The command that prints the version, on standard output or standard error.
    version: &'static [&'static str],
    /// What it does, by the version from which on it does; newest first.
    abilities: &'static [(&'static [u32], &'static str)],
}

const CLIENTS: [Client; 5] = [
    Client {
        program: "pkcs11-tool",
        version: &["opensc-tool", "--info"],
        abilities: &[
            (&[0, 27], "ML-DSA, HashML-DSA, Ed25519, ECDSA, RSA"),
            (&[0, 20], "Ed25519, ECDSA, RSA; ML-DSA from version 0.27 on"),
            (&[0], "ECDSA, RSA"),
        ],
    },
    Client {
        program: "p11tool",
        version: &["p11tool", "--version"],
        abilities: &[(&[0], "Ed25519, ECDSA, RSA; no ML-DSA")],
    },
    Client {
        program: "ssh",
        version: &["ssh", "-V"],
        abilities: &[
            (&[10, 1], "Ed25519, ECDSA, RSA: `ssh-keygen -D MODULE`; no ML-DSA"),
            (&[0], "ECDSA, RSA: `ssh-keygen -D MODULE`; Ed25519 from version 10.1 on"),
        ],
    },
    Client {
        program: "nginx",
        version: &["nginx", "-v"],
        abilities: &[(&[0], "what the provider of its OpenSSL can: `ssl_certificate_key store:pkcs11:...`")],
    },
    // It has no option that prints a version.
    Client {
        program: "certutil",
        version: &[],
        abilities: &[(&[], "Ed25519, ECDSA, RSA; ML-DSA with a current NSS")],
    },
];

/// One line for every client that is there.
pub(crate) fn checks() -> Vec<Check> {
    let mut checks = vec![openssl()];
    for client in &CLIENTS {
        if find(client.program).is_none() {
            continue;
        }
        let teller =
            client.version.split_first().and_then(|(teller, arguments)| Some((find(teller)?, arguments)));
        let version =
            teller.map(|(teller, arguments)| version(&said(&teller, arguments))).unwrap_or_default();
        let able = client.abilities.iter().find(|(since, _)| version.as_slice() >= *since);
        let able = able.map_or("version unknown", |(_, able)| *able);
        checks.push(Check::ok(client.program, format!("{}{able}", shown(&version))));
    }
    checks.push(p11_kit());
    checks
}

fn openssl() -> Check {
    let Some(program) = find("openssl") else {
        return Check::warning("openssl", "not installed", "apt install openssl");
    };
    let version = version(&said(&program, &["version"]));
    let folder = |option| quoted(&said(&program, &["version", option]));
    let has = |folder: Option<PathBuf>| folder.is_some_and(|folder| folder.join("pkcs11.so").is_file());
    let (provider, engine) = (has(folder("-m")), has(folder("-e")));
    let shown = shown(&version);
    if provider && version.as_slice() >= &[3, 5] {
        let able = "Ed25519, ECDSA, RSA through pkcs11-provider; ML-DSA with pkcs11-provider 1.3 or newer";
        Check::ok("openssl", format!("{shown}{able}"))
    } else if provider {
        Check::ok(
            "openssl",
            format!("{shown}Ed25519, ECDSA, RSA through pkcs11-provider; ML-DSA from OpenSSL 3.5 on"),
        )
    } else if engine {
        Check::ok("openssl", format!("{shown}ECDSA, RSA through the pkcs11 engine; no ML-DSA"))
    } else {
        Check::warning(
            "openssl",
            format!("{shown}has neither the pkcs11 provider nor the pkcs11 engine"),
            "apt install pkcs11-provider (Debian 13 or newer) or libengine-pkcs11-openssl",
        )
    }
}

/// Whether p11-kit, and with it GnuTLS and many desktop programs, knows the module.
fn p11_kit() -> Check {
    // It reads no configuration of its user for root.
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0);
    let home = std::env::var_os("HOME").filter(|_| !is_root);
    let home = home.map(|home| Path::new(&home).join(".config/pkcs11/modules"));
    let folders = [Some("/usr/share/p11-kit/modules".into()), Some("/etc/pkcs11/modules".into()), home];
    for folder in folders.into_iter().flatten() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut modules = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|it| it == "module"));
        let names_us =
            |path: &PathBuf| std::fs::read_to_string(path).is_ok_and(|text| text.contains(LIBRARY));
        if let Some(path) = modules.find(names_us) {
            return Check::ok("p11-kit", format!("registered in {}", path.display()));
        }
    }
    Check::warning(
        "p11-kit",
        "the Trellis module is not registered, so GnuTLS and desktop programs do not find it by themselves",
        if is_root {
            "put packaging/p11-kit/trellis.module into /etc/pkcs11/modules, as `make install` does"
        } else {
            "put packaging/p11-kit/trellis.module into /etc/pkcs11/modules or ~/.config/pkcs11/modules"
        },
    )
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(sbin).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// What a program prints; empty when it does not run.
fn said(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let Ok(output) = output else { return String::new() };
    let both = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// The first number with a dot in the text, as its parts: "OpenSC 0.23.0, rev" is [0, 23, 0].
fn version(text: &str) -> Vec<u32> {
    let mut words = text.split(|character: char| !character.is_ascii_digit() && character != '.');
    let word =
        words.find(|word| word.contains('.') && word.starts_with(|first: char| first.is_ascii_digit()));
    word.map(|word| word.split('.').map_while(|part| part.parse().ok()).collect()).unwrap_or_default()
}

fn shown(version: &[u32]) -> String {
    let parts: Vec<_> = version.iter().map(u32::to_string).collect();
    if parts.is_empty() { String::new() } else { format!("{}: ", parts.join(".")) }
}

/// The path in a line like `MODULESDIR: "/usr/lib/ossl-modules"`.
fn quoted(line: &str) -> Option<PathBuf> {
    line.split('"').nth(1).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_the_programs_print_them() {
        let cases: [(&str, &[u32]); 6] = [
            ("OpenSSL 3.0.19 27 Jan 2026 (Library: OpenSSL 3.0.19 27 Jan 2026)", &[3, 0, 19]),
            ("OpenSC 0.23.0 [gcc  12.2.0]\nEnabled features: locking", &[0, 23, 0]),
            ("p11tool 3.7.9\nCopyright (C) 2000-2023", &[3, 7, 9]),
            ("OpenSSH_9.2p1 Debian-2+deb12u6, OpenSSL 3.0.19", &[9, 2]),
            ("nginx version: nginx/1.22.1", &[1, 22, 1]),
            ("no version here. 5", &[]),
        ];
        for (text, parts) in cases {
            assert_eq!(version(text), parts, "{text}");
        }
    }

    #[test]
    fn the_folder_of_openssl_modules() {
        assert_eq!(quoted("MODULESDIR: \"/usr/lib/ossl-modules\"\n"), Some("/usr/lib/ossl-modules".into()));
        assert_eq!(quoted("unknown option"), None);
    }
}
