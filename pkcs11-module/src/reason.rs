//! Why a function of this thread failed. A code of the standard cannot say which folder is open to others or which line
//! of a file is wrong; T_Status of the vendor interface can, to whoever asks after the failure.

use std::{cell::RefCell, path::Path};

use hsm_backends::StoreError;
use serde_json::{Value, json};

use crate::{call, config::ConfigError, error::Error, handle::SlotId};

/// What a person is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// `store`, `backup`, `configuration` or `module`: what is to be looked at.
    pub(crate) about: &'static str,
    pub(crate) message: String,
    pub(crate) remedy: String,
}

/// Where a store is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) slot: SlotId,
    pub(crate) store: Option<&'a Path>,
}

#[derive(Debug)]
enum Reason {
    Store(StoreError),
    Told(Told),
    /// The template of this number, of several, was refused.
    Template(usize),
}

thread_local! {
    /// Of the call in progress.
    static REASON: RefCell<Option<Reason>> = const { RefCell::new(None) };
    /// Of the last call that failed.
    static FAILURE: RefCell<Option<Value>> = const { RefCell::new(None) };
}

/// Notes what a store refused, where the code alone says too little.
pub(crate) fn store(error: &StoreError) {
    use StoreError as S;
    let telling = matches!(
        error,
        S::ReadOnly
            | S::Full
            | S::NewerFormat
            | S::Damaged(_)
            | S::Permissions(_)
            | S::Absent(_)
            | S::Removed(_)
            | S::Device(_)
            | S::Backup(_)
            | S::Busy
            | S::Changed
            | S::TokenReplaced
    );
    set(telling.then(|| Reason::Store(error.clone())));
}

/// Notes any other reason.
pub(crate) fn tell(told: Told) {
    set(Some(Reason::Told(told)));
}

/// Notes which template of several was refused, from 0.
pub(crate) fn template(number: usize) {
    set(Some(Reason::Template(number)));
}

/// Once the slot of the call is known: a store's refusal is told with its place.
pub(crate) fn at(place: Place<'_>) {
    with(&REASON, |reason| {
        if let Some(Reason::Store(error)) = &*reason {
            *reason = Some(Reason::Told(explain(error, Some(place))));
        }
    });
}

/// At the end of a call: what it noted is kept if it failed, and forgotten if it did not.
#[inline]
pub(crate) fn settle(function: &str, outcome: Result<(), Error>) {
    if outcome.is_err() || call::of_thread(|call| call.noted.get()) {
        settle_noted(function, outcome);
    }
}

#[cold]
fn settle_noted(function: &str, outcome: Result<(), Error>) {
    call::of_thread(|call| call.noted.set(false));
    let reason = with(&REASON, Option::take).flatten();
    let Err(error) = outcome else { return };
    let failure = reason.map(|reason| {
        let mut failure = json!({ "function": function, "return_value": error.name() });
        let Told { about, message, remedy } = match reason {
            Reason::Store(error) => explain(&error, None),
            Reason::Told(told) => told,
            Reason::Template(number) => {
                failure["template"] = number.into();
                refused(number)
            }
        };
        failure["about"] = about.into();
        failure["message"] = message.into();
        failure["remedy"] = remedy.into();
        failure
    });
    with(&FAILURE, |last| *last = failure);
}

/// The last function of this thread that failed, with its reason; `null` where the code says all there is.
pub(crate) fn last_failure() -> Value {
    with(&FAILURE, |last| last.clone()).flatten().unwrap_or(Value::Null)
}

/// The reason of a configuration that is not accepted.
pub(crate) fn configuration(error: &ConfigError) -> Told {
    Told {
        about: "configuration",
        message: error.to_string(),
        remedy: "correct the file; packaging/trellis.toml of the sources explains every key".into(),
    }
}

/// The reason of the error state.
pub(crate) fn self_test() -> Told {
    Told {
        about: "module",
        message: "a self-test of the module failed, so it refuses to work".into(),
        remedy: "reinstall the module; if it fails again, do not use this machine for keys".into(),
    }
}

/// One template of several.
fn refused(number: usize) -> Told {
    Told {
        about: "template",
        message: format!("template {number} of the call was refused, and nothing was made"),
        remedy: "correct that one; with log = \"debug\" the log says which attribute it is".into(),
    }
}

