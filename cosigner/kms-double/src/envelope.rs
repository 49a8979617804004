//! `CiphertextForRecipient`: CMS EnvelopedData (RFC 5652) as the real KMS encodes it, in indefinite-length BER, with
//! RSAES-OAEP over SHA-256 (RFC 8017) for the recipient's key and AES-256-CBC for the content.

use aws_lc_rs::{
    cipher::{AES_256, DecryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey},
    rand,
    rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey},
};
use zeroize::Zeroizing;

const INTEGER_2: &[u8] = &[0x02, 0x01, 0x02];
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]` around other elements; as the content's tag, with its pieces inside.
const CONSTRUCTED_0: u8 = 0xa0;
const CONSTRUCTED_1: u8 = 0xa1;
/// `[0]` with bytes inside: subjectKeyIdentifier.
const PRIMITIVE_0: u8 = 0x80;
/// The end of an element of indefinite length.
const END: &[u8] = &[0, 0];

const NULL: &[u8] = &[0x05, 0x00];
const ENVELOPED_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03];
const DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const RSAES_OAEP: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07];
const MGF1: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
const SHA256: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const AES_256_CBC: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];

/// Encrypts `content` to an RSA key (SubjectPublicKeyInfo in DER, 2048 bits or more). `None` for any other key.
pub fn seal(recipient: &[u8], content: &[u8]) -> Option<Vec<u8>> {
    let key = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(recipient).ok()?).ok()?;
    let mut content_key = Zeroizing::new([0; 32]);
    rand::fill(&mut *content_key).ok()?;
    let mut encrypted_key = vec![0; key.ciphertext_size()];
    let length = key.encrypt(&OAEP_SHA256_MGF1SHA256, &*content_key, &mut encrypted_key, None).ok()?.len();
    encrypted_key.truncate(length);

    let cipher = UnboundCipherKey::new(&AES_256, &*content_key).ok()?;
    let mut encrypted = Zeroizing::new(content.to_vec());
    let context = PaddedBlockEncryptingKey::cbc_pkcs7(cipher).ok()?.encrypt(&mut *encrypted).ok()?;
    let DecryptionContext::Iv128(iv) = context else { return None };
    let iv: &[u8; 16] = iv.as_ref();
    Some(encode(&attest::sha256(recipient), &encrypted_key, iv, &encrypted))
}

fn encode(recipient: &[u8], encrypted_key: &[u8], iv: &[u8], encrypted: &[u8]) -> Vec<u8> {
    let sha256 = element(SEQUENCE, &[SHA256, NULL]);
    let mask = element(SEQUENCE, &[MGF1, &sha256]);
    let parameters =
        element(SEQUENCE, &[&element(CONSTRUCTED_0, &[&sha256]), &element(CONSTRUCTED_1, &[&mask])]);
    let key_transport = element(
        SEQUENCE,
        &[
            INTEGER_2,
            &element(PRIMITIVE_0, &[recipient]),
            &element(SEQUENCE, &[RSAES_OAEP, &parameters]),
            &element(OCTET_STRING, &[encrypted_key]),
        ],
    );
    let cipher = element(SEQUENCE, &[AES_256_CBC, &element(OCTET_STRING, &[iv])]);
    let pieces = indefinite(CONSTRUCTED_0, &[&element(OCTET_STRING, &[encrypted])]);
    let content = indefinite(SEQUENCE, &[DATA, &cipher, &pieces]);
    let enveloped = indefinite(SEQUENCE, &[INTEGER_2, &element(SET, &[&key_transport]), &content]);
    indefinite(SEQUENCE, &[ENVELOPED_DATA, &indefinite(CONSTRUCTED_0, &[&enveloped])])
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = match u16::try_from(content.len()).expect("an RSA key and a data key are short") {
        short @ 0..=0x7f => vec![short as u8],
        medium @ 0x80..=0xff => vec![0x81, medium as u8],
        long => [&[0x82], &long.to_be_bytes()[..]].concat(),
    };
    [&[tag], &length[..], &content].concat()
}

fn indefinite(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    [&[tag, 0x80], &parts.concat()[..], END].concat()
}
