//! Fields of associated data: strings with their lengths, so that no two lists of them read alike.

use cosigner_protocol::{KmsKey, UserId};

/// Adds a text's length in two bytes, the most significant first, and the text.
fn text16(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("ids and ARNs have at most 256 bytes");
    out.extend(length.to_be_bytes());
    out.extend(text.as_bytes());
}

/// Adds a user id.
pub(crate) fn user_id(out: &mut Vec<u8>, id: &UserId) {
    text16(out, id.as_str());
}

/// Adds the ARN of a KMS key.
pub(crate) fn kms_key(out: &mut Vec<u8>, key: &KmsKey) {
    text16(out, key.as_str());
}

/// Adds a text's length in one byte, and the text.
pub(crate) fn text8(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).expect("names of algorithms are short"));
    out.extend(text.as_bytes());
}