/// A store's refusal in words.
pub(crate) fn explain(error: &StoreError, place: Option<Place<'_>>) -> Told {
    let store = place.and_then(|place| place.store);
    let the_store = store.map_or("the store".to_owned(), |path| path.display().to_string());
    let restore = || match place {
        Some(place) => {
            format!("restore a backup: trellis token restore FILE --slot {} --replace", place.slot.0)
        }
        None => "restore a backup: trellis token restore".to_owned(),
    };
    let told = |message: String, remedy: String| Told { about: "store", message, remedy };
    match error {
        StoreError::ReadOnly => told(
            format!("{the_store} cannot be written"),
            "let this user write the folder and its files, on a file system that is not mounted read-only"
                .into(),
        ),
        StoreError::Full => told(
            format!("no room is left on the disk of {the_store}"),
            "free some space there; until then nothing can be changed, and a login counts as a change".into(),
        ),
        StoreError::Busy => told(
            format!("another process keeps {the_store} locked"),
            match store {
                Some(path) => format!("see which with: fuser -v {0} {0}/token.db", path.display()),
                None => "end the other process, or wait for it".into(),
            },
        ),
        StoreError::NewerFormat => told(
            format!("{the_store} was written by a newer version of Trellis"),
            "use the module of that version".into(),
        ),
        StoreError::Damaged(what) => {
            let (what, remedy) = split(what);
            let remedy = remedy.filter(|remedy| *remedy != hsm_backends::RESTORE);
            let remedy = remedy.map_or_else(restore, |first| format!("{first}; otherwise {}", restore()));
            told(format!("the store is damaged: {what}"), remedy)
        }
        StoreError::Permissions(what) => {
            let (what, remedy) = split(what);
            told(what.into(), remedy.unwrap_or("run as the store's owner").trim_start_matches("run: ").into())
        }
        StoreError::Backup(what) => {
            let (what, remedy) = split(what);
            Told {
                about: "backup",
                message: what.into(),
                remedy: remedy.unwrap_or("check the file and its folder").into(),
            }
        }
        StoreError::Changed | StoreError::TokenReplaced => {
            told(error.to_string(), "run the command again".into())
        }
        StoreError::Device(what) | StoreError::Absent(what) | StoreError::Removed(what)
            if what.contains("; ") =>
        {
            let (_, remedy) = split(what);
            let message = error.to_string();
            told(split(&message).0.into(), remedy.unwrap_or_default().into())
        }
        other => told(other.to_string(), "look at the store's folder and its disk".into()),
    }
}

/// A store's text and the remedy at its end.
fn split(text: &str) -> (&str, Option<&str>) {
    text.rsplit_once("; ").map_or((text, None), |(what, remedy)| (what, Some(remedy)))
}

fn set(reason: Option<Reason>) {
    call::of_thread(|call| call.noted.set(true));
    with(&REASON, |place| *place = reason);
}

/// A thread that is ending has no place for it any more, and nobody to tell.
fn with<T: 'static, R>(
    key: &'static std::thread::LocalKey<RefCell<T>>,
    f: impl FnOnce(&mut T) -> R,
) -> Option<R> {
    key.try_with(|place| place.try_borrow_mut().ok().map(|mut place| f(&mut place))).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_with_its_place_and_a_success_tells_nothing() {
        store(&StoreError::Full);
        settle("C_Sign", Ok(()));
        settle("C_Sign", Err(Error::DeviceError));
        assert_eq!(last_failure(), Value::Null, "the reason was another call's");
        store(&StoreError::Full);
        at(Place { slot: SlotId(3), store: Some(Path::new("/keys")) });
        settle("C_Login", Err(Error::DeviceMemory));
        settle("C_Logout", Ok(()));
        let failure = last_failure();
        assert_eq!(failure["function"], "C_Login");
        assert_eq!(failure["return_value"], "CKR_DEVICE_MEMORY");
        assert_eq!(failure["message"], "no room is left on the disk of /keys");
        store(&StoreError::Full);
        store(&StoreError::PinIncorrect);
        settle("C_Login", Err(Error::PinIncorrect));
        assert_eq!(last_failure(), Value::Null, "CKR_PIN_INCORRECT says it all");
    }

    #[test]
    fn every_refusal_names_the_store_and_what_to_do() {
        let place = Place { slot: SlotId(3), store: Some(Path::new("/keys")) };
        for (error, message, remedy) in [
            (StoreError::Busy, "another process keeps /keys locked", "fuser -v /keys /keys/token.db"),
            (StoreError::Full, "no room is left on the disk of /keys", "free some space"),
            (StoreError::ReadOnly, "/keys cannot be written", "write the folder"),
            (StoreError::NewerFormat, "/keys was written by a newer version", "that version"),
            (
                StoreError::Damaged("a; restore a backup".into()),
                "damaged: a",
                "restore FILE --slot 3 --replace",
            ),
        ] {
            let told = explain(&error, Some(place));
            assert!(told.message.contains(message) && told.remedy.contains(remedy), "{told:?}");
            assert!(!told.message.contains("; restore"), "{told:?}");
        }
    }

    #[test]
    fn the_remedy_of_a_text_stands_apart() {
        let error = StoreError::Permissions("/a; b may be used by others; run: chmod 700 /a".into());
        let told = explain(&error, None);
        assert_eq!((&*told.message, &*told.remedy), ("/a; b may be used by others", "chmod 700 /a"));
    }

    #[test]
    fn what_is_damaged_is_restored_unless_there_is_something_simpler() {
        let remedy = |what: &str| explain(&StoreError::Damaged(what.into()), None).remedy;
        assert_eq!(remedy("a row is torn; restore a backup"), "restore a backup: trellis token restore");
        let another = remedy("a key of another kind; set the slot's `backend` back");
        assert!(another.starts_with("set the slot's `backend` back; otherwise restore"), "{another}");
    }
}
