//! docs/pkcs11-support.md says of each mechanism what the table says.

use cryptoki_sys as ck;

use super::{MECHANISMS, Mechanism, ParameterKind};

const DOCUMENT: &str = include_str!("../../../docs/pkcs11-support.md");

#[test]
fn the_document_has_the_mechanism_table() {
    let documented: Vec<_> = DOCUMENT.lines().filter(|line| line.starts_with("| `CKM_")).collect();
    let expected: Vec<_> = MECHANISMS.iter().map(line).collect();
    assert_eq!(documented, expected, "the rows should be:\n{}\n", expected.join("\n"));
}

fn line(row: &Mechanism) -> String {
    let uses = [
        (ck::CKF_DIGEST, "digest"),
        (ck::CKF_SIGN, "sign"),
        (ck::CKF_VERIFY, "verify"),
        (ck::CKF_ENCRYPT, "encrypt"),
        (ck::CKF_DECRYPT, "decrypt"),
        (ck::CKF_WRAP, "wrap"),
        (ck::CKF_UNWRAP, "unwrap"),
        (ck::CKF_GENERATE, "generate"),
        (ck::CKF_GENERATE_KEY_PAIR, "generate"),
    ];
    let mut uses: Vec<_> =
        uses.into_iter().filter(|(flag, _)| row.flags & flag != 0).map(|(_, name)| name).collect();
    if row.scheme.is_single_part() {
        uses.push("one part only");
    }
    let unit = match row.key_type {
        ck::CKK_RSA | ck::CKK_EC | ck::CKK_EC_EDWARDS => " bits",
        _ if row.flags & ck::CKF_GENERATE != 0 && row.key_type == ck::CKK_GENERIC_SECRET => " bits",
        _ => " bytes",
    };
    let size = match row.key_size {
        (0, 0) => String::new(),
        (min, max) if min == max => format!("{min}{unit}"),
        (min, max) => format!("{min} to {max}{unit}"),
    };
    let parameter = match row.parameter {
        ParameterKind::None => "",
        ParameterKind::SignContext => "none or `CK_SIGN_ADDITIONAL_CONTEXT`",
        ParameterKind::HashSignContext => "`CK_HASH_SIGN_ADDITIONAL_CONTEXT`",
        ParameterKind::Eddsa => "none or `CK_EDDSA_PARAMS`",
        ParameterKind::Pss => "`CK_RSA_PKCS_PSS_PARAMS`",
        ParameterKind::Iv16 => "16 bytes",
        ParameterKind::Ctr => "`CK_AES_CTR_PARAMS`",
        ParameterKind::Gcm => "`CK_GCM_PARAMS`",
        ParameterKind::KeyWrapIv => "none or 8 bytes",
        ParameterKind::PaddedKeyWrapIv => "none or 4 bytes",
        ParameterKind::MacLength => "`CK_MAC_GENERAL_PARAMS`",
    };
    format!("| `{}` | {} | {size} | {parameter} |", row.name, uses.join(", "))
}
