//! Which token of an HSM a new slot is for: the one of that label, which is adopted, or a blank one.

use crate::error::{Error, Result};
use crate::module::Module;
use crate::output::clean;
use crate::token::{Slots, Token};

/// What was found in the HSM.
#[derive(Debug)]
pub(super) enum Choice {
    /// The token of the label.
    Initialized(Token),
    /// A token that nobody has initialised.
    Blank(Token),
}

/// Looks through the HSM's tokens.
pub(super) fn choose(module: &Module, label: &str) -> Result<Choice> {
    let Slots { tokens, unusable } = Slots::of(module)?;
    let (ready, blank): (Vec<_>, Vec<_>) =
        tokens.into_iter().partition(|token| token.info.token_initialized());
    let mut named = ready.into_iter().filter(|token| token.info.label() == label);
    match (named.next(), named.next()) {
        (Some(token), None) => return Ok(Choice::Initialized(token)),
        (None, _) => {}
        (Some(_), Some(_)) => {
            return Err(Error::conflict(format!("the HSM has several tokens `{}`", clean(label)))
                .remedy("give them different labels with the HSM's own tool"));
        }
    }
    match (blank.into_iter().next(), unusable.into_iter().next()) {
        (Some(token), _) => Ok(Choice::Blank(token)),
        (None, Some(unusable)) => Err(unusable.error.while_doing("looking for a token in the HSM")),
        (None, None) => Err(Error::not_found(format!(
            "the HSM has no token `{}` and no blank one to make it in",
            clean(label)
        ))
        .remedy("make one with the HSM's own tool, or give the label of one that is there")),
    }
}
