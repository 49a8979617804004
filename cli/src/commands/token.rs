//! `trellis token`: list, show, and the PINs.

use clap::{Args, Subcommand};
use cryptoki::slot::{Limit, TokenInfo};
use serde::Serialize;

use crate::commands::{backup, init};
use crate::error::{Error, Result, While};
use crate::options::{Global, Outcome, TokenArgs};
use crate::output::{clean, fields, show, table};
use crate::pin::{self, PinSource, Wanted};
use crate::secret::Secret;
use crate::token::{OpenToken, Slots, Token, Unusable};

#[derive(Debug, Args)]
pub(crate) struct TokenCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token: set its label, its SO PIN and its user PIN.
    Init(init::InitArgs),
    /// List the slots and their tokens.
    List,
    /// Show one token.
    Show(ShowArgs),
    /// Change the user PIN, or with --so the SO PIN.
    SetPin(SetPinArgs),
    /// Give the user a new PIN with the SO PIN; also unlocks it.
    ResetPin(ResetPinArgs),
    /// Write an encrypted copy of a Trellis token to a file.
    Backup(backup::BackupArgs),
    /// Bring a token back from a backup file.
    Restore(backup::RestoreArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Token by label, serial number or PKCS#11 URI [default: the only initialised one].
    #[arg(long, short, value_name = "TOKEN")]
    token: Option<String>,
}

#[derive(Debug, Args)]
struct SetPinArgs {
    #[command(flatten)]
    token: TokenArgs,
    /// Change the PIN of the security officer instead.
    #[arg(long)]
    so: bool,
    /// Where the present SO PIN comes from, with --so.
    #[arg(long, value_name = "SOURCE", requires = "so", conflicts_with = "pin_source")]
    so_pin_source: Option<PinSource>,
    /// Where the new PIN comes from [default: prompt, asked twice].
    #[arg(long, value_name = "SOURCE")]
    new_pin_source: Option<PinSource>,
}

#[derive(Debug, Args)]
struct ResetPinArgs {
    /// Token by label, serial number or PKCS#11 URI [default: the only initialised one].
    #[arg(long, short, value_name = "TOKEN")]
    token: Option<String>,
    /// Where the SO PIN comes from [default: prompt].
    #[arg(long, value_name = "SOURCE")]
    so_pin_source: Option<PinSource>,
    /// Where the new user PIN comes from [default: prompt, asked twice].
    #[arg(long, value_name = "SOURCE")]
    new_pin_source: Option<PinSource>,
}

impl TokenCommand {
    pub(crate) fn run(self, global: &Global) -> Result<Outcome> {
        match self.command {
            Command::Init(args) => args.run(global),
            Command::List => list(global),
            Command::Show(args) => args.run(global),
            Command::SetPin(args) => args.run(global),
            Command::ResetPin(args) => args.run(global),
            Command::Backup(args) => args.run(global),
            Command::Restore(args) => args.run(global),
        }
    }
}

/// A token in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct TokenJson {
    slot_id: u64,
    label: String,
    serial: String,
    manufacturer: String,
    model: String,
    initialized: bool,
    user_pin: &'static str,
    so_pin: &'static str,
    login_required: bool,
    protected_authentication_path: bool,
    write_protected: bool,
    pin_length_min: usize,
    pin_length_max: usize,
    sessions: Option<u64>,
    sessions_max: Option<u64>,
    uri: String,
}

impl From<&Token> for TokenJson {
    fn from(token: &Token) -> Self {
        let info = &token.info;
        Self {
            slot_id: token.slot.id(),
            label: info.label().into(),
            serial: info.serial_number().into(),
            manufacturer: info.manufacturer_id().into(),
            model: info.model().into(),
            initialized: info.token_initialized(),
            user_pin: user_pin(info),
            so_pin: so_pin(info),
            login_required: info.login_required(),
            protected_authentication_path: info.protected_authentication_path(),
            write_protected: info.write_protected(),
            pin_length_min: info.min_pin_length(),
            pin_length_max: info.max_pin_length(),
            sessions: info.session_count(),
            sessions_max: match info.max_session_count() {
                Limit::Max(most) => Some(most),
                Limit::Unavailable | Limit::Infinite => None,
            },
            uri: token.uri().to_string(),
        }
    }
}

