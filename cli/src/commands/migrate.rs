//! `trellis migrate`: everything in a token of another PKCS#11 library into a token of Trellis's.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::commands::adopt;
use crate::error::{Error, Result};
use crate::module::Module;
use crate::options::{Global, Outcome, TokenArgs};
use crate::output::{clean, show};
use crate::pin::PinSource;
use crate::token::{OpenToken, Token, parse_uri};
use crate::transfer::{Fate, Item, Transfer, listing};
use crate::uri::Uri;

/// Where distributions put SoftHSM's library.
const SOFTHSM: [&str; 5] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

#[derive(Debug, Args)]
pub(crate) struct MigrateCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Copy a SoftHSM token into a token of Trellis, or put Trellis in front of it.
    Softhsm(SofthsmArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SofthsmArgs {
    /// SoftHSM's library [default: where distributions put it]. It reads its own SOFTHSM2_CONF.
    #[arg(long, value_name = "PATH")]
    from_module: Option<PathBuf>,
    /// SoftHSM's token by label, serial number or PKCS#11 URI.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) from: String,
    /// Where SoftHSM's user PIN comes from: prompt, file:PATH, env:NAME or systemd:NAME [default: prompt].
    #[arg(long, value_name = "SOURCE")]
    pub(crate) from_pin_source: Option<PinSource>,
    /// Trellis's token by label, serial number or PKCS#11 URI.
    #[arg(long, value_name = "TOKEN", required_unless_present = "adopt", conflicts_with = "adopt")]
    pub(crate) to: Option<String>,
    /// Where the user PIN of Trellis's token comes from [default: prompt].
    #[arg(long, value_name = "SOURCE")]
    pub(crate) to_pin_source: Option<PinSource>,
    /// Move nothing: put Trellis in front of the token, by a slot that is added to the configuration file, and check that
    /// every key signs through it. The PIN stays SoftHSM's.
    #[arg(long)]
    adopt: bool,
}

impl MigrateCommand {
    pub(crate) fn run(self, global: &Global) -> Result<Outcome> {
        let Command::Softhsm(args) = self.command;
        match args.adopt {
            true => adopt::run(&args, global),
            false => args.run(global),
        }
    }
}

impl SofthsmArgs {
    fn run(self, global: &Global) -> Result<Outcome> {
        // SoftHSM first, and so finalised last: Trellis's module may be using it as well.
        let library = self.library()?;
        let softhsm = open_library(&library)?;
        let target = TokenArgs { token: self.to.clone(), pin_source: self.to_pin_source.clone() };
        let module = target.load(global, None)?;
        let mut from = self.open_source(&softhsm)?;
        let mut to = OpenToken::open(&module, Token::choose(&module, &target.choice(None))?, true)?;
        if from.token.info.serial_number() == to.token.info.serial_number() {
            return Err(Error::usage("source and target are one token").remedy("name another one with --to"));
        }
        to.login(target.source(None)?.as_ref())?;
        let items = Transfer::new(&mut from, &mut to)?.all()?;
        let count = |fate| items.iter().filter(|item| item.fate == fate).count();
        let (moved, there) = (count(Fate::Moved), count(Fate::AlreadyThere));
        let stayed = count(Fate::NotMoved);
        let json = json!({
            "from": from.token.uri().to_string(),
            "to": to.token.uri().to_string(),
            "moved": moved,
            "already_there": there,
            "not_moved": stayed,
            "objects": items.iter().map(Item::json).collect::<Vec<_>>(),
        });
        show(global, &json, || {
            let [from, to] = [&from, &to].map(|open| clean(open.token.info.label()));
            let numbers = format!("{moved} moved, {there} were there already, {stayed} could not move");
            let table = if items.is_empty() { String::new() } else { listing(&items) };
            format!(
                "{table}From SoftHSM's token `{from}` to token `{to}`: {numbers}. The source is as it was."
            )
        })?;
        Ok(if stayed == 0 { Outcome::Done } else { Outcome::Negative })
    }

    /// The source, read-only and logged in.
    pub(crate) fn open_source<'m>(&self, softhsm: &'m Module) -> Result<OpenToken<'m>> {
        let source = TokenArgs { token: Some(self.from.clone()), pin_source: self.from_pin_source.clone() };
        let token = Token::choose(softhsm, &source.choice(None))
            .map_err(|error| error.while_doing("the source, by SoftHSM's library"))?;
        let mut from = OpenToken::open(softhsm, token, false)?;
        from.login(source.source(None)?.as_ref())?;
        Ok(from)
    }

    pub(crate) fn library(&self) -> Result<PathBuf> {
        let of_uri = match Uri::is_uri(&self.from) {
            true => parse_uri(&self.from)?.module_path.map(PathBuf::from),
            false => None,
        };
        if let Some(path) = self.from_module.clone().or(of_uri) {
            if path.is_file() {
                return Ok(path);
            }
            let message = format!("there is no module at {} for --from", path.display());
            return Err(Error::module(message).remedy("check the path"));
        }
        let multiarch = format!("/usr/lib/{}-linux-gnu/softhsm/libsofthsm2.so", std::env::consts::ARCH);
        let known = SOFTHSM.iter().copied().chain([multiarch.as_str()]).map(Path::new);
        known.into_iter().find(|path| path.is_file()).map(Path::to_owned).ok_or_else(|| {
            Error::module("SoftHSM's library is not where distributions put it")
                .remedy("name it with --from-module PATH/libsofthsm2.so")
        })
    }
}

/// SoftHSM does not say what is wrong with its configuration.
pub(crate) fn open_library(path: &Path) -> Result<Module> {
    Module::open(path).map_err(|error| {
        let error = error.while_doing("SoftHSM's library");
        if error.is_of_pkcs11() {
            error.remedy("check SOFTHSM2_CONF, and that the folder of its directories.tokendir is there")
        } else {
            error
        }
    })
}
