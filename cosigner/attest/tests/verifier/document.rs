//! The envelope and the payload.

use attest::{Error, Field, LONGEST_DOCUMENT};
use coset::cbor::Value;
use document_maker::{Authority, payload, sign};

use crate::{TIME, authority, draft, verify};

#[test]
fn a_document_says_what_was_put_into_it() {
    let authority = authority();
    let document = draft().sign(&authority);
    let attestation = verify(&document, authority.root_sha256()).unwrap();
    assert_eq!(attestation.timestamp(), TIME);
    assert_eq!(attestation.module_id(), "i-0trellis-enc0");
    assert_eq!(attestation.root(), authority.root_sha256());
    assert_eq!(attestation.pcrs().len(), 16);
    assert_eq!(attestation.pcr(8).unwrap().as_bytes(), &[0x18; 48]);
    assert!(attestation.pcr(9).unwrap().is_zero());
    assert_eq!(attestation.public_key(), Some(&b"public"[..]));
    assert_eq!(attestation.user_data(), Some(&b"data"[..]));
    assert_eq!(attestation.nonce(), Some(&b"nonce"[..]));
}

#[test]
fn the_tag_may_be_there_or_not() {
    let authority = authority();
    let document = draft().sign(&authority);
    let root = authority.root_sha256();
    assert!(verify(&[&[0xd2], &document[..]].concat(), root).is_ok());
    // The same tag in two bytes, another tag, and the tag twice.
    assert_eq!(verify(&[&[0xd8, 18], &document[..]].concat(), root), Err(Error::Envelope));
    assert_eq!(verify(&[&[0xd1], &document[..]].concat(), root), Err(Error::Envelope));
    assert_eq!(verify(&[&[0xd2, 0xd2], &document[..]].concat(), root), Err(Error::Envelope));
}

#[test]
fn what_is_no_document_is_refused_as_such() {
    let authority = authority();
    let document = draft().sign(&authority);
    let root = authority.root_sha256();
    assert_eq!(verify(&[], root), Err(Error::DocumentLength(0)));
    let long = vec![0; LONGEST_DOCUMENT + 1];
    assert_eq!(verify(&long, root), Err(Error::DocumentLength(LONGEST_DOCUMENT + 1)));
    assert_eq!(verify(b"not a document", root), Err(Error::Envelope));
    assert_eq!(verify(&[&document[..], &[0]].concat(), root), Err(Error::Envelope));
    // Nested as deep as it goes, and of a length that is not there.
    assert_eq!(verify(&[0x81; LONGEST_DOCUMENT], root), Err(Error::Envelope));
    assert_eq!(verify(&[0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], root), Err(Error::Envelope));
    assert_eq!(verify(&[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], root), Err(Error::Envelope));
    for length in 1..document.len() {
        assert_eq!(verify(&document[..length], root), Err(Error::Envelope), "{length} bytes");
    }
}

/// 84, 44 a1 01 38 22, a0, 59 (two bytes of length) payload, 58 60 signature.
fn parts(document: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let signature = document.len() - 98;
    assert_eq!(document[6], 0xa0);
    assert_eq!(document[signature..signature + 2], [0x58, 96]);
    (&document[1..6], &document[7..signature], &document[signature..])
}

