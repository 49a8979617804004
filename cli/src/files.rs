//! Files and standard streams: the input that is signed, key files, and results.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::secret::Secret;

/// What is read at a time, and handed to the token at a time.
const CHUNK: usize = 256 * 1024;

/// The most that is held in memory for a token that takes a message only as a whole.
const LARGEST_WHOLE: u64 = 1 << 30;

/// Keys, certificates and signatures are smaller than this.
const LARGEST_KEY_FILE: usize = 64 * 1024;

/// And a file of many keys and certificates than this.
const LARGEST_FILE_OF_KEYS: u64 = 16 << 20;

/// Progress is shown for inputs from this size on.
const LARGE: u64 = 64 << 20;

/// The message: a file, or standard input as `-`.
pub(crate) struct Input {
    reader: Box<dyn Read>,
    path: PathBuf,
    size: Option<u64>,
    seen: u64,
    ended: bool,
    progress: bool,
}

impl Input {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (reader, size): (Box<dyn Read>, _) = if is_dash(path) {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path).map_err(|error| Error::io("read", path, &error))?;
            let metadata = file.metadata().map_err(|error| Error::io("read", path, &error))?;
            let size = metadata.is_file().then_some(metadata.len());
            (Box::new(file), size)
        };
        let progress = io::stderr().is_terminal();
        Ok(Self { reader, path: path.to_owned(), size, seen: 0, ended: false, progress })
    }

    /// A message that is in memory.
    pub(crate) fn of(message: &[u8]) -> Self {
        let reader = Box::new(io::Cursor::new(message.to_vec()));
        let path = PathBuf::from("the message");
        Self { reader, path, size: None, seen: 0, ended: false, progress: false }
    }

    /// The next part; empty at the end. All parts but the last have the same length.
    pub(crate) fn part(&mut self) -> Result<Vec<u8>> {
        let mut part = Vec::with_capacity(CHUNK);
        self.read_into(&mut part, CHUNK as u64)?;
        Ok(part)
    }

    /// Whether the last part has been given out.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// What is left, after `begun`, as one piece.
    pub(crate) fn whole(&mut self, begun: Vec<u8>) -> Result<Vec<u8>> {
        let mut whole = begun;
        self.read_into(&mut whole, LARGEST_WHOLE)?;
        if !self.ended {
            return Err(Error::unsupported(format!(
                "the token takes a message of this kind only in one piece, and {} is longer than 1 GiB",
                self.path.display()
            ))
            .remedy("sign with --hash sha512 (Ed25519ph, HashML-DSA), or sign a digest of the file"));
        }
        Ok(whole)
    }

    fn read_into(&mut self, part: &mut Vec<u8>, limit: u64) -> Result<()> {
        let count = (&mut self.reader).take(limit).read_to_end(part);
        let count = count.map_err(|error| Error::io("read", &self.path, &error))? as u64;
        self.ended = count < limit;
        self.show(count);
        self.seen += count;
        Ok(())
    }

    fn show(&self, count: u64) {
        if !self.progress || self.size.is_some_and(|size| size < LARGE) {
            return;
        }
        let (before, after) = (self.seen / LARGE, (self.seen + count) / LARGE);
        if before == after {
            return;
        }
        let read = mebibytes(self.seen + count);
        let line = match self.size {
            Some(size) => format!("\r{read} of {} MiB ", mebibytes(size)),
            None => format!("\r{read} MiB "),
        };
        // Progress is a courtesy: a closed standard error is no reason to stop.
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if self.progress && self.seen >= LARGE && self.size.is_none_or(|size| size >= LARGE) {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

/// A key, certificate or signature file.
pub(crate) fn read_small(path: &Path) -> Result<Secret> {
    let read = match is_dash(path) {
        true => Secret::read(io::stdin().lock(), LARGEST_KEY_FILE),
        false => File::open(path).and_then(|file| Secret::read(file, LARGEST_KEY_FILE)),
    };
    let secret = read.map_err(|error| Error::io("read", path, &error))?;
    secret.ok_or_else(|| too_large(path))
}

/// A file that may hold many keys and certificates.
pub(crate) fn read_many(path: &Path) -> Result<Secret> {
    let read = |file: File| {
        let metadata = file.metadata()?;
        // The buffer is wiped whole, so it is no larger than it must be. A pipe does not tell its length.
        let limit = if metadata.is_file() { metadata.len() } else { LARGEST_KEY_FILE as u64 };
        match usize::try_from(limit) {
            Ok(limit_here) if limit <= LARGEST_FILE_OF_KEYS => Secret::read(file, limit_here),
            _ => Ok(None),
        }
    };
    let secret = File::open(path).and_then(read).map_err(|error| Error::io("read", path, &error))?;
    secret.ok_or_else(|| too_large(path))
}

fn too_large(path: &Path) -> Error {
    Error::format(format!("{} is too large for a file of its kind", path.display()))
        .remedy("check that it is the right file")
}

/// Writes a result to a file, whole or not at all, or to standard output when `path` is `None` or `-`.
pub(crate) fn write_result(path: Option<&Path>, bytes: &[u8]) -> Result<()> {
    match path.filter(|path| !is_dash(path)) {
        Some(path) => write_file(path, bytes).map_err(|error| Error::io("write", path, &error)),
        None => print(bytes),
    }
}

/// Writes to standard output. A reader that has left early (`| head`) is no failure.
pub(crate) fn print(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("write to", Path::new("standard output"), &error))
        }
        _ => Ok(()),
    }
}

pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// A regular file is replaced by a finished one; a device or pipe is written to.
fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return OpenOptions::new().write(true).open(path)?.write_all(bytes);
    }
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let mut unfinished = name.to_owned();
    unfinished.push(format!(".{}.tmp", std::process::id()));
    let unfinished = path.with_file_name(unfinished);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o666).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    })();
    if written.is_err() {
        // Best effort: the first error is the one to report.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

fn mebibytes(bytes: u64) -> u64 {
    bytes >> 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_the_end_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("message");
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            fs::write(&path, vec![7; length]).unwrap();
            let mut input = Input::open(&path).unwrap();
            let mut total = 0;
            while !input.ended() {
                total += input.part().unwrap().len();
            }
            assert_eq!(total, length);
            let mut input = Input::open(&path).unwrap();
            let first = input.part().unwrap();
            if !input.ended() {
                assert_eq!(input.whole(first).unwrap().len(), length);
            }
        }
    }

    #[test]
    fn a_result_replaces_a_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        fs::write(&path, b"old and longer").unwrap();
        write_result(Some(&path), b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_result(Some(&folder.path().join("no/such/folder")), b"new").is_err());
    }
}
