//! Every engine makes the signature that `fips204` makes, to the byte, and judges signatures as AWS-LC does.

use algorithms::{
    SecretBytes,
    digest::Hash,
    ml_dsa::{Hedging, Input, ParameterSet, PrivateKey},
};
use trellis_engines::contender::contenders;

/// Different for each number.
fn bytes(number: usize) -> Vec<u8> {
    Hash::Sha256.digest(&number.to_le_bytes()).unwrap()
}

#[test]
fn signatures_are_the_same_to_the_byte_and_verify() {
    for set in ParameterSet::ALL {
        for number in 0..8 {
            let seed = SecretBytes::new(&bytes(number));
            let known = PrivateKey::from_seed(set, &seed).unwrap();
            let pairs: Vec<_> =
                contenders().into_iter().map(|one| ((one.prepare)(set, &seed), one)).collect();
            for message in (0..8).map(|message| bytes(100 * number + message)) {
                let input = Input::Message { context: &[], message: &message };
                // Of fips204.
                let expected = known.sign(input, Hedging::Deterministic).unwrap();
                for (pair, one) in &pairs {
                    let signature = pair.sign(&message);
                    assert_eq!(signature == expected, one.is_deterministic, "{set:?} {}", one.name);
                    // By AWS-LC.
                    known.public_key().verify(input, &signature).unwrap();
                    assert!(pair.verify(&message, &signature), "{set:?} {}", one.name);
                }
            }
        }
    }
}

#[test]
fn what_is_not_a_signature_is_refused() {
    for set in ParameterSet::ALL {
        let seed = SecretBytes::new(&bytes(set as usize));
        let known = PrivateKey::from_seed(set, &seed).unwrap();
        let message = bytes(7);
        let input = Input::Message { context: &[], message: &message };
        let signature = known.sign(input, Hedging::Deterministic).unwrap();
        let pairs: Vec<_> = contenders().into_iter().map(|one| ((one.prepare)(set, &seed), one)).collect();
        // A bit of each part, and every byte of the hints.
        let hints = signature.len() - 90;
        let places = (0..hints).step_by(97).chain(hints..signature.len());
        for (place, bit) in places.flat_map(|place| [0, 3, 7].map(|bit| (place, bit))) {
            let mut altered = signature.clone();
            altered[place] ^= 1 << bit;
            assert!(known.public_key().verify(input, &altered).is_err());
            for (pair, one) in &pairs {
                assert!(!pair.verify(&message, &altered), "{set:?} {}: byte {place}", one.name);
            }
        }
        for (pair, one) in &pairs {
            assert!(!pair.verify(&bytes(8), &signature), "{set:?} {}", one.name);
            assert!(!pair.verify(&message, &signature[1..]), "{set:?} {}", one.name);
        }
    }
}
