//! Counts of wrong PINs, in memory that has an end: whoever makes tokens only to get them counted takes no other's place,
//! and no count is ever forgotten or too low.
//!
//! The first tokens have a count of their own each. When there is no more room, the next ones share counts, several of them
//! one, as a hash that nobody outside can foresee has it. What stands in a shared count stays for as long as this enclave
//! runs: a right PIN takes back its own try only, since the others may have been of another token.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

/// Tokens with a count of their own.
const OWN: usize = 65_536;
/// Counts that are shared by all others: 16 MiB, of which the system gives what is used.
const SHARED: usize = 1 << 24;

/// How many wrong PINs each token has had since this enclave started, or since the last right one.
#[derive(Debug)]
pub(crate) struct Counts {
    own: HashMap<[u8; 32], u32>,
    most: usize,
    /// The highest count stands for itself and all above: such a token is locked.
    shared: Vec<u8>,
    hash: RandomState,
}

impl Default for Counts {
    fn default() -> Self {
        Self::new(OWN, SHARED)
    }
}

impl Counts {
    fn new(most: usize, shared: usize) -> Self {
        Self { own: HashMap::new(), most, shared: vec![0; shared], hash: RandomState::new() }
    }

    /// Counts a try of a token that may have so many; `false` if it has had them, and nothing is counted.
    pub(crate) fn count(&mut self, token: [u8; 32], tries: u32) -> bool {
        let room = self.own.len() < self.most;
        let at = self.place(&token);
        let shared = &mut self.shared[at];
        let own = match self.own.get_mut(&token) {
            Some(own) => Some(own),
            // It may have been counted among the shared before there was room.
            None if room => Some(self.own.entry(token).or_insert(u32::from(*shared))),
            None => None,
        };
        if let Some(own) = own {
            let left = *own < tries;
            *own += u32::from(left);
            return left;
        }
        let left = u32::from(*shared) < tries && *shared < u8::MAX;
        *shared += u8::from(left);
        left
    }

    /// The try that was counted last was right.
    pub(crate) fn right(&mut self, token: &[u8; 32]) {
        if self.own.remove(token).is_none() {
            let at = self.place(token);
            self.shared[at] -= 1;
        }
    }

    fn place(&self, token: &[u8; 32]) -> usize {
        let length = self.shared.len() as u64;
        usize::try_from(self.hash.hash_one(token) % length).expect("below the length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Counts {
        let mut counts = Counts::new(2, 1);
        assert!(counts.count([1; 32], 3) && counts.count([2; 32], 3));
        counts
    }

    #[test]
    fn a_full_table_refuses_nobody_and_forgets_nothing() {
        let mut counts = full();
        // Who comes later opens as often as he likes, and guesses as often as he may.
        for _ in 0..10 {
            assert!(counts.count([3; 32], 3));
            counts.right(&[3; 32]);
        }
        assert!((0..3).all(|_| counts.count([3; 32], 3)));
        assert!(!counts.count([3; 32], 3));
        // Those who were there go on where they were.
        assert!(counts.count([1; 32], 3) && counts.count([1; 32], 3) && !counts.count([1; 32], 3));
        counts.right(&[2; 32]);
        // With room again, what was counted among the shared counts still.
        assert!(!counts.count([3; 32], 3));
    }

    #[test]
    fn a_shared_count_that_is_full_is_locked() {
        let mut counts = full();
        for _ in 0..255 {
            assert!(counts.count([3; 32], u32::MAX));
        }
        assert!(!counts.count([3; 32], u32::MAX) && !counts.count([4; 32], u32::MAX));
    }

    #[test]
    fn the_places_of_tokens_are_not_foreseen() {
        let [one, other] = [Counts::new(0, SHARED), Counts::new(0, SHARED)];
        assert!((0..4).any(|token| one.place(&[token; 32]) != other.place(&[token; 32])));
    }
}
