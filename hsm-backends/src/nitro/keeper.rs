//! The token key, sealed by the enclave and given to whoever knows the PIN. docs/formats.md gives the layout of what is
//! kept.
//!
//! The PIN is stretched here, because time costs least where there is only one user, and judged in the enclave, which
//! counts wrong ones as well.

use std::{num::NonZeroU32, sync::Arc};

use algorithms::SecretBytes;
use cosigner_protocol::{
    Bytes, KmsKey, Secret, UserId,
    message::{KeptToken, Request, Response},
};

use super::{
    host::Host,
    key::{self, EnclaveKey},
};
use crate::{
    Pin, PrivateKey, Record, Role, StoreError,
    encoding::Input,
    error::malformed_token_key,
    sealed::{AtDevice, Cost, Judged, Keeper, Kept, Settled, TokenKey},
};

/// The first byte of what is kept: Argon2id version 0x13, then an enclave.
const VERSION: u8 = 4;
const SALT_LEN: usize = 16;

/// The keeper of a store in an enclave.
#[derive(Debug)]
pub(super) struct EnclaveKeeper {
    host: Arc<Host>,
    tries: NonZeroU32,
}

/// What is kept, read.
struct Parsed {
    cost: Cost,
    salt: [u8; SALT_LEN],
    kms_key: KmsKey,
    wrapped_key: Bytes,
    sealed_token: Bytes,
}

impl EnclaveKeeper {
    pub(super) fn new(host: Arc<Host>, tries: NonZeroU32) -> Self {
        Self { host, tries }
    }
}

impl Keeper for EnclaveKeeper {
    const MODEL: &'static str = "nitro";

    fn keep(&self, place: Kept, key: &TokenKey, pin: &Pin) -> Result<Vec<u8>, StoreError> {
        let salt = algorithms::random::array::<SALT_LEN>()?;
        let stretched = Cost::usual().stretch(pin, &salt)?;
        let (user_id, tries) = (user_id(place), self.tries);
        let request = Request::KeepToken {
            user_id,
            token_key: secret(key.expose()),
            pin: secret(stretched.expose()),
            tries,
        };
        match self.host.ask(&request)? {
            Response::TokenKept { token } => {
                self.host.check_kms_key(&token.kms_key)?;
                let mut kept = vec![VERSION];
                kept.extend(Cost::usual().to_bytes());
                kept.extend(salt);
                for part in [token.kms_key.as_str().as_bytes(), &token.wrapped_key.0, &token.sealed_token.0] {
                    let length = u16::try_from(part.len());
                    let length =
                        length.map_err(|_| self.host.device("sealed a token with too many bytes"))?;
                    kept.extend(length.to_be_bytes());
                    kept.extend(part);
                }
                Ok(kept)
            }
            other => Err(self.host.unexpected(&other)),
        }
    }

    fn judge(&self, place: Kept, kept: &[u8], pin: &Pin) -> Result<Option<Judged>, StoreError> {
        let Parsed { cost, salt, kms_key, wrapped_key, sealed_token } = parse(kept)?;
        let token = KeptToken { user_id: user_id(place), kms_key, wrapped_key, sealed_token };
        let pin = secret(cost.stretch(pin, &salt)?.expose());
        match self.host.ask(&Request::OpenToken { token, pin })? {
            Response::TokenOpened { token_key } if token_key.expose().len() == TokenKey::LEN => {
                let key = TokenKey::new(SecretBytes::new(token_key.expose()));
                Ok(Some(Judged { key: Some(key), anew: None }))
            }
            Response::PinIncorrect {} => Ok(None),
            Response::PinLocked {} => Err(StoreError::PinLocked),
            other => Err(self.host.unexpected(&other)),
        }
    }

    fn check(&self, _: Role, kept: &[u8]) -> Result<(), StoreError> {
        parse(kept).map(drop)
    }

    fn device_key(&self, _: &Record, locator: &[u8]) -> Result<Arc<dyn PrivateKey>, StoreError> {
        Ok(Arc::new(EnclaveKey::located(&self.host, locator)?))
    }

    /// The enclave knows no names of objects: a key that a record names is as it should be.
    fn settle(&self, key: &AtDevice, record: Option<(&Record, &[u8])>) -> Result<Settled, StoreError> {
        if record.is_some() { Ok(Settled::ForGood) } else { key::settle(&self.host, key) }
    }
}

fn secret(bytes: &[u8]) -> Secret {
    Secret::new(bytes.to_vec())
}

/// What the enclave binds a token's key to.
fn user_id(place: Kept) -> UserId {
    let role = match place.role {
        Role::SecurityOfficer => "so",
        Role::User => "user",
    };
    let id = u128::from_be_bytes(place.token_id);
    UserId::try_from(format!("trellis-token/{id:032x}/{role}")).expect("a short text without a zero byte")
}

fn parse(kept: &[u8]) -> Result<Parsed, StoreError> {
    let mut input = Input(kept);
    let mut parse = || -> Option<_> {
        if input.byte().ok()? != VERSION {
            return None;
        }
        let cost = Cost::from_bytes(input.array().ok()?)?;
        let salt = input.array().ok()?;
        let mut part = || {
            let length = u16::from_be_bytes(input.array().ok()?);
            input.take(length.into()).ok().map(<[u8]>::to_vec)
        };
        let kms_key = KmsKey::try_from(String::from_utf8(part()?).ok()?).ok()?;
        let (wrapped_key, sealed_token) = (Bytes(part()?), Bytes(part()?));
        input.end().ok()?;
        Some(Parsed { cost, salt, kms_key, wrapped_key, sealed_token })
    };
    parse().ok_or_else(malformed_token_key)
}
