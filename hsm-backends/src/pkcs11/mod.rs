//! A token of any PKCS#11 HSM, reached through its vendor's library.
//!
//! Keys are made in the HSM where it has the mechanism, and sign there. All other keys are made in this process and kept
//! as records of a sealed store in a directory of the user's, whose token key lies under an AES key that does not leave
//! the HSM. Objects that are in the HSM already are seen beside these. Nothing is loaded or asked before the first call.

mod admin;
mod changes;
mod claims;
mod copies;
mod device;
mod exit;
mod foreign;
mod keeper;
mod library;
mod native;
#[expect(non_snake_case, reason = "fields of C structs")]
mod raw;
mod selector;
mod vault;
mod wrap;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use cryptoki_sys as ck;

use crate::{
    Admin, Attributes, Change, Description, KeyStore, Objects, Pin, PinState, Record, RecordId, Role,
    SealedBy, StoreError, Vault,
    sealed::{Pending, SealedStore},
};
use copies::Copies;
use device::{Device, LoggedIn};
use foreign::ForeignObjects;
use keeper::HsmKeeper;
use raw::TokenInfo;
use vault::{PassThrough, Pkcs11Vault};

pub use library::Libraries;
pub use selector::Selector;

/// How a store over an HSM is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The vendor's library.
    pub library: PathBuf,
    /// Which of its tokens.
    pub token: Selector,
    /// The directory of the records that are sealed under the HSM's key, mode 0700; made when the first is written.
    pub directory: PathBuf,
    /// Wrong PINs before a PIN is locked for those who come through this store, whatever the HSM says.
    pub pin_tries: u32,
    /// The mechanisms (CKM_*) whose keys may be made in the HSM; all that it has when absent.
    pub pass_through: Option<Vec<u64>>,
    /// Whether data objects are in the HSM as well, as certificates are where keys may be.
    pub data_in_hsm: bool,
}

/// A token of an HSM.
#[derive(Debug)]
pub struct Pkcs11Store {
    device: Arc<Device>,
    sealed: Arc<SealedStore<HsmKeeper>>,
    data_in_hsm: bool,
    allowed: Option<Vec<u64>>,
    public: Public,
    mechanisms: OnceLock<Vec<u64>>,
}

/// What needs no PIN.
#[derive(Debug)]
struct Public {
    device: Arc<Device>,
    sealed: Arc<SealedStore<HsmKeeper>>,
    foreign: ForeignObjects,
}

impl Pkcs11Store {
    /// Names the token. `libraries` is shared by the stores of one process.
    pub fn new(options: Options, libraries: &Libraries) -> Self {
        let device = Device::new(libraries, &options.library, options.token);
        let keeper = HsmKeeper::new(device.clone());
        let sealed = Arc::new(SealedStore::new(&options.directory, options.pin_tries, keeper));
        let foreign = ForeignObjects::new(device.clone());
        let public = Public { device: device.clone(), sealed: sealed.clone(), foreign };
        Self {
            device,
            sealed,
            allowed: options.pass_through,
            data_in_hsm: options.data_in_hsm,
            public,
            mechanisms: OnceLock::new(),
        }
    }

    fn token(&self) -> Result<TokenInfo, StoreError> {
        token(&self.device)
    }

    /// What keys are made in the HSM.
    fn pass_through(&self) -> Result<PassThrough, StoreError> {
        let mechanisms = match self.mechanisms.get() {
            Some(known) => known,
            None => {
                let asked = self.device.mechanisms();
                let asked = asked.map_err(|failure| failure.of(&self.device, "C_GetMechanismList"))?;
                let useful = |flags| flags & (ck::CKF_SIGN | ck::CKF_GENERATE_KEY_PAIR) != 0;
                let found = asked.into_iter().filter(|(_, flags)| useful(*flags)).map(|(kind, _)| kind);
                self.mechanisms.get_or_init(|| found.collect())
            }
        };
        let allowed = |kind: &u64| self.allowed.as_ref().is_none_or(|allowed| allowed.contains(kind));
        let mechanisms = mechanisms.iter().copied().filter(allowed).collect();
        Ok(PassThrough { mechanisms, data: self.data_in_hsm })
    }

    /// The records' database beside the token that the HSM has, with the PINs that it has.
    fn adopt(&self, token: &TokenInfo) -> Result<(), StoreError> {
        adopt(&self.sealed, token)
    }

    fn unlock_user(&self, pin: &Pin) -> Result<Pkcs11Vault, StoreError> {
        let pass_through = self.pass_through()?;
        let _turn = self.device.logins()?;
        let sealed = self.sealed.open(Role::User, pin);
        let how = self.sealed.keeper().last_login();
        match sealed {
            Ok(sealed) => {
                let login = Some(self.device.hold(pin, how.unwrap_or(LoggedIn::Already)));
                let foreign = self.public.foreign.of_login(true);
                let vault = Pkcs11Vault::new(foreign, sealed, Role::User, pass_through, login, None);
                vault.sealed().sweep();
                Ok(vault)
            }
            Err(error) => {
                self.device.drop_unheld(how.unwrap_or(LoggedIn::Already));
                Err(error)
            }
        }
    }

