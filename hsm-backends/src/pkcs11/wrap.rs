//! The AES key in the HSM, and the token key under it: by AES-GCM, or, where the HSM has none, by AES key wrap
//! (RFC 3394), for which it needs no more than single blocks in ECB mode. C_WrapKey is not used: it would have the
//! token key made an object of the HSM first, which many an HSM refuses to take or to show again.

use algorithms::{SecretBytes, digest::Hash};
use cryptoki_sys as ck;
use zeroize::Zeroizing;

use super::{
    device::{Device, Failure, Session},
    keeper::number,
    raw::{Mechanism, Parameter, Rv, Template},
};
use crate::{
    StoreError,
    encoding::Input,
    sealed::{Kept, TokenKey},
};

/// CKA_LABEL of the key in the HSM; its CKA_ID is the token's id.
pub(super) const KEK_LABEL: &[u8] = b"Trellis key encryption key";
const CONTEXT: &[u8] = b"trellis hsm wrap 1";
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
/// RFC 3394 section 2.2.3.1.
const INTEGRITY: [u8; 8] = [0xa6; 8];
/// The token key, and a hash of what it is bound to: key wrap has no associated data.
const BOUND_LEN: usize = TokenKey::LEN + 32;

/// How the token key is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Gcm,
    KeyWrap,
}

/// A sealed token key, as the store keeps it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wrapped<'a> {
    way: Way,
    /// GCM's nonce, nothing for key wrap; then what the HSM has made of the key.
    sealed: &'a [u8],
}

impl Way {
    const ALL: [Self; 2] = [Self::Gcm, Self::KeyWrap];

    /// The first byte of what is kept.
    fn version(self) -> u8 {
        match self {
            Self::Gcm => 2,
            Self::KeyWrap => 3,
        }
    }

    fn mechanism(self) -> u64 {
        match self {
            Self::Gcm => ck::CKM_AES_GCM,
            Self::KeyWrap => ck::CKM_AES_ECB,
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Gcm => NONCE_LEN + TokenKey::LEN + TAG_LEN,
            Self::KeyWrap => INTEGRITY.len() + BOUND_LEN,
        }
    }

    /// The first that the HSM can do.
    fn of(device: &Device) -> Result<Self, StoreError> {
        let both = ck::CKF_ENCRYPT | ck::CKF_DECRYPT;
        let has = |way: &Self| match device.mechanism_flags(way.mechanism()) {
            Ok(flags) => Ok(flags & both == both),
            Err(Failure::Said(Rv(ck::CKR_MECHANISM_INVALID))) => Ok(false),
            Err(failure) => Err(failure.of(device, "C_GetMechanismInfo")),
        };
        for way in Self::ALL {
            if has(&way)? {
                return Ok(way);
            }
        }
        Err(StoreError::Device(format!(
            "{} can seal no key: it has neither CKM_AES_GCM nor CKM_AES_ECB; allow one in the HSM's own settings",
            device.name()
        )))
    }
}

impl<'a> Wrapped<'a> {
    /// What stands first in `input`; `None` where that is malformed.
    pub(super) fn read(input: &mut Input<'a>) -> Option<Self> {
        let version = input.byte().ok()?;
        let way = Way::ALL.into_iter().find(|way| way.version() == version)?;
        Some(Self { way, sealed: input.take(way.len()).ok()? })
    }

    /// As the store keeps it.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        [&[self.way.version()], self.sealed].concat()
    }

    /// The token key; `None` where the HSM's key is gone, or is not the one, or this belongs to another token.
    pub(super) fn open(self, device: &Device, place: Kept) -> Result<Option<TokenKey>, StoreError> {
        let context = context(device, place)?;
        let opened = device.call(|session| {
            let Some(kek) = kek(session, &place.token_id)? else { return Ok(None) };
            match self.way {
                Way::Gcm => gcm_open(session, kek, self.sealed, &context),
                Way::KeyWrap => key_unwrap(self.sealed, |block| {
                    one_block(&session.raw.decrypt(session.handle, ecb(), kek, &block)?)
                }),
            }
        });
        let opened = match opened {
            Ok(opened) => opened,
            // What a tag that does not fit is called; SoftHSM's word is the first.
            Err(Failure::Said(Rv(
                ck::CKR_GENERAL_ERROR | ck::CKR_ENCRYPTED_DATA_INVALID | ck::CKR_AEAD_DECRYPT_FAILED,
            ))) if self.way == Way::Gcm => None,
            Err(failure) => return Err(failure.of(device, "opening the token key")),
        };
        let Some(opened) = opened else { return Ok(None) };
        let (key, bound) = opened.split_at(opened.len().min(TokenKey::LEN));
        let expected = match self.way {
            Way::Gcm => Vec::new(),
            Way::KeyWrap => Hash::Sha256.digest(&context)?,
        };
        let fits = key.len() == TokenKey::LEN && algorithms::mac::equal(bound, &expected);
        Ok(fits.then(|| TokenKey::new(SecretBytes::new(key))))
    }
}

