//! Keys that stay open for a while, so that a TLS server does not ask KMS for each signature.
//!
//! A key is found by everything that its sealed form holds, so nothing opens with it that it would not have opened
//! with KMS. What KMS would refuse by now is noticed when the time is over.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use algorithms::PrivateKey;
use attest::sha256;
use cosigner_protocol::message::SealedKey;

use crate::fields;

/// Keys that are open at once.
const MOST: usize = 1024;

/// Open keys, each wiped when its time is over or another takes its place.
#[derive(Debug)]
pub(crate) struct OpenKeys {
    keep_open: Duration,
    keys: Mutex<HashMap<[u8; 32], Open>>,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    key: Arc<PrivateKey>,
}

impl OpenKeys {
    /// With zero nothing is kept.
    pub(crate) fn new(keep_open: Duration) -> Self {
        Self { keep_open, keys: Mutex::default() }
    }

    /// A key that was opened not too long ago.
    pub(crate) fn get(&self, sealed: &SealedKey) -> Option<Arc<PrivateKey>> {
        self.current().get(&name(sealed)).map(|open| open.key.clone())
    }

    /// Keeps a key, in place of the oldest where there are too many.
    pub(crate) fn put(&self, sealed: &SealedKey, key: &Arc<PrivateKey>) {
        if self.keep_open.is_zero() {
            return;
        }
        let mut keys = self.current();
        if keys.len() >= MOST
            && let Some(oldest) = keys.iter().min_by_key(|(_, open)| open.since).map(|(name, _)| *name)
        {
            keys.remove(&oldest);
        }
        keys.insert(name(sealed), Open { since: Instant::now(), key: key.clone() });
    }

    /// Forgets keys whose time is over, though nobody asks for any.
    pub(crate) fn sweep(&self) {
        drop(self.current());
    }

    /// The keys whose time is not over.
    fn current(&self) -> MutexGuard<'_, HashMap<[u8; 32], Open>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|_, open| open.since.elapsed() < self.keep_open);
        keys
    }
}

/// A hash of all fields, none of which can reach into the next.
fn name(key: &SealedKey) -> [u8; 32] {
    let mut out = Vec::new();
    fields::user_id(&mut out, &key.user_id);
    fields::text8(&mut out, key.algorithm.name());
    fields::kms_key(&mut out, &key.kms_key);
    for part in [&key.public_key, &key.wrapped_key, &key.sealed_key] {
        out.extend(sha256(&part.0));
    }
    sha256(&out)
}
