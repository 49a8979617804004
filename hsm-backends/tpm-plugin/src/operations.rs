//! What the store asks for, each one visit to the TPM. Everything can be done twice: a visit that met a TPM without room
//! is made again from its beginning.

use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::{
    ffi::{Handle, OWNER, Rc, Tpm},
    layout::{self, Anchor, Copy, Door, FIRST_INDEX, INDICES, MOST_TOKENS, Pcrs, Role, SRK},
    policy::{CopyPolicy, pin_index},
    protocol::{Answer, Operation, Reader, Writer, how},
    refusal::{AUTH_UNAVAILABLE, LOCKOUT, NV_DEFINED, POLICY, Refusal, malformed, said},
    transport::Address,
};

/// Between two visits.
const PAUSE: Duration = Duration::from_millis(15);
/// Of an index: POLICYWRITE, PIN FAIL, POLICYREAD, NO_DA (part 2, 13.4).
const PIN_INDEX: u32 = 1 << 3 | 8 << 4 | 1 << 19 | 1 << 25;
/// AUTHWRITE, COUNTER, AUTHREAD, NO_DA.
const COUNTER: u32 = 1 << 2 | 1 << 4 | 1 << 18 | 1 << 25;
/// What TPM2_Hash takes at once.
const HASH_LEN: usize = 1024;

type Done<T = Vec<u8>> = Result<T, Refusal>;

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
        Operation::Provision => return provision(tpm, fields).map(Into::into),
        Operation::Remove => {
            let anchor = Anchor::decode(fields.bytes().ok_or_else(malformed)?)?;
            for index in
                tpm.handles(anchor.base)?.into_iter().take_while(|index| *index < anchor.base + INDICES)
            {
                undefine(tpm, index)?;
            }
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
        Operation::Provision | Operation::Remove => Err(malformed()),
    }
}

fn door_and_copy(fields: &mut Reader<'_>) -> Done<(Door, Copy)> {
    let door = Door::decode(fields.bytes().ok_or_else(malformed)?)?;
    Ok((door, Copy::decode(fields.bytes().ok_or_else(malformed)?)?))
}

fn is_defined(tpm: &mut Tpm, handle: u32) -> Result<bool, Rc> {
    // Asked for rather than tried: libtss2 writes every refusal to standard error.
    Ok(tpm.handles(handle)?.first() == Some(&handle))
}

fn undefine(tpm: &mut Tpm, index: u32) -> Result<(), Rc> {
    if is_defined(tpm, index)? {
        let found = tpm.existing(index)?;
        tpm.nv_undefine(found)?;
    }
    Ok(())
}

/// The storage root key, which nothing is needed for.
fn srk(tpm: &mut Tpm, persistent: bool) -> Done<(Handle, Vec<u8>)> {
    let srk = if persistent {
        if !is_defined(tpm, SRK)? {
            return Err(foreign("the storage root key at 0x81000001 is gone"));
        }
        tpm.existing(SRK)?
    } else {
        tpm.create_primary(&layout::srk_template(), crate::ffi::PASSWORD)?
    };
    let name = tpm.name(srk)?;
    Ok((srk, name))
}

fn foreign(what: &str) -> Refusal {
    said(Answer::Foreign, &format!("{what}: this store belongs to another TPM, or the TPM was cleared since"))
}

/// Makes the counters of a new token in the first eight indices that are free.
fn provision(tpm: &mut Tpm, mut fields: Reader<'_>) -> Done {
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

/// One visit for one role of a token.
struct Visit<'a> {
    anchor: &'a Anchor,
    role: Role,
}

