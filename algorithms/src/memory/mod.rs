//! The memory that keys live in: locked against swapping where the system allows, left out of core dumps, and wiped
//! when freed.
//!
//! One allocator holds [`crate::SecretBytes`] and everything that AWS-LC allocates. AWS-LC takes its allocator only
//! before its first allocation, so a constructor installs ours when the program or library is loaded: no later moment
//! is safe in a program that also uses AWS-LC for something else.

#[expect(unsafe_code, reason = "an allocator works on raw memory")]
mod arena;

pub(crate) use arena::{Block, Held, SHARDS, fork_child, fork_parent, fork_prepare, shard};

/// What became of the wish to keep keys in RAM; for `trellis doctor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Bytes of key memory that cannot be swapped out.
    pub locked_bytes: usize,
    /// Bytes of key memory that the system refused to lock; above zero when `limit` is too low.
    pub unlocked_bytes: usize,
    /// Bytes that hold something now, with what the allocator writes before each block.
    pub used_bytes: usize,
    /// RLIMIT_MEMLOCK in bytes; `None` when there is no limit.
    pub limit: Option<u64>,
    /// Whether AWS-LC's own allocations are kept here too.
    pub engine_protected: bool,
}

/// The state of this process's key memory.
pub fn status() -> Status {
    let (locked_bytes, unlocked_bytes) = arena::totals();
    Status {
        locked_bytes,
        unlocked_bytes,
        used_bytes: arena::used(),
        limit: arena::lock_limit(),
        engine_protected: arena::engine_protected(),
    }
}
