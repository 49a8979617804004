//! The key policy of packaging/nitro, as its scripts make it, in force.

use std::{fs, path::PathBuf, process::Command};

use kms_double::{Facts, Policy};
use serde_json::{Value, json};

use crate::client::{CALLER, Enclave, KEY, call, code, start};

const ADMIN: &str = "arn:aws:iam::111122223333:role/key-admin";

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../packaging/nitro").join(name)
}

/// What nitro-cli says of an image whose registers are these bytes all over, and the manifest of it.
fn manifest(pcr0: &str, pcr8: &str) -> Result<String, String> {
    let pcr = |byte: &str| byte.repeat(48);
    let measurements = json!({"Measurements": {
        "HashAlgorithm": "Sha384 { ... }",
        "PCR0": pcr(pcr0), "PCR1": pcr("11"), "PCR2": pcr("12"), "PCR8": pcr(pcr8),
    }});
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("measurements");
    fs::write(&input, serde_json::to_string_pretty(&measurements).unwrap()).unwrap();
    let output = Command::new(script("manifest.sh"))
        .arg("0.1.0")
        .stdin(fs::File::open(input).unwrap())
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

/// The policy for the images of these manifests.
fn key_policy(admin: &str, manifests: &[String]) -> Result<Value, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(script("key-policy.sh"));
    command.args([admin, CALLER]);
    for (at, manifest) in manifests.iter().enumerate() {
        let path = folder.path().join(at.to_string());
        fs::write(&path, manifest).unwrap();
        command.arg(path);
    }
    let output = command.output().unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

/// Whether an enclave with these registers gets a data key, and where there is none, why.
fn data_key(policy: &Value, change: impl Fn(&Enclave, &mut Value)) -> Result<(), String> {
    let enclave = Enclave::new();
    let server = start(&enclave, policy);
    let mut request = json!({
        "KeyId": KEY,
        "KeySpec": "AES_256",
        "EncryptionContext": {"user_id": "somebody"},
        "Recipient": enclave.recipient(&enclave.draft()),
    });
    change(&enclave, &mut request);
    match call(&server, "GenerateDataKey", &request) {
        (200, answer) => {
            assert_eq!(answer.get("Plaintext"), None);
            Ok(())
        }
        refused => Err(code(&refused).to_owned()),
    }
}

fn with_pcr(index: usize, byte: u8) -> impl Fn(&Enclave, &mut Value) {
    move |enclave, request| {
        let mut draft = enclave.draft();
        draft.pcrs[index] = [byte; 48];
        request["Recipient"] = enclave.recipient(&draft);
    }
}

#[test]
fn only_the_enclaves_of_the_manifests_get_data_keys() {
    let old = manifest("10", "18").unwrap();
    let denied = Err("AccessDeniedException".to_owned());
    let policy = key_policy(ADMIN, std::slice::from_ref(&old)).unwrap();
    assert_eq!(data_key(&policy, |_, _| ()), Ok(()));
    assert_eq!(data_key(&policy, with_pcr(0, 0x20)), denied);
    assert_eq!(data_key(&policy, with_pcr(8, 0x28)), denied);
    // Debug mode.
    assert_eq!(data_key(&policy, with_pcr(0, 0)), denied);
    // During an upgrade both.
    let policy = key_policy(ADMIN, &[old, manifest("20", "18").unwrap()]).unwrap();
    assert_eq!(data_key(&policy, |_, _| ()), Ok(()));
    assert_eq!(data_key(&policy, with_pcr(0, 0x20)), Ok(()));
    assert_eq!(data_key(&policy, with_pcr(0, 0x30)), denied);

    // Nothing without a recipient, without a user, or with more in the context.
    assert_eq!(data_key(&policy, |_, request| request["Recipient"] = Value::Null), denied);
    assert_eq!(data_key(&policy, |_, request| request["EncryptionContext"] = json!({})), denied);
    assert_eq!(data_key(&policy, |_, request| request["EncryptionContext"]["more"] = "".into()), denied);
}

#[test]
fn nobody_wraps_a_data_key_of_his_own() {
    let policy = key_policy(ADMIN, &[manifest("10", "18").unwrap()]).unwrap();
    let policy = Policy::parse(policy.to_string().as_bytes()).unwrap();
    let context = [("user_id".to_owned(), "somebody".to_owned())].into();
    let allows = |caller: &str, action: &str| {
        policy.allows(caller, action, &Facts { pcrs: [].into(), context: &context })
    };
    for action in [
        "Encrypt",
        "ReEncryptTo",
        "ReEncryptFrom",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateDataKeyPair",
        "CreateGrant",
        "Decrypt",
        "GenerateDataKey",
    ] {
        for caller in [CALLER, ADMIN, "arn:aws:iam::111122223333:root"] {
            assert!(!allows(caller, &format!("kms:{action}")), "{caller} {action}");
        }
    }
    assert!(allows(ADMIN, "kms:PutKeyPolicy") && allows(ADMIN, "kms:ScheduleKeyDeletion"));
    assert!(!allows(CALLER, "kms:PutKeyPolicy") && !allows(CALLER, "kms:ScheduleKeyDeletion"));
}

#[test]
fn what_would_make_a_wrong_policy_is_refused() {
    assert!(manifest("00", "18").unwrap_err().contains("PCR0 is zero"));
    assert!(manifest("10", "1").unwrap_err().contains("no PCR8"));
    let good = manifest("10", "18").unwrap();
    let parsed: Value = serde_json::from_str(&good).unwrap();
    assert_eq!(parsed["pcrs"]["PCR2"], "12".repeat(48));
    assert_eq!(parsed["enclave_version"], "0.1.0");
    let error = key_policy("arn:aws:iam::111122223333:root", std::slice::from_ref(&good)).unwrap_err();
    assert!(error.contains("not the ARN of a role"), "{error}");
    let error = key_policy("x|e touch /tmp/x", std::slice::from_ref(&good)).unwrap_err();
    assert!(error.contains("not the ARN of a role"), "{error}");
    let error = key_policy(ADMIN, &[good, "{}".to_owned()]).unwrap_err();
    assert!(error.contains("no PCR0"), "{error}");
}
