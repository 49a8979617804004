//! `trellis token init`: a new token with its label, SO PIN and user PIN, in a slot that is there or in a new one.

mod hsm;

use std::path::Path;

use clap::Args;
use cryptoki::slot::Slot;

use crate::commands::token::{done, new_pin};
use crate::configuration::{Configuration, StoreArgs};
use crate::error::{Error, Result};
use crate::module::Module;
use crate::options::{Global, Outcome};
use crate::output::clean;
use crate::pin::{self, PinSource, Wanted};
use crate::secret::Secret;
use crate::terminal;
use crate::token::{Choice, OpenToken, SO_PIN_LOCKED, Slots, Token};

/// CK_TOKEN_INFO has room for as many bytes.
const LONGEST_LABEL: usize = 32;

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Name of the token, up to 32 bytes.
    #[arg(long, value_name = "NAME")]
    label: String,
    /// Slot to use [default: the first with no initialised token].
    #[arg(long, value_name = "ID")]
    slot: Option<u64>,
    /// An initialised token to erase, with --erase: label, serial number or URI.
    #[arg(long, short, value_name = "TOKEN", requires = "erase", conflicts_with = "slot")]
    token: Option<String>,
    /// Where the SO PIN comes from [default: prompt]; to erase a token, its present SO PIN.
    #[arg(long, value_name = "SOURCE")]
    so_pin_source: Option<PinSource>,
    /// Where the new user PIN comes from [default: prompt].
    #[arg(long, value_name = "SOURCE")]
    pin_source: Option<PinSource>,
    /// Erase the token that is there, with all its keys.
    #[arg(long)]
    erase: bool,
    /// Do not ask whether to erase.
    #[arg(long, requires = "erase")]
    yes: bool,
    #[command(flatten)]
    store: StoreArgs,
}

impl InitArgs {
    pub(crate) fn run(self, global: &Global) -> Result<Outcome> {
        if self.label.is_empty() || self.label.len() > LONGEST_LABEL {
            return Err(Error::usage(format!("the label has {} bytes", self.label.len()))
                .remedy(format!("a label of 1 to {LONGEST_LABEL} bytes")));
        }
        if self.label.trim_end_matches(' ') != self.label {
            return Err(Error::usage("a label cannot end in spaces: PKCS#11 pads labels with them"));
        }
        match self.store.lines(&self.label)? {
            Some(lines) => self.in_new_slot(global, lines),
            None => {
                let module = global.load(None)?;
                let token = self.make(&module, None)?;
                done(global, &token, &ready(&token))
            }
        }
    }

    /// Adds the slot, and takes it out again if there is no token in it in the end.
    fn in_new_slot(&self, global: &Global, mut lines: toml::Table) -> Result<Outcome> {
        if let Some(library) = &self.store.module_path {
            // Before anything is made in the HSM.
            self.refuse_duplicate(&Slots::of(&global.load(None)?)?.tokens, None)?;
            let serial = self.in_hsm(library)?;
            lines = self.store.lines_of_token(&self.label, &serial)?;
        }
        let added = Configuration::find()?.add(&lines)?;
        let module = global.load(None)?;
        let token = match self.store.module_path {
            Some(_) => self.adopt(&module, added.id)?,
            None => self.make(&module, Some(added.id))?,
        };
        let sentence = format!("{} It is slot {} of {}.", ready(&token), added.id, added.file().display());
        added.keep();
        done(global, &token, &sentence)
    }

    /// The serial number of the HSM's token of this label: the one that is there, which keeps its PINs and keys, or a
    /// new one in a blank slot.
    fn in_hsm(&self, library: &Path) -> Result<String> {
        let module = Module::open(library)?;
        let token = match hsm::choose(&module, &self.label)? {
            hsm::Choice::Initialized(token) => token,
            hsm::Choice::Blank(token) => self.make(&module, Some(token.slot.id()))?,
        };
        Ok(token.info.serial_number().to_owned())
    }

    /// Puts Trellis in front of a token that the HSM has.
    fn adopt(&self, module: &Module, id: u64) -> Result<Token> {
        let mut open = OpenToken::open(module, Slots::of(module)?.take(id)?, true)?;
        open.login(self.pin_source.as_ref())?;
        Ok(open.token)
    }

    /// Makes the token in the slot of this id, or where the options say.
    fn make(&self, module: &Module, new: Option<u64>) -> Result<Token> {
        let slots = Slots::of(module)?;
        let before = slots.tokens.clone();
        if self.token.is_none() && self.slot.is_none() {
            // Also where no slot is free, which would be told first.
            self.refuse_duplicate(&before, None)?;
        }
        let target = self.target(module, slots, new)?;
        self.refuse_duplicate(&before, Some(target.slot))?;
        if target.info.token_initialized() {
            self.confirm(&target)?;
        }
        // Both PINs are known and fit before the token is touched.
        let so_pin = self.so_pin(&target)?;
        let user_pin = new_pin(&target.info, self.pin_source.as_ref(), "user PIN", "--pin-source")?;
        module.pkcs11().init_token(target.slot, &so_pin.pin()?, &self.label).map_err(|error| {
            let error = Error::from(error).explained();
            let locked = error.is("CKR_PIN_LOCKED");
            let error = error.while_doing(&format!("initialising slot {}", target.slot.id()));
            if locked { error.remedy(SO_PIN_LOCKED) } else { error }
        })?;
        let token = self.find_again(module, &before, &target)?;
        set_user_pin(module, token, &so_pin, &user_pin)
    }

