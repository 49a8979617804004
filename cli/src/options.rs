//! The options that commands share, and what a command answers.

use std::path::PathBuf;

use clap::Args;

use crate::error::{Error, Result};
use crate::module::{self, Module};
use crate::object::KeyName;
use crate::pin::{FORMS, PinSource};
use crate::token::{Choice, parse_uri};
use crate::uri::Uri;

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// PKCS#11 module to use [default: $TRELLIS_MODULE, then libtrellis_pkcs11.so beside this command or below its prefix].
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) module: Option<PathBuf>,
    /// Write results (and errors, on standard error) as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Which token, and the user's PIN.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// Token by label, serial number or PKCS#11 URI [default: the only initialised one].
    #[arg(long, short, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// Where the user PIN comes from: prompt, file:PATH, env:NAME or systemd:NAME [default: prompt].
    #[arg(long, value_name = "SOURCE")]
    pub(crate) pin_source: Option<PinSource>,
}

/// How a command that did its work ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// The answer is no; it has been given.
    Negative,
}

impl Global {
    /// Finds, loads and initialises the module; a URI may name it.
    pub(crate) fn load(&self, uri: Option<&Uri>) -> Result<Module> {
        let from_uri = uri.and_then(|uri| uri.module_path.as_deref());
        let (path, _) = module::locate(self.module.as_deref(), from_uri)?;
        Module::load(&path)
    }
}

impl TokenArgs {
    /// The module, as the options or the URI of token or key say.
    pub(crate) fn load(&self, global: &Global, key: Option<&KeyName>) -> Result<Module> {
        let token = self.uri()?;
        let named = [token.as_ref(), key.and_then(KeyName::uri)];
        let uri = named.into_iter().flatten().find(|uri| uri.module_path.is_some());
        global.load(uri)
    }

    pub(crate) fn choice(&self, key: Option<&KeyName>) -> Choice {
        Choice { token: self.token.clone(), key_uri: key.and_then(KeyName::uri).cloned() }
    }

    /// Where the PIN comes from: the option, then `pin-source` of the URI of token or key.
    pub(crate) fn source(&self, key: Option<&KeyName>) -> Result<Option<PinSource>> {
        if self.pin_source.is_some() {
            return Ok(self.pin_source.clone());
        }
        let token = self.uri()?;
        let named = [token.as_ref(), key.and_then(KeyName::uri)];
        let Some(source) = named.into_iter().flatten().find_map(|uri| uri.pin_source.as_deref()) else {
            return Ok(None);
        };
        // RFC 7512 section 2.4 leaves the form open; a bare path is common.
        let source = if source.starts_with('/') { format!("file:{source}") } else { source.to_owned() };
        source.parse().map(Some).map_err(|_| {
            Error::usage("the pin-source in the URI is of an unknown form").remedy(format!("one of {FORMS}"))
        })
    }

    fn uri(&self) -> Result<Option<Uri>> {
        self.token.as_deref().filter(|text| Uri::is_uri(text)).map(parse_uri).transpose()
    }
}
