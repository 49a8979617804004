//! Digests, ciphers, key wrapping and comparison.

use std::{ffi::c_int, mem::MaybeUninit, ptr, ptr::NonNull};

use aws_lc_sys as c;

use super::{check, failed, gate};
use crate::Error;

/// Empties the calling thread's error queue.
pub(super) fn clear_errors() {
    let _inside = gate::enter();
    // SAFETY: touches AWS-LC's own thread-local state.
    unsafe { c::ERR_clear_error() };
}

/// Compares in time that depends on the lengths alone.
pub(crate) fn equal(left: &[u8], right: &[u8]) -> bool {
    // SAFETY: both slices have the length passed.
    left.len() == right.len()
        && unsafe { c::CRYPTO_memcmp(left.as_ptr().cast(), right.as_ptr().cast(), left.len()) } == 0
}

/// A running SHA-1 or SHA-2 over one of AWS-LC's three plain state structures.
macro_rules! sha {
    ($name:ident, $state:ident, $word:ident, $buffer:ident, $($init:ident)|+, $update:ident, $finish:path) => {
        #[derive(Clone)]
        pub(crate) struct $name(c::$state);

        impl $name {
            const BLOCK: usize = size_of::<$word>() * 16;

            $(
                #[expect(non_snake_case, reason = "named as AWS-LC names it")]
                pub(crate) fn $init() -> Self {
                    let mut state = MaybeUninit::zeroed();
                    // SAFETY: `state` is a valid place; it is all integers, so zero is a value of it, and
                    // initialising cannot fail.
                    Self(unsafe {
                        c::$init(state.as_mut_ptr());
                        state.assume_init()
                    })
                }
            )+

            pub(crate) fn update(&mut self, data: &[u8]) {
                // SAFETY: the state was initialised, and `data` is readable for its length. Cannot fail.
                unsafe { c::$update(&raw mut self.0, data.as_ptr().cast(), data.len()) };
            }

            /// Writes the digest of the initialising function to the front of `out`.
            pub(crate) fn finish(&mut self, out: &mut [u8; 64]) {
                // SAFETY: the state was initialised, and no digest is longer than 64 bytes.
                unsafe { $finish(out.as_mut_ptr(), &raw mut self.0) };
            }

            /// Chaining value, message length in bits (two words, high first) and the unfinished block.
            pub(crate) fn export(&self) -> Vec<u8> {
                let words = self.0.h.iter().chain([&self.0.Nh, &self.0.Nl]);
                let mut out: Vec<u8> = words.flat_map(|word| word.to_be_bytes()).collect();
                out.extend_from_slice(&self.0.$buffer[..self.0.num as usize]);
                out
            }

            /// Takes what `export` gave over a state just initialised; `None` where the length and the block differ.
            pub(crate) fn import(mut self, exported: &[u8]) -> Option<Self> {
                let (words, block) = exported.split_at_checked((self.0.h.len() + 2) * size_of::<$word>())?;
                let mut words = words
                    .chunks_exact(size_of::<$word>())
                    .map(|word| $word::from_be_bytes(word.try_into().expect("a chunk is one word")));
                for word in self.0.h.iter_mut().chain([&mut self.0.Nh, &mut self.0.Nl]) {
                    *word = words.next()?;
                }
                // The buffer index must fit the buffer: AWS-LC trusts it.
                let consistent = self.0.Nl % 8 == 0 && (self.0.Nl / 8) as usize % Self::BLOCK == block.len();
                self.0.num = u32::try_from(block.len()).ok()?;
                self.0.$buffer[..].get_mut(..block.len())?.copy_from_slice(block);
                consistent.then_some(self)
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: the state is all integers, so zero is a value of it.
                unsafe { c::OPENSSL_cleanse((&raw mut self.0).cast(), size_of::<c::$state>()) };
            }
        }
    };
}

sha!(Sha1, SHA_CTX, u32, data, SHA1_Init, SHA1_Update, c::SHA1_Final);
sha!(Sha256, SHA256_CTX, u32, data, SHA224_Init | SHA256_Init, SHA256_Update, sha2_32_final);
sha!(Sha512, SHA512_CTX, u64, p, SHA384_Init | SHA512_Init, SHA512_Update, c::SHA512_Final);

/// SHA224_Final or SHA256_Final, each of which refuses the other's state (SHA512_Final takes both of its kinds).
///
/// # Safety
/// `state` was initialised, and `out` has room for 32 bytes.
unsafe fn sha2_32_final(out: *mut u8, state: *mut c::SHA256_CTX) -> c_int {
    // SAFETY: as the caller vouches.
    unsafe { if (*state).md_len == 28 { c::SHA224_Final(out, state) } else { c::SHA256_Final(out, state) } }
}

/// Which of AWS-LC's AES ciphers.
#[derive(Clone, Copy)]
pub(crate) enum AesMode {
    Cbc,
    CbcPad,
    Ctr,
    Gcm,
}

/// A running AES cipher.
pub(crate) struct AesCipher(NonNull<c::EVP_CIPHER_CTX>);

