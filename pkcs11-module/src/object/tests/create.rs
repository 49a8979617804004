//! C_CreateObject: templates by table, and imports read back.

use super::*;
use algorithms::{PrivateKey, SecretBytes, ml_dsa};

#[test]
fn template_errors() {
    use Error::{
        AttributeReadOnly, AttributeTypeInvalid, AttributeValueInvalid, CurveNotSupported,
        DomainParamsInvalid, ParameterSetNotSupported, TemplateIncomplete, TemplateInconsistent,
    };
    let private = |key_type| key(ck::CKO_PRIVATE_KEY, key_type);
    let public = |key_type| key(ck::CKO_PUBLIC_KEY, key_type);
    let certificate = || class(ck::CKO_CERTIFICATE).ulong(ck::CKA_CERTIFICATE_TYPE, ck::CKC_X_509);
    let cases: &[(&str, Made, Error)] = &[
        ("nothing", Made::default(), TemplateIncomplete),
        ("no class", Made::default().bytes(ck::CKA_LABEL, b"x"), TemplateIncomplete),
        ("unknown class", class(0x1234), AttributeValueInvalid),
        ("vendor class", class(ck::CKO_VENDOR_DEFINED | 1), AttributeValueInvalid),
        ("profile", class(ck::CKO_PROFILE), AttributeValueInvalid),
        ("mechanism", class(ck::CKO_MECHANISM), AttributeValueInvalid),
        ("hardware feature", class(ck::CKO_HW_FEATURE), AttributeValueInvalid),
        ("short class", Made::default().bytes(ck::CKA_CLASS, &[0; 4]), AttributeValueInvalid),
        ("class NULL", Made::default().malformed(ck::CKA_CLASS), AttributeValueInvalid),
        ("key without type", class(ck::CKO_SECRET_KEY), TemplateIncomplete),
        ("unknown key type", key(ck::CKO_SECRET_KEY, ck::CKK_DES3), AttributeValueInvalid),
        ("type of another class", key(ck::CKO_SECRET_KEY, ck::CKK_RSA), AttributeValueInvalid),
        ("unknown attribute", data().bytes(0x7777, b""), AttributeTypeInvalid),
        ("vendor attribute", data().bytes(ck::CKA_VENDOR_DEFINED | 1, b""), AttributeTypeInvalid),
        ("attribute of another class", data().bool(ck::CKA_SIGN, true), TemplateInconsistent),
        ("value NULL", data().malformed(ck::CKA_VALUE), AttributeValueInvalid),
        ("label not UTF-8", data().bytes(ck::CKA_LABEL, &[0xff]), AttributeValueInvalid),
        ("boolean of 2", data().bytes(ck::CKA_MODIFIABLE, &[2]), AttributeValueInvalid),
        ("long boolean", data().bytes(ck::CKA_TOKEN, &[1, 0, 0, 0]), AttributeValueInvalid),
        ("unique id", data().bytes(ck::CKA_UNIQUE_ID, b"x"), AttributeReadOnly),
        ("local", aes_key().bool(ck::CKA_LOCAL, true), AttributeReadOnly),
        ("always sensitive", aes_key().bool(ck::CKA_ALWAYS_SENSITIVE, true), AttributeReadOnly),
        ("never extractable", aes_key().bool(ck::CKA_NEVER_EXTRACTABLE, true), AttributeReadOnly),
        ("origin", aes_key().ulong(ck::CKA_KEY_GEN_MECHANISM, 0), AttributeReadOnly),
        ("length", aes_key().ulong(ck::CKA_VALUE_LEN, 16), AttributeReadOnly),
        (
            "twice, differing",
            data().bytes(ck::CKA_LABEL, b"a").bytes(ck::CKA_LABEL, b"b"),
            TemplateInconsistent,
        ),
        ("secret twice, differing", aes_key().bytes(ck::CKA_VALUE, &[8; 16]), TemplateInconsistent),
        ("two classes", data().ulong(ck::CKA_CLASS, ck::CKO_SECRET_KEY), TemplateInconsistent),
        ("trusted by the user", aes_key().bool(ck::CKA_TRUSTED, true), AttributeReadOnly),
        ("no date", aes_key().bytes(ck::CKA_START_DATE, b"20301301"), AttributeValueInvalid),
        ("AES of no value", aes_key().without(ck::CKA_VALUE), TemplateIncomplete),
        (
            "AES of 17 bytes",
            aes_key().without(ck::CKA_VALUE).bytes(ck::CKA_VALUE, &[0; 17]),
            AttributeValueInvalid,
        ),
        ("AES, wrong check value", aes_key().bytes(ck::CKA_CHECK_VALUE, &[1, 2, 3]), AttributeValueInvalid),
        (
            "generic, wrong check value",
            generic_key().bytes(ck::CKA_CHECK_VALUE, &[1, 2, 3]),
            AttributeValueInvalid,
        ),
        (
            "empty generic",
            generic_key().without(ck::CKA_VALUE).bytes(ck::CKA_VALUE, b""),
            AttributeValueInvalid,
        ),
        ("Ed25519 without curve", ed25519_private().without(ck::CKA_EC_PARAMS), TemplateIncomplete),
        ("Ed25519 without value", ed25519_private().without(ck::CKA_VALUE), TemplateIncomplete),
        (
            "Ed448",
            private(ck::CKK_EC_EDWARDS)
                .bytes(ck::CKA_EC_PARAMS, &[6, 3, 0x2b, 0x65, 0x71])
                .bytes(ck::CKA_VALUE, &[7; 57]),
            CurveNotSupported,
        ),
        (
            "explicit curve",
            private(ck::CKK_EC).bytes(ck::CKA_EC_PARAMS, &[0x30, 0]).bytes(ck::CKA_VALUE, &[7; 32]),
            DomainParamsInvalid,
        ),
        (
            "Ed25519 curve for EC",
            private(ck::CKK_EC).bytes(ck::CKA_EC_PARAMS, ED25519).bytes(ck::CKA_VALUE, &[7; 32]),
            CurveNotSupported,
        ),
        (
            "zero scalar",
            private(ck::CKK_EC).bytes(ck::CKA_EC_PARAMS, P256).bytes(ck::CKA_VALUE, &[0; 32]),
            AttributeValueInvalid,
        ),
        (
            "short Ed25519 seed",
            ed25519_private().without(ck::CKA_VALUE).bytes(ck::CKA_VALUE, &[7; 31]),
            AttributeValueInvalid,
        ),
        (
            "wrong public half",
            ed25519_private().bytes(ck::CKA_EC_POINT, &{
                let mut p = [0; 32];
                p[0] = 9;
                p
            }),
            AttributeValueInvalid,
        ),
        ("wrong SPKI", ed25519_private().bytes(ck::CKA_PUBLIC_KEY_INFO, &[0x30, 0]), AttributeValueInvalid),
        (
            "authenticate always, in the open",
            ed25519_private().bool(ck::CKA_ALWAYS_AUTHENTICATE, true).bool(ck::CKA_PRIVATE, false),
            TemplateInconsistent,
        ),
        ("ML-DSA of no set", ml_dsa_private().without(ck::CKA_PARAMETER_SET), TemplateIncomplete),
        (
            "ML-DSA of set 4",
            ml_dsa_private().without(ck::CKA_PARAMETER_SET).ulong(ck::CKA_PARAMETER_SET, 4),
            ParameterSetNotSupported,
        ),
        ("ML-DSA of nothing", ml_dsa_private().without(ck::CKA_SEED), TemplateIncomplete),
        (
            "ML-DSA, short seed",
            ml_dsa_private().without(ck::CKA_SEED).bytes(ck::CKA_SEED, &[7; 31]),
            AttributeValueInvalid,
        ),
        (
            "ML-DSA, short key",
            ml_dsa_private().without(ck::CKA_SEED).bytes(ck::CKA_VALUE, &[7; 2559]),
            AttributeValueInvalid,
        ),
        (
            "ML-DSA, key of noise",
            ml_dsa_private().without(ck::CKA_SEED).bytes(ck::CKA_VALUE, &[7; 2560]),
            AttributeValueInvalid,
        ),
        (
            "ML-DSA public, short",
            public(ck::CKK_ML_DSA)
                .ulong(ck::CKA_PARAMETER_SET, ck::CKP_ML_DSA_44)
                .bytes(ck::CKA_VALUE, &[7; 1311]),
            AttributeValueInvalid,
        ),
        (
            "RSA private of n, e, d alone",
            private(ck::CKK_RSA)
                .bytes(ck::CKA_MODULUS, &[0xff; 256])
                .bytes(ck::CKA_PUBLIC_EXPONENT, &[1, 0, 1])
                .bytes(ck::CKA_PRIVATE_EXPONENT, &[1; 256]),
            TemplateIncomplete,
        ),
        (
            "RSA public of 512 bits",
            public(ck::CKK_RSA)
                .bytes(ck::CKA_MODULUS, &[0xff; 64])
                .bytes(ck::CKA_PUBLIC_EXPONENT, &[1, 0, 1]),
            AttributeValueInvalid,
        ),
        (
            "RSA public, bits given",
            public(ck::CKK_RSA)
                .bytes(ck::CKA_MODULUS, &[0xff; 256])
                .bytes(ck::CKA_PUBLIC_EXPONENT, &[1, 0, 1])
                .ulong(ck::CKA_MODULUS_BITS, 2048),
            AttributeReadOnly,
        ),
        (
            "EC public off the curve",
            public(ck::CKK_EC)
                .bytes(ck::CKA_EC_PARAMS, P256)
                .bytes(ck::CKA_EC_POINT, &[&[4, 65, 4][..], &[9; 64]].concat()),
            AttributeValueInvalid,
        ),
        ("certificate without subject", certificate().bytes(ck::CKA_VALUE, &[0x30, 0]), TemplateIncomplete),
        ("certificate without value", certificate().bytes(ck::CKA_SUBJECT, b""), TemplateIncomplete),
        (
            "certificate of nothing",
            certificate().bytes(ck::CKA_SUBJECT, b"").bytes(ck::CKA_VALUE, b""),
            TemplateIncomplete,
        ),
        (
            "certificate of noise",
            certificate().bytes(ck::CKA_SUBJECT, b"").bytes(ck::CKA_VALUE, b"noise"),
            AttributeValueInvalid,
        ),
        (
            "attribute certificate",
            class(ck::CKO_CERTIFICATE).ulong(ck::CKA_CERTIFICATE_TYPE, ck::CKC_X_509_ATTR_CERT),
            AttributeValueInvalid,
        ),
        (
            "wraps, and unwraps weaker",
            aes_key()
                .bool(ck::CKA_WRAP, true)
                .template(ck::CKA_UNWRAP_TEMPLATE, Made::default().bool(ck::CKA_EXTRACTABLE, true)),
            TemplateInconsistent,
        ),
        (
            "list of half a mechanism",
            aes_key().bytes(ck::CKA_ALLOWED_MECHANISMS, &[0; 4]),
            AttributeValueInvalid,
        ),
    ];
    let fixture = Fixture::user();
    for (case, template, error) in cases {
        assert_eq!(fixture.create(template), Err(*error), "{case}");
    }
    assert_eq!(fixture.find(&Made::default()), [], "nothing was made");
}

