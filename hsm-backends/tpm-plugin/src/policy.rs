//! Policy digests (TPM 2.0 part 3, 23), computed by the TPM's own SHA-256, and the sessions that meet them.

use crate::{
    ffi::{Handle, Result, Tpm, UNFIT},
    layout::Pcrs,
};

const POLICY_NV: u32 = 0x149;
const POLICY_SECRET: u32 = 0x151;
const POLICY_PCR: u32 = 0x17F;
const NV_READ: u32 = 0x14E;

/// A policy of a copy of the token key, in the order in which it is met: what costs no try comes first.
pub(crate) struct CopyPolicy<'a> {
    pub(crate) pcrs: Option<&'a Pcrs>,
    /// The Name of the role's counter, and what it must be.
    pub(crate) counter: (&'a [u8], u64),
    /// The Names of the PIN FAIL index and of the object that has the PIN.
    pub(crate) secrets: [&'a [u8]; 2],
}

impl CopyPolicy<'_> {
    pub(crate) fn digest(&self, tpm: &mut Tpm) -> Result<[u8; 32]> {
        let mut digest = [0; 32];
        if let Some(pcrs) = self.pcrs {
            let count = u32::try_from(pcrs.banks.len()).map_err(|_| UNFIT)?;
            let mut selection = count.to_be_bytes().to_vec();
            for (bank, bits) in &pcrs.banks {
                selection.extend(bank.to_be_bytes());
                selection.push(3);
                selection.extend(&bits.to_le_bytes()[..3]);
            }
            digest =
                tpm.hash(&[&digest[..], &POLICY_PCR.to_be_bytes(), &selection, &pcrs.digest].concat())?;
        }
        let (counter, equals) = self.counter;
        // operandB, offset 0, TPM2_EO_EQ.
        let arguments = tpm.hash(&[&equals.to_be_bytes()[..], &[0; 4]].concat())?;
        digest = tpm.hash(&[&digest[..], &POLICY_NV.to_be_bytes(), &arguments, counter].concat())?;
        for name in self.secrets {
            digest = tpm.hash(&[&digest[..], &POLICY_SECRET.to_be_bytes(), name].concat())?;
            // An empty policyRef is hashed as well.
            digest = tpm.hash(&digest)?;
        }
        Ok(digest)
    }
}

/// The policy of a PIN FAIL index: written once, while it is unwritten, and read by anybody. Nobody sets its count back.
pub(crate) mod pin_index {
    use super::{Handle, NV_READ, Result, Tpm};

    /// TPM2_PolicyNvWritten(NO).
    const WRITE: [u8; 32] = [
        0x3C, 0x32, 0x63, 0x23, 0x67, 0x0E, 0x28, 0xAD, 0x37, 0xBD, 0x57, 0xF6, 0x3B, 0x4C, 0xC3, 0x4D, 0x26,
        0xAB, 0x20, 0x5E, 0xF2, 0x2F, 0x27, 0x5C, 0x58, 0xD4, 0x7F, 0xAB, 0x24, 0x85, 0x46, 0x6E,
    ];
    /// TPM2_PolicyCommandCode(TPM_CC_NV_Read).
    const READ: [u8; 32] = [
        0x47, 0xCE, 0x30, 0x32, 0xD8, 0xBA, 0xD1, 0xF3, 0x08, 0x9C, 0xB0, 0xC0, 0x90, 0x88, 0xDE, 0x43, 0x50,
        0x14, 0x91, 0xD4, 0x60, 0x40, 0x2B, 0x90, 0xCD, 0x1B, 0x7F, 0xC0, 0xB6, 0x8C, 0xA9, 0x2F,
    ];
    /// TPM2_PolicyOR of the two.
    pub(crate) const POLICY: [u8; 32] = [
        0xB8, 0x20, 0x78, 0x36, 0x89, 0x87, 0x3C, 0x8B, 0x38, 0x18, 0x1C, 0x90, 0x4D, 0x7D, 0xF5, 0xFF, 0x8D,
        0x5C, 0x07, 0x29, 0x27, 0x2C, 0xA5, 0x2A, 0x71, 0xED, 0x42, 0x4B, 0x63, 0x9E, 0xAA, 0xF7,
    ];

    pub(crate) fn to_write(tpm: &mut Tpm) -> Result<Handle> {
        let session = tpm.start_session(None)?;
        tpm.policy_nv_written(session, false)?;
        tpm.policy_or(session, &[&WRITE, &READ])?;
        Ok(session)
    }

    pub(crate) fn to_read(tpm: &mut Tpm) -> Result<Handle> {
        let session = tpm.start_session(None)?;
        tpm.policy_command(session, NV_READ)?;
        tpm.policy_or(session, &[&WRITE, &READ])?;
        Ok(session)
    }

    #[cfg(test)]
    mod tests {
        use algorithms::digest::Hash;

        use super::*;

        #[test]
        fn the_digests_are_those_of_the_specification() {
            let hash = |parts: &[&[u8]]| Hash::Sha256.digest(&parts.concat()).unwrap();
            let none = [0; 32];
            assert_eq!(hash(&[&none, &0x18F_u32.to_be_bytes(), &[0]]), WRITE);
            assert_eq!(hash(&[&none, &0x16C_u32.to_be_bytes(), &NV_READ.to_be_bytes()]), READ);
            assert_eq!(hash(&[&none, &0x171_u32.to_be_bytes(), &WRITE, &READ]), POLICY);
        }
    }
}
