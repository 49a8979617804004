//! PINs that SoftHSM has read when it was initialised: half a file, or a PIN that another process has changed since.

use std::{fs, path::PathBuf};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    session::{Session, UserType},
    types::AuthPin,
};
use hsm_backends::{KeyStore, Pin, PinState, Role, StoreError, conformance::Fixture};

use super::SoftHsm;

/// The folders of more copies of the library, over the same token: each is as another process has it.
const SECOND: &str = "second";
const THIRD: &str = "third";

/// The file that SoftHSM keeps the token itself in.
fn token_file(hsm: &SoftHsm) -> PathBuf {
    let tokens = hsm.library("token").with_file_name("tokens");
    let token = fs::read_dir(tokens).unwrap().next().unwrap().unwrap();
    token.path().join("token.object")
}

/// Everything before the PINs: as much as a process finds that reads while another one writes. Numbers are of eight bytes; each
/// attribute has its type, its kind and its value, after a number that grows with each change of the file.
fn without_pins(file: &[u8]) -> &[u8] {
    const SO_PIN: u64 = 0x8000_534c;
    let at = (0..file.len()).find(|at| file[*at..].starts_with(&SO_PIN.to_be_bytes()));
    &file[..at.expect("an SO PIN in SoftHSM's file")]
}

fn text(pin: &Pin) -> AuthPin {
    AuthPin::new(String::from_utf8(pin.expose().to_vec()).unwrap().into())
}

fn copy(hsm: &SoftHsm, name: &str) -> PathBuf {
    let path = hsm.library(name);
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::copy(hsm.library("token"), &path).unwrap();
    path
}

/// SoftHSM by itself, which has read the token's file by now.
fn initialized(hsm: &SoftHsm) -> (Pkcs11, Session) {
    let library = Pkcs11::new(copy(hsm, SECOND)).unwrap();
    library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let slot = library.get_slots_with_initialized_token().unwrap()[0];
    let session = library.open_rw_session(slot).unwrap();
    (library, session)
}

#[test]
fn a_right_pin_is_taken_although_the_library_has_met_half_a_file() {
    for role in [Role::User, Role::SecurityOfficer] {
        let hsm = SoftHsm::passing_through();
        let file = token_file(&hsm);
        let mut whole = fs::read(&file).unwrap();
        fs::write(&file, without_pins(&whole)).unwrap();
        let store = hsm.open();
        store.description().unwrap();
        let (library, session) = initialized(&hsm);
        // Whoever was writing it is done, and the number says that there is something to read.
        whole[7] += 1;
        fs::write(&file, whole).unwrap();
        let (pin, kind, refusal) = match role {
            Role::User => (hsm.user_pin(), UserType::User, RvError::UserPinNotInitialized),
            Role::SecurityOfficer => (hsm.so_pin(), UserType::So, RvError::PinIncorrect),
        };
        let refused = session.login(kind, Some(&text(&pin))).unwrap_err();
        assert!(
            matches!(refused, Error::Pkcs11(rv, _) if rv == refusal),
            "{refused}: the test means nothing"
        );
        drop(store.unlock(role, &pin).map_err(|error| panic!("{error}")));
        let found = store.description().unwrap();
        assert_eq!(
            (found.user_pin, found.so_pin),
            (PinState::Good, PinState::Good),
            "a wrong PIN was counted"
        );
        assert_eq!(store.unlock(role, &Pin::presented(b"wrong")).unwrap_err(), StoreError::PinIncorrect);
        drop(session);
        drop(library);
    }
}

#[test]
fn a_pin_of_before_is_none_when_another_process_has_set_one() {
    let changes = |store: &dyn KeyStore, role, old: &Pin, new: &Pin| {
        store.admin().unwrap().set_pin(role, old, new).unwrap();
    };
    let sets = |store: &dyn KeyStore, so_pin: &Pin, new: &Pin| {
        let vault = store.unlock(Role::SecurityOfficer, so_pin).unwrap();
        store.admin().unwrap().init_pin(&*vault, new).unwrap();
    };
    for (role, by_so) in [(Role::User, false), (Role::User, true), (Role::SecurityOfficer, true)] {
        let hsm = SoftHsm::passing_through();
        let store = hsm.open();
        let old = if role == Role::User { hsm.user_pin() } else { hsm.so_pin() };
        drop(store.unlock(role, &old).unwrap());
        let (library, session) = initialized(&hsm);
        copy(&hsm, THIRD);
        let other = hsm.at(THIRD, SoftHsm::by_label("conformance"));
        let new = Pin::presented(b"changed");
        if role == Role::User && by_so {
            sets(&*other, &hsm.so_pin(), &new);
        } else {
            changes(&*other, role, &old, &new);
        }
        if role == Role::User {
            // SoftHSM takes it still, where it was initialised before; the records know better.
            session.login(UserType::User, Some(&text(&old))).expect("the test means something");
            assert_eq!(store.unlock(role, &old).unwrap_err(), StoreError::PinIncorrect);
        }
        drop(store.unlock(role, &new).unwrap());
        assert_eq!(store.unlock(role, &old).unwrap_err(), StoreError::PinIncorrect);
        drop(session);
        drop(library);
    }
}

#[test]
fn a_pin_of_before_is_none_for_a_vault_that_is_open() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    let vault = store.unlock(Role::User, &hsm.user_pin()).unwrap();
    copy(&hsm, THIRD);
    let other = hsm.at(THIRD, SoftHsm::by_label("conformance"));
    let (new, so) = (Pin::presented(b"changed"), other.unlock(Role::SecurityOfficer, &hsm.so_pin()).unwrap());
    other.admin().unwrap().init_pin(&*so, &new).unwrap();
    // This process's SoftHSM takes it still.
    assert_eq!(vault.verify_pin(&hsm.user_pin()), Err(StoreError::PinIncorrect));
    drop(vault);
    drop(store.unlock(Role::User, &new).unwrap());
    assert_eq!(store.unlock(Role::User, &hsm.user_pin()).unwrap_err(), StoreError::PinIncorrect);
}

#[test]
fn an_application_that_has_initialised_softhsm_is_not_in_its_way() {
    let hsm = SoftHsm::passing_through();
    drop(hsm.open().unlock(Role::User, &hsm.user_pin()).unwrap());
    // The library of this store is one that the application has initialised before the PIN was changed.
    let (library, session) = initialized(&hsm);
    let new = Pin::presented(b"changed");
    hsm.open().admin().unwrap().set_pin(Role::User, &hsm.user_pin(), &new).unwrap();
    let store = hsm.at(SECOND, SoftHsm::by_label("conformance"));
    let refused = store.unlock(Role::User, &hsm.user_pin()).unwrap_err();
    assert!(matches!(&refused, StoreError::Device(why) if why.contains("key list")), "{refused}");
    let found = store.description().unwrap();
    assert_eq!(found.user_pin, PinState::Good, "nobody has judged it");
    session.get_session_info().expect("the application's session goes on");
    drop(hsm.open().unlock(Role::User, &new).unwrap());
    drop(session);
    drop(library);
}
