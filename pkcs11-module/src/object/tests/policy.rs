//! Copying, changing and destroying: what no sequence of calls may weaken.

use hsm_backends::{Pin, StoreError};

use super::*;
use crate::{
    module::UserType,
    output::{Output, Written},
};

#[test]
fn nothing_weakens_a_key() {
    use Error::{AttributeReadOnly, TemplateInconsistent};
    let off = |kind| Made::default().bool(kind, false);
    let on = |kind| Made::default().bool(kind, true);
    // The attempt, and the answers of C_SetAttributeValue and C_CopyObject.
    let attempts = [
        (off(ck::CKA_SENSITIVE), AttributeReadOnly, AttributeReadOnly),
        (on(ck::CKA_EXTRACTABLE), AttributeReadOnly, AttributeReadOnly),
        (off(ck::CKA_WRAP_WITH_TRUSTED), AttributeReadOnly, AttributeReadOnly),
        (off(ck::CKA_PRIVATE), AttributeReadOnly, TemplateInconsistent),
        (off(ck::CKA_ALWAYS_AUTHENTICATE), AttributeReadOnly, AttributeReadOnly),
        (on(ck::CKA_LOCAL), AttributeReadOnly, AttributeReadOnly),
        (on(ck::CKA_ALWAYS_SENSITIVE), AttributeReadOnly, AttributeReadOnly),
        (on(ck::CKA_NEVER_EXTRACTABLE), AttributeReadOnly, AttributeReadOnly),
        (
            Made::default().ulong(ck::CKA_ALLOWED_MECHANISMS, ck::CKM_SHA256),
            AttributeReadOnly,
            AttributeReadOnly,
        ),
        (
            Made::default().template(ck::CKA_UNWRAP_TEMPLATE, on(ck::CKA_EXTRACTABLE)),
            AttributeReadOnly,
            AttributeReadOnly,
        ),
        (
            off(ck::CKA_SENSITIVE).bool(ck::CKA_TOKEN, false).bool(ck::CKA_EXTRACTABLE, true),
            AttributeReadOnly,
            AttributeReadOnly,
        ),
    ];
    let fixture = Fixture::user();
    let strict = ed25519_private()
        .bool(ck::CKA_WRAP_WITH_TRUSTED, true)
        .bool(ck::CKA_ALWAYS_AUTHENTICATE, true)
        .ulong(ck::CKA_ALLOWED_MECHANISMS, ck::CKM_EDDSA);
    for place in [on_token(), Made::default()] {
        let original = fixture.created(&strict.clone().and(&place));
        let copy = fixture.copy(original, &Made::default()).expect("a plain copy");
        let session_copy = fixture.copy(original, &off(ck::CKA_TOKEN)).expect("a session copy");
        for key in [original, copy, session_copy] {
            for (at, (attempt, by_set, by_copy)) in attempts.iter().enumerate() {
                assert_eq!(fixture.set(key, attempt), Err(*by_set), "attempt {at}");
                assert_eq!(fixture.copy(key, attempt), Err(*by_copy), "attempt {at}");
            }
            for still in
                [ck::CKA_SENSITIVE, ck::CKA_PRIVATE, ck::CKA_WRAP_WITH_TRUSTED, ck::CKA_ALWAYS_AUTHENTICATE]
            {
                assert!(fixture.flag(key, still), "{still:#x}");
            }
            assert!(!fixture.flag(key, ck::CKA_EXTRACTABLE));
            assert_eq!(fixture.number(key, ck::CKA_ALLOWED_MECHANISMS), ck::CKM_EDDSA);
        }
    }
    assert_eq!(fixture.find(&on(ck::CKA_EXTRACTABLE)), []);
}

