//! Where a part of the bench is measured: a process and a folder of its own, with tokens that are filled in memory and
//! then copied to the disk.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Serialize, de::DeserializeOwned};
use tempfile::TempDir;

use crate::{
    contender::{Contender, Kind},
    measure::Result,
    report::Facts,
    row::Row,
    rows::stores::{self, Store},
};

/// What is measured in a process and a folder of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Modules beside each other, with tokens that are new.
    Modules,
    /// Nothing: makes tokens and fills them.
    Fill(Filling),
    /// Modules beside each other, with tokens that are filled.
    Filled(Filling),
    /// The stores of this module.
    Stores,
    /// Nothing: says which modules there are, in which versions.
    Describe,
}

/// What a token is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filling {
    /// So many secret keys.
    Objects(usize),
    /// ML-DSA-65 keys.
    Keys,
}

impl Filling {
    fn name(self) -> String {
        match self {
            Self::Objects(count) => count.to_string(),
            Self::Keys => "keys".into(),
        }
    }

    fn named(name: &str) -> Option<Self> {
        if name == "keys" { Some(Self::Keys) } else { name.parse().ok().map(Self::Objects) }
    }
}

const PART: &str = "TRELLIS_BENCH_PART";
const HOME: &str = "TRELLIS_BENCH_HOME";
/// Where files are in memory, if anywhere.
const MEMORY: &str = "/dev/shm";
/// What is handed over.
const RESULT: &str = "result.json";

impl Part {
    fn name(self) -> String {
        match self {
            Self::Modules => "modules".into(),
            Self::Fill(filling) => format!("fill {}", filling.name()),
            Self::Filled(filling) => format!("filled {}", filling.name()),
            Self::Stores => "stores".into(),
            Self::Describe => "describe".into(),
        }
    }

    /// That of this process; `None` for the one that starts the others.
    pub(crate) fn own() -> Option<Self> {
        let name = std::env::var(PART).ok()?;
        let filling = || Filling::named(name.split_once(' ')?.1);
        Some(match name.split(' ').next()? {
            "modules" => Self::Modules,
            "fill" => Self::Fill(filling()?),
            "filled" => Self::Filled(filling()?),
            "stores" => Self::Stores,
            "describe" => Self::Describe,
            _ => return None,
        })
    }
}

/// A folder with every module's tokens.
pub(crate) struct Home {
    path: PathBuf,
    _temporary: Option<TempDir>,
}

impl Home {
    /// That of this process, which [`Home::run`] has started.
    pub(crate) fn own() -> Result<Self> {
        let path = std::env::var_os(HOME).ok_or("there is no folder")?;
        Ok(Self { path: path.into(), _temporary: None })
    }

    /// A new one where temporary files are, which should be a disk; TMPDIR names another place.
    fn new() -> Result<Self> {
        Self::below(&std::env::temp_dir())
    }

    /// A new one in memory, where nothing waits for a disk.
    fn in_memory() -> Result<Self> {
        Self::below(Path::new(MEMORY)).or_else(|_| Self::new())
    }

    fn below(parent: &Path) -> Result<Self> {
        let temporary = tempfile::Builder::new().prefix("trellis-bench-").tempdir_in(parent)?;
        let home = Self { path: temporary.path().to_owned(), _temporary: Some(temporary) };
        ["trellis", "stores", "softhsm"].into_iter().try_for_each(|name| home.folder(name).map(drop))?;
        Ok(home)
    }

    /// A folder in it.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Runs this program again for one part, with the environment that points every module into this folder.
    fn run(&self, part: Part, stores: &[Store]) -> Result<()> {
        let configuration = match part {
            Part::Stores => stores::configuration(stores, &self.path),
            _ => self.trellis_toml(),
        };
        fs::write(self.path.join("trellis.toml"), configuration)?;
        fs::write(self.path.join("softhsm2.conf"), self.softhsm_conf())?;
        let status = Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .env(HOME, &self.path)
            .env(PART, part.name())
            .env(stores::VARIABLE, stores::names(stores))
            .env("TRELLIS_CONF", self.path.join("trellis.toml"))
            .env("SOFTHSM2_CONF", self.path.join("softhsm2.conf"))
            .env("KRYOPTIC_CONF", self.path.join("kryoptic.sql"))
            .status()?;
        if !status.success() {
            return Err(format!("measuring \"{}\" failed", part.name()).into());
        }
        Ok(())
    }

    /// What a process that [`Home::run`] has started gives to the one that started it.
    pub(crate) fn hand_over<T: Serialize>(&self, result: &T) -> Result<()> {
        Ok(fs::write(self.path.join(RESULT), serde_json::to_vec(result)?)?)
    }

    fn result<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_slice(&fs::read(self.path.join(RESULT))?)?)
    }

    fn trellis_toml(&self) -> String {
        let store = self.path.join("trellis/store");
        format!("[[slot]]\nid = 0\nbackend = \"embedded\"\npath = \"{}\"\n", store.display())
    }

    fn softhsm_conf(&self) -> String {
        let folder = self.path.join("softhsm");
        format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            folder.display()
        )
    }

    /// How many objects [`Home::set_count`] has noted.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        let noted = fs::read_to_string(self.path.join(kind.name())).unwrap_or_default();
        noted.parse().unwrap_or_default()
    }

    /// Notes how many objects a token has got.
    pub(crate) fn set_count(&self, contender: &Contender) -> Result<()> {
        Ok(fs::write(self.path.join(contender.kind.name()), contender.objects.to_string())?)
    }
}

/// Measures one part.
pub(crate) fn measure(part: Part, stores: &[Store]) -> Result<Vec<Row>> {
    let home = Home::new()?;
    if let Part::Filled(filling) = part {
        let memory = Home::in_memory()?;
        memory.run(Part::Fill(filling), stores)?;
        let copied = Command::new("cp").arg("-a").arg(memory.path.join(".")).arg(&home.path).status()?;
        if !copied.success() {
            return Err("the filled tokens could not be copied".into());
        }
        // What is still being written would be measured too.
        Command::new("sync").arg("--file-system").arg(&home.path).status()?;
    }
    home.run(part, stores)?;
    home.result()
}

/// Which modules there are.
pub(crate) fn describe() -> Result<Facts> {
    let home = Home::new()?;
    home.run(Part::Describe, &[])?;
    home.result()
}
