//! What goes wrong on command, and what a test may want to know.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::KmsError;

/// What the next calls are answered with. One for the whole service.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    mode: Mode,
    /// The code of the error that so many of the next calls get.
    failing: Option<(u32, String)>,
    /// How many of the next answers are cut off in the middle.
    cutting: u32,
    held: bool,
    waiting: u32,
    calls: BTreeMap<String, u32>,
    /// Whose the last call was, as its signature says.
    credential: String,
}

/// How a call with Recipient is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// As AWS does: CiphertextForRecipient alone.
    #[default]
    Honest,
    /// As some imitations of KMS do: Plaintext alone.
    Plaintext,
    /// CiphertextForRecipient and Plaintext.
    Both,
}

impl Faults {
    /// Carries out one command, and says what came of it:
    ///
    /// | command | effect |
    /// |---|---|
    /// | `fail COUNT CODE` | the next COUNT calls get this error |
    /// | `cut COUNT` | the next COUNT answers end in their middle, after the call has had its effect |
    /// | `honest`, `plaintext`, `both` | [`Mode`] |
    /// | `hold`, `release` | calls wait from the one to the other |
    /// | `waiting` | how many are waiting |
    /// | `calls OPERATION` | how many there have been, failed ones too |
    /// | `credential` | of the last call: access key, day, region and service, as its signature has them |
    pub fn command(&self, line: &str) -> Result<String, String> {
        let words: Vec<_> = line.split_whitespace().collect();
        let number = |word: &str| word.parse::<u32>().map_err(|_| format!("{word} is no number"));
        let mut state = self.lock();
        match words[..] {
            ["fail", count, code] => state.failing = Some((number(count)?, code.to_owned())),
            ["cut", count] => state.cutting = number(count)?,
            ["honest"] => state.mode = Mode::Honest,
            ["plaintext"] => state.mode = Mode::Plaintext,
            ["both"] => state.mode = Mode::Both,
            ["hold"] => state.held = true,
            ["release"] => {
                state.held = false;
                self.released.notify_all();
            }
            ["waiting"] => return Ok(state.waiting.to_string()),
            ["calls", operation] => {
                return Ok(state.calls.get(operation).copied().unwrap_or_default().to_string());
            }
            ["credential"] => return Ok(state.credential.clone()),
            _ => return Err(format!("no command {line}")),
        }
        Ok("ok".to_owned())
    }

    pub(crate) fn mode(&self) -> Mode {
        self.lock().mode
    }

    /// A call comes in: it is counted, waits while calls are held back, and gets its error if it is to have one.
    pub(crate) fn begin(&self, operation: &str) -> Result<(), KmsError> {
        let mut state = self.lock();
        *state.calls.entry(operation.to_owned()).or_default() += 1;
        state.waiting += 1;
        while state.held {
            state = self.released.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
        match &mut state.failing {
            Some((left, code)) if *left > 0 => {
                *left -= 1;
                Err(KmsError::new(code, "as commanded"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn signed_by(&self, credential: &str) {
        credential.clone_into(&mut self.lock().credential);
    }

    /// Whether this answer is to be cut off.
    pub(crate) fn cuts(&self) -> bool {
        let mut state = self.lock();
        let cuts = state.cutting > 0;
        state.cutting = state.cutting.saturating_sub(1);
        cuts
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
