//! A module under test, with a token of its own.

use std::path::{Path, PathBuf};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::MechanismType,
    object::{Attribute, KeyType, ObjectClass},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};

use crate::measure::Result;

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
    /// What a store of this module's has its keys in.
    Device,
}

impl Kind {
    /// For the table's head.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Trellis => "Trellis",
            Self::SoftHsm => "SoftHSM",
            Self::Kryoptic => "Kryoptic",
            Self::Device => "the device alone",
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
    /// The PIN of every bench token.
    pub(crate) const PIN: &str = "bench-user-pin";

    /// Loads a module and opens its token, which is made if there is none. `objects` fill it already.
    pub(crate) fn load(kind: Kind, path: &Path, objects: usize) -> Result<Self> {
        let module = Self::loaded(path)?;
        Self::initialize(&module)?;
        let (slot, session) = match module.get_slots_with_initialized_token()?.first() {
            Some(slot) => (*slot, Self::logged_in(&module, *slot)?),
            None => {
                let slot = *module.get_all_slots()?.first().ok_or("the module has no slot")?;
                Self::with_token(&module, slot)?
            }
        };
        Ok(Self { kind, module, slot, path: path.to_owned(), session, objects })
    }

    /// Makes a token in a slot and logs the user in. SoftHSM moves an initialised token to another slot.
    pub(crate) fn with_token(module: &Pkcs11, slot: Slot) -> Result<(Slot, Session)> {
        module.init_token(slot, &AuthPin::new(SO_PIN.into()), "bench")?;
        let made = module.get_slots_with_initialized_token()?;
        let same = made.iter().find(|other| **other == slot);
        let slot = *same.or(made.first()).ok_or("the token was not initialised")?;
        {
            let session = module.open_rw_session(slot)?;
            session.login(UserType::So, Some(&AuthPin::new(SO_PIN.into())))?;
            session.init_pin(&AuthPin::new(Self::PIN.into()))?;
            session.logout()?;
        }
        Ok((slot, Self::logged_in(module, slot)?))
    }

    fn logged_in(module: &Pkcs11, slot: Slot) -> Result<Session> {
        let session = module.open_rw_session(slot)?;
        session.login(UserType::User, Some(&Self::pin()))?;
        Ok(session)
    }

    /// A module, loaded.
    pub(crate) fn loaded(path: &Path) -> Result<Pkcs11> {
        Ok(Pkcs11::new(path)?)
    }

    /// C_Initialize.
    pub(crate) fn initialize(module: &Pkcs11) -> Result<()> {
        Ok(module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?)
    }

    /// Closes the session and calls C_Finalize.
    pub(crate) fn finalize(self) -> Result<()> {
        drop(self.session);
        Ok(self.module.finalize()?)
    }

    /// Whether the module has a mechanism.
    pub(crate) fn has(&self, mechanism: MechanismType) -> bool {
        self.module.get_mechanism_info(self.slot, mechanism).is_ok()
    }

    /// One of the objects that fill a token: an AES key, private, with a label and an id.
    pub(crate) fn secret_key(index: usize, token: bool) -> Vec<Attribute> {
        vec![
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Token(token),
            Attribute::Private(true),
            Attribute::Encrypt(true),
            Self::label(index),
            Self::id(index),
            Attribute::Value(vec![0x5a; 32]),
        ]
    }

    /// Its CKA_LABEL.
    pub(crate) fn label(index: usize) -> Attribute {
        Attribute::Label(format!("object-{index}").into_bytes())
    }

    /// Its CKA_ID.
    pub(crate) fn id(index: usize) -> Attribute {
        Attribute::Id(index.to_be_bytes().to_vec())
    }

    /// The same for cryptoki.
    pub(crate) fn pin() -> AuthPin {
        AuthPin::new(Self::PIN.into())
    }
}
