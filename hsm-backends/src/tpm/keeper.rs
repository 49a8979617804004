//! The token key under a policy of a TPM: PCRs where they are wanted, a counter that each change of PIN moves on, a PIN
//! FAIL index, and an object whose authorisation is the PIN. The plug-in does it; here is what is asked for and when.

use std::path::PathBuf;

use algorithms::SecretBytes;
use zeroize::Zeroizing;

use super::{
    PcrSelection,
    kept::{Row, Stretch},
    plugin::Plugin,
    protocol::{Answer, Operation, REPORT, Reader, Writer, how},
};
use crate::{
    Pin, PinState, Role, StoreError,
    sealed::{Judged, Keeper, Kept, Rekey, Rekeying, Rows, TokenKey, role_number},
};

/// How long an operation may take: PIN changes make objects, for which a slow TPM needs a second each.
const LIMIT_MS: u64 = 30_000;
/// How long `trellis tpm show` may wait.
const REPORT_MS: u64 = 5_000;
/// How long C_GetTokenInfo may wait.
const GLANCE_MS: u64 = 1_000;

/// The keeper of a store over a TPM.
#[derive(Debug)]
pub(super) struct TpmKeeper {
    plugin: Plugin,
    tcti: String,
    pcrs: Option<PcrSelection>,
    pin_tries: u32,
}

impl TpmKeeper {
    pub(super) fn new(
        plug_in: Option<PathBuf>,
        tcti: String,
        pcrs: Option<PcrSelection>,
        pin_tries: u32,
    ) -> Self {
        Self { plugin: Plugin::new(plug_in), tcti, pcrs, pin_tries }
    }

    /// A request's beginning. The owner hierarchy has no password.
    fn request(&self, limit_ms: u64) -> Writer {
        Writer::default().bytes(self.tcti.as_bytes()).bytes(&[]).number(limit_ms)
    }

    fn about(&self, row: &Row, role: Role) -> Writer {
        self.request(LIMIT_MS).bytes(&row.anchor).number(role_number(role).into())
    }

