//! GenerateDataKey and Decrypt, what they refuse, and what goes wrong on command.

use std::{collections::BTreeMap, thread, time::Duration};

use document_maker::{Authority, Key};
use kms_double::{Keys, Server};
use serde_json::{Value, json};

use crate::{
    client::{Enclave, KEY, OTHER_KEY, SIGNED, arn, bytes, call, code, now, policy, post, recipient, start},
    envelopes::open,
};

fn started() -> (Enclave, Server) {
    let enclave = Enclave::new();
    let wanted = json!({"StringEqualsIgnoreCase": {"kms:RecipientAttestation:ImageSha384": enclave.pcr0()}});
    let server = start(&enclave, &policy(&wanted));
    (enclave, server)
}

fn generation(recipient: &Value) -> Value {
    json!({
        "KeyId": KEY,
        "KeySpec": "AES_256",
        "EncryptionContext": {"user_id": "somebody"},
        "Recipient": recipient,
    })
}

fn generate(enclave: &Enclave, server: &Server) -> (Vec<u8>, Vec<u8>) {
    let (status, answer) = call(server, "GenerateDataKey", &generation(&enclave.recipient(&enclave.draft())));
    assert_eq!(status, 200, "{answer}");
    let data_key = open(enclave, &bytes(&answer, "CiphertextForRecipient")).unwrap();
    (data_key, bytes(&answer, "CiphertextBlob"))
}

fn decryption(enclave: &Enclave, blob: &[u8]) -> Value {
    use base64ct::{Base64, Encoding};
    json!({
        "CiphertextBlob": Base64::encode_string(blob),
        "EncryptionContext": {"user_id": "somebody"},
        "Recipient": enclave.recipient(&enclave.draft()),
    })
}

#[test]
fn a_data_key_comes_back() {
    let (enclave, server) = started();
    let draft = enclave.draft();
    let (status, answer) = call(&server, "GenerateDataKey", &generation(&enclave.recipient(&draft)));
    assert_eq!(status, 200, "{answer}");
    let members: Vec<_> = answer.as_object().unwrap().keys().collect();
    assert_eq!(members, ["CiphertextBlob", "CiphertextForRecipient", "KeyId"]);
    assert_eq!(answer["KeyId"], KEY);
    let data_key = open(&enclave, &bytes(&answer, "CiphertextForRecipient")).unwrap();
    assert_eq!(data_key.len(), 32);

    let blob = bytes(&answer, "CiphertextBlob");
    for key in [None, Some(KEY), KEY.rsplit('/').next()] {
        let mut request = decryption(&enclave, &blob);
        if let Some(key) = key {
            request["KeyId"] = key.into();
        }
        let (status, answer) = call(&server, "Decrypt", &request);
        assert_eq!(status, 200, "{answer}");
        let members: Vec<_> = answer.as_object().unwrap().keys().collect();
        assert_eq!(members, ["CiphertextForRecipient", "EncryptionAlgorithm", "KeyId"]);
        assert_eq!(open(&enclave, &bytes(&answer, "CiphertextForRecipient")).unwrap(), data_key);
    }
    assert_ne!(generate(&enclave, &server).0, data_key);
}

#[test]
fn without_a_recipient_the_policy_decides_and_plaintext_comes() {
    let (_, server) = started();
    let mut request = generation(&Value::Null);
    let denied = call(&server, "GenerateDataKey", &request);
    assert_eq!((denied.0, code(&denied)), (400, "AccessDeniedException"));

    let server = start(&Enclave::new(), &policy(&json!({})));
    request["KeySpec"] = "AES_128".into();
    let (status, answer) = call(&server, "GenerateDataKey", &request);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(bytes(&answer, "Plaintext").len(), 16);
    assert_eq!(answer.get("CiphertextForRecipient"), None);
}

