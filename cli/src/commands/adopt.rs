//! `trellis migrate softhsm --adopt`: the keys stay in SoftHSM, and Trellis is put in front, by a slot of the configuration
//! file.

use std::path::Path;

use serde_json::json;

use crate::commands::migrate::{SofthsmArgs, open_library};
use crate::configuration::{Configuration, StoreArgs};
use crate::error::{Error, Result};
use crate::module::Module;
use crate::options::{Global, Outcome};
use crate::output::{clean, show};
use crate::token::{Choice, OpenToken, Slots, Token};
use crate::transfer::{Adoption, Fate, Item, SlotCan, listing};

pub(crate) fn run(args: &SofthsmArgs, global: &Global) -> Result<Outcome> {
    let library = args.library()?;
    let library = std::path::absolute(&library).map_err(|error| Error::io("find", &library, &error))?;
    let choice = Choice { token: Some(args.from.clone()), key_uri: None };
    let source = Token::choose(&open_library(&library)?, &choice)?;
    let known = slot(&global.load(None)?, &source)?;
    // Taken out again on an error below.
    let added = match &known {
        Some(_) => None,
        None => {
            let (label, serial) = (source.info.label(), source.info.serial_number());
            let lines = StoreArgs::over_hsm(&library).lines_of_token(label, serial)?;
            Some(Configuration::find()?.add(&lines)?)
        }
    };
    let slot = match known {
        Some(slot) => slot,
        None => slot(&global.load(None)?, &source)?.ok_or_else(|| {
            Error::module("the module does not show the slot that was added").remedy("run `trellis doctor`")
        })?,
    };
    let items = check(args, global, &library, &slot)?;
    let usable = items.iter().all(|item| item.fate == Fate::Usable);
    let json = json!({
        "slot_id": slot.slot.id(),
        "added": added.is_some(),
        "objects": items.iter().map(Item::json).collect::<Vec<_>>(),
    });
    let place = added.as_ref().map(|added| format!(" (new, in {})", added.file().display()));
    if let Some(added) = added {
        added.keep();
    }
    show(global, &json, || {
        let end = if usable { "all of it" } else { "not all of it" };
        format!(
            "{}Slot {}{} is SoftHSM's token `{}`: {end} can be used through Trellis.",
            if items.is_empty() { String::new() } else { listing(&items) },
            slot.slot.id(),
            place.unwrap_or_default(),
            clean(source.info.label()),
        )
    })?;
    Ok(if usable { Outcome::Done } else { Outcome::Negative })
}

/// Each side is closed before the other is opened.
fn check(args: &SofthsmArgs, global: &Global, library: &Path, slot: &Token) -> Result<Vec<Item>> {
    let can = {
        let module = global.load(None)?;
        SlotCan::of(&OpenToken::open(&module, slot.clone(), false)?)?
    };
    let begun = {
        let softhsm = open_library(library)?;
        Adoption::begin(&mut args.open_source(&softhsm)?, &can)?
    };
    let signed = {
        let module = global.load(None)?;
        let mut open = OpenToken::open(&module, slot.clone(), false)?;
        open.login(args.to_pin_source.as_ref().or(args.from_pin_source.as_ref()))?;
        begun.through(&mut open)?
    };
    let softhsm = open_library(library)?;
    Ok(signed.end(&mut args.open_source(&softhsm)?))
}

/// The slot of the module that stands before this token.
fn slot(module: &Module, source: &Token) -> Result<Option<Token>> {
    let is_it = |token: &Token| {
        token.info.serial_number() == source.info.serial_number() && token.info.label() == source.info.label()
    };
    Ok(Slots::of(module)?.tokens.into_iter().find(is_it))
}
