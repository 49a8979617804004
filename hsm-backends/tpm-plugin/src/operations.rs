//! What the store asks for, each one visit to the TPM. Everything can be done twice: a visit that met a TPM without room
//! is made again from its beginning.

use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::{
    ffi::{OWNER, Rc, Tpm},
    layout::{Anchor, Role},
    protocol::{Answer, Operation, Reader},
    refusal::{Done, Refusal, malformed},
    token,
    transport::Address,
    visit::{Visit, door_and_copy},
};

/// Between two visits.
const PAUSE: Duration = Duration::from_millis(15);
/// The first handle of a persistent object.
const PERSISTENT: u32 = 0x8100_0000;

/// Does one operation: the answer, and its bytes or a text.
pub(crate) fn perform(operation: u32, request: &[u8]) -> (Answer, Zeroizing<Vec<u8>>) {
    let mut fields = Reader(request);
    let connection = (|| {
        let address = std::str::from_utf8(fields.bytes()?).ok()?;
        Some((address, fields.bytes()?, fields.number()?, Operation::from_number(operation)?))
    })();
    let Some((address, owner, limit, operation)) = connection else { return malformed().into_answer(None) };
    let Some(address) = Address::parse(address) else {
        let text = format!("tcti {address:?} is none of device:/PATH, swtpm:host=HOST,port=PORT, tabrmd");
        return Refusal::Said(Answer::Failed, text).into_answer(None);
    };
    let deadline = Instant::now() + Duration::from_millis(limit);
    let mut tidied = false;
    loop {
        let mut tpm = match Tpm::open(&address, deadline) {
            Ok(tpm) => tpm,
            Err(why) => return Refusal::Said(Answer::Away, why).into_answer(None),
        };
        let done = tpm
            .set_auth(OWNER, owner)
            .map_err(Refusal::from)
            .and_then(|()| one(&mut tpm, operation, Reader(fields.0)));
        match done {
            Ok(bytes) => return (Answer::Done, bytes),
            Err(Refusal::Code(rc)) if rc.may_pass() && Instant::now() < deadline => {
                if rc.is_full() && address.is_raw() && !tidied {
                    // Whoever left it there was killed: with this way to the TPM nobody else is connected.
                    tidied = true;
                    let _ = tidy(&mut tpm);
                }
                drop(tpm);
                std::thread::sleep(PAUSE);
            }
            Err(refusal) => {
                let failure = tpm.failure();
                return refusal.into_answer(failure);
            }
        }
    }
}

/// Flushes every session and object in the TPM's memory.
fn tidy(tpm: &mut Tpm) -> Result<(), Rc> {
    for first in [0x0200_0000, 0x8000_0000] {
        for handle in tpm.handles(first)? {
            tpm.flush_foreign(handle)?;
        }
    }
    Ok(())
}

fn one(tpm: &mut Tpm, operation: Operation, mut fields: Reader<'_>) -> Done<Zeroizing<Vec<u8>>> {
    match operation {
        Operation::Provision => return token::provision(tpm, fields).map(Into::into),
        Operation::Remove => {
            token::remove(tpm, &Anchor::decode(fields.bytes().ok_or_else(malformed)?)?)?;
            return Ok(Zeroizing::default());
        }
        Operation::Reach => {
            tpm.handles(PERSISTENT)?;
            return Ok(Zeroizing::default());
        }
        _ => {}
    }
    let anchor = Anchor::decode(fields.bytes().ok_or_else(malformed)?)?;
    let role = fields.number().and_then(Role::from_number).ok_or_else(malformed)?;
    let visit = Visit { anchor: &anchor, role };
    match operation {
        Operation::Door => visit.make_door(tpm, fields).map(Into::into),
        Operation::Seal => visit.seal(tpm, fields).map(Into::into),
        Operation::Unseal => visit.unseal(tpm, fields),
        Operation::Settle => {
            let (door, copy) = door_and_copy(&mut fields)?;
            visit.begin(tpm)?;
            visit.settle(tpm, &door, &copy)?;
            Ok(Zeroizing::default())
        }
        Operation::Tries => visit.tries(tpm, fields).map(Into::into),
        Operation::Report => visit.report(tpm, fields).map(Into::into),
        Operation::Provision | Operation::Remove | Operation::Reach => Err(malformed()),
    }
}
