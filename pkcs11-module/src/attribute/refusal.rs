//! Refusals with their reason: the code goes to the caller, the reason to the log, for the person who wonders which of
//! twenty attributes it was.

use std::fmt;

use hsm_backends::AttributeType;

use crate::{error::Error, log};

use super::known;

/// `error`, with the reason logged.
pub(crate) fn because(error: Error, why: fmt::Arguments<'_>) -> Error {
    log::debug(format_args!("{}: {why}", error.name()));
    error
}

/// An attribute by the standard's name, or by number.
pub(super) struct Named(pub(super) AttributeType);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match known(self.0) {
            Some(row) => f.write_str(row.name),
            None => write!(f, "attribute {:#x}", self.0),
        }
    }
}