#[test]
fn the_way_to_more_protection_is_open() {
    let fixture = Fixture::user();
    let loose = ed25519_private().and(&readable());
    let tighter = Made::default()
        .bool(ck::CKA_SENSITIVE, true)
        .bool(ck::CKA_EXTRACTABLE, false)
        .bool(ck::CKA_WRAP_WITH_TRUSTED, true)
        .bool(ck::CKA_COPYABLE, false)
        .bool(ck::CKA_DESTROYABLE, false);
    let key = fixture.created(&loose);
    let copy = fixture.copy(key, &tighter).expect("a stricter copy");
    assert!(matches!(fixture.answer(copy, ck::CKA_VALUE), Answer::Sensitive));
    assert_eq!(fixture.value(key, ck::CKA_VALUE), [7; 32], "the original is as it was");
    assert_eq!(fixture.set(key, &tighter), Ok(()));
    assert!(matches!(fixture.answer(key, ck::CKA_VALUE), Answer::Sensitive));
    for object in [key, copy] {
        assert_eq!(fixture.copy(object, &Made::default()), Err(Error::ActionProhibited));
        assert_eq!(fixture.module.destroy_object(fixture.rw, object), Err(Error::ActionProhibited));
        for back in [ck::CKA_COPYABLE, ck::CKA_DESTROYABLE] {
            assert_eq!(fixture.set(object, &Made::default().bool(back, true)), Err(Error::AttributeReadOnly));
        }
    }
}

#[test]
fn a_session_copy_shares_the_key_and_writes_nothing() {
    let fixture = Fixture::user();
    let original = fixture.created(&ed25519_private().and(&on_token()));
    let commits = fixture.store.commits();
    let template = Made::default().bool(ck::CKA_TOKEN, false).bytes(ck::CKA_LABEL, b"copy");
    let copy =
        fixture.module.copy_object(fixture.ro, original, &template.raw()).expect("in a read-only session");
    assert_eq!(fixture.store.commits(), commits);
    let opened = |handle| {
        let object = super::super::Object::resolve(&fixture.slot, handle).expect("there");
        object.private_key(&fixture.slot).expect("a private key")
    };
    assert!(Arc::ptr_eq(&opened(original), &opened(copy)));
    assert_ne!(fixture.value(original, ck::CKA_UNIQUE_ID), fixture.value(copy, ck::CKA_UNIQUE_ID));
    assert_eq!(fixture.value(copy, ck::CKA_LABEL), b"copy");
    assert_eq!(fixture.module.destroy_object(fixture.ro, copy), Ok(()));
    assert_eq!(fixture.module.destroy_object(fixture.ro, copy), Err(Error::ObjectHandleInvalid));
    assert_eq!(fixture.value(original, ck::CKA_LABEL), b"");
}

#[test]
fn copies_keep_their_history_and_may_move() {
    let fixture = Fixture::user();
    let len = Made::default().ulong(ck::CKA_VALUE_LEN, 32);
    let made = fixture.generate(ck::CKM_AES_KEY_GEN, &len).expect("a key");
    let copy = fixture.copy(made, &on_token().bool(ck::CKA_MODIFIABLE, false)).expect("a copy on the token");
    for kind in [ck::CKA_LOCAL, ck::CKA_ALWAYS_SENSITIVE, ck::CKA_NEVER_EXTRACTABLE, ck::CKA_TOKEN] {
        assert!(fixture.flag(copy, kind), "{kind:#x}");
    }
    assert_eq!(fixture.number(copy, ck::CKA_KEY_GEN_MECHANISM), ck::CKM_AES_KEY_GEN);
    assert!(!fixture.flag(copy, ck::CKA_MODIFIABLE));
    let loose =
        fixture.copy(copy, &Made::default().bool(ck::CKA_MODIFIABLE, true)).expect("a changeable copy");
    assert!(fixture.flag(loose, ck::CKA_MODIFIABLE));

    let public = fixture.created(&data());
    let private = fixture.copy(public, &Made::default().bool(ck::CKA_PRIVATE, true)).expect("a private copy");
    assert!(fixture.flag(private, ck::CKA_PRIVATE));
    let open_key = fixture.created(&aes_key().bool(ck::CKA_PRIVATE, false));
    let on_the_token = fixture.copy(open_key, &on_token()).expect("public on the token, too");
    assert!(!fixture.flag(on_the_token, ck::CKA_PRIVATE));
    let to_token = |session| fixture.module.copy_object(session, public, &on_token().raw());
    assert_eq!(to_token(fixture.ro), Err(Error::SessionReadOnly));
    assert!(to_token(fixture.rw).is_ok());
    for (template, error) in [
        (Made::default().bytes(0x7777, b""), Error::AttributeTypeInvalid),
        (Made::default().bool(ck::CKA_SIGN, true), Error::TemplateInconsistent),
        (Made::default().bytes(ck::CKA_TOKEN, b""), Error::AttributeValueInvalid),
        (Made::default().ulong(ck::CKA_CLASS, ck::CKO_SECRET_KEY), Error::AttributeReadOnly),
    ] {
        assert_eq!(fixture.copy(public, &template), Err(error));
    }
    let same_class = fixture.copy(public, &data());
    assert!(same_class.is_ok(), "what does not change may be named");
}

