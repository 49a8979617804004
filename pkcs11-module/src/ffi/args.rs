//! The caller's arguments: all checks of pointers and lengths.
//!
//! The contract, which is PKCS#11's own (section 5.1 and 5.2) and which every unsafe block of this folder cites. Of
//! each argument of an exported function, the caller promises that
//! - an input pointer is NULL or points to as many readable bytes (elements) as the length (count) beside it says, and
//!   these do not change during the call;
//! - an output pointer is NULL or points to as many writable bytes (elements) as the length (count) says, and nobody
//!   else uses them during the call;
//! - pointers within structs (CK_ATTRIBUTE, CK_MECHANISM and parameters) keep the same promises.
//!
//! Nothing else is assumed. Pointers may be misaligned, so structs and numbers are read and written unaligned; outputs
//! may overlap inputs, so no reference to an output lives beside one to an input that it overlaps; outputs may be
//! uninitialised, so they are written and never read.

use cryptoki_sys as ck;
use hsm_backends::Pin;
use zeroize::Zeroizing;

use crate::{
    attribute::{Form, known},
    error::{Error, Result},
    output::{Output, Written},
    template::{RawAttribute, RawValue},
};

/// More attributes than this in a template are a mistake, not a template: CKR_ARGUMENTS_BAD.
pub(super) const MAX_ATTRIBUTES: u64 = 4096;

/// More templates than this in one call, or more bytes in them, are CKR_ARGUMENTS_BAD: all of them are in memory at once.
/// So is one template whose arrays take more, all of which may be one and the same.
pub(super) const MAX_TEMPLATES: u64 = 1 << 16;
const MAX_TEMPLATE_BYTES: usize = 256 << 20;

/// Does nothing: the block of every export is unsafe because the caller's contract holds there.
///
/// # Safety
/// The contract in the head of this file holds for the arguments of the export.
pub(super) const unsafe fn caller_keeps_the_contract() {}

/// An input. NULL is the empty input if `len` is 0, otherwise CKR_ARGUMENTS_BAD, as is a length that no memory has.
///
/// # Safety
/// The contract above.
pub(super) unsafe fn bytes<'a>(pointer: *const u8, len: ck::CK_ULONG) -> Result<&'a [u8]> {
    let len = length(len, 1)?;
    match (pointer.is_null(), len) {
        (true, 0) => Ok(&[]),
        (true, _) => Err(Error::ArgumentsBad),
        // SAFETY: not NULL, `len` readable bytes by contract, at most isize::MAX by `length`.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(pointer, len) }),
    }
}

/// An input that may be left out altogether: NULL, whatever its length.
///
/// # Safety
/// The contract above.
pub(super) unsafe fn optional_bytes<'a>(pointer: *const u8, len: ck::CK_ULONG) -> Result<Option<&'a [u8]>> {
    // SAFETY: passed on.
    if pointer.is_null() { Ok(None) } else { unsafe { bytes(pointer, len) }.map(Some) }
}

/// A PIN. NULL asks for a PIN pad, which no token has: CKR_ARGUMENTS_BAD, and no try is spent on it.
///
/// # Safety
/// The contract above.
pub(super) unsafe fn pin<'a>(pointer: *const u8, len: ck::CK_ULONG) -> Result<&'a [u8]> {
    // SAFETY: passed on.
    unsafe { optional_bytes(pointer, len) }?.ok_or(Error::ArgumentsBad)
}

/// A PIN to be judged, or NULL where the token is to know it.
///
/// # Safety
/// The contract above.
pub(super) unsafe fn presented_pin(pointer: *const u8, len: ck::CK_ULONG) -> Result<Option<Pin>> {
    // SAFETY: passed on.
    Ok(unsafe { optional_bytes(pointer, len) }?.map(Pin::presented))
}

/// A struct of the caller's, which may be misaligned; NULL is CKR_ARGUMENTS_BAD.
///
/// # Safety
/// The contract above, and every bit pattern is a `T`.
pub(super) unsafe fn read<T: Copy>(pointer: *const T) -> Result<T> {
    if pointer.is_null() {
        return Err(Error::ArgumentsBad);
    }
    // SAFETY: not NULL, and readable by contract.
    Ok(unsafe { pointer.read_unaligned() })
}

