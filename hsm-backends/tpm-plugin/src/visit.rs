//! What is done for one role of a token: its PIN made, judged, changed and told of.

use zeroize::Zeroizing;

use crate::{
    ffi::{Handle, Tpm},
    layout::{self, Anchor, Copy, Door, Pcrs, Role},
    pcrs::{present, selection_text},
    policy::{CopyPolicy, pin_index},
    protocol::{Answer, Reader, Writer, how},
    refusal::{AUTH_UNAVAILABLE, Done, LOCKOUT, POLICY, malformed, said},
    token::{foreign, indices, is_defined, srk, undefine},
};

/// Of an index: POLICYWRITE, PIN FAIL, POLICYREAD, NO_DA (part 2, 13.4).
const PIN_INDEX: u32 = 1 << 3 | 8 << 4 | 1 << 19 | 1 << 25;

/// One visit for one role of a token.
pub(crate) struct Visit<'a> {
    pub(crate) anchor: &'a Anchor,
    pub(crate) role: Role,
}

impl Visit<'_> {
    /// The storage root key, if it is the one that the token was made under, and the session that it salts.
    pub(crate) fn begin(&self, tpm: &mut Tpm) -> Done<Handle> {
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

    pub(crate) fn make_door(&self, tpm: &mut Tpm, mut fields: Reader<'_>) -> Done {
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

    pub(crate) fn seal(&self, tpm: &mut Tpm, mut fields: Reader<'_>) -> Done {
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
    pub(crate) fn settle(&self, tpm: &mut Tpm, door: &Door, copy: &Copy) -> Done<Handle> {
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

    pub(crate) fn unseal(&self, tpm: &mut Tpm, mut fields: Reader<'_>) -> Done<Zeroizing<Vec<u8>>> {
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

    pub(crate) fn tries(&self, tpm: &mut Tpm, mut fields: Reader<'_>) -> Done {
        let door = Door::decode(fields.bytes().ok_or_else(malformed)?)?;
        Ok(self.count(tpm, &door)?.to_vec())
    }

    pub(crate) fn report(&self, tpm: &mut Tpm, mut fields: Reader<'_>) -> Done {
        let (door, copy) = door_and_copy(&mut fields)?;
        self.begin(tpm)?;
        let (_, counter) = self.counter(tpm)?;
        let tries = self.count(tpm, &door)?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let (pcrs, fit) = match &copy.pcrs {
            None => (String::new(), true),
            Some(pcrs) => (selection_text(&pcrs.banks), present(tpm, &pcrs.banks)? == pcrs.digest),
        };
        let indices: Vec<_> =
            indices(tpm, self.anchor)?.into_iter().map(|index| format!("{index:#x}")).collect();
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

/// The end of a request that names both.
pub(crate) fn door_and_copy(fields: &mut Reader<'_>) -> Done<(Door, Copy)> {
    let door = Door::decode(fields.bytes().ok_or_else(malformed)?)?;
    Ok((door, Copy::decode(fields.bytes().ok_or_else(malformed)?)?))
}
