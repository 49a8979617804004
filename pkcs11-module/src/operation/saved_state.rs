//! The form in which C_GetOperationState gives a digest out.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `TRLDIGST` |
//! | 1 | version, 1 |
//! | 1 | 1 if data has been taken in, otherwise 0 |
//! | n | the state of the hash function as [`Digest::export_state`] writes it |
//! | 32 | SHA-256 of everything before |
//!
//! The checksum finds damage. It is no protection against somebody who makes states up, and need not be: a state says
//! nothing but what has been hashed, and `import_state` refuses what it could not have written.

use algorithms::digest::{Digest, Hash};

use crate::error::{Error, Result};

const HEAD: &[u8; 9] = b"TRLDIGST\x01";
const CHECKSUM_LEN: usize = 32;

pub(super) fn save(digest: &Digest, started: bool) -> Result<Vec<u8>> {
    let mut state = HEAD.to_vec();
    state.push(u8::from(started));
    state.extend(digest.export_state()?);
    let checksum = Hash::Sha256.digest(&state)?;
    state.extend(checksum);
    Ok(state)
}

pub(super) fn restore(state: &[u8]) -> Result<(Digest, bool)> {
    let split = state.len().checked_sub(CHECKSUM_LEN).ok_or(Error::SavedStateInvalid)?;
    let (body, checksum) = state.split_at(split);
    let exported = body.strip_prefix(HEAD).ok_or(Error::SavedStateInvalid)?;
    if Hash::Sha256.digest(body)? != checksum {
        return Err(Error::SavedStateInvalid);
    }
    let (started, exported) = match exported {
        [started @ (0 | 1), exported @ ..] => (*started == 1, exported),
        _ => return Err(Error::SavedStateInvalid),
    };
    let digest = Digest::import_state(exported).map_err(|_| Error::SavedStateInvalid)?;
    Ok((digest, started))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_digest_goes_on_and_every_altered_byte_is_noticed() {
        for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha512, Hash::Sha3_256] {
            let mut digest = Digest::new(hash).unwrap();
            digest.update(b"the first 21 bytes...");
            let state = save(&digest, true).unwrap();
            let (mut restored, started) = restore(&state).unwrap();
            assert!(started);
            restored.update(b"and the rest");
            assert_eq!(
                restored.finish().unwrap(),
                hash.digest(b"the first 21 bytes...and the rest").unwrap()
            );

            for at in 0..state.len() {
                let mut altered = state.clone();
                altered[at] ^= 1;
                assert_eq!(restore(&altered).err(), Some(Error::SavedStateInvalid), "byte {at}");
                assert_eq!(restore(&state[..at]).err(), Some(Error::SavedStateInvalid), "cut at {at}");
            }
        }
    }
}
