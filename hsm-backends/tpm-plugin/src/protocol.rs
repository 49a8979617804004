//! What the store and the plug-in say to each other: numbers of operations, answers, and byte strings with their lengths.
//! Both sides compile this very file; [`VERSION`] changes with it.

use zeroize::Zeroizing;

/// Of everything in this file.
pub(crate) const VERSION: u32 = 3;

/// What the plug-in is asked to do. Every request begins with the connection: the TCTI as text, the authorisation of
/// the owner hierarchy, and the time limit in milliseconds (4 bytes). The rest, and the answer, stand beside each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Operation {
    /// Makes the counters of a new token: `random (32)` gives `anchor`.
    Provision = 1,
    /// Makes what judges a PIN: `anchor, role, door so far or nothing, authorisation (32), tries, random (32)` gives
    /// `door`.
    Door = 2,
    /// Seals the token key: `anchor, role, door, copy so far or nothing, PCR selection or nothing, how (1), key (32)`
    /// gives `copy`.
    Seal = 3,
    /// Has a PIN judged: `anchor, role, door, copy, authorisation (32)` gives the key.
    Unseal = 4,
    /// Finishes a change of PIN, or C_InitToken, whose copy is on the medium: `anchor, role, door, copy` gives nothing.
    Settle = 5,
    /// Takes away everything of a token: `anchor` gives nothing.
    Remove = 6,
    /// How a PIN stands: `anchor, role, door` gives `wrong tries (4), limit (4)`.
    Tries = 7,
    /// All that can be told without a PIN: `anchor, role, door, copy` gives the fields of [`Report`].
    Report = 8,
    /// Whether a TPM answers at all: nothing gives nothing.
    Reach = 9,
}

impl Operation {
    pub(crate) const ALL: [Self; 9] = [
        Self::Provision,
        Self::Door,
        Self::Seal,
        Self::Unseal,
        Self::Settle,
        Self::Remove,
        Self::Tries,
        Self::Report,
        Self::Reach,
    ];

    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| *operation as u32 == number)
    }
}

/// How [`Operation::Seal`] goes about the counter and the PCRs.
pub(crate) mod how {
    /// The copies of before are to open no more: the counter that is to be is one above the present.
    pub(crate) const REVOKE: u8 = 1;
    /// The PCRs of the copy so far, not the present ones.
    pub(crate) const SAME_PCRS: u8 = 2;
    /// The user's PIN goes together with the copies of before: C_InitToken, whose copy is the officer's.
    pub(crate) const ERASES: u8 = 4;
}

/// The plug-in's answer; with all but the first, the bytes are a text for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Answer {
    /// It is done.
    Done = 0,
    /// The request is none.
    Malformed = 1,
    /// No TPM answers there.
    Away = 2,
    /// The PIN is wrong; the TPM has counted it.
    WrongPin = 3,
    /// The TPM judges this PIN no more.
    Locked = 4,
    /// The PCRs are not those that were sealed to.
    Pcrs = 5,
    /// The PIN was changed since this copy was made.
    Stale = 6,
    /// Another TPM made this, or the TPM was cleared.
    Foreign = 7,
    /// The TPM failed, or refused for another reason.
    Failed = 8,
    /// Other programs keep the TPM's memory full.
    Busy = 9,
}

impl Answer {
    pub(crate) const ALL: [Self; 10] = [
        Self::Done,
        Self::Malformed,
        Self::Away,
        Self::WrongPin,
        Self::Locked,
        Self::Pcrs,
        Self::Stale,
        Self::Foreign,
        Self::Failed,
        Self::Busy,
    ];
}

/// What [`Operation::Report`] gives, in this order, each as a text but for the last.
pub(crate) const REPORT: [&str; 8] =
    ["srk", "tries", "limit", "counter", "sealed_counter", "pcrs", "pcrs_fit", "nv_indices"];

/// Fields one after the other, each a length (4 bytes, big-endian) and its bytes. Wiped when dropped.
#[derive(Default)]
pub(crate) struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    pub(crate) fn bytes(mut self, field: &[u8]) -> Self {
        let len = u32::try_from(field.len()).expect("fields are some hundred bytes");
        // What grows leaves nothing behind.
        let mut grown = Zeroizing::new(Vec::with_capacity(self.0.len() + field.len() + 4));
        grown.extend_from_slice(&self.0);
        grown.extend_from_slice(&len.to_be_bytes());
        grown.extend_from_slice(field);
        self.0 = grown;
        self
    }

    pub(crate) fn number(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    pub(crate) fn finish(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

/// The inverse of [`Writer`].
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first_chunk()?;
        let (field, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
        self.0 = rest;
        Some(field)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        self.bytes()?.try_into().ok()
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        self.array().map(|bytes| u64::from_be_bytes(*bytes))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
