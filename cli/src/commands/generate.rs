//! `trellis key generate`.

use clap::Args;
use cryptoki::object::{Attribute, ObjectClass};

use crate::algorithm::Algorithm;
use crate::commands::key::open_for_writing;
use crate::encoding::{hex, parse_hex};
use crate::entry::Entry;
use crate::error::{Error, Result, While};
use crate::exit::Exit;
use crate::object::{CLASSES, KeyName, Object, class_name};
use crate::options::{Global, Outcome, TokenArgs};
use crate::output::{clean, show};
use crate::secret::fill_random;
use crate::token::OpenToken;

/// Length of the CKA_ID that is made up when none is given, in bytes.
const ID_LEN: usize = 16;

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// Kind of key.
    #[arg(long, short, value_enum, value_name = "ALGORITHM")]
    algorithm: Algorithm,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    policy: Policy,
    #[command(flatten)]
    token: TokenArgs,
}

/// What the key is called.
#[derive(Debug, Args)]
pub(crate) struct Identity {
    /// Name of the key; no other key of the token may have it.
    #[arg(long, short, value_name = "NAME")]
    pub(crate) label: String,
    /// CKA_ID in hexadecimal, the same for both halves [default: 16 random bytes].
    #[arg(long, value_name = "HEX")]
    pub(crate) id: Option<String>,
}

/// What may be done with the key.
#[derive(Debug, Args)]
pub(crate) struct Policy {
    /// Let the private or secret key leave the token, wrapped under another key.
    #[arg(long)]
    extractable: bool,
    /// Ask for the PIN at every use of the key (CKA_ALWAYS_AUTHENTICATE).
    #[arg(long)]
    context_login: bool,
}

impl GenerateArgs {
    pub(crate) fn run(self, global: &Global) -> Result<Outcome> {
        let module = self.token.load(global, None)?;
        self.identity.check()?;
        self.policy.check(self.algorithm)?;
        let open = open_for_writing(&module, &self.token)?;
        let id = self.identity.settle(&open)?;
        let (kind, mechanism) = self.algorithm.generation();
        if !open.abilities()?.mechanisms.contains(&kind.into()) {
            return Err(Error::unsupported(format!(
                "the token does not make {} keys ({kind})",
                self.algorithm
            ))
            .remedy("see what it has with `trellis mechanisms`"));
        }
        let name = self.identity.attributes(&id);
        let doing = format!("making the {} key", self.algorithm);
        if self.algorithm.is_secret_key() {
            let mut template = name;
            template.extend(self.algorithm.parameters());
            template.extend(self.policy.secret(self.algorithm));
            open.session().generate_key(&mechanism, &template).while_doing(&doing)?;
        } else {
            let mut public = name.clone();
            public.extend(self.algorithm.parameters());
            public.extend([Attribute::Private(false), Attribute::Verify(true)]);
            public.extend([Attribute::Encrypt(false), Attribute::Wrap(false)]);
            let mut private = name;
            private.extend(self.policy.secret(self.algorithm));
            open.session().generate_key_pair(&mechanism, &public, &private).while_doing(&doing)?;
        }
        report(global, &open, &id, "Made")
    }
}

impl Identity {
    /// What can be said without a token.
    pub(crate) fn check(&self) -> Result<()> {
        if self.label.is_empty() {
            return Err(Error::usage("the label is empty").remedy("--label NAME"));
        }
        self.given_id().map(drop)
    }

    /// The CKA_ID to use, after a look that neither it nor the label is taken.
    pub(crate) fn settle(&self, open: &OpenToken) -> Result<Vec<u8>> {
        let label = Attribute::Label(self.label.clone().into_bytes());
        refuse_taken(open, &label, &format!("a key `{}`", self.label), "choose another label")?;
        match self.given_id()? {
            Some(id) => {
                let what = format!("a key with the id {}", hex(&id));
                refuse_taken(
                    open,
                    &Attribute::Id(id.clone()),
                    &what,
                    "choose another id, or leave out --id",
                )?;
                Ok(id)
            }
            None => random_id(),
        }
    }

    pub(crate) fn attributes(&self, id: &[u8]) -> Vec<Attribute> {
        vec![
            Attribute::Token(true),
            Attribute::Label(self.label.clone().into_bytes()),
            Attribute::Id(id.to_vec()),
        ]
    }

    fn given_id(&self) -> Result<Option<Vec<u8>>> {
        let Some(text) = &self.id else { return Ok(None) };
        match parse_hex(text) {
            Some(id) if !id.is_empty() => Ok(Some(id)),
            _ => {
                Err(Error::usage(format!("`{text}` is no id")).remedy("an even number of hexadecimal digits"))
            }
        }
    }
}

impl Policy {
    /// The attributes of the half that must stay secret.
    pub(crate) fn secret(&self, algorithm: Algorithm) -> Vec<Attribute> {
        let mut template = vec![
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(self.extractable),
        ];
        if algorithm.is_secret_key() {
            template.extend([Attribute::Encrypt(true), Attribute::Decrypt(true)]);
            template.extend([Attribute::Wrap(true), Attribute::Unwrap(true)]);
        } else {
            // Said outright: some tokens take what is not said for true, and a signing key shall only sign.
            template.extend([Attribute::Sign(true), Attribute::Decrypt(false), Attribute::Unwrap(false)]);
            template.push(Attribute::Derive(false));
        }
        if self.context_login {
            template.push(Attribute::AlwaysAuthenticate(true));
        }
        template
    }

    pub(crate) fn check(&self, algorithm: Algorithm) -> Result<()> {
        if self.context_login && algorithm.is_secret_key() {
            return Err(Error::usage("--context-login is for private keys"));
        }
        Ok(())
    }
}

/// Shows the key that has just been made.
pub(crate) fn report(global: &Global, open: &OpenToken, id: &[u8], verb: &str) -> Result<Outcome> {
    let mut objects = Vec::new();
    let name = KeyName::Uri(Box::new(crate::uri::Uri { id: Some(id.to_vec()), ..Default::default() }));
    for class in CLASSES {
        objects.extend(Object::named(open.session(), class, &name)?);
    }
    let entry = Entry::group(objects).into_iter().next().ok_or_else(|| {
        Error::new(Exit::Module, "the token says that the key is there, but does not show it")
            .remedy("list the keys with `trellis key list`")
    })?;
    let json = entry.json(&open.token);
    show(global, &json, || entry.sentence(verb, &json))?;
    Ok(Outcome::Done)
}

/// 16 random bytes tell apart more keys than any token holds, and give nothing away about the key.
pub(crate) fn random_id() -> Result<Vec<u8>> {
    let mut id = [0; ID_LEN];
    fill_random(&mut id)?;
    Ok(id.to_vec())
}

fn refuse_taken(open: &OpenToken, attribute: &Attribute, what: &str, remedy: &str) -> Result<()> {
    for class in CLASSES {
        let found = open.session().find_objects(&[Attribute::Class(class), attribute.clone()])?;
        // A certificate may be there before its key: it shares the key's id, and its label as a rule.
        if !found.is_empty() && class != ObjectClass::CERTIFICATE {
            let token = clean(open.token.info.label());
            return Err(Error::conflict(format!(
                "token `{token}` has {what} already ({})",
                class_name(class)
            ))
            .remedy(format!("{remedy}; `trellis key delete` removes the old one")));
        }
    }
    Ok(())
}
