//! One table for the stores that keys may be in: this module over each of them, beside the bare algorithm where keys are
//! sealed, and beside the device itself where they are in it. A new store is one more line in [`all`].

use std::{
    error::Error,
    path::{Path, PathBuf},
};

use cryptoki::{
    context::Pkcs11,
    mechanism::{
        Mechanism, MechanismType,
        eddsa::{EddsaParams, EddsaSignatureScheme},
    },
    object::{Attribute, ObjectClass, ObjectHandle},
    session::Session,
    slot::Slot,
};

use crate::{
    contender::{Contender, Kind},
    devices::Devices,
    measure::{Done, Operation, Turns},
    raw,
    rows::{Algorithm, Bound, Builder, MESSAGE, RAW, Row},
};

/// The device itself, in a row.
pub(crate) const DEVICE: &str = "the device alone";

/// A place for keys.
pub(crate) struct Store {
    /// For the table.
    name: &'static str,
    /// What its `[[slot]]` says besides id and path.
    slot: String,
    /// The library that reaches the device without this module.
    device: Option<PathBuf>,
    /// How much of the bare algorithm's speed its ML-DSA-65 keys must reach; nothing where they are elsewhere.
    share_of_raw: Option<f64>,
}

/// The environment variable that tells the measuring process which stores its configuration has.
pub(crate) const VARIABLE: &str = "TRELLIS_BENCH_STORES";
/// What sealed keys must reach once somebody is logged in.
const SEALED: Option<f64> = Some(0.85);
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

/// For [`VARIABLE`].
pub(crate) fn names(stores: &[Store]) -> String {
    stores.iter().map(|store| store.name).collect::<Vec<_>>().join(",")
}

impl Store {
    fn named(name: &'static str, slot: String, softhsm: &Path) -> Self {
        let device = (name == SOFTHSM).then(|| softhsm.to_owned());
        Self { name, slot, device, share_of_raw: SEALED.filter(|_| name != ENCLAVE) }
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

/// A kind of key that devices have.
#[derive(Debug, Clone, Copy)]
enum InDevice {
    Ed25519,
    P256,
}

impl InDevice {
    const ALL: [Self; 2] = [Self::Ed25519, Self::P256];

    fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::P256 => "ECDSA P-256",
        }
    }

    fn mechanism(self) -> Mechanism<'static> {
        match self {
            Self::Ed25519 => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)),
            Self::P256 => Mechanism::Ecdsa,
        }
    }

    fn needs(self) -> MechanismType {
        match self {
            Self::Ed25519 => MechanismType::EDDSA,
            Self::P256 => MechanismType::ECDSA,
        }
    }

    fn generate(self, session: &Session) -> Result<ObjectHandle, Box<dyn Error>> {
        let (mechanism, parameters): (_, &[u8]) = match self {
            Self::Ed25519 => (Mechanism::EccEdwardsKeyPairGen, &[0x06, 0x03, 0x2b, 0x65, 0x70]),
            Self::P256 => {
                (Mechanism::EccKeyPairGen, &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07])
            }
        };
        let label = Attribute::Label(self.name().into());
        let public = [Attribute::Token(true), label.clone(), Attribute::EcParams(parameters.to_vec())];
        let private = [Attribute::Token(true), Attribute::Private(true), Attribute::Sign(true), label];
        Ok(session.generate_key_pair(&mechanism, &public, &private)?.1)
    }

    /// The same key, as the device shows it.
    fn find(self, device: &Session) -> Result<ObjectHandle, Box<dyn Error>> {
        let named = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(self.name().into())];
        let found = device.find_objects(&named)?;
        Ok(*found.first().ok_or("the key is not in the device")?)
    }
}

/// Measures every store; rows are those whose headings contain `only`.
pub(crate) fn measure_all(
    module: &Path,
    stores: &[Store],
    turns: Turns,
    only: &str,
) -> Result<Vec<Row>, Box<dyn Error>> {
    let module = Contender::loaded(module)?;
    Contender::initialize(&module)?;
    let slots: Vec<Slot> = module.get_all_slots()?;
    let mut rows = Vec::new();
    let wanted = |what: &str| what.to_lowercase().contains(&only.to_lowercase());
    for (store, slot) in stores.iter().zip(slots) {
        if !wanted(&format!("store {}", store.name)) && !wanted("ML-DSA-65 Ed25519 ECDSA P-256 sign") {
            continue;
        }
        let (_, session) = Contender::with_token(&module, slot)?;
        rows.push(sealed(store, &session, turns)?);
        if let Some(device) = &store.device {
            rows.extend(in_device(store, device, &session, turns)?);
        }
    }
    Ok(rows)
}

/// ML-DSA-65 with a key that the store seals, or that is in the enclave.
fn sealed(store: &Store, session: &Session, turns: Turns) -> Result<Row, Box<dyn Error>> {
    // KMS is asked once in `--keep-open` seconds, which the measuring does not last.
    let opened = if store.name == ENCLAVE { ", opened before (--keep-open 300)" } else { "" };
    let what = format!("ML-DSA-65 sign, key in the store {}{opened}", store.name);
    let mut row = Builder::new(what, store.share_of_raw.map(Bound::ShareOfRaw));
    row.add(RAW, raw::sign(Algorithm::MlDsa65, &MESSAGE)?);
    let (generate, parameters) = Algorithm::MlDsa65.key_generation();
    let public = [Attribute::Token(true), Attribute::Verify(true), parameters];
    let private = [Attribute::Token(true), Attribute::Private(true), Attribute::Sign(true)];
    let (_, key) = session.generate_key_pair(&generate, &public, &private)?;
    row.add(Kind::Trellis.name(), signing(session, Algorithm::MlDsa65.mechanism(), key));
    row.run(turns)
}

/// Keys that are in the device, through this module and without it: one process, one login, one key.
fn in_device(
    store: &Store,
    device: &Path,
    session: &Session,
    turns: Turns,
) -> Result<Vec<Row>, Box<dyn Error>> {
    // The module has initialised the library and logged in, and ends both.
    let device = Pkcs11::new(device)?;
    let mut rows = Vec::new();
    {
        let slot = *device.get_slots_with_initialized_token()?.first().ok_or("the device has no token")?;
        let direct = device.open_rw_session(slot)?;
        for kind in InDevice::ALL {
            if device.get_mechanism_info(slot, kind.needs()).is_err() {
                println!("{} has no {}: not measured", store.name, kind.name());
                continue;
            }
            let key = kind.generate(session)?;
            let there = kind.find(&direct)?;
            let what = format!("{} sign, key in {} itself", kind.name(), store.name);
            let mut row = Builder::new(what, Some(Bound::MicrosOver(15.0)));
            row.add(DEVICE, signing(&direct, kind.mechanism(), there));
            row.add(Kind::Trellis.name(), signing(session, kind.mechanism(), key));
            rows.push(row.run(turns)?);
        }
    }
    std::mem::forget(device);
    Ok(rows)
}

fn signing<'a>(session: &'a Session, mechanism: Mechanism<'static>, key: ObjectHandle) -> Operation<'a> {
    Box::new(move || {
        std::hint::black_box(session.sign(&mechanism, key, &MESSAGE)?);
        Ok(Done::ONE)
    })
}
