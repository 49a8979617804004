//! Sessions and login (PKCS#11 v3.2 section 5.6).

use cryptoki_sys as ck;
use hsm_backends::{Pin, Role};

use crate::{
    Module,
    error::{Error, Result},
    handle::{SessionHandle, SlotId},
    log,
    session::Session,
    slot::Slot,
};

/// CK_USER_TYPE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "CKU_USER, CKU_SO, CKU_CONTEXT_SPECIFIC")]
pub enum UserType {
    User,
    SecurityOfficer,
    ContextSpecific,
}

impl UserType {
    /// The type of a CKU_* number, or CKR_USER_TYPE_INVALID.
    pub fn new(kind: ck::CK_USER_TYPE) -> Result<Self> {
        match kind {
            ck::CKU_USER => Ok(Self::User),
            ck::CKU_SO => Ok(Self::SecurityOfficer),
            ck::CKU_CONTEXT_SPECIFIC => Ok(Self::ContextSpecific),
            _ => Err(Error::UserTypeInvalid),
        }
    }
}

/// CK_SESSION_INFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionInfo {
    /// The slot.
    pub slot: SlotId,
    /// CKS_*.
    pub state: u64,
    /// CKF_SERIAL_SESSION, CKF_RW_SESSION.
    pub flags: u64,
}

impl Module {
    /// C_OpenSession.
    pub fn open_session(&self, slot: SlotId, flags: u64) -> Result<SessionHandle> {
        let slot = self.slot(slot)?;
        if flags & ck::CKF_SERIAL_SESSION == 0 {
            return Err(Error::SessionParallelNotSupported);
        }
        if flags & ck::CKF_ASYNC_SESSION != 0 {
            return Err(Error::SessionAsyncNotSupported);
        }
        let read_write = flags & ck::CKF_RW_SESSION != 0;
        let token = slot.store.admission()?;
        if !token.initialized {
            return Err(Error::TokenNotRecognized);
        }
        if read_write && token.write_protected {
            return Err(Error::TokenWriteProtected);
        }
        self.sessions.open(slot.clone(), read_write, |slot| {
            if !read_write && slot.role() == Some(Role::SecurityOfficer) {
                return Err(Error::SessionReadWriteSoExists);
            }
            Ok(())
        })
    }

    /// C_CloseSession.
    pub fn close_session(&self, session: SessionHandle) -> Result<()> {
        self.sessions.close(session)
    }

    /// C_CloseAllSessions.
    pub fn close_all_sessions(&self, slot: SlotId) -> Result<()> {
        self.sessions.close_all(self.slot(slot)?);
        Ok(())
    }

    /// C_GetSessionInfo.
    pub fn session_info(&self, session: SessionHandle) -> Result<SessionInfo> {
        let session = self.session(session)?;
        let state = match (session.slot.role(), session.read_write) {
            (None, false) => ck::CKS_RO_PUBLIC_SESSION,
            (None, true) => ck::CKS_RW_PUBLIC_SESSION,
            (Some(Role::User), false) => ck::CKS_RO_USER_FUNCTIONS,
            (Some(Role::User), true) => ck::CKS_RW_USER_FUNCTIONS,
            // Where the SO is logged in there is no read-only session.
            (Some(Role::SecurityOfficer), _) => ck::CKS_RW_SO_FUNCTIONS,
        };
        let writing = if session.read_write { ck::CKF_RW_SESSION } else { 0 };
        Ok(SessionInfo { slot: session.slot.id, state, flags: ck::CKF_SERIAL_SESSION | writing })
    }

    /// C_SessionCancel.
    pub fn session_cancel(&self, session: SessionHandle, flags: u64) -> Result<()> {
        self.session(session)?.operations.lock().cancel(flags);
        Ok(())
    }

    /// C_GetSessionValidationFlags: the module has no validation, so no operation was done under one.
    pub fn session_validation_flags(&self, session: SessionHandle, kind: u64) -> Result<u64> {
        self.session(session)?;
        if kind == ck::CKS_LAST_VALIDATION_OK { Ok(0) } else { Err(Error::ArgumentsBad) }
    }

