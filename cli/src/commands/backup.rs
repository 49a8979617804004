//! `trellis token backup` and `restore`, through the vendor interface of Trellis's own module.

use std::path::{Path, PathBuf};

use clap::Args;
use cryptoki::slot::Slot;

use crate::commands::token::done;
use crate::error::{Error, Result, While};
use crate::module::Module;
use crate::options::{Global, Outcome, TokenArgs};
use crate::output::clean;
use crate::pin::{self, PinSource, Wanted};
use crate::raw::{Raw, Vendor};
use crate::terminal;
use crate::token::{Slots, Token};

/// The lengths that the module accepts for a passphrase.
const PASSPHRASE_LEN: std::ops::RangeInclusive<usize> = 4..=255;

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Token by label, serial number or PKCS#11 URI [default: the only initialised one].
    #[arg(long, short, value_name = "TOKEN")]
    token: Option<String>,
    /// File to write; it must not exist yet.
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// Where the passphrase that encrypts the backup comes from [default: prompt, asked twice].
    #[arg(long, value_name = "SOURCE")]
    passphrase_source: Option<PinSource>,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup.
    file: PathBuf,
    /// Slot to restore into [default: the first with no initialised token].
    #[arg(long, value_name = "ID")]
    slot: Option<u64>,
    /// Where the passphrase of the backup comes from [default: prompt].
    #[arg(long, value_name = "SOURCE")]
    passphrase_source: Option<PinSource>,
    /// Replace the initialised token in the slot, with all its keys.
    #[arg(long, requires = "slot")]
    replace: bool,
    /// Do not ask whether to replace.
    #[arg(long, requires = "replace")]
    yes: bool,
}

impl BackupArgs {
    pub(crate) fn run(self, global: &Global) -> Result<Outcome> {
        let args = TokenArgs { token: self.token, pin_source: None };
        let module = args.load(global, None)?;
        let token = Token::choose(&module, &args.choice(None))?;
        let raw = module.raw()?;
        let vendor = vendor(&raw)?;
        let out = absolute(&self.out)?;
        if out.exists() {
            return Err(Error::conflict(format!("{} exists already", self.out.display()))
                .remedy("name another file; a backup never replaces one"));
        }
        let passphrase = passphrase(self.passphrase_source.as_ref(), true)?;
        if !PASSPHRASE_LEN.contains(&passphrase.len()) {
            return Err(Error::login(format!("the passphrase has {} bytes", passphrase.len()))
                .remedy("a passphrase of 4 to 255 bytes"));
        }
        vendor.backup(token.slot.id(), &out, passphrase.bytes()).while_doing("making the backup")?;
        let sentence = format!(
            "Token `{}` is backed up to {}. Keep the passphrase elsewhere: without it the file is worth nothing.",
            clean(token.info.label()),
            self.out.display()
        );
        done(global, &token, &sentence)
    }
}

impl RestoreArgs {
    pub(crate) fn run(self, global: &Global) -> Result<Outcome> {
        let module = global.load(None)?;
        let raw = module.raw()?;
        let vendor = vendor(&raw)?;
        let file = absolute(&self.file)?;
        std::fs::metadata(&file).map_err(|error| Error::io("read", &self.file, &error))?;
        let target = self.target(&module)?;
        let passphrase = passphrase(self.passphrase_source.as_ref(), false)?;
        vendor.restore(target.id(), &file, passphrase.bytes(), self.replace).map_err(|error| {
            let error = if error.is("CKR_PIN_INCORRECT") {
                error
                    .meaning("the passphrase is wrong")
                    .remedy("check the passphrase and its source; wrong ones are not counted")
            } else {
                error
            };
            error.while_doing("restoring the token")
        })?;
        let info = module.pkcs11().get_token_info(target)?;
        let token = Token { slot: target, info };
        let sentence =
            format!("Token `{}` is restored in slot {}.", clean(token.info.label()), token.slot.id());
        done(global, &token, &sentence)
    }

    /// The slot, once the user agrees to lose what it has. A slot whose token does not answer can be named, too: it is
    /// what a backup is for.
    fn target(&self, module: &Module) -> Result<Slot> {
        let Slots { tokens, unusable } = Slots::of(module)?;
        let Some(id) = self.slot else {
            let free = tokens.iter().find(|token| !token.info.token_initialized());
            return free.map(|token| token.slot).ok_or_else(|| {
                Error::not_found("no slot is without a token").remedy(
                    "add a slot to the module's configuration, or replace a token with --slot ID --replace",
                )
            });
        };
        if let Some(unusable) = unusable.iter().find(|unusable| unusable.slot.id() == id) {
            self.confirm(id, "a token that cannot be used")?;
            return Ok(unusable.slot);
        }
        let token = Slots { tokens, unusable }.take(id)?;
        if token.info.token_initialized() {
            self.confirm(id, &format!("the token `{}`", clean(token.info.label())))?;
        }
        Ok(token.slot)
    }

    fn confirm(&self, slot: u64, what: &str) -> Result<()> {
        if !self.replace {
            return Err(Error::conflict(format!("slot {slot} has {what}"))
                .remedy("choose another slot; or to destroy that token and all its keys, add --replace"));
        }
        let question = format!("Replace {what} in slot {slot} with all its keys by the backup?");
        terminal::insist(self.yes, &format!("replacing {what}"), &question)
    }
}

fn vendor(raw: &Raw) -> Result<Vendor<'_>> {
    raw.vendor().ok_or_else(|| {
        Error::unsupported("this module has no backup: PKCS#11 knows none, and it is not Trellis's module")
            .remedy("back the token up with its vendor's own tool")
    })
}

fn passphrase(source: Option<&PinSource>, new: bool) -> Result<crate::secret::Secret> {
    pin::obtain(
        source,
        Wanted { name: "passphrase", whose: "of the backup", option: "--passphrase-source", new },
    )
}

/// The module may have another idea of the working folder than the user.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::io("find", path, &error))
}
