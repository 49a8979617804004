//! The values of PCRs.

use crate::{
    ffi::Tpm,
    protocol::Answer,
    refusal::{Done, Refusal, said},
};

/// What TPM2_Hash takes at once.
const HASH_LEN: usize = 1024;

/// SHA-256 of the PCRs' present values, one after the other in the order of their banks and numbers.
pub(crate) fn present(tpm: &mut Tpm, banks: &[(u16, u32)]) -> Done<[u8; 32]> {
    let mut values = Vec::new();
    for (bank, pcrs) in banks {
        for pcr in (0..24).filter(|pcr| pcrs >> pcr & 1 == 1) {
            let value = tpm.pcr_read(*bank, pcr)?;
            if value.is_empty() {
                return Err(Refusal::Said(
                    Answer::Failed,
                    format!(
                        "the TPM has no PCR {pcr} in the bank {}; name others in `pcrs`",
                        bank_text(*bank)
                    ),
                ));
            }
            values.extend(value);
        }
    }
    if values.len() > HASH_LEN {
        return Err(said(Answer::Failed, "these are more PCRs than can be sealed to; name fewer in `pcrs`"));
    }
    Ok(tpm.hash(&values)?)
}

fn bank_text(bank: u16) -> String {
    match bank {
        0x0004 => "sha1".into(),
        0x000B => "sha256".into(),
        0x000C => "sha384".into(),
        0x000D => "sha512".into(),
        other => format!("{other:#06x}"),
    }
}

/// A selection as the configuration writes it.
pub(crate) fn selection_text(banks: &[(u16, u32)]) -> String {
    let bank = |(bank, pcrs): &(u16, u32)| {
        let pcrs: Vec<_> = (0..24).filter(|pcr| pcrs >> pcr & 1 == 1).map(|pcr| pcr.to_string()).collect();
        format!("{}:{}", bank_text(*bank), pcrs.join(","))
    };
    banks.iter().map(bank).collect::<Vec<_>>().join("+")
}
