//! The module's configuration file, as far as the command writes it: a new slot at its end. What stands there already
//! is left as it is, with its comments.

mod store;

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::write_result;

pub(crate) use store::StoreArgs;

/// The file that the module reads, or would.
#[derive(Debug)]
pub(crate) struct Configuration {
    path: PathBuf,
}

/// A slot that has been added. It goes again when this is dropped, unless it is kept.
#[derive(Debug)]
pub(crate) struct Added {
    pub(crate) id: u64,
    configuration: Configuration,
    /// The whole file before; `None` when there was none.
    before: Option<String>,
    /// And now; `None` when the slot is to stay.
    after: Option<String>,
}

impl Configuration {
    /// The file that TRELLIS_CONF names, else the one that the module finds, else the user's, which is not there yet.
    pub(crate) fn find() -> Result<Self> {
        let named = env::var_os("TRELLIS_CONF").filter(|value| !value.is_empty()).map(PathBuf::from);
        let path = named.or_else(default_file).or_else(users_file).ok_or_else(|| {
            Error::usage("there is no home directory for a configuration file")
                .remedy("name the file in TRELLIS_CONF")
        })?;
        Ok(Self { path })
    }

    /// Adds a slot. One that stands there already with the same lines is taken instead: it is left of a run that was
    /// stopped.
    pub(crate) fn add(&self, lines: &toml::Table) -> Result<Added> {
        make_folder(self.folder())?;
        let _lock = self.lock()?;
        let before = self.read()?;
        let text = before.clone().unwrap_or_default();
        let mut slots = slots(&text).map_err(|why| self.refuse(&why))?;
        let mut after = text;
        if slots.is_empty() {
            // Without any slot the module has this one, and shall not lose it.
            if let Some(path) = default_store().filter(|path| path.exists()) {
                let slot = toml::Table::from_iter([("path".to_owned(), text_of(&path)?.into())]);
                after = with(&after, &slot)?;
                slots.push((0, slot));
            }
        }
        let same = |slot: &toml::Table| {
            let mut slot = slot.clone();
            slot.remove("id");
            &slot == lines
        };
        let known = slots.iter().find(|(_, slot)| same(slot)).map(|(id, _)| *id);
        let id = known.unwrap_or_else(|| slots.iter().map(|(id, _)| id + 1).max().unwrap_or(0));
        if known.is_none() {
            let mut slot = lines.clone();
            slot.insert(
                "id".into(),
                i64::try_from(id).map_err(|_| self.refuse("an id is too large"))?.into(),
            );
            after = with(&after, &slot)?;
        }
        self.write(&after)?;
        let configuration = Self { path: self.path.clone() };
        Ok(Added { id, configuration, before, after: Some(after) })
    }

    fn folder(&self) -> &Path {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new("."))
    }

    /// Held from reading the file to writing it, so that of two commands none loses the other's slot.
    fn lock(&self) -> Result<File> {
        let lock = File::open(self.folder()).and_then(|folder| folder.lock().map(|()| folder));
        lock.map_err(|error| Error::io("lock", self.folder(), &error))
    }

    fn read(&self) -> Result<Option<String>> {
        match fs::read_to_string(&self.path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &self.path, &error)),
        }
    }

    /// Whole or not at all; the file keeps its permissions.
    fn write(&self, text: &str) -> Result<()> {
        let mode = fs::metadata(&self.path).ok().map(|metadata| metadata.mode());
        // Behind a link it is the file that changes.
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        write_result(Some(&path), text.as_bytes())?;
        let set = mode.map_or(Ok(()), |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)));
        set.map_err(|error| Error::io("set the permissions of", &path, &error))
    }

    fn refuse(&self, why: &str) -> Error {
        Error::format(format!("no slot can be added to {}: {why}", self.path.display()))
            .remedy("correct the file, or add the slot by hand")
    }
}

impl Added {
    /// The file that the slot stands in.
    pub(crate) fn file(&self) -> &Path {
        &self.configuration.path
    }

    /// The slot is to stay.
    pub(crate) fn keep(mut self) {
        self.after = None;
    }
}

impl Drop for Added {
    /// Takes the slot out, where nobody else has written the file since.
    fn drop(&mut self) {
        let Some(after) = self.after.take() else { return };
        let configuration = &self.configuration;
        let Ok(_lock) = configuration.lock() else { return };
        if !matches!(configuration.read(), Ok(Some(text)) if text == after) {
            return;
        }
        // Best effort: an error is being told already, and a slot without a token does no harm.
        let _ = match &self.before {
            Some(text) => configuration.write(text),
            None => fs::remove_file(&configuration.path)
                .map_err(|error| Error::io("remove", &configuration.path, &error)),
        };
    }
}

