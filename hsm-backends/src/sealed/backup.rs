//! A whole token in one encrypted file, and back. docs/formats.md gives the layout.
//!
//! The content is the database itself, whose private records stay sealed under the token key; the passphrase protects
//! what is not sealed and, above all, shows that every byte is as it was written.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use algorithms::{SecretBytes, aes, random};
use rusqlite::Connection;
use rustix::fs::{CWD, RenameFlags};

use super::{
    cost::Cost,
    fault::{Fault, io_error},
    files::{new_private, sync_directory},
    keeper::Keeper,
    pins::PinRow,
    pool::{Call, SqlPath},
    rows, schema,
    token::{self, Token},
};
use crate::{Pin, Role, StoreError};

const MAGIC: &[u8; 16] = b"trellis backup 2";
const SALT_LEN: usize = 16;
const HEAD_LEN: usize = MAGIC.len() + 12 + SALT_LEN;
/// What stands in a nonce's last byte: of a chunk, of the last chunk, and of the check in front of them.
const MORE: u8 = 0;
const LAST: u8 = 1;
const CHECK: u8 = 2;
/// Plain bytes in each chunk but the last.
const CHUNK_LEN: usize = 64 << 10;
const TAG_LEN: usize = 16;

const EINVAL: i32 = rustix::io::Errno::INVAL.raw_os_error();
const ENOSYS: i32 = rustix::io::Errno::NOSYS.raw_os_error();

/// Writes a new file; an existing one is left alone.
pub(super) fn write(
    call: &mut Call<'_>,
    keeper: &impl Keeper,
    path: &Path,
    passphrase: &Pin,
) -> Result<(), StoreError> {
    if path.symlink_metadata().is_ok() {
        return Err(StoreError::Backup(format!("{} exists already; name another file", path.display())));
    }
    call.files().check()?.ok_or(StoreError::TokenNotInitialized)?;
    let copy = {
        let _lock = call.files().lock_for_login()?;
        let scratch = call.files().scratch()?;
        call.read(|sql| Ok(sql.execute("VACUUM INTO ?1", [SqlPath(scratch.path())]).map(drop)?))?;
        // A backup that restore would refuse is worse than none.
        verify(scratch.path(), keeper).map_err(|fault| fault.into_store_error(call.files()))?;
        scratch
    };
    let partial = Partial::create(path)?;
    let failed = |error: &io::Error| file_error("write", path, error);
    let unread = |error: &io::Error| io_error("read", copy.path(), error);
    let head = head(Cost::usual())?;
    let mut sealer = Chunks::new(&head, passphrase)?;
    let mut input = BufReader::new(File::open(copy.path()).map_err(|error| unread(&error))?);
    let mut output = BufWriter::new(&partial.file);
    output.write_all(&head).map_err(|error| failed(&error))?;
    output.write_all(&sealer.check()?).map_err(|error| failed(&error))?;
    let mut chunk = next_chunk(&mut input, CHUNK_LEN).map_err(|error| unread(&error))?;
    loop {
        let next = next_chunk(&mut input, CHUNK_LEN).map_err(|error| unread(&error))?;
        output.write_all(&sealer.seal(&chunk, next.is_empty())?).map_err(|error| failed(&error))?;
        if next.is_empty() {
            break;
        }
        chunk = next;
    }
    output.flush().map_err(|error| failed(&error))?;
    drop(output);
    partial.finish(path)
}

/// Verifies a backup whole, and only then lets it take the token's place.
pub(super) fn restore(
    call: &mut Call<'_>,
    keeper: &impl Keeper,
    path: &Path,
    passphrase: &Pin,
    replace: bool,
) -> Result<(), StoreError> {
    let occupied = |call: &Call<'_>| match call.files().check()? {
        Some(_) if !replace => Err(StoreError::ReadOnly),
        found => Ok(found.is_some()),
    };
    occupied(call)?;
    call.files().create_directory()?;
    let _lock = call.files().lock_for_login()?;
    // Another process may have made a token while this one waited.
    let initialized = occupied(call)?;
    let scratch = call.files().scratch()?;
    decrypt(path, passphrase, scratch.path())?;
    let restored =
        verify(scratch.path(), keeper).map_err(|fault| match fault.into_store_error(call.files()) {
            StoreError::Damaged(what) => StoreError::Backup(format!(
                "the backup {} is damaged: {}; use another copy of the backup",
                path.display(),
                what.trim_end_matches("; restore a backup")
            )),
            StoreError::NewerFormat => StoreError::Backup(format!(
                "the backup {} was made by a newer version; restore it with that version",
                path.display()
            )),
            other => other,
        })?;
    if initialized {
        match call.attached(scratch.path(), |transaction| overwrite(transaction, &restored)) {
            Ok(()) => {
                call.empty_log();
                return Ok(());
            }
            // Nothing can be written into a token that is beyond repair; the backup takes its place.
            Err(StoreError::Damaged(_)) => call.disconnect(),
            Err(error) => return Err(error),
        }
    }
    prepare(scratch.path(), &restored).map_err(|fault| fault.into_store_error(call.files()))?;
    call.files().install(scratch)?;
    call.commit(token::advance)
}

