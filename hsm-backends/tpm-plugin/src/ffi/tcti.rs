//! libtss2's view of a [`Transport`]: a TCTI of our own, which waits no longer than it is told to.

use tss_esapi_sys as tss;

use crate::transport::Transport;

/// Its first member is what libtss2 calls by.
#[repr(C)]
pub(super) struct OwnTcti {
    common: tss::TSS2_TCTI_CONTEXT_COMMON_V1,
    pub(super) transport: Transport,
}

const TCTI_IO_ERROR: u32 = 0x000A_000A;

extern "C" fn transmit(
    tcti: *mut tss::TSS2_TCTI_CONTEXT,
    size: tss::size_t,
    command: *const u8,
) -> tss::TSS2_RC {
    // SAFETY: called with the context that was given to Esys_Initialize, which lives as long and which nobody else uses during a call, and with live bytes.
    let (own, command) =
        unsafe { (&mut *tcti.cast::<OwnTcti>(), std::slice::from_raw_parts(command, size as usize)) };
    if own.transport.transmit(command) { 0 } else { TCTI_IO_ERROR }
}

extern "C" fn receive(
    tcti: *mut tss::TSS2_TCTI_CONTEXT,
    size: *mut tss::size_t,
    response: *mut u8,
    _: i32,
) -> tss::TSS2_RC {
    // SAFETY: as in `transmit`; `size` can be read and written.
    let (own, size) = unsafe { (&mut *tcti.cast::<OwnTcti>(), &mut *size) };
    let Some(received) = own.transport.receive() else { return TCTI_IO_ERROR };
    let room = std::mem::replace(size, received.len() as tss::size_t);
    // First it is asked how long the response is.
    if !response.is_null() {
        // SAFETY: `response` has room for as many bytes as `size` said.
        let room = unsafe { std::slice::from_raw_parts_mut(response, room as usize) };
        let Some(place) = room.get_mut(..received.len()) else { return TCTI_IO_ERROR };
        place.copy_from_slice(received);
    }
    0
}

extern "C" fn finalize(_: *mut tss::TSS2_TCTI_CONTEXT) {}

impl OwnTcti {
    pub(super) fn new(transport: Transport) -> Self {
        let common = tss::TSS2_TCTI_CONTEXT_COMMON_V1 {
            magic: u64::from_be_bytes(*b"TRELLIS\0"),
            version: 1,
            transmit: Some(transmit),
            receive: Some(receive),
            finalize: Some(finalize),
            cancel: None,
            getPollHandles: None,
            setLocality: None,
        };
        Self { common, transport }
    }
}