/// The file that the module reads when TRELLIS_CONF is not set.
pub(crate) fn default_file() -> Option<PathBuf> {
    [users_file(), Some("/etc/trellis/trellis.toml".into())].into_iter().flatten().find(|path| path.exists())
}

fn users_file() -> Option<PathBuf> {
    Some(of_user("XDG_CONFIG_HOME", ".config")?.join("trellis/trellis.toml"))
}

/// Where the stores of a user are.
fn stores() -> Option<PathBuf> {
    Some(of_user("XDG_DATA_HOME", ".local/share")?.join("trellis"))
}

fn default_store() -> Option<PathBuf> {
    Some(stores()?.join("default"))
}

fn of_user(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let named = env::var_os(variable).map(PathBuf::from).filter(absolute);
    named.or_else(|| Some(env::var_os("HOME").map(PathBuf::from).filter(absolute)?.join(below_home)))
}

fn make_folder(folder: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Error::io("make", folder, &error))
}

/// The slots of a file with their ids.
fn slots(text: &str) -> std::result::Result<Vec<(u64, toml::Table)>, String> {
    let file: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
    let slots = match file.get("slot") {
        None => return Ok(Vec::new()),
        Some(toml::Value::Array(slots)) if !text.contains("[[slot]]") && !slots.is_empty() => {
            return Err("its slots are not written as [[slot]]".into());
        }
        Some(toml::Value::Array(slots)) => slots,
        Some(_) => return Err("slot is no list".into()),
    };
    let slot = |(position, slot): (u64, &toml::Value)| {
        let slot = slot.as_table().ok_or("a slot is no table")?.clone();
        let id = slot.get("id").and_then(toml::Value::as_integer).and_then(|id| u64::try_from(id).ok());
        Ok((id.unwrap_or(position), slot))
    };
    (0..).zip(slots).map(slot).collect()
}

/// The text with a slot more.
fn with(text: &str, slot: &toml::Table) -> Result<String> {
    let file = toml::Table::from_iter([("slot".to_owned(), toml::Value::Array(vec![slot.clone().into()]))]);
    let slot = toml::to_string(&file).map_err(|error| Error::format(error.to_string()))?;
    let between = match text.chars().last() {
        None => "",
        Some('\n') => "\n",
        Some(_) => "\n\n",
    };
    Ok(format!("{text}{between}{slot}"))
}

fn text_of(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        Error::usage(format!("{} is not UTF-8, as a configuration file must be", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str) -> toml::Table {
        toml::Table::from_iter([("path".to_owned(), path.into())])
    }

    #[test]
    fn a_slot_comes_after_what_is_there_and_goes_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/trellis.toml");
        let configuration = Configuration { path: path.clone() };
        drop(configuration.add(&lines("/a")).unwrap());
        assert!(!path.exists());

        let old = "# mine\n[[slot]] # seven\nid = 7\npath = '/b'";
        fs::write(&path, old).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let added = configuration.add(&lines("/a")).unwrap();
        assert_eq!(added.id, 8);
        drop(added);
        assert_eq!(fs::read_to_string(&path).unwrap(), old);
        configuration.add(&lines("/a")).unwrap().keep();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(old) && text.contains("path = \"/a\""), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);

        // The same lines again are the same slot; one that was there is not taken out.
        let again = configuration.add(&lines("/a")).unwrap();
        assert_eq!(again.id, 8);
        drop(again);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        let other = configuration.add(&lines("/c")).unwrap();
        assert_eq!(other.id, 9);
        other.keep();
        let slots = slots(&fs::read_to_string(&path).unwrap()).unwrap();
        let paths: Vec<_> = slots.iter().map(|(id, slot)| (*id, slot["path"].as_str().unwrap())).collect();
        assert_eq!(paths, [(7, "/b"), (8, "/a"), (9, "/c")]);
    }

    #[test]
    fn what_another_has_written_since_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trellis.toml");
        let added = Configuration { path: path.clone() }.add(&lines("/a")).unwrap();
        fs::write(&path, "log = 'info'\n").unwrap();
        drop(added);
        assert_eq!(fs::read_to_string(&path).unwrap(), "log = 'info'\n");
    }

    #[test]
    fn a_file_that_cannot_be_added_to_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trellis.toml");
        for text in ["log = ", "slot = [{ path = '/a' }]\n", "slot = 7\n"] {
            fs::write(&path, text).unwrap();
            let error = Configuration { path: path.clone() }.add(&lines("/a")).unwrap_err();
            assert!(error.to_string().contains("trellis.toml"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
