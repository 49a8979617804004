//! `trellis key import`: private keys, secret keys and certificates from files.

use std::path::PathBuf;

use clap::Args;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

use crate::algorithm::Algorithm;
use crate::batch::Content;
use crate::certificate::Certificate;
use crate::commands::generate::{Identity, Policy, random_id, report};
use crate::commands::import_batch;
use crate::commands::key::open_for_writing;
use crate::encoding::parse_hex;
use crate::error::{Error, Result, While};
use crate::files::read_small;
use crate::object::Object;
use crate::options::{Global, Outcome, TokenArgs};
use crate::private_key::PrivateKey;
use crate::public_key::{PointForm, PublicKey};
use crate::token::OpenToken;

/// RSA keys below this size are no longer safe, and many tokens refuse them.
const LEAST_RSA: u32 = 2048;

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// PKCS#8 private key or X.509 certificate in PEM or DER, or with --algorithm the bare key; - for standard input.
    /// With --batch any number of such files, of PEM files with many, and of folders of them.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Import all keys and certificates of the files, or none; labels are the files' names without their extension.
    #[arg(long, conflicts_with_all = ["label", "id", "public_key"])]
    batch: bool,
    /// What bare bytes are: an ML-DSA or Ed25519 seed, an expanded ML-DSA key, an AES key.
    #[arg(long, short, value_enum, value_name = "ALGORITHM")]
    algorithm: Option<Algorithm>,
    /// Name of the key; no other key of the token may have it.
    #[arg(long, short, value_name = "NAME", required_unless_present = "batch")]
    label: Option<String>,
    /// CKA_ID in hexadecimal, the same for both halves [default: 16 random bytes].
    #[arg(long, value_name = "HEX")]
    id: Option<String>,
    #[command(flatten)]
    policy: Policy,
    /// The public half, for tokens that cannot tell it from the private one.
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    #[command(flatten)]
    token: TokenArgs,
}

impl ImportArgs {
    pub(crate) fn run(self, global: &Global) -> Result<Outcome> {
        if self.batch {
            return import_batch::run(global, &self.files, self.algorithm, &self.policy, &self.token);
        }
        let [file] = &self.files[..] else {
            return Err(Error::usage("without --batch there is one file").remedy("add --batch"));
        };
        let identity = Identity { label: self.label.clone().unwrap_or_default(), id: self.id.clone() };
        identity.check()?;
        let mut key = match Content::from_file(read_small(file)?.bytes(), self.algorithm)? {
            Content::Key(key) => key,
            Content::Certificate(certificate) => {
                return self.import_certificate(global, &identity, &certificate);
            }
        };
        self.policy.check(key.algorithm)?;
        if let Some(path) = &self.public_key {
            key.public = Some(self.given_public(path, &key)?);
        }
        let module = self.token.load(global, None)?;
        let open = open_for_writing(&module, &self.token)?;
        let id = identity.settle(&open)?;
        let name = identity.attributes(&id);
        key.template.extend(name.iter().cloned());
        key.template.extend(self.policy.secret(key.algorithm));
        let algorithm = key.algorithm;
        let made = create_key(open.session(), key, &name).map_err(|(error, made)| {
            // Half a key would be in the way of the next try.
            made.map(|handle| open.session().destroy_object(handle));
            error
        });
        made.map_err(|error| too_small(error, algorithm))?;
        report(global, &open, &id, "Imported")
    }

    fn given_public(&self, path: &std::path::Path, key: &PrivateKey) -> Result<PublicKey> {
        let public = PublicKey::from_file(read_small(path)?.bytes(), Some(key.algorithm))?;
        if public.algorithm() != key.algorithm || key.public.as_ref().is_some_and(|known| *known != public) {
            return Err(Error::format(format!("{} is not the public half of this key", path.display()))
                .remedy("leave out --public-key, or name the right file"));
        }
        Ok(public)
    }