#[test]
fn a_ciphertext_belongs_to_its_key_and_context() {
    let (enclave, server) = started();
    let (_, blob) = generate(&enclave, &server);
    let code_of = |change: &dyn Fn(&mut Value)| {
        let mut request = decryption(&enclave, &blob);
        change(&mut request);
        let answer = call(&server, "Decrypt", &request);
        assert_eq!(answer.0, 400);
        code(&answer).to_owned()
    };
    let invalid = "InvalidCiphertextException";
    assert_eq!(code_of(&|request| request["EncryptionContext"]["user_id"] = "somebod".into()), invalid);
    assert_eq!(code_of(&|request| request["EncryptionContext"]["more"] = "".into()), invalid);
    assert_eq!(code_of(&|request| request["EncryptionContext"] = json!({})), invalid);
    assert_eq!(code_of(&|request| request["KeyId"] = OTHER_KEY.into()), "IncorrectKeyException");
    let unknown = KEY.replace("00a", "00c");
    assert_eq!(code_of(&|request| request["KeyId"] = unknown.as_str().into()), "NotFoundException");
    assert_eq!(code_of(&|request| request["CiphertextBlob"] = "".into()), "ValidationException");
    assert_eq!(code_of(&|request| request["CiphertextBlob"] = "a".into()), "SerializationException");
    for at in 0..blob.len() {
        let mut changed = blob.clone();
        changed[at] ^= 1;
        let answer = call(&server, "Decrypt", &decryption(&enclave, &changed));
        // The last digits of the key's id are in there too: that is then another key, or none.
        assert_eq!(code(&answer), invalid, "byte {at}");
    }
}

#[test]
fn what_is_asked_for_must_make_sense() {
    let (enclave, server) = started();
    let good = generation(&enclave.recipient(&enclave.draft()));
    let code_of = |operation: &str, change: &dyn Fn(&mut Value)| {
        let mut request = good.clone();
        change(&mut request);
        code(&call(&server, operation, &request)).to_owned()
    };
    let generate = |change: &dyn Fn(&mut Value)| code_of("GenerateDataKey", change);
    assert_eq!(generate(&|request| request["KeySpec"] = "AES_512".into()), "ValidationException");
    assert_eq!(generate(&|request| request["KeySpec"] = Value::Null), "ValidationException");
    assert_eq!(generate(&|request| request["NumberOfBytes"] = 32.into()), "ValidationException");
    assert_eq!(generate(&|request| request["KeyId"] = "nobody's".into()), "NotFoundException");
    assert_eq!(generate(&|request| request["KeyId"] = Value::Null), "SerializationException");
    let long = "x".repeat(8192);
    assert_eq!(
        generate(&|request| request["EncryptionContext"]["x"] = long.as_str().into()),
        "ValidationException"
    );
    let algorithm =
        |request: &mut Value| request["Recipient"]["KeyEncryptionAlgorithm"] = "RSAES_OAEP_SHA_1".into();
    assert_eq!(generate(&algorithm), "ValidationException");
    assert_eq!(code_of("Encrypt", &|_| ()), "UnknownOperationException");

    // A call that nobody signed, and none at all.
    let target = "X-Amz-Target: TrentService.GenerateDataKey\r\n";
    let (status, body) = post(&server, target, &good.to_string());
    assert!(status == 400 && body.contains("MissingAuthenticationTokenException"), "{status} {body}");
    let (status, body) = post(&server, SIGNED, &good.to_string());
    assert!(status == 400 && body.contains("UnknownOperationException"), "{status} {body}");
}