    /// A token that is erased keeps its SO PIN: C_InitToken checks it.
    fn so_pin(&self, target: &Token) -> Result<Secret> {
        let (name, option) = ("SO PIN", "--so-pin-source");
        if target.info.token_initialized() {
            let whose = format!("of token `{}`", clean(target.info.label()));
            return pin::obtain(
                self.so_pin_source.as_ref(),
                Wanted { name, whose: &whose, option, new: false },
            );
        }
        new_pin(&target.info, self.so_pin_source.as_ref(), name, option)
    }

    fn target(&self, module: &Module, slots: Slots, new: Option<u64>) -> Result<Token> {
        if let Some(name) = &self.token {
            return Token::choose(module, &Choice { token: Some(name.clone()), key_uri: None });
        }
        let Some(id) = self.slot.or(new) else {
            let free = slots.tokens.into_iter().find(|token| !token.info.token_initialized());
            return match (free, slots.unusable.into_iter().next()) {
                (Some(token), _) => Ok(token),
                (None, Some(unusable)) => Err(unusable.error.while_doing("no slot is free")),
                (None, None) => Err(Error::not_found("every token of the module is initialised already")
                    .remedy(
                        "add a slot with --backend embedded (or pkcs11, tpm, nitro), or erase a token with --slot ID --erase",
                    )),
            };
        };
        let token = slots.take(id)?;
        if token.info.token_initialized() && !self.erase {
            return Err(Error::conflict(format!("slot {id} has the token `{}`", clean(token.info.label())))
                .remedy("choose another slot; or to destroy that token and all its keys, add --erase"));
        }
        Ok(token)
    }

    /// Two tokens of one label cannot be told apart by most tools.
    fn refuse_duplicate(&self, tokens: &[Token], target: Option<Slot>) -> Result<()> {
        let same = |token: &&Token| {
            Some(token.slot) != target && token.info.token_initialized() && token.info.label() == self.label
        };
        match tokens.iter().find(same) {
            None => Ok(()),
            Some(other) => Err(Error::conflict(format!(
                "there is a token `{}` already (serial {}, slot {})",
                self.label,
                other.info.serial_number(),
                other.slot.id()
            ))
            .remedy("choose another label")),
        }
    }

    fn confirm(&self, target: &Token) -> Result<()> {
        let label = clean(target.info.label());
        let question = format!("Erase token `{label}` with all its keys? They cannot be brought back.");
        terminal::insist(self.yes, &format!("erasing token `{label}`"), &question)
    }

    /// Some modules number their slots anew after C_InitToken: the token is known by its label, and by not having
    /// been there before.
    fn find_again(&self, module: &Module, before: &[Token], target: &Token) -> Result<Token> {
        let ours = |token: &Token| token.info.token_initialized() && token.info.label() == self.label;
        let tokens = Token::all(module)?;
        let same_slot = tokens.iter().find(|token| token.slot == target.slot && ours(token));
        let is_new = |token: &&Token| {
            let serial = token.info.serial_number();
            ours(token) && before.iter().all(|known| known.info.serial_number() != serial)
        };
        let found = same_slot.or_else(|| tokens.iter().find(is_new)).cloned();
        found.ok_or_else(|| {
            Error::module("the token is initialised, but the module does not show it").remedy(
                "look for it with `trellis token list`, then set its user PIN with `trellis token reset-pin`",
            )
        })
    }
}

fn set_user_pin(module: &Module, token: Token, so_pin: &Secret, user_pin: &Secret) -> Result<Token> {
    let set = || -> Result<()> {
        let open = OpenToken::open(module, token.clone(), true)?;
        open.session().login(cryptoki::session::UserType::So, Some(&so_pin.pin()?))?;
        open.session().init_pin(&user_pin.pin()?)?;
        Ok(open.session().logout()?)
    };
    set().map_err(|error| {
        error
            .while_doing("the token is initialised, but its user PIN could not be set")
            .remedy(format!("trellis token reset-pin --token {}", token.info.serial_number()))
    })?;
    let info = module.pkcs11().get_token_info(token.slot)?;
    Ok(Token { slot: token.slot, info })
}

fn ready(token: &Token) -> String {
    let (label, serial) = (clean(token.info.label()), clean(token.info.serial_number()));
    format!("Token `{label}` is ready (serial {serial}).")
}
