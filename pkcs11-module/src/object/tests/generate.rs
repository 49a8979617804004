//! Key generation: templates by table, both objects or none.

use super::*;
use hsm_backends::StoreError;

const ML_DSA: u64 = ck::CKM_ML_DSA_KEY_PAIR_GEN;
const EDWARDS: u64 = ck::CKM_EC_EDWARDS_KEY_PAIR_GEN;

fn set(ckp: u64) -> Made {
    Made::default().ulong(ck::CKA_PARAMETER_SET, ckp)
}

fn edwards() -> Made {
    Made::default().bytes(ck::CKA_EC_PARAMS, ED25519)
}

#[test]
fn template_errors() {
    use Error::{
        AttributeReadOnly, AttributeTypeInvalid, AttributeValueInvalid, CurveNotSupported, MechanismInvalid,
        ParameterSetNotSupported, TemplateIncomplete, TemplateInconsistent,
    };
    let made = Made::default;
    let rsa = |bits| made().ulong(ck::CKA_MODULUS_BITS, bits);
    let cases: &[(&str, u64, Made, Made, Error)] = &[
        ("no pair", ck::CKM_AES_KEY_GEN, made(), made(), MechanismInvalid),
        ("no generation", ck::CKM_ML_DSA, set(1), made(), MechanismInvalid),
        ("no set", ML_DSA, made(), made(), TemplateIncomplete),
        ("set 0", ML_DSA, set(0), made(), ParameterSetNotSupported),
        ("set 4", ML_DSA, made(), set(4), ParameterSetNotSupported),
        ("two sets", ML_DSA, set(1), set(2), TemplateInconsistent),
        ("seed given", ML_DSA, set(1), made().bytes(ck::CKA_SEED, &[7; 32]), AttributeReadOnly),
        ("value given", ML_DSA, set(1).bytes(ck::CKA_VALUE, &[7; 1312]), made(), AttributeReadOnly),
        ("no curve", EDWARDS, made(), made(), TemplateIncomplete),
        ("NIST curve", EDWARDS, made().bytes(ck::CKA_EC_PARAMS, P256), made(), CurveNotSupported),
        ("two curves", EDWARDS, edwards(), made().bytes(ck::CKA_EC_PARAMS, P256), TemplateInconsistent),
        ("wrong class", EDWARDS, edwards().and(&class(ck::CKO_PRIVATE_KEY)), made(), TemplateInconsistent),
        ("wrong type", EDWARDS, edwards(), made().ulong(ck::CKA_KEY_TYPE, ck::CKK_EC), TemplateInconsistent),
        ("unknown attribute", EDWARDS, edwards(), made().bytes(0x7777, b""), AttributeTypeInvalid),
        ("foreign attribute", EDWARDS, edwards().bool(ck::CKA_SIGN, true), made(), TemplateInconsistent),
        ("local", EDWARDS, edwards(), made().bool(ck::CKA_LOCAL, false), AttributeReadOnly),
        ("no bits", ck::CKM_RSA_PKCS_KEY_PAIR_GEN, made(), made(), TemplateIncomplete),
        ("512 bits", ck::CKM_RSA_PKCS_KEY_PAIR_GEN, rsa(512), made(), AttributeValueInvalid),
        ("2049 bits", ck::CKM_RSA_PKCS_KEY_PAIR_GEN, rsa(2049), made(), AttributeValueInvalid),
        (
            "2^32 + 2048 bits",
            ck::CKM_RSA_PKCS_KEY_PAIR_GEN,
            rsa((1 << 32) + 2048),
            made(),
            AttributeValueInvalid,
        ),
        (
            "even exponent",
            ck::CKM_RSA_PKCS_KEY_PAIR_GEN,
            rsa(2048).bytes(ck::CKA_PUBLIC_EXPONENT, &[1, 0, 0]),
            made(),
            AttributeValueInvalid,
        ),
    ];
    let fixture = Fixture::user();
    for (case, mechanism, public, private, error) in cases {
        assert_eq!(fixture.generate_pair(*mechanism, public, private), Err(*error), "{case}");
    }
    let len = |len| made().ulong(ck::CKA_VALUE_LEN, len);
    for (case, mechanism, template, error) in [
        ("pair", EDWARDS, made(), MechanismInvalid),
        ("no length", ck::CKM_AES_KEY_GEN, made(), TemplateIncomplete),
        ("17 bytes", ck::CKM_AES_KEY_GEN, len(17), AttributeValueInvalid),
        ("value", ck::CKM_AES_KEY_GEN, len(16).bytes(ck::CKA_VALUE, &[7; 16]), AttributeReadOnly),
        ("no bytes", ck::CKM_GENERIC_SECRET_KEY_GEN, len(0), AttributeValueInvalid),
        ("absurd", ck::CKM_GENERIC_SECRET_KEY_GEN, len(u64::MAX), AttributeValueInvalid),
        (
            "type",
            ck::CKM_AES_KEY_GEN,
            len(16).ulong(ck::CKA_KEY_TYPE, ck::CKK_GENERIC_SECRET),
            TemplateInconsistent,
        ),
    ] {
        assert_eq!(fixture.generate(mechanism, &template), Err(error), "{case}");
    }
    assert_eq!(fixture.find(&Made::default()), []);
}

