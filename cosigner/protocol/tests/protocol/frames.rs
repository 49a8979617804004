//! Frames: what is written is read, and nothing else is.

use std::io::{self, Cursor, Read};

use cosigner_protocol::{
    Error,
    frame::{LONGEST, read, write},
};
use proptest::{collection::vec, prelude::*};

/// Gives few bytes at a time, and is interrupted now and then.
struct Drip<'a> {
    bytes: &'a [u8],
    steps: Vec<u8>,
}

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let step = self.steps.pop().unwrap_or(200);
        if step == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = buffer.len().min(self.bytes.len()).min(step.into());
        buffer[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        Ok(count)
    }
}

fn framed(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, json).unwrap();
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        contents in vec(vec(any::<u8>(), 1..2000), 1..4),
        steps in vec(0..50u8, 0..100),
    ) {
        let bytes: Vec<u8> = contents.iter().flat_map(|json| framed(json)).collect();
        let mut stream = Drip { bytes: &bytes, steps };
        for json in &contents {
            let found = read(&mut stream).unwrap();
            prop_assert_eq!(found.as_slice(), json.as_slice());
        }
        prop_assert!(matches!(read(&mut stream), Err(Error::Closed)));
    }

    #[test]
    fn a_frame_that_is_cut_is_no_frame(json in vec(any::<u8>(), 1..300), cut in any::<prop::sample::Index>()) {
        let frame = framed(&json);
        let length = cut.index(frame.len());
        let found = read(&mut &frame[..length]);
        match length {
            0 => prop_assert!(matches!(found, Err(Error::Closed))),
            _ => prop_assert!(matches!(found, Err(Error::Truncated))),
        }
    }

    #[test]
    fn any_bytes_are_a_frame_or_an_error(bytes in vec(any::<u8>(), 0..64), short in any::<bool>()) {
        let mut bytes = bytes;
        if short && bytes.len() >= 3 {
            // Lengths that may be, which chance alone seldom makes.
            bytes[..3].fill(0);
        }
        let mut rest = bytes.as_slice();
        match read(&mut rest) {
            Ok(json) => prop_assert_eq!(framed(&json), &bytes[..4 + json.len()]),
            Err(Error::FrameLength(length)) => prop_assert!(length == 0 || length > LONGEST as u64),
            Err(Error::Truncated) => prop_assert!(rest.is_empty() && !bytes.is_empty()),
            Err(Error::Closed) => prop_assert!(bytes.is_empty()),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}

#[test]
fn lengths_have_their_limits() {
    for length in [1, LONGEST] {
        let json = vec![b' '; length];
        let frame = framed(&json);
        assert_eq!(frame[..4], u32::try_from(length).unwrap().to_be_bytes());
        assert_eq!(read(&mut frame.as_slice()).unwrap().len(), length);
    }
    for length in [0, LONGEST + 1] {
        let mut out = Vec::new();
        let refused = write(&mut out, &vec![b' '; length]);
        assert!(matches!(refused, Err(Error::FrameLength(found)) if found == length as u64));
        assert!(out.is_empty());
    }
    for length in [0, LONGEST as u32 + 1, u32::MAX] {
        let mut stream = Cursor::new(length.to_be_bytes());
        let refused = read(&mut stream);
        assert!(matches!(refused, Err(Error::FrameLength(found)) if found == u64::from(length)));
        assert_eq!(stream.position(), 4, "nothing is read after a length that is not allowed");
    }
}
