//! C_FindObjects*: what matches, what is visible, what is a snapshot.

use super::*;

#[test]
fn templates_that_match() {
    let fixture = Fixture::user();
    let a = fixture.created(&aes_key().bytes(ck::CKA_LABEL, b"a").bytes(ck::CKA_ID, &[1]).and(&on_token()));
    let b = fixture.created(&aes_key().bytes(ck::CKA_LABEL, b"b").ulong(ck::CKA_ALLOWED_MECHANISMS, 7));
    let c = fixture.created(&data().bytes(ck::CKA_VALUE, b"contents"));
    let d = fixture.created(&ed25519_private().and(&readable()).and(&on_token()));
    let made = Made::default;
    let unique = fixture.value(a, ck::CKA_UNIQUE_ID);
    let unique_in_session = fixture.value(b, ck::CKA_UNIQUE_ID);
    let cases: &[(&str, Made, &[ObjectHandle])] = &[
        ("everything, the token's first", made(), &[a, d, b, c]),
        ("class", class(ck::CKO_SECRET_KEY), &[a, b]),
        ("key type", made().ulong(ck::CKA_KEY_TYPE, ck::CKK_AES), &[a, b]),
        ("label", made().bytes(ck::CKA_LABEL, b"a"), &[a]),
        ("empty label", made().bytes(ck::CKA_LABEL, b""), &[d, c]),
        ("the same twice", made().bytes(ck::CKA_LABEL, b"a").bytes(ck::CKA_LABEL, b"a"), &[a]),
        ("two values", made().bytes(ck::CKA_LABEL, b"a").bytes(ck::CKA_LABEL, b"b"), &[]),
        ("on the token", on_token(), &[a, d]),
        ("in a session", made().bool(ck::CKA_TOKEN, false), &[b, c]),
        ("unique id", made().bytes(ck::CKA_UNIQUE_ID, &unique), &[a]),
        ("unique id, and more", made().bytes(ck::CKA_UNIQUE_ID, &unique).bytes(ck::CKA_LABEL, b"b"), &[]),
        ("unique id in the session", made().bytes(ck::CKA_UNIQUE_ID, &unique_in_session), &[b]),
        ("unique id of nobody", made().bytes(ck::CKA_UNIQUE_ID, &[b'0'; 32]), &[]),
        ("no unique id", made().bytes(ck::CKA_UNIQUE_ID, b"x"), &[]),
        ("list", made().ulong(ck::CKA_ALLOWED_MECHANISMS, 7), &[b]),
        ("contents", made().bytes(ck::CKA_VALUE, b"contents"), &[c]),
        ("a secret", made().bytes(ck::CKA_VALUE, &[7; 16]), &[]),
        ("a readable secret", made().bytes(ck::CKA_VALUE, &[7; 32]), &[]),
        ("unknown attribute", made().bytes(0x7777, b""), &[]),
        ("vendor attribute", made().bytes(ck::CKA_VENDOR_DEFINED | 0x104, &[1]), &[]),
        ("unknown class", class(0x1234), &[]),
        ("vendor class", class(ck::CKO_VENDOR_DEFINED | 0x4e53), &[]),
        ("trust", class(ck::CKO_TRUST), &[]),
        ("validation", class(ck::CKO_VALIDATION), &[]),
        ("hardware", class(ck::CKO_HW_FEATURE), &[]),
        ("short class", made().bytes(ck::CKA_CLASS, &[4, 0, 0, 0]), &[]),
        ("no boolean", made().bytes(ck::CKA_TOKEN, &[2]), &[]),
    ];
    for (case, template, expected) in cases {
        assert_eq!(fixture.find(template), *expected, "{case}");
    }
    let malformed = made().malformed(ck::CKA_LABEL);
    assert_eq!(
        fixture.module.find_objects_init(fixture.rw, &malformed.raw()),
        Err(Error::AttributeValueInvalid)
    );
    assert_eq!(fixture.find(&made()).len(), 4, "no search was begun");
}

#[test]
fn built_in_objects_are_found_by_class_only() {
    let fixture = Fixture::public();
    assert_eq!(fixture.find(&Made::default()), []);
    let mechanisms = fixture.find(&class(ck::CKO_MECHANISM));
    let types: Vec<u64> =
        mechanisms.iter().map(|found| fixture.number(*found, ck::CKA_MECHANISM_TYPE)).collect();
    assert_eq!(types, crate::mechanism::MECHANISMS.iter().map(|row| row.kind).collect::<Vec<_>>());
    let eddsa = class(ck::CKO_MECHANISM).ulong(ck::CKA_MECHANISM_TYPE, ck::CKM_EDDSA);
    let [found] = fixture.find(&eddsa)[..] else { panic!("one object") };
    assert_eq!(fixture.number(found, ck::CKA_MECHANISM_TYPE), ck::CKM_EDDSA);
    assert_eq!(fixture.find(&class(ck::CKO_PROFILE)).len(), 4);
    // NSS asks for profiles on the token.
    assert_eq!(fixture.find(&class(ck::CKO_PROFILE).and(&on_token()).bool(ck::CKA_PRIVATE, false)).len(), 4);
    assert_eq!(fixture.find(&class(ck::CKO_PROFILE).bool(ck::CKA_TOKEN, false)), []);
    assert!(matches!(fixture.answer(mechanisms[0], ck::CKA_LABEL), Answer::TypeInvalid));

    // A private certificate ends the promise that certificates need no login, for those who can see it.
    let certificate = class(ck::CKO_CERTIFICATE)
        .ulong(ck::CKA_CERTIFICATE_TYPE, ck::CKC_X_509)
        .bytes(ck::CKA_SUBJECT, b"")
        .bytes(ck::CKA_VALUE, &[0x30, 0])
        .and(&on_token());
    let public_certificates =
        class(ck::CKO_PROFILE).ulong(ck::CKA_PROFILE_ID, ck::CKP_PUBLIC_CERTIFICATES_TOKEN);
    fixture.created(&certificate);
    assert_eq!(fixture.find(&public_certificates).len(), 1);
    fixture.log_in(Some(Role::User));
    fixture.created(&certificate.bool(ck::CKA_PRIVATE, true));
    assert_eq!(fixture.find(&public_certificates), []);
    assert_eq!(fixture.find(&class(ck::CKO_PROFILE)).len(), 3);
}

