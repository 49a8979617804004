//! `trellis key`: list, show, export and delete. What belongs to one key - private half, public half, certificates -
//! is shown as one.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use cryptoki::object::ObjectClass;

use crate::commands::{export_attestation, generate, import, move_key};
use crate::encoding::{base64, hex};
use crate::entry::{Entry, KeyJson};
use crate::error::{Error, Result, While};
use crate::files::write_result;
use crate::module::Module;
use crate::object::{CLASSES, KeyName, Object, class_name, class_of};
use crate::options::{Global, Outcome, TokenArgs};
use crate::output::{clean, show, table};
use crate::terminal;
use crate::token::{OpenToken, Token};

#[derive(Debug, Args)]
pub(crate) struct KeyCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key or key pair in the token.
    Generate(generate::GenerateArgs),
    /// List the keys and certificates.
    List(ListArgs),
    /// Show one key with its uses and its public half.
    Show(ShowArgs),
    /// Bring a private key, a secret key or a certificate into the token.
    Import(import::ImportArgs),
    /// Write the public half of a key.
    ExportPublic(ExportArgs),
    /// Write what an enclave attested of a key when it made it, for `attest verify`.
    ExportAttestation(export_attestation::ExportAttestationArgs),
    /// Move a key to another token of the module, with proof that the copy is the key.
    Move(move_key::MoveArgs),
    /// Delete a key: both halves of it.
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    token: TokenArgs,
    /// Do not log in: list only what is public.
    #[arg(long)]
    public: bool,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Key by label, id (hexadecimal) or PKCS#11 URI.
    key: String,
    #[command(flatten)]
    token: TokenArgs,
    /// Do not log in: show only what is public.
    #[arg(long)]
    public: bool,
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// Key by label, id (hexadecimal) or PKCS#11 URI.
    key: String,
    #[command(flatten)]
    token: TokenArgs,
    /// Form of the result: SubjectPublicKeyInfo in PEM or DER, or the bare bytes.
    #[arg(long, value_enum, default_value = "pem")]
    format: ExportFormat,
    /// File to write [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    Pem,
    Der,
    Raw,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    /// Key by label, id (hexadecimal) or PKCS#11 URI.
    key: String,
    #[command(flatten)]
    token: TokenArgs,
    /// Delete its certificates too.
    #[arg(long)]
    with_certificates: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl KeyCommand {
    pub(crate) fn run(self, global: &Global) -> Result<Outcome> {
        match self.command {
            Command::Generate(args) => args.run(global),
            Command::List(args) => args.run(global),
            Command::Show(args) => args.run(global),
            Command::Import(args) => args.run(global),
            Command::ExportPublic(args) => args.run(global),
            Command::ExportAttestation(args) => args.run(global),
            Command::Move(args) => args.run(global),
            Command::Delete(args) => args.run(global),
        }
    }
}

impl ListArgs {
    fn run(self, global: &Global) -> Result<Outcome> {
        let module = self.token.load(global, None)?;
        let token = Token::choose(&module, &self.token.choice(None))?;
        let mut open = OpenToken::open(&module, token, false)?;
        if !self.public {
            login_to_look(&mut open, &self.token, None)?;
        }
        let mut objects = Vec::new();
        for class in CLASSES {
            objects.extend(Object::all(open.session(), class).while_doing("listing the objects")?);
        }
        let entries = Entry::group(objects);
        let json: Vec<_> = entries.iter().map(|entry| entry.json_with_place(&open)).collect();
        show(global, &serde_json::json!({ "keys": json }), || {
            if entries.is_empty() {
                let hint = if open.logged_in() { "" } else { " Private keys are seen only after a login." };
                return format!("Token `{}` has no keys.{hint}", clean(open.token.info.label()));
            }
            let row = |(entry, json): (&Entry, &KeyJson)| {
                [
                    clean(&json.label),
                    json.id.clone(),
                    json.algorithm.clone(),
                    json.objects.join(" "),
                    json.place.unwrap_or_default().to_owned(),
                    entry.notes(),
                ]
            };
            let rows: Vec<_> = entries.iter().zip(&json).map(row).collect();
            table(["LABEL", "ID", "ALGORITHM", "OBJECTS", "PLACE", "NOTES"], &rows)
        })?;
        Ok(Outcome::Done)
    }
}

impl ShowArgs {
    fn run(self, global: &Global) -> Result<Outcome> {
        let name = KeyName::parse(&self.key)?;
        let module = self.token.load(global, Some(&name))?;
        let token = Token::choose(&module, &self.token.choice(Some(&name)))?;
        let mut open = OpenToken::open(&module, token, false)?;
        if !self.public {
            login_to_look(&mut open, &self.token, Some(&name))?;
        }
        let entry = one_entry(&open, &name)?;
        let json = entry.json_with_place(&open);
        show(global, &json, || entry.describe(&json))?;
        Ok(Outcome::Done)
    }
}

impl ExportArgs {
    fn run(self, global: &Global) -> Result<Outcome> {
        let name = KeyName::parse(&self.key)?;
        let module = self.token.load(global, Some(&name))?;
        let token = Token::choose(&module, &self.token.choice(Some(&name)))?;
        let mut open = OpenToken::open(&module, token, false)?;
        let object = find_public(&mut open, &self.token, &name)?;
        let key = object.public_key().ok_or_else(|| {
            Error::unsupported(format!(
                "the token does not tell the public half of `{name}` ({})",
                object.algorithm_name()
            ))
            .remedy("a secret key has none; for a key pair, export it where the public key object is")
        })?;
        let bytes = match self.format {
            ExportFormat::Pem => key.pem()?.into_bytes(),
            ExportFormat::Der => key.spki()?,
            ExportFormat::Raw => key
                .raw()
                .map(<[u8]>::to_vec)
                .ok_or_else(|| Error::unsupported("an RSA key has no bare form").remedy("--format der"))?,
        };
        if global.json {
            let json = serde_json::json!({
                "label": object.label(),
                "id": hex(object.id()),
                "algorithm": key.algorithm().to_string(),
                "public_key": base64(&key.spki()?),
            });
            if let Some(out) = &self.out {
                write_result(Some(out), &bytes)?;
            }
            show(global, &json, String::new)?;
        } else {
            write_result(self.out.as_deref(), &bytes)?;
        }
        Ok(Outcome::Done)
    }
}

