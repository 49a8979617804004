//! `trellis migrate softhsm --adopt`: the keys stay in SoftHSM, and Trellis is put in front.

use std::path::Path;

use serde_json::json;

use crate::commands::migrate::SofthsmArgs;
use crate::error::{Error, Result};
use crate::module::Module;
use crate::options::{Global, Outcome};
use crate::output::show;
use crate::token::{Choice, OpenToken, Slots, Token};
use crate::transfer::{Adoption, Fate, Item, SlotCan, listing};

pub(crate) fn run(args: &SofthsmArgs, global: &Global) -> Result<Outcome> {
    let library = args.library()?;
    let library = std::path::absolute(&library).map_err(|error| Error::io("find", &library, &error))?;
    let choice = Choice { token: Some(args.from.clone()), key_uri: None };
    let source = Token::choose(&Module::open(&library)?, &choice)?;
    let lines = lines(&library, &source);
    let Some(slot) = slot(&global.load(None)?, &source)? else {
        let json = json!({ "configured": false, "lines": lines, "objects": [] });
        show(global, &json, || {
            format!(
                "{lines}\n# With these lines in trellis.toml, run this command again: it checks every key."
            )
        })?;
        return Ok(Outcome::Done);
    };
    let items = check(args, global, &library, &slot)?;
    let usable = items.iter().all(|item| item.fate == Fate::Usable);
    let objects: Vec<_> = items.iter().map(Item::json).collect();
    let json = json!({ "configured": true, "lines": lines, "objects": objects });
    show(global, &json, || {
        let end = if usable {
            "all of it can be used through Trellis"
        } else {
            "not all of it can be used through Trellis"
        };
        format!("{}Slot {} is this token: {end}.", listing(&items), slot.slot.id())
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
        let softhsm = Module::open(library)?;
        Adoption::begin(&mut args.open_source(&softhsm)?, &can)?
    };
    let signed = {
        let module = global.load(None)?;
        let mut open = OpenToken::open(&module, slot.clone(), false)?;
        open.login(args.to_pin_source.as_ref().or(args.from_pin_source.as_ref()))?;
        begun.through(&mut open)?
    };
    let softhsm = Module::open(library)?;
    Ok(signed.end(&mut args.open_source(&softhsm)?))
}

/// The slot of the module that stands before this token.
fn slot(module: &Module, source: &Token) -> Result<Option<Token>> {
    let serial = source.info.serial_number();
    let is_it =
        |token: &Token| token.info.serial_number() == serial && token.info.label() == source.info.label();
    Ok(Slots::of(module)?.tokens.into_iter().find(is_it))
}

/// The lines of trellis.toml that make a slot of the token.
fn lines(library: &Path, token: &Token) -> String {
    // A basic string of TOML takes the escapes of JSON.
    let text = |text: &str| serde_json::to_string(text).expect("text is JSON");
    let serial = token.info.serial_number();
    format!(
        "[[slot]]\nbackend = \"pkcs11\"\npath = {}\nmodule-path = {}\ntoken-serial = {}\n",
        text(&format!("~/.local/share/trellis/softhsm-{serial}")),
        text(&library.display().to_string()),
        text(serial)
    )
}
