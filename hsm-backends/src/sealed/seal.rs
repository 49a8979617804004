//! What the token key does to records: sealing, opening, and tags to find sealed values by.
//!
//! Nothing here knows where the token key comes from (a PIN, a TPM, a KMS), so every sealed store shares it.

use algorithms::{SecretBytes, aes, digest::Hash, mac::Hmac, random};

use super::fault::Fault;
use crate::{AttributeType, RecordId, StoreError};

const NONCE_LEN: usize = 12;
const KEY_LEN: usize = 32;
/// What a sealed blob is longer than its content: the nonce and the tag.
const OVERHEAD: usize = NONCE_LEN + 16;

const RECORD_KEY: &[u8] = b"trellis record key 1";
const INDEX_KEY: &[u8] = b"trellis index key 1";
const BLOB: &[u8] = b"trellis record 1";
/// Which part of a record a blob is: this, or the [`SecretKind`].
const ATTRIBUTES: u8 = 0;
/// An intent is sealed as a record of its own would be whose one part this is.
const INTENT: u8 = 4;

/// A label or an id as the index keeps it.
pub(super) type Tag = [u8; 16];

/// The random key that everything private is sealed under.
#[derive(Debug, Clone)]
pub(crate) struct TokenKey(SecretBytes);

impl TokenKey {
    pub(crate) const LEN: usize = KEY_LEN;

    pub(crate) fn generate() -> Result<Self, StoreError> {
        Ok(Self(random::secret(KEY_LEN)?))
    }

    pub(crate) fn new(bytes: SecretBytes) -> Self {
        Self(bytes)
    }

    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

/// What a secret is, as the `secret_kind` column has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecretKind {
    /// PKCS#8 in DER.
    Private = 1,
    /// The bytes themselves.
    Secret = 2,
    /// Where the key is in a device that it does not leave.
    Device = 3,
}

impl SecretKind {
    /// The inverse of [`SecretKind::from_column`].
    pub(super) fn column(kind: Option<Self>) -> u8 {
        kind.map_or(0, |kind| kind as u8)
    }

    /// `None` for a record without a secret.
    pub(super) fn from_column(column: i64) -> Result<Option<Self>, Fault> {
        Ok(match column {
            0 => None,
            1 => Some(Self::Private),
            2 => Some(Self::Secret),
            3 => Some(Self::Device),
            _ => return Err(StoreError::Damaged("a record has an unknown kind of secret".into()).into()),
        })
    }
}

/// Where a blob belongs. It opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) id: RecordId,
    pub(super) version: u64,
}

/// The keys under which one token's records are sealed.
#[derive(Debug)]
pub(super) struct RecordKeys {
    token_id: [u8; 16],
    token_key: TokenKey,
    index_key: SecretBytes,
}

impl RecordKeys {
    pub(super) fn new(token_id: [u8; 16], token_key: TokenKey) -> Result<Self, StoreError> {
        let index_key = derive(&token_key, INDEX_KEY, &[])?;
        Ok(Self { token_id, token_key, index_key })
    }

    /// Seals attributes together with what kind of secret, if any, belongs to them.
    pub(super) fn seal_attributes(
        &self,
        place: Place,
        kind: Option<SecretKind>,
        plain: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        self.seal(place, &self.context(place, ATTRIBUTES, &[SecretKind::column(kind)]), plain)
    }

    pub(super) fn open_attributes(
        &self,
        place: Place,
        kind: Option<SecretKind>,
        blob: &[u8],
    ) -> Result<SecretBytes, Fault> {
        self.open(place, &self.context(place, ATTRIBUTES, &[SecretKind::column(kind)]), blob)
    }

    /// Seals a secret so that it opens only beside exactly these attributes, as they stand in the row, sealed or not: no
    /// flag can be changed under it.
    pub(super) fn seal_secret(
        &self,
        place: Place,
        attributes: &[u8],
        kind: SecretKind,
        secret: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let beside = Hash::Sha256.digest(attributes)?;
        self.seal(place, &self.context(place, kind as u8, &beside), secret)
    }

