//! What a right PIN gives: the records of the sealed store and the HSM's own objects, as one.

use std::{any::Any, cell::OnceCell, collections::HashSet, sync::Arc};

use cryptoki_sys as ck;

use super::{
    copies::{self, Copies},
    device::Device,
    foreign::ForeignObjects,
    keeper::HsmKeeper,
    native::{self, NativeKey},
};
use crate::{
    Attributes, Change, KeySpec, NewSecret, Objects, OpenKey, Pin, PrivateKey, Record, RecordId, Role,
    SecretKey, StoreError, Value, Vault,
    keys::may_leave,
    sealed::{AtDevice, Intent, SealedVault},
};

/// Which keys are made in the HSM.
#[derive(Debug, Clone)]
pub(super) struct PassThrough {
    /// CKM_* that the HSM has with CKF_SIGN or CKF_GENERATE_KEY_PAIR and the configuration allows.
    pub(super) mechanisms: Vec<u64>,
    /// Whether data objects go there as well.
    pub(super) data: bool,
}

impl PassThrough {
    fn takes(&self, spec: &KeySpec) -> bool {
        super::native::mechanisms(spec).is_some_and(|(generate, sign)| {
            self.mechanisms.contains(&generate) && self.mechanisms.contains(&sign)
        })
    }
}

/// A room of the store over an HSM.
#[derive(Debug)]
pub(super) struct Pkcs11Vault {
    device: Arc<Device>,
    sealed: Option<SealedVault<HsmKeeper>>,
    foreign: ForeignObjects,
    role: Role,
    pass_through: PassThrough,
    /// The user's login at the HSM.
    login: Option<u64>,
    /// The security officer is logged in at the HSM only while he does something.
    pub(super) so_pin: Option<Pin>,
}

impl Pkcs11Vault {
    pub(super) fn new(
        device: Arc<Device>,
        sealed: SealedVault<HsmKeeper>,
        role: Role,
        pass_through: PassThrough,
        login: Option<u64>,
        so_pin: Option<Pin>,
    ) -> Self {
        let foreign = ForeignObjects::new(device.clone(), role == Role::User);
        Self { device, sealed: Some(sealed), foreign, role, pass_through, login, so_pin }
    }

    pub(super) fn sealed(&self) -> &SealedVault<HsmKeeper> {
        self.sealed.as_ref().expect("taken by drop alone")
    }

    /// A PIN that the HSM takes no more ends the login, as a token that was replaced does.
    fn check(&self) -> Result<(), StoreError> {
        match self.login {
            Some(login) if self.device.has_refused(login) => Err(StoreError::TokenReplaced),
            _ => Ok(()),
        }
    }
}

impl Drop for Pkcs11Vault {
    fn drop(&mut self) {
        // Keys that were made and not kept are destroyed while the login lasts.
        self.sealed = None;
        if let Some(login) = self.login {
            self.device.release(login);
        }
    }
}

impl Objects for Pkcs11Vault {
    fn find(&self, template: &Attributes) -> Result<Vec<RecordId>, StoreError> {
        self.check()?;
        find(self.sealed(), &self.foreign, template, || self.sealed().pending())
    }

    fn read(&self, id: RecordId) -> Result<Arc<Record>, StoreError> {
        self.check()?;
        match self.foreign.read(id) {
            Some(record) => Ok(record),
            None => self.sealed().read(id),
        }
    }

    fn read_with_open_key(&self, id: RecordId) -> Result<(Arc<Record>, OpenKey), StoreError> {
        self.check()?;
        match self.foreign.read(id) {
            Some(record) => Ok((record, None)),
            None => self.sealed().read_with_open_key(id),
        }
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.check()?;
        let keeper = self.sealed().keeper();
        for change in &changes {
            if let Change::Create { id, secret: Some(NewSecret::Private(key)), .. } = change
                && key.device_key().is_some()
            {
                keeper.remember(*id, key);
            }
        }
        let key_of = |id| keeper.open_key(id).or_else(|| self.sealed().private_key(id).ok());
        let PassThrough { mechanisms, data } = &self.pass_through;
        let copies = Copies::of(&changes, self.sealed(), |class| {
            self.role == Role::User && if class == ck::CKO_DATA { *data } else { !mechanisms.is_empty() }
        });
        let write = |changes, keys: &[_]| self.sealed().commit_with(changes, keys);
        commit(self.sealed(), &self.foreign, changes, key_of, write)?;
        copies.follow(&self.device);
        Ok(())
    }
}

