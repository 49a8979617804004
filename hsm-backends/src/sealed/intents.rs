//! What a device is about to be asked for, on record before it is: a key that is to be made, renamed or destroyed there.
//!
//! Records and device are not changed in one step, and a process may be killed between the two. So a row says of which
//! key they may not agree until they do. Whoever comes next settles the rows of processes that are dead: a key that a record
//! names follows its record, one that no record names is destroyed. docs/formats.md describes the table.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{
    fault::Fault,
    keeper::{Keeper, Settled},
    pool::Pool,
    room::{Keys, Room},
    rows, schema,
    seal::RecordKeys,
    snapshot::Snapshot,
    token::{self, Name},
};
use crate::{Record, RecordId, StoreError, encoding::Input};

/// How many seconds after its process was found dead a device may still do what it was asked for: longer than an HSM takes for
/// an RSA key.
const LATE: i64 = 600;

/// A key of a device, as far as it can be told; or whatever else a keeper names so and destroys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AtDevice {
    /// Its locator; of a key that was not made yet, as much as was known before: no two keys begin alike.
    pub(crate) locator: Vec<u8>,
    /// The names that it has in the device.
    pub(crate) label: Vec<u8>,
    /// Empty where its object has none.
    pub(crate) id: Vec<u8>,
}

impl AtDevice {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [&self.locator, &self.label] {
            // No list of attributes is longer than 16 MiB.
            bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend(part);
        }
        bytes.extend(&self.id);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        let mut input = Input(bytes);
        let mut part = || {
            let len = u32::from_be_bytes(input.array()?);
            input.take(len as usize).map(<[u8]>::to_vec)
        };
        let (locator, label) = (part()?, part()?);
        Ok(Self { locator, label, id: input.rest().to_vec() })
    }
}

/// A key that records and device may not agree on, and that this process is at work on. Where that ends without
/// [`Intent::done`], the row stays for whoever comes next.
#[derive(Debug)]
pub(crate) struct Intent {
    pool: Arc<Pool>,
    id: RecordId,
    maker: Name,
    sealed: Vec<u8>,
}

impl Intent {
    pub(super) fn new(pool: &Arc<Pool>, room: &Room, key: &AtDevice) -> Result<Self, StoreError> {
        Self::under(pool, room.latest().records().ok_or(StoreError::Unsupported)?, key)
    }

    pub(super) fn under(pool: &Arc<Pool>, keys: &RecordKeys, key: &AtDevice) -> Result<Self, StoreError> {
        let id = RecordId::random()?;
        let sealed = keys.seal_intent(id, &key.to_bytes())?;
        let maker = pool.maker.enter(pool.files(), id)?.ok_or(StoreError::Busy)?;
        Ok(Self { pool: pool.clone(), id, maker, sealed })
    }

    /// Puts it on record; durable when this returns.
    pub(super) fn declare(&self, room: &Room) -> Result<(), StoreError> {
        self.pool.enter().write(|transaction| {
            keys(transaction, room)?;
            self.write(transaction)
        })
    }

    /// Puts it on record with whatever else a transaction does.
    pub(super) fn write(&self, transaction: &Transaction<'_>) -> Result<(), Fault> {
        schema::make_intents(transaction)?;
        transaction
            .prepare_cached("INSERT INTO intent (id, maker, sealed) VALUES (?1, ?2, ?3)")?
            .execute(params![self.id.0, self.maker, self.sealed])?;
        Ok(())
    }

    /// The device may do yet what it was asked for: somebody is to look again, after as long as that has lasted already.
    fn put_off(self, since: i64, now: i64) {
        let due = now + (now - since).clamp(1, LATE);
        let _ = self.pool.enter().write_lazily(|transaction| {
            transaction
                .prepare_cached("UPDATE intent SET since = ?1, due = ?2 WHERE id = ?3")?
                .execute(params![since, due, self.id.0])?;
            Ok(())
        });
    }

    /// Records and device agree. That this is noted may be lost, which costs whoever comes next a look at the device.
    pub(crate) fn done(self) {
        let _ = self.pool.enter().write_lazily(|transaction| {
            transaction.prepare_cached("DELETE FROM intent WHERE id = ?1")?.execute([self.id.0])?;
            Ok(())
        });
    }
}

impl Drop for Intent {
    fn drop(&mut self) {
        self.pool.maker.leave(self.id);
    }
}

/// The keys that somebody is at work on, or was when he died; and the moment that this is of.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) keys: Vec<AtDevice>,
    /// Grows with every change of a record.
    pub(crate) generation: i64,
}

pub(super) fn pending(pool: &Pool, room: &Room) -> Result<Pending, StoreError> {
    pool.enter().read(|sql| {
        let snapshot = Snapshot::of(sql)?;
        let generation = token::moment(&snapshot)?.generation;
        if !schema::has_intents(&snapshot)? {
            return Ok(Pending { keys: Vec::new(), generation });
        }
        let keys = keys(&snapshot, room)?;
        let mut statement = snapshot.prepare_cached("SELECT id, sealed FROM intent")?;
        let rows: Vec<(Name, Vec<u8>)> =
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        // What does not open is another token's.
        let open = |(id, sealed): &(Name, Vec<u8>)| open(&keys, RecordId(*id), sealed).ok().flatten();
        Ok(Pending { keys: rows.iter().filter_map(open).collect(), generation })
    })
}

