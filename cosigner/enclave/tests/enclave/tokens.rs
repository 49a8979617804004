//! Token keys, and PINs that the enclave judges.

use std::num::NonZeroU32;

use cosigner_protocol::{
    Secret,
    message::{Class, Failure, FromEnclave, KeptToken, Layer, ToEnclave},
};

use crate::world::{World, kms_key, user};

const TOKEN_KEY: [u8; 32] = [9; 32];

fn pin(byte: u8) -> Secret {
    Secret::new(vec![byte; 32])
}

fn keep(world: &World, name: &str, tries: u32) -> KeptToken {
    let request = ToEnclave::KeepToken {
        user_id: user(name),
        token_key: Secret::new(TOKEN_KEY.to_vec()),
        pin: pin(1),
        tries: NonZeroU32::new(tries).unwrap(),
        kms_key: kms_key(),
    };
    match world.ask(&request) {
        FromEnclave::TokenKept { token } => token,
        other => panic!("{other:?}"),
    }
}

fn open(world: &World, token: &KeptToken, pin: Secret) -> FromEnclave {
    world.ask(&ToEnclave::OpenToken { token: token.clone(), pin })
}

fn right(world: &World, token: &KeptToken) {
    let FromEnclave::TokenOpened { token_key } = open(world, token, pin(1)) else { panic!("not opened") };
    assert_eq!(token_key.expose(), TOKEN_KEY);
}

#[test]
fn a_pin_is_judged_and_wrong_ones_are_counted() {
    let mut world = World::new(&[]);
    let (token, other) = (keep(&world, "token", 3), keep(&world, "token", 3));
    assert_ne!(token.sealed_token, other.sealed_token);
    for _ in 0..2 {
        assert_eq!(open(&world, &token, pin(2)), FromEnclave::PinIncorrect {});
        assert_eq!(open(&world, &token, pin(3)), FromEnclave::PinIncorrect {});
        right(&world, &token);
    }
    for _ in 0..3 {
        assert_eq!(open(&world, &token, pin(2)), FromEnclave::PinIncorrect {});
    }
    // The right one is not looked at any more, and the other token is another.
    for byte in [1, 2] {
        assert_eq!(open(&world, &token, pin(byte)), FromEnclave::PinLocked {});
    }
    right(&world, &other);
    // What an enclave that is started anew cannot know; the store counts as well.
    world.restart();
    right(&world, &token);
}

#[test]
fn a_kept_token_is_bound_to_all_that_stands_beside_it() {
    let world = World::new(&[]);
    let (token, other) = (keep(&world, "token", 3), keep(&world, "other", 3));
    let lie = |change: &dyn Fn(&mut KeptToken)| {
        let mut token = token.clone();
        change(&mut token);
        match open(&world, &token, pin(1)) {
            FromEnclave::Failed(Failure { class: Class::SigningFailed, layer }) => layer,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(lie(&|token| token.user_id = user("other")), Layer::KmsContext);
    assert_eq!(lie(&|token| token.wrapped_key = other.wrapped_key.clone()), Layer::KmsContext);
    assert_eq!(lie(&|token| token.sealed_token = other.sealed_token.clone()), Layer::Sealing);
    for at in [0, 1, 13, 20, 40, 90] {
        assert_eq!(lie(&|token| token.sealed_token.0[at] ^= 1), Layer::Sealing, "{at}");
    }
    for length in [0, 1, 13, 40] {
        assert_eq!(lie(&|token| token.sealed_token.0.truncate(length)), Layer::Sealing, "{length}");
    }
    right(&world, &token);
}

#[test]
fn secrets_of_other_lengths_are_malformed() {
    let world = World::new(&[]);
    let token = keep(&world, "token", 3);
    let malformed = FromEnclave::Failed(Failure { class: Class::MalformedRequest, layer: Layer::Request });
    for length in [0, 31, 33] {
        let wrong = || Secret::new(vec![1; length]);
        assert_eq!(open(&world, &token, wrong()), malformed);
        for (token_key, pin) in [(wrong(), pin(1)), (pin(1), wrong())] {
            let tries = NonZeroU32::MIN;
            let request =
                ToEnclave::KeepToken { user_id: user("t"), token_key, pin, tries, kms_key: kms_key() };
            assert_eq!(world.ask_counting(&request), (malformed.clone(), 0), "KMS is not asked in vain");
        }
    }
}

#[test]
fn a_private_key_is_no_token_and_a_token_no_private_key() {
    let world = World::new(&["--keep-open=0"]);
    let (key, _) = world.generate("same", cosigner_protocol::Algorithm::MlDsa44);
    let token = KeptToken {
        user_id: key.user_id.clone(),
        kms_key: key.kms_key.clone(),
        wrapped_key: key.wrapped_key.clone(),
        sealed_token: key.sealed_key.clone(),
    };
    let refused = FromEnclave::Failed(Failure { class: Class::SigningFailed, layer: Layer::Sealing });
    assert_eq!(open(&world, &token, pin(1)), refused);
    let token = keep(&world, "same", 3);
    let mut key = key;
    (key.wrapped_key, key.sealed_key) = (token.wrapped_key, token.sealed_token);
    assert_eq!(world.ask(&crate::world::sign(&key, crate::world::text("m"))), refused);
}