impl Vault for Pkcs11Vault {
    fn role(&self) -> Role {
        self.role
    }

    fn verify_pin(&self, pin: &Pin) -> Result<(), StoreError> {
        let _turn = self.device.logins()?;
        self.sealed().verify_pin(pin)
    }

    fn private_key(&self, id: RecordId) -> Result<Arc<dyn PrivateKey>, StoreError> {
        self.foreign.private_key(id).unwrap_or_else(|| self.sealed().private_key(id))
    }

    fn secret_key(&self, id: RecordId) -> Result<Arc<SecretKey>, StoreError> {
        match self.foreign.read(id) {
            // Its bytes do not leave the HSM.
            Some(_) => Err(StoreError::Unsupported),
            None => self.sealed().secret_key(id),
        }
    }

    fn private_key_of(&self, record: &Record) -> Result<Arc<dyn PrivateKey>, StoreError> {
        let foreign = self.foreign.private_key(record.id);
        foreign.unwrap_or_else(|| self.sealed().private_key_of(record))
    }

    fn secret_key_of(&self, record: &Record) -> Result<Arc<SecretKey>, StoreError> {
        match self.foreign.read(record.id) {
            Some(_) => Err(StoreError::Unsupported),
            None => self.sealed().secret_key_of(record),
        }
    }

    fn generate(&self, spec: &KeySpec) -> Result<NewSecret, StoreError> {
        if self.role == Role::User && self.pass_through.takes(spec) {
            self.sealed().sweep();
            let made_id = algorithms::random::array()?;
            let intent = self.sealed().intend(&native::before(made_id))?;
            match NativeKey::generate(&self.device, spec, made_id, intent) {
                Ok(key) => return Ok(NewSecret::Private(Arc::new(key))),
                // A curve or a size that this HSM lacks: made here, then sealed by it.
                Err(StoreError::Unsupported) => {}
                Err(error) => return Err(error),
            }
        }
        NewSecret::generate(spec)
    }

    fn generate_for(&self, spec: &KeySpec, attributes: &Attributes) -> Result<NewSecret, StoreError> {
        if may_leave(attributes) { NewSecret::generate(spec) } else { self.generate(spec) }
    }
}

/// Both kinds of objects, the store's first.
pub(super) fn find(
    sealed: &dyn Objects,
    foreign: &ForeignObjects,
    template: &Attributes,
    pending: impl Fn() -> Result<Vec<AtDevice>, StoreError>,
) -> Result<Vec<RecordId>, StoreError> {
    let mut found = sealed.find(template)?;
    let claims = Claims {
        sealed,
        pending: &pending,
        keys: OnceCell::new(),
        certificates: OnceCell::new(),
        data: OnceCell::new(),
    };
    found.extend(foreign.find(template, |attributes| claims.has(attributes))?);
    Ok(found)
}

/// The keys, certificates and data that have records, by which those of the HSM are told that need no other. Records are
/// read when an object of their kind was found. Keys that the HSM has to follow yet count too: what it still has of one
/// that was destroyed is no object.
struct Claims<'a> {
    sealed: &'a dyn Objects,
    pending: &'a dyn Fn() -> Result<Vec<AtDevice>, StoreError>,
    keys: OnceCell<Keys>,
    certificates: OnceCell<Copied>,
    data: OnceCell<Copied>,
}

type Copied = HashSet<(u64, Vec<u8>)>;

#[derive(Debug, Default)]
struct Keys {
    public: HashSet<Vec<u8>>,
    /// Label and id of keys whose record does not say their public key.
    names: HashSet<(Vec<u8>, Vec<u8>)>,
    /// Label and id of all keys with a secret, for those of the HSM whose public half is gone.
    secret: HashSet<(Vec<u8>, Vec<u8>)>,
}