#[test]
fn who_may_create_what() {
    let fixture = Fixture::public();
    let read_only = |template: &Made| fixture.module.create_object(fixture.ro, &template.raw());
    let token_data = data().and(&on_token());
    assert_eq!(read_only(&token_data), Err(Error::SessionReadOnly));
    assert!(read_only(&data()).is_ok());
    assert!(fixture.create(&token_data).is_ok());
    let private_data = data().bool(ck::CKA_PRIVATE, true);
    for role in [None, Some(Role::SecurityOfficer)] {
        fixture.log_in(role);
        assert_eq!(fixture.create(&private_data), Err(Error::UserNotLoggedIn), "{role:?}");
        assert_eq!(fixture.create(&aes_key()), Err(Error::UserNotLoggedIn), "{role:?}: private by default");
        assert!(fixture.create(&aes_key().bool(ck::CKA_PRIVATE, false)).is_ok(), "{role:?}");
    }
    let trusted = aes_key().bool(ck::CKA_PRIVATE, false).bool(ck::CKA_TRUSTED, true).bool(ck::CKA_WRAP, true);
    assert!(fixture.create(&trusted).is_ok(), "the SO trusts");
    let opens = trusted.bool(ck::CKA_DECRYPT, true);
    assert_eq!(fixture.create(&opens), Err(Error::TemplateInconsistent), "trusted, and decrypts");
    fixture.log_in(Some(Role::User));
    assert!(fixture.create(&private_data.and(&on_token())).is_ok());
    assert_eq!(
        fixture.module.create_object(SessionHandle(0), &data().raw()),
        Err(Error::SessionHandleInvalid)
    );
}