/// Puts every row of the attached backup in place of the token's. Wrong tries that this token counted stay counted.
fn overwrite(transaction: &Connection, restored: &Token) -> Result<i64, Fault> {
    let current = token::load(transaction)?;
    let failures =
        |role| -> Result<u64, Fault> { Ok(PinRow::load(transaction, role)?.map_or(0, |row| row.failures())) };
    let before =
        [(Role::User, failures(Role::User)?), (Role::SecurityOfficer, failures(Role::SecurityOfficer)?)];
    transaction.execute_batch(
        "DELETE FROM main.record; DELETE FROM main.pin; DELETE FROM main.token; \
         INSERT INTO main.record SELECT * FROM backup.record ORDER BY seq; \
         INSERT INTO main.pin SELECT * FROM backup.pin;",
    )?;
    for (role, failures) in before {
        if current.token_id == restored.token_id
            && let Some(mut row) = PinRow::load(transaction, role)?
            && row.failures() < failures
        {
            row.started = row.cleared.saturating_add(failures.cast_signed());
            row.store(transaction, role)?;
        }
    }
    let mut token = restored.clone();
    token.moment.incarnation = random::array().map_err(StoreError::from)?;
    token.moment.generation = current.moment.generation.saturating_add(1);
    token::replace(transaction, &token)?;
    Ok(token.moment.generation)
}

/// Makes a verified backup ready to be the database of a directory that has none, or a damaged one.
fn prepare(path: &Path, restored: &Token) -> Result<(), Fault> {
    let sql = Connection::open(path)?;
    schema::configure(&sql)?;
    let mut token = restored.clone();
    token.moment.incarnation = random::array().map_err(StoreError::from)?;
    token.moment.generation = token::first_generation()?;
    token::replace(&sql, &token)?;
    schema::use_log(&sql)
}

/// Whether a scratch file is a whole token of this format: what can be told without a PIN. Of its user no more stays than
/// the keeper restores.
fn verify(path: &Path, keeper: &impl Keeper) -> Result<Token, Fault> {
    let sql = Connection::open(path)?;
    schema::configure(&sql)?;
    schema::check_file(&sql, path)?;
    let found: String = sql.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(StoreError::Damaged(found).into());
    }
    let token = token::load(&sql)?;
    let so = PinRow::load(&sql, Role::SecurityOfficer)?
        .ok_or_else(|| StoreError::Damaged("the SO's PIN is missing".into()))?;
    keeper.check(Role::SecurityOfficer, &so.wrapped)?;
    if let Some(mut user) = PinRow::load(&sql, Role::User)? {
        keeper.check(Role::User, &user.wrapped)?;
        user.wrapped = keeper.restored(&user.wrapped);
        user.store(&sql, Role::User)?;
    }
    schema::drop_intents(&sql)?;
    rows::check_all(&sql)?;
    Ok(token)
}

fn decrypt(path: &Path, passphrase: &Pin, to: &Path) -> Result<(), StoreError> {
    let failed = |error: &io::Error| file_error("read", path, error);
    let unwritten = |error: &io::Error| io_error("write", to, error);
    let damaged = |what: &str| StoreError::Backup(format!("{} {what}", path.display()));
    let cut =
        || damaged("is damaged or cut short, though the passphrase is right; use another copy of the backup");
    let mut input = BufReader::new(File::open(path).map_err(|error| failed(&error))?);
    let head = next_chunk(&mut input, HEAD_LEN + TAG_LEN).map_err(|error| failed(&error))?;
    if !head.starts_with(&MAGIC[..MAGIC.len() - 1]) {
        return Err(damaged(
            "is no backup of a Trellis token; name a file that `trellis token backup` has written",
        ));
    }
    if !head.starts_with(MAGIC) {
        return Err(damaged("is a backup of another format; restore it with the version that made it"));
    }
    let Some((head, check)) = head.split_first_chunk().filter(|(_, check)| check.len() == TAG_LEN) else {
        return Err(damaged("is cut short; use another copy of the backup"));
    };
    let mut opener = Chunks::new(head, passphrase)
        .map_err(|error| if let StoreError::Damaged(what) = error { damaged(&what) } else { error })?;
    if !opener.passes(check)? {
        return Err(StoreError::PinIncorrect);
    }
    let mut output = File::options().write(true).open(to).map_err(|error| unwritten(&error))?;
    let mut chunk = next_chunk(&mut input, CHUNK_LEN + TAG_LEN).map_err(|error| failed(&error))?;
    loop {
        let next = next_chunk(&mut input, CHUNK_LEN + TAG_LEN).map_err(|error| failed(&error))?;
        let plain = opener.open(&chunk, next.is_empty())?.ok_or_else(cut)?;
        output.write_all(plain.expose()).map_err(|error| unwritten(&error))?;
        if next.is_empty() {
            break;
        }
        chunk = next;
    }
    output.sync_all().map_err(|error| unwritten(&error))
}

