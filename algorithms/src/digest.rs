//! SHA-1, SHA-2 (FIPS 180-4), SHA-3 and SHAKE (FIPS 202), one-shot and incremental.

use std::fmt;

use crate::{
    Error,
    engine::aws_lc::symmetric::{Sha1, Sha256, Sha512},
    keccak::Sponge,
};

/// A hash function, or an extendable-output function at the output length that FIPS 204 section 5.4 gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the standards' own")]
pub enum Hash {
    /// Digesting, and RSA/ECDSA verification of old signatures, only.
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha3_224,
    Sha3_256,
    Sha3_384,
    Sha3_512,
    /// 32 bytes of output.
    Shake128,
    /// 64 bytes of output.
    Shake256,
}

struct Row {
    hash: Hash,
    output_len: usize,
    block_len: usize,
    oid_der: &'static [u8],
}

/// The arc 2.16.840.1.101.3.4.2 (nistAlgorithm hashAlgs), then the last number.
macro_rules! nist {
    ($last:literal) => {
        &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, $last]
    };
}

#[rustfmt::skip]
const HASHES: [Row; 11] = [
    Row { hash: Hash::Sha1,     output_len: 20, block_len: 64,  oid_der: &[0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a] },
    Row { hash: Hash::Sha224,   output_len: 28, block_len: 64,  oid_der: nist!(4) },
    Row { hash: Hash::Sha256,   output_len: 32, block_len: 64,  oid_der: nist!(1) },
    Row { hash: Hash::Sha384,   output_len: 48, block_len: 128, oid_der: nist!(2) },
    Row { hash: Hash::Sha512,   output_len: 64, block_len: 128, oid_der: nist!(3) },
    Row { hash: Hash::Sha3_224, output_len: 28, block_len: 144, oid_der: nist!(7) },
    Row { hash: Hash::Sha3_256, output_len: 32, block_len: 136, oid_der: nist!(8) },
    Row { hash: Hash::Sha3_384, output_len: 48, block_len: 104, oid_der: nist!(9) },
    Row { hash: Hash::Sha3_512, output_len: 64, block_len: 72,  oid_der: nist!(10) },
    Row { hash: Hash::Shake128, output_len: 32, block_len: 168, oid_der: nist!(11) },
    Row { hash: Hash::Shake256, output_len: 64, block_len: 136, oid_der: nist!(12) },
];

impl Hash {
    /// All of them.
    pub const ALL: [Self; 11] = {
        let mut all = [Self::Sha1; 11];
        let mut index = 0;
        while index < all.len() {
            all[index] = HASHES[index].hash;
            index += 1;
        }
        all
    };

    /// Bytes of output.
    pub fn output_len(self) -> usize {
        self.row().output_len
    }

    /// Bytes in a block (the HMAC block size).
    pub fn block_len(self) -> usize {
        self.row().block_len
    }

    /// The DER-encoded object identifier, tag and length included (FIPS 204 section 5.4).
    pub fn oid_der(self) -> &'static [u8] {
        self.row().oid_der
    }

    /// The digest of `data`.
    pub fn digest(self, data: &[u8]) -> Result<Vec<u8>, Error> {
        let mut state = Digest::new(self)?;
        state.update(data);
        state.finish()
    }

    /// Rows stand in the order of the variants; a test holds them to it.
    fn row(self) -> &'static Row {
        &HASHES[self as usize]
    }
}

/// The first byte of an exported state; another form of state would get another number.
const STATE_VERSION: u8 = 1;

/// A running digest. Cloning it copies the state, which is what C_GetOperationState needs.
#[derive(Clone)]
pub struct Digest {
    hash: Hash,
    state: State,
}

#[derive(Clone)]
enum State {
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Sha512),
    Keccak(Sponge),
}

impl Digest {
    /// An empty digest.
    pub fn new(hash: Hash) -> Result<Self, Error> {
        let state = match hash {
            Hash::Sha1 => State::Sha1(Sha1::SHA1_Init()),
            Hash::Sha224 => State::Sha256(Sha256::SHA224_Init()),
            Hash::Sha256 => State::Sha256(Sha256::SHA256_Init()),
            Hash::Sha384 => State::Sha512(Sha512::SHA384_Init()),
            Hash::Sha512 => State::Sha512(Sha512::SHA512_Init()),
            Hash::Sha3_224 | Hash::Sha3_256 | Hash::Sha3_384 | Hash::Sha3_512 => {
                State::Keccak(Sponge::sha3(hash.output_len()))
            }
            Hash::Shake128 => State::Keccak(Sponge::shake(128)),
            Hash::Shake256 => State::Keccak(Sponge::shake(256)),
        };
        Ok(Self { hash, state })
    }

    /// Which function runs.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Takes in more of the message.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.state {
            State::Sha1(state) => state.update(data),
            State::Sha256(state) => state.update(data),
            State::Sha512(state) => state.update(data),
            State::Keccak(state) => state.update(data),
        }
    }

    /// The digest, [`Hash::output_len`] bytes.
    pub fn finish(self) -> Result<Vec<u8>, Error> {
        let mut out = [0; 64];
        match self.state {
            State::Sha1(mut state) => state.finish(&mut out),
            State::Sha256(mut state) => state.finish(&mut out),
            State::Sha512(mut state) => state.finish(&mut out),
            State::Keccak(state) => state.finish(&mut out),
        }
        Ok(out[..self.hash.output_len()].to_vec())
    }

    /// The running state as bytes, for C_GetOperationState: a version byte (1), the function's place in
    /// [`Hash::ALL`], then for SHA-1 and SHA-2 the chaining value, the length so far in bits (two words, high first)
    /// and the unfinished block, big-endian; for SHA-3 and SHAKE the 200 bytes of state and the place in the block.
    pub fn export_state(&self) -> Result<Vec<u8>, Error> {
        let mut out = vec![STATE_VERSION, self.hash as u8];
        out.extend(match &self.state {
            State::Sha1(state) => state.export(),
            State::Sha256(state) => state.export(),
            State::Sha512(state) => state.export(),
            State::Keccak(state) => state.export(),
        });
        Ok(out)
    }

    /// The inverse of [`Digest::export_state`]; malformed state is [`Error::InputInvalid`].
    pub fn import_state(state: &[u8]) -> Result<Self, Error> {
        let [STATE_VERSION, index, exported @ ..] = state else { return Err(Error::InputInvalid) };
        let hash = *Hash::ALL.get(usize::from(*index)).ok_or(Error::InputInvalid)?;
        let state = match Self::new(hash)?.state {
            State::Sha1(state) => state.import(exported).map(State::Sha1),
            State::Sha256(state) => state.import(exported).map(State::Sha256),
            State::Sha512(state) => state.import(exported).map(State::Sha512),
            State::Keccak(state) => state.import(exported).map(State::Keccak),
        };
        Ok(Self { hash, state: state.ok_or(Error::InputInvalid)? })
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({:?})", self.hash)
    }
}
