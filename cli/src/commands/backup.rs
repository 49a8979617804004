//! `trellis token backup` and `restore`, through the vendor interface of Trellis's own module.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::commands::token::done;
use crate::error::{Error, Result, While};
use crate::options::{Global, Outcome, TokenArgs};
use crate::output::clean;
use crate::pin::{self, PinSource, Wanted};
use crate::raw::{Raw, Vendor};
use crate::terminal;
use crate::token::Token;

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
        let tokens = Token::all(&module)?;
        let wanted = |token: &&Token| match self.slot {
            Some(id) => token.slot.id() == id,
            None => !token.info.token_initialized(),
        };
        let target = tokens.iter().find(wanted).ok_or_else(|| match self.slot {
            Some(id) => Error::not_found(format!("there is no token in slot {id}"))
                .remedy("see the slots with `trellis token list`"),
            None => Error::not_found("every token of the module is initialised already").remedy(
                "add a slot to the module's configuration, or replace a token with --slot ID --replace",
            ),
        })?;
        if target.info.token_initialized() {
            self.confirm(target)?;
        }
        let passphrase = passphrase(self.passphrase_source.as_ref(), false)?;
        vendor
            .restore(target.slot.id(), &file, passphrase.bytes(), self.replace)
            .while_doing("restoring the token")?;
        let info = module.pkcs11().get_token_info(target.slot)?;
        let token = Token { slot: target.slot, info };
        let sentence =
            format!("Token `{}` is restored in slot {}.", clean(token.info.label()), token.slot.id());
        done(global, &token, &sentence)
    }

    fn confirm(&self, target: &Token) -> Result<()> {
        let label = clean(target.info.label());
        if !self.replace {
            return Err(Error::conflict(format!("slot {} has the token `{label}`", target.slot.id()))
                .remedy("choose another slot; or to destroy that token and all its keys, add --replace"));
        }
        let question = format!("Replace token `{label}` with all its keys by the backup?");
        terminal::insist(self.yes, &format!("replacing token `{label}`"), &question)
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
