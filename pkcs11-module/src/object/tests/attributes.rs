//! Every row of the attribute table against every operation.

use super::*;
use crate::attribute::{ATTRIBUTES, Attribute, Form, ObjectKind, notes, row};

/// One template for each kind of object that can be created.
fn templates() -> Vec<(&'static str, Made)> {
    let certificate = class(ck::CKO_CERTIFICATE)
        .ulong(ck::CKA_CERTIFICATE_TYPE, ck::CKC_X_509)
        .bytes(ck::CKA_SUBJECT, &[0x30, 0])
        .bytes(ck::CKA_VALUE, &[0x30, 0]);
    vec![
        ("data", data()),
        ("certificate", certificate),
        ("AES", aes_key()),
        ("generic", generic_key()),
        ("Ed25519 private", ed25519_private()),
        ("ML-DSA private", ml_dsa_private()),
    ]
}

/// A value of the row's form.
fn some_value(row: &Attribute) -> Made {
    let made = Made::default();
    match row.form {
        Form::Bool => made.bool(row.kind, true),
        Form::Ulong => made.ulong(row.kind, 0),
        Form::Date => made.bytes(row.kind, b"20300101"),
        Form::Template => made.template(row.kind, Made::default().bool(ck::CKA_TOKEN, true)),
        Form::MechanismList => made.ulong(row.kind, ck::CKM_SHA256_HMAC),
        Form::Bytes | Form::Utf8 | Form::BigInteger => made.bytes(row.kind, b"x"),
    }
}

fn kind_of(template: &Made) -> ObjectKind {
    ObjectKind::named_by(&template.raw()).expect("a kind")
}

#[test]
fn create() {
    for (name, template) in templates() {
        let fixture = Fixture::user();
        let kind = kind_of(&template);
        for attribute in ATTRIBUTES {
            let with = template.clone().and(&some_value(attribute));
            let answer = fixture.create(&with);
            match row(attribute.kind, kind) {
                None => assert_eq!(answer, Err(Error::TemplateInconsistent), "{name} {}", attribute.name),
                Some(row) if row.has(notes::N2) => {
                    assert_eq!(answer, Err(Error::AttributeReadOnly), "{name} {}", row.name);
                }
                Some(row) if row.has(notes::N1) => {
                    let without = template.clone().without(row.kind);
                    assert_eq!(
                        fixture.create(&without),
                        Err(Error::TemplateIncomplete),
                        "{name} {}",
                        row.name
                    );
                }
                Some(row) if row.has(notes::N8) => assert!(answer.is_ok(), "{name} {}: {answer:?}", row.name),
                Some(_) => {}
            }
        }
    }
}

#[test]
fn read() {
    for (name, template) in templates() {
        let fixture = Fixture::user();
        let kind = kind_of(&template);
        let hidden = fixture.created(&template);
        let shown = kind.has_secret().then(|| fixture.created(&template.clone().and(&readable())));
        for attribute in ATTRIBUTES {
            let answer = fixture.answer(hidden, attribute.kind);
            let name = format!("{name} {}", attribute.name);
            match row(attribute.kind, kind) {
                None => assert!(matches!(answer, Answer::TypeInvalid), "{name}"),
                Some(row) if row.has(notes::N7) => {
                    assert!(matches!(answer, Answer::Sensitive), "{name}");
                    let seen = fixture.answer(shown.expect("a key"), row.kind);
                    assert!(matches!(seen, Answer::Value(_)), "{name}");
                }
                Some(_) if attribute.kind == ck::CKA_CHECK_VALUE => {}
                Some(row) if row.form == Form::Template => {
                    assert!(matches!(&answer, Answer::Template(list) if list.is_empty()), "{name}");
                }
                Some(row) => {
                    let Answer::Value(bytes) = answer else { panic!("{name}") };
                    let fits = match row.form {
                        Form::Bool => matches!(bytes[..], [0] | [1]),
                        Form::Ulong => bytes.len() == 8,
                        Form::Date => matches!(bytes.len(), 0 | 8),
                        _ => true,
                    };
                    assert!(fits, "{name}: {} bytes", bytes.len());
                }
            }
        }
        assert!(matches!(fixture.answer(hidden, 0x7777), Answer::TypeInvalid));
    }
}

