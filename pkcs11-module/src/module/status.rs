//! T_Status of the vendor interface: what `trellis doctor` shows of the module. docs/vendor-interface.md has the
//! fields.

use hsm_backends::{Description, PinState};
use serde_json::{Value, json};

use crate::{Module, error::Result, handle::SlotId, slot::Slot};

impl Module {
    /// The state of one slot, or of the module with all its slots.
    pub fn status(&self, slot: Option<SlotId>) -> Result<Value> {
        if let Some(slot) = slot {
            return Ok(self.slot_status(self.slot(slot)?));
        }
        let slots: Vec<_> = self.slots.values().map(|slot| self.slot_status(slot)).collect();
        let memory = algorithms::memory::status();
        let mut problems: Vec<Value> = slots
            .iter()
            .flat_map(|slot| slot["problems"].as_array().into_iter().flatten().cloned())
            .collect();
        if slots.is_empty() {
            problems.push(problem("there is no slot", "write a [[slot]] into trellis.toml"));
        }
        let mut status = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "config": self.config_file.as_ref().map(|file| file.to_string_lossy()),
            "self_test": if self.has_failed() { "failed; see the log" } else { "passed" },
            "memory_locked": memory.unlocked_bytes == 0,
            "memory": {
                "locked_bytes": memory.locked_bytes,
                "unlocked_bytes": memory.unlocked_bytes,
                "lock_limit": memory.limit,
                "engine_protected": memory.engine_protected,
            },
            "problems": problems,
        });
        if let [slot] = &*slots {
            status["store"] = slot["store"].clone();
        }
        status["slots"] = slots.into();
        Ok(status)
    }

    /// A store that cannot be described is a problem to tell, not an error of this function.
    fn slot_status(&self, slot: &Slot) -> Value {
        let (token, problems) = match slot.store.description() {
            Ok(token) => (token_status(&token), token_problems(slot.id, &token)),
            Err(error) => {
                let message = format!("slot {}: {error}", slot.id.0);
                (Value::Null, vec![problem(&message, "see the module's log (TRELLIS_LOG=error)")])
            }
        };
        let configured = self.config.slots().find(|(id, _)| *id == slot.id);
        json!({
            "id": slot.id.0,
            "description": slot.description,
            "store": configured.map(|(_, slot)| slot.path.to_string_lossy()),
            "token": token,
            "problems": problems,
        })
    }
}

fn token_status(token: &Description) -> Value {
    json!({
        "initialized": token.initialized,
        "label": token.label,
        "serial": token.serial,
        "model": token.model,
        "user_pin_initialized": token.user_pin_initialized,
        "user_pin": pin(token.user_pin),
        "so_pin": pin(token.so_pin),
        "write_protected": token.write_protected,
    })
}

fn token_problems(slot: SlotId, token: &Description) -> Vec<Value> {
    let locked = |state| state == PinState::Locked;
    let found = [
        (
            locked(token.user_pin),
            "the user PIN is locked",
            "set a new one as the SO: trellis token reset-pin",
        ),
        (locked(token.so_pin), "the SO PIN is locked", "restore a backup, or initialise the token anew"),
        (
            token.write_protected,
            "the token cannot be written",
            "look at its owner, permissions and free space",
        ),
    ];
    let found = found.into_iter().filter(|(holds, _, _)| *holds);
    found.map(|(_, message, remedy)| problem(&format!("slot {}: {message}", slot.0), remedy)).collect()
}

fn problem(message: &str, remedy: &str) -> Value {
    json!({ "message": message, "remedy": remedy })
}

fn pin(state: PinState) -> &'static str {
    match state {
        PinState::Good => "good",
        PinState::CountLow => "count low",
        PinState::FinalTry => "final try",
        PinState::Locked => "locked",
    }
}
