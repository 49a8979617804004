//! Calls that can be made in either module, as values, and what comes back that can be compared.

use cryptoki_sys::*;
use trellis_tests::raw::{SO_PIN, USER_PIN};

/// What an Init function begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Digest,
    Sign,
    Verify,
    Encrypt,
    Decrypt,
}

/// A mechanism with the parameter it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mechanism {
    pub(crate) kind: CK_MECHANISM_TYPE,
    pub(crate) parameter: Parameter,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parameter {
    None,
    Bytes(Vec<u8>),
    Pss { hash: CK_MECHANISM_TYPE, mgf: CK_ULONG, salt: CK_ULONG },
    Gcm { iv: Vec<u8>, aad: Vec<u8>, tag_bits: CK_ULONG },
    Ctr { bits: CK_ULONG },
}

/// How much room the caller gives for output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// NULL: asks for the length.
    Ask,
    /// So many bytes.
    Bytes(usize),
    /// Enough for anything.
    Plenty,
}

/// Which bytes a function gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bytes {
    These(Vec<u8>),
    /// An earlier output by its number, of the side that made it, with its last byte changed or not.
    Output {
        number: usize,
        of_ours: bool,
        alter: bool,
    },
}

/// One call. Numbers of sessions and objects are places in the tables of [`Side`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Open {
        flags: CK_FLAGS,
    },
    Close {
        session: usize,
    },
    Info {
        session: usize,
    },
    Login {
        session: usize,
        user: CK_USER_TYPE,
        pin: &'static [u8],
    },
    Logout {
        session: usize,
    },
    Create {
        session: usize,
        template: Attributes,
    },
    Copy {
        session: usize,
        object: usize,
        template: Attributes,
    },
    Destroy {
        session: usize,
        object: usize,
    },
    Get {
        session: usize,
        object: usize,
        kinds: Vec<CK_ATTRIBUTE_TYPE>,
        room: usize,
    },
    Set {
        session: usize,
        object: usize,
        template: Attributes,
    },
    /// A whole search; what is found gets numbers.
    Search {
        session: usize,
        template: Attributes,
    },
    FindInit {
        session: usize,
        template: Attributes,
    },
    Find {
        session: usize,
        max: CK_ULONG,
    },
    FindFinal {
        session: usize,
    },
    Init {
        kind: Kind,
        session: usize,
        mechanism: Mechanism,
        key: usize,
    },
    Whole {
        kind: Kind,
        session: usize,
        data: Bytes,
        room: Room,
    },
    Update {
        kind: Kind,
        session: usize,
        data: Bytes,
        room: Room,
    },
    Final {
        kind: Kind,
        session: usize,
        room: Room,
    },
    Verify {
        session: usize,
        data: Vec<u8>,
        signature: Bytes,
    },
    VerifyFinal {
        session: usize,
        signature: Bytes,
    },
    DigestKey {
        session: usize,
        key: usize,
    },
    Random {
        session: usize,
        len: usize,
    },
}

/// What every test must have made with success.
pub(crate) const NAMES: &[&str] = &[
    "Open",
    "Close",
    "Info",
    "Login",
    "Logout",
    "Create",
    "Copy",
    "Destroy",
    "Get",
    "Set",
    "Search",
    "FindInit",
    "Find",
    "FindFinal",
    "Random",
    "DigestKey",
    "Verify",
    "VerifyFinal",
    "Init Digest",
    "Init Sign",
    "Init Verify",
    "Init Encrypt",
    "Init Decrypt",
    "Whole Digest",
    "Whole Sign",
    "Whole Encrypt",
    "Whole Decrypt",
    "Update Digest",
    "Update Sign",
    "Update Verify",
    "Update Encrypt",
    "Update Decrypt",
    "Final Digest",
    "Final Sign",
    "Final Encrypt",
    "Final Decrypt",
];

impl Action {
    /// One of [`NAMES`].
    pub(crate) fn name(&self) -> String {
        let variant = format!("{self:?}");
        let variant = variant.split(' ').next().unwrap();
        match self {
            Self::Init { kind, .. }
            | Self::Whole { kind, .. }
            | Self::Update { kind, .. }
            | Self::Final { kind, .. } => format!("{variant} {kind:?}"),
            _ => variant.to_owned(),
        }
    }
}

/// A template that can be printed and compared.
pub(crate) type Attributes = Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) rv: CK_RV,
    /// Bytes, lengths and states, in the order in which the function gives them.
    pub(crate) output: Vec<u8>,
    /// Handles of what was made or found.
    pub(crate) handles: Vec<CK_ULONG>,
}

impl From<CK_RV> for Outcome {
    fn from(rv: CK_RV) -> Self {
        Self { rv, output: Vec::new(), handles: Vec::new() }
    }
}

/// The PINs a sequence uses. The third is nobody's.
pub(crate) const PINS: [&[u8]; 3] = [USER_PIN, SO_PIN, b"wrong one"];
