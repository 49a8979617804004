//! What the plug-in gives the store to keep (docs/formats.md), and the templates of what it makes in the TPM.

use crate::{
    protocol::{Reader, Writer},
    refusal::{Refusal, malformed},
};

/// Where the storage root key is, if somebody has put it there (TCG TPM v2.0 Provisioning Guidance, 7.8).
pub(crate) const SRK: u32 = 0x8100_0001;
/// Eight indices for each token, in the range of the owner (TCG Registry of Reserved TPM 2.0 Handles, 2.2.2).
pub(crate) const FIRST_INDEX: u32 = 0x0180_7400;
pub(crate) const INDICES: u32 = 8;
pub(crate) const MOST_TOKENS: u32 = 128;

/// Whose PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    SecurityOfficer,
    User,
}

impl Role {
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::SecurityOfficer),
            1 => Some(Self::User),
            _ => None,
        }
    }
}

/// What a token has in the TPM for as long as it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// Whether the storage root key is the one at [`SRK`]; otherwise it is made anew each time.
    pub(crate) persistent: bool,
    pub(crate) srk_name: Vec<u8>,
    /// The first of its indices.
    pub(crate) base: u32,
    /// The authorisation of its counters.
    pub(crate) counter_auth: [u8; 32],
}

/// What judges a PIN: a PIN FAIL index, and an object whose authorisation is the PIN's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Door {
    /// Which of the role's two indices.
    pub(crate) slot: u32,
    pub(crate) public: Vec<u8>,
    pub(crate) private: Vec<u8>,
}

/// The PCRs that a copy is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pcrs {
    /// Banks (TPM_ALG_ID) and their PCRs, one bit for each.
    pub(crate) banks: Vec<(u16, u32)>,
    /// SHA-256 of their values.
    pub(crate) digest: [u8; 32],
}

/// The token key, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copy {
    /// What the role's counter is when it opens.
    pub(crate) count: u64,
    /// Whether the user's PIN goes when the counter gets there: C_InitToken has made this copy of the officer's.
    pub(crate) erases: bool,
    pub(crate) pcrs: Option<Pcrs>,
    pub(crate) public: Vec<u8>,
    pub(crate) private: Vec<u8>,
}

impl Anchor {
    pub(crate) fn door_index(&self, role: Role, slot: u32) -> u32 {
        self.base + if role == Role::User { 0 } else { 2 } + slot
    }

    pub(crate) fn counter_index(&self, role: Role) -> u32 {
        self.base + if role == Role::User { 4 } else { 5 }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::default()
            .number(self.persistent.into())
            .bytes(&self.srk_name)
            .number(self.base.into())
            .bytes(&self.counter_auth)
            .finish()
            .to_vec()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut fields = Reader(bytes);
        let mut decode = || {
            let persistent = fields.number()? == 1;
            let srk_name = fields.bytes()?.to_vec();
            let base = u32::try_from(fields.number()?).ok()?;
            let group = base.checked_sub(FIRST_INDEX)?;
            let counter_auth = *fields.array()?;
            (group % INDICES == 0 && group / INDICES < MOST_TOKENS && fields.is_empty()).then_some(Self {
                persistent,
                srk_name,
                base,
                counter_auth,
            })
        };
        decode().ok_or_else(malformed)
    }
}

impl Door {
    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::default().number(self.slot.into()).bytes(&self.public).bytes(&self.private).finish().to_vec()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut fields = Reader(bytes);
        let mut decode = || {
            let slot = u32::try_from(fields.number()?).ok().filter(|slot| *slot < 2)?;
            let (public, private) = (fields.bytes()?.to_vec(), fields.bytes()?.to_vec());
            fields.is_empty().then_some(Self { slot, public, private })
        };
        decode().ok_or_else(malformed)
    }
}

impl Pcrs {
    /// A list of banks: 2 bytes for the bank, 4 for its PCRs.
    pub(crate) fn banks(bytes: &[u8]) -> Option<Vec<(u16, u32)>> {
        let (rows, []) = bytes.as_chunks::<6>() else { return None };
        let bank = |row: &[u8; 6]| {
            let [a, b, rest @ ..] = *row;
            (u16::from_be_bytes([a, b]), u32::from_be_bytes(rest))
        };
        (!rows.is_empty() && rows.len() <= 8).then(|| rows.iter().map(bank).collect())
    }

    fn encode(this: Option<&Self>) -> (Vec<u8>, Vec<u8>) {
        let Some(this) = this else { return Default::default() };
        let banks = this
            .banks
            .iter()
            .flat_map(|(bank, pcrs)| [&bank.to_be_bytes()[..], &pcrs.to_be_bytes()].concat());
        (banks.collect(), this.digest.to_vec())
    }
}

impl Copy {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (banks, digest) = Pcrs::encode(self.pcrs.as_ref());
        Writer::default()
            .number(self.count)
            .number(self.erases.into())
            .bytes(&banks)
            .bytes(&digest)
            .bytes(&self.public)
            .bytes(&self.private)
            .finish()
            .to_vec()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut fields = Reader(bytes);
        let mut decode = || {
            let count = fields.number()?;
            let erases = fields.number()? == 1;
            let (banks, digest) = (fields.bytes()?, fields.bytes()?);
            let pcrs = match (banks, digest) {
                ([], []) => None,
                (banks, digest) => Some(Pcrs { banks: Pcrs::banks(banks)?, digest: digest.try_into().ok()? }),
            };
            let (public, private) = (fields.bytes()?.to_vec(), fields.bytes()?.to_vec());
            fields.is_empty().then_some(Self { count, erases, pcrs, public, private })
        };
        decode().ok_or_else(malformed)
    }
}

/// TPM2B_PUBLIC of the storage root key: ECC P-256, AES-128-CFB (Provisioning Guidance, 7.5.1; part 2, 12.2.4).
pub(crate) fn srk_template() -> Vec<u8> {
    // fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, decrypt.
    let mut area = head(0x0023, 0x0003_0472, &[]);
    for word in [0x0006_u16, 128, 0x0043, 0x0010, 0x0003, 0x0010] {
        area.extend(word.to_be_bytes());
    }
    for _ in ["x", "y"] {
        area.extend(32_u16.to_be_bytes());
        area.extend([0; 32]);
    }
    sized(&area)
}

/// TPM2B_PUBLIC of a sealed object.
fn sealed_template(attributes: u32, policy: &[u8]) -> Vec<u8> {
    let mut area = head(0x0008, attributes, policy);
    // No scheme, nothing unique yet.
    area.extend([0x00, 0x10, 0x00, 0x00]);
    sized(&area)
}

/// What the token key is sealed as: it opens by its policy alone.
pub(crate) fn copy_template(policy: &[u8; 32]) -> Vec<u8> {
    // fixedTPM, fixedParent, noDA.
    sealed_template(0x0000_0412, policy)
}

/// What has the PIN for its authorisation, and is under the TPM's own guess limit.
pub(crate) fn pin_template() -> Vec<u8> {
    // fixedTPM, fixedParent, userWithAuth.
    sealed_template(0x0000_0052, &[])
}

fn head(kind: u16, attributes: u32, policy: &[u8]) -> Vec<u8> {
    let len = u16::try_from(policy.len()).expect("a policy is a hash");
    let sha256 = 0x000B_u16;
    [&kind.to_be_bytes()[..], &sha256.to_be_bytes(), &attributes.to_be_bytes(), &len.to_be_bytes(), policy]
        .concat()
}

fn sized(area: &[u8]) -> Vec<u8> {
    [&u16::try_from(area.len()).expect("a template is some hundred bytes").to_be_bytes()[..], area].concat()
}
