//! `trellis tpm`: how a token is sealed by a TPM, and sealing it anew after a planned change of the machine; through the
//! vendor interface of Trellis's own module.

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use crate::commands::token::done;
use crate::error::{Error, Result, While};
use crate::options::{Global, Outcome, TokenArgs};
use crate::output::{clean, fields, show};
use crate::pin::{self, PinSource, Wanted};
use crate::raw::{Raw, Vendor};
use crate::token::Token;

#[derive(Debug, Args)]
pub(crate) struct TpmCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show how the TPM holds a token: its policy, the PCRs, the tries that are left.
    Show(ShowArgs),
    /// Bind the user's PIN to the PCRs as they are now, with the SO PIN: after a planned change of firmware or system.
    Reseal(ResealArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Token by label, serial number or PKCS#11 URI [default: the only initialised one].
    #[arg(long, short, value_name = "TOKEN")]
    token: Option<String>,
}

#[derive(Debug, Args)]
struct ResealArgs {
    /// Token by label, serial number or PKCS#11 URI [default: the only initialised one].
    #[arg(long, short, value_name = "TOKEN")]
    token: Option<String>,
    /// Where the SO PIN comes from [default: prompt].
    #[arg(long, value_name = "SOURCE")]
    so_pin_source: Option<PinSource>,
}

impl TpmCommand {
    pub(crate) fn run(self, global: &Global) -> Result<Outcome> {
        match self.command {
            Command::Show(args) => args.run(global),
            Command::Reseal(args) => args.run(global),
        }
    }
}

/// A name of the module's report, and what people call it.
const NAMES: [(&str, &str); 9] = [
    ("tcti", "way to the TPM"),
    ("srk", "storage root key"),
    ("tries", "wrong PINs so far"),
    ("limit", "wrong PINs at most"),
    ("counter", "changes of PIN"),
    ("sealed_counter", "sealed for change"),
    ("pcrs", "PCRs"),
    ("pcrs_fit", "PCRs are as sealed"),
    ("nv_indices", "NV indices"),
];

impl ShowArgs {
    fn run(self, global: &Global) -> Result<Outcome> {
        let args = TokenArgs { token: self.token, pin_source: None };
        let module = args.load(global, None)?;
        let token = Token::choose(&module, &args.choice(None))?;
        let raw = module.raw()?;
        let text = vendor(&raw)?.status(Some(token.slot.id()))?;
        let mut status: Value = serde_json::from_str(&text)
            .map_err(|error| Error::module(format!("the module's report is not understood: {error}")))?;
        let Value::Object(device) = status["device"].take() else {
            let problem = &status["problems"][0];
            let part = |name: &str| problem[name].as_str().map(str::to_owned);
            return Err(match part("message") {
                Some(message) => Error::module(message).remedy(part("remedy").unwrap_or_default()),
                None => no_tpm(),
            });
        };
        show(global, &Value::Object(device.clone()), || {
            [("user", "The user's PIN"), ("so", "The SO PIN")]
                .into_iter()
                .filter_map(|(group, title)| {
                    Some(format!("{title}\n{}", described(device.get(group)?.as_object()?)))
                })
                .collect::<Vec<_>>()
                .join("\n")
        })?;
        Ok(Outcome::Done)
    }
}

fn described(facts: &Map<String, Value>) -> String {
    let rows = NAMES.map(|(name, title)| {
        let value = facts.get(name).and_then(Value::as_str).unwrap_or_default();
        let value = match (name, value) {
            ("pcrs", "") => "none: the state of the machine does not matter".to_owned(),
            ("pcrs_fit", "true") => "yes".into(),
            ("pcrs_fit", "false") => "NO: this PIN opens nothing until `trellis tpm reseal`".into(),
            (_, value) => clean(value),
        };
        (title, value)
    });
    fields(&rows)
}

impl ResealArgs {
    fn run(self, global: &Global) -> Result<Outcome> {
        let args = TokenArgs { token: self.token, pin_source: None };
        let module = args.load(global, None)?;
        let token = Token::choose(&module, &args.choice(None))?;
        let raw = module.raw()?;
        let vendor = vendor(&raw)?;
        let wanted = Wanted {
            name: "SO PIN",
            whose: &format!("of token `{}`", clean(token.info.label())),
            option: "--so-pin-source",
            new: false,
        };
        let so_pin = pin::obtain(self.so_pin_source.as_ref(), wanted)?;
        vendor.reseal(token.slot.id(), so_pin.bytes()).while_doing("sealing the token anew")?;
        let sentence = format!(
            "The user's PIN of token `{}` is bound to the PCRs as they are now.",
            clean(token.info.label())
        );
        done(global, &token, &sentence)
    }
}

fn vendor(raw: &Raw) -> Result<Vendor<'_>> {
    raw.vendor().ok_or_else(no_tpm)
}

fn no_tpm() -> Error {
    Error::unsupported("no TPM seals this token")
        .remedy("name one of a slot with backend = \"tpm\"; `trellis token list` shows the models")
}
