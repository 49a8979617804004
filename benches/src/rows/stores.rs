//! One table for the stores that keys may be in: this module over each of them, beside the bare algorithm where keys are
//! sealed, and beside the device itself where they are in it. A new store is one more line in [`all`].

use std::path::{Path, PathBuf};

use cryptoki::{
    context::Pkcs11,
    object::{Attribute, ObjectClass, ObjectHandle},
    session::Session,
    slot::Slot,
};

use crate::{
    algorithm::Algorithm,
    bound::Bound,
    contender::{Contender, Kind},
    devices::Devices,
    measure::{Done, Operation, Result, Turns},
    raw::RawKey,
    row::{Column, Plan, RAW, Row},
};

use super::{MESSAGE, group::STORES};

/// The device itself, in a row.
pub(crate) const DEVICE: &str = Kind::Device.name();

/// A place for keys.
pub(crate) struct Store {
    /// For the table.
    name: &'static str,
    /// What its `[[slot]]` says besides id and path.
    slot: String,
    /// The library that reaches the device without this module.
    device: Option<PathBuf>,
    /// How many times the bare algorithm's time its ML-DSA-65 keys may take; nothing where they are elsewhere.
    times_raw: Option<f64>,
}

/// The environment variable that tells the measuring process which stores its configuration has.
pub(crate) const VARIABLE: &str = "TRELLIS_BENCH_STORES";
/// What sealed keys must reach once somebody is logged in.
const SEALED: Option<f64> = Some(1.0 / 0.85);
const EMBEDDED: &str = "embedded";
const SOFTHSM: &str = "SoftHSM";
const TPM: &str = "TPM";
const ENCLAVE: &str = "enclave";

/// The stores that can be measured on this machine; of the others it is said why not.
pub(crate) fn all(softhsm: &Path, devices: &Devices) -> Vec<Store> {
    let over_softhsm =
        softhsm.exists().then(|| format!("backend = \"pkcs11\"\nmodule-path = \"{}\"\n", softhsm.display()));
    if over_softhsm.is_none() {
        println!("SoftHSM is not installed ({}): no store over it is measured", softhsm.display());
    }
    let slots = [
        (EMBEDDED, Some("backend = \"embedded\"\n".to_owned())),
        (SOFTHSM, over_softhsm),
        (TPM, devices.tpm_slot()),
        (ENCLAVE, devices.enclave_slot()),
    ];
    slots.into_iter().filter_map(|(name, slot)| Some(Store::named(name, slot?, softhsm))).collect()
}

/// The same in the measuring process, which finds the configuration written.
pub(crate) fn configured(softhsm: &Path) -> Vec<Store> {
    let told = std::env::var(VARIABLE).unwrap_or_default();
    let known = [EMBEDDED, SOFTHSM, TPM, ENCLAVE].into_iter();
    let told: Vec<_> = told.split(',').collect();
    known.filter(|name| told.contains(name)).map(|name| Store::named(name, String::new(), softhsm)).collect()
}

/// Whether any row of theirs is; the devices say which there are.
pub(crate) fn are_wanted(only: &str) -> bool {
    let some = [EMBEDDED, SOFTHSM, TPM, ENCLAVE].into_iter().flat_map(|name| {
        let store = Store::named(name, String::new(), Path::new(""));
        IN_DEVICE.map(|algorithm| in_device_row(&store, algorithm)).into_iter().chain([sealed(&store)])
    });
    some.into_iter().any(|plan| plan.is_wanted(only))
}

/// For [`VARIABLE`].
pub(crate) fn names(stores: &[Store]) -> String {
    stores.iter().map(|store| store.name).collect::<Vec<_>>().join(",")
}

impl Store {
    fn named(name: &'static str, slot: String, softhsm: &Path) -> Self {
        let device = (name == SOFTHSM).then(|| softhsm.to_owned());
        Self { name, slot, device, times_raw: SEALED.filter(|_| name != ENCLAVE) }
    }
}

/// trellis.toml with a slot for each store, in a folder of the bench's.
pub(crate) fn configuration(stores: &[Store], home: &Path) -> String {
    let slot = |(id, store): (usize, &Store)| {
        let path = home.join("stores").join(store.name);
        format!("[[slot]]\nid = {id}\npath = \"{}\"\n{}\n", path.display(), store.slot)
    };
    stores.iter().enumerate().map(slot).collect()
}

