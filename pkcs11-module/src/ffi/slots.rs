//! Slot and token management (PKCS#11 v3.2 section 5.5).

use cryptoki_sys as ck;
use hsm_backends::{Description, PIN_LEN, PinState};

use super::{
    args::{self, Place},
    general::{padded, version},
    guard::{self, exports},
};
use crate::{
    error::{Error, Result},
    handle::{SessionHandle, SlotId},
    module::{LIBRARY_VERSION, MANUFACTURER},
};

exports! {
    fn C_GetSlotList(
        _token_present: ck::CK_BBOOL,
        list: *mut ck::CK_SLOT_ID,
        count: *mut ck::CK_ULONG,
    ) |module| {
        args::fill_list(list, count, &module.slot_ids())
    }

    fn C_GetSlotInfo(slot: ck::CK_SLOT_ID, info: *mut ck::CK_SLOT_INFO) |module| {
        let place = Place::new(info)?;
        let slot = module.slot_info(SlotId(slot))?;
        place.set(ck::CK_SLOT_INFO {
            slotDescription: padded(&slot.description),
            manufacturerID: padded(MANUFACTURER),
            flags: ck::CKF_TOKEN_PRESENT,
            hardwareVersion: version((0, 0)),
            firmwareVersion: version(LIBRARY_VERSION),
        });
        Ok(())
    }

    fn C_GetTokenInfo(slot: ck::CK_SLOT_ID, info: *mut ck::CK_TOKEN_INFO) |module| {
        let place = Place::new(info)?;
        let (token, sessions) = module.token_info(SlotId(slot))?;
        let mut info = token_info(&token, sessions);
        if module.knows_pin(SlotId(slot))? {
            info.flags |= ck::CKF_PROTECTED_AUTHENTICATION_PATH;
        }
        place.set(info);
        Ok(())
    }

    fn C_GetMechanismList(
        slot: ck::CK_SLOT_ID,
        list: *mut ck::CK_MECHANISM_TYPE,
        count: *mut ck::CK_ULONG,
    ) |module| {
        args::fill_list(list, count, &module.mechanisms(SlotId(slot))?)
    }

    fn C_GetMechanismInfo(
        slot: ck::CK_SLOT_ID,
        kind: ck::CK_MECHANISM_TYPE,
        info: *mut ck::CK_MECHANISM_INFO,
    ) |module| {
        let place = Place::new(info)?;
        let row = module.mechanism_info(SlotId(slot), kind)?;
        let (min, max) = row.key_size;
        place.set(ck::CK_MECHANISM_INFO { ulMinKeySize: min, ulMaxKeySize: max, flags: row.flags });
        Ok(())
    }

    fn C_InitToken(
        slot: ck::CK_SLOT_ID,
        pin: *mut ck::CK_UTF8CHAR,
        pin_len: ck::CK_ULONG,
        label: *mut ck::CK_UTF8CHAR,
    ) |module| {
        let pin = args::pin(pin, pin_len)?;
        let label = args::read(label.cast::<[u8; 32]>())?;
        module.init_token(SlotId(slot), pin, unpadded(&label)?)
    }

    fn C_InitPIN(session: ck::CK_SESSION_HANDLE, pin: *mut ck::CK_UTF8CHAR, pin_len: ck::CK_ULONG) |module| {
        module.init_pin(SessionHandle(session), args::pin(pin, pin_len)?)
    }

    fn C_SetPIN(
        session: ck::CK_SESSION_HANDLE,
        old: *mut ck::CK_UTF8CHAR,
        old_len: ck::CK_ULONG,
        new: *mut ck::CK_UTF8CHAR,
        new_len: ck::CK_ULONG,
    ) |module| {
        module.set_pin(SessionHandle(session), args::pin(old, old_len)?, args::pin(new, new_len)?)
    }
}

// SAFETY: the name is PKCS#11's own, and no other symbol of this library has it.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn C_WaitForSlotEvent(
    flags: ck::CK_FLAGS,
    slot: *mut ck::CK_SLOT_ID,
    reserved: *mut std::ffi::c_void,
) -> ck::CK_RV {
    guard::blocking_call("C_WaitForSlotEvent", |module| {
        // SAFETY: the contract of `args`.
        let place = unsafe { Place::new(slot) }?;
        if !reserved.is_null() {
            return Err(Error::ArgumentsBad);
        }
        place.set(module.wait_for_slot_event(flags & ck::CKF_DONT_BLOCK != 0)?.0);
        Ok(())
    })
}

