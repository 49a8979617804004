//! The chain of CAs above an enclave: root, region, zone, instance, as Amazon's.

use crate::{Certificate, Key, sha256};

/// Names of the CAs, the root first.
const NAMES: [&str; 4] = [
    "trellis-test.nitro-enclaves",
    "region.trellis-test.nitro-enclaves",
    "zone.region.trellis-test.nitro-enclaves",
    "i-0trellis.region.trellis-test.nitro-enclaves",
];
/// Seconds for which each is valid before and after the moment it is made for, as Amazon's are.
const LIVES: [u64; 4] = [10 * 365 * 86_400, 20 * 86_400, 5 * 86_400, 86_400];
const LEAF_LIFE: u64 = 3 * 3600;

/// CAs with their keys, and what they would issue: change [`Authority::cas`] or [`Authority::leaf`], then call
/// [`Authority::issue`].
#[derive(Debug)]
pub struct Authority {
    keys: Vec<Key>,
    leaf_key: Key,
    /// The CAs, the root first.
    pub cas: Vec<Certificate>,
    /// The enclave's certificate.
    pub leaf: Certificate,
    /// The root's DER, once it is made: a root that is trusted stays the same.
    root: Vec<u8>,
}

impl Authority {
    /// A new root and the CAs below it, valid at `moment` (seconds since 1970).
    pub fn new(moment: u64) -> Self {
        let keys: Vec<_> = NAMES.iter().map(|_| Key::generate()).collect();
        let leaf_key = Key::generate();
        let (cas, leaf) = certificates(moment);
        let root = cas[0].sign(&keys[0], keys[0].point());
        Self { keys, leaf_key, cas, leaf, root }
    }

    /// The same root and keys, with certificates that are valid at another moment.
    pub fn renewed(&self, moment: u64) -> Self {
        let keys = self.keys().cloned().collect();
        Self::from_keys(keys, self.root.clone(), moment).expect("these are the keys of an authority")
    }

    /// Of keys, that of the enclave's certificate last; nothing where there are more or less.
    pub(crate) fn from_keys(mut keys: Vec<Key>, root: Vec<u8>, moment: u64) -> Option<Self> {
        let leaf_key = keys.pop().filter(|_| keys.len() == NAMES.len())?;
        let (cas, leaf) = certificates(moment);
        Some(Self { keys, leaf_key, cas, leaf, root })
    }

    /// All keys, that of the enclave's certificate last.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().chain([&self.leaf_key])
    }

    /// The root in DER.
    pub fn root(&self) -> &[u8] {
        &self.root
    }

    /// SHA-256 of the root in DER: what a verifier must be told to trust.
    pub fn root_sha256(&self) -> [u8; 32] {
        sha256(&self.root)
    }

    /// Makes the root anew from `cas[0]`; it has another hash then.
    pub fn renew_root(&mut self) {
        self.root = self.cas[0].sign(&self.keys[0], self.keys[0].point());
    }

    /// The key of a CA.
    pub fn key(&self, at: usize) -> &Key {
        &self.keys[at]
    }

    /// The key of the enclave's certificate.
    pub fn leaf_key(&self) -> &Key {
        &self.leaf_key
    }

    /// All certificates in DER, the root first and the enclave's last.
    pub fn issue(&self) -> Vec<Vec<u8>> {
        let mut chain = vec![self.root.clone()];
        for at in 1..self.cas.len() {
            chain.push(self.cas[at].sign(&self.keys[at - 1], self.keys[at].point()));
        }
        chain.push(self.leaf.sign(&self.keys[self.cas.len() - 1], self.leaf_key.point()));
        chain
    }
}

/// The CAs, the root first, and the enclave's certificate, none of them signed.
fn certificates(moment: u64) -> (Vec<Certificate>, Certificate) {
    let cas = (0..NAMES.len()).map(|at| {
        let valid = (moment.saturating_sub(LIVES[at]), moment + LIVES[at]);
        let below = u8::try_from(NAMES.len() - 1 - at).expect("there are four");
        Certificate::ca(NAMES[at.saturating_sub(1)], NAMES[at], valid, (at > 0).then_some(below))
    });
    let valid = (moment.saturating_sub(1), moment + LEAF_LIFE);
    (cas.collect(), Certificate::leaf(NAMES[3], "i-0trellis-enc0.region.trellis-test", valid))
}