/// The profile "public certificates token": a certificate and its keys go by one CKA_ID, and the public key is there.
#[test]
fn certificates_and_their_keys_share_an_id_where_the_profile_says_so() {
    let fixture = Fixture::user();
    let holds = || {
        let profile = class(ck::CKO_PROFILE).ulong(ck::CKA_PROFILE_ID, ck::CKP_PUBLIC_CERTIFICATES_TOKEN);
        !fixture.find(&profile).is_empty()
    };
    let id = |id: &[u8]| on_token().bytes(ck::CKA_ID, id);
    let (public, private) = fixture
        .generate_pair(
            ck::CKM_EC_EDWARDS_KEY_PAIR_GEN,
            &id(b"1").bytes(ck::CKA_EC_PARAMS, ED25519),
            &id(b"1"),
        )
        .expect("a pair");
    let certificate = |cka_id: &[u8]| {
        class(ck::CKO_CERTIFICATE)
            .ulong(ck::CKA_CERTIFICATE_TYPE, ck::CKC_X_509)
            .bytes(ck::CKA_SUBJECT, b"")
            .bytes(ck::CKA_VALUE, &[0x30, 0])
            .bytes(ck::CKA_PUBLIC_KEY_INFO, &fixture.value(private, ck::CKA_PUBLIC_KEY_INFO))
            .and(&id(cka_id))
    };
    fixture.created(&certificate(b"1"));
    assert!(holds());
    let stray = fixture.created(&certificate(b"2"));
    assert!(!holds(), "another CKA_ID");
    fixture.module.destroy_object(fixture.rw, stray).expect("it is there");
    assert!(holds());
    fixture.module.destroy_object(fixture.rw, public).expect("it is there");
    assert!(!holds(), "nothing by which the key is found without a login");
    fixture.module.destroy_object(fixture.rw, private).expect("it is there");
    assert!(holds(), "the certificate of somebody else's key");
}

#[test]
fn private_objects_are_the_users() {
    let fixture = Fixture::user();
    let private = fixture.created(&aes_key().and(&on_token()));
    let public = fixture.created(&data().and(&on_token()));
    for (role, expected) in [
        (Some(Role::User), &[private, public][..]),
        (Some(Role::SecurityOfficer), &[public]),
        (None, &[public]),
    ] {
        fixture.log_in(role);
        assert_eq!(fixture.find(&Made::default()), expected, "{role:?}");
        let seen = fixture.module.attribute_values(fixture.rw, private, &[ck::CKA_CLASS]);
        assert_eq!(seen.is_ok(), role == Some(Role::User), "{role:?}");
        assert_eq!(fixture.find(&Made::default().bytes(ck::CKA_UNIQUE_ID, b"x")), []);
    }
    assert_eq!(
        fixture.module.attribute_values(fixture.rw, private, &[]).err(),
        Some(Error::ObjectHandleInvalid)
    );
}

#[test]
fn a_search_is_a_state_of_the_session() {
    let fixture = Fixture::public();
    let (module, rw) = (&fixture.module, fixture.rw);
    let objects: Vec<_> = (0..5).map(|_| fixture.created(&data())).collect();
    assert_eq!(module.find_objects(rw, 1), Err(Error::OperationNotInitialized));
    assert_eq!(module.find_objects_final(rw), Err(Error::OperationNotInitialized));
    assert_eq!(module.find_objects_init(rw, &data().raw()), Ok(()));
    assert_eq!(module.find_objects_init(rw, &data().raw()), Err(Error::OperationActive));
    assert_eq!(module.find_objects(rw, 0), Ok(vec![]));
    assert_eq!(module.find_objects(rw, 2), Ok(objects[..2].to_vec()));
    // Neither another session nor what comes and goes meanwhile disturbs it.
    assert_eq!(fixture.find(&data()), objects);
    fixture.created(&data());
    assert_eq!(module.destroy_object(rw, objects[2]), Ok(()));
    assert_eq!(module.find_objects(rw, 10), Ok(objects[2..].to_vec()));
    assert_eq!(module.find_objects(rw, 10), Ok(vec![]));
    assert_eq!(module.find_objects_final(rw), Ok(()));
    assert_eq!(module.find_objects_init(rw, &data().raw()), Ok(()));
}