fn user_pin(info: &TokenInfo) -> &'static str {
    match info {
        _ if info.user_pin_locked() => "locked",
        _ if info.user_pin_final_try() => "final-try",
        _ if info.user_pin_count_low() => "count-low",
        _ if info.user_pin_to_be_changed() => "to-be-changed",
        _ if info.user_pin_initialized() => "ok",
        _ => "not-set",
    }
}

fn so_pin(info: &TokenInfo) -> &'static str {
    match info {
        _ if info.so_pin_locked() => "locked",
        _ if info.so_pin_final_try() => "final-try",
        _ if info.so_pin_count_low() => "count-low",
        _ if info.so_pin_to_be_changed() => "to-be-changed",
        _ if info.token_initialized() => "ok",
        _ => "not-set",
    }
}

fn pin_sentence(state: &str) -> &'static str {
    match state {
        "locked" => "locked after too many wrong PINs",
        "final-try" => "one try left before it locks",
        "count-low" => "some tries are used up since the last login",
        "to-be-changed" => "must be changed",
        "ok" => "set",
        _ => "not set",
    }
}

fn list(global: &Global) -> Result<Outcome> {
    let module = global.load(None)?;
    let Slots { tokens, unusable } = Slots::of(&module)?;
    let json: Vec<_> = tokens.iter().map(TokenJson::from).collect();
    let unusable_json: Vec<_> = unusable
        .iter()
        .map(|Unusable { slot, error }| {
            serde_json::json!({ "slot_id": slot.id(), "error": error.json()["error"] })
        })
        .collect();
    show(global, &serde_json::json!({ "tokens": json, "unusable": unusable_json }), || {
        if tokens.is_empty() && unusable.is_empty() {
            return "The module has no token.".into();
        }
        let row = |token: &Token| {
            let info = &token.info;
            let state = match info.token_initialized() {
                true => format!("initialised; user PIN: {}", pin_sentence(user_pin(info))),
                false => "not initialised".into(),
            };
            [
                token.slot.id().to_string(),
                clean(info.label()),
                clean(info.serial_number()),
                clean(info.model()),
                state,
            ]
        };
        let mut rows: Vec<_> = tokens.iter().map(row).collect();
        rows.extend(unusable.iter().map(|Unusable { slot, .. }| {
            let state = "CANNOT BE USED, see below".to_owned();
            [slot.id().to_string(), String::new(), String::new(), String::new(), state]
        }));
        let mut text = table(["SLOT", "LABEL", "SERIAL", "MODEL", "STATE"], &rows);
        for Unusable { error, .. } in &unusable {
            text.push_str(&format!("\n{}\n", clean(&error.cause())));
            text.extend(error.what_to_do().map(|remedy| format!("  try: {}\n", clean(remedy))));
        }
        text
    })?;
    Ok(Outcome::Done)
}

impl ShowArgs {
    fn run(self, global: &Global) -> Result<Outcome> {
        let args = TokenArgs { token: self.token, pin_source: None };
        let module = args.load(global, None)?;
        let token = Token::choose(&module, &args.choice(None))?;
        let json = TokenJson::from(&token);
        show(global, &json, || {
            let yes = |flag| if flag { "yes" } else { "no" }.to_owned();
            fields(&[
                ("label", clean(&json.label)),
                ("serial", clean(&json.serial)),
                ("slot", json.slot_id.to_string()),
                ("manufacturer", clean(&json.manufacturer)),
                ("model", clean(&json.model)),
                ("user PIN", pin_sentence(json.user_pin).into()),
                ("SO PIN", pin_sentence(json.so_pin).into()),
                ("PIN length", format!("{} to {}", json.pin_length_min, json.pin_length_max)),
                ("login required", yes(json.login_required)),
                ("write-protected", yes(json.write_protected)),
                ("URI", json.uri.clone()),
            ])
        })?;
        Ok(Outcome::Done)
    }
}