impl Visit<'_> {
    /// The storage root key, if it is the one that the token was made under, and the session that it salts.
    fn begin(&self, tpm: &mut Tpm) -> Done<Handle> {
        let (srk, name) = srk(tpm, self.anchor.persistent)?;
        if name != self.anchor.srk_name {
            return Err(foreign("the storage root key is another"));
        }
        tpm.start_session(Some(srk))?;
        Ok(srk)
    }

    /// The role's counter and its present value.
    fn counter(&self, tpm: &mut Tpm) -> Done<(Handle, u64)> {
        let index = self.anchor.counter_index(self.role);
        if !is_defined(tpm, index)? {
            return Err(foreign("the token's counter is gone"));
        }
        let counter = tpm.existing(index)?;
        tpm.set_auth(counter, &self.anchor.counter_auth)?;
        let value = u64::from_be_bytes(tpm.nv_read(counter, tpm.session)?);
        Ok((counter, value))
    }

    fn door(&self, tpm: &mut Tpm, slot: u32) -> Done<Handle> {
        let index = self.anchor.door_index(self.role, slot);
        if !is_defined(tpm, index)? {
            return Err(said(
                Answer::Stale,
                "the TPM no longer has what judged this PIN: the PIN was changed since this copy of the store was made",
            ));
        }
        Ok(tpm.existing(index)?)
    }

    fn make_door(&self, tpm: &mut Tpm, mut fields: Reader<'_>) -> Done {
        let mut parse =
            || Some((fields.bytes()?, fields.array::<32>()?, fields.number()?, fields.array::<32>()?));
        let (before, auth, tries, random) = parse().ok_or_else(malformed)?;
        let tries = u32::try_from(tries).map_err(|_| malformed())?;
        // The one that the store does not use: what a process that was killed has left there goes.
        let slot = if before.is_empty() { 0 } else { 1 - Door::decode(before)?.slot };
        let srk = self.begin(tpm)?;
        let index = self.anchor.door_index(self.role, slot);
        undefine(tpm, index)?;
        let made = tpm.nv_define(index, PIN_INDEX, &pin_index::POLICY, auth)?;
        let session = pin_index::to_write(tpm)?;
        tpm.nv_write(made, session, &[[0; 4], tries.to_be_bytes()].concat())?;
        tpm.flush(session)?;
        let (public, private) = tpm.create(srk, &layout::pin_template(), auth, random)?;
        Ok(Door { slot, public, private }.encode())
    }

    fn seal(&self, tpm: &mut Tpm, mut fields: Reader<'_>) -> Done {
        let mut parse = || {
            Some((
                fields.bytes()?,
                fields.bytes()?,
                fields.bytes()?,
                *fields.array::<1>()?,
                fields.array::<32>()?,
            ))
        };
        let (door, before, selection, [how], key) = parse().ok_or_else(malformed)?;
        let door = Door::decode(door)?;
        let before = if before.is_empty() { None } else { Some(Copy::decode(before)?) };
        let srk = self.begin(tpm)?;
        let pcrs = match (&before, selection) {
            (Some(before), _) if how & how::SAME_PCRS != 0 => before.pcrs.clone(),
            (_, []) => None,
            (_, selection) => {
                let banks = Pcrs::banks(selection).ok_or_else(malformed)?;
                let digest = present(tpm, &banks)?;
                Some(Pcrs { banks, digest })
            }
        };
        let (counter, now) = self.counter(tpm)?;
        let count = match &before {
            _ if how & how::REVOKE != 0 => now + 1,
            Some(before) => before.count,
            None => now,
        };
        let index = self.door(tpm, door.slot)?;
        let pin = tpm.load(srk, &door.public, &door.private)?;
        let names = [tpm.name(counter)?, tpm.name(index)?, tpm.name(pin)?];
        tpm.flush(pin)?;
        let [counter, secrets @ ..] = &names;
        let policy = CopyPolicy {
            pcrs: pcrs.as_ref(),
            counter: (counter, count),
            secrets: [&secrets[0], &secrets[1]],
        };
        let digest = policy.digest(tpm)?;
        let (public, private) = tpm.create(srk, &layout::copy_template(&digest), &[], key)?;
        let erases = how & how::ERASES != 0;
        Ok(Copy { count, erases, pcrs, public, private }.encode())
    }

    /// Finishes what a process that was killed has left: the counter goes up, and what judged the old PIN goes.
    fn settle(&self, tpm: &mut Tpm, door: &Door, copy: &Copy) -> Done<Handle> {
        let (counter, now) = self.counter(tpm)?;
        if now.checked_add(1) == Some(copy.count) {
            if copy.erases {
                // First, so that whoever is killed meanwhile leaves it to the next.
                Visit { anchor: self.anchor, role: Role::User }.forget(tpm)?;
            }
            tpm.nv_increment(counter)?;
            undefine(tpm, self.anchor.door_index(self.role, 1 - door.slot))?;
        }
        Ok(counter)
    }

    fn unseal(&self, tpm: &mut Tpm, mut fields: Reader<'_>) -> Done<Zeroizing<Vec<u8>>> {
        let (door, copy) = door_and_copy(&mut fields)?;
        let auth = fields.array::<32>().ok_or_else(malformed)?;
        let srk = self.begin(tpm)?;
        let counter = self.settle(tpm, &door, &copy)?;
        let policy = tpm.start_session(None)?;
        if let Some(pcrs) = &copy.pcrs {
            if present(tpm, &pcrs.banks)? != pcrs.digest {
                return Err(said(
                    Answer::Pcrs,
                    "the PCRs are not those that the token is sealed to, for firmware, boot loader or kernel have changed; the PIN was not \
                     judged and no try is lost; if the change was planned, the security officer types: trellis tpm reseal",
                ));
            }
            tpm.policy_pcr(policy, &pcrs.digest, &pcrs.banks)?;
        }
        tpm.policy_nv(policy, counter, &copy.count.to_be_bytes()).map_err(|rc| match rc.code() {
            Some(POLICY) => said(
                Answer::Stale,
                "the PIN was changed after this copy of the store was made, and it opens no more; use the present one",
            ),
            _ => rc.into(),
        })?;
        let index = self.door(tpm, door.slot)?;
        tpm.set_auth(index, auth)?;
        if let Err(rc) = tpm.policy_secret(policy, index) {
            return Err(match rc.code() {
                Some(LOCKOUT | AUTH_UNAVAILABLE) => {
                    said(Answer::Locked, "the TPM has seen too many wrong PINs")
                }
                _ if rc.is_wrong_auth() => said(Answer::WrongPin, "the PIN is wrong"),
                _ => rc.into(),
            });
        }
        let pin = tpm.load(srk, &door.public, &door.private)?;
        tpm.set_auth(pin, auth)?;
        tpm.policy_secret(policy, pin).map_err(|rc| {
            if rc.is_wrong_auth() { said(Answer::WrongPin, "the PIN is wrong") } else { rc.into() }
        })?;
        tpm.flush(pin)?;
        let sealed = tpm.load(srk, &copy.public, &copy.private)?;
        Ok(tpm.unseal(sealed, policy)?)
    }

    /// Takes away what judged a role's PIN, and makes its copies open no more.
    fn forget(&self, tpm: &mut Tpm) -> Done<()> {
        let (counter, _) = self.counter(tpm)?;
        tpm.nv_increment(counter)?;
        for slot in 0..2 {
            undefine(tpm, self.anchor.door_index(self.role, slot))?;
        }
        Ok(())
    }

    fn count(&self, tpm: &mut Tpm, door: &Door) -> Done<[u8; 8]> {
        let index = self.door(tpm, door.slot)?;
        let session = pin_index::to_read(tpm)?;
        Ok(tpm.nv_read(index, session)?)
    }

    fn tries(&self, tpm: &mut Tpm, mut fields: Reader<'_>) -> Done {
        let door = Door::decode(fields.bytes().ok_or_else(malformed)?)?;
        Ok(self.count(tpm, &door)?.to_vec())
    }

    fn report(&self, tpm: &mut Tpm, mut fields: Reader<'_>) -> Done {
        let (door, copy) = door_and_copy(&mut fields)?;
        self.begin(tpm)?;
        let (_, counter) = self.counter(tpm)?;
        let tries = self.count(tpm, &door)?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let (pcrs, fit) = match &copy.pcrs {
            None => (String::new(), true),
            Some(pcrs) => (selection_text(&pcrs.banks), present(tpm, &pcrs.banks)? == pcrs.digest),
        };
        let indices: Vec<_> = tpm
            .handles(self.anchor.base)?
            .into_iter()
            .take_while(|index| *index < self.anchor.base + INDICES)
            .map(|index| format!("{index:#x}"))
            .collect();
        let srk =
            if self.anchor.persistent { "0x81000001" } else { "made from the owner's seed at each use" };
        let fields = [
            srk.to_owned(),
            number(&tries[..4]).to_string(),
            number(&tries[4..]).to_string(),
            counter.to_string(),
            copy.count.to_string(),
            pcrs,
            fit.to_string(),
            indices.join(" "),
        ];
        let written = fields.iter().fold(Writer::default(), |writer, field| writer.bytes(field.as_bytes()));
        Ok(written.finish().to_vec())
    }
}