impl Claims<'_> {
    fn has(&self, attributes: &Attributes) -> Result<bool, StoreError> {
        if let Some(id) = copies::marked_id(attributes) {
            return match self.sealed.read(id) {
                Ok(record) => Ok(copies::record_identity(&record) == copies::identity(attributes)),
                Err(StoreError::NotFound) => Ok(false),
                Err(error) => Err(error),
            };
        }
        let Some(identity) = copies::identity(attributes) else { return self.has_key(attributes) };
        let copied = if identity.0 == ck::CKO_CERTIFICATE { &self.certificates } else { &self.data };
        let copied = known(copied, || {
            let identities = |record: Arc<Record>| copies::record_identity(&record);
            Ok(self.records(identity.0)?.into_iter().filter_map(identities).collect())
        })?;
        Ok(copied.contains(&identity))
    }

    fn has_key(&self, attributes: &Attributes) -> Result<bool, StoreError> {
        let keys = known(&self.keys, || {
            let mut keys = Keys::default();
            for class in [ck::CKO_PUBLIC_KEY, ck::CKO_PRIVATE_KEY] {
                for record in self.records(class)? {
                    keys.add(&record);
                }
            }
            // Last: a record that was destroyed meanwhile has one.
            for AtDevice { locator, label, id } in (self.pending)()? {
                keys.public.extend(native::spki(&locator).map(<[u8]>::to_vec));
                keys.secret.insert((label, id));
            }
            Ok(keys)
        })?;
        let (label, id) = names(attributes);
        // A key in the HSM has a CKA_ID even where its record has none.
        let named = |names: &HashSet<_>| {
            names.contains(&(label.clone(), Vec::new())) || names.contains(&(label.clone(), id.clone()))
        };
        Ok(match attributes.bytes(ck::CKA_PUBLIC_KEY_INFO) {
            Some(spki) => keys.public.contains(spki) || named(&keys.names),
            None => attributes.ulong(ck::CKA_CLASS) == Some(ck::CKO_PRIVATE_KEY) && named(&keys.secret),
        })
    }

    fn records(&self, class: u64) -> Result<Vec<Arc<Record>>, StoreError> {
        let mut records = Vec::new();
        for id in self.sealed.find(&[(ck::CKA_CLASS, Value::Ulong(class))].into_iter().collect())? {
            match self.sealed.read(id) {
                Err(StoreError::NotFound) => {}
                read => records.push(read?),
            }
        }
        Ok(records)
    }
}

impl Keys {
    fn add(&mut self, record: &Record) {
        if record.has_secret {
            self.secret.insert(names(&record.attributes));
        }
        match record.attributes.bytes(ck::CKA_PUBLIC_KEY_INFO) {
            Some(spki) => drop(self.public.insert(spki.to_vec())),
            None if record.has_secret => drop(self.names.insert(names(&record.attributes))),
            None => {}
        }
    }
}

fn known<T>(cell: &OnceCell<T>, read: impl FnOnce() -> Result<T, StoreError>) -> Result<&T, StoreError> {
    match cell.get() {
        Some(known) => Ok(known),
        None => {
            let read = read()?;
            Ok(cell.get_or_init(|| read))
        }
    }
}

/// CKA_LABEL and CKA_ID.
pub(super) fn names(attributes: &Attributes) -> (Vec<u8>, Vec<u8>) {
    let name = |kind| attributes.bytes(kind).unwrap_or_default().to_vec();
    (name(ck::CKA_LABEL), name(ck::CKA_ID))
}