// SAFETY: the context is used only through `&mut`, and holds nothing of the thread that made it.
unsafe impl Send for AesCipher {}
// SAFETY: as above.
unsafe impl Sync for AesCipher {}

impl AesCipher {
    pub(crate) fn new(mode: AesMode, encrypt: bool, key: &[u8], iv: &[u8]) -> Result<Self, Error> {
        let _inside = gate::enter();
        let block_mode = matches!(mode, AesMode::Cbc | AesMode::CbcPad | AesMode::Ctr);
        if block_mode && iv.len() != 16 {
            return Err(Error::ParameterInvalid);
        }
        let iv_len = c_int::try_from(iv.len()).map_err(|_| Error::ParameterInvalid)?;
        // SAFETY: the cipher functions return static tables. The context is owned by `cipher` from the moment it
        // exists. AWS-LC reads as many key bytes as the cipher chosen by `key.len()` has, and as many IV bytes as the
        // mode has (16, checked above) or as GCM was told.
        unsafe {
            let table = match (mode, key.len()) {
                (AesMode::Cbc | AesMode::CbcPad, 16) => c::EVP_aes_128_cbc(),
                (AesMode::Cbc | AesMode::CbcPad, 24) => c::EVP_aes_192_cbc(),
                (AesMode::Cbc | AesMode::CbcPad, 32) => c::EVP_aes_256_cbc(),
                (AesMode::Ctr, 16) => c::EVP_aes_128_ctr(),
                (AesMode::Ctr, 24) => c::EVP_aes_192_ctr(),
                (AesMode::Ctr, 32) => c::EVP_aes_256_ctr(),
                (AesMode::Gcm, 16) => c::EVP_aes_128_gcm(),
                (AesMode::Gcm, 24) => c::EVP_aes_192_gcm(),
                (AesMode::Gcm, 32) => c::EVP_aes_256_gcm(),
                _ => return Err(Error::KeySizeRange),
            };
            let cipher =
                Self(NonNull::new(c::EVP_CIPHER_CTX_new()).ok_or_else(|| failed(Error::EngineFailed))?);
            let context = cipher.0.as_ptr();
            let none = ptr::null_mut();
            check(
                c::EVP_CipherInit_ex(context, table, none, ptr::null(), ptr::null(), c_int::from(encrypt)),
                Error::EngineFailed,
            )?;
            if matches!(mode, AesMode::Gcm) {
                check(
                    c::EVP_CIPHER_CTX_ctrl(context, c::EVP_CTRL_AEAD_SET_IVLEN, iv_len, ptr::null_mut()),
                    Error::ParameterInvalid,
                )?;
            }
            check(
                c::EVP_CipherInit_ex(context, ptr::null(), none, key.as_ptr(), iv.as_ptr(), -1),
                Error::EngineFailed,
            )?;
            check(
                c::EVP_CIPHER_CTX_set_padding(context, c_int::from(matches!(mode, AesMode::CbcPad))),
                Error::EngineFailed,
            )?;
            Ok(cipher)
        }
    }

    /// Takes in additional authenticated data (GCM only, before the message).
    pub(crate) fn authenticate(&mut self, aad: &[u8]) -> Result<(), Error> {
        let _inside = gate::enter();
        for chunk in aad.chunks(CHUNK) {
            let mut len = 0;
            // SAFETY: with no output buffer the input is additional data; `chunk` is readable for its length.
            let answer = unsafe {
                c::EVP_CipherUpdate(
                    self.0.as_ptr(),
                    ptr::null_mut(),
                    &raw mut len,
                    chunk.as_ptr(),
                    chunk.len() as c_int,
                )
            };
            check(answer, Error::EngineFailed)?;
        }
        Ok(())
    }

    /// Appends the output that `input` lets go.
    pub(crate) fn update(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        for chunk in input.chunks(CHUNK) {
            let start = out.len();
            out.resize(start + chunk.len() + 16, 0);
            let mut len = 0;
            // SAFETY: an update writes at most one block more than it reads, and `out` has that room from `start`.
            let answer = unsafe {
                c::EVP_CipherUpdate(
                    self.0.as_ptr(),
                    out[start..].as_mut_ptr(),
                    &raw mut len,
                    chunk.as_ptr(),
                    chunk.len() as c_int,
                )
            };
            out.truncate(start + usize::try_from(len).unwrap_or(0));
            check(answer, Error::EngineFailed)?;
        }
        Ok(())
    }

