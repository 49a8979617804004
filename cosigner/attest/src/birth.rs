//! Birth attestations: a document made together with a key, whose `user_data` says which key it is.
//!
//! The layouts are in docs/formats.md. Version 1 can be read by itself; version 0 joins strings without their lengths,
//! so it can only be compared with what somebody else knows of the key.

use crate::{Attestation, Error, sha256};

/// How `user_data` of version 1 begins.
const MAGIC: &[u8; 10] = b"pqs-birth\0";
const VERSION: u8 = 1;

/// How far the enclave's clock may be from the NSM's, in milliseconds.
const TOLERANCE: u64 = 5 * 60 * 1000;

/// A user id is no longer than this, in bytes.
pub const LONGEST_USER_ID: usize = 256;
/// The name (ARN) of a KMS key is no longer than this, in bytes.
pub const LONGEST_KMS_KEY: usize = 128;
/// The name of an algorithm is no longer than this, in bytes. All together stay below the 512 that any NSM takes.
pub const LONGEST_ALGORITHM: usize = 16;

/// Which layouts of `user_data` are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Version 1.
    V1,
    /// Version 0, with the time as 8 bytes of seconds.
    V0,
    /// Version 0, with the time as 8 bytes of seconds or milliseconds or in decimal digits of seconds.
    V0Any,
}

/// What a birth attestation says in version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserData {
    /// SHA-256 of the public key, as it is encoded in the key's record.
    pub public_key_sha256: [u8; 32],
    /// SHA-256 of the data key as KMS wrapped it (CiphertextBlob).
    pub wrapped_key_sha256: [u8; 32],
    /// Whose key it is: 1 to [`LONGEST_USER_ID`] bytes.
    pub user_id: String,
    /// The ARN of the KMS key: 1 to [`LONGEST_KMS_KEY`] bytes.
    pub kms_key: String,
    /// What the key is for, `ML-DSA-65` for example: 1 to [`LONGEST_ALGORITHM`] bytes.
    pub algorithm: String,
    /// When the enclave made the key, in milliseconds since 1970.
    pub timestamp: u64,
}

impl UserData {
    /// The bytes of version 1; nothing when a string is empty or too long.
    pub fn encode(&self) -> Option<Vec<u8>> {
        if !self.fits() {
            return None;
        }
        let mut out = [&MAGIC[..], &[VERSION], &self.public_key_sha256, &self.wrapped_key_sha256].concat();
        for text in [&self.user_id, &self.kms_key] {
            out.extend(u16::try_from(text.len()).ok()?.to_be_bytes());
            out.extend(text.as_bytes());
        }
        out.push(u8::try_from(self.algorithm.len()).ok()?);
        out.extend(self.algorithm.as_bytes());
        out.extend(self.timestamp.to_be_bytes());
        Some(out)
    }

    /// Reads version 1. [`Error::UserDataForm`] for what is no such thing, [`Error::UserDataVersion`] for another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut rest = Rest(bytes);
        if rest.take(MAGIC.len()) != Some(MAGIC) {
            return Err(Error::UserDataForm);
        }
        match rest.take(1) {
            Some(&[VERSION]) => {}
            Some(&[other]) => return Err(Error::UserDataVersion(other)),
            _ => return Err(Error::UserDataForm),
        }
        let read = |rest: &mut Rest| {
            Some(Self {
                public_key_sha256: rest.array()?,
                wrapped_key_sha256: rest.array()?,
                user_id: rest.text16()?,
                kms_key: rest.text16()?,
                algorithm: rest.text8()?,
                timestamp: u64::from_be_bytes(rest.array()?),
            })
        };
        let data = read(&mut rest).filter(|data| rest.0.is_empty() && data.fits());
        data.ok_or(Error::UserDataForm)
    }

    fn fits(&self) -> bool {
        (1..=LONGEST_USER_ID).contains(&self.user_id.len())
            && (1..=LONGEST_KMS_KEY).contains(&self.kms_key.len())
            && (1..=LONGEST_ALGORITHM).contains(&self.algorithm.len())
    }
}

/// What the caller knows of a key, to be compared with its birth attestation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims<'a> {
    /// SHA-256 of the public key.
    pub public_key_sha256: [u8; 32],
    /// SHA-256 of the wrapped data key.
    pub wrapped_key_sha256: [u8; 32],
    /// The user id, byte for byte.
    pub user_id: &'a str,
    /// The ARN of the KMS key.
    pub kms_key: &'a str,
    /// The name of the algorithm.
    pub algorithm: &'a str,
}

/// A birth attestation that agrees with the claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Birth {
    /// When the enclave says that it made the key, in milliseconds since 1970.
    pub timestamp: u64,
    /// SHA-256 of `user_data`.
    pub user_data_sha256: [u8; 32],
}