#[test]
fn a_document_that_is_not_genuine_is_refused() {
    let (enclave, server) = started();
    let good = enclave.draft();
    let refused = |document: &[u8], reason: &str| {
        let answer = call(&server, "GenerateDataKey", &generation(&recipient(document)));
        assert_eq!(code(&answer), "ValidationException");
        let message = answer.1["message"].as_str().unwrap();
        assert!(message.contains(reason), "{message}");
    };
    let mut tampered = good.sign(&enclave.authority);
    *tampered.last_mut().unwrap() ^= 1;
    refused(&tampered, "signature");
    refused(&good.sign(&Authority::new(now() / 1000)), "root");
    refused(&[], "");
    let mut old = good.clone();
    old.timestamp -= 6 * 60 * 1000;
    refused(&old.sign(&enclave.authority), "old");
    let mut without_key = good.clone();
    without_key.public_key = None;
    refused(&without_key.sign(&enclave.authority), "no public key");
    let mut other_key = good;
    other_key.public_key = Some(Key::generate().point().to_vec());
    refused(&other_key.sign(&enclave.authority), "not an RSA key");
}

#[test]
fn what_is_commanded_happens() {
    let (enclave, server) = started();
    let faults = &server.service().faults;
    let request = generation(&enclave.recipient(&enclave.draft()));
    let ask = || call(&server, "GenerateDataKey", &request);

    for (code_wanted, status) in
        [("ThrottlingException", 400), ("KMSInternalException", 500), ("DependencyTimeoutException", 503)]
    {
        faults.command(&format!("fail 2 {code_wanted}")).unwrap();
        for _ in 0..2 {
            let answer = ask();
            assert_eq!((answer.0, code(&answer)), (status, code_wanted));
        }
        assert_eq!(ask().0, 200);
    }
    faults.command("plaintext").unwrap();
    let answer = ask().1;
    assert_eq!(bytes(&answer, "Plaintext").len(), 32);
    assert_eq!(answer.get("CiphertextForRecipient"), None);
    faults.command("both").unwrap();
    let answer = ask().1;
    let sealed = bytes(&answer, "CiphertextForRecipient");
    assert_eq!(open(&enclave, &sealed).unwrap(), bytes(&answer, "Plaintext"));
    faults.command("honest").unwrap();
    assert_eq!(ask().1.get("Plaintext"), None);

    faults.command("cut 1").unwrap();
    let (status, body) = post(
        &server,
        &format!("X-Amz-Target: TrentService.GenerateDataKey\r\n{SIGNED}"),
        &request.to_string(),
    );
    assert_eq!(status, 200);
    assert!(serde_json::from_str::<BTreeMap<String, Value>>(&body).is_err(), "{body}");

    assert_eq!(faults.command("calls GenerateDataKey").unwrap(), "13");
    assert_eq!(faults.command("calls Decrypt").unwrap(), "0");
    faults.command("dance").unwrap_err();

    faults.command("hold").unwrap();
    thread::scope(|scope| {
        let held = scope.spawn(ask);
        while faults.command("waiting").unwrap() != "1" {
            thread::sleep(Duration::from_millis(5));
        }
        faults.command("release").unwrap();
        assert_eq!(held.join().unwrap().0, 200);
    });
}

#[test]
fn keys_survive_a_restart_and_only_their_own_file_opens_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let (enclave, first) = started();
    let (data_key, blob) = generate(&enclave, &first);
    // Another double, with keys of the same names.
    let second = start(&enclave, &policy(&json!({})));
    let answer = call(&second, "Decrypt", &decryption(&enclave, &blob));
    assert_eq!(code(&answer), "InvalidCiphertextException");
    drop(data_key);

    Keys::open(&path, &[arn(KEY)]).unwrap();
    let written = std::fs::read(&path).unwrap();
    // Opened again it is not changed; another key is added to it.
    Keys::open(&path, &[arn(KEY)]).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), written);
    Keys::open(&path, &[arn(OTHER_KEY)]).unwrap();
    let (before, after) = (parsed(&written), parsed(&std::fs::read(&path).unwrap()));
    assert_eq!(before["keys"][KEY], after["keys"][KEY]);
    assert!(after["keys"][OTHER_KEY].is_string());
    std::fs::write(&path, b"{\"keys\":{").unwrap();
    Keys::open(&path, &[arn(KEY)]).unwrap_err();
}

fn parsed(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap()
}
