//! A frame: the length of the JSON as four bytes, the most significant first, then the JSON.

use std::io::{self, Read, Write};

use zeroize::Zeroizing;

use crate::Error;

/// The most bytes of JSON in a frame; the least is 1.
pub const LONGEST: usize = 262_144;

/// Bytes before the JSON.
pub(crate) const HEADER: usize = 4;

/// Reads one frame's JSON. No memory is taken for a length that is not allowed.
///
/// [`Error::Closed`] at the end of the stream, [`Error::Truncated`] when it ends inside the frame,
/// [`Error::FrameLength`], or what reading gives.
pub fn read(from: &mut impl Read) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut header = [0; HEADER];
    match fill(from, &mut header)? {
        0 => return Err(Error::Closed),
        HEADER => {}
        _ => return Err(Error::Truncated),
    }
    let length = u32::from_be_bytes(header);
    let allowed = usize::try_from(length).ok().filter(|length| (1..=LONGEST).contains(length));
    let mut json = Zeroizing::new(vec![0; allowed.ok_or(Error::FrameLength(length.into()))?]);
    if fill(from, &mut json)? < json.len() {
        return Err(Error::Truncated);
    }
    Ok(json)
}

/// Writes one frame in one piece. [`Error::FrameLength`] for JSON that no frame holds; nothing is written then.
pub fn write(to: &mut impl Write, json: &[u8]) -> Result<(), Error> {
    let length = u32::try_from(json.len()).ok().filter(|_| (1..=LONGEST).contains(&json.len()));
    let header = length.ok_or(Error::FrameLength(json.len() as u64))?.to_be_bytes();
    let mut frame = Zeroizing::new(Vec::with_capacity(HEADER + json.len()));
    frame.extend(header);
    frame.extend_from_slice(json);
    to.write_all(&frame)?;
    Ok(to.flush()?)
}

/// Fills the buffer as far as the stream goes, and says how far that was.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Error> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}
