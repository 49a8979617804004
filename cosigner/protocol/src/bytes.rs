//! Bytes in JSON: base64 with padding (RFC 4648 section 4), in its one spelling.

use std::fmt;

use base64ct::{Base64, Encoding};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};
use zeroize::Zeroizing;

/// Bytes that anybody may see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

/// Bytes that nobody else may see: erased when dropped, never printed, compared in a time that tells their length alone.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (self.expose(), other.expose());
        let differing = |sum: u8, (one, other): (&u8, &u8)| std::hint::black_box(sum | (one ^ other));
        one.len() == other.len() && one.iter().zip(other).fold(0, differing) == 0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Base64::encode_string(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromBase64).map(Self)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(Base64::encode_string(&self.0)))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromBase64).map(Self::new)
    }
}

/// Decodes out of the frame itself, so that no other copy of a secret is made. (Base64 with escapes, which nobody
/// writes, would be copied by the JSON reader.)
struct FromBase64;

impl Visitor<'_> for FromBase64 {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64 with padding")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
        Base64::decode_vec(text).map_err(|_| E::custom("not base64 with padding"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_one_spelling() {
        let read =
            |text: &str| serde_json::from_str::<Bytes>(&format!("\"{text}\"")).map(|bytes| bytes.0).ok();
        assert_eq!(read(""), Some(vec![]));
        assert_eq!(read("+/8="), Some(vec![0xfb, 0xff]));
        // Without padding, of the other alphabet, with bits that mean nothing, with white space, too much padding.
        for wrong in ["+/8", "-_8=", "+/9=", "+/8=\\n", " +/8=", "+/8==", "====", "é"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(serde_json::to_string(&Bytes(vec![0xfb, 0xff])).unwrap(), "\"+/8=\"");
    }

    #[test]
    fn secrets_are_equal_when_all_bytes_are() {
        let secret = |bytes: &[u8]| Secret::new(bytes.to_vec());
        assert_eq!(secret(b"one"), secret(b"one"));
        assert_eq!(secret(b""), secret(b""));
        for other in ["", "on", "ones", "pne", "oNe", "onf"] {
            assert_ne!(secret(b"one"), secret(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new(b"attack at dawn".to_vec());
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "Secret Some(\n    Secret,\n)");
        let wrong = serde_json::from_str::<Secret>("\"attack at dawn\"").unwrap_err();
        assert!(!wrong.to_string().contains("attack"), "{wrong}");
    }
}
