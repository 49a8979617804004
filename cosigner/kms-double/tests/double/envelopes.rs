//! CiphertextForRecipient beside a real one.

use std::{fs, io::Write, process::Command};

use aws_lc_rs::{
    cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey},
    encoding::{AsDer, Pkcs8V1Der},
    iv::FixedLength,
    rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey},
};
use kms_double::envelope;

use crate::{ber::Element, client::Enclave};

/// What the real service answered once, element by element: only the length of the encrypted content, here of a data
/// key of 32 bytes, depends on what was asked for.
const OUTLINE: &str = "\
30 indefinite
 06 2a864886f70d010703
 a0 indefinite
  30 indefinite
   02 02
   31 definite
    30 definite
     02 02
     80 32 bytes
     30 definite
      06 2a864886f70d010107
      30 definite
       a0 definite
        30 definite
         06 608648016503040201
         05 
       a1 definite
        30 definite
         06 2a864886f70d010108
         30 definite
          06 608648016503040201
          05 
     04 256 bytes
   30 indefinite
    06 2a864886f70d010701
    30 definite
     06 60864801650304012a
     04 16 bytes
    a0 indefinite
     04 48 bytes
";

#[test]
fn an_envelope_is_built_like_the_real_ones() {
    let sealed = envelope::seal(&Enclave::new().public_key(), &[7; 32]).unwrap();
    assert_eq!(Element::whole(&sealed).outline(), OUTLINE);
}

#[test]
fn the_outline_is_that_of_a_real_answer() {
    let test = "the_outline_is_that_of_a_real_answer";
    let Some(folder) = std::env::var_os("TRELLIS_NITRO_DOCUMENTS").filter(|folder| !folder.is_empty()) else {
        let reason = "TRELLIS_NITRO_DOCUMENTS names no folder with an answer of the real KMS";
        std::io::stderr().write_all(format!("NOT RUN: {test}: {reason}\n").as_bytes()).unwrap();
        if let Some(path) = std::env::var_os("TRELLIS_TESTS_NOT_RUN") {
            let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
            file.write_all(format!("optional: {test}: {reason}\n").as_bytes()).unwrap();
        }
        return;
    };
    let real = fs::read(std::path::Path::new(&folder).join("kms_cms_sample1.ber")).unwrap();
    // Its content was shorter than one block.
    assert_eq!(Element::whole(&real).outline(), OUTLINE.replace("04 48 bytes", "04 16 bytes"));
}

#[test]
fn only_the_recipient_opens_it() {
    let (enclave, stranger) = (Enclave::new(), Enclave::new());
    let sealed = envelope::seal(&enclave.public_key(), b"a data key").unwrap();
    assert_eq!(open(&enclave, &sealed).unwrap(), b"a data key");
    assert_eq!(open(&stranger, &sealed), None);
    // Nothing is the same the next time.
    let again = envelope::seal(&enclave.public_key(), b"a data key").unwrap();
    let parts = |sealed: &[u8]| {
        let (transport, content) = parts(sealed);
        [
            transport.at(&[3]).bytes.clone(),
            content.at(&[1, 1]).bytes.clone(),
            content.at(&[2, 0]).bytes.clone(),
        ]
    };
    for (one, other) in parts(&sealed).iter().zip(parts(&again)) {
        assert_ne!(one, &other);
    }
}

#[test]
fn openssl_opens_it() {
    let enclave = Enclave::new();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let key: Pkcs8V1Der<'_> = enclave.key.as_der().unwrap();
    fs::write(path("key"), key.as_ref()).unwrap();
    fs::write(path("envelope"), envelope::seal(&enclave.public_key(), &[9; 32]).unwrap()).unwrap();
    let openssl = Command::new("openssl")
        .args(["cms", "-decrypt", "-inform", "DER", "-binary", "-in"])
        .arg(path("envelope"))
        .args(["-keyform", "DER", "-inkey"])
        .arg(path("key"))
        .arg("-out")
        .arg(path("content"))
        .output()
        .expect("openssl can be run");
    assert!(openssl.status.success(), "{}", String::from_utf8_lossy(&openssl.stderr));
    assert_eq!(fs::read(path("content")).unwrap(), [9; 32]);
}

#[test]
fn only_rsa_keys_are_written_to() {
    assert_eq!(envelope::seal(b"", &[7; 32]), None);
    let key = Enclave::new().public_key();
    assert_eq!(envelope::seal(&key[..key.len() - 1], &[7; 32]), None);
}

/// KeyTransRecipientInfo and EncryptedContentInfo.
fn parts(sealed: &[u8]) -> (Element, Element) {
    let mut enveloped = Element::whole(sealed).children.remove(1).children.remove(0);
    let content = enveloped.children.remove(2);
    (enveloped.children.remove(1).children.remove(0), content)
}

/// What the enclave makes of it, with the engine's own functions.
pub(crate) fn open(enclave: &Enclave, sealed: &[u8]) -> Option<Vec<u8>> {
    let (transport, content) = parts(sealed);
    let key = OaepPrivateDecryptingKey::new(enclave.key.clone()).unwrap();
    let mut content_key = vec![0; key.min_output_size()];
    let encrypted = &transport.at(&[3]).bytes;
    let content_key = key.decrypt(&OAEP_SHA256_MGF1SHA256, encrypted, &mut content_key, None).ok()?;
    let iv = FixedLength::<16>::try_from(content.at(&[1, 1]).bytes.as_slice()).unwrap();
    let cipher = UnboundCipherKey::new(&AES_256, content_key).unwrap();
    let mut bytes = content.at(&[2, 0]).bytes.clone();
    let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(cipher).unwrap();
    Some(cipher.decrypt(&mut bytes, DecryptionContext::Iv128(iv)).unwrap().to_vec())
}
