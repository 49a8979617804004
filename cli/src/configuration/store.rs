//! What a new slot's lines say of its store: the options of `trellis token init --backend`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{stores, text_of};
use crate::error::{Error, Result};
use crate::uri::Uri;

/// What a store is called in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    Embedded,
    Pkcs11,
    Tpm,
    Nitro,
}

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Add a slot with this kind of store to the configuration file, and make the token there.
    #[arg(long, value_enum, conflicts_with_all = ["slot", "token", "erase"])]
    pub(crate) backend: Option<Backend>,
    /// The store's own folder, with --backend [default: one of the token's name below ~/.local/share/trellis].
    #[arg(long, value_name = "FOLDER", requires = "backend")]
    path: Option<PathBuf>,
    /// Wrong PINs before a PIN is locked, with --backend [default: 10].
    #[arg(long, value_name = "N", requires = "backend", value_parser = clap::value_parser!(u32).range(1..=100))]
    pin_tries: Option<u32>,
    /// The HSM's PKCS#11 library, with --backend pkcs11.
    #[arg(long, value_name = "PATH", requires = "backend", required_if_eq("backend", "pkcs11"))]
    pub(crate) module_path: Option<PathBuf>,
    /// How to reach the TPM, with --backend tpm: device:/dev/tpmrm0, tabrmd or swtpm:host=H,port=P.
    #[arg(long, value_name = "TCTI", requires = "backend")]
    tcti: Option<String>,
    /// The PCRs that the token is bound to besides, with --backend tpm: sha256:0,2,7 [default: none].
    #[arg(long, value_name = "SELECTION", requires = "backend")]
    pcrs: Option<String>,
    /// Where the enclave's host listens, with --backend nitro: unix:PATH, vsock://CID:PORT or tcp://127.0.0.1:PORT.
    #[arg(long, value_name = "ADDRESS", requires = "backend", required_if_eq("backend", "nitro"))]
    host: Option<String>,
}

impl Backend {
    /// Its name in the file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Pkcs11 => "pkcs11",
            Self::Tpm => "tpm",
            Self::Nitro => "nitro",
        }
    }
}

impl StoreArgs {
    /// What `--backend pkcs11 --module-path LIBRARY` says.
    pub(crate) fn over_hsm(library: &Path) -> Self {
        Self {
            backend: Some(Backend::Pkcs11),
            path: None,
            pin_tries: None,
            module_path: Some(library.to_owned()),
            tcti: None,
            pcrs: None,
            host: None,
        }
    }

    /// The lines of a slot for a token of this label, without what tells one token of an HSM from another; `None`
    /// where no slot is to be added.
    pub(crate) fn lines(&self, label: &str) -> Result<Option<toml::Table>> {
        let Some(backend) = self.backend else { return Ok(None) };
        self.check(backend)?;
        let mut lines = toml::Table::new();
        lines.insert("backend".into(), backend.name().into());
        lines.insert("path".into(), text_of(&self.folder(label)?)?.into());
        if let Some(tries) = self.pin_tries {
            lines.insert("pin-tries".into(), i64::from(tries).into());
        }
        if let Some(library) = &self.module_path {
            lines.insert("module-path".into(), text_of(&absolute(library)?)?.into());
        }
        for (name, value) in [("tcti", &self.tcti), ("pcrs", &self.pcrs), ("host", &self.host)] {
            lines.extend(value.clone().map(|value| (name.to_owned(), value.into())));
        }
        Ok(Some(lines))
    }

    /// The lines that mean one token of the HSM.
    pub(crate) fn lines_of_token(&self, label: &str, serial: &str) -> Result<toml::Table> {
        let mut lines = self.lines(label)?.unwrap_or_default();
        let uri = Uri { serial: Some(serial.to_owned()), ..Uri::default() };
        lines.insert("token".into(), uri.to_string().into());
        Ok(lines)
    }

    fn folder(&self, label: &str) -> Result<PathBuf> {
        if let Some(path) = &self.path {
            return absolute(path);
        }
        let name: String =
            label.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
        let name = match name.trim_start_matches('.') {
            "" => {
                return Err(Error::usage("the label makes no name for a folder").remedy("add --path FOLDER"));
            }
            name => name,
        };
        let stores = stores().ok_or_else(|| {
            Error::usage("there is no home directory for the store").remedy("add --path FOLDER")
        })?;
        Ok(stores.join(name))
    }

    fn check(&self, backend: Backend) -> Result<()> {
        let options = [
            ("--module-path", self.module_path.is_some(), Backend::Pkcs11),
            ("--tcti", self.tcti.is_some(), Backend::Tpm),
            ("--pcrs", self.pcrs.is_some(), Backend::Tpm),
            ("--host", self.host.is_some(), Backend::Nitro),
        ];
        match options.into_iter().find(|(_, given, of)| *given && *of != backend) {
            None => Ok(()),
            Some((option, _, of)) => {
                Err(Error::usage(format!("{option} goes with --backend {} alone", of.name())))
            }
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::io("find", path, &error))
}
