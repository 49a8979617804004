//! How binary results and signatures are written: raw, base64, hexadecimal; and ECDSA's two forms.

use base64ct::{Base64, Encoding};
use clap::ValueEnum;
use der::asn1::{AnyRef, UintRef};
use der::{Decode, Encode, Reader, SliceReader, Tag};

use crate::algorithm::Algorithm;

/// The form of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Raw,
    Base64,
    Hex,
}

impl Format {
    /// Text forms end in a newline.
    pub(crate) fn encode(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Raw => bytes.to_vec(),
            Self::Base64 => (base64(bytes) + "\n").into_bytes(),
            Self::Hex => (hex(bytes) + "\n").into_bytes(),
        }
    }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hexadecimal text, also with colons between the bytes as other tools print identifiers.
pub(crate) fn parse_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':' && !byte.is_ascii_whitespace()).collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    let byte = |pair: &[u8; 2]| {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        Some(digit(pair[0])? << 4 | digit(pair[1])?)
    };
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// A signature as it lies in a file, brought to the form that PKCS#11 takes. Without a format the length tells.
pub(crate) fn read_signature(bytes: &[u8], format: Option<Format>, algorithm: Algorithm) -> Option<Vec<u8>> {
    let fits = |bytes: &[u8]| normal(bytes, algorithm);
    let text = || std::str::from_utf8(bytes).ok();
    let from_hex = || parse_hex(text()?);
    let from_base64 = || {
        let compact: String = text()?.split_ascii_whitespace().collect();
        Base64::decode_vec(&compact).ok()
    };
    match format {
        Some(Format::Raw) => Some(fits(bytes).unwrap_or_else(|| bytes.to_vec())),
        Some(Format::Hex) => from_hex().map(|decoded| fits(&decoded).unwrap_or(decoded)),
        Some(Format::Base64) => from_base64().map(|decoded| fits(&decoded).unwrap_or(decoded)),
        None => {
            let known = fits(bytes).or_else(|| fits(&from_hex()?)).or_else(|| fits(&from_base64()?));
            // Of no known form: the token shall say what it thinks of it.
            Some(known.unwrap_or_else(|| bytes.to_vec()))
        }
    }
}

/// The signature as r and s side by side when it is ECDSA, as it is when its length is right.
fn normal(bytes: &[u8], algorithm: Algorithm) -> Option<Vec<u8>> {
    if algorithm.signature_len() == Some(bytes.len()) {
        return Some(bytes.to_vec());
    }
    match algorithm {
        Algorithm::Ecdsa(curve) => ecdsa_from_der(bytes, curve.field),
        _ => None,
    }
}

/// ECDSA-Sig-Value (RFC 3279), the form of X.509 and OpenSSL, from r and s side by side.
pub(crate) fn ecdsa_to_der(signature: &[u8]) -> der::Result<Vec<u8>> {
    let (r, s) = signature.split_at(signature.len() / 2);
    let mut body = UintRef::new(r)?.to_der()?;
    body.extend(UintRef::new(s)?.to_der()?);
    AnyRef::new(Tag::Sequence, &body)?.to_der()
}

fn ecdsa_from_der(der: &[u8], field: usize) -> Option<Vec<u8>> {
    let mut reader = SliceReader::new(der).ok()?;
    let halves =
        reader.sequence(|inner| Ok::<_, der::Error>([UintRef::decode(inner)?, UintRef::decode(inner)?]));
    let halves = halves.ok()?;
    reader.finish().ok()?;
    let mut signature = vec![0; 2 * field];
    for (half, place) in halves.iter().zip(signature.chunks_exact_mut(field)) {
        let start = field.checked_sub(half.as_bytes().len())?;
        place[start..].copy_from_slice(half.as_bytes());
    }
    Some(signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::CURVES;

    #[test]
    fn hex_reads_what_it_writes_and_colons() {
        assert_eq!(parse_hex(&hex(&[0, 0xab, 0xff])), Some(vec![0, 0xab, 0xff]));
        assert_eq!(parse_hex("00:AB:ff\n"), Some(vec![0, 0xab, 0xff]));
        for bad in ["0", "0g", "+1", "é0"] {
            assert_eq!(parse_hex(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_signature_is_found_in_every_form() {
        let signature = [&[0; 31][..], &[0x85], &[0; 30], &[0x7f, 0x01]].concat();
        let algorithm = Algorithm::Ecdsa(&CURVES[0]);
        let der = ecdsa_to_der(&signature).unwrap();
        assert_eq!(der, [0x30, 8, 2, 2, 0, 0x85, 2, 2, 0x7f, 1]);
        let forms = [
            signature.clone(),
            der.clone(),
            Format::Hex.encode(&signature),
            Format::Base64.encode(&der),
            Format::Base64.encode(&signature),
        ];
        for form in forms {
            assert_eq!(read_signature(&form, None, algorithm).as_ref(), Some(&signature));
        }
    }

    #[test]
    fn a_named_format_is_held_to() {
        assert_eq!(read_signature(b"!!", Some(Format::Base64), Algorithm::Ed25519), None);
        assert_eq!(read_signature(b"xx", Some(Format::Hex), Algorithm::Ed25519), None);
        assert_eq!(read_signature(b"xx", Some(Format::Raw), Algorithm::Ed25519), Some(b"xx".to_vec()));
    }
}
