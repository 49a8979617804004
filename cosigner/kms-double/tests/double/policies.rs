//! Key policies mean what they mean to AWS.

use kms_double::Policy;
use serde_json::{Value, json};

use crate::client::{CALLER, Enclave, KEY, call, code, policy, start};

/// Whether a policy lets an enclave with the registers of a fresh draft (PCRn is n + 0x10 all over) have a data key for
/// somebody.
fn allows(policy: &Value) -> bool {
    let enclave = Enclave::new();
    let server = start(&enclave, policy);
    let request = json!({
        "KeyId": KEY,
        "KeySpec": "AES_256",
        "EncryptionContext": {"user_id": "somebody"},
        "Recipient": enclave.recipient(&enclave.draft()),
    });
    match call(&server, "GenerateDataKey", &request) {
        (200, _) => true,
        denied => {
            assert_eq!(code(&denied), "AccessDeniedException");
            false
        }
    }
}

#[test]
fn conditions_hold_or_do_not() {
    let pcr = |byte: &str| byte.repeat(48);
    let holds = |conditions: Value| allows(&policy(&conditions));
    assert!(holds(json!({})));
    let equals = |key: &str, value: Value| json!({"StringEqualsIgnoreCase": {key: value}});
    assert!(holds(equals("kms:RecipientAttestation:ImageSha384", pcr("10").into())));
    assert!(holds(equals("kms:RecipientAttestation:PCR0", json!([pcr("aa"), pcr("10")]))));
    assert!(holds(equals("kms:recipientattestation:pcr8", pcr("18").into())));
    assert!(!holds(equals("kms:RecipientAttestation:ImageSha384", pcr("11").into())));
    assert!(!holds(equals("kms:RecipientAttestation:PCR8", pcr("10").into())));
    assert!(!holds(equals("kms:RecipientAttestation:PCR31", pcr("00").into())));
    assert!(holds(equals("kms:EncryptionContext:user_id", "SOMEBODY".into())));
    assert!(!holds(json!({"StringEquals": {"kms:EncryptionContext:user_id": "SOMEBODY"}})));
    assert!(!holds(equals("kms:EncryptionContext:User_id", "somebody".into())));
    // Two conditions: both.
    let both = |pcr8: &str| {
        json!({"StringEqualsIgnoreCase": {
            "kms:RecipientAttestation:PCR0": pcr("10"), "kms:RecipientAttestation:PCR8": pcr8,
        }})
    };
    assert!(holds(both(&pcr("18"))));
    assert!(!holds(both(&pcr("19"))));
    let not = |key: &str| json!({"StringNotEqualsIgnoreCase": {key: pcr("10")}});
    assert!(!holds(not("kms:RecipientAttestation:PCR0")));
    assert!(holds(not("kms:RecipientAttestation:PCR1")));
    assert!(holds(not("kms:RecipientAttestation:PCR31")));
    let null = |key: &str, value: &str| json!({"Null": {key: value}});
    assert!(holds(null("kms:RecipientAttestation:PCR0", "false")));
    assert!(!holds(null("kms:RecipientAttestation:PCR31", "false")));
    assert!(holds(null("kms:RecipientAttestation:PCR31", "true")));
    let keys = |operator: &str, value: Value| json!({operator: {"kms:EncryptionContextKeys": value}});
    assert!(holds(keys("ForAllValues:StringEquals", "user_id".into())));
    assert!(!holds(keys("ForAllValues:StringEquals", "other".into())));
    assert!(holds(keys("ForAnyValue:StringEquals", json!(["other", "user_id"]))));
}

#[test]
fn a_statement_is_for_its_principals_and_actions() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut policy = policy(&json!({}));
        change(&mut policy["Statement"][0]);
        allows(&policy)
    };
    assert!(with(&|statement| statement["Principal"] = "*".into()));
    assert!(with(&|statement| statement["Principal"]["AWS"] = json!(["arn:x", CALLER])));
    assert!(!with(&|statement| statement["Principal"]["AWS"] = "arn:aws:iam::111122223333:root".into()));
    assert!(with(&|statement| statement["Action"] = "kms:Generate*".into()));
    assert!(with(&|statement| statement["Action"] = "kms:*".into()));
    assert!(!with(&|statement| statement["Action"] = "kms:Decrypt".into()));
    assert!(!with(&|statement| statement["Effect"] = "Deny".into()));
}

#[test]
fn who_denies_wins() {
    let mut policy = policy(&json!({}));
    let mut deny = policy["Statement"][0].clone();
    deny["Effect"] = "Deny".into();
    deny["Principal"] = "*".into();
    let other_image = "11".repeat(48);
    deny["Condition"] = json!({"StringNotEqualsIgnoreCase": {"kms:RecipientAttestation:PCR0": other_image}});
    policy["Statement"].as_array_mut().unwrap().push(deny);
    assert!(!allows(&policy));
    policy["Statement"][1]["Condition"]["StringNotEqualsIgnoreCase"]["kms:RecipientAttestation:PCR0"] =
        "10".repeat(48).into();
    assert!(allows(&policy));
}

#[test]
fn what_is_not_understood_is_not_passed_over() {
    let refused = |change: &dyn Fn(&mut Value), reason: &str| {
        let mut policy = policy(&json!({}));
        change(&mut policy);
        let error = Policy::parse(policy.to_string().as_bytes()).unwrap_err();
        assert!(error.contains(reason), "{error}");
    };
    refused(&|policy| policy["Version"] = "2008-10-17".into(), "2008");
    refused(&|policy| policy["Statement"][0]["NotAction"] = "kms:Decrypt".into(), "NotAction");
    refused(&|policy| policy["Statement"][0]["Resource"] = KEY.into(), "resource");
    refused(&|policy| policy["Statement"][0]["Action"] = "s3:Get".into(), "s3:Get");
    refused(&|policy| policy["Statement"][0]["Action"] = "kms:*Key".into(), "kms:*Key");
    refused(&|policy| policy["Statement"][0]["Principal"] = "me".into(), "me");
    refused(
        &|policy| policy["Statement"][0]["Condition"] = json!({"StringLike": {"kms:x": "y"}}),
        "StringLike",
    );
    refused(&|policy| policy["Statement"][0]["Condition"] = json!({"StringEquals": {"aws:x": "y"}}), "aws:x");
    let set = json!({"StringEquals": {"kms:EncryptionContextKeys": "user_id"}});
    refused(&|policy| policy["Statement"][0]["Condition"] = set.clone(), "ForAllValues");
}