#[test]
fn defaults_of_imported_keys() {
    let fixture = Fixture::user();
    for template in [aes_key(), generic_key(), ed25519_private(), ml_dsa_private()] {
        let key = fixture.created(&template);
        for on in
            [ck::CKA_PRIVATE, ck::CKA_SENSITIVE, ck::CKA_MODIFIABLE, ck::CKA_COPYABLE, ck::CKA_DESTROYABLE]
        {
            assert!(fixture.flag(key, on), "{on:#x}");
        }
        for off in [
            ck::CKA_TOKEN,
            ck::CKA_EXTRACTABLE,
            ck::CKA_LOCAL,
            ck::CKA_ALWAYS_SENSITIVE,
            ck::CKA_NEVER_EXTRACTABLE,
            ck::CKA_WRAP_WITH_TRUSTED,
            ck::CKA_UNWRAP,
            ck::CKA_DERIVE,
        ] {
            assert!(!fixture.flag(key, off), "{off:#x}");
        }
        for empty in [ck::CKA_LABEL, ck::CKA_ID, ck::CKA_START_DATE, ck::CKA_ALLOWED_MECHANISMS] {
            assert_eq!(fixture.value(key, empty), [0u8; 0], "{empty:#x}");
        }
        assert_eq!(fixture.number(key, ck::CKA_KEY_GEN_MECHANISM), ck::CK_UNAVAILABLE_INFORMATION);
        assert!(matches!(fixture.answer(key, ck::CKA_VALUE), Answer::Sensitive));
        assert_eq!(fixture.value(key, ck::CKA_UNIQUE_ID).len(), 32);
    }
    let wraps = fixture.created(&aes_key().bool(ck::CKA_WRAP, true));
    assert!(!fixture.flag(wraps, ck::CKA_DECRYPT), "a wrapping key does not decrypt by default");
    assert!(fixture.flag(fixture.created(&aes_key()), ck::CKA_DECRYPT));
}