/// Makes the changes: those of records by `write`, in one transaction together with the intents for the keys that the HSM has
/// to change after it, which it gives back; then what follows in the HSM. Changes of the HSM's own objects come one by one,
/// and not together with others.
pub(super) fn commit(
    sealed: &dyn Objects,
    foreign: &ForeignObjects,
    changes: Vec<Change>,
    key_of: impl Fn(RecordId) -> Option<Arc<dyn PrivateKey>>,
    write: impl FnOnce(Vec<Change>, &[AtDevice]) -> Result<Vec<Intent>, StoreError>,
) -> Result<(), StoreError> {
    let target = |change: &Change| match change {
        Change::Create { .. } => None,
        Change::Update { id, .. } | Change::Destroy { id } => foreign.read(*id).map(|_| *id),
    };
    if changes.iter().any(|change| target(change).is_some()) {
        let [change] = &changes[..] else { return Err(StoreError::Unsupported) };
        return match change {
            Change::Update { id, version, attributes } => foreign.update(*id, *version, attributes),
            Change::Destroy { id } => foreign.destroy(*id),
            Change::Create { .. } => Err(StoreError::Unsupported),
        };
    }
    let Following { made, created, changed, halves } = Following::of(&changes, sealed, key_of);
    let (keys, changed): (Vec<AtDevice>, Vec<_>) = changed.into_iter().unzip();
    let mut intents = write(changes, &keys)?.into_iter();
    for (key, (label, id)) in made {
        let Some(key) = key.device_key() else { continue };
        if let Err(error) = key.keep(&label, &id) {
            // A key that the HSM does not keep has no object either.
            let undone = sealed.commit(created.into_iter().map(|id| Change::Destroy { id }).collect());
            if undone.is_err() {
                key.leave_to_sweep();
            }
            return Err(error);
        }
    }
    for spki in halves {
        foreign.destroy_public(&spki)?;
    }
    for (key, names) in changed {
        let (Some(key), intent) = (key.device_key(), intents.next()) else { continue };
        let followed = match names {
            // By its record's names it is found even where it could not be given them; that is tried again by whoever sweeps.
            Some((label, id)) => key.keep(&label, &id).is_ok(),
            None => key.destroy().map(|()| true)?,
        };
        intent.filter(|_| followed).into_iter().for_each(Intent::done);
    }
    Ok(())
}

type Names = (Vec<u8>, Vec<u8>);
/// A key and its new names; none where it goes.
type Changed = (Arc<dyn PrivateKey>, Option<Names>);

/// What follows in the HSM from changes of records.
#[derive(Default)]
struct Following {
    /// Keys that were made and are to be kept, with the names of their objects.
    made: Vec<(Arc<dyn PrivateKey>, Names)>,
    created: Vec<RecordId>,
    /// Keys as the HSM has them, and what becomes of them.
    changed: Vec<(AtDevice, Changed)>,
    /// Public keys whose objects go.
    halves: Vec<Vec<u8>>,
}

impl Following {
    fn of(
        changes: &[Change],
        sealed: &dyn Objects,
        key_of: impl Fn(RecordId) -> Option<Arc<dyn PrivateKey>>,
    ) -> Self {
        let mut all = Self::default();
        let at_device = |id| {
            let record = sealed.read(id).ok()?;
            let private = record.attributes.ulong(ck::CKA_CLASS) == Some(ck::CKO_PRIVATE_KEY);
            let key = key_of(id).filter(|_| record.has_secret && private)?;
            let locator = key.device_key()?.locator().to_vec();
            let (label, id) = names(&record.attributes);
            Some((AtDevice { locator, label, id }, key))
        };
        for change in changes {
            match change {
                Change::Create { id, attributes, secret } => {
                    all.created.push(*id);
                    if let Some(NewSecret::Private(key)) = secret
                        && key.device_key().is_some()
                    {
                        all.made.push((key.clone(), names(attributes)));
                    }
                }
                Change::Update { id, attributes, .. } => {
                    let new = names(attributes);
                    let found = at_device(*id).filter(|(old, _)| (&old.label, &old.id) != (&new.0, &new.1));
                    all.changed.extend(found.map(|(old, key)| (old, (key, Some(new)))));
                }
                Change::Destroy { id } => {
                    all.changed.extend(at_device(*id).map(|(old, key)| (old, (key, None))));
                    if let Ok(record) = sealed.read(*id)
                        && record.attributes.ulong(ck::CKA_CLASS) == Some(ck::CKO_PUBLIC_KEY)
                    {
                        let spki = record.attributes.bytes(ck::CKA_PUBLIC_KEY_INFO);
                        all.halves.extend(spki.map(<[u8]>::to_vec));
                    }
                }
            }
        }
        all
    }
}

/// The vault of this store behind a door that may be another's.
pub(super) fn ours(vault: &dyn Vault) -> Option<&Pkcs11Vault> {
    (vault as &dyn Any).downcast_ref()
}
