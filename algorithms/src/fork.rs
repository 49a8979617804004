//! What a program that forks must call around fork(2), as handlers of pthread_atfork do, so that no lock of this
//! crate or of AWS-LC is held by a thread that the child does not have.
//!
//! Until it is over, calls of other threads wait; those in progress are waited for, which for the generation of an
//! RSA key can take seconds.

use crate::{engine::aws_lc::gate, memory, ml_dsa::deterministic};

/// Before fork(2).
pub fn prepare() {
    gate::shut();
    deterministic::fork_prepare();
    // Last: who is inside, or at the list of expanded keys, may need memory before it can leave.
    memory::fork_prepare();
}

/// After fork(2), in the parent.
pub fn parent() {
    memory::fork_parent();
    deterministic::fork_over();
    gate::open();
}

/// After fork(2), in the child. Its key memory is locked again when it first uses it, so that a child that only
/// executes another program pays nothing.
pub fn child() {
    memory::fork_child();
    deterministic::fork_over();
    gate::open();
}