#[test]
fn ml_dsa_from_seed_expanded_key_or_both() {
    let fixture = Fixture::user();
    let set = ml_dsa::ParameterSet::MlDsa44;
    let made = ml_dsa::PrivateKey::from_seed(set, &SecretBytes::new(&[7; 32])).unwrap();
    let expanded = made.expanded().unwrap();
    let spki = PrivateKey::MlDsa(made).public_key().unwrap().to_spki().unwrap();
    let with_value = |template: Made| template.bytes(ck::CKA_VALUE, expanded.expose());
    let forms = [
        (ml_dsa_private(), true),
        (with_value(ml_dsa_private()), true),
        (with_value(ml_dsa_private().without(ck::CKA_SEED)), false),
    ];
    for (template, has_seed) in &forms {
        for place in [on_token(), Made::default()] {
            let key = fixture.created(&template.clone().and(&readable()).and(&place));
            assert_eq!(fixture.value(key, ck::CKA_VALUE), expanded.expose());
            match fixture.answer(key, ck::CKA_SEED) {
                Answer::Value(seed) => assert!(*has_seed && *seed == [7; 32]),
                answer => assert!(!has_seed && matches!(answer, Answer::TypeInvalid)),
            }
            assert_eq!(fixture.value(key, ck::CKA_PUBLIC_KEY_INFO), spki);
        }
        let hidden = fixture.created(template);
        assert!(matches!(fixture.answer(hidden, ck::CKA_SEED), Answer::Sensitive));
    }
    let other_seed = forms[1].0.clone().without(ck::CKA_SEED).bytes(ck::CKA_SEED, &[8; 32]);
    assert_eq!(fixture.create(&other_seed), Err(Error::AttributeValueInvalid));
    let mut bent = expanded.expose().to_vec();
    bent[2559] ^= 1;
    let bent = ml_dsa_private().without(ck::CKA_SEED).bytes(ck::CKA_VALUE, &bent);
    assert_eq!(fixture.create(&bent), Err(Error::AttributeValueInvalid), "t0 does not fit");
}