    fn unlock_officer(&self, pin: &Pin) -> Result<Pkcs11Vault, StoreError> {
        let pass_through = self.pass_through()?;
        let _turn = self.device.logins()?;
        let sealed = self.sealed.open(Role::SecurityOfficer, pin)?;
        let role = Role::SecurityOfficer;
        let foreign = self.public.foreign.of_login(false);
        Ok(Pkcs11Vault::new(foreign, sealed, role, pass_through, None, Some(pin.clone())))
    }
}

fn token(device: &Device) -> Result<TokenInfo, StoreError> {
    device.token().map_err(|failure| failure.of(device, "C_GetTokenInfo"))
}

fn adopt(sealed: &SealedStore<HsmKeeper>, token: &TokenInfo) -> Result<(), StoreError> {
    if !is_initialized(token) {
        return Err(StoreError::TokenNotInitialized);
    }
    let roles: &[Role] = if token.flags & ck::CKF_USER_PIN_INITIALIZED != 0 {
        &[Role::SecurityOfficer, Role::User]
    } else {
        &[Role::SecurityOfficer]
    };
    let label = shortened(&token.label, 32);
    sealed.adopt(&label, roles)
}

fn is_initialized(token: &TokenInfo) -> bool {
    token.flags & ck::CKF_TOKEN_INITIALIZED != 0
}

impl KeyStore for Pkcs11Store {
    fn description(&self) -> Result<Description, StoreError> {
        let token = self.token()?;
        let records = self.sealed.description()?;
        let initialized = is_initialized(&token);
        let state = |state| if initialized { state } else { PinState::Good };
        Ok(Description {
            initialized,
            label: shortened(&token.label, 32),
            serial: token.serial.chars().filter(char::is_ascii).take(16).collect(),
            model: "pkcs11",
            user_pin_initialized: token.flags & ck::CKF_USER_PIN_INITIALIZED != 0,
            user_pin: state(records.user_pin),
            so_pin: state(records.so_pin),
            write_protected: token.flags & ck::CKF_WRITE_PROTECTED != 0 || records.write_protected,
        })
    }

    fn public(&self) -> &dyn Objects {
        &self.public
    }

    fn unlock(&self, role: Role, pin: &Pin) -> Result<Box<dyn Vault>, StoreError> {
        let open = || match role {
            Role::User => self.unlock_user(pin),
            Role::SecurityOfficer => self.unlock_officer(pin),
        };
        let opened = match open() {
            // The HSM may have what the disk does not: a token, or a PIN that was set by other means.
            Err(StoreError::TokenNotInitialized | StoreError::UserPinNotInitialized) => {
                self.adopt(&self.token()?)?;
                open()
            }
            opened => opened,
        };
        Ok(Box::new(opened?))
    }

    fn sealed_by(&self) -> SealedBy {
        SealedBy::Hsm
    }

    fn admin(&self) -> Option<&dyn Admin> {
        Some(self)
    }

    fn before_fork(&self) {
        let waited = !self.sealed.shut();
        self.device.shut(waited);
    }

    fn after_fork(&self) {
        self.device.reopen();
        self.sealed.after_fork();
    }
}

impl Public {
    /// A token whose records are not begun has none.
    fn is_begun(&self) -> Result<bool, StoreError> {
        if self.sealed.exists()? {
            return Ok(true);
        }
        if is_initialized(&token(&self.device)?) { Ok(false) } else { Err(StoreError::TokenNotInitialized) }
    }
}

impl Objects for Public {
    fn find(&self, template: &Attributes) -> Result<Vec<RecordId>, StoreError> {
        if self.is_begun()? {
            return claims::find(self.sealed.public(), &self.foreign, template, || Ok(Pending::default()));
        }
        self.foreign.find(template, |_| Ok(false))
    }

    fn read(&self, id: RecordId) -> Result<Arc<Record>, StoreError> {
        if let Some(record) = self.foreign.read(id) {
            return Ok(record);
        }
        if self.is_begun()? { self.sealed.public().read(id) } else { Err(StoreError::NotFound) }
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        if !self.is_begun()? {
            adopt(&self.sealed, &token(&self.device)?)?;
        }
        let copies = Copies::of(&changes, self.sealed.public(), |_| false)?;
        let key_of = |id| Ok(self.sealed.keeper().open_key(id));
        // Without a login no key in the HSM is to be seen.
        let mut written = false;
        let write = |changes, _: &[_]| {
            self.sealed.public().commit(changes)?;
            written = true;
            Ok(Vec::new())
        };
        let done = changes::commit(self.sealed.public(), &self.foreign, changes, key_of, write);
        if written {
            copies.follow(self.sealed.public(), &self.device, Vec::new());
        }
        done
    }
}

/// What of a text fits into so many bytes.
fn shortened(text: &str, len: usize) -> String {
    let end = (0..=len.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[..end].to_owned()
}