/// SHA-256 of the PCRs' present values, one after the other in the order of their banks and numbers.
fn present(tpm: &mut Tpm, banks: &[(u16, u32)]) -> Done<[u8; 32]> {
    let mut values = Vec::new();
    for (bank, pcrs) in banks {
        for pcr in (0..24).filter(|pcr| pcrs >> pcr & 1 == 1) {
            let value = tpm.pcr_read(*bank, pcr)?;
            if value.is_empty() {
                return Err(Refusal::Said(
                    Answer::Failed,
                    format!(
                        "the TPM has no PCR {pcr} in the bank {}; name others in `pcrs`",
                        bank_text(*bank)
                    ),
                ));
            }
            values.extend(value);
        }
    }
    if values.len() > HASH_LEN {
        return Err(said(Answer::Failed, "these are more PCRs than can be sealed to; name fewer in `pcrs`"));
    }
    Ok(tpm.hash(&values)?)
}

fn bank_text(bank: u16) -> String {
    match bank {
        0x0004 => "sha1".into(),
        0x000B => "sha256".into(),
        0x000C => "sha384".into(),
        0x000D => "sha512".into(),
        other => format!("{other:#06x}"),
    }
}

fn selection_text(banks: &[(u16, u32)]) -> String {
    let bank = |(bank, pcrs): &(u16, u32)| {
        let pcrs: Vec<_> = (0..24).filter(|pcr| pcrs >> pcr & 1 == 1).map(|pcr| pcr.to_string()).collect();
        format!("{}:{}", bank_text(*bank), pcrs.join(","))
    };
    banks.iter().map(bank).collect::<Vec<_>>().join("+")
}