    fn import_certificate(
        &self,
        global: &Global,
        identity: &Identity,
        certificate: &Certificate,
    ) -> Result<Outcome> {
        let module = self.token.load(global, None)?;
        let open = open_for_writing(&module, &self.token)?;
        let value = Attribute::Value(certificate.der.clone());
        let same = open.session().find_objects(&[Attribute::Class(ObjectClass::CERTIFICATE), value])?;
        if !same.is_empty() {
            return Err(
                Error::conflict("the token has this certificate already").remedy("see `trellis key list`")
            );
        }
        let id = match identity.id.as_deref().and_then(parse_hex) {
            Some(id) => id,
            None => match key_of(&open, certificate)? {
                Some(id) => id,
                None => random_id()?,
            },
        };
        let mut template = certificate.attributes();
        template.extend(identity.attributes(&id));
        template.push(Attribute::Private(false));
        open.session().create_object(&template).while_doing("importing the certificate")?;
        report(global, &open, &id, "Imported a certificate for the")
    }
}

/// Creates a key whose template is complete, and its public half under the same name: from the file, or else from what the
/// token computes from the private key. An error comes with what has been made.
pub(crate) fn create_key(
    session: &Session,
    key: PrivateKey,
    name: &[Attribute],
) -> std::result::Result<Vec<ObjectHandle>, (Error, Option<ObjectHandle>)> {
    let doing = format!("importing the {} key", key.algorithm);
    let private = session.create_object(key.template.attributes()).while_doing(&doing);
    let private = private.map_err(|error| (error, None))?;
    if key.algorithm.is_secret_key() {
        return Ok(vec![private]);
    }
    match create_public_half(session, private, key.public, name) {
        Ok(public) => Ok(vec![private, public]),
        Err(error) => Err((error, Some(private))),
    }
}

fn create_public_half(
    session: &Session,
    private: ObjectHandle,
    known: Option<PublicKey>,
    name: &[Attribute],
) -> Result<ObjectHandle> {
    let public = known.or_else(|| {
        let told = session.get_attributes(private, &[AttributeType::PublicKeyInfo]).ok()?;
        PublicKey::from_attributes(&told)
    });
    let public = public.ok_or_else(|| {
        Error::unsupported(
            "neither the file nor the token tells the public half of the key; nothing was imported",
        )
        .remedy("openssl pkey -in FILE -pubout -out PUBLIC.pem, then add --public-key PUBLIC.pem")
    })?;
    let mut attributes = name.to_vec();
    attributes.push(Attribute::Private(false));
    create_public(session, &public, &attributes).while_doing("importing the public half")
}

/// A token that refuses a short RSA key has many codes for it, and none names the size.
pub(crate) fn too_small(error: Error, algorithm: Algorithm) -> Error {
    match algorithm {
        Algorithm::Rsa(bits) if bits < LEAST_RSA => error
            .meaning(format!("the token does not take an RSA key of {bits} bits"))
            .remedy("use a longer key: `trellis key generate --algorithm rsa-3072`"),
        _ => error,
    }
}

/// Creates a public key object; what `extra` says goes before what a public key is by itself. Tokens disagree about the
/// form of an Edwards point: the older is tried first.
pub(crate) fn create_public(session: &Session, key: &PublicKey, extra: &[Attribute]) -> Result<ObjectHandle> {
    let create = |form| -> Result<ObjectHandle> {
        let mut template = key.attributes(form)?;
        template.retain(|own| !extra.iter().any(|other| other.attribute_type() == own.attribute_type()));
        template.extend_from_slice(extra);
        Ok(session.create_object(&template)?)
    };
    create(PointForm::OctetString).or_else(|error| match key {
        PublicKey::Ed25519(_) => create(PointForm::Bare).map_err(|_| error),
        _ => Err(error),
    })
}

/// CKA_ID of the key that the certificate is for, so that clients find them together.
fn key_of(open: &OpenToken, certificate: &Certificate) -> Result<Option<Vec<u8>>> {
    let Ok(wanted) = certificate.public_key() else { return Ok(None) };
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        for object in Object::all(open.session(), class)? {
            if !object.id().is_empty() && object.public_key().as_ref() == Some(&wanted) {
                return Ok(Some(object.id().to_vec()));
            }
        }
    }
    Ok(None)
}