#[test]
fn set() {
    for (name, template) in templates() {
        for place in [on_token(), Made::default()] {
            let fixture = Fixture::user();
            let template = template.clone().and(&place);
            let kind = kind_of(&template);
            for attribute in ATTRIBUTES {
                let object = fixture.created(&template);
                let before = fixture.answer(object, ck::CKA_LABEL);
                let answer = fixture.set(object, &some_value(attribute));
                let name = format!("{name} {}", attribute.name);
                match row(attribute.kind, kind) {
                    None => assert_eq!(answer, Err(Error::TemplateInconsistent), "{name}"),
                    Some(row) if row.kind == ck::CKA_PUBLIC_KEY_INFO && kind.key_type().is_some() => {
                        assert_eq!(answer, Err(Error::AttributeValueInvalid), "{name}: another key's");
                        let own = Made::default().bytes(row.kind, &fixture.value(object, row.kind));
                        assert_eq!(
                            (fixture.set(object, &own), fixture.copy(object, &own).err()),
                            (Ok(()), None)
                        );
                        let other = some_value(row);
                        assert_eq!(fixture.copy(object, &other), Err(Error::AttributeValueInvalid), "{name}");
                    }
                    // The original is false and would need to become true.
                    Some(row) if row.kind == ck::CKA_EXTRACTABLE || row.has(notes::N10) => {
                        assert_eq!(answer, Err(Error::AttributeReadOnly), "{name}");
                    }
                    Some(row) if row.has(notes::N8 | notes::N11) => {
                        assert_eq!(answer, Ok(()), "{name}");
                        let Answer::Value(bytes) = fixture.answer(object, row.kind) else { panic!("{name}") };
                        assert_eq!(some_value(row).raw().len(), 1);
                        assert!(
                            matches!(some_value(row).raw()[0].value, RawValue::Bytes(set) if *bytes == *set)
                        );
                    }
                    Some(_) => assert_eq!(answer, Err(Error::AttributeReadOnly), "{name}"),
                }
                if attribute.kind != ck::CKA_LABEL {
                    assert!(matches!((before, fixture.answer(object, ck::CKA_LABEL)),
                        (Answer::Value(old), Answer::Value(new)) if old == new));
                }
            }
        }
    }
}

#[test]
fn set_is_all_or_nothing() {
    let fixture = Fixture::user();
    for place in [on_token(), Made::default()] {
        let object = fixture.created(&aes_key().and(&place).bytes(ck::CKA_LABEL, b"before"));
        let good = Made::default().bytes(ck::CKA_LABEL, b"after");
        for (bad, error) in [
            (good.clone().bool(ck::CKA_LOCAL, true), Error::AttributeReadOnly),
            (good.clone().bytes(0x7777, b""), Error::AttributeTypeInvalid),
            (good.clone().bytes(ck::CKA_SIGN, b""), Error::AttributeValueInvalid),
            (good.clone().malformed(ck::CKA_ID), Error::AttributeValueInvalid),
            (good.clone().bytes(ck::CKA_LABEL, b"again"), Error::TemplateInconsistent),
            (good.clone().bytes(ck::CKA_VALUE, &[7; 16]), Error::AttributeReadOnly),
        ] {
            assert_eq!(fixture.set(object, &bad), Err(error));
            assert_eq!(fixture.value(object, ck::CKA_LABEL), b"before");
        }
        assert_eq!(fixture.set(object, &good), Ok(()));
        assert_eq!(fixture.value(object, ck::CKA_LABEL), b"after");
        let fixed = fixture.created(&aes_key().and(&place).bool(ck::CKA_MODIFIABLE, false));
        assert_eq!(fixture.set(fixed, &good), Err(Error::ActionProhibited));
    }
    let object = fixture.created(&data().and(&on_token()));
    let set = |session, object| {
        let template = Made::default().bytes(ck::CKA_LABEL, b"x");
        fixture.module.set_attribute_values(session, object, &template.raw())
    };
    assert_eq!(set(fixture.ro, object), Err(Error::SessionReadOnly));
    assert_eq!(set(fixture.rw, ObjectHandle(0)), Err(Error::ObjectHandleInvalid));
    assert_eq!(set(fixture.ro, fixture.created(&data())), Ok(()), "a session object in a read-only session");
}

#[test]
fn set_starts_again_when_another_process_was_first() {
    let fixture = Fixture::user();
    let object = fixture.created(&data().and(&on_token()));
    let label = Made::default().bytes(ck::CKA_LABEL, b"mine");
    fixture.store.race(5);
    assert_eq!(fixture.set(object, &label), Ok(()));
    assert_eq!(fixture.value(object, ck::CKA_LABEL), b"mine");
    fixture.store.race(usize::MAX);
    assert_eq!(fixture.set(object, &label), Err(Error::FunctionFailed));
}

#[test]
fn object_sizes() {
    let fixture = Fixture::user();
    let size = |template: &Made| {
        fixture.module.object_size(fixture.rw, fixture.created(template)).expect("the object is there")
    };
    let bare = size(&data());
    assert_eq!(size(&data().bytes(ck::CKA_VALUE, &[0; 100])), bare + 100);
    assert!(size(&ml_dsa_private()) > 1312, "its public key is kept with it");
    assert_eq!(fixture.module.object_size(fixture.rw, ObjectHandle(0)), Err(Error::ObjectHandleInvalid));
}
