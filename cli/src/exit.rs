//! The exit codes.

use serde::Serialize;

/// The exit codes of `trellis`; docs/cli.md and `trellis --help` list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub(crate) enum Exit {
    /// The answer is no: a signature or attestation is not valid, `doctor` found something broken, `migrate` could not move
    /// or use everything.
    Negative = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A PIN is missing, wrong, locked or refused.
    Login = 3,
    /// There is no such token, key or slot.
    NotFound = 4,
    /// The module does not load, or the token failed.
    Module = 5,
    /// It exists already, several match, or the command wants a confirmation.
    Conflict = 6,
    /// The module or token does not have what is needed.
    Unsupported = 7,
    /// A file cannot be read, written or understood.
    Io = 8,
}