#[test]
fn both_objects_or_none() {
    let fixture = Fixture::user();
    let session = Made::default();
    for (public, private) in
        [(on_token(), on_token()), (on_token(), session.clone()), (session.clone(), on_token())]
    {
        let commits = fixture.store.commits();
        fixture.store.fail_next(StoreError::Full);
        let pair = fixture.generate_pair(EDWARDS, &edwards().and(&public), &private);
        assert_eq!(pair, Err(Error::DeviceMemory));
        assert_eq!(fixture.find(&Made::default()), []);
        let (public, private) =
            fixture.generate_pair(EDWARDS, &edwards().and(&public), &private).expect("a key pair");
        assert_eq!(fixture.store.commits(), commits + 1, "one commit");
        for handle in [public, private] {
            assert_eq!(fixture.module.destroy_object(fixture.rw, handle), Ok(()));
        }
    }
    let read_only = |public: &Made, private: &Made| {
        fixture.module.generate_key_pair(fixture.ro, call(EDWARDS), &public.raw(), &private.raw())
    };
    assert_eq!(read_only(&edwards().and(&on_token()), &session), Err(Error::SessionReadOnly));
    assert_eq!(read_only(&edwards(), &on_token()), Err(Error::SessionReadOnly));
    assert!(read_only(&edwards(), &session).is_ok());
    fixture.log_in(None);
    assert_eq!(fixture.generate_pair(EDWARDS, &edwards(), &session), Err(Error::UserNotLoggedIn));
    assert!(
        fixture.generate_pair(EDWARDS, &edwards(), &Made::default().bool(ck::CKA_PRIVATE, false)).is_ok()
    );
}

