//! Which PCRs a token key is sealed to, as the configuration says it: `sha256:0,2,7`, several banks joined by `+`.

use std::str::FromStr;

/// Platform configuration registers, by bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PcrSelection(Vec<(u16, u32)>);

/// Banks and their TPM_ALG_ID.
const BANKS: [(&str, u16); 4] =
    [("sha1", 0x0004), ("sha256", 0x000B), ("sha384", 0x000C), ("sha512", 0x000D)];
/// A TPM of a PC has 24.
const MOST: u32 = 24;

impl FromStr for PcrSelection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut banks: Vec<(u16, u32)> = Vec::new();
        for bank in text.split('+') {
            let (name, list) = bank.split_once(':').ok_or("it has the form sha256:0,2,7")?;
            let known = BANKS.iter().find(|(known, _)| *known == name);
            let (_, id) = known.ok_or_else(|| format!("{name:?} is none of sha1, sha256, sha384, sha512"))?;
            if banks.iter().any(|(other, _)| other == id) {
                return Err(format!("{name} is there twice"));
            }
            let mut bits = 0;
            for pcr in list.split(',') {
                let number = pcr.trim().parse::<u32>().ok().filter(|number| *number < MOST);
                bits |=
                    1 << number.ok_or_else(|| format!("{pcr:?} is no PCR: they have the numbers 0 to 23"))?;
            }
            banks.push((*id, bits));
        }
        Ok(Self(banks))
    }
}

impl PcrSelection {
    /// As the plug-in takes it: 2 bytes for each bank, 4 for its PCRs.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|(bank, pcrs)| [&bank.to_be_bytes()[..], &pcrs.to_be_bytes()].concat())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections() {
        assert_eq!("sha256:0,2,7".parse(), Ok(PcrSelection(vec![(0x000B, 0b1000_0101)])));
        assert_eq!("sha256:23+sha1:0, 1".parse(), Ok(PcrSelection(vec![(0x000B, 1 << 23), (0x0004, 3)])));
        for wrong in ["", "sha256", "sha256:", "sha256:24", "md5:0", "sha256:0+sha256:1", "sha256:-1"] {
            assert!(wrong.parse::<PcrSelection>().is_err(), "{wrong:?}");
        }
    }
}
