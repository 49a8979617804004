//! A process that is killed between making a key in the HSM and keeping its object. (Kills at random moments are in the suite of
//! the C ABI.)

use std::path::{Path, PathBuf};

use algorithms::{Algorithm, ecdsa::Curve};
use cryptoki::object::ObjectClass;
use hsm_backends::{
    Attributes, KeySpec, KeyStore, Pin, Role,
    conformance::Fixture,
    pkcs11::{Libraries, Options, Pkcs11Store},
};

use super::{
    SoftHsm,
    child::{self, Running},
    neighbours::make,
    objects::{elsewhere, labels},
};

const P256: KeySpec = KeySpec::Pair(Algorithm::Ecdsa(Curve::P256));

/// Makes a key and no object, until it is killed. `base` has the records, and the library's path in a file.
pub(crate) fn hold(base: &Path) {
    let library = PathBuf::from(std::fs::read_to_string(base.join("library")).unwrap());
    let options = Options {
        library,
        token: SoftHsm::by_label("conformance"),
        directory: base.join("records"),
        pin_tries: 10,
        pass_through: None,
        data_in_hsm: true,
    };
    let store = Pkcs11Store::new(options, &Libraries::default());
    let vault = store.unlock(Role::User, &Pin::presented(b"user-pin")).unwrap();
    let _held = vault.generate(&P256).unwrap();
    child::say("ready");
    loop {
        std::thread::park();
    }
}

#[test]
fn a_pair_that_was_not_kept_goes_with_its_process_and_not_before() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    let log_in = || store.unlock(Role::User, &hsm.user_pin()).unwrap();
    let kept = make(&*log_in(), &P256, "kept");
    let base = hsm.records().parent().unwrap().to_owned();
    std::fs::write(base.join("library"), hsm.library("token").to_str().unwrap()).unwrap();
    let running = Running::start("hold", &base);
    let (_library, session) = elsewhere(&hsm);
    let pairs =
        || labels(&session).into_iter().filter(|(class, _)| *class != ObjectClass::SECRET_KEY).count();
    assert_eq!(log_in().find(&Attributes::new()).unwrap(), [kept], "what is not finished is not seen");
    assert_eq!(pairs(), 4, "it is about to be kept");
    drop(running);
    let vault = log_in();
    assert_eq!((vault.find(&Attributes::new()).unwrap(), pairs()), (vec![kept], 2));
}
