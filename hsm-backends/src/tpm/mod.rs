//! A token whose key is sealed by a TPM 2.0: records on disk as the embedded store has them, under a token key that this
//! TPM alone gives out, after it has judged the PIN. Nothing is loaded or asked before the first call.

mod keeper;
mod kept;
mod pcrs;
mod plugin;
#[path = "../../tpm-plugin/src/protocol.rs"]
#[expect(dead_code, reason = "the plug-in's half")]
mod protocol;

use std::path::PathBuf;

use crate::{
    Admin, Admission, Description, KeyStore, Objects, Pin, ReportGroup, Role, SealedBy, StoreError, Vault,
    sealed::SealedStore,
};
use keeper::TpmKeeper;

pub use pcrs::PcrSelection;

/// How a store over a TPM is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The directory of the records, mode 0700; made by C_InitToken if it is missing.
    pub directory: PathBuf,
    /// Wrong PINs before a PIN is locked; the TPM keeps to what it was when the PIN was set.
    pub pin_tries: u32,
    /// The way to the TPM: `device:/dev/tpmrm0`, `tabrmd`, `swtpm:host=127.0.0.1,port=2321`.
    pub tcti: String,
    /// The PCRs that the user's PIN opens the token at; none, whatever has started.
    pub pcrs: Option<PcrSelection>,
    /// The plug-in with libtss2; the one beside this code when absent.
    pub plug_in: Option<PathBuf>,
}

/// A token sealed by a TPM.
#[derive(Debug)]
pub struct TpmStore(SealedStore<TpmKeeper>);

impl TpmStore {
    /// Names the directory and the TPM; nothing is opened, read or made before the first call.
    pub fn new(options: Options) -> Self {
        let Options { directory, pin_tries, tcti, pcrs, plug_in } = options;
        let keeper = TpmKeeper::new(plug_in, tcti, pcrs, pin_tries);
        Self(SealedStore::new(&directory, pin_tries, keeper))
    }
}

impl KeyStore for TpmStore {
    fn description(&self) -> Result<Description, StoreError> {
        self.0.description()
    }

    fn admission(&self) -> Result<Admission, StoreError> {
        self.0.admission()
    }

    fn obstacle(&self) -> Option<StoreError> {
        self.0.obstacle()
    }

    fn unfinished(&self) -> Option<StoreError> {
        self.0.unfinished()
    }

    fn public(&self) -> &dyn Objects {
        self.0.public()
    }

    fn unlock(&self, role: Role, pin: &Pin) -> Result<Box<dyn Vault>, StoreError> {
        self.0.unlock(role, pin)
    }

    fn sealed_by(&self) -> SealedBy {
        SealedBy::Tpm
    }

    fn report(&self) -> Result<Vec<ReportGroup>, StoreError> {
        self.0.report()
    }

    fn admin(&self) -> Option<&dyn Admin> {
        self.0.admin()
    }

    fn before_fork(&self) {
        self.0.before_fork();
    }

    fn after_fork(&self) {
        self.0.after_fork();
    }
}
