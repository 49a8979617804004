//! Searches: exact for every attribute, indexed or not, alone and together.

use cryptoki_sys as ck;

use super::{Fixture, by_label, bytes, data, everything, put, user};
use crate::{Attributes, RecordId, Value};

/// Attributes to search by, each with the values that objects have.
fn columns() -> Vec<(u64, Vec<Value>)> {
    let template =
        |value: u64| Value::Template([(ck::CKA_KEY_TYPE, Value::Ulong(value))].into_iter().collect());
    vec![
        (ck::CKA_CLASS, vec![Value::Ulong(ck::CKO_DATA), Value::Ulong(ck::CKO_CERTIFICATE)]),
        (ck::CKA_KEY_TYPE, vec![Value::Ulong(ck::CKK_AES), Value::Ulong(u64::MAX)]),
        (ck::CKA_LABEL, vec![bytes("label"), bytes(""), bytes("other")]),
        (ck::CKA_ID, vec![Value::Bytes(vec![0, 1, 2]), bytes("label")]),
        (ck::CKA_APPLICATION, vec![bytes("label"), bytes("app")]),
        (ck::CKA_MODIFIABLE, vec![Value::Bool(true), Value::Bool(false)]),
        (ck::CKA_START_DATE, vec![bytes("20260101"), bytes("")]),
        (ck::CKA_ALLOWED_MECHANISMS, vec![Value::Ulongs(vec![1, 2]), Value::Ulongs(vec![])]),
        (ck::CKA_UNWRAP_TEMPLATE, vec![template(1), template(2)]),
    ]
}

pub fn every_attribute_and_combination(token: &dyn Fixture) {
    let store = token.open();
    let vault = user(&*store, token);
    let columns = columns();
    // Objects that have or lack each attribute in many ways, half of them private.
    let mut objects: Vec<(RecordId, Attributes)> = Vec::new();
    for number in 0..40_usize {
        let mut attributes: Attributes =
            [(ck::CKA_PRIVATE, Value::Bool(number % 2 == 0))].into_iter().collect();
        for (column, (kind, values)) in columns.iter().enumerate() {
            // One choice more than there are values: absent.
            let choice = number.wrapping_mul(2 * column + 7).wrapping_add(number >> 2) % (values.len() + 1);
            if let Some(value) = values.get(choice) {
                attributes.set(*kind, value.clone());
            }
        }
        objects.push((put(&*vault, attributes.clone(), None), attributes));
    }
    let conditions: Vec<(u64, &Value)> =
        columns.iter().flat_map(|(kind, values)| values.iter().map(|value| (*kind, value))).collect();
    let check = |template: &Attributes| {
        let expected = |public: bool| -> Vec<RecordId> {
            let visible = objects.iter().filter(|(_, found)| !public || !found.flag(ck::CKA_PRIVATE));
            visible.filter(|(_, found)| found.matches(template)).map(|(id, _)| *id).collect()
        };
        assert_eq!(vault.find(template).unwrap(), expected(false), "{template:?}");
        assert_eq!(store.public().find(template).unwrap(), expected(true), "{template:?}");
    };
    check(&Attributes::new());
    for (at, (kind, value)) in conditions.iter().enumerate() {
        let one: Attributes = [(*kind, (*value).clone())].into_iter().collect();
        check(&one);
        for (kind, value) in &conditions[at + 1..] {
            let mut two = one.clone();
            two.set(*kind, (*value).clone());
            check(&two);
            // With a third that every second object has.
            two.set(ck::CKA_PRIVATE, true);
            check(&two);
        }
    }
    for (id, attributes) in &objects {
        check(attributes);
        for (unique_id, expected) in [(id.to_string(), vec![*id]), (RecordId([0; 16]).to_string(), vec![])] {
            let mut template = attributes.clone();
            template.set(ck::CKA_UNIQUE_ID, unique_id.into_bytes());
            assert_eq!(vault.find(&template).unwrap(), expected);
            template.set(ck::CKA_LABEL, bytes("none has this"));
            assert_eq!(vault.find(&template).unwrap(), []);
        }
    }
}

pub fn odd_templates_match_nothing(token: &dyn Fixture) {
    let store = token.open();
    let vault = user(&*store, token);
    let mut attributes = data("label", true);
    attributes.set(ck::CKA_ID, vec![0; 8]);
    let id = put(&*vault, attributes, None);
    let odd = [
        (ck::CKA_LABEL, Value::Ulong(0)),
        (ck::CKA_LABEL, bytes("labe")),
        (ck::CKA_LABEL, bytes("label\0")),
        (ck::CKA_LABEL, bytes("Label")),
        (ck::CKA_ID, Value::Ulong(0)),
        (ck::CKA_ID, Value::Bytes(vec![0; 7])),
        (ck::CKA_CLASS, Value::Bytes(vec![0; 8])),
        (ck::CKA_CLASS, Value::Bool(false)),
        (ck::CKA_KEY_TYPE, Value::Ulong(0)),
        (ck::CKA_PRIVATE, Value::Ulong(1)),
        (ck::CKA_UNIQUE_ID, Value::Ulong(1)),
        (ck::CKA_UNIQUE_ID, bytes("")),
        (ck::CKA_UNIQUE_ID, bytes(&format!("+{}", &id.to_string()[1..]))),
        (ck::CKA_UNIQUE_ID, bytes(&id.to_string()[..31])),
        (0xFFFF_FFFF_FFFF, bytes("label")),
    ];
    for (kind, value) in odd {
        let template: Attributes = [(kind, value)].into_iter().collect();
        assert_eq!(vault.find(&template).unwrap(), [], "{template:?}");
    }
    assert_eq!(vault.find(&by_label("label")).unwrap(), [id]);
}

pub fn found_in_order_of_creation(token: &dyn Fixture) {
    let store = token.open();
    let vault = user(&*store, token);
    let mut made = Vec::new();
    for number in 0..30 {
        made.push(put(&*vault, data("same", number % 3 == 0), None));
    }
    for gone in [29, 11, 0] {
        let id = made.remove(gone);
        vault.commit(vec![crate::Change::Destroy { id }]).unwrap();
    }
    made.push(put(&*vault, data("same", true), None));
    let id = made[4];
    let attributes = vault.read(id).unwrap().attributes.clone();
    vault.commit(vec![crate::Change::Update { id, version: 1, attributes }]).unwrap();
    assert_eq!(everything(&*vault), made);
    assert_eq!(vault.find(&by_label("same")).unwrap(), made);
    assert_eq!(everything(&*user(&*token.open(), token)), made);
}
