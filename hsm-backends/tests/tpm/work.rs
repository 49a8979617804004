//! What the tests here do with a token.

use std::path::Path;

use algorithms::{Algorithm, Signing, ed25519};
use cryptoki_sys as ck;
use hsm_backends::{
    Attributes, Change, KeySpec, KeyStore, NewSecret, Pin, PinState, PrivateKey, RecordId, Role, StoreError,
    Value, Vault, conformance::Fixture,
};

use crate::Sealed;

/// A private Ed25519 key with a label.
pub(crate) fn make(vault: &dyn Vault, label: &str) -> RecordId {
    let secret = vault.generate(&KeySpec::Pair(Algorithm::Ed25519)).unwrap();
    let NewSecret::Private(_) = &secret else { panic!("a pair has a private key") };
    let id = RecordId::random().unwrap();
    vault.commit(vec![Change::Create { id, attributes: attributes(label), secret: Some(secret) }]).unwrap();
    id
}

pub(crate) fn attributes(label: &str) -> Attributes {
    [
        (ck::CKA_CLASS, Value::Ulong(ck::CKO_PRIVATE_KEY)),
        (ck::CKA_PRIVATE, Value::Bool(true)),
        (ck::CKA_LABEL, Value::Bytes(label.as_bytes().to_vec())),
    ]
    .into_iter()
    .collect()
}

pub(crate) fn sign(key: &dyn PrivateKey, message: &[u8]) {
    let signing = Signing::Ed25519(ed25519::Input::Pure(message));
    let signature = key.sign(signing).unwrap();
    key.public_key().unwrap().verify(signing, &signature).unwrap();
}

pub(crate) fn user(store: &dyn KeyStore, pin: &Pin) -> Result<Box<dyn Vault>, StoreError> {
    store.unlock(Role::User, pin)
}

/// That the user is refused for this reason, and that it costs no try.
pub(crate) fn refused(store: &dyn KeyStore, pin: &Pin, why: &str) {
    match user(store, pin).unwrap_err() {
        StoreError::Device(text) | StoreError::Absent(text) => assert!(text.contains(why), "{text}"),
        other => panic!("{other}"),
    }
    assert_eq!(store.description().unwrap().user_pin, PinState::Good);
}

/// Copies a store that nobody has open, as a thief does.
pub(crate) fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::PermissionsExt;

    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// The security officer sets the user's PIN.
pub(crate) fn reset(token: &Sealed, store: &dyn KeyStore, new: &Pin) {
    let so = store.unlock(Role::SecurityOfficer, &token.so_pin()).unwrap();
    store.admin().unwrap().init_pin(&*so, new).unwrap();
}
