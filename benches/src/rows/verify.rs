//! C_VerifyInit and C_Verify, or C_VerifyUpdate and C_VerifyFinal.

use cryptoki::{object::ObjectHandle, session::Session};

use crate::{
    algorithm::Algorithm,
    bound::Bound,
    contender::Contender,
    measure::{Done, Operation, Result},
    raw::RawKey,
    row::{Column, Plan, RAW},
};

use super::{group::VERIFY, sign::Way};

/// The table.
pub(super) fn rows() -> Vec<Plan> {
    let ml_dsa = Algorithm::ML_DSA.into_iter().flat_map(|algorithm| {
        Way::lengths(algorithm).into_iter().chain([Way::usual(algorithm).in_session()])
    });
    let others = [Algorithm::HashMlDsa65, Algorithm::Ed25519, Algorithm::P256, Algorithm::Rsa2048];
    ml_dsa.chain(others.map(Way::usual)).map(row).collect()
}

fn row(way: Way) -> Plan {
    let bounds = match (way.algorithm, way.length, way.part, way.token) {
        (Algorithm::MlDsa65, 32, None, true) => vec![Bound::FasterThanOthers(4.0)],
        (Algorithm::Ed25519, 32, None, true) => vec![Bound::FasterThanOthers(2.4)],
        _ => Vec::new(),
    };
    let plan = Plan::new(VERIFY, way.heading(), move |contenders, row| {
        if let Some(key) = RawKey::generate(way.algorithm)? {
            let message = way.message();
            let (public, signature) = (key.public_key()?, key.sign(&message)?);
            row.add(
                Column::of(RAW),
                Box::new(move || {
                    public.verify(&message, &signature)?;
                    Ok(Done::ONE)
                }),
            );
        }
        row.each(contenders, |contender| of_module(way, contender))
    });
    plan.promising(bounds)
}

fn of_module(way: Way, contender: &Contender) -> Result<Option<Operation<'_>>> {
    if !way.is_possible(contender) {
        return Ok(None);
    }
    let session = &contender.session;
    let (public, private) = way.algorithm.key_pair(session, way.token, "verify")?;
    let message = way.message();
    let signature = way.sign(session, private, &message)?;
    Ok(Some(Box::new(move || {
        verify(way, session, public, &message, &signature)?;
        Ok(Done::ONE)
    })))
}

fn verify(way: Way, session: &Session, key: ObjectHandle, message: &[u8], signature: &[u8]) -> Result<()> {
    let mechanism = way.algorithm.mechanism(way.hedge);
    let Some(part) = way.part else { return Ok(session.verify(&mechanism, key, message, signature)?) };
    session.verify_init(&mechanism, key)?;
    message.chunks(part).try_for_each(|part| session.verify_update(part))?;
    Ok(session.verify_final(signature)?)
}