    /// C_Login.
    pub fn login(&self, session: SessionHandle, user: UserType, pin: &Pin) -> Result<()> {
        let session = self.session(session)?;
        let outcome = match user {
            UserType::User => self.unlock(&session, Role::User, pin),
            UserType::SecurityOfficer => self.unlock(&session, Role::SecurityOfficer, pin),
            UserType::ContextSpecific => self.authenticate_operation(&session, pin),
        };
        let slot = session.slot.id.0;
        match outcome {
            Ok(()) => log::info(format_args!("slot {slot}: login as {user:?}")),
            Err(Error::PinIncorrect) => log::warn(format_args!("slot {slot}: wrong PIN for {user:?}")),
            Err(_) => {}
        }
        outcome
    }

    /// C_Login without a PIN (NULL): the user's is where the configuration says. Without `pin-source`, and for the
    /// security officer, CKR_ARGUMENTS_BAD, and no try is spent on it.
    pub fn login_without_pin(&self, session: SessionHandle, user: UserType) -> Result<()> {
        let slot = self.session(session)?.slot.clone();
        let source = slot.pin_source.as_ref().filter(|_| user != UserType::SecurityOfficer);
        self.login(session, user, &source.ok_or(Error::ArgumentsBad)?.read()?)
    }

    /// C_LoginUser: the tokens know no user names, so only the empty one is taken.
    pub fn login_user(&self, session: SessionHandle, user: UserType, pin: &Pin, name: &[u8]) -> Result<()> {
        if name.is_empty() { self.login(session, user, pin) } else { Err(Error::ArgumentsBad) }
    }

    /// C_Logout.
    pub fn logout(&self, session: SessionHandle) -> Result<()> {
        let session = self.session(session)?;
        if session.slot.role().is_none() {
            return Err(Error::UserNotLoggedIn);
        }
        self.log_out(&session.slot);
        log::info(format_args!("slot {}: logout", session.slot.id.0));
        Ok(())
    }

    /// Ends a slot's login, and what is active with a key that its sessions may no longer use: before the store's device is
    /// asked, so that somebody who logs in meanwhile loses nothing of his own.
    pub(crate) fn log_out(&self, slot: &Slot) {
        let left = slot.leave();
        for session in self.sessions.of_slot(slot.id) {
            session.operations.lock().end_private();
        }
        slot.close(left);
    }

    /// Stretching the PIN takes long. Only other PIN work of the slot waits for it; what could have changed meanwhile
    /// is asked again before the vault is put in place.
    fn unlock(&self, session: &Session, role: Role, pin: &Pin) -> Result<()> {
        let slot = &session.slot;
        let _alone = slot.pin_work()?;
        self.may_log_in(session, role)?;
        // Where it is not put in place, it closes after the sessions' lock is given back.
        let mut vault = Some(slot.store.unlock(role, pin)?);
        self.sessions.with_slot(slot.id, |sessions| {
            if !sessions.iter().any(|other| other.handle == session.handle) {
                return Err(Error::SessionClosed);
            }
            if role == Role::SecurityOfficer && sessions.iter().any(|session| !session.read_write) {
                return Err(Error::SessionReadOnlyExists);
            }
            slot.login.replace(vault.take().map(Into::into));
            Ok(())
        })
    }

    fn may_log_in(&self, session: &Session, role: Role) -> Result<()> {
        match session.slot.role() {
            Some(current) if current == role => return Err(Error::UserAlreadyLoggedIn),
            Some(_) => return Err(Error::UserAnotherAlreadyLoggedIn),
            None => {}
        }
        let (all, writing) = self.sessions.count(session.slot.id);
        if role == Role::SecurityOfficer && all != writing {
            return Err(Error::SessionReadOnlyExists);
        }
        Ok(())
    }

    /// CKU_CONTEXT_SPECIFIC: the PIN once more, for one use of a key with CKA_ALWAYS_AUTHENTICATE. A PIN that has been
    /// locked by such tries logs the user out (section 4.10).
    fn authenticate_operation(&self, session: &Session, pin: &Pin) -> Result<()> {
        let slot = &session.slot;
        let _alone = slot.pin_work()?;
        session.operations.lock().awaiting_context_login().ok_or(Error::OperationNotInitialized)?;
        let judged = slot.user_vault()?.verify_pin(pin).map_err(Error::from);
        if judged == Err(Error::PinLocked) {
            self.log_out(slot);
        }
        judged?;
        let mut operations = session.operations.lock();
        *operations.awaiting_context_login().ok_or(Error::OperationNotInitialized)? = true;
        Ok(())
    }
}
