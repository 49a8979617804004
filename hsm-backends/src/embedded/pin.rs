//! How a PIN wraps the token key: Argon2id, then AES-256-GCM.

use crate::{
    Pin, Role, StoreError,
    encoding::Input,
    error::malformed_token_key,
    sealed::{Cost, Judged, Keeper, Kept, TokenKey, open, role_number, seal},
};

/// The first byte of a wrap: Argon2id version 0x13, then AES-256-GCM.
const WRAP_VERSION: u8 = 1;
const WRAP_CONTEXT: &[u8] = b"trellis pin wrap 1";
const SALT_LEN: usize = 16;
/// The version, the cost and the salt: bound to what follows.
const WRAP_HEAD_LEN: usize = 1 + 12 + SALT_LEN;

/// The keeper of the embedded store: who knows the PIN has the key.
#[derive(Debug)]
pub(super) struct PinKeeper;

impl Keeper for PinKeeper {
    const MODEL: &'static str = "embedded";

    fn keep(&self, place: Kept, key: &TokenKey, pin: &Pin) -> Result<Vec<u8>, StoreError> {
        let salt = algorithms::random::array::<SALT_LEN>()?;
        let mut wrapped = vec![WRAP_VERSION];
        wrapped.extend(Cost::usual().to_bytes());
        wrapped.extend(salt);
        let stretched = Cost::usual().stretch(pin, &salt)?;
        let sealed = seal(&stretched, &context(&wrapped, place), key.expose())?;
        wrapped.extend(sealed);
        Ok(wrapped)
    }

    fn judge(&self, place: Kept, kept: &[u8], pin: &Pin) -> Result<Option<Judged>, StoreError> {
        let (cost, salt) = parse(kept)?;
        let (head, sealed) = kept.split_at(WRAP_HEAD_LEN);
        let key = open(&cost.stretch(pin, &salt)?, &context(head, place), sealed)?;
        Ok(key.map(|key| Judged { key: Some(TokenKey::new(key)), anew: None }))
    }

    fn check(&self, _: Role, kept: &[u8]) -> Result<(), StoreError> {
        parse(kept).map(drop)
    }
}

fn parse(wrapped: &[u8]) -> Result<(Cost, [u8; SALT_LEN]), StoreError> {
    let damaged = malformed_token_key;
    let mut input = Input(wrapped);
    let mut parse = || -> Option<_> {
        if input.byte().ok()? != WRAP_VERSION {
            return None;
        }
        let cost = Cost::from_bytes(input.array().ok()?)?;
        let salt = input.array().ok()?;
        (input.rest().len() == 12 + TokenKey::LEN + 16).then_some((cost, salt))
    };
    parse().ok_or_else(damaged)
}

fn context(head: &[u8], place: Kept) -> Vec<u8> {
    [WRAP_CONTEXT, &place.token_id, &[role_number(place.role)], head].concat()
}
