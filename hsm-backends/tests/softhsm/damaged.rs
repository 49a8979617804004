//! A record that cannot be read is not destroyed: its key in the HSM would stay, and nobody would know of it.

use algorithms::{Algorithm, ecdsa::Curve};
use cryptoki::object::ObjectClass;
use hsm_backends::{Attributes, Change, KeySpec, Role, StoreError, conformance::Fixture};

use super::{
    SoftHsm,
    flip::flip,
    neighbours::{make, sign},
    objects::{elsewhere, labels},
};

#[test]
fn a_damaged_record_is_not_destroyed_without_its_key() {
    let hsm = SoftHsm::passing_through();
    let store = hsm.open();
    let log_in = || store.unlock(Role::User, &hsm.user_pin()).unwrap();
    let id = make(&*log_in(), &KeySpec::Pair(Algorithm::Ecdsa(Curve::P256)), "key");
    let (library, session) = elsewhere(&hsm);
    let in_hsm = || labels(&session).contains(&(ObjectClass::PRIVATE_KEY, "key".into()));
    for column in ["attributes", "secret"] {
        flip(&hsm.records(), id, column);
        let refused = log_in().commit(vec![Change::Destroy { id }]).unwrap_err();
        assert!(matches!(refused, StoreError::Damaged(_)), "{column}: {refused}");
        assert!(in_hsm(), "{column}");
        flip(&hsm.records(), id, column);
        sign(&*log_in().private_key(id).unwrap()).unwrap();
    }
    let vault = log_in();
    vault.commit(vec![Change::Destroy { id }]).unwrap();
    assert_eq!((vault.find(&Attributes::new()).unwrap(), in_hsm()), (vec![], false));
    drop(session);
    std::mem::forget(library);
}
