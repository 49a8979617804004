//! T_Status of the vendor interface: what `trellis doctor` shows of the module. docs/vendor-interface.md has the
//! fields.

use hsm_backends::{Description, PinState};
use serde_json::{Value, json};

use crate::{
    Module,
    config::{Config, Environment},
    error::Result,
    handle::SlotId,
    log,
    reason::{self, Place, Told},
    slot::Slot,
};

/// What can be told before C_Initialize, or after it failed: whether it would find a configuration that it accepts.
pub(crate) fn status_uninitialized(environment: &Environment) -> Value {
    let problems = match Config::load(environment) {
        Ok(_) => Vec::new(),
        Err(error) => {
            let Told { message, remedy, .. } = reason::configuration(&error);
            vec![problem(&message, &remedy)]
        }
    };
    let file = Config::file(environment).ok().flatten();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "initialized": false,
        "config": file.map(|file| file.to_string_lossy().into_owned()),
        "last_failure": reason::last_failure(),
        "problems": problems,
    })
}

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
        if let Some(trouble) = log::trouble() {
            let remedy = "correct its permissions, or the setting (`log` in trellis.toml, or TRELLIS_LOG)";
            problems.push(problem(&trouble, remedy));
        }
        let mut status = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "initialized": true,
            "config": self.config_file.as_ref().map(|file| file.to_string_lossy()),
            "self_test": if self.has_failed() { "failed; see the log" } else { "passed" },
            "memory_locked": memory.unlocked_bytes == 0,
            "memory": {
                "locked_bytes": memory.locked_bytes,
                "unlocked_bytes": memory.unlocked_bytes,
                "lock_limit": memory.limit,
                "engine_protected": memory.engine_protected,
            },
            "last_failure": reason::last_failure(),
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
        let place = self.place(slot.id);
        let told = |error| {
            let Told { message, remedy, .. } = reason::explain(&error, Some(place));
            problem(&format!("slot {}: {message}", slot.id.0), &remedy)
        };
        let (token, mut problems) = match slot.store.description() {
            Ok(token) => (token_status(&token), token_problems(place, &token)),
            Err(error) => (Value::Null, vec![told(error)]),
        };
        problems.extend(slot.store.obstacle().map(told));
        let device = match slot.store.report() {
            Ok(groups) if groups.is_empty() => Value::Null,
            Ok(groups) => groups
                .into_iter()
                .map(|(group, facts)| {
                    let facts = facts.into_iter().map(|(name, fact)| (name.to_owned(), Value::String(fact)));
                    (group.to_owned(), Value::Object(facts.collect()))
                })
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Err(error) => {
                problems.push(told(error));
                Value::Null
            }
        };
        if device["user"]["pcrs_fit"] == "false" {
            problems.push(problem(
                &format!(
                    "slot {}: the machine has started something else than the token is sealed to",
                    slot.id.0
                ),
                "if that was planned: trellis tpm reseal; if not, find out what has changed",
            ));
        }
        json!({
            "id": slot.id.0,
            "description": slot.description,
            "store": place.store.map(|store| store.to_string_lossy()),
            "token": token,
            "device": device,
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

fn token_problems(place: Place<'_>, token: &Description) -> Vec<Value> {
    let locked = |state| state == PinState::Locked;
    let slot = place.slot.0;
    let store = place.store.map_or("the store's folder".to_owned(), |store| store.display().to_string());
    let mut problems = Vec::new();
    let mut add = |message: &str, remedy: &str| {
        problems.push(problem(&format!("slot {slot}: {message}"), remedy));
    };
    if locked(token.user_pin) {
        add("the user PIN is locked", "set a new one with the SO PIN: trellis token reset-pin");
    }
    if locked(token.so_pin) {
        let remedy = format!(
            "nobody can reset it. Move {store} away, then bring back a backup that was made before \
             (trellis token restore FILE --slot {slot}) or make a new token without these keys \
             (trellis token init --slot {slot}); until then the user PIN still works"
        );
        add("the SO PIN is locked", &remedy);
    }
    if token.write_protected {
        let remedy =
            "let this user write the folder and its files, on a file system that is not mounted read-only";
        add(&format!("{store} cannot be written"), remedy);
    }
    problems
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