fn token_info(token: &Description, (sessions, writing): (u64, u64)) -> ck::CK_TOKEN_INFO {
    ck::CK_TOKEN_INFO {
        label: padded(&token.label),
        manufacturerID: padded(MANUFACTURER),
        model: padded(token.model),
        serialNumber: padded(&token.serial),
        flags: token_flags(token),
        ulMaxSessionCount: ck::CK_EFFECTIVELY_INFINITE,
        ulSessionCount: sessions,
        ulMaxRwSessionCount: ck::CK_EFFECTIVELY_INFINITE,
        ulRwSessionCount: writing,
        ulMaxPinLen: *PIN_LEN.end() as ck::CK_ULONG,
        ulMinPinLen: *PIN_LEN.start() as ck::CK_ULONG,
        ulTotalPublicMemory: ck::CK_UNAVAILABLE_INFORMATION,
        ulFreePublicMemory: ck::CK_UNAVAILABLE_INFORMATION,
        ulTotalPrivateMemory: ck::CK_UNAVAILABLE_INFORMATION,
        ulFreePrivateMemory: ck::CK_UNAVAILABLE_INFORMATION,
        hardwareVersion: version((0, 0)),
        firmwareVersion: version(LIBRARY_VERSION),
        utcTime: padded(""),
    }
}

/// Saved digest states hold no keys, so nothing is needed to restore one (CKF_RESTORE_KEY_NOT_NEEDED).
fn token_flags(token: &Description) -> ck::CK_FLAGS {
    let always = ck::CKF_RNG | ck::CKF_LOGIN_REQUIRED | ck::CKF_RESTORE_KEY_NOT_NEEDED;
    let sometimes = [
        (token.write_protected, ck::CKF_WRITE_PROTECTED),
        (token.initialized, ck::CKF_TOKEN_INITIALIZED),
        (token.user_pin_initialized, ck::CKF_USER_PIN_INITIALIZED),
    ];
    let sometimes =
        sometimes.into_iter().filter(|(holds, _)| *holds).fold(0, |flags, (_, flag)| flags | flag);
    let user = tries(
        token.user_pin,
        [ck::CKF_USER_PIN_COUNT_LOW, ck::CKF_USER_PIN_FINAL_TRY, ck::CKF_USER_PIN_LOCKED],
    );
    let so = tries(token.so_pin, [ck::CKF_SO_PIN_COUNT_LOW, ck::CKF_SO_PIN_FINAL_TRY, ck::CKF_SO_PIN_LOCKED]);
    always | sometimes | user | so
}

/// The last try is also a low count.
fn tries(state: PinState, [low, last, locked]: [ck::CK_FLAGS; 3]) -> ck::CK_FLAGS {
    match state {
        PinState::Good => 0,
        PinState::CountLow => low,
        PinState::FinalTry => low | last,
        PinState::Locked => locked,
    }
}

/// A label without its padding. One that is not UTF-8 is CKR_ARGUMENTS_BAD.
fn unpadded(label: &[u8; 32]) -> Result<&str> {
    std::str::from_utf8(label).map(|label| label.trim_end_matches(' ')).map_err(|_| Error::ArgumentsBad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(change: impl FnOnce(&mut Description)) -> ck::CK_FLAGS {
        let mut token = Description {
            initialized: false,
            label: String::new(),
            serial: String::new(),
            model: "",
            user_pin_initialized: false,
            user_pin: PinState::Good,
            so_pin: PinState::Good,
            write_protected: false,
        };
        change(&mut token);
        token_flags(&token)
    }

    #[test]
    fn each_state_of_a_token_has_its_flags_and_no_others() {
        use PinState::{CountLow, FinalTry, Locked};
        type Change = fn(&mut Description);
        let bare = flags(|_| ());
        assert_eq!(bare, ck::CKF_RNG | ck::CKF_LOGIN_REQUIRED | ck::CKF_RESTORE_KEY_NOT_NEEDED);
        let changes: [(Change, ck::CK_FLAGS); 9] = [
            (|token| token.initialized = true, ck::CKF_TOKEN_INITIALIZED),
            (|token| token.user_pin_initialized = true, ck::CKF_USER_PIN_INITIALIZED),
            (|token| token.write_protected = true, ck::CKF_WRITE_PROTECTED),
            (|token| token.user_pin = CountLow, ck::CKF_USER_PIN_COUNT_LOW),
            (|token| token.user_pin = FinalTry, ck::CKF_USER_PIN_COUNT_LOW | ck::CKF_USER_PIN_FINAL_TRY),
            (|token| token.user_pin = Locked, ck::CKF_USER_PIN_LOCKED),
            (|token| token.so_pin = CountLow, ck::CKF_SO_PIN_COUNT_LOW),
            (|token| token.so_pin = FinalTry, ck::CKF_SO_PIN_COUNT_LOW | ck::CKF_SO_PIN_FINAL_TRY),
            (|token| token.so_pin = Locked, ck::CKF_SO_PIN_LOCKED),
        ];
        for (change, expected) in changes {
            assert_eq!(flags(change) & !bare, expected);
        }
    }
}
