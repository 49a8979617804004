//! A module under test, with a fresh token of its own.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::MechanismType,
    object::{Attribute, ObjectClass},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};

use crate::stores::{self, Store};

/// Names the folder with all tokens; set for the process that measures.
pub(crate) const HOME: &str = "TRELLIS_BENCH_HOME";
const PIN: &str = "bench-user-pin";
const SO_PIN: &str = "bench-so-pin";

/// Whose module it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours.
    Trellis,
    /// SoftHSM 2.
    SoftHsm,
    /// Kryoptic.
    Kryoptic,
}

impl Kind {
    /// For the table's head.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Trellis => "Trellis",
            Self::SoftHsm => "SoftHSM",
            Self::Kryoptic => "Kryoptic",
        }
    }
}

/// A loaded module with an open read-write user session.
pub(crate) struct Contender {
    /// Whose module it is.
    pub(crate) kind: Kind,
    /// The loaded module.
    pub(crate) module: Pkcs11,
    /// The slot of the bench's token.
    pub(crate) slot: Slot,
    /// Where it was loaded from.
    pub(crate) path: PathBuf,
    /// Logged in.
    pub(crate) session: Session,
    /// Objects on the token besides the keys of the rows.
    pub(crate) objects: usize,
}

impl Contender {
    /// Loads a module, makes its token, and fills it with `objects` data objects labelled `object-0`, ...
    pub(crate) fn load(kind: Kind, path: &Path, objects: usize) -> Result<Self, Box<dyn Error>> {
        let module = Self::loaded(path)?;
        Self::initialize(&module)?;
        let slot = *module.get_all_slots()?.first().ok_or("the module has no slot")?;
        let (slot, session) = Self::with_token(&module, slot)?;
        // Others need seconds for each thousand objects; a tenth is enough to show their slope.
        let objects = if kind == Kind::Trellis { objects } else { objects / 10 };
        for index in 0..objects {
            session.create_object(&Self::data_object(&format!("object-{index}")))?;
        }
        Ok(Self { kind, module, slot, path: path.to_owned(), session, objects })
    }

    /// Makes a token in a slot and logs the user in. SoftHSM moves an initialised token to another slot.
    pub(crate) fn with_token(module: &Pkcs11, slot: Slot) -> Result<(Slot, Session), Box<dyn Error>> {
        module.init_token(slot, &AuthPin::new(SO_PIN.into()), "bench")?;
        let made = module.get_slots_with_initialized_token()?;
        let same = made.iter().find(|other| **other == slot);
        let slot = *same.or(made.first()).ok_or("the token was not initialised")?;
        {
            let session = module.open_rw_session(slot)?;
            session.login(UserType::So, Some(&AuthPin::new(SO_PIN.into())))?;
            session.init_pin(&AuthPin::new(PIN.into()))?;
            session.logout()?;
        }
        let session = module.open_rw_session(slot)?;
        session.login(UserType::User, Some(&AuthPin::new(PIN.into())))?;
        Ok((slot, session))
    }

    /// A module, loaded.
    pub(crate) fn loaded(path: &Path) -> Result<Pkcs11, Box<dyn Error>> {
        Ok(Pkcs11::new(path)?)
    }

    /// C_Initialize.
    pub(crate) fn initialize(module: &Pkcs11) -> Result<(), Box<dyn Error>> {
        Ok(module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?)
    }

    /// Closes the session and calls C_Finalize.
    pub(crate) fn finalize(self) -> Result<(), Box<dyn Error>> {
        drop(self.session);
        Ok(self.module.finalize()?)
    }

    /// Whether the module has a mechanism.
    pub(crate) fn has(&self, mechanism: MechanismType) -> bool {
        self.module.get_mechanism_info(self.slot, mechanism).is_ok()
    }

    /// The template of one of the objects that fill the token.
    pub(crate) fn data_object(label: &str) -> [Attribute; 5] {
        [
            Attribute::Class(ObjectClass::DATA),
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Label(label.as_bytes().to_vec()),
            Attribute::Value(vec![0x5a; 64]),
        ]
    }

    /// The PIN of every bench token.
    pub(crate) fn pin() -> AuthPin {
        AuthPin::new(PIN.into())
    }
}

/// What is measured in a process and a folder of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Modules beside each other.
    Modules,
    /// The stores of this module.
    Stores,
}

impl Part {
    /// In the order of the report.
    pub(crate) const ALL: [Self; 2] = [Self::Modules, Self::Stores];
    const VARIABLE: &str = "TRELLIS_BENCH_PART";

    fn name(self) -> &'static str {
        match self {
            Self::Modules => "modules",
            Self::Stores => "stores",
        }
    }

    /// That of this process; `None` for the one that starts the others.
    pub(crate) fn own() -> Option<Self> {
        let name = std::env::var(Self::VARIABLE).ok()?;
        Self::ALL.into_iter().find(|part| part.name() == name)
    }
}

/// Runs this program again for one part, with a private folder and the environment that points every module into it.
pub(crate) fn in_prepared_home(part: Part, stores: &[Store]) -> Result<bool, Box<dyn Error>> {
    let home = tempfile::Builder::new().prefix("trellis-bench-").tempdir()?;
    let path = home.path();
    for folder in ["trellis", "stores", "softhsm"] {
        fs::create_dir(path.join(folder))?;
    }
    let configuration = match part {
        Part::Modules => trellis_toml(path),
        Part::Stores => stores::configuration(stores, path),
    };
    fs::write(path.join("trellis.toml"), configuration)?;
    fs::write(path.join("softhsm2.conf"), softhsm_conf(path))?;
    let status = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(HOME, path)
        .env(Part::VARIABLE, part.name())
        .env(stores::VARIABLE, stores::names(stores))
        .env("TRELLIS_CONF", path.join("trellis.toml"))
        .env("SOFTHSM2_CONF", path.join("softhsm2.conf"))
        .env("KRYOPTIC_CONF", path.join("kryoptic.sql"))
        .status()?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err("the measuring process failed".into()),
    }
}

fn trellis_toml(home: &Path) -> String {
    let store: PathBuf = home.join("trellis").join("store");
    format!("[[slot]]\nid = 0\nbackend = \"embedded\"\npath = \"{}\"\n", store.display())
}

fn softhsm_conf(home: &Path) -> String {
    format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        home.join("softhsm").display()
    )
}
