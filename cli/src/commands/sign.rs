//! `trellis sign`.

use std::fs::Metadata;
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use cryptoki::object::{AttributeType, ObjectClass};

use crate::algorithm::{Algorithm, Hash};
use crate::commands::key::not_found;
use crate::encoding::{Format, base64, ecdsa_to_der, hex, parse_hex};
use crate::error::{Error, Result};
use crate::files::{Input, is_dash, write_result};
use crate::object::{KeyName, Object, class_name};
use crate::operation::{self, Key};
use crate::options::{Global, Outcome, TokenArgs};
use crate::output::show;
use crate::scheme::Scheme;
use crate::token::{OpenToken, Token};

#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// File to sign; - for standard input.
    file: PathBuf,
    /// Key by label, id (hexadecimal) or PKCS#11 URI.
    #[arg(long, short, value_name = "KEY")]
    key: String,
    #[command(flatten)]
    token: TokenArgs,
    #[command(flatten)]
    scheme: SchemeArgs,
    /// The same signature each time (ML-DSA; Ed25519 always is).
    #[arg(long)]
    deterministic: bool,
    /// Write ECDSA signatures in DER, as OpenSSL and X.509 have them.
    #[arg(long)]
    der: bool,
    /// File to write; one that exists is replaced [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Form of the signature [default: raw into a file or pipe, base64 on a terminal].
    #[arg(long, value_enum)]
    format: Option<Format>,
}

/// The choices that signer and verifier must share.
#[derive(Debug, Args)]
pub(crate) struct SchemeArgs {
    /// Context that the signature is bound to (ML-DSA, Ed25519ctx), up to 255 bytes.
    #[arg(long, value_name = "TEXT", conflicts_with = "context_hex")]
    context: Option<String>,
    /// The context in hexadecimal.
    #[arg(long, value_name = "HEX")]
    context_hex: Option<String>,
    /// Hash first: HashML-DSA, Ed25519ph (sha512); for ECDSA and RSA the hash to use.
    #[arg(long, value_enum, value_name = "HASH")]
    hash: Option<Hash>,
    /// RSA: PSS instead of PKCS#1 v1.5.
    #[arg(long)]
    pss: bool,
}

impl SchemeArgs {
    pub(crate) fn scheme(&self, deterministic: bool) -> Result<Scheme> {
        let context = match (&self.context, &self.context_hex) {
            (Some(text), _) => Some(text.clone().into_bytes()),
            (None, Some(digits)) => Some(parse_hex(digits).ok_or_else(|| {
                Error::usage("--context-hex is not hexadecimal")
                    .remedy("an even number of digits 0-9 and a-f")
            })?),
            (None, None) => None,
        };
        Ok(Scheme { context, hash: self.hash, deterministic, pss: self.pss })
    }
}

impl SignArgs {
    pub(crate) fn run(self, global: &Global) -> Result<Outcome> {
        let name = KeyName::parse(&self.key)?;
        let scheme = self.scheme.scheme(self.deterministic)?;
        self.refuse_own_input()?;
        // Before the PIN is asked for.
        let mut input = Input::open(&self.file)?;
        let module = self.token.load(global, Some(&name))?;
        let token = Token::choose(&module, &self.token.choice(Some(&name)))?;
        let mut open = OpenToken::open(&module, token, false)?;
        open.login(self.token.source(Some(&name))?.as_ref())?;
        let object = Object::one(open.session(), ObjectClass::PRIVATE_KEY, &name)?;
        let object = match object {
            Some(object) => object,
            None => return Err(no_private_key(&open, &name)?),
        };
        let algorithm = known_algorithm(&object)?;
        if self.der && !matches!(algorithm, Algorithm::Ecdsa(_)) {
            return Err(Error::usage(format!("--der is for ECDSA, and `{name}` is {algorithm}")));
        }
        let abilities = open.abilities()?;
        let plan = scheme.plan(algorithm, &abilities)?;
        let key = Key {
            handle: object.handle,
            always_authenticate: object.flag(AttributeType::AlwaysAuthenticate) == Some(true),
        };
        let mut signature = operation::sign(&mut open, plan, key, &mut input)?;
        drop(input);
        if self.der {
            signature = ecdsa_to_der(&signature)
                .map_err(|error| Error::module(format!("the token gave no ECDSA signature: {error}")))?;
        }
        self.deliver(global, &object, algorithm, &signature)
    }

    /// The signature would take the place of what it is a signature of.
    fn refuse_own_input(&self) -> Result<()> {
        let file = |path: &Path| std::fs::metadata(path).ok().filter(Metadata::is_file);
        let Some((out, found)) = self.out.as_deref().and_then(|out| Some((out, file(out)?))) else {
            return Ok(());
        };
        match file(&self.file) {
            Some(input) if (input.dev(), input.ino()) == (found.dev(), found.ino()) => {
                Err(Error::usage(format!("--out {} is the file that is to be signed", out.display()))
                    .remedy("name another file for the signature"))
            }
            _ => Ok(()),
        }
    }

    fn deliver(
        &self,
        global: &Global,
        object: &Object,
        algorithm: Algorithm,
        signature: &[u8],
    ) -> Result<Outcome> {
        let out = self.out.as_deref().filter(|path| !is_dash(path));
        let default =
            if out.is_none() && std::io::stdout().is_terminal() { Format::Base64 } else { Format::Raw };
        let bytes = self.format.unwrap_or(default).encode(signature);
        if !global.json {
            write_result(out, &bytes)?;
            return Ok(Outcome::Done);
        }
        if let Some(path) = out {
            write_result(Some(path), &bytes)?;
        }
        let json = serde_json::json!({
            "algorithm": algorithm.to_string(),
            "key": { "label": object.label(), "id": hex(object.id()) },
            "signature": base64(signature),
            "out": out.map(|path| path.display().to_string()),
        });
        show(global, &json, String::new)?;
        Ok(Outcome::Done)
    }
}

/// Why there is no private key of that name: a key of another kind has it, or none.
fn no_private_key(open: &OpenToken, name: &KeyName) -> Result<Error> {
    if let Some(secret) = Object::one(open.session(), ObjectClass::SECRET_KEY, name)? {
        let text =
            format!("`{name}` is a secret key ({}), which makes no signatures", secret.algorithm_name());
        return Ok(Error::usage(text).remedy("use an ML-DSA, Ed25519, ECDSA or RSA key pair"));
    }
    for class in [ObjectClass::PUBLIC_KEY, ObjectClass::CERTIFICATE] {
        if Object::one(open.session(), class, name)?.is_some() {
            let text = format!(
                "the token has of `{name}` only the {}, which makes no signatures",
                class_name(class)
            );
            return Ok(Error::usage(text).remedy("use a key whose private half is in the token"));
        }
    }
    Ok(not_found(open, name))
}

/// The algorithm of a key, which must be one that the command can sign and verify with.
pub(crate) fn known_algorithm(object: &Object) -> Result<Algorithm> {
    object.algorithm().ok_or_else(|| {
        Error::unsupported(format!("trellis does not sign or verify with {} keys", object.algorithm_name()))
            .remedy("use an ML-DSA, Ed25519, ECDSA (P-256, P-384, P-521) or RSA key")
    })
}
