//! What a token has in the TPM: eight indices, below a storage root key.

use crate::{
    ffi::{Handle, PASSWORD, Rc, Tpm},
    layout::{self, Anchor, FIRST_INDEX, INDICES, MOST_TOKENS, Role, SRK},
    protocol::{Answer, Reader},
    refusal::{Done, NV_DEFINED, Refusal, malformed, said},
};

/// AUTHWRITE, COUNTER, AUTHREAD, NO_DA.
const COUNTER: u32 = 1 << 2 | 1 << 4 | 1 << 18 | 1 << 25;

pub(crate) fn is_defined(tpm: &mut Tpm, handle: u32) -> Result<bool, Rc> {
    // Asked for rather than tried: libtss2 writes every refusal to standard error.
    Ok(tpm.handles(handle)?.first() == Some(&handle))
}

pub(crate) fn undefine(tpm: &mut Tpm, index: u32) -> Result<(), Rc> {
    if is_defined(tpm, index)? {
        let found = tpm.existing(index)?;
        tpm.nv_undefine(found)?;
    }
    Ok(())
}

/// The storage root key, which nothing is needed for.
pub(crate) fn srk(tpm: &mut Tpm, persistent: bool) -> Done<(Handle, Vec<u8>)> {
    let srk = if persistent {
        if !is_defined(tpm, SRK)? {
            return Err(foreign("the storage root key at 0x81000001 is gone"));
        }
        tpm.existing(SRK)?
    } else {
        tpm.create_primary(&layout::srk_template(), PASSWORD)?
    };
    let name = tpm.name(srk)?;
    Ok((srk, name))
}

pub(crate) fn foreign(what: &str) -> Refusal {
    said(Answer::Foreign, &format!("{what}: this store belongs to another TPM, or the TPM was cleared since"))
}

/// Makes the counters of a new token in the first eight indices that are free.
pub(crate) fn provision(tpm: &mut Tpm, mut fields: Reader<'_>) -> Done {
    let counter_auth = *fields.array().ok_or_else(malformed)?;
    let persistent = is_defined(tpm, SRK)?;
    let (srk, srk_name) = srk(tpm, persistent)?;
    tpm.start_session(Some(srk))?;
    let end = FIRST_INDEX + MOST_TOKENS * INDICES;
    let taken = tpm.handles(FIRST_INDEX)?;
    for base in (FIRST_INDEX..end).step_by(INDICES as usize) {
        if taken.iter().any(|index| (base..base + INDICES).contains(index)) {
            continue;
        }
        let anchor = Anchor { persistent, srk_name: srk_name.clone(), base, counter_auth };
        match define_counters(tpm, &anchor) {
            Ok(()) => return Ok(anchor.encode()),
            // Another process was faster.
            Err(rc) if rc.code() == Some(NV_DEFINED) => {}
            Err(rc) => return Err(rc.into()),
        }
    }
    Err(said(
        Answer::Failed,
        "the TPM has no room for another token: remove indices from 0x1807400 on that no store uses",
    ))
}

/// Both counters of a token, or none: what this has made goes again, and nothing of anybody else's.
fn define_counters(tpm: &mut Tpm, anchor: &Anchor) -> Result<(), Rc> {
    let mut made = Vec::new();
    let mut define = |tpm: &mut Tpm, role| {
        let counter = tpm.nv_define(anchor.counter_index(role), COUNTER, &[], &anchor.counter_auth)?;
        made.push(counter);
        tpm.set_auth(counter, &anchor.counter_auth)?;
        tpm.nv_increment(counter)
    };
    let done = [Role::User, Role::SecurityOfficer].into_iter().try_for_each(|role| define(tpm, role));
    if done.is_err() {
        for counter in made {
            tpm.nv_undefine(counter)?;
        }
    }
    done
}

/// The token's indices, in their order.
pub(crate) fn indices(tpm: &mut Tpm, anchor: &Anchor) -> Result<Vec<u32>, Rc> {
    let mut indices = tpm.handles(anchor.base)?;
    indices.retain(|index| (anchor.base..anchor.base + INDICES).contains(index));
    Ok(indices)
}

/// Takes away everything of a token.
pub(crate) fn remove(tpm: &mut Tpm, anchor: &Anchor) -> Result<(), Rc> {
    indices(tpm, anchor)?.into_iter().try_for_each(|index| undefine(tpm, index))
}
