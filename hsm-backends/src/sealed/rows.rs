//! Records as rows: sealing and opening them, and the index columns by which they are found.

use cryptoki_sys as ck;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, Transaction, params_from_iter};

use super::{
    fault::Fault,
    seal::{Place, RecordKeys, SecretKind, Tag, public_tag},
};
use crate::{Attributes, Change, NewSecret, Record, RecordId, SecretPart, StoreError, Value};

/// One row as read, its attributes still encoded and perhaps sealed.
#[derive(Debug)]
pub(super) struct RawRow {
    /// Which of two records was made first.
    pub(super) seq: i64,
    pub(super) id: RecordId,
    pub(super) version: u64,
    pub(super) private: bool,
    attributes: Vec<u8>,
    secret_kind: i64,
}

impl RawRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            id: RecordId(row.get(1)?),
            version: version_column(row, 2)?,
            private: row.get(3)?,
            attributes: row.get(4)?,
            secret_kind: row.get(5)?,
        })
    }

    /// The record in clear. A private row needs the keys.
    pub(super) fn open(self, keys: Option<&RecordKeys>) -> Result<Record, Fault> {
        let place = Place { id: self.id, version: self.version };
        let kind = SecretKind::from_column(self.secret_kind)?;
        let decoded = match (self.private, keys) {
            (false, _) => Attributes::decode(&self.attributes),
            (true, Some(keys)) => {
                Attributes::decode(keys.open_attributes(place, kind, &self.attributes)?.expose())
            }
            (true, None) => return Err(StoreError::NotFound.into()),
        };
        match decoded {
            Ok(attributes) if attributes.flag(ck::CKA_PRIVATE) == self.private => {
                Ok(Record { id: self.id, version: self.version, attributes, has_secret: kind.is_some() })
            }
            _ => Err(altered(self.id).into()),
        }
    }
}

fn altered(id: RecordId) -> StoreError {
    StoreError::Damaged(format!("object {id} was altered; restore a backup"))
}

/// Versions count from 1; a negative one is none of ours.
fn version_column(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let version: i64 = row.get(column)?;
    u64::try_from(version).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, version))
}

/// The row of an id.
pub(super) fn by_id(sql: &Connection, id: RecordId) -> Result<Option<RawRow>, Fault> {
    let mut statement = sql.prepare_cached(
        "SELECT seq, id, version, private, attributes, secret_kind FROM record WHERE id = ?1",
    )?;
    Ok(statement.query_row([id.0], RawRow::read).optional()?)
}

/// The version of an id.
pub(super) fn version(sql: &Connection, id: RecordId) -> Result<Option<u64>, Fault> {
    let mut statement = sql.prepare_cached("SELECT version FROM record WHERE id = ?1")?;
    Ok(statement.query_row([id.0], |row| version_column(row, 0)).optional()?)
}

