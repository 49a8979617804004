//! What became of each object of a transfer.

use cryptoki::object::ObjectClass;
use serde::Serialize;

use crate::encoding::hex;
use crate::error::Error;
use crate::object::{Object, class_name};
use crate::output::{clean, table};

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fate {
    Moved,
    AlreadyThere,
    NotMoved,
    /// It stays in its token, and can be used through a slot in front of that.
    Usable,
    NotUsable,
}

/// One object of the source.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) class: ObjectClass,
    label: String,
    id: String,
    algorithm: String,
    pub(crate) fate: Fate,
    /// What has shown that the copy is the key.
    proof: Option<&'static str>,
    notes: Vec<String>,
    /// Why it did not move.
    pub(crate) error: Option<Error>,
}

/// An object in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct ItemJson<'a> {
    class: &'static str,
    label: &'a str,
    id: &'a str,
    algorithm: &'a str,
    result: Fate,
    proof: Option<&'static str>,
    reason: Option<String>,
    remedy: Option<&'a str>,
    notes: &'a [String],
}

/// What a copy is worth.
#[derive(Debug, Default)]
pub(super) struct Good {
    pub(super) was_there: bool,
    pub(super) proof: Option<&'static str>,
    pub(super) notes: Vec<String>,
}

impl Item {
    pub(super) fn new(object: &Object, result: Result<Good, Error>) -> Self {
        let is_key = [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY, ObjectClass::SECRET_KEY]
            .contains(&object.class);
        let (fate, good, error) = match result {
            Ok(good) if good.was_there => (Fate::AlreadyThere, good, None),
            Ok(good) => (Fate::Moved, good, None),
            Err(error) => (Fate::NotMoved, Good::default(), Some(error)),
        };
        Self {
            class: object.class,
            label: object.label(),
            id: hex(object.id()),
            algorithm: if is_key { object.algorithm_name() } else { String::new() },
            fate,
            proof: good.proof,
            notes: good.notes,
            error,
        }
    }

    /// Of an object that stays where it is.
    pub(super) fn adopted(object: &Object, result: Result<Good, Error>) -> Self {
        let fate = if result.is_ok() { Fate::Usable } else { Fate::NotUsable };
        Self { fate, ..Self::new(object, result) }
    }

    pub(crate) fn json(&self) -> ItemJson<'_> {
        ItemJson {
            class: class_name(self.class),
            label: &self.label,
            id: &self.id,
            algorithm: &self.algorithm,
            result: self.fate,
            proof: self.proof,
            reason: self.error.as_ref().map(Error::cause),
            remedy: self.error.as_ref().and_then(Error::what_to_do),
            notes: &self.notes,
        }
    }

    fn remark(&self) -> String {
        let proof = self.proof.map(|proof| format!("proven by {proof}"));
        let reason = self.error.as_ref().map(Error::cause);
        let parts: Vec<_> = reason.into_iter().chain(proof).chain(self.notes.iter().cloned()).collect();
        clean(&parts.join("; "))
    }
}

/// All of them, for people.
pub(crate) fn listing(items: &[Item]) -> String {
    let row = |item: &Item| {
        let fate = match item.fate {
            Fate::Moved => "moved",
            Fate::AlreadyThere => "was there already",
            Fate::NotMoved => "NOT MOVED",
            Fate::Usable => "usable",
            Fate::NotUsable => "NOT USABLE",
        };
        [
            class_name(item.class).to_owned(),
            clean(&item.label),
            item.id.clone(),
            item.algorithm.clone(),
            fate.to_owned(),
            item.remark(),
        ]
    };
    let rows: Vec<_> = items.iter().map(row).collect();
    let mut text = table(["OBJECT", "LABEL", "ID", "ALGORITHM", "RESULT", "REMARKS"], &rows);
    let mut remedies: Vec<_> =
        items.iter().filter_map(|item| item.error.as_ref().and_then(Error::what_to_do)).collect();
    remedies.sort_unstable();
    remedies.dedup();
    text.extend(remedies.iter().map(|remedy| format!("  try: {remedy}\n")));
    text
}
