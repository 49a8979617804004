//! C_GetAttributeValue: what becomes of each CK_ATTRIBUTE.

use std::ptr::null_mut;

use cryptoki_sys as ck;

use super::super::{args, attributes};
use crate::{
    error::{Error, Result},
    template::Answer,
};

const UNAVAILABLE: u64 = ck::CK_UNAVAILABLE_INFORMATION;

fn fill(template: &mut [ck::CK_ATTRIBUTE], answers: &[Answer]) -> Result<()> {
    let (first, count) = (template.as_mut_ptr(), template.len() as ck::CK_ULONG);
    // SAFETY: pointers and lengths are those of live memory.
    unsafe { attributes::fill(first, &args::attributes(first, count)?, answers) }
}

fn attribute(value: &mut [u8]) -> ck::CK_ATTRIBUTE {
    let len = value.len() as ck::CK_ULONG;
    ck::CK_ATTRIBUTE { type_: 0, pValue: value.as_mut_ptr().cast(), ulValueLen: len }
}

fn asks_length() -> ck::CK_ATTRIBUTE {
    ck::CK_ATTRIBUTE { type_: 0, pValue: null_mut(), ulValueLen: 77 }
}

fn value(bytes: &[u8]) -> Answer {
    Answer::Value(bytes.to_vec().into())
}

#[test]
fn each_is_filled_whatever_became_of_the_others() {
    let (mut exact, mut large, mut small, mut secret, mut empty) = ([0; 3], [9; 5], [9; 2], [9; 3], [9; 1]);
    let mut template = [
        attribute(&mut secret),
        attribute(&mut small),
        asks_length(),
        attribute(&mut exact),
        attribute(&mut empty),
        attribute(&mut [9; 1]),
        attribute(&mut large),
    ];
    let answers = [
        Answer::Sensitive,
        value(b"abc"),
        value(b"abc"),
        value(b"abc"),
        value(b""),
        Answer::TypeInvalid,
        value(b"abc"),
    ];
    assert_eq!(fill(&mut template, &answers), Err(Error::AttributeSensitive));
    let lengths = template.map(|attribute| attribute.ulValueLen);
    assert_eq!(lengths, [UNAVAILABLE, UNAVAILABLE, 3, 3, 0, UNAVAILABLE, 3]);
    assert_eq!((exact, large, small, secret, empty), (*b"abc", *b"abc\x09\x09", [9; 2], [9; 3], [9]));
}

#[test]
fn the_answer_is_that_of_the_first_case_that_applies() {
    let mut small = [0; 1];
    for (answers, expected) in [
        (vec![value(b"")], Ok(())),
        (vec![value(b"abc")], Err(Error::BufferTooSmall)),
        (vec![value(b"abc"), Answer::TypeInvalid], Err(Error::AttributeTypeInvalid)),
        (vec![value(b"abc"), Answer::TypeInvalid, Answer::Sensitive], Err(Error::AttributeSensitive)),
        (vec![], Ok(())),
    ] {
        let mut template = vec![attribute(&mut small); answers.len()];
        assert_eq!(fill(&mut template, &answers), expected);
    }
}

#[test]
fn a_nested_template_is_measured_and_then_filled() {
    let list = || [Answer::Template(vec![(ck::CKA_SIGN, vec![1]), (ck::CKA_KEY_TYPE, vec![7; 8])])];
    let mut outer = [asks_length()];
    fill(&mut outer, &list()).unwrap();
    assert_eq!(outer[0].ulValueLen, 48);

    // Room for the structs, none in them: their types and lengths.
    let mut inner = [asks_length(); 2];
    let nested = |inner: &mut [ck::CK_ATTRIBUTE], len| {
        [ck::CK_ATTRIBUTE { type_: 0, pValue: inner.as_mut_ptr().cast(), ulValueLen: len }]
    };
    outer = nested(&mut inner, 48);
    fill(&mut outer, &list()).unwrap();
    assert_eq!(inner.map(|one| (one.type_, one.ulValueLen)), [(ck::CKA_SIGN, 1), (ck::CKA_KEY_TYPE, 8)]);

    // Room in one of them.
    let (mut flag, mut short) = ([0; 1], [0; 7]);
    inner = [attribute(&mut flag), attribute(&mut short)];
    outer = nested(&mut inner, 48);
    assert_eq!(fill(&mut outer, &list()), Err(Error::BufferTooSmall));
    assert_eq!(
        (outer[0].ulValueLen, inner[0].ulValueLen, inner[1].ulValueLen),
        (UNAVAILABLE, 1, UNAVAILABLE)
    );
    assert_eq!((flag, short), ([1], [0; 7]));

    // No room for the structs.
    inner = [asks_length(); 2];
    outer = nested(&mut inner, 47);
    assert_eq!(fill(&mut outer, &list()), Err(Error::BufferTooSmall));
    assert_eq!(inner[0].ulValueLen, 77);
}