/// Where one value goes: a handle, a length, an info struct.
#[derive(Debug)]
pub(super) struct Place<T>(*mut T);

impl<T> Place<T> {
    /// Checks the pointer, before anything is done: NULL is CKR_ARGUMENTS_BAD.
    ///
    /// # Safety
    /// The contract above.
    pub(super) unsafe fn new(pointer: *mut T) -> Result<Self> {
        if pointer.is_null() { Err(Error::ArgumentsBad) } else { Ok(Self(pointer)) }
    }

    /// Writes the value.
    pub(super) fn set(self, value: T) {
        // SAFETY: not NULL by `new`, writable by the contract that `new` was called under.
        unsafe { self.0.write_unaligned(value) };
    }
}

/// Where several values go.
#[derive(Debug)]
pub(super) struct Elements<T> {
    first: *mut T,
    room: usize,
}

impl<T> Elements<T> {
    /// Checks the pointer: NULL is CKR_ARGUMENTS_BAD unless there is no room at all.
    ///
    /// # Safety
    /// The contract above.
    pub(super) unsafe fn new(first: *mut T, room: ck::CK_ULONG) -> Result<Self> {
        let room = length(room, size_of::<T>())?;
        if first.is_null() && room > 0 { Err(Error::ArgumentsBad) } else { Ok(Self { first, room }) }
    }

    /// How many values fit.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Writes the values that fit.
    pub(super) fn set(self, values: impl IntoIterator<Item = T>) {
        for (index, value) in values.into_iter().take(self.room).enumerate() {
            // SAFETY: not NULL by `new`, and writable for `room` elements by its contract.
            unsafe { self.first.add(index).write_unaligned(value) };
        }
    }
}

/// A buffer with the pointer to its length: the convention of section 5.2 for variable-length output.
#[derive(Debug)]
pub(super) struct Destination {
    buffer: *mut u8,
    capacity: usize,
    len: *mut ck::CK_ULONG,
}

impl Destination {
    /// Checks the pointers: a NULL length is CKR_ARGUMENTS_BAD, a NULL buffer asks for the length.
    ///
    /// # Safety
    /// The contract above.
    pub(super) unsafe fn new(buffer: *mut u8, len: *mut ck::CK_ULONG) -> Result<Self> {
        // SAFETY: passed on.
        let capacity = if buffer.is_null() { 0 } else { length(unsafe { read(len) }?, 1)? };
        if len.is_null() { Err(Error::ArgumentsBad) } else { Ok(Self { buffer, capacity, len }) }
    }

    /// The input itself, or a copy where the caller has it in the buffer that the output goes to.
    pub(super) fn apart_from<'a>(&self, input: &'a [u8]) -> Input<'a> {
        let (input_start, buffer_start) = (input.as_ptr() as usize, self.buffer as usize);
        let overlap = !self.buffer.is_null()
            && input_start < buffer_start.saturating_add(self.capacity)
            && buffer_start < input_start.saturating_add(input.len());
        if overlap { Input::Copied(Zeroizing::new(input.to_vec())) } else { Input::InPlace(input) }
    }

    /// Whether the caller asks for the length only.
    pub(super) fn asks_length(&self) -> bool {
        self.buffer.is_null()
    }

    /// Has `produce` fill the buffer, and tells the caller the length. Inputs of `produce` must have come from
    /// [`Destination::apart_from`].
    pub(super) fn fill(self, produce: impl FnOnce(Output<'_>) -> Result<Written>) -> Result<()> {
        let output = if self.buffer.is_null() {
            Output::length()
        } else {
            // SAFETY: not NULL, `capacity` writable bytes by the contract of `new`, at most isize::MAX by `length`;
            // inputs that overlap were copied.
            Output::buffer(unsafe { std::slice::from_raw_parts_mut(self.buffer, self.capacity) })
        };
        let (len, answer) = match produce(output)? {
            Written::Bytes(len) => (len, Ok(())),
            Written::Needs(len) if self.buffer.is_null() => (len, Ok(())),
            Written::Needs(len) => (len, Err(Error::BufferTooSmall)),
        };
        // SAFETY: not NULL by `new`, and writable by its contract.
        unsafe { self.len.write_unaligned(len as ck::CK_ULONG) };
        answer
    }
}