    fn call(&self, operation: Operation, request: Writer) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let (answer, bytes) = self.plugin.call(operation, &request.finish())?;
        let why = || String::from_utf8_lossy(&bytes).into_owned();
        match answer {
            Answer::Done => Ok(bytes),
            Answer::WrongPin => Err(StoreError::PinIncorrect),
            Answer::Locked => Err(StoreError::PinLocked),
            Answer::Away => Err(StoreError::Absent(format!(
                "no TPM answers at {}: {}; see whether it is there, and whether this user may use it (group tss)",
                self.tcti,
                why()
            ))),
            Answer::Malformed
            | Answer::Pcrs
            | Answer::Stale
            | Answer::Foreign
            | Answer::Failed
            | Answer::Busy => Err(StoreError::Device(why())),
        }
    }

    fn provision(&self) -> Result<Vec<u8>, StoreError> {
        let random = algorithms::random::array::<32>()?;
        Ok(self.call(Operation::Provision, self.request(LIMIT_MS).bytes(&random))?.to_vec())
    }

    /// What judges a new PIN, beside what judges the present one.
    fn make_door(
        &self,
        anchor: &[u8],
        role: Role,
        before: &[u8],
        auth: &SecretBytes,
    ) -> Result<Vec<u8>, StoreError> {
        let random = algorithms::random::array::<32>()?;
        let request = self
            .request(LIMIT_MS)
            .bytes(anchor)
            .number(role_number(role).into())
            .bytes(before)
            .bytes(auth.expose())
            .number(self.pin_tries.into())
            .bytes(&random);
        Ok(self.call(Operation::Door, request)?.to_vec())
    }

    /// The token key, sealed for a role. The security officer's copy has no PCRs.
    fn seal(
        &self,
        anchor: &[u8],
        role: Role,
        door: &[u8],
        sealing: Sealing<'_>,
    ) -> Result<Vec<u8>, StoreError> {
        let pcrs = match (role, &self.pcrs) {
            (Role::User, Some(pcrs)) => pcrs.to_bytes(),
            _ => Vec::new(),
        };
        let request = self
            .request(LIMIT_MS)
            .bytes(anchor)
            .number(role_number(role).into())
            .bytes(door)
            .bytes(sealing.before)
            .bytes(&pcrs)
            .bytes(&[sealing.how])
            .bytes(sealing.key.expose());
        Ok(self.call(Operation::Seal, request)?.to_vec())
    }

    fn settle_row(&self, role: Role, row: &Row) -> Result<(), StoreError> {
        let request = self.about(row, role).bytes(&row.door).bytes(&row.copy);
        self.call(Operation::Settle, request).map(drop)
    }

    /// The row of the role whose PIN is set.
    fn new_row(
        &self,
        change: &Rekey<'_>,
        anchor: &[u8],
        before: Option<&Row>,
    ) -> Result<Vec<u8>, StoreError> {
        if let Some(row) = before {
            // A change of this PIN that was cut off comes first, so that the counter is above it as well.
            self.settle_row(change.role, row)?;
        }
        let stretch = Stretch::fresh()?;
        let auth = stretch.authorisation(change.pin)?;
        let so_far = before.map_or(&[][..], |row| &row.door);
        let door = self.make_door(anchor, change.role, so_far, &auth)?;
        let (token_id, key) = change.to;
        let how = how::REVOKE | if change.erases { how::ERASES } else { 0 };
        let sealing = Sealing { before: before.map_or(&[], |row| &row.copy), how, key };
        let copy = self.seal(anchor, change.role, &door, sealing)?;
        Ok(Row::new((change.role, token_id, key), anchor.to_vec(), stretch, door, copy)?.encode())
    }

    /// The row of the other role: the new key for its PIN, which nobody has to know for it.
    fn same_row(&self, change: &Rekey<'_>, role: Role, row: &Row) -> Result<Vec<u8>, StoreError> {
        let (token_id, key) = change.from;
        if !row.is_genuine(role, token_id, key)? {
            return Err(StoreError::Damaged("what is kept for a PIN was altered; restore a backup".into()));
        }
        // A change of this PIN that was cut off must not be undone by the one that begins now.
        self.settle_row(role, row)?;
        self.sealed_anew(role, row, change.to, how::SAME_PCRS)
    }

    fn sealed_anew(
        &self,
        role: Role,
        row: &Row,
        (token_id, key): ([u8; 16], &TokenKey),
        how: u8,
    ) -> Result<Vec<u8>, StoreError> {
        let copy = self.seal(&row.anchor, role, &row.door, Sealing { before: &row.copy, how, key })?;
        let (anchor, door) = (row.anchor.clone(), row.door.clone());
        Ok(Row::new((role, token_id, key), anchor, row.stretch, door, copy)?.encode())
    }
}

/// How a copy is made.
struct Sealing<'a> {
    /// The copy so far, or nothing.
    before: &'a [u8],
    how: u8,
    key: &'a TokenKey,
}

impl Keeper for TpmKeeper {
    const MODEL: &'static str = "tpm";

    /// A new token's: the TPM makes room for it.
    fn keep(&self, place: Kept, key: &TokenKey, pin: &Pin) -> Result<Vec<u8>, StoreError> {
        let anchor = self.provision()?;
        let nothing = Rows { so: Vec::new(), user: None };
        let change = Rekey {
            role: place.role,
            pin,
            from: (place.token_id, key),
            to: (place.token_id, key),
            before: &nothing,
            erases: false,
        };
        let made = self.new_row(&change, &anchor, None);
        if made.is_err() {
            let _ = self.call(Operation::Remove, self.request(LIMIT_MS).bytes(&anchor));
        }
        let kept = made?;
        self.settle_row(place.role, &Row::decode(&kept)?)?;
        Ok(kept)
    }

    fn judge(&self, place: Kept, kept: &[u8], pin: &Pin) -> Result<Option<Judged>, StoreError> {
        let row = Row::decode(kept)?;
        let auth = row.stretch.authorisation(pin)?;
        let request = self.about(&row, place.role).bytes(&row.door).bytes(&row.copy).bytes(auth.expose());
        let key = match self.call(Operation::Unseal, request) {
            Err(StoreError::PinIncorrect) => return Ok(None),
            opened => TokenKey::new(SecretBytes::new(&opened?)),
        };
        if !row.is_genuine(place.role, place.token_id, &key)? {
            return Err(StoreError::Damaged(
                "what is kept for this PIN was altered; restore a backup".into(),
            ));
        }
        Ok(Some(Judged { key: Some(key), anew: None }))
    }

