//! CiphertextForRecipient: EnvelopedData (RFC 5652 section 6), as KMS writes it: BER of indefinite lengths, one
//! recipient by RSAES-OAEP with SHA-256, AES-256-CBC.

use algorithms::{
    SecretBytes,
    aes::{Cipher, Direction, Mode},
};
use cms::{
    content_info::ContentInfo,
    enveloped_data::{EnvelopedData, KeyTransRecipientInfo, RecipientInfo},
};
use der::{
    Decode, Encode,
    asn1::{ObjectIdentifier, OctetStringRef},
};
use zeroize::Zeroizing;

use crate::recipient::Recipient;

const ENVELOPED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.3");
const RSAES_OAEP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.7");
const AES_256_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.42");
/// hashFunc SHA-256 and maskGenFunc MGF1 with SHA-256 (RFC 4055 section 4.1); pSource is the default.
const OAEP_SHA256: &[u8] = &[
    0x30, 0x2f, 0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01,
    0x05, 0x00, 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08,
    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
];
/// The longest that is looked at; KMS' own have less than 600 bytes.
const LONGEST: usize = 4096;

/// Why an envelope was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EnvelopeError {
    /// No EnvelopedData with one recipient and these algorithms.
    Form,
    /// It is to another key, of another question or another enclave; or it has been opened before.
    OtherRecipient,
    /// What is inside was altered.
    Content,
}

/// Opens an envelope.
pub(crate) fn open(envelope: &[u8], recipient: &Recipient) -> Result<SecretBytes, EnvelopeError> {
    let data = parse(envelope).ok_or(EnvelopeError::Form)?;
    let key = recipient.decrypt(data.to.enc_key.as_bytes()).ok_or(EnvelopeError::OtherRecipient)?;
    let decrypted = || {
        let mode = Mode::CbcPad { iv: data.iv };
        let mut cipher = Cipher::new(mode, Direction::Decrypt, &key)?;
        let mut out = Zeroizing::new(Vec::with_capacity(data.content.len() + 32));
        cipher.update(&data.content, &mut out)?;
        cipher.finish(&mut out)?;
        Ok(SecretBytes::new(&out))
    };
    decrypted().map_err(|_: algorithms::Error| EnvelopeError::Content)
}

struct Parts {
    to: KeyTransRecipientInfo,
    iv: [u8; 16],
    content: Vec<u8>,
}

fn parse(envelope: &[u8]) -> Option<Parts> {
    if envelope.len() > LONGEST {
        return None;
    }
    let outer = ContentInfo::from_ber(envelope).ok()?;
    if outer.content_type != ENVELOPED_DATA {
        return None;
    }
    let inner = EnvelopedData::from_ber(&outer.content.to_der().ok()?).ok()?;
    let mut recipients = inner.recip_infos.0.into_vec();
    let (Some(RecipientInfo::Ktri(to)), true) = (recipients.pop(), recipients.is_empty()) else {
        return None;
    };
    let oaep = to.key_enc_alg.parameters.as_ref()?.to_der().ok()?;
    if to.key_enc_alg.oid != RSAES_OAEP || oaep != OAEP_SHA256 {
        return None;
    }
    let encrypted = inner.encrypted_content;
    let iv = encrypted.content_enc_alg.parameters.as_ref()?.decode_as::<&OctetStringRef>().ok()?;
    let iv = iv.as_bytes().try_into().ok()?;
    let content = encrypted.encrypted_content?.into_bytes().into_vec();
    (encrypted.content_enc_alg.oid == AES_256_CBC).then_some(Parts { to, iv, content })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// An answer of the real KMS, whose key nobody has: only its form can be looked at. TRELLIS_NITRO_DOCUMENTS names the
    /// folder that has it (CONTRIBUTING.md).
    #[test]
    fn the_form_is_that_of_the_real_kms() {
        let folder = std::env::var_os("TRELLIS_NITRO_DOCUMENTS").filter(|folder| !folder.is_empty());
        let Some(folder) = folder else {
            let line = "the_form_is_that_of_the_real_kms: TRELLIS_NITRO_DOCUMENTS names no folder";
            // Past the harness, which hides what passes.
            let told = std::io::stderr().write_all(format!("NOT RUN: {line}\n").as_bytes());
            told.expect("standard error is there");
            if let Some(path) = std::env::var_os("TRELLIS_TESTS_NOT_RUN") {
                let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
                writeln!(file.expect("the list can be written"), "optional: {line}").expect("as well");
            }
            return;
        };
        let sample = std::fs::read(std::path::Path::new(&folder).join("kms_cms_sample1.ber"));
        let sample = sample.expect("the folder has an answer of KMS");
        let parts = parse(&sample).expect("it is understood");
        assert_eq!((parts.to.enc_key.as_bytes().len(), parts.content.len()), (256, 16));
        // Cut short anywhere it is nothing.
        for length in 0..sample.len() {
            assert!(parse(&sample[..length]).is_none(), "{length}");
        }
        // Another hash or cipher than was asked for is not used: SHA-1 for both, AES-128.
        let sha256: [u8; 11] = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
        for at in (0..sample.len() - sha256.len()).filter(|at| sample[*at..].starts_with(&sha256)) {
            let mut other = sample.clone();
            other[at + sha256.len() - 1] = 4;
            assert!(parse(&other).is_none());
        }
        let aes = sample.windows(2).rposition(|bytes| bytes == [0x01, 0x2a]).expect("AES-256-CBC");
        let mut other = sample.clone();
        other[aes + 1] = 0x02;
        assert!(parse(&other).is_none());
    }
}