/// An input that no output overlaps.
pub(super) enum Input<'a> {
    /// The caller's bytes.
    InPlace(&'a [u8]),
    /// A copy of them; they may be secret.
    Copied(Zeroizing<Vec<u8>>),
}

impl std::ops::Deref for Input<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::InPlace(bytes) => bytes,
            Self::Copied(bytes) => bytes,
        }
    }
}

/// Input and output of a function that turns one into the other.
///
/// # Safety
/// The contract above.
pub(super) unsafe fn through<'a>(
    input: *const u8,
    input_len: ck::CK_ULONG,
    output: *mut u8,
    output_len: *mut ck::CK_ULONG,
) -> Result<(Input<'a>, Destination)> {
    // SAFETY: passed on.
    let (destination, input) = unsafe { (Destination::new(output, output_len)?, bytes(input, input_len)?) };
    Ok((destination.apart_from(input), destination))
}

/// Gives the caller a list of numbers or structs by the convention of section 5.2, counted in elements.
///
/// # Safety
/// The contract above.
pub(super) unsafe fn fill_list<T: Copy>(to: *mut T, count: *mut ck::CK_ULONG, list: &[T]) -> Result<()> {
    // SAFETY: passed on.
    let (room, place) = unsafe { (read(count)?, Place::new(count)?) };
    place.set(list.len() as ck::CK_ULONG);
    if to.is_null() {
        return Ok(());
    }
    if room < list.len() as ck::CK_ULONG {
        return Err(Error::BufferTooSmall);
    }
    // SAFETY: passed on.
    unsafe { Elements::new(to, list.len() as ck::CK_ULONG) }?.set(list.iter().copied());
    Ok(())
}

/// A template. NULL with a count, and more than [`MAX_ATTRIBUTES`], are CKR_ARGUMENTS_BAD.
///
/// # Safety
/// The contract above.
pub(super) unsafe fn template<'a>(
    template: *const ck::CK_ATTRIBUTE,
    count: ck::CK_ULONG,
) -> Result<Vec<RawAttribute<'a>>> {
    // SAFETY: passed on.
    unsafe { all(&attributes(template, count)?, &mut Room(MAX_TEMPLATE_BYTES), true) }
}

/// Several templates: an array of pointers to them, and one of their counts.
///
/// # Safety
/// The contract above, for both arrays and each template.
pub(super) unsafe fn templates<'a>(
    templates: *const *mut ck::CK_ATTRIBUTE,
    counts: *const ck::CK_ULONG,
    number: ck::CK_ULONG,
) -> Result<Vec<Vec<RawAttribute<'a>>>> {
    if number > MAX_TEMPLATES || (number > 0 && (templates.is_null() || counts.is_null())) {
        return Err(Error::ArgumentsBad);
    }
    let mut room = Room(MAX_TEMPLATE_BYTES);
    let one = |index: usize| {
        // SAFETY: both arrays have `number` readable elements, and each element keeps the contract.
        let template = unsafe {
            let template =
                attributes(read(templates.wrapping_add(index))?, read(counts.wrapping_add(index))?)?;
            all(&template, &mut room, true)?
        };
        // One template may stand in many places: what its values take here counts, too.
        room.take(values_in_bytes(&template))?;
        Ok(template)
    };
    (0..number as usize).map(one).collect()
}

/// What the templates of one call may take yet.
struct Room(usize);

impl Room {
    fn take(&mut self, bytes: usize) -> Result<()> {
        self.0 = self.0.checked_sub(bytes).ok_or(Error::ArgumentsBad)?;
        Ok(())
    }
}

