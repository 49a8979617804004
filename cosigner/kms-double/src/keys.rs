//! KMS keys: their names, their material in a file of its own, and the ciphertexts they make.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    str::FromStr,
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey},
    rand,
};
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{KmsError, service::Context};

/// The first byte of a ciphertext: our own format. AWS' is nobody's business.
const VERSION: u8 = 1;
const NONCE: usize = 12;

/// The name of a key: `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arn(String);

/// All keys.
#[derive(Debug)]
pub struct Keys(BTreeMap<Arn, Key>);

struct Key(RandomizedNonceKey);

/// The file: each key's material in base64.
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct File {
    keys: BTreeMap<Arn, String>,
}

impl Arn {
    /// The part after `key/`, by which a caller may name the key too.
    fn id(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Arn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split(':').collect();
        match parts[..] {
            ["arn", partition, "kms", region, account, key]
                if !partition.is_empty()
                    && !region.is_empty()
                    && account.len() == 12
                    && key.strip_prefix("key/").is_some_and(|id| !id.is_empty() && !id.contains('/')) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err("a KMS key's ARN is arn:aws:kms:REGION:ACCOUNT:key/ID".to_owned()),
        }
    }
}

impl TryFrom<String> for Arn {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Arn> for String {
    fn from(arn: Arn) -> Self {
        arn.0
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Keys {
    /// Reads the file and makes the keys that are wanted and not in it. It is written whole, under another name first.
    pub fn open(path: &Path, wanted: &[Arn]) -> io::Result<Self> {
        let mut file: File = match fs::read(path) {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::default(),
            Err(error) => return Err(error),
        };
        let before = file.keys.len();
        for arn in wanted {
            if !file.keys.contains_key(arn) {
                let mut material = Zeroizing::new([0; 32]);
                rand::fill(&mut *material).map_err(io::Error::other)?;
                file.keys.insert(arn.clone(), Base64::encode_string(&*material));
            }
        }
        if file.keys.len() > before {
            let mut name = path.as_os_str().to_owned();
            name.push(".new");
            let scratch = PathBuf::from(name);
            let options = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).clone();
            let out = options.open(&scratch)?;
            serde_json::to_writer(&out, &file)?;
            out.sync_all()?;
            fs::rename(&scratch, path)?;
        }
        let key = |material: &String| {
            let material = Base64::decode_vec(material).map(Zeroizing::new);
            let key = material.ok().and_then(|bytes| RandomizedNonceKey::new(&AES_256_GCM, &bytes).ok());
            key.map(Key).ok_or_else(|| io::Error::other("a key's material is not 32 bytes in base64"))
        };
        file.keys
            .iter()
            .map(|(arn, material)| Ok((arn.clone(), key(material)?)))
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// The key that a caller names by ARN or id.
    pub(crate) fn find(&self, name: &str) -> Result<&Arn, KmsError> {
        let found = self.0.keys().find(|arn| arn.as_str() == name || arn.id() == name);
        found.ok_or_else(|| KmsError::new("NotFoundException", format!("Key '{name}' does not exist")))
    }

    /// A ciphertext: version, key id with its length, nonce, data key and tag. The encryption context is its
    /// associated data.
    pub(crate) fn encrypt(&self, arn: &Arn, context: &Context, plaintext: &[u8]) -> Vec<u8> {
        let id = arn.id().as_bytes();
        let header = [&[VERSION, u8::try_from(id.len()).expect("ids are short")], id].concat();
        let mut sealed = plaintext.to_vec();
        let nonce = self.0[arn]
            .0
            .seal_in_place_append_tag(Aad::from(associated(&header, context)), &mut sealed)
            .expect("a data key is short");
        [&header[..], nonce.as_ref(), &sealed].concat()
    }

    /// Whose ciphertext it says to be.
    pub(crate) fn owner(&self, ciphertext: &[u8]) -> Result<&Arn, KmsError> {
        let id = header(ciphertext).and_then(|(header, _)| std::str::from_utf8(&header[2..]).ok());
        let arn = id.and_then(|id| self.0.keys().find(|arn| arn.id() == id));
        arn.ok_or_else(KmsError::invalid_ciphertext)
    }

    pub(crate) fn decrypt(
        &self,
        arn: &Arn,
        context: &Context,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        let open = || {
            let (header, rest) = header(ciphertext)?;
            let (nonce, sealed) = rest.split_at_checked(NONCE)?;
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut sealed = Zeroizing::new(sealed.to_vec());
            let aad = Aad::from(associated(header, context));
            let length = self.0[arn].0.open_in_place(nonce, aad, &mut sealed).ok()?.len();
            sealed.truncate(length);
            Some(sealed)
        };
        open().ok_or_else(KmsError::invalid_ciphertext)
    }
}

fn header(ciphertext: &[u8]) -> Option<(&[u8], &[u8])> {
    match ciphertext {
        [VERSION, length, ..] => ciphertext.split_at_checked(2 + usize::from(*length)),
        _ => None,
    }
}

/// The header, then the pairs of the context in the order of their keys, each text after its length.
fn associated(header: &[u8], context: &Context) -> Vec<u8> {
    let mut out = header.to_vec();
    for text in context.iter().flat_map(|(key, value)| [key, value]) {
        out.extend((text.len() as u64).to_be_bytes());
        out.extend(text.as_bytes());
    }
    out
}
