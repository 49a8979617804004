//! Envelopes that the enclave's host hands in as KMS's: whatever bytes come, they do not open, unless they were made for
//! the enclave's key; and an envelope opens once.
#![no_main]

use std::sync::LazyLock;

use enclave::emulated::Reader;
use kms_double::envelope::seal;
use libfuzzer_sys::fuzz_target;

const CONTENT: [u8; 32] = [7; 32];

static READER: LazyLock<Reader> = LazyLock::new(|| Reader::new().expect("an RSA key"));

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else { return };
    match kind % 2 {
        // Nobody has encrypted anything to this run's key.
        0 => assert!(READER.open(bytes).is_none(), "an envelope to nobody opens"),
        _ => edited(bytes),
    }
});

/// A good envelope in which bytes are changed: two of position and one of value for each. The content is not
/// authenticated, so another may come out; but not twice.
fn edited(edits: &[u8]) {
    let envelope = seal(READER.spki(), &CONTENT).expect("an envelope");
    let mut changed = envelope.clone();
    let (edits, _) = edits.as_chunks::<3>();
    for &[high, low, value] in edits {
        let at = usize::from(u16::from_be_bytes([high, low])) % changed.len();
        changed[at] = value;
    }
    let opened = READER.open(&changed);
    if changed == envelope {
        assert_eq!(opened.expect("it is whole").expose(), CONTENT);
    }
    assert!(READER.open(&changed).is_none(), "an envelope opens twice");
}