    /// Appends the last block, where the mode has one; `otherwise` is the error for padding or a tag that is wrong.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>, otherwise: Error) -> Result<(), Error> {
        let _inside = gate::enter();
        let mut last = [0; 32];
        let mut len = 0;
        // SAFETY: the end of a message is at most one block, and `last` has room for two.
        let answer = unsafe { c::EVP_CipherFinal_ex(self.0.as_ptr(), last.as_mut_ptr(), &raw mut len) };
        check(answer, otherwise)?;
        out.extend_from_slice(&last[..usize::try_from(len).unwrap_or(0)]);
        // SAFETY: `last` is 32 plain bytes.
        unsafe { c::OPENSSL_cleanse(last.as_mut_ptr().cast(), last.len()) };
        Ok(())
    }

    /// GCM: the tag of what was encrypted.
    pub(crate) fn tag(&mut self, tag: &mut [u8]) -> Result<(), Error> {
        let _inside = gate::enter();
        self.tag_control(c::EVP_CTRL_AEAD_GET_TAG, tag)
    }

    /// GCM: the tag that what will be decrypted must have.
    pub(crate) fn expect_tag(&mut self, tag: &mut [u8]) -> Result<(), Error> {
        let _inside = gate::enter();
        self.tag_control(c::EVP_CTRL_AEAD_SET_TAG, tag)
    }

    fn tag_control(&mut self, command: c_int, tag: &mut [u8]) -> Result<(), Error> {
        // SAFETY: AWS-LC reads or writes `tag.len()` bytes of `tag`, and refuses more than 16.
        let answer = unsafe {
            c::EVP_CIPHER_CTX_ctrl(self.0.as_ptr(), command, tag.len() as c_int, tag.as_mut_ptr().cast())
        };
        check(answer, Error::ParameterInvalid)
    }
}

/// AWS-LC counts in C's int.
const CHUNK: usize = 1 << 30;

impl Drop for AesCipher {
    fn drop(&mut self) {
        // SAFETY: owned, and freed once, here.
        unsafe { c::EVP_CIPHER_CTX_free(self.0.as_ptr()) };
    }
}

/// An expanded AES key for the four wrapping functions, which return how many bytes they wrote to the front of `out`.
pub(crate) struct WrappingKey(c::AES_KEY);

impl WrappingKey {
    pub(crate) fn new(key: &[u8], wrap: bool) -> Result<Self, Error> {
        let _inside = gate::enter();
        if !matches!(key.len(), 16 | 24 | 32) {
            return Err(Error::KeySizeRange);
        }
        let expand = if wrap { c::AES_set_encrypt_key } else { c::AES_set_decrypt_key };
        let mut expanded = MaybeUninit::zeroed();
        // SAFETY: `key` has the bits announced; the structure is all integers, so zero is a value of it.
        unsafe {
            if expand(key.as_ptr(), key.len() as u32 * 8, expanded.as_mut_ptr()) != 0 {
                return Err(failed(Error::EngineFailed));
            }
            Ok(Self(expanded.assume_init()))
        }
    }

    /// RFC 3394. `out` is 8 bytes longer than `secret`.
    pub(crate) fn wrap(&self, iv: Option<&[u8; 8]>, secret: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        assert!(out.len() >= secret.len() + 8, "room for the wrapped key");
        let iv = iv.map_or(ptr::null(), |iv| iv.as_ptr());
        // SAFETY: `iv` is NULL or 8 bytes, and `out` has the room asserted.
        let len = unsafe {
            c::AES_wrap_key(&raw const self.0, iv, out.as_mut_ptr(), secret.as_ptr(), secret.len())
        };
        usize::try_from(len).map_err(|_| failed(Error::InputLength))
    }

    /// RFC 3394. `out` is 8 bytes shorter than `wrapped`.
    pub(crate) fn unwrap(
        &self,
        iv: Option<&[u8; 8]>,
        wrapped: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        assert!(out.len() + 8 >= wrapped.len(), "room for the key");
        let iv = iv.map_or(ptr::null(), |iv| iv.as_ptr());
        // SAFETY: as in `wrap`.
        let len = unsafe {
            c::AES_unwrap_key(&raw const self.0, iv, out.as_mut_ptr(), wrapped.as_ptr(), wrapped.len())
        };
        usize::try_from(len).map_err(|_| failed(Error::InputInvalid))
    }

    /// RFC 5649. `out` has room for up to 15 bytes more than `secret`.
    pub(crate) fn wrap_padded(&self, secret: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let mut len = 0;
        // SAFETY: AWS-LC writes at most `out.len()` bytes to `out`.
        let answer = unsafe {
            c::AES_wrap_key_padded(
                &raw const self.0,
                out.as_mut_ptr(),
                &raw mut len,
                out.len(),
                secret.as_ptr(),
                secret.len(),
            )
        };
        check(answer, Error::InputLength).map(|()| len)
    }

    /// RFC 5649. `out` is as long as `wrapped`.
    pub(crate) fn unwrap_padded(&self, wrapped: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let mut len = 0;
        // SAFETY: AWS-LC writes at most `out.len()` bytes to `out`.
        let answer = unsafe {
            c::AES_unwrap_key_padded(
                &raw const self.0,
                out.as_mut_ptr(),
                &raw mut len,
                out.len(),
                wrapped.as_ptr(),
                wrapped.len(),
            )
        };
        check(answer, Error::InputInvalid).map(|()| len)
    }
}

impl Drop for WrappingKey {
    fn drop(&mut self) {
        // SAFETY: the structure is all integers, so zero is a value of it.
        unsafe { c::OPENSSL_cleanse((&raw mut self.0).cast(), size_of::<c::AES_KEY>()) };
    }
}