/// What a template's values take.
fn values_in_bytes(template: &[RawAttribute<'_>]) -> usize {
    let values = template.iter().map(|attribute| match &attribute.value {
        RawValue::Bytes(bytes) => bytes.len(),
        RawValue::Template(inner) => values_in_bytes(inner),
        RawValue::Malformed => 0,
    });
    // Each length is at most isize::MAX.
    values.fold(0, usize::saturating_add)
}

/// The structs of a template, as they stand.
///
/// # Safety
/// The contract above.
pub(super) unsafe fn attributes(
    template: *const ck::CK_ATTRIBUTE,
    count: ck::CK_ULONG,
) -> Result<Vec<ck::CK_ATTRIBUTE>> {
    if count > MAX_ATTRIBUTES || (template.is_null() && count > 0) {
        return Err(Error::ArgumentsBad);
    }
    // SAFETY: `count` readable elements by contract.
    (0..count as usize).map(|index| unsafe { read(template.wrapping_add(index)) }).collect()
}

/// The attributes of a template or of an array in one, if there is room for them.
///
/// # Safety
/// The contract above.
unsafe fn all<'a>(
    attributes: &[ck::CK_ATTRIBUTE],
    room: &mut Room,
    may_nest: bool,
) -> Result<Vec<RawAttribute<'a>>> {
    room.take(attributes.len() * size_of::<RawAttribute<'_>>())?;
    // SAFETY: passed on.
    attributes.iter().map(|attribute| unsafe { raw(attribute, room, may_nest) }).collect()
}

/// One attribute; the value is only as good as its length.
///
/// # Safety
/// The contract above.
unsafe fn raw<'a>(attribute: &ck::CK_ATTRIBUTE, room: &mut Room, may_nest: bool) -> Result<RawAttribute<'a>> {
    let (kind, len) = (attribute.type_, attribute.ulValueLen);
    let value = match (is_template(kind), may_nest) {
        // SAFETY: passed on.
        (false, _) => unsafe { bytes(attribute.pValue.cast(), len) }.map(RawValue::Bytes),
        (true, false) => Err(Error::AttributeValueInvalid),
        (true, true) => match whole_attributes(len) {
            // SAFETY: passed on.
            Some(count) => match unsafe { attributes(attribute.pValue.cast(), count) } {
                // SAFETY: passed on.
                Ok(inner) => Ok(RawValue::Template(unsafe { all(&inner, room, false) }?)),
                Err(error) => Err(error),
            },
            None => Err(Error::AttributeValueInvalid),
        },
    };
    Ok(RawAttribute { kind, value: value.unwrap_or(RawValue::Malformed) })
}

/// Whether an attribute's value is a template. CKF_ARRAY_ATTRIBUTE alone does not say so: CKA_ALLOWED_MECHANISMS has
/// it, and so have the byte strings of a well-known vendor.
pub(super) fn is_template(kind: ck::CK_ATTRIBUTE_TYPE) -> bool {
    known(kind).is_some_and(|row| row.form == Form::Template)
}

/// How many attributes `len` bytes are, if they are whole ones.
pub(super) fn whole_attributes(len: ck::CK_ULONG) -> Option<ck::CK_ULONG> {
    let one = size_of::<ck::CK_ATTRIBUTE>() as ck::CK_ULONG;
    len.is_multiple_of(one).then_some(len / one)
}

/// A count of elements whose bytes a Rust slice can have, or CKR_ARGUMENTS_BAD.
fn length(count: ck::CK_ULONG, size: usize) -> Result<usize> {
    let count = usize::try_from(count).map_err(|_| Error::ArgumentsBad)?;
    match count.checked_mul(size) {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(count),
        _ => Err(Error::ArgumentsBad),
    }
}

/// A buffer that is filled to the brim: C_GenerateRandom.
///
/// # Safety
/// The contract above.
pub(super) unsafe fn buffer<'a>(pointer: *mut u8, len: ck::CK_ULONG) -> Result<&'a mut [u8]> {
    let len = length(len, 1)?;
    match (pointer.is_null(), len) {
        (true, 0) => Ok(&mut []),
        (true, _) => Err(Error::ArgumentsBad),
        // SAFETY: not NULL, `len` writable bytes by contract that nobody else uses, at most isize::MAX by `length`.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts_mut(pointer, len) }),
    }
}