impl DeleteArgs {
    fn run(self, global: &Global) -> Result<Outcome> {
        let name = KeyName::parse(&self.key)?;
        let module = self.token.load(global, Some(&name))?;
        let token = Token::choose(&module, &self.token.choice(Some(&name)))?;
        let mut open = OpenToken::open(&module, token, true)?;
        open.login(self.token.source(Some(&name))?.as_ref())?;
        let mut entry = one_entry(&open, &name)?;
        // A URI with type= means that half and no other.
        let only =
            name.uri().and_then(|uri| uri.kind).map(|kind| class_of(kind).unwrap_or(ObjectClass::DATA));
        entry.objects.retain(|object| match only {
            Some(class) => object.class == class,
            None => object.class != ObjectClass::CERTIFICATE || self.with_certificates,
        });
        if entry.objects.is_empty() {
            return Err(Error::not_found(format!("`{name}` names only certificates"))
                .remedy("add --with-certificates"));
        }
        let json = entry.json(&open.token);
        self.confirm(&json)?;
        for object in &entry.objects {
            let doing = format!("deleting the {} object", class_name(object.class));
            open.session().destroy_object(object.handle).while_doing(&doing)?;
        }
        show(global, &serde_json::json!({ "deleted": json }), || {
            format!("Deleted `{}` ({}, {}).", clean(&json.label), json.algorithm, json.objects.join(" "))
        })?;
        Ok(Outcome::Done)
    }

    fn confirm(&self, json: &KeyJson) -> Result<()> {
        let what = format!("{} `{}` ({})", json.algorithm, clean(&json.label), json.objects.join(" "));
        let question = format!("Delete {what}? It cannot be brought back.");
        terminal::insist(self.yes, &format!("deleting {what}"), &question)
    }
}

/// The one key that is meant, with all its objects.
pub(crate) fn one_entry(open: &OpenToken, name: &KeyName) -> Result<Entry> {
    let mut named = Vec::new();
    for class in CLASSES {
        named.extend(Object::named(open.session(), class, name).while_doing("looking for the key")?);
    }
    let mut entries = Entry::group(named);
    match entries.len() {
        1 => Ok(entries.remove(0)),
        0 => Err(not_found(open, name)),
        _ => {
            let each: Vec<_> = entries.iter().map(|entry| entry.json(&open.token)).collect();
            let each: Vec<_> =
                each.iter().map(|key| format!("`{}` (id {})", clean(&key.label), key.id)).collect();
            Err(Error::conflict(format!("several keys match `{name}`: {}", each.join(", ")))
                .remedy("name the key by its id, or by a URI with id=..."))
        }
    }
}

/// That there is no such key, and which there are.
pub(crate) fn not_found(open: &OpenToken, name: &KeyName) -> Error {
    const SHOWN: usize = 8;
    let mut labels = Vec::new();
    for class in CLASSES {
        let objects = Object::some(open.session(), class, 10 * SHOWN).unwrap_or_default();
        labels.extend(objects.iter().map(|object| clean(&object.label())).filter(|label| !label.is_empty()));
    }
    labels.sort();
    labels.dedup();
    let label = clean(open.token.info.label());
    let error = Error::not_found(format!("token `{label}` has no key `{}`", clean(&name.to_string())));
    if labels.is_empty() {
        let hint = if open.logged_in() {
            "make one with `trellis key generate`"
        } else {
            "log in with --pin-source"
        };
        return error.remedy(hint);
    }
    let more = if labels.len() > SHOWN { ", ..." } else { "" };
    labels.truncate(SHOWN);
    error.remedy(format!("one of: {}{more}", labels.join(", ")))
}

/// The object that tells the public half: without a login where that is enough.
pub(crate) fn find_public(open: &mut OpenToken, args: &TokenArgs, name: &KeyName) -> Result<Object> {
    for _ in 0..2 {
        for class in [ObjectClass::PUBLIC_KEY, ObjectClass::PRIVATE_KEY, ObjectClass::CERTIFICATE] {
            if let Some(object) = Object::one(open.session(), class, name)?
                && (object.public_key().is_some() || open.logged_in())
            {
                return Ok(object);
            }
        }
        if open.logged_in() || !open.token.info.login_required() {
            break;
        }
        open.login(args.source(Some(name))?.as_ref())?;
    }
    Err(not_found(open, name))
}

/// A listing without a PIN would leave out the private keys, and look as if there were none.
pub(super) fn login_to_look(open: &mut OpenToken, args: &TokenArgs, name: Option<&KeyName>) -> Result<()> {
    let source = args.source(name)?;
    open.login(source.as_ref()).map_err(|error| match &source {
        None if terminal::open().is_none() => error
            .remedy("--pin-source file:PATH, env:NAME or systemd:NAME; or --public for what needs no login"),
        _ => error,
    })
}

/// Opens the token that is meant for writing, logged in.
pub(crate) fn open_for_writing<'m>(module: &'m Module, args: &TokenArgs) -> Result<OpenToken<'m>> {
    let token = Token::choose(module, &args.choice(None))?;
    let mut open = OpenToken::open(module, token, true)?;
    open.login(args.source(None)?.as_ref())?;
    Ok(open)
}
