//! C_GenerateKeyPair. Session keys show the algorithm, token keys the store.

use crate::{
    algorithm::Algorithm,
    contender::Contender,
    measure::{Done, Operation},
    raw::RawKey,
    row::{Column, Plan, RAW},
};

use super::group::GENERATE;

/// The table.
pub(super) fn rows() -> Vec<Plan> {
    let others = [Algorithm::Ed25519, Algorithm::P256, Algorithm::Rsa2048];
    let session = Algorithm::ML_DSA.into_iter().chain(others).map(|algorithm| (algorithm, false));
    let token = [Algorithm::MlDsa65, Algorithm::Ed25519].map(|algorithm| (algorithm, true));
    session.chain(token).map(|(algorithm, token)| row(algorithm, token)).collect()
}

fn row(algorithm: Algorithm, token: bool) -> Plan {
    let place = if token { "token keys" } else { "session keys" };
    Plan::new(GENERATE, format!("{}, {place}", algorithm.name()), move |contenders, row| {
        row.add(
            Column::of(RAW),
            Box::new(move || {
                std::hint::black_box(RawKey::generate(algorithm)?);
                Ok(Done::ONE)
            }),
        );
        row.each(contenders, |contender| Ok(of_module(algorithm, token, contender)))
    })
}

/// Removing the keys does not count.
fn of_module(algorithm: Algorithm, token: bool, contender: &Contender) -> Option<Operation<'_>> {
    let session = &contender.session;
    contender.has(algorithm.needs()).then_some(Box::new(move || {
        let (done, (public, private)) = Done::timed(|| algorithm.key_pair(session, token, "generated"))?;
        session.destroy_object(public)?;
        session.destroy_object(private)?;
        Ok(done)
    }))
}
