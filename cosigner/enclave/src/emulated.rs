//! An NSM that anybody can have, for tests: documents of a real one's profile, under a root of its own that nobody
//! trusts who has not been told to.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use algorithms::SecretBytes;
use document_maker::{Authority, Draft};
use zeroize::Zeroizing;

use crate::{
    envelope,
    nsm::{Nsm, NsmError},
    recipient::Recipient,
};

/// Seconds for which certificates are used before they are issued anew; the enclave's own lives three hours.
const RENEWAL: u64 = 3600;

/// The emulation.
#[derive(Debug)]
pub struct Emulated {
    authority: Authority,
    pcrs: Vec<[u8; 48]>,
    chain: Mutex<Chain>,
}

#[derive(Debug, Default)]
struct Chain {
    issued: u64,
    certificates: Vec<Vec<u8>>,
}

impl Emulated {
    /// Under the root that is kept in a directory; both are made when they are missing. `pcrs` are put in place of
    /// those that [`Draft::new`] has.
    pub fn open(directory: &Path, pcrs: &[(usize, [u8; 48])]) -> std::io::Result<Self> {
        let authority = Authority::open(directory, milliseconds() / 1000)?;
        let mut draft = Draft::new(0);
        for (index, value) in pcrs {
            *draft.pcrs.get_mut(*index).ok_or(std::io::ErrorKind::InvalidInput)? = *value;
        }
        Ok(Self { authority, pcrs: draft.pcrs, chain: Mutex::default() })
    }

    /// SHA-256 of the root: what a verifier must be told to trust.
    pub fn root_sha256(&self) -> [u8; 32] {
        self.authority.root_sha256()
    }
}

/// Since 1970.
fn milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Nsm for Emulated {
    fn attest(&self, user_data: Option<&[u8]>, public_key: Option<&[u8]>) -> Result<Vec<u8>, NsmError> {
        if user_data.is_some_and(|data| data.len() > 512) || public_key.is_some_and(|key| key.len() > 1024) {
            return Err(NsmError("a field is longer than an NSM takes".into()));
        }
        let now = milliseconds();
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        if now / 1000 >= chain.issued + RENEWAL {
            *chain = Chain { issued: now / 1000, certificates: self.authority.renewed(now / 1000).issue() };
        }
        let mut draft = Draft::new(now);
        draft.pcrs.clone_from(&self.pcrs);
        draft.user_data = user_data.map(<[u8]>::to_vec);
        draft.public_key = public_key.map(<[u8]>::to_vec);
        let payload = document_maker::payload(draft.fields(&chain.certificates));
        Ok(document_maker::sign(&payload, self.authority.leaf_key()))
    }

    fn random(&self) -> Result<Zeroizing<Vec<u8>>, NsmError> {
        let bytes = algorithms::random::array::<32>();
        bytes
            .map(|bytes| Zeroizing::new(bytes.to_vec()))
            .map_err(|_| NsmError("the system has no randomness".into()))
    }
}

/// A question's RSA key, and what the enclave makes of the envelopes that its host hands in: for the fuzzer.
#[derive(Debug)]
pub struct Reader(Recipient);

impl Reader {
    /// A new key; `None` if the engine makes none.
    pub fn new() -> Option<Self> {
        Recipient::generate().map(Self)
    }

    /// The key, as SubjectPublicKeyInfo.
    pub fn spki(&self) -> &[u8] {
        self.0.spki()
    }

    /// What is in an envelope to this key, the first time.
    pub fn open(&self, envelope: &[u8]) -> Option<SecretBytes> {
        envelope::open(envelope, &self.0).ok()
    }
}
