//! Why an operation did not succeed: what the TPM answered, in terms of the store.

use zeroize::Zeroizing;

use crate::{ffi::Rc, protocol::Answer};

/// Why an operation was not done.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The answer, and what to tell people.
    Said(Answer, String),
    /// A response code that nobody has looked at more closely.
    Code(Rc),
}

/// What an operation, or a part of one, gives.
pub(crate) type Done<T = Vec<u8>> = Result<T, Refusal>;

impl From<Rc> for Refusal {
    fn from(rc: Rc) -> Self {
        Self::Code(rc)
    }
}

pub(crate) fn malformed() -> Refusal {
    Refusal::Said(Answer::Malformed, "the store and the TPM plug-in do not understand each other".into())
}

pub(crate) fn said(answer: Answer, text: &str) -> Refusal {
    Refusal::Said(answer, text.into())
}

/// TPM_RC_AUTH_UNAVAILABLE: a PIN FAIL index that has had all its tries.
pub(crate) const AUTH_UNAVAILABLE: u32 = 0x12F;
/// TPM_RC_LOCKOUT: the dictionary-attack logic.
pub(crate) const LOCKOUT: u32 = 0x921;
/// TPM_RC_NV_DEFINED.
pub(crate) const NV_DEFINED: u32 = 0x14C;
/// TPM_RC_POLICY: the comparison of TPM2_PolicyNV failed.
pub(crate) const POLICY: u32 = 0x126;
/// TPM_RC_AUTH_FAIL and TPM_RC_BAD_AUTH, whatever they are about.
const AUTH_FAIL: u32 = 0x08E;
const BAD_AUTH: u32 = 0x0A2;
/// TPM_RC_POLICY_FAIL.
const POLICY_FAIL: u32 = 0x09D;
/// TPM_RC_INTEGRITY, which a blob of another TPM gives.
const INTEGRITY: u32 = 0x09F;
/// TSS2_TCTI_RC_IO_ERROR, with or without its layer's neighbours.
const IO_ERROR: u32 = 0x000A;
const TCTI_LAYER: u32 = 0x000A;
/// Resource managers answer in the TPM's codes under layers of their own.
const RESOURCE_MANAGER_LAYERS: [u32; 2] = [0x000B, 0x000C];

impl Rc {
    /// The code without the place in the command that it is about (part 2, 6.6.3).
    pub(crate) fn code(self) -> Option<u32> {
        let (layer, code) = (self.0 >> 16, self.0 & 0xFFFF);
        if layer != 0 && !RESOURCE_MANAGER_LAYERS.contains(&layer) {
            return None;
        }
        Some(if code & 0x80 != 0 { code & 0xBF } else { code })
    }

    /// Whether another try may succeed: others hold what the TPM has too little of, or it is busy (part 2, 6.6.3, warnings).
    pub(crate) fn may_pass(self) -> bool {
        matches!(self.code(), Some(0x901..=0x906 | 0x908..=0x90A | 0x920 | 0x922 | 0x923))
    }

    /// Whether its memory for objects or sessions is full.
    pub(crate) fn is_full(self) -> bool {
        matches!(self.code(), Some(0x902..=0x906))
    }

    pub(crate) fn is_wrong_auth(self) -> bool {
        matches!(self.code(), Some(AUTH_FAIL | BAD_AUTH))
    }

    fn is_of_the_way(self) -> bool {
        self.0 >> 16 == TCTI_LAYER && self.0 & 0xFF == IO_ERROR
    }
}

impl Refusal {
    /// The answer and its text. `failure` is what the way to the TPM said.
    pub(crate) fn into_answer(self, failure: Option<String>) -> (Answer, Zeroizing<Vec<u8>>) {
        let (answer, text) = match self {
            Self::Said(answer, text) => (answer, text),
            Self::Code(rc) if rc.is_of_the_way() || failure.is_some() => {
                (Answer::Away, failure.unwrap_or_else(|| "the connection broke".into()))
            }
            Self::Code(rc) if rc.may_pass() => (
                Answer::Busy,
                format!("the TPM has no room left or is busy ({:#x}); use /dev/tpmrm0 or another resource manager", rc.0),
            ),
            Self::Code(rc) => match rc.code() {
                Some(LOCKOUT) => (
                    Answer::Failed,
                    "the TPM's own lockout is on, because of other wrong authorisations; wait, or clear it with tpm2_dictionarylockout"
                        .into(),
                ),
                Some(POLICY_FAIL) => (Answer::Failed, "the TPM says that its policy is not met (0x99d)".into()),
                Some(INTEGRITY) => (Answer::Foreign, "the TPM did not make this, or was cleared since".into()),
                Some(AUTH_FAIL | BAD_AUTH) => (
                    Answer::Failed,
                    format!("the TPM refuses an authorisation ({:#x}); does the owner hierarchy have a password?", rc.0),
                ),
                _ => (Answer::Failed, format!("the TPM answers {:#x}; tpm2_rc_decode says what that is", rc.0)),
            },
        };
        (answer, text.into_bytes().into())
    }
}