/// Seals the intents of a token anew that another takes the place of: what they name is to go still. Nobody else's are
/// touched.
pub(super) fn carry_over(sql: &Connection, from: &RecordKeys, to: &RecordKeys) -> Result<(), Fault> {
    if !schema::has_intents(sql)? {
        return Ok(());
    }
    let mut statement = sql.prepare_cached("SELECT id, sealed FROM intent")?;
    let rows: Vec<(Name, Vec<u8>)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    for (id, sealed) in rows {
        let Some(opened) = from.open_intent(RecordId(id), &sealed)? else { continue };
        let sealed = to.seal_intent(RecordId(id), opened.expose())?;
        sql.prepare_cached("UPDATE intent SET sealed = ?1 WHERE id = ?2")?.execute(params![sealed, id])?;
    }
    Ok(())
}

/// Settles what processes that are dead have left; `now` is in seconds. What the device does not do now is left to the next
/// time.
pub(super) fn sweep(pool: &Arc<Pool>, room: &Room, keeper: &impl Keeper, now: i64) -> Result<(), StoreError> {
    let listed: Vec<(Name, Name, i64)> = pool.enter().read(|sql| {
        if !schema::has_intents(sql)? {
            return Ok(Vec::new());
        }
        // What is due later than it can be was put off by another clock.
        let mut statement = sql.prepare_cached(
            "SELECT id, maker, coalesce(min(since, ?1), ?1) FROM intent \
             WHERE due IS NULL OR due NOT BETWEEN ?1 + 1 AND ?1 + ?2",
        )?;
        let rows = statement.query_map([now, LATE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    })?;
    for (id, maker, since) in listed {
        let id = RecordId(id);
        if !pool.maker.is_given_up(pool.files(), maker, id)? {
            continue;
        }
        let Some(intent) = take_over(pool, id, maker)? else { continue };
        let settled = look(pool, room, keeper, &intent).and_then(|found| match &found {
            Some((key, Some((record, locator)))) => keeper.settle(key, Some((record, locator))),
            Some((key, None)) => keeper.settle(key, None),
            None => Ok(Settled::ForGood),
        });
        match settled {
            Ok(Settled::ForNow) if now - since < LATE => intent.put_off(since, now),
            Ok(_) => intent.done(),
            Err(away @ (StoreError::Absent(_) | StoreError::Removed(_))) => return Err(away),
            // It may be refused for ever, so not each login asks again.
            Err(_) => intent.put_off(since, now),
        }
    }
    Ok(())
}

/// Makes a dead process's intent this process's, unless somebody else was faster. It is a write also because of SQLite: what
/// a killed process has committed last may be in doubt until somebody writes.
fn take_over(pool: &Arc<Pool>, id: RecordId, dead: Name) -> Result<Option<Intent>, StoreError> {
    let Some(maker) = pool.maker.enter(pool.files(), id)? else { return Ok(None) };
    let mut intent = Intent { pool: pool.clone(), id, maker, sealed: Vec::new() };
    let sealed = pool.enter().write(|transaction| {
        let taken = transaction
            .prepare_cached("UPDATE intent SET maker = ?1 WHERE id = ?2 AND maker = ?3")?
            .execute(params![maker, id.0, dead])?;
        if taken == 0 {
            return Ok(None);
        }
        let mut statement = transaction.prepare_cached("SELECT sealed FROM intent WHERE id = ?1")?;
        Ok(statement.query_row([id.0], |row| row.get(0)).optional()?)
    })?;
    Ok(sealed.map(|sealed| {
        intent.sealed = sealed;
        intent
    }))
}

type Found = (AtDevice, Option<(Record, Vec<u8>)>);

/// An intent's key, and the record that names it with the whole locator. `None` where the intent does not open: it is another
/// token's, or somebody has made it up.
fn look(
    pool: &Pool,
    room: &Room,
    keeper: &impl Keeper,
    intent: &Intent,
) -> Result<Option<Found>, StoreError> {
    pool.enter().read(|sql| {
        let snapshot = Snapshot::of(sql)?;
        let keys = keys(&snapshot, room)?;
        let Some(key) = open(&keys, intent.id, &intent.sealed)? else { return Ok(None) };
        let record = match keeper.record_of(&key) {
            Some(id) => {
                let row = rows::by_id(&snapshot, id)?;
                let record = row.map(|row| row.open(Some(records(&keys)?))).transpose()?;
                record.map(|record| (record, key.locator.clone()))
            }
            None => rows::of_locator(&snapshot, &key.locator, records(&keys)?)?,
        };
        Ok(Some((key, record)))
    })
}

fn open(keys: &Keys, id: RecordId, sealed: &[u8]) -> Result<Option<AtDevice>, Fault> {
    let opened = records(keys)?.open_intent(id, sealed)?;
    opened.map(|bytes| AtDevice::from_bytes(bytes.expose())).transpose()
}

fn records(keys: &Keys) -> Result<&RecordKeys, Fault> {
    Ok(keys.records().ok_or(StoreError::Unsupported)?)
}

/// The login's keys, if this is still a token that it knows.
fn keys(sql: &Connection, room: &Room) -> Result<Arc<Keys>, Fault> {
    Ok(room.at(token::moment(sql)?.incarnation).ok_or(StoreError::TokenReplaced)?)
}
