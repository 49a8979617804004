//! Attributes (PKCS#11 v3.2 section 4): one table row each, the rules for templates, and the policy that decides who
//! may see and change what.

mod change;
mod given;
mod kind;
mod policy;
mod refusal;
mod search;
mod table;
mod value;

pub use change::{copied, modified};
pub use given::{Given, Origin};
pub use kind::{Kinds, ObjectKind, PairType, SecretType};
pub use policy::{check, complete};
pub(crate) use refusal::because;
pub use search::search;
pub use table::{ATTRIBUTES, Attribute, Fallback, Form, known, notes, row, rows_of};
pub use value::{answer, canonical, size};