#[test]
fn generated_pairs_know_their_history() {
    let fixture = Fixture::user();
    let ml_dsa = [1, 2, 3].into_iter().flat_map(|ckp| {
        // In the public template, the private one, or both, as clients do.
        [
            (ML_DSA, set(ckp), set(ckp)),
            (ML_DSA, set(ckp), Made::default()),
            (ML_DSA, Made::default(), set(ckp)),
        ]
    });
    let p256 = Made::default().bytes(ck::CKA_EC_PARAMS, P256);
    let edwards_by_name =
        Made::default().bytes(ck::CKA_EC_PARAMS, &[&[0x13, 12][..], b"edwards25519"].concat());
    let others = [
        (EDWARDS, edwards(), Made::default()),
        (EDWARDS, edwards_by_name.bool(ck::CKA_DERIVE, true), Made::default().bool(ck::CKA_DERIVE, true)),
        (ck::CKM_EC_KEY_PAIR_GEN, p256, Made::default()),
    ];
    for (mechanism, public, private) in ml_dsa.chain(others) {
        for place in [on_token(), Made::default()] {
            let (public, private) = fixture
                .generate_pair(mechanism, &public.clone().and(&place), &private.clone().and(&place))
                .expect("a key pair");
            for key in [public, private] {
                assert!(fixture.flag(key, ck::CKA_LOCAL));
                assert_eq!(fixture.number(key, ck::CKA_KEY_GEN_MECHANISM), mechanism);
            }
            assert_eq!(
                fixture.value(public, ck::CKA_PUBLIC_KEY_INFO),
                fixture.value(private, ck::CKA_PUBLIC_KEY_INFO)
            );
            for on in [ck::CKA_SIGN, ck::CKA_SENSITIVE, ck::CKA_ALWAYS_SENSITIVE, ck::CKA_NEVER_EXTRACTABLE] {
                assert!(fixture.flag(private, on), "{on:#x}");
            }
            assert!(fixture.flag(public, ck::CKA_VERIFY) && !fixture.flag(public, ck::CKA_PRIVATE));
            let public_key = super::super::Object::resolve(&fixture.slot, public)
                .unwrap()
                .public_key(&fixture.slot)
                .unwrap();
            assert_eq!(public_key.to_spki().unwrap(), fixture.value(public, ck::CKA_PUBLIC_KEY_INFO));
        }
    }
    let (_, loose) = fixture.generate_pair(ML_DSA, &set(2), &readable()).expect("a key pair");
    assert!(
        !fixture.flag(loose, ck::CKA_ALWAYS_SENSITIVE) && !fixture.flag(loose, ck::CKA_NEVER_EXTRACTABLE)
    );
    let again = key(ck::CKO_PRIVATE_KEY, ck::CKK_ML_DSA)
        .and(&set(2))
        .bytes(ck::CKA_SEED, &fixture.value(loose, ck::CKA_SEED))
        .bytes(ck::CKA_VALUE, &fixture.value(loose, ck::CKA_VALUE));
    let again = fixture.created(&again);
    assert_eq!(fixture.value(again, ck::CKA_PUBLIC_KEY_INFO), fixture.value(loose, ck::CKA_PUBLIC_KEY_INFO));
}

#[test]
fn generated_secret_keys() {
    let fixture = Fixture::user();
    for (mechanism, len) in [
        (ck::CKM_AES_KEY_GEN, 16),
        (ck::CKM_AES_KEY_GEN, 32),
        (ck::CKM_GENERIC_SECRET_KEY_GEN, 1),
        (ck::CKM_GENERIC_SECRET_KEY_GEN, 64),
    ] {
        let template = Made::default().ulong(ck::CKA_VALUE_LEN, len).and(&readable());
        for place in [on_token(), Made::default()] {
            let key = fixture.generate(mechanism, &template.clone().and(&place)).expect("a key");
            assert_eq!(fixture.value(key, ck::CKA_VALUE).len() as u64, len);
            assert_eq!(fixture.number(key, ck::CKA_VALUE_LEN), len);
            assert!(fixture.flag(key, ck::CKA_LOCAL) && !fixture.flag(key, ck::CKA_ALWAYS_SENSITIVE));
        }
    }
}

#[test]
fn a_session_that_closes_meanwhile_leaves_nothing_behind() {
    let fixture = Arc::new(Fixture::user());
    let (edwards, session) = (edwards(), Made::default());
    let half_on_token =
        |fixture: &Fixture| fixture.generate_pair(EDWARDS, &edwards.clone().and(&on_token()), &session);
    // The store calls back in the middle of the commit, as another thread would come in between.
    let weak = Arc::downgrade(&fixture);
    fixture.store.during_commit(move || {
        let fixture = weak.upgrade().expect("the test holds it");
        fixture.module.sessions.close(fixture.rw).expect("open until now");
    });
    assert_eq!(half_on_token(&fixture), Err(Error::SessionHandleInvalid));
    assert_eq!(fixture.find(&Made::default()), []);

    let fixture = Arc::new(Fixture::user());
    let weak = Arc::downgrade(&fixture);
    fixture.store.during_commit(move || weak.upgrade().expect("the test holds it").log_in(None));
    assert_eq!(half_on_token(&fixture), Err(Error::UserNotLoggedIn));
    fixture.log_in(Some(Role::User));
    assert_eq!(fixture.find(&Made::default()), []);
}

#[test]
fn a_pair_that_does_not_fit_together_is_the_last_thing_the_module_makes() {
    let fixture = Fixture::user();
    fixture.store.break_generator();
    let pair = fixture.generate_pair(EDWARDS, &edwards(), &on_token());
    assert_eq!(pair, Err(Error::DeviceError));
    assert!(fixture.module.has_failed());
    assert_eq!(fixture.find(&Made::default()), []);
}
