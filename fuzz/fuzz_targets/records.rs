//! Records of the store: bytes either are the one encoding of an attribute list or are refused.
#![no_main]

use hsm_backends::Attributes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(attributes) = Attributes::decode(input) {
        let again = attributes.encode().expect("what was decoded can be encoded");
        assert!(*again == *input, "a second encoding of the same list");
    }
});
