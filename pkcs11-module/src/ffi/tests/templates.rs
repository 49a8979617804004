//! Templates, lists and buffers.

use std::ptr::null_mut;

use cryptoki_sys as ck;

use super::super::args::{self, Destination};
use crate::{
    attribute::{ATTRIBUTES, Form},
    error::Error,
    output::Written,
    template::{RawAttribute, RawValue},
};

fn attribute(kind: u64, value: *const u8, len: u64) -> ck::CK_ATTRIBUTE {
    ck::CK_ATTRIBUTE { type_: kind, pValue: value.cast_mut().cast(), ulValueLen: len }
}

fn read(template: &[ck::CK_ATTRIBUTE]) -> Vec<RawAttribute<'static>> {
    // SAFETY: pointers and lengths in these tests are those of live memory, or such that they must be refused.
    unsafe { args::template(template.as_ptr(), template.len() as ck::CK_ULONG) }.unwrap()
}

fn shape(template: &[ck::CK_ATTRIBUTE]) -> String {
    let shapes: Vec<_> = read(template).iter().map(|attribute| format!("{:?}", attribute.value)).collect();
    shapes.join(" ")
}

#[test]
fn values_are_bytes_or_malformed() {
    let bytes = [1_u8; 4];
    let template = [
        attribute(ck::CKA_LABEL, bytes.as_ptr(), 4),
        attribute(ck::CKA_LABEL, bytes.as_ptr(), 0),
        attribute(ck::CKA_LABEL, null_mut(), 0),
        attribute(ck::CKA_LABEL, null_mut(), 1),
        attribute(ck::CKA_LABEL, bytes.as_ptr(), u64::MAX),
        attribute(ck::CKA_LABEL, bytes.as_ptr(), 1 << 63),
    ];
    assert_eq!(shape(&template), "Bytes(4) Bytes(0) Bytes(0) Malformed Malformed Malformed");
    assert_eq!(shape(&[]), "");
}

#[test]
fn templates_nest_once() {
    let flag = [1_u8];
    let inner = [attribute(ck::CKA_SIGN, flag.as_ptr(), 1), attribute(ck::CKA_LABEL, null_mut(), 3)];
    let innermost = [attribute(ck::CKA_WRAP_TEMPLATE, inner.as_ptr().cast(), 48)];
    let of = |list: &[ck::CK_ATTRIBUTE], len| attribute(ck::CKA_UNWRAP_TEMPLATE, list.as_ptr().cast(), len);
    let template = [
        of(&inner, 48),
        of(&inner, 24),
        of(&inner, 0),
        of(&inner, 25),
        of(&innermost, 24),
        of(&inner, u64::MAX),
    ];
    assert_eq!(shape(&template), "Template(2) Template(1) Template(0) Malformed Template(1) Malformed");
    let read = read(&template);
    let inner = |index: usize| match &read[index].value {
        RawValue::Template(list) => list.iter().map(|one| format!("{:?}", one.value)).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(inner(0), ["Bytes(1)", "Malformed"]);
    assert_eq!(inner(4), ["Malformed"]);
    // So does every attribute that the table calls a template.
    for row in ATTRIBUTES.iter().filter(|row| row.form == Form::Template) {
        let flag = [attribute(ck::CKA_SIGN, flag.as_ptr(), 1)];
        assert_eq!(shape(&[attribute(row.kind, flag.as_ptr().cast(), 24)]), "Template(1)", "{}", row.name);
    }
}

/// CKF_ARRAY_ATTRIBUTE is a bit of CKA_ALLOWED_MECHANISMS and of the numbers of NSS, whose values are no templates.
#[test]
fn other_attributes_with_the_array_bit_are_bytes() {
    let bytes = [0xff_u8; 48];
    let template = [
        attribute(ck::CKA_ALLOWED_MECHANISMS, bytes.as_ptr(), 48),
        attribute(0xce53_4351, bytes.as_ptr(), 48),
    ];
    assert_eq!(shape(&template), "Bytes(48) Bytes(48)");
}

#[test]
fn counts_that_no_template_has() {
    let template = [attribute(0, null_mut(), 0)];
    for (pointer, count) in [
        (null_mut(), 1),
        (template.as_ptr().cast_mut(), args::MAX_ATTRIBUTES + 1),
        (template.as_ptr().cast_mut(), u64::MAX),
    ] {
        // SAFETY: must be refused before anything is read.
        let refused = unsafe { args::template(pointer, count) };
        assert_eq!(refused.err(), Some(Error::ArgumentsBad), "{count}");
    }
    // SAFETY: there is nothing to read.
    assert!(unsafe { args::template(null_mut(), 0) }.unwrap().is_empty());
}

#[test]
fn inputs_in_the_output_are_copied() {
    let mut memory = [7_u8; 32];
    let start = memory.as_mut_ptr();
    let mut len = 16;
    for (input, output, copied) in [(0, 16, false), (16, 0, false), (0, 0, true), (8, 0, true), (0, 15, true)]
    {
        // SAFETY: all within `memory`.
        let (input, _destination) =
            unsafe { args::through(start.wrapping_add(input), 16, start.wrapping_add(output), &raw mut len) }
                .unwrap();
        assert_eq!(matches!(input, args::Input::Copied(_)), copied);
        assert_eq!(*input, [7; 16]);
    }
    // A length query overlaps nothing.
    // SAFETY: within `memory`.
    let (input, _) = unsafe { args::through(start, 16, null_mut(), &raw mut len) }.unwrap();
    assert!(matches!(input, args::Input::InPlace(_)));
}

#[test]
fn lengths_are_told_and_buffers_filled() {
    let mut buffer = [0_u8; 4];
    let to = |buffer: *mut u8, len: &mut u64, bytes: &[u8]| {
        // SAFETY: the buffer has `len` bytes, or the length must be refused.
        let destination = unsafe { Destination::new(buffer, std::ptr::from_mut(len)) }?;
        destination.fill(|out| Ok(out.write(bytes)))
    };
    let mut len = 4;
    assert_eq!((to(null_mut(), &mut len, b"abcdef"), len), (Ok(()), 6));
    len = 4;
    assert_eq!((to(buffer.as_mut_ptr(), &mut len, b"abcdef"), len), (Err(Error::BufferTooSmall), 6));
    len = 4;
    assert_eq!((to(buffer.as_mut_ptr(), &mut len, b"abc"), len, &buffer), (Ok(()), 3, b"abc\0"));
    len = u64::MAX;
    assert_eq!(to(buffer.as_mut_ptr(), &mut len, b""), Err(Error::ArgumentsBad));
    // SAFETY: must be refused.
    assert_eq!(unsafe { Destination::new(buffer.as_mut_ptr(), null_mut()) }.err(), Some(Error::ArgumentsBad));
    // SAFETY: must be refused.
    assert_eq!(unsafe { Destination::new(null_mut(), null_mut()) }.err(), Some(Error::ArgumentsBad));
    // An operation that failed tells no length.
    len = 4;
    // SAFETY: the buffer has `len` bytes.
    let destination = unsafe { Destination::new(buffer.as_mut_ptr(), &raw mut len) }.unwrap();
    assert_eq!(destination.fill(|_| Err::<Written, _>(Error::DataLenRange)), Err(Error::DataLenRange));
    assert_eq!(len, 4);
}
