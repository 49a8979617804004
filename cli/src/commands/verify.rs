//! `trellis verify`. The check itself is the module's: this command has no cryptography of its own. A public key
//! from a file becomes a session object, which ends with the command.

use std::path::{Path, PathBuf};

use clap::Args;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};

use crate::algorithm::Algorithm;
use crate::commands::import::create_public;
use crate::commands::key::find_public;
use crate::commands::sign::SchemeArgs;
use crate::encoding::{Format, read_signature};
use crate::error::{Error, Result, While};
use crate::files::{Input, is_dash, read_small};
use crate::module::Module;
use crate::object::KeyName;
use crate::operation;
use crate::options::{Global, Outcome, TokenArgs};
use crate::output::show;
use crate::public_key::PublicKey;
use crate::token::{OpenToken, Token};

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// File that was signed; - for standard input.
    file: PathBuf,
    /// File with the signature.
    #[arg(long, short, value_name = "FILE")]
    signature: PathBuf,
    #[command(flatten)]
    with: With,
    /// What the bare bytes of --public-key are.
    #[arg(long, short, value_enum, value_name = "ALGORITHM", requires = "public_key")]
    algorithm: Option<Algorithm>,
    #[command(flatten)]
    scheme: SchemeArgs,
    /// Form of the signature [default: found out; ECDSA also in DER].
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    token: TokenArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct With {
    /// Key in the token by label, id (hexadecimal) or PKCS#11 URI.
    #[arg(long, short, value_name = "KEY")]
    key: Option<String>,
    /// Public key or certificate in PEM or DER, or with --algorithm the bare key.
    #[arg(long, short, value_name = "FILE")]
    public_key: Option<PathBuf>,
}

impl VerifyArgs {
    pub(crate) fn run(self, global: &Global) -> Result<Outcome> {
        if is_dash(&self.file) && is_dash(&self.signature) {
            return Err(Error::usage("both the file and the signature would come from standard input")
                .remedy("put one of them into a file"));
        }
        let name = self.with.key.as_deref().map(KeyName::parse).transpose()?;
        let scheme = self.scheme.scheme(false)?;
        let signature = read_small(&self.signature)?;
        let from_file = self.with.public_key.as_deref().map(|path| self.read_public(path)).transpose()?;
        let mut input = Input::open(&self.file)?;
        let module = self.token.load(global, name.as_ref())?;
        let token = self.choose(&module, name.as_ref())?;
        let mut open = OpenToken::open(&module, token, false)?;
        let (public, held) = match (&name, from_file) {
            (Some(name), _) => self.public_in_token(&mut open, name)?,
            (None, Some(public)) => (public, None),
            (None, None) => return Err(Error::usage("no key is given").remedy("--key or --public-key")),
        };
        let algorithm = public.algorithm();
        let abilities = open.abilities()?;
        let plan = scheme.plan(algorithm, &abilities)?;
        let signature = read_signature(signature.bytes(), self.format, algorithm).ok_or_else(|| {
            Error::format("the signature is not in the form that --format names").remedy("leave out --format")
        })?;
        let key = held.map_or_else(|| session_object(&open, &public), Ok)?;
        let valid = operation::verify(&mut open, plan, key, &mut input, &signature)?;
        drop(input);
        let json = serde_json::json!({ "valid": valid, "algorithm": algorithm.to_string() });
        show(global, &json, || sentence(valid, algorithm, signature.len()))?;
        Ok(if valid { Outcome::Done } else { Outcome::Negative })
    }

    fn read_public(&self, path: &Path) -> Result<PublicKey> {
        let public = PublicKey::from_file(read_small(path)?.bytes(), self.algorithm)?;
        match self.algorithm.filter(|wanted| *wanted != public.algorithm()) {
            None => Ok(public),
            Some(wanted) => Err(Error::usage(format!(
                "{} has an {} key, not {wanted}",
                path.display(),
                public.algorithm()
            ))
            .remedy("leave out --algorithm: the file tells it")),
        }
    }

    /// With a public key from a file every token will do; the first is taken when none is named.
    fn choose(&self, module: &Module, name: Option<&KeyName>) -> Result<Token> {
        if name.is_none()
            && self.token.token.is_none()
            && let Some(token) = Token::all(module)?.into_iter().find(|token| token.info.token_initialized())
        {
            return Ok(token);
        }
        Token::choose(module, &self.token.choice(name))
    }

    /// The public key, and the token's own object for it when that may verify.
    fn public_in_token(
        &self,
        open: &mut OpenToken,
        name: &KeyName,
    ) -> Result<(PublicKey, Option<ObjectHandle>)> {
        let object = find_public(open, &self.token, name)?;
        let public = object.public_key().ok_or_else(|| {
            Error::unsupported(format!("the token does not tell the public half of `{name}`"))
                .remedy("verify with --public-key FILE")
        })?;
        let may = object.class == ObjectClass::PUBLIC_KEY && object.flag(AttributeType::Verify) == Some(true);
        Ok((public, may.then_some(object.handle)))
    }
}

/// The public key as an object that lives as long as the session.
fn session_object(open: &OpenToken, public: &PublicKey) -> Result<ObjectHandle> {
    let attributes = [Attribute::Token(false), Attribute::Private(false)];
    create_public(open.session(), public, &attributes)
        .while_doing(&format!("handing the {} public key to the module", public.algorithm()))
}

fn sentence(valid: bool, algorithm: Algorithm, length: usize) -> String {
    match algorithm.signature_len() {
        _ if valid => "valid".into(),
        Some(right) if right != length => {
            format!("INVALID: the signature has {length} bytes, and {algorithm} signatures have {right}")
        }
        _ => "INVALID".into(),
    }
}
