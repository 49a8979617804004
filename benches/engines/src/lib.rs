//! Routes to a faster ML-DSA, as code that signs: docs/decisions/0017-ml-dsa-engines.md says what each would cost.
//!
//! Nothing here is part of Trellis, or may become it as it stands.

pub mod aws_lc;
pub mod contender;
pub mod own;
mod registry;