#[test]
fn a_key_on_the_token_that_all_may_see_is_still_the_users() {
    let fixture = Fixture::user();
    let open = on_token().bool(ck::CKA_PRIVATE, false);
    let len = Made::default().ulong(ck::CKA_VALUE_LEN, 32);
    let secret =
        fixture.generate(ck::CKM_AES_KEY_GEN, &len.clone().and(&open).and(&readable())).expect("a key");
    let private = fixture.created(&ed25519_private().and(&open));
    let parameters = Parameters::Iv16([0; 16]);
    let cbc = || MechanismCall { row: row(ck::CKM_AES_CBC).unwrap(), parameters: parameters.clone() };
    let begin = || fixture.module.encrypt_init(fixture.ro, cbc(), secret);
    assert_eq!(begin(), Ok(()));
    fixture.module.logout(fixture.rw).expect("the user was logged in");
    assert_eq!(
        fixture.module.encrypt_update(fixture.ro, &[0; 16], Output::length()),
        Err(Error::OperationNotInitialized),
        "the logout ended it"
    );

    for role in [None, Some(Role::SecurityOfficer)] {
        fixture.log_in(role);
        assert_eq!(fixture.find(&Made::default()), [secret, private], "everybody sees it");
        assert_eq!(fixture.number(secret, ck::CKA_VALUE_LEN), 32);
        assert!(matches!(fixture.answer(secret, ck::CKA_VALUE), Answer::Sensitive));
        assert_eq!(begin(), Err(Error::UserNotLoggedIn));
        let sign = fixture.module.sign_init(fixture.ro, call(ck::CKM_EDDSA), private);
        assert_eq!(sign, Err(Error::UserNotLoggedIn));
        for key in [secret, private] {
            assert_eq!(
                fixture.copy(key, &Made::default().bool(ck::CKA_TOKEN, false)),
                Err(Error::UserNotLoggedIn)
            );
            let label = Made::default().bytes(ck::CKA_LABEL, b"theirs");
            assert_eq!(fixture.set(key, &label), Err(Error::UserNotLoggedIn));
        }
        assert_eq!(
            fixture.generate(ck::CKM_AES_KEY_GEN, &len.clone().and(&open)),
            Err(Error::UserNotLoggedIn)
        );
        assert_eq!(fixture.create(&aes_key().and(&open)), Err(Error::UserNotLoggedIn));
    }
    fixture.log_in(Some(Role::User));
    assert_eq!(begin(), Ok(()));
    assert_eq!(fixture.value(secret, ck::CKA_VALUE).len(), 32);
}

#[test]
fn a_pin_locked_by_context_specific_logins_logs_out() {
    let fixture = Fixture::user();
    let (module, rw) = (&fixture.module, fixture.rw);
    let guarded =
        fixture.created(&ed25519_private().and(&on_token()).bool(ck::CKA_ALWAYS_AUTHENTICATE, true));
    let log_in = || module.login(rw, UserType::ContextSpecific, &Pin::presented(b"some PIN"));
    module.sign_init(rw, call(ck::CKM_EDDSA), guarded).expect("a key that signs");
    fixture.store.judge_pins(Some(StoreError::PinIncorrect));
    assert_eq!(log_in(), Err(Error::PinIncorrect));
    assert_eq!(module.sign(rw, b"m", Output::length()), Ok(Written::Needs(64)), "the operation waits on");
    fixture.store.judge_pins(None);
    assert_eq!(log_in(), Ok(()));
    fixture.store.judge_pins(Some(StoreError::PinLocked));
    assert_eq!(log_in(), Err(Error::PinLocked));
    assert_eq!(module.session_info(rw).map(|info| info.state), Ok(ck::CKS_RW_PUBLIC_SESSION));
    assert_eq!(module.sign(rw, b"m", Output::length()), Err(Error::OperationNotInitialized));
    assert_eq!(fixture.find(&Made::default()), []);
}

