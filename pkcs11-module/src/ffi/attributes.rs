//! Answering C_GetAttributeValue: each CK_ATTRIBUTE is filled as section 5.7.5 says, whatever became of the others.

use cryptoki_sys as ck;

use super::args;
use crate::{
    error::{Error, Result},
    template::Answer,
};

/// What became of one attribute; the worst of them is the function's answer, in the order of the standard's cases.
type Outcome = std::result::Result<ck::CK_ULONG, Error>;

/// Fills the template at `template`, of which `asked` is a copy, with one answer each.
///
/// # Safety
/// The contract of `args`.
pub(super) unsafe fn fill(
    template: *mut ck::CK_ATTRIBUTE,
    asked: &[ck::CK_ATTRIBUTE],
    answers: &[Answer],
) -> Result<()> {
    let mut outcomes = Vec::with_capacity(answers.len());
    for (index, (attribute, answer)) in asked.iter().zip(answers).enumerate() {
        let outcome = match answer {
            // SAFETY: passed on.
            Answer::Value(value) => unsafe { value_into(attribute, value) },
            // SAFETY: passed on.
            Answer::Template(list) => unsafe { list_into(attribute, list) },
            Answer::Sensitive => Err(Error::AttributeSensitive),
            Answer::TypeInvalid => Err(Error::AttributeTypeInvalid),
        };
        // SAFETY: the template has an element for each that was copied from it.
        unsafe { set_len(template.wrapping_add(index), outcome) };
        outcomes.push(outcome);
    }
    let failed = |error| outcomes.contains(&Err(error));
    let order = [Error::AttributeSensitive, Error::AttributeTypeInvalid, Error::BufferTooSmall];
    order.into_iter().find(|error| failed(*error)).map_or(Ok(()), Err)
}

/// A value into pValue, if there is one and it has room; its length either way.
///
/// # Safety
/// The contract of `args`.
unsafe fn value_into(attribute: &ck::CK_ATTRIBUTE, value: &[u8]) -> Outcome {
    let len = value.len() as ck::CK_ULONG;
    if !attribute.pValue.is_null() {
        if attribute.ulValueLen < len {
            return Err(Error::BufferTooSmall);
        }
        // SAFETY: not NULL, and by contract writable for ulValueLen bytes, which are no fewer than the value's. The
        // value is ours, so the two do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), attribute.pValue.cast(), value.len()) };
    }
    Ok(len)
}

/// A template into the CK_ATTRIBUTEs at pValue: types are set, lengths are given, and values written where the
/// caller gave room.
///
/// # Safety
/// The contract of `args`.
unsafe fn list_into(attribute: &ck::CK_ATTRIBUTE, list: &[(u64, Vec<u8>)]) -> Outcome {
    let len = size_of_val_of_attributes(list.len());
    let first: *mut ck::CK_ATTRIBUTE = attribute.pValue.cast();
    if first.is_null() {
        return Ok(len);
    }
    if attribute.ulValueLen < len {
        return Err(Error::BufferTooSmall);
    }
    let mut whole = Ok(len);
    for (index, (kind, value)) in list.iter().enumerate() {
        let place = first.wrapping_add(index);
        // SAFETY: the array has room for `list` by the check above, and is the caller's by contract.
        let mut inner = unsafe { args::read(place) }?;
        inner.type_ = *kind;
        // SAFETY: passed on.
        let outcome = unsafe { value_into(&inner, value) };
        // SAFETY: as for the read.
        unsafe {
            place.write_unaligned(inner);
            set_len(place, outcome);
        }
        if outcome.is_err() {
            whole = outcome;
        }
    }
    whole
}

/// # Safety
/// `attribute` is a CK_ATTRIBUTE of the caller's.
unsafe fn set_len(attribute: *mut ck::CK_ATTRIBUTE, outcome: Outcome) {
    // SAFETY: the caller's promise; the field may be misaligned.
    unsafe {
        (&raw mut (*attribute).ulValueLen).write_unaligned(outcome.unwrap_or(ck::CK_UNAVAILABLE_INFORMATION));
    }
}

fn size_of_val_of_attributes(count: usize) -> ck::CK_ULONG {
    (count * size_of::<ck::CK_ATTRIBUTE>()) as ck::CK_ULONG
}