/// Makes the key in the HSM where it is missing, and seals the token key: version and length are as
/// [`Wrapped::read`] wants them.
pub(super) fn seal(device: &Device, place: Kept, key: &TokenKey) -> Result<Vec<u8>, StoreError> {
    let way = Way::of(device)?;
    let context = context(device, place)?;
    let nonce = algorithms::random::array::<NONCE_LEN>()?;
    let mut bound = Zeroizing::new([0; BOUND_LEN]);
    bound[..TokenKey::LEN].copy_from_slice(key.expose());
    bound[TokenKey::LEN..].copy_from_slice(&Hash::Sha256.digest(&context)?);
    let made = device.call(|session| {
        let kek = match kek(session, &place.token_id)? {
            Some(kek) => kek,
            None => make_kek(session, &place.token_id)?,
        };
        match way {
            Way::Gcm => {
                let parameter = Parameter::Gcm { nonce: &nonce, context: &context };
                let mechanism = Mechanism { kind: ck::CKM_AES_GCM, parameter };
                let sealed = session.raw.encrypt(session.handle, mechanism, kek, key.expose())?;
                Ok([&nonce[..], &sealed].concat())
            }
            Way::KeyWrap => key_wrap(&bound, |block| {
                one_block(&session.raw.encrypt(session.handle, ecb(), kek, &block)?)
            }),
        }
    });
    let sealed = made.map_err(|failure| failure.of(device, "sealing the token key"))?;
    if sealed.len() != way.len() {
        return Err(StoreError::Device(format!("{}: AES-GCM gave no tag", device.name())));
    }
    Ok(Wrapped { way, sealed: &sealed }.to_bytes())
}

/// The token's key in the HSM, if it is there.
fn kek(session: &Session, id: &[u8; 16]) -> Result<Option<ck::CK_OBJECT_HANDLE>, Rv> {
    let template: Template = vec![
        (ck::CKA_CLASS, number(ck::CKO_SECRET_KEY)),
        (ck::CKA_LABEL, KEK_LABEL.to_vec()),
        (ck::CKA_ID, id.to_vec()),
    ];
    let found = session.raw.find(session.handle, &template)?.first().copied();
    if found.is_none() {
        session.is_users()?;
    }
    Ok(found)
}

fn make_kek(session: &Session, id: &[u8; 16]) -> Result<ck::CK_OBJECT_HANDLE, Rv> {
    let (yes, no) = (vec![ck::CK_TRUE], vec![ck::CK_FALSE]);
    let template: Template = vec![
        (ck::CKA_CLASS, number(ck::CKO_SECRET_KEY)),
        (ck::CKA_KEY_TYPE, number(ck::CKK_AES)),
        (ck::CKA_VALUE_LEN, number(32)),
        (ck::CKA_LABEL, KEK_LABEL.to_vec()),
        (ck::CKA_ID, id.to_vec()),
        (ck::CKA_TOKEN, yes.clone()),
        (ck::CKA_PRIVATE, yes.clone()),
        (ck::CKA_SENSITIVE, yes.clone()),
        (ck::CKA_EXTRACTABLE, no.clone()),
        (ck::CKA_ENCRYPT, yes.clone()),
        (ck::CKA_DECRYPT, yes),
        (ck::CKA_WRAP, no.clone()),
        (ck::CKA_UNWRAP, no.clone()),
        (ck::CKA_SIGN, no.clone()),
        (ck::CKA_VERIFY, no),
    ];
    session.raw.generate_key(session.handle, Mechanism::plain(ck::CKM_AES_KEY_GEN), &template)
}

/// What a sealed token key is bound to.
fn context(device: &Device, place: Kept) -> Result<Vec<u8>, StoreError> {
    let token = device.token().map_err(|failure| failure.of(device, "C_GetTokenInfo"))?;
    Ok([CONTEXT, &place.token_id, token.serial.as_bytes()].concat())
}