/// The secret of an id, opened.
pub(super) fn secret(
    sql: &Connection,
    id: RecordId,
    keys: &RecordKeys,
) -> Result<Option<(u64, SecretKind, algorithms::SecretBytes)>, Fault> {
    let mut statement =
        sql.prepare_cached("SELECT version, attributes, secret_kind, secret FROM record WHERE id = ?1")?;
    let mut rows = statement.query([id.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (version, attributes): (u64, Vec<u8>) = (version_column(row, 0)?, row.get(1)?);
    let (kind, secret): (i64, Option<Vec<u8>>) = (row.get(2)?, row.get(3)?);
    let Some(kind) = SecretKind::from_column(kind)? else { return Ok(None) };
    let secret = secret.ok_or_else(|| altered(id))?;
    let opened = keys.open_secret(Place { id, version }, &attributes, kind, &secret)?;
    Ok(Some((version, kind, opened)))
}

/// The record whose key in a device has a locator that begins so, and the whole locator.
pub(super) fn of_locator(
    sql: &Connection,
    locator: &[u8],
    keys: &RecordKeys,
) -> Result<Option<(Record, Vec<u8>)>, Fault> {
    let mut statement = sql.prepare_cached("SELECT id FROM record WHERE secret_kind = ?1")?;
    let ids: Vec<[u8; 16]> = statement
        .query_map([SecretKind::column(Some(SecretKind::Device))], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in ids.into_iter().map(RecordId) {
        let Some((_, _, whole)) = secret(sql, id, keys)? else { continue };
        if whole.expose().starts_with(locator) {
            let row = by_id(sql, id)?.ok_or(StoreError::NotFound)?;
            return Ok(Some((row.open(Some(keys))?, whole.expose().to_vec())));
        }
    }
    Ok(None)
}

/// The rows that can match a template, in no order: exact for the indexed attributes, and the rest is for
/// [`Attributes::matches`].
pub(super) fn candidates(
    sql: &Connection,
    template: &Attributes,
    keys: Option<&RecordKeys>,
    mut each: impl FnMut(RawRow) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let Some((text, values)) = query(template, keys)? else { return Ok(()) };
    let mut statement = sql.prepare_cached(&text)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        each(RawRow::read(row)?)?;
    }
    Ok(())
}

type Query = (String, Vec<Box<dyn ToSql>>);

fn query(template: &Attributes, keys: Option<&RecordKeys>) -> Result<Option<Query>, StoreError> {
    let mut conditions: Vec<&str> = Vec::new();
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    if keys.is_none() {
        conditions.push("private = 0");
    }
    if let Some(value) = template.value(ck::CKA_UNIQUE_ID) {
        let Value::Bytes(unique_id) = value else { return Ok(None) };
        let Some(id) = RecordId::from_unique_id(unique_id) else { return Ok(None) };
        conditions.push("id = ?");
        values.push(Box::new(id.0));
    }
    // Clients ask for a label or id together with class and type, which thousands of objects share. Without
    // statistics SQLite would take the index of those two; a plus keeps it from that.
    let selective = template.contains(ck::CKA_UNIQUE_ID)
        || [ck::CKA_LABEL, ck::CKA_ID].iter().any(|kind| template.bytes(*kind).is_some());
    for (kind, indexed, plain) in
        [(ck::CKA_CLASS, "class = ?", "+class = ?"), (ck::CKA_KEY_TYPE, "key_type = ?", "+key_type = ?")]
    {
        if let Some(number) = template.ulong(kind) {
            conditions.push(if selective { plain } else { indexed });
            values.push(Box::new(number.cast_signed()));
        }
    }
    for (kind, condition) in [(ck::CKA_LABEL, "label IN (?, ?)"), (ck::CKA_ID, "key_id IN (?, ?)")] {
        if let Some(value) = template.bytes(kind) {
            conditions.push(condition);
            let public = public_tag(kind, value)?;
            values.push(Box::new(public));
            values.push(Box::new(keys.map_or(Ok(public), |keys| keys.tag(kind, value))?));
        }
    }
    let filter = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
    Ok(Some((
        format!("SELECT seq, id, version, private, attributes, secret_kind FROM record WHERE {filter}"),
        values,
    )))
}

/// Makes one change. The caller's transaction makes all of them or none.
pub(super) fn apply(
    transaction: &Transaction<'_>,
    change: &Change,
    keys: Option<&RecordKeys>,
) -> Result<(), Fault> {
    match change {
        Change::Create { id, attributes, secret } => {
            let secret = secret.as_ref().map(secret_of).transpose()?;
            let secret = secret.as_ref().map(|(kind, bytes)| (*kind, bytes.expose()));
            write(transaction, Place { id: *id, version: 1 }, attributes, secret, keys, INSERT)
        }
        Change::Update { id, version: expected, attributes } => {
            let row = by_id(transaction, *id)?.ok_or(StoreError::NotFound)?;
            if row.private && keys.is_none() {
                return Err(StoreError::NotFound.into());
            }
            // The secret is bound to the attributes, so new ones need the keys, even where all may read them.
            if row.secret_kind != 0 && keys.is_none() {
                return Err(StoreError::Unsupported.into());
            }
            if row.version != *expected {
                return Err(StoreError::Changed.into());
            }
            if row.private != attributes.flag(ck::CKA_PRIVATE) {
                return Err(StoreError::Unsupported.into());
            }
            // Opened although it stays what it is: what was altered is found out, not sealed anew.
            let secret = match keys {
                Some(keys) => {
                    row.open(Some(keys))?;
                    secret(transaction, *id, keys)?
                }
                None => None,
            };
            let secret = secret.as_ref().map(|(_, kind, bytes)| (*kind, bytes.expose()));
            write(transaction, Place { id: *id, version: expected + 1 }, attributes, secret, keys, UPDATE)
        }
        Change::Destroy { id } => {
            let row = by_id(transaction, *id)?.ok_or(StoreError::NotFound)?;
            if row.private && keys.is_none() {
                return Err(StoreError::NotFound.into());
            }
            transaction.prepare_cached("DELETE FROM record WHERE id = ?1")?.execute([id.0])?;
            Ok(())
        }
    }
}

const INSERT: &str = "INSERT INTO record (id, version, private, class, key_type, label, key_id, attributes, \
     secret_kind, secret) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
const UPDATE: &str = "UPDATE record SET version = ?2, private = ?3, class = ?4, key_type = ?5, label = ?6, \
     key_id = ?7, attributes = ?8, secret_kind = ?9, secret = ?10 WHERE id = ?1";

fn write(
    transaction: &Transaction<'_>,
    place: Place,
    attributes: &Attributes,
    secret: Option<(SecretKind, &[u8])>,
    keys: Option<&RecordKeys>,
    statement: &str,
) -> Result<(), Fault> {
    let private = attributes.flag(ck::CKA_PRIVATE);
    let encoded = attributes.encode().map_err(|_| algorithms::Error::InputLength)?;
    let attributes_blob = match keys {
        _ if !private => encoded.to_vec(),
        Some(keys) => keys.seal_attributes(place, secret.map(|(kind, _)| kind), &encoded)?,
        None => return Err(StoreError::Unsupported.into()),
    };
    let secret_blob = match (secret, keys) {
        (None, _) => None,
        (Some((kind, bytes)), Some(keys)) => Some(keys.seal_secret(place, &attributes_blob, kind, bytes)?),
        (Some(_), None) => return Err(StoreError::Unsupported.into()),
    };
    let tag = |kind| -> Result<Option<Tag>, StoreError> {
        let Some(value) = attributes.bytes(kind) else { return Ok(None) };
        match keys {
            Some(keys) if private => keys.tag(kind, value).map(Some),
            _ => public_tag(kind, value).map(Some),
        }
    };
    transaction.prepare_cached(statement)?.execute(rusqlite::params![
        place.id.0,
        i64::try_from(place.version).map_err(|_| altered(place.id))?,
        private,
        attributes.ulong(ck::CKA_CLASS).map(u64::cast_signed),
        attributes.ulong(ck::CKA_KEY_TYPE).map(u64::cast_signed),
        tag(ck::CKA_LABEL)?,
        tag(ck::CKA_ID)?,
        attributes_blob,
        SecretKind::column(secret.map(|(kind, _)| kind)),
        secret_blob,
    ])?;
    Ok(())
}

/// A new secret as it is sealed.
fn secret_of(secret: &NewSecret) -> Result<(SecretKind, algorithms::SecretBytes), StoreError> {
    match secret {
        NewSecret::Secret(key) => Ok((SecretKind::Secret, key.bytes().clone())),
        NewSecret::Private(key) if let Some(device) = key.device_key() => {
            // A second record of one key would destroy it for both.
            if !device.is_unfinished() {
                return Err(StoreError::Unsupported);
            }
            Ok((SecretKind::Device, algorithms::SecretBytes::new(device.locator())))
        }
        NewSecret::Private(key) => {
            // A key that does not leave its device cannot be kept here.
            let bytes = key.secret_part(SecretPart::Pkcs8)?.ok_or(StoreError::Unsupported)?;
            Ok((SecretKind::Private, bytes))
        }
    }
}

/// Seals everything that is sealed under another token key, at the versions that it has.
pub(super) fn reseal(transaction: &Transaction<'_>, from: &RecordKeys, to: &RecordKeys) -> Result<(), Fault> {
    let ids: Vec<[u8; 16]> = transaction
        .prepare("SELECT id FROM record WHERE private = 1 OR secret_kind <> 0")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in ids.into_iter().map(RecordId) {
        let row = by_id(transaction, id)?.ok_or(StoreError::NotFound)?;
        let secret = secret(transaction, id, from)?;
        let place = Place { id, version: row.version };
        let record = row.open(Some(from))?;
        let secret = secret.as_ref().map(|(_, kind, bytes)| (*kind, bytes.expose()));
        write(transaction, place, &record.attributes, secret, Some(to), UPDATE)?;
    }
    Ok(())
}

/// Whether every row is well formed: what can be told without a PIN.
pub(super) fn check_all(sql: &Connection) -> Result<(), Fault> {
    let mut statement =
        sql.prepare("SELECT seq, id, version, private, attributes, secret_kind, secret FROM record")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let raw = RawRow::read(row)?;
        let secret: Option<Vec<u8>> = row.get(6)?;
        let kind = SecretKind::from_column(raw.secret_kind)?;
        if kind.is_some() != secret.is_some() {
            return Err(altered(raw.id).into());
        }
        if !raw.private {
            raw.open(None)?;
        }
    }
    Ok(())
}
