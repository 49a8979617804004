//! Signing and verifying an input of any size with a key in a token.

use cryptoki::error::{Error as Cryptoki, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::ObjectHandle;

use crate::error::{Error, Result, While};
use crate::files::Input;
use crate::scheme::Plan;
use crate::token::OpenToken;

/// A key for one operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) handle: ObjectHandle,
    /// CKA_ALWAYS_AUTHENTICATE: a login stands between the start of the operation and its end.
    pub(crate) always_authenticate: bool,
}

/// Signs the input; returns the signature as PKCS#11 gives it.
pub(crate) fn sign(token: &mut OpenToken, plan: Plan, key: Key, input: &mut Input) -> Result<Vec<u8>> {
    let signature = match plan {
        Plan::Digest(hash, mechanism) => {
            let digest = digest(token, &hash, input)?;
            sign_whole(token, &mechanism, key, &digest)
        }
        Plan::Whole(mechanism) => sign_whole(token, &mechanism, key, &whole(input)?),
        Plan::Message(mechanism) => {
            let first = input.part()?;
            if input.ended() {
                sign_whole(token, &mechanism, key, &first)
            } else {
                let parts = sign_parts(token, &mechanism, key, &first, input);
                match parts.map_err(too_long_to_hold).while_doing("signing")? {
                    Some(signature) => Ok(signature),
                    None => {
                        token.renew()?;
                        let message = input.whole(first)?;
                        sign_whole(token, &mechanism, key, &message)
                    }
                }
            }
        }
    };
    signature.while_doing("signing")
}

/// Whether the signature over the input is valid.
pub(crate) fn verify(
    token: &mut OpenToken,
    plan: Plan,
    key: ObjectHandle,
    input: &mut Input,
    signature: &[u8],
) -> Result<bool> {
    let verified = match plan {
        Plan::Digest(hash, mechanism) => {
            let digest = digest(token, &hash, input)?;
            token.session().verify(&mechanism, key, &digest, signature)
        }
        Plan::Whole(mechanism) => token.session().verify(&mechanism, key, &whole(input)?, signature),
        Plan::Message(mechanism) => {
            let first = input.part()?;
            if input.ended() {
                token.session().verify(&mechanism, key, &first, signature)
            } else {
                match verify_parts(token, &mechanism, key, &first, input, signature)? {
                    Some(verified) => verified,
                    None => {
                        // The session of a refused operation may not be fit for another, and a session object (an
                        // imported public key) dies with its session: try it where it is.
                        let message = input.whole(first)?;
                        token.session().verify(&mechanism, key, &message, signature)
                    }
                }
            }
        }
    };
    match verified {
        Ok(()) => Ok(true),
        Err(Cryptoki::Pkcs11(RvError::SignatureInvalid | RvError::SignatureLenRange, _)) => Ok(false),
        Err(error) => Err(error).while_doing("verifying"),
    }
}

fn whole(input: &mut Input) -> Result<Vec<u8>> {
    let first = input.part()?;
    if input.ended() { Ok(first) } else { input.whole(first) }
}

/// A token that needs the whole message and is handed it in parts keeps them, as far as it has room (PKCS#11 v3.2
/// section 6.3).
fn too_long_to_hold(error: Error) -> Error {
    if !error.is("CKR_TOKEN_RESOURCE_EXCEEDED") {
        return error;
    }
    error
        .meaning("the token must hold a message of this kind whole, and this one is too long for it")
        .remedy("--hash sha512, which takes messages of any length; or leave out --deterministic")
}

fn sign_whole(token: &OpenToken, mechanism: &Mechanism, key: Key, message: &[u8]) -> Result<Vec<u8>> {
    let session = token.session();
    if !key.always_authenticate {
        return Ok(session.sign(mechanism, key.handle, message)?);
    }
    session.sign_init(mechanism, key.handle)?;
    token.login_for_operation()?;
    token.module.raw()?.sign(session.handle(), message)
}

/// `None` when the token takes this kind of message only as a whole.
fn sign_parts(
    token: &OpenToken,
    mechanism: &Mechanism,
    key: Key,
    first: &[u8],
    input: &mut Input,
) -> Result<Option<Vec<u8>>> {
    let session = token.session();
    session.sign_init(mechanism, key.handle)?;
    if key.always_authenticate {
        token.login_for_operation()?;
    }
    match session.sign_update(first) {
        Err(error) if takes_no_parts(&error) => return Ok(None),
        first => first?,
    }
    while !input.ended() {
        session.sign_update(&input.part()?)?;
    }
    Ok(Some(session.sign_final()?))
}

fn verify_parts(
    token: &OpenToken,
    mechanism: &Mechanism,
    key: ObjectHandle,
    first: &[u8],
    input: &mut Input,
    signature: &[u8],
) -> Result<Option<cryptoki::error::Result<()>>> {
    let session = token.session();
    session.verify_init(mechanism, key)?;
    match session.verify_update(first) {
        Err(error) if takes_no_parts(&error) => return Ok(None),
        first => first?,
    }
    while !input.ended() {
        session.verify_update(&input.part()?)?;
    }
    Ok(Some(session.verify_final(signature)))
}

fn digest(token: &OpenToken, hash: &Mechanism, input: &mut Input) -> Result<Vec<u8>> {
    let session = token.session();
    let mut run = || -> Result<Vec<u8>> {
        session.digest_init(hash)?;
        while !input.ended() {
            session.digest_update(&input.part()?)?;
        }
        Ok(session.digest_final()?)
    };
    run().while_doing("hashing the input")
}

/// What tokens answer to C_SignUpdate when the mechanism signs only whole messages (EdDSA on many).
fn takes_no_parts(error: &Cryptoki) -> bool {
    use RvError::{FunctionFailed, FunctionNotSupported, MechanismInvalid, OperationNotInitialized};
    matches!(
        error,
        Cryptoki::NullFunctionPointer
            | Cryptoki::Pkcs11(
                FunctionNotSupported | OperationNotInitialized | MechanismInvalid | FunctionFailed,
                _
            )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use cryptoki_sys::{CK_RV, CKR_DATA_LEN_RANGE, CKR_TOKEN_RESOURCE_EXCEEDED};

    #[test]
    fn a_message_that_is_too_long_to_be_held_has_its_own_remedy() {
        let answer = |code: CK_RV| too_long_to_hold(Error::from_code(code, "C_SignUpdate")).to_string();
        let text = answer(CKR_TOKEN_RESOURCE_EXCEEDED);
        assert!(text.contains("hold a message") && text.contains("--hash sha512"), "{text}");
        assert!(!text.contains("close other programs"), "{text}");
        assert!(!answer(CKR_DATA_LEN_RANGE).contains("hold a message"));
    }
}
