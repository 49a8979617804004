//! As much of DER as a certificate needs.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const TRUE: &[u8] = &[0x01, 0x01, 0xff];

/// An element with the parts as its content.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = match u16::try_from(content.len()).expect("no test makes more than 64 KiB") {
        short @ 0..=0x7f => vec![short as u8],
        medium @ 0x80..=0xff => vec![0x81, medium as u8],
        long => [&[0x82], &long.to_be_bytes()[..]].concat(),
    };
    [&[tag], &length[..], &content].concat()
}

/// A BIT STRING of whole bytes.
pub(crate) fn bits(bytes: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], bytes])
}

/// A moment in UTC, `seconds` since 1970, in the form that RFC 5280 section 4.1.2.5 demands for its year.
pub(crate) fn time(seconds: u64) -> Vec<u8> {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // The civil calendar from a count of days; years begin in March, so that the leap day is the last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let clock = format!("{month:02}{day:02}{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60);
    if year < 2050 {
        element(UTC_TIME, &[format!("{:02}{clock}", year % 100).as_bytes()])
    } else {
        element(GENERALIZED_TIME, &[format!("{year:04}{clock}").as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_date_1() {
        for (seconds, wanted) in [
            (0, "700101000000Z"),
            (951_782_400, "000229000000Z"),
            (1_665_651_482, "221013085802Z"),
            (2_524_607_999, "491231235959Z"),
            (2_524_608_000, "20500101000000Z"),
            (4_107_542_399, "21000228235959Z"),
            (4_107_542_400, "21000301000000Z"),
        ] {
            assert_eq!(&time(seconds)[2..], wanted.as_bytes(), "{seconds}");
        }
    }
}