#[test]
fn trust_is_the_security_officers() {
    let fixture = Fixture::public();
    let trust = Made::default().bool(ck::CKA_TRUSTED, true);
    let public = key(ck::CKO_PUBLIC_KEY, ck::CKK_EC_EDWARDS)
        .bytes(ck::CKA_EC_PARAMS, ED25519)
        .bytes(ck::CKA_EC_POINT, &{
            // The public key of RFC 8032 section 7.1, test 1.
            let text = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
            (0..32).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect::<Vec<_>>()
        })
        .and(&on_token());
    let key = fixture.created(&public);
    assert_eq!(fixture.set(key, &trust), Err(Error::AttributeReadOnly), "nobody is logged in");
    fixture.log_in(Some(Role::User));
    assert_eq!(fixture.set(key, &trust), Err(Error::AttributeReadOnly));
    assert_eq!(fixture.copy(key, &trust), Err(Error::AttributeReadOnly));
    fixture.log_in(Some(Role::SecurityOfficer));
    assert_eq!(fixture.set(key, &trust), Ok(()));
    fixture.log_in(Some(Role::User));
    assert!(fixture.flag(key, ck::CKA_TRUSTED));
    assert_eq!(
        fixture.set(key, &Made::default().bool(ck::CKA_TRUSTED, false)),
        Err(Error::AttributeReadOnly)
    );

    // A trusted wrapping key, by way of a public session object: the user cannot make it open what it wrapped.
    fixture.log_in(Some(Role::SecurityOfficer));
    let wraps = fixture.created(
        &aes_key().bool(ck::CKA_PRIVATE, false).bool(ck::CKA_WRAP, true).bool(ck::CKA_TRUSTED, true),
    );
    fixture.log_in(Some(Role::User));
    let decrypt = Made::default().bool(ck::CKA_DECRYPT, true);
    assert_eq!(fixture.set(wraps, &decrypt), Err(Error::TemplateInconsistent));
    assert_eq!(fixture.copy(wraps, &decrypt), Err(Error::TemplateInconsistent));
    let kept = fixture.copy(wraps, &on_token().bool(ck::CKA_PRIVATE, true)).expect("kept on the token");
    assert!(fixture.flag(kept, ck::CKA_TRUSTED));
}

#[test]
fn destroying() {
    let fixture = Fixture::user();
    let on_token = fixture.created(&data().and(&on_token()));
    let in_session = fixture.created(&data());
    assert_eq!(fixture.module.destroy_object(fixture.ro, on_token), Err(Error::SessionReadOnly));
    fixture.store.fail_next(hsm_backends::StoreError::ReadOnly);
    assert_eq!(fixture.module.destroy_object(fixture.rw, on_token), Err(Error::TokenWriteProtected));
    assert_eq!(fixture.find(&data()).len(), 2);
    for object in [on_token, in_session] {
        assert_eq!(fixture.module.destroy_object(fixture.rw, object), Ok(()));
        assert_eq!(fixture.module.destroy_object(fixture.rw, object), Err(Error::ObjectHandleInvalid));
    }
    assert_eq!(fixture.find(&data()), []);
    let [profile, ..] = fixture.find(&class(ck::CKO_PROFILE))[..] else { panic!("profiles") };
    assert_eq!(fixture.module.destroy_object(fixture.rw, profile), Err(Error::ActionProhibited));
    assert_eq!(fixture.copy(profile, &Made::default()), Err(Error::ActionProhibited));
    assert_eq!(fixture.set(profile, &Made::default()), Err(Error::ActionProhibited));
}

#[test]
fn a_login_before_the_last_one_is_closed_revives_no_handle_of_a_private_object() {
    let fixture = Fixture::user();
    let private = fixture.created(&ed25519_private().and(&on_token()));
    let public = fixture.created(&data().and(&on_token()).bool(ck::CKA_PRIVATE, false));
    let read =
        |object| fixture.module.attribute_values(fixture.rw, object, &[ck::CKA_CLASS]).map(|all| all.len());
    let left = fixture.slot.leave();
    fixture.log_in(Some(Role::User));
    let [found] = fixture.find(&class(ck::CKO_PRIVATE_KEY))[..] else { panic!("one key") };
    let as_is_right = || {
        assert_eq!(read(private), Err(Error::ObjectHandleInvalid));
        assert_eq!((read(public), read(found)), (Ok(1), Ok(1)));
    };
    as_is_right();
    fixture.slot.close(left);
    as_is_right();
}