    fn check(&self, _: Role, kept: &[u8]) -> Result<(), StoreError> {
        Row::decode(kept).map(drop)
    }

    /// A TPM that is away says nothing; the store's own count does.
    fn pin_state(&self, role: Role, kept: &[u8]) -> PinState {
        let Ok(row) = Row::decode(kept) else { return PinState::Good };
        let request =
            self.request(GLANCE_MS).bytes(&row.anchor).number(role_number(role).into()).bytes(&row.door);
        let Ok(bytes) = self.call(Operation::Tries, request) else { return PinState::Good };
        let (words, []) = bytes.as_chunks() else { return PinState::Good };
        match words.iter().map(|word| u32::from_be_bytes(*word)).collect::<Vec<_>>()[..] {
            [tries, limit] if tries >= limit => PinState::Locked,
            [tries, limit] if tries > 0 && tries + 1 == limit => PinState::FinalTry,
            [0, _] => PinState::Good,
            _ => PinState::CountLow,
        }
    }

    fn rekeying(&self) -> Option<&dyn Rekeying> {
        Some(self)
    }

    fn report(&self, role: Role, kept: &[u8]) -> Result<Vec<(&'static str, String)>, StoreError> {
        let row = Row::decode(kept)?;
        let request = self
            .request(REPORT_MS)
            .bytes(&row.anchor)
            .number(role_number(role).into())
            .bytes(&row.door)
            .bytes(&row.copy);
        let report = self.call(Operation::Report, request)?;
        let mut fields = Reader(&report);
        let told = REPORT
            .map(|name| (name, String::from_utf8_lossy(fields.bytes().unwrap_or_default()).into_owned()));
        Ok([vec![("tcti", self.tcti.clone())], told.into()].concat())
    }

    fn reach(&self) -> Result<(), StoreError> {
        self.call(Operation::Reach, self.request(REPORT_MS)).map(drop)
    }

    fn discard(&self, kept: &[u8]) {
        if let Ok(row) = Row::decode(kept) {
            let _ = self.call(Operation::Remove, self.request(LIMIT_MS).bytes(&row.anchor));
        }
    }
}

impl Rekeying for TpmKeeper {
    fn rekey(&self, change: &Rekey<'_>) -> Result<Rows, StoreError> {
        let so = Row::decode(&change.before.so)?;
        let user = change.before.user.as_deref().map(Row::decode).transpose()?;
        match change.role {
            Role::SecurityOfficer => Ok(Rows {
                user: match &user {
                    Some(user) if !change.erases => Some(self.same_row(change, Role::User, user)?),
                    _ => None,
                },
                so: self.new_row(change, &so.anchor, Some(&so))?,
            }),
            Role::User => Ok(Rows {
                so: self.same_row(change, Role::SecurityOfficer, &so)?,
                user: Some(self.new_row(change, &so.anchor, user.as_ref())?),
            }),
        }
    }

    fn settle(&self, role: Role, rows: &Rows) -> Result<(), StoreError> {
        let kept = match role {
            Role::SecurityOfficer => Some(&rows.so),
            Role::User => rows.user.as_ref(),
        };
        kept.map_or(Ok(()), |kept| self.settle_row(role, &Row::decode(kept)?))
    }

    fn reseal(&self, token_id: [u8; 16], key: &TokenKey, user: &[u8]) -> Result<Vec<u8>, StoreError> {
        let row = Row::decode(user)?;
        if !row.is_genuine(Role::User, token_id, key)? {
            return Err(StoreError::Damaged(
                "what is kept for the user's PIN was altered; restore a backup".into(),
            ));
        }
        self.settle_row(Role::User, &row)?;
        self.sealed_anew(Role::User, &row, (token_id, key), 0)
    }
}