#[test]
fn the_parts_that_nobody_signs_can_be_in_one_way_only() {
    let authority = authority();
    let document = draft().sign(&authority);
    let root = authority.root_sha256();
    let (protected, payload, signature) = parts(&document);
    let with = |pieces: &[&[u8]]| verify(&pieces.concat(), root);
    assert!(with(&[&[0x84], protected, &[0xa0], payload, signature]).is_ok());
    // An array without a length, a longer length than is needed, the empty map with a length of its own.
    let shortest = Err(Error::EnvelopeEncoding);
    assert_eq!(with(&[&[0x9f], protected, &[0xa0], payload, signature, &[0xff]]), shortest);
    assert_eq!(with(&[&[0x98, 4], protected, &[0xa0], payload, signature]), shortest);
    assert_eq!(with(&[&[0x84], protected, &[0xb8, 0], payload, signature]), shortest);
    assert_eq!(with(&[&[0x84], protected, &[0xa0], payload, &[0x59, 0, 96], &signature[2..]]), shortest);
    // An unprotected header: {1: -7}, and {"x": 0}.
    let unprotected = Err(Error::EnvelopeUnprotected);
    assert_eq!(with(&[&[0x84], protected, &[0xa1, 1, 0x26], payload, signature]), unprotected);
    assert_eq!(with(&[&[0x84], protected, &[0xa1, 0x61, b'x', 0], payload, signature]), unprotected);
    // {1: -7} is ES256; {}; {1: -35, 4: h'00'}.
    for other in [&[0x43, 0xa1, 1, 0x26][..], &[0x40], &[0x47, 0xa2, 1, 0x38, 0x22, 4, 0x41, 0]] {
        let other = with(&[&[0x84], other, &[0xa0], payload, signature]);
        assert_eq!(other, Err(Error::EnvelopeAlgorithm));
    }
    assert_eq!(with(&[&[0x84], protected, &[0xa0, 0xf6], signature]), Err(Error::PayloadDetached));
    let short = [&[0x58, 95], &signature[2..97]].concat();
    let short = with(&[&[0x84], protected, &[0xa0], payload, &short]);
    assert_eq!(short, Err(Error::SignatureLength(95)));
    // Four parts, not three or five.
    assert_eq!(with(&[&[0x83], protected, &[0xa0], payload]), Err(Error::Envelope));
    assert_eq!(with(&[&[0x85], protected, &[0xa0], payload, signature, &[0xf6]]), Err(Error::Envelope));
}

#[test]
fn a_changed_payload_is_refused_by_its_signature() {
    let authority = authority();
    let root = authority.root_sha256();
    let mut other = draft();
    other.pcrs[0] = [0x77; 48];
    let chain = authority.issue();
    let ours = sign(&payload(draft().fields(&chain)), authority.leaf_key());
    let theirs = sign(&payload(other.fields(&chain)), authority.leaf_key());
    assert!(verify(&ours, root).is_ok() && verify(&theirs, root).is_ok());
    // The payload of one and the signature of the other.
    let mixed = [&theirs[..theirs.len() - 98], &ours[ours.len() - 98..]].concat();
    assert_eq!(verify(&mixed, root), Err(Error::Signature));
    // Signed by a CA instead of the enclave.
    let by_ca = sign(&payload(draft().fields(&chain)), authority.key(3));
    assert_eq!(verify(&by_ca, root), Err(Error::Signature));
}

/// Signs the draft's fields after a change.
fn changed(authority: &Authority, change: impl FnOnce(&mut Vec<(Value, Value)>)) -> Vec<u8> {
    let mut fields = draft().fields(&authority.issue());
    change(&mut fields);
    sign(&payload(fields), authority.leaf_key())
}

fn set(fields: &mut [(Value, Value)], field: Field, value: Value) {
    let place = fields.iter_mut().find(|(name, _)| name.as_text() == Some(field.name()));
    place.unwrap().1 = value;
}