impl Claims<'_> {
    /// Compares every claim with what the document says, and the enclave's time with the NSM's.
    pub fn verify(&self, attestation: &Attestation, layout: Layout) -> Result<Birth, Error> {
        let bytes = attestation.user_data().ok_or(Error::UserDataMissing)?;
        let document = attestation.timestamp();
        let times = match layout {
            Layout::V1 => vec![self.compare(&UserData::decode(bytes)?)?],
            Layout::V0 => self.compare_v0(bytes)?.seconds().into_iter().collect(),
            Layout::V0Any => {
                let rest = self.compare_v0(bytes)?;
                [rest.seconds(), rest.milliseconds(), rest.digits()].into_iter().flatten().collect()
            }
        };
        let near = |time: &&u64| time.abs_diff(document) <= TOLERANCE;
        match (times.iter().find(near), times.first()) {
            (Some(&timestamp), _) => Ok(Birth { timestamp, user_data_sha256: sha256(bytes) }),
            (None, Some(&claimed)) => Err(Error::OtherTime { claimed, document }),
            (None, None) => Err(Error::UserDataForm),
        }
    }

    fn compare(&self, data: &UserData) -> Result<u64, Error> {
        let agreed = [
            (data.public_key_sha256 == self.public_key_sha256, Error::OtherPublicKey),
            (data.wrapped_key_sha256 == self.wrapped_key_sha256, Error::OtherWrappedKey),
            (data.user_id == self.user_id, Error::OtherUser),
            (data.kms_key == self.kms_key, Error::OtherKmsKey),
            (data.algorithm == self.algorithm, Error::OtherAlgorithm),
        ];
        match agreed.into_iter().find(|(agrees, _)| !agrees) {
            Some((_, error)) => Err(error),
            None => Ok(data.timestamp),
        }
    }

    /// Version 0: the same without magic, version and lengths. What is left is the time.
    fn compare_v0<'d>(&self, bytes: &'d [u8]) -> Result<Rest<'d>, Error> {
        let mut rest = Rest(bytes);
        for (part, error) in [
            (&self.public_key_sha256[..], Error::OtherPublicKey),
            (&self.wrapped_key_sha256, Error::OtherWrappedKey),
            (self.user_id.as_bytes(), Error::OtherUser),
            (self.kms_key.as_bytes(), Error::OtherKmsKey),
            (self.algorithm.as_bytes(), Error::OtherAlgorithm),
        ] {
            if rest.take(part.len()).ok_or(Error::UserDataForm)? != part {
                return Err(error);
            }
        }
        Ok(rest)
    }
}

/// What has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn text16(&mut self) -> Option<String> {
        let length = u16::from_be_bytes(self.array()?);
        self.text(length.into())
    }

    fn text8(&mut self) -> Option<String> {
        let [length] = self.array()?;
        self.text(length.into())
    }

    fn text(&mut self, length: usize) -> Option<String> {
        std::str::from_utf8(self.take(length)?).ok().map(ToOwned::to_owned)
    }

    /// The three ways to write a time, each in milliseconds since 1970.
    fn seconds(&self) -> Option<u64> {
        self.milliseconds()?.checked_mul(1000)
    }

    fn milliseconds(&self) -> Option<u64> {
        self.0.try_into().ok().map(u64::from_be_bytes)
    }

    fn digits(&self) -> Option<u64> {
        let digits = std::str::from_utf8(self.0).ok()?;
        let only_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| only_digits)?.checked_mul(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> UserData {
        UserData {
            public_key_sha256: [1; 32],
            wrapped_key_sha256: [2; 32],
            user_id: "ünser".into(),
            kms_key: "arn:aws:kms:eu-central-1:111122223333:key/k".into(),
            algorithm: "ML-DSA-44".into(),
            timestamp: 0x0102_0304_0506_0708,
        }
    }

    #[test]
    fn version_1_is_as_the_page_says() {
        let wanted = [
            &b"pqs-birth\0\x01"[..],
            &[1; 32],
            &[2; 32],
            &[0, 6],
            "ünser".as_bytes(),
            &[0, 43],
            b"arn:aws:kms:eu-central-1:111122223333:key/k",
            &[9],
            b"ML-DSA-44",
            &[1, 2, 3, 4, 5, 6, 7, 8],
        ];
        assert_eq!(data().encode().unwrap(), wanted.concat());
        assert_eq!(UserData::decode(&wanted.concat()).unwrap(), data());
    }

    #[test]
    fn the_longest_fits_into_any_nsm_and_longer_is_not_made() {
        let longest = UserData {
            user_id: "u".repeat(LONGEST_USER_ID),
            kms_key: "k".repeat(LONGEST_KMS_KEY),
            algorithm: "a".repeat(LONGEST_ALGORITHM),
            ..data()
        };
        let bytes = longest.encode().unwrap();
        assert!(bytes.len() <= 512, "{}", bytes.len());
        assert_eq!(UserData::decode(&bytes).unwrap(), longest);
        for change in [
            (|data| data.user_id.push('u')) as fn(&mut UserData),
            |data| data.kms_key.push('k'),
            |data| data.algorithm.push('a'),
            |data| data.user_id.clear(),
            |data| data.kms_key.clear(),
            |data| data.algorithm.clear(),
        ] {
            let mut wrong = longest.clone();
            change(&mut wrong);
            assert_eq!(wrong.encode(), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_cut_short_or_goes_on_is_no_user_data() {
        let bytes = data().encode().unwrap();
        for length in 0..bytes.len() {
            assert_eq!(UserData::decode(&bytes[..length]), Err(Error::UserDataForm), "{length}");
        }
        assert_eq!(UserData::decode(&[&bytes[..], &[0]].concat()), Err(Error::UserDataForm));
        let mut later = bytes.clone();
        later[10] = 2;
        assert_eq!(UserData::decode(&later), Err(Error::UserDataVersion(2)));
        let mut no_text = bytes;
        no_text[77] = 0xff;
        assert_eq!(UserData::decode(&no_text), Err(Error::UserDataForm));
    }
}