#[test]
fn ed25519_in_every_form() {
    let fixture = Fixture::user();
    let named = [&[0x13, 12][..], b"edwards25519"].concat();
    let wrapped_seed = [&[4, 32][..], &[7; 32]].concat();
    let mut points = Vec::new();
    for params in [ED25519, &named] {
        for seed in [&[7; 32][..], &wrapped_seed] {
            let template = key(ck::CKO_PRIVATE_KEY, ck::CKK_EC_EDWARDS)
                .bytes(ck::CKA_EC_PARAMS, params)
                .bytes(ck::CKA_VALUE, seed)
                .and(&readable());
            let key = fixture.created(&template);
            assert_eq!(fixture.value(key, ck::CKA_EC_PARAMS), ED25519);
            assert_eq!(fixture.value(key, ck::CKA_VALUE), [7; 32]);
            points.push(fixture.value(key, ck::CKA_EC_POINT));
        }
    }
    points.dedup();
    let [point] = &points[..] else { panic!("one key, {} points", points.len()) };
    assert_eq!(point.len(), 32);

    let octets = [&[4, 32][..], point].concat();
    let bits = [&[3, 33, 0][..], point].concat();
    for given in [point, &octets, &bits] {
        let template = key(ck::CKO_PUBLIC_KEY, ck::CKK_EC_EDWARDS)
            .bytes(ck::CKA_EC_PARAMS, ED25519)
            .bytes(ck::CKA_EC_POINT, given);
        let key = fixture.created(&template);
        assert_eq!(fixture.value(key, ck::CKA_EC_POINT), *point);
        let opened = super::super::Object::resolve(&fixture.slot, key).unwrap().public_key(&fixture.slot);
        assert_eq!(opened.unwrap().to_spki().unwrap(), fixture.value(key, ck::CKA_PUBLIC_KEY_INFO));
        assert!(fixture.find(&Made::default().bytes(ck::CKA_EC_POINT, &bits)).contains(&key));
        assert!(fixture.find(&Made::default().bytes(ck::CKA_EC_PARAMS, &named)).contains(&key));
    }

    let der = Fixture::with(Config { ec_point_der: true, ..Config::default() });
    der.log_in(Some(Role::User));
    let key = der.created(&ed25519_private());
    assert_eq!(der.value(key, ck::CKA_EC_POINT), octets);
}