type Opened = Option<Zeroizing<Vec<u8>>>;

fn gcm_open(
    session: &Session,
    kek: ck::CK_OBJECT_HANDLE,
    sealed: &[u8],
    context: &[u8],
) -> Result<Opened, Rv> {
    let Some((nonce, sealed)) = sealed.split_first_chunk::<NONCE_LEN>() else { return Ok(None) };
    let mechanism = Mechanism { kind: ck::CKM_AES_GCM, parameter: Parameter::Gcm { nonce, context } };
    session.raw.decrypt(session.handle, mechanism, kek, sealed).map(Some)
}

fn ecb() -> Mechanism<'static> {
    Mechanism::plain(ck::CKM_AES_ECB)
}

/// Not a panic and not another length: what the HSM gives is believed only as far as it is checked.
fn one_block(bytes: &[u8]) -> Result<Block, Rv> {
    bytes.try_into().map(Zeroizing::new).map_err(|_| Rv(ck::CKR_GENERAL_ERROR))
}

type Block = Zeroizing<[u8; 16]>;

/// RFC 3394 section 2.2.1 over a cipher of single blocks.
fn key_wrap(
    plain: &[u8; BOUND_LEN],
    mut encrypt: impl FnMut([u8; 16]) -> Result<Block, Rv>,
) -> Result<Vec<u8>, Rv> {
    let mut head = INTEGRITY;
    let mut blocks = Zeroizing::new(*plain);
    let mut step: u64 = 0;
    for _ in 0..6 {
        for block in blocks.as_chunks_mut::<8>().0 {
            let done = encrypt(*joined(head, *block))?;
            let halves = done.as_chunks::<8>().0;
            step += 1;
            (head, *block) = (xor(halves[0], step), halves[1]);
        }
    }
    Ok([&head, &blocks[..]].concat())
}

/// RFC 3394 section 2.2.2; `None` where the integrity check fails.
fn key_unwrap(wrapped: &[u8], mut decrypt: impl FnMut([u8; 16]) -> Result<Block, Rv>) -> Result<Opened, Rv> {
    let Some((head, rest)) = wrapped.split_first_chunk::<8>() else { return Ok(None) };
    let mut head = *head;
    let mut out = Zeroizing::new(rest.to_vec());
    let mut step = 6 * (out.len() / 8) as u64;
    for _ in 0..6 {
        for block in out.as_chunks_mut::<8>().0.iter_mut().rev() {
            let done = decrypt(*joined(xor(head, step), *block))?;
            let halves = done.as_chunks::<8>().0;
            step -= 1;
            (head, *block) = (halves[0], halves[1]);
        }
    }
    Ok(algorithms::mac::equal(&head, &INTEGRITY).then_some(out))
}

fn joined(head: [u8; 8], block: [u8; 8]) -> Block {
    let mut both = Zeroizing::new([0; 16]);
    both[..8].copy_from_slice(&head);
    both[8..].copy_from_slice(&block);
    both
}

fn xor(half: [u8; 8], step: u64) -> [u8; 8] {
    (u64::from_be_bytes(half) ^ step).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use algorithms::aes::{Cipher, Direction, Mode};

    use super::*;

    /// One block of AES: CBC of one block under an initialisation vector of zeros.
    fn block(direction: Direction, key: &SecretBytes, input: [u8; 16]) -> Result<Block, Rv> {
        let mut cipher = Cipher::new(Mode::Cbc { iv: [0; 16] }, direction, key).unwrap();
        let mut out = Vec::new();
        cipher.update(&input, &mut out).unwrap();
        cipher.finish(&mut out).unwrap();
        one_block(&out)
    }

    #[test]
    fn key_wrap_is_that_of_rfc_3394() {
        let key = algorithms::random::secret(32).unwrap();
        let plain = algorithms::random::array::<BOUND_LEN>().unwrap();
        let wrapped = key_wrap(&plain, |input| block(Direction::Encrypt, &key, input)).unwrap();
        assert_eq!(wrapped, algorithms::aes::wrap(&key, None, &plain).unwrap());
        let open = |wrapped: &[u8]| key_unwrap(wrapped, |input| block(Direction::Decrypt, &key, input));
        assert_eq!(open(&wrapped).unwrap().unwrap()[..], plain);
        for at in [0, 8, wrapped.len() - 1] {
            let mut altered = wrapped.clone();
            altered[at] ^= 1;
            assert!(open(&altered).unwrap().is_none(), "byte {at} altered");
        }
    }
}
