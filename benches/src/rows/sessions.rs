//! C_Login, C_Logout, C_OpenSession and C_CloseSession.

use cryptoki::session::UserType;

use crate::{contender::Contender, measure::Done, row::Plan};

use super::group::SESSIONS;

/// The table.
pub(super) fn rows() -> Vec<Plan> {
    let login = Plan::new(SESSIONS, "log out and in", |contenders, row| {
        row.each(contenders, |contender| {
            let pin = Contender::pin();
            Ok(Some(Box::new(move || {
                contender.session.logout()?;
                contender.session.login(UserType::User, Some(&pin))?;
                Ok(Done::ONE)
            })))
        })
    });
    let open = Plan::new(SESSIONS, "open and close a session", |contenders, row| {
        row.each(contenders, |contender| {
            Ok(Some(Box::new(move || {
                contender.module.open_ro_session(contender.slot)?;
                Ok(Done::ONE)
            })))
        })
    });
    vec![login, open]
}