#[test]
fn ecdsa_and_rsa_keys_round_trip() {
    let fixture = Fixture::user();
    let scalar = [5; 32];
    let private = fixture.created(
        &key(ck::CKO_PRIVATE_KEY, ck::CKK_EC)
            .bytes(ck::CKA_EC_PARAMS, P256)
            .bytes(ck::CKA_VALUE, &scalar)
            .and(&readable()),
    );
    assert_eq!(fixture.value(private, ck::CKA_VALUE), scalar);
    let point = fixture.value(private, ck::CKA_EC_POINT);
    assert_eq!(
        (point.len(), &point[..3]),
        (67, &[4, 65, 4][..]),
        "a DER OCTET STRING of an uncompressed point"
    );
    for given in [&point[..], &point[2..]] {
        let public = fixture.created(
            &key(ck::CKO_PUBLIC_KEY, ck::CKK_EC)
                .bytes(ck::CKA_EC_PARAMS, P256)
                .bytes(ck::CKA_EC_POINT, given),
        );
        assert_eq!(fixture.value(public, ck::CKA_EC_POINT), point);
        assert_eq!(
            fixture.value(public, ck::CKA_PUBLIC_KEY_INFO),
            fixture.value(private, ck::CKA_PUBLIC_KEY_INFO)
        );
    }

    let bits = Made::default().ulong(ck::CKA_MODULUS_BITS, 2048);
    let (_, made) =
        fixture.generate_pair(ck::CKM_RSA_PKCS_KEY_PAIR_GEN, &bits, &readable()).expect("an RSA key");
    let parts = [
        ck::CKA_MODULUS,
        ck::CKA_PUBLIC_EXPONENT,
        ck::CKA_PRIVATE_EXPONENT,
        ck::CKA_PRIME_1,
        ck::CKA_PRIME_2,
        ck::CKA_EXPONENT_1,
        ck::CKA_EXPONENT_2,
        ck::CKA_COEFFICIENT,
    ];
    let zero_padded = |kind| [&[0][..], &fixture.value(made, kind)].concat();
    let template = parts.iter().fold(key(ck::CKO_PRIVATE_KEY, ck::CKK_RSA), |template, kind| {
        template.bytes(*kind, &zero_padded(*kind))
    });
    let copy = fixture.created(&template.clone().and(&readable()));
    for part in parts.into_iter().chain([ck::CKA_PUBLIC_KEY_INFO]) {
        assert_eq!(fixture.value(copy, part), fixture.value(made, part), "{part:#x}");
    }
    let crooked = template.without(ck::CKA_PRIME_1).bytes(ck::CKA_PRIME_1, &[0xc1; 128]);
    assert_eq!(fixture.create(&crooked), Err(Error::AttributeValueInvalid));
}