/// An error of the backup file itself, which is not the store's.
fn file_error(doing: &str, path: &Path, error: &io::Error) -> StoreError {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full".to_owned(),
        io::ErrorKind::AlreadyExists => "it exists already".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    };
    StoreError::Backup(format!(
        "cannot {doing} {}: {why}; check the path, its folder and the disk",
        path.display()
    ))
}

fn head(cost: Cost) -> Result<[u8; HEAD_LEN], StoreError> {
    let mut head = [0; HEAD_LEN];
    head[..16].copy_from_slice(MAGIC);
    head[16..28].copy_from_slice(&cost.to_bytes());
    random::fill(&mut head[28..])?;
    Ok(head)
}

/// At most `len` bytes; fewer at the end only.
fn next_chunk(input: &mut impl Read, len: usize) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(len);
    input.take(len as u64).read_to_end(&mut chunk)?;
    Ok(chunk)
}

/// The chunks in order, each under the number that it has and a mark on the last: none can be moved, dropped or
/// added. In front of them stands a check, the seal of nothing, which tells a wrong passphrase from a damaged chunk.
struct Chunks {
    key: SecretBytes,
    head: [u8; HEAD_LEN],
    number: u64,
}

impl Chunks {
    fn new(head: &[u8; HEAD_LEN], passphrase: &Pin) -> Result<Self, StoreError> {
        let cost = head[16..28].try_into().ok().and_then(Cost::from_bytes);
        let cost = cost.ok_or_else(|| StoreError::Damaged("asks for an absurd amount of work".into()))?;
        Ok(Self { key: cost.stretch(passphrase, &head[28..])?, head: *head, number: 0 })
    }

    fn check(&self) -> Result<Vec<u8>, StoreError> {
        Ok(aes::seal(&self.key, &nonce(0, CHECK), &self.head, &[])?)
    }

    /// Whether the passphrase is the backup's.
    fn passes(&self, check: &[u8]) -> Result<bool, StoreError> {
        Ok(self.unsealed(&nonce(0, CHECK), check)?.is_some())
    }

    fn seal(&mut self, plain: &[u8], last: bool) -> Result<Vec<u8>, StoreError> {
        let nonce = self.next_nonce(last);
        Ok(aes::seal(&self.key, &nonce, &self.head, plain)?)
    }

    fn open(&mut self, sealed: &[u8], last: bool) -> Result<Option<SecretBytes>, StoreError> {
        let nonce = self.next_nonce(last);
        self.unsealed(&nonce, sealed)
    }

    fn unsealed(&self, nonce: &[u8; 12], sealed: &[u8]) -> Result<Option<SecretBytes>, StoreError> {
        match aes::open(&self.key, nonce, &self.head, sealed) {
            Ok(plain) => Ok(Some(plain)),
            Err(algorithms::Error::EngineFailed) => Err(algorithms::Error::EngineFailed.into()),
            Err(_) => Ok(None),
        }
    }

    fn next_nonce(&mut self, last: bool) -> [u8; 12] {
        let number = self.number;
        self.number += 1;
        nonce(number, if last { LAST } else { MORE })
    }
}

fn nonce(number: u64, kind: u8) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&number.to_be_bytes());
    nonce[11] = kind;
    nonce
}

/// A file in the making beside its final name.
struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    fn create(target: &Path) -> Result<Self, StoreError> {
        let mut name = target.as_os_str().to_owned();
        name.push(format!(".part-{:08x}", u32::from_be_bytes(random::array()?)));
        let path = PathBuf::from(name);
        let file = new_private(&path).map_err(|error| file_error("write", target, &error))?;
        Ok(Self { path, file })
    }

    fn finish(self, target: &Path) -> Result<(), StoreError> {
        let failed = |error: &io::Error| file_error("write", target, error);
        self.file.sync_all().map_err(|error| failed(&error))?;
        // Neither replaces a file that has taken the name meanwhile. Not every file system can do both.
        let renamed = rustix::fs::renameat_with(CWD, &self.path, CWD, target, RenameFlags::NOREPLACE);
        match renamed.map_err(io::Error::from) {
            Err(error) if matches!(error.raw_os_error(), Some(EINVAL | ENOSYS)) => {
                std::fs::hard_link(&self.path, target)
            }
            renamed => renamed,
        }
        .map_err(|error| failed(&error))?;
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_directory(parent.unwrap_or(Path::new(".")))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