#[test]
fn every_field_has_its_type_and_size() {
    let authority = authority();
    let root = authority.root_sha256();
    let bytes = |length| Value::Bytes(vec![1; length]);
    let integer = |value: i64| Value::Integer(value.into());
    let pcr = |index: i64, length| Value::Map(vec![(integer(index), bytes(length))]);
    let wrong = [
        (Field::ModuleId, Value::Text(String::new())),
        (Field::ModuleId, bytes(8)),
        (Field::ModuleId, Value::Text("m".repeat(257))),
        (Field::Digest, Value::Text("SHA256".into())),
        (Field::Timestamp, integer(0)),
        (Field::Timestamp, integer(-1)),
        (Field::Timestamp, Value::Float(1e12)),
        (Field::Pcrs, Value::Map(vec![])),
        (Field::Pcrs, pcr(32, 48)),
        (Field::Pcrs, pcr(-1, 48)),
        (Field::Pcrs, pcr(0, 32)),
        (Field::Pcrs, Value::Array(vec![bytes(48)])),
        (Field::Certificate, bytes(0)),
        (Field::Certificate, bytes(1025)),
        (Field::Certificate, Value::Null),
        (Field::CaBundle, bytes(8)),
        (Field::CaBundle, Value::Array(vec![integer(1)])),
        (Field::CaBundle, Value::Array(vec![bytes(1025)])),
        (Field::PublicKey, bytes(1025)),
        (Field::PublicKey, Value::Text("key".into())),
        (Field::UserData, bytes(1025)),
        (Field::UserData, integer(1)),
        (Field::Nonce, bytes(1025)),
        (Field::Nonce, Value::Bool(true)),
    ];
    for (field, value) in wrong {
        let shown = format!("{field:?} {value:?}");
        let document = changed(&authority, |fields| set(fields, field, value));
        assert_eq!(verify(&document, root), Err(Error::FieldInvalid(field)), "{shown}");
    }
}

#[test]
fn a_field_is_there_once() {
    let authority = authority();
    let root = authority.root_sha256();
    let all = [
        Field::ModuleId,
        Field::Digest,
        Field::Timestamp,
        Field::Pcrs,
        Field::Certificate,
        Field::CaBundle,
        Field::PublicKey,
        Field::UserData,
        Field::Nonce,
    ];
    for (at, field) in all.into_iter().enumerate() {
        let without = verify(&changed(&authority, |fields| drop(fields.remove(at))), root);
        match field {
            Field::PublicKey => assert_eq!(without.unwrap().public_key(), None),
            Field::UserData => assert_eq!(without.unwrap().user_data(), None),
            Field::Nonce => assert_eq!(without.unwrap().nonce(), None),
            _ => assert_eq!(without, Err(Error::FieldMissing(field))),
        }
        let twice = verify(&changed(&authority, |fields| fields.push(fields[at].clone())), root);
        assert_eq!(twice, Err(Error::FieldRepeated(field.name().into())));
    }
    let long = (Value::Text("\u{1b}long".repeat(100)), Value::Null);
    let long_twice = verify(&changed(&authority, |fields| fields.extend([long.clone(), long])), root);
    let Err(refused) = long_twice else { panic!("{long_twice:?}") };
    assert!(refused.to_string().len() < 150 && !refused.to_string().contains('\u{1b}'), "{refused}");
    let pcr_twice = changed(&authority, |fields| {
        let pcr = (Value::Integer(0.into()), Value::Bytes(vec![1; 48]));
        set(fields, Field::Pcrs, Value::Map(vec![pcr.clone(), pcr]));
    });
    assert_eq!(verify(&pcr_twice, root), Err(Error::FieldRepeated("PCR0".into())));
}

#[test]
fn a_payload_is_one_map_and_may_have_fields_of_tomorrow() {
    let authority = authority();
    let root = authority.root_sha256();
    let later = changed(&authority, |fields| fields.push((Value::Text("later".into()), Value::Null)));
    assert!(verify(&later, root).is_ok());
    let by_number = changed(&authority, |fields| fields.push((Value::Integer(1.into()), Value::Null)));
    assert_eq!(verify(&by_number, root), Err(Error::Payload));
    let map = payload(draft().fields(&authority.issue()));
    for other in [&[][..], &[0x80], &[0xff], &map[..map.len() - 1], &[&map[..], &[0]].concat()] {
        assert_eq!(verify(&sign(other, authority.leaf_key()), root), Err(Error::Payload));
    }
}