#[test]
fn certificates() {
    let fixture = Fixture::public();
    // version, serialNumber 5, signature, issuer, validity, subject, subjectPublicKeyInfo
    let fields = [
        &[0xa0, 3, 2, 1, 2][..],
        &[2, 1, 5],
        &[0x30, 0],
        &[0x30, 2, 0x31, 0],
        &[0x30, 0],
        &[0x30, 0],
        &[0x30, 1, 7],
    ]
    .concat();
    let tbs = [&[0x30, u8::try_from(fields.len()).unwrap()][..], &fields].concat();
    let der = [&[0x30, u8::try_from(tbs.len()).unwrap()][..], &tbs].concat();
    let template = class(ck::CKO_CERTIFICATE)
        .ulong(ck::CKA_CERTIFICATE_TYPE, ck::CKC_X_509)
        .bytes(ck::CKA_SUBJECT, &[0x30, 0])
        .bytes(ck::CKA_VALUE, &der)
        .and(&on_token());
    let certificate = fixture.created(&template);
    assert_eq!(fixture.value(certificate, ck::CKA_ISSUER), [0x30, 2, 0x31, 0]);
    assert_eq!(fixture.value(certificate, ck::CKA_SERIAL_NUMBER), [2, 1, 5]);
    assert_eq!(fixture.value(certificate, ck::CKA_PUBLIC_KEY_INFO), [0x30, 1, 7]);
    assert_eq!(fixture.value(certificate, ck::CKA_CHECK_VALUE).len(), 3);
    assert!(!fixture.flag(certificate, ck::CKA_PRIVATE));
    assert_eq!(fixture.value(certificate, ck::CKA_VALUE), der);

    let named = fixture.created(&template.bytes(ck::CKA_SERIAL_NUMBER, &[2, 1, 9]));
    assert_eq!(fixture.value(named, ck::CKA_SERIAL_NUMBER), [2, 1, 9], "what the application says");

    let by_url = class(ck::CKO_CERTIFICATE)
        .ulong(ck::CKA_CERTIFICATE_TYPE, ck::CKC_X_509)
        .bytes(ck::CKA_SUBJECT, &[0x30, 0])
        .bytes(ck::CKA_VALUE, b"")
        .bytes(ck::CKA_URL, b"http://example.org/c")
        .bytes(ck::CKA_HASH_OF_SUBJECT_PUBLIC_KEY, &[1; 20])
        .bytes(ck::CKA_HASH_OF_ISSUER_PUBLIC_KEY, &[2; 20]);
    assert!(fixture.create(&by_url).is_ok());
}

#[test]
fn check_values() {
    let fixture = Fixture::user();
    // The first block of AES-128 over zeros under the zero key is 66e94bd4ef8a2c3b884cfa59ca342b2e (NIST AESAVS).
    let zeros = fixture.created(&key(ck::CKO_SECRET_KEY, ck::CKK_AES).bytes(ck::CKA_VALUE, &[0; 16]));
    assert_eq!(fixture.value(zeros, ck::CKA_CHECK_VALUE), [0x66, 0xe9, 0x4b]);
    // An empty one prevents it, and may come later (section 4.11).
    let none = Made::default().bytes(ck::CKA_CHECK_VALUE, b"");
    let unchecked = [
        fixture.created(&aes_key().and(&none)),
        fixture.generate(ck::CKM_AES_KEY_GEN, &none.clone().ulong(ck::CKA_VALUE_LEN, 16)).expect("a key"),
        fixture.copy(zeros, &none).expect("a copy"),
    ];
    for key in unchecked {
        assert_eq!(fixture.value(key, ck::CKA_CHECK_VALUE), b"");
    }
    let another = Made::default().bytes(ck::CKA_CHECK_VALUE, &[0x66, 0xe9, 0x4c]);
    assert_eq!(fixture.set(zeros, &another), Err(Error::AttributeReadOnly));
    assert_eq!(fixture.create(&aes_key().and(&another)), Err(Error::AttributeValueInvalid));
    assert_eq!(fixture.set(zeros, &none), Ok(()));
    assert_eq!(fixture.value(zeros, ck::CKA_CHECK_VALUE), b"");
    let generic = fixture.created(&generic_key());
    assert!(matches!(fixture.answer(generic, ck::CKA_CHECK_VALUE), Answer::TypeInvalid));
    // SHA-1("abc") begins a9993e (FIPS 180-4).
    let abc = key(ck::CKO_SECRET_KEY, ck::CKK_SHA256_HMAC)
        .bytes(ck::CKA_VALUE, b"abc")
        .bytes(ck::CKA_CHECK_VALUE, &[0xa9, 0x99, 0x3e]);
    assert_eq!(fixture.value(fixture.created(&abc), ck::CKA_CHECK_VALUE), [0xa9, 0x99, 0x3e]);
}

#[test]
fn a_full_store_changes_nothing() {
    let fixture = Fixture::user();
    fixture.store.fail_next(hsm_backends::StoreError::Full);
    assert_eq!(fixture.create(&data().and(&on_token())), Err(Error::DeviceMemory));
    assert_eq!(fixture.find(&Made::default()), []);
}
