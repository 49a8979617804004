//! The files of packaging/nitro: systemd understands the units, the program its command line, and they agree with each other.
//! (The key policy is tested with the KMS double.)
#![expect(clippy::unwrap_used, reason = "the whole program is tests")]

use std::{fs, io::Write, path::PathBuf, process::Command};

use clap::Parser;
use cosigner_host::Options;
use cosigner_protocol::Address;
use serde_json::Value;

const HOST: &str = "trellis-cosigner-host.service";
const ENCLAVE: &str = "trellis-enclave.service";

fn packaged(name: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../packaging/nitro").join(name))
        .unwrap()
}

/// The words of ExecStart=, with the one variable filled in.
fn command_line(unit: &str) -> Vec<String> {
    let unit = unit.replace("\\\n", " ");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let key = "arn:aws:kms:eu-central-1:111122223333:key/1";
    line.split_whitespace().map(|word| word.replace("${KMS_KEY}", key)).collect()
}

#[test]
fn the_program_understands_its_unit() {
    let options = Options::try_parse_from(command_line(&packaged(HOST))).unwrap();
    // Where systemd makes the folders that the unit asks for.
    assert_eq!(options.listen, Address::Unix("/run/trellis-cosigner/socket".into()));
    assert!(packaged(HOST).contains("\nRuntimeDirectory=trellis-cosigner\n"));
    assert_eq!(options.records.parent().unwrap().to_str(), Some("/var/lib/trellis-cosigner"));
    assert!(packaged(HOST).contains("\nStateDirectory=trellis-cosigner\n"));
    // The enclave gets the CID at which the host looks for it, and listens at its own default port.
    let enclave: Value = serde_json::from_str(&packaged("enclave.json")).unwrap();
    let cid = u32::try_from(enclave["enclave_cid"].as_u64().unwrap()).unwrap();
    assert_eq!(options.enclave, Address::Vsock { cid, port: 5005 });
    #[derive(Parser)]
    struct Enclave {
        #[command(flatten)]
        options: enclave::Options,
    }
    let defaults = format!("{:?}", Enclave::try_parse_from(["enclave"]).unwrap().options);
    assert!(defaults.contains("port: 5005"), "{defaults}");
    // Never in debug mode, and with no more than is set aside.
    assert_eq!(enclave["debug_mode"], false);
    let allocator = packaged("allocator.yaml");
    for name in ["memory_mib", "cpu_count"] {
        assert!(allocator.contains(&format!("\n{name}: {}\n", enclave[name])), "{name}");
    }
}

#[test]
fn systemd_understands_the_units() {
    let folder = tempfile::tempdir().unwrap();
    for name in [HOST, ENCLAVE] {
        let unit = packaged(name);
        let program = &command_line(&unit)[0];
        // The programs are not installed where the tests run.
        fs::write(
            folder.path().join(name),
            unit.replace(&format!("ExecStart={program}"), "ExecStart=/bin/true"),
        )
        .unwrap();
    }
    // This one comes with AWS' package.
    let allocator = "[Service]\nType=oneshot\nExecStart=/bin/true\n";
    fs::write(folder.path().join("nitro-enclaves-allocator.service"), allocator).unwrap();
    let verify = |names: &[&str]| {
        let paths = names.iter().map(|name| folder.path().join(name));
        Command::new("systemd-analyze").arg("verify").args(paths).output()
    };
    let output = match verify(&[HOST, ENCLAVE]) {
        Ok(output) => output,
        Err(error) => {
            let reason = format!("systemd_understands_the_units: systemd-analyze: {error}\n");
            std::io::stderr().write_all(format!("NOT RUN: {reason}").as_bytes()).unwrap();
            if let Some(path) = std::env::var_os("TRELLIS_TESTS_NOT_RUN") {
                let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
                file.write_all(format!("optional: {reason}").as_bytes()).unwrap();
            }
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // It speaks of every unit of the machine; ours are to be without a word.
    let about_ours = |said: &str| said.lines().any(|line| line.contains("trellis-"));
    assert!(output.status.success() && !about_ours(&said), "{said}");

    let broken =
        fs::read_to_string(folder.path().join(HOST)).unwrap().replace("ProtectSystem=", "ProtectSytem=");
    fs::write(folder.path().join(HOST), broken).unwrap();
    let said = String::from_utf8_lossy(&verify(&[HOST]).unwrap().stderr).into_owned();
    assert!(about_ours(&said), "a wrong word is not noticed: {said}");
}