impl SetPinArgs {
    fn run(self, global: &Global) -> Result<Outcome> {
        let module = self.token.load(global, None)?;
        let token = Token::choose(&module, &self.token.choice(None))?;
        let mut open = OpenToken::open(&module, token, true)?;
        let whose = if self.so { "SO PIN" } else { "user PIN" };
        if self.so {
            open.login_so(self.so_pin_source.as_ref().or(self.token.pin_source.as_ref()))?;
        } else {
            open.login_to_change_pin(self.token.source(None)?.as_ref())?;
        }
        let old = open.pin().ok_or_else(keypad)?.pin()?;
        let new = new_pin(&open.token.info, self.new_pin_source.as_ref(), whose, "--new-pin-source")?;
        open.session().set_pin(&old, &new.pin()?).while_doing(&format!("changing the {whose}"))?;
        let sentence = format!("The {whose} of token `{}` is changed.", clean(open.token.info.label()));
        let more = if self.so { String::new() } else { pin_source_to_change(&open)? };
        done(global, &open.token, &(sentence + &more))
    }
}

impl ResetPinArgs {
    fn run(self, global: &Global) -> Result<Outcome> {
        let args = TokenArgs { token: self.token, pin_source: None };
        let module = args.load(global, None)?;
        let token = Token::choose(&module, &args.choice(None))?;
        let mut open = OpenToken::open(&module, token, true)?;
        open.login_so(self.so_pin_source.as_ref())?;
        let new =
            new_pin(&open.token.info, self.new_pin_source.as_ref(), "new user PIN", "--new-pin-source")?;
        open.session().init_pin(&new.pin()?).while_doing("setting the user PIN")?;
        let sentence = format!("The user of token `{}` has a new PIN.", clean(open.token.info.label()));
        done(global, &open.token, &(sentence + &pin_source_to_change(&open)?))
    }
}

/// What is left to do after the user's PIN has changed; nothing on a slot without `pin-source`.
fn pin_source_to_change(open: &OpenToken) -> Result<String> {
    if !open.has_pin_source()? {
        return Ok(String::new());
    }
    let slot = open.token.slot.id();
    Ok(format!(
        "\nThe file that `pin-source` of slot {slot} names must have it too: until then each program that logs in without a \
         PIN spends a try of the PIN on the old one."
    ))
}

/// A PIN that does not exist yet, held to the token's limits before anything is changed.
pub(crate) fn new_pin(
    info: &TokenInfo,
    source: Option<&PinSource>,
    name: &str,
    option: &str,
) -> Result<Secret> {
    let secret = pin::obtain(source, Wanted { name, whose: "", option, new: true })?;
    let (least, most) = (info.min_pin_length(), info.max_pin_length());
    // A token that knows no limits says 0.
    let least = least.max(1);
    if secret.len() < least || (most > 0 && secret.len() > most) {
        return Err(Error::login(format!("the {name} has {} bytes", secret.len())).remedy(match most {
            0 => format!("a PIN of {least} bytes or more"),
            most => format!("a PIN of {least} to {most} bytes"),
        }));
    }
    Ok(secret)
}

/// Reports a change to a token: the sentence, or the token as JSON.
pub(crate) fn done(global: &Global, token: &Token, sentence: &str) -> Result<Outcome> {
    show(global, &TokenJson::from(token), || sentence.to_owned())?;
    Ok(Outcome::Done)
}

fn keypad() -> Error {
    Error::unsupported("the token takes its PINs on a keypad of its own, or wants no login")
        .remedy("change the PIN with the token's own tool")
}