    pub(super) fn open_secret(
        &self,
        place: Place,
        attributes: &[u8],
        kind: SecretKind,
        blob: &[u8],
    ) -> Result<SecretBytes, Fault> {
        let beside = Hash::Sha256.digest(attributes)?;
        self.open(place, &self.context(place, kind as u8, &beside), blob)
    }

    /// Seals an intent, which has an id of its own.
    pub(super) fn seal_intent(&self, id: RecordId, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let place = Place { id, version: 0 };
        self.seal(place, &self.context(place, INTENT, &[]), plain)
    }

    /// `None` where it is not one of this token's.
    pub(super) fn open_intent(&self, id: RecordId, blob: &[u8]) -> Result<Option<SecretBytes>, StoreError> {
        open(&self.record_key(id)?, &self.context(Place { id, version: 0 }, INTENT, &[]), blob)
    }

    /// The tag of a value in a private record: it tells whether two values are equal, to nobody without the key
    /// what they are.
    pub(super) fn tag(&self, kind: AttributeType, value: &[u8]) -> Result<Tag, StoreError> {
        let mut mac = Hmac::new(Hash::Sha256, &self.index_key)?;
        mac.update(&kind.to_be_bytes());
        mac.update(value);
        Ok(shorten(&mac.finish()?))
    }

    /// One key for each record, so that 96-bit random nonces last for 2^32 changes of one record rather than of
    /// the whole token.
    fn record_key(&self, id: RecordId) -> Result<SecretBytes, StoreError> {
        derive(&self.token_key, RECORD_KEY, &id.0)
    }

    fn context(&self, place: Place, part: u8, beside: &[u8]) -> Vec<u8> {
        [BLOB, &self.token_id, &place.id.0, &place.version.to_be_bytes(), &[part], beside].concat()
    }

    fn seal(&self, place: Place, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        seal(&self.record_key(place.id)?, context, plain)
    }

    fn open(&self, place: Place, context: &[u8], blob: &[u8]) -> Result<SecretBytes, Fault> {
        open(&self.record_key(place.id)?, context, blob)?.ok_or_else(|| {
            StoreError::Damaged(format!(
                "object {} was altered or does not belong to this token; restore a backup",
                place.id
            ))
            .into()
        })
    }
}

/// A fresh nonce, the ciphertext, the tag.
pub(crate) fn seal(key: &SecretBytes, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
    let nonce = random::array::<NONCE_LEN>()?;
    let mut blob = Vec::with_capacity(plain.len() + OVERHEAD);
    blob.extend(nonce);
    blob.extend(aes::seal(key, &nonce, context, plain)?);
    Ok(blob)
}

/// The inverse of [`seal`]; `None` when the key, the context or the blob is another.
pub(crate) fn open(
    key: &SecretBytes,
    context: &[u8],
    blob: &[u8],
) -> Result<Option<SecretBytes>, StoreError> {
    let Some((nonce, sealed)) = blob.split_first_chunk::<NONCE_LEN>() else { return Ok(None) };
    match aes::open(key, nonce, context, sealed) {
        Ok(plain) => Ok(Some(plain)),
        Err(algorithms::Error::EngineFailed) => Err(algorithms::Error::EngineFailed.into()),
        Err(_) => Ok(None),
    }
}

/// The tag of a value in a public record.
pub(super) fn public_tag(kind: AttributeType, value: &[u8]) -> Result<Tag, StoreError> {
    Ok(shorten(&Hash::Sha256.digest(&[&kind.to_be_bytes(), value].concat())?))
}

pub(crate) fn derive(key: &TokenKey, purpose: &[u8], what: &[u8]) -> Result<SecretBytes, StoreError> {
    let mut mac = Hmac::new(Hash::Sha256, &key.0)?;
    mac.update(purpose);
    mac.update(what);
    let derived = zeroize::Zeroizing::new(mac.finish()?);
    Ok(SecretBytes::new(&derived))
}

fn shorten(hash: &[u8]) -> Tag {
    *hash.first_chunk().expect("SHA-256 gives 32 bytes")
}