/// The kinds of key that devices have.
const IN_DEVICE: [Algorithm; 2] = [Algorithm::Ed25519, Algorithm::P256];

/// Measures every store; rows are those whose headings contain `only`.
pub(crate) fn measure(path: &Path, stores: &[Store], turns: Turns, only: &str) -> Result<Vec<Row>> {
    let module = Contender::loaded(path)?;
    Contender::initialize(&module)?;
    let slots: Vec<Slot> = module.get_all_slots()?;
    let mut rows = Vec::new();
    for (store, slot) in stores.iter().zip(slots) {
        let (slot, session) = Contender::with_token(&module, slot)?;
        let (kind, module) = (Kind::Trellis, module.clone());
        let mut both = vec![Contender { kind, module, slot, path: path.to_owned(), session, objects: 0 }];
        let mut plans = vec![sealed(store)];
        if let Some(device) = &store.device {
            both.push(the_device(device)?);
            plans.extend(in_device(store, &both[1]));
        }
        for plan in plans.into_iter().filter(|plan| plan.is_wanted(only)) {
            rows.push(plan.measure(&both, turns)?);
        }
        // The module has initialised the device's library and logged in, and ends both.
        both.drain(1..).for_each(std::mem::forget);
    }
    Ok(rows)
}

/// The device without this module: one process, one login.
fn the_device(path: &Path) -> Result<Contender> {
    let module = Pkcs11::new(path)?;
    let slot = *module.get_slots_with_initialized_token()?.first().ok_or("the device has no token")?;
    let session = module.open_rw_session(slot)?;
    Ok(Contender { kind: Kind::Device, module, slot, path: path.to_owned(), session, objects: 0 })
}

/// ML-DSA-65 with a key that the store seals, or that is in the enclave.
fn sealed(store: &Store) -> Plan {
    // KMS is asked once in `--keep-open` seconds, which the measuring does not last.
    let opened = if store.name == ENCLAVE { ", opened before (--keep-open 300)" } else { "" };
    let what = format!("ML-DSA-65 sign, key in the store {}{opened}", store.name);
    let plan = Plan::new(STORES, what, |contenders, row| {
        let key = RawKey::generate(Algorithm::MlDsa65)?.ok_or("the engine lacks it")?;
        row.add(
            Column::of(RAW),
            Box::new(move || {
                std::hint::black_box(key.sign(&MESSAGE)?);
                Ok(Done::ONE)
            }),
        );
        let ours = &contenders[0];
        let (_, key) = Algorithm::MlDsa65.key_pair(&ours.session, true, "sealed")?;
        row.add(Column::ours(""), signing(&ours.session, Algorithm::MlDsa65, key));
        Ok(())
    });
    plan.promising(store.times_raw.map(Bound::of_raw))
}

/// Keys that are in the device, through this module and without it.
fn in_device(store: &Store, device: &Contender) -> Vec<Plan> {
    let (possible, not): (Vec<_>, Vec<_>) =
        IN_DEVICE.into_iter().partition(|algorithm| device.has(algorithm.needs()));
    not.iter().for_each(|algorithm| println!("{} has no {}: not measured", store.name, algorithm.name()));
    possible.into_iter().map(|algorithm| in_device_row(store, algorithm)).collect()
}

fn in_device_row(store: &Store, algorithm: Algorithm) -> Plan {
    let what = format!("{} sign, key in {} itself", algorithm.name(), store.name);
    let plan = Plan::new(STORES, what, move |both, row| {
        let (_, key) = algorithm.key_pair(&both[0].session, true, algorithm.name())?;
        let there = the_same_key(algorithm, &both[1].session)?;
        row.add(Column::of(DEVICE), signing(&both[1].session, algorithm, there));
        row.add(Column::ours(""), signing(&both[0].session, algorithm, key));
        Ok(())
    });
    plan.promising([Bound::MicrosOver(15.0, Column::of(DEVICE))])
}

/// The key, as the device shows it.
fn the_same_key(algorithm: Algorithm, device: &Session) -> Result<ObjectHandle> {
    let named = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(algorithm.name().into())];
    Ok(*device.find_objects(&named)?.first().ok_or("the key is not in the device")?)
}

fn signing(session: &Session, algorithm: Algorithm, key: ObjectHandle) -> Operation<'_> {
    Box::new(move || {
        std::hint::black_box(session.sign(&algorithm.usual(), key, &MESSAGE)?);
        Ok(Done::ONE)
    })
}
