//! Frames of the co-signer, and the messages of all four directions in them. What is understood is said again in the
//! same words.
#![no_main]

use cosigner_protocol::{
    frame,
    message::{FromEnclave, Request, Response, ToEnclave},
};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};

fuzz_target!(|input: &[u8]| {
    let Some((kind, mut bytes)) = input.split_first() else { return };
    // Either a stream of frames, or one message, which chance alone would seldom put a right length before.
    if kind & 4 != 0 {
        while let Ok(json) = frame::read(&mut bytes) {
            message(*kind, &json);
        }
    } else {
        message(*kind, bytes);
    }
});

fn message(kind: u8, json: &[u8]) {
    match kind & 3 {
        0 => again::<Request>(json),
        1 => again::<Response>(json),
        2 => again::<ToEnclave>(json),
        _ => again::<FromEnclave>(json),
    }
}

fn again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(json: &[u8]) {
    let Ok(message) = serde_json::from_slice::<T>(json) else { return };
    let said = serde_json::to_vec(&message).expect("a message has its JSON");
    assert_eq!(serde_json::from_slice::<T>(&said).expect("what was said is understood"), message);
}
