//! Creating, copying, reading and destroying objects.

use cryptoki::object::{Attribute, AttributeType};

use crate::{
    algorithm::Algorithm,
    bound::Bound,
    contender::Contender,
    measure::{Done, Operation, Result},
    row::{Column, Plan},
    sqlite::{self, SQLITE},
};

use super::{MESSAGE, group::OBJECTS};

const ALONE: &str = "sign alone";
const COPIED: &str = "copy to the session, sign, destroy";

/// The table.
pub(super) fn rows() -> Vec<Plan> {
    let create = Plan::new(OBJECTS, "create a secret key on the token, durably", |contenders, row| {
        row.add(Column::of(SQLITE), sqlite::commit()?);
        row.each(contenders, |contender| Ok(Some(create(contender))))
    });
    let create_bound = Bound::AtMost { column: Column::ours(""), times: 1.3, of: Column::of(SQLITE) };
    let each = |what: &str, of: fn(&Contender) -> Result<Option<Operation<'_>>>| {
        Plan::new(OBJECTS, what, move |contenders, row| row.each(contenders, of))
    };
    let copies = [Algorithm::MlDsa65, Algorithm::Ed25519].map(copy_sign_destroy);
    let mut rows = vec![
        // What the disk does varies more from turn to turn than what a processor does.
        create.promising([create_bound]).longer(4),
        each("destroy a secret key on the token", destroy),
        each("copy a secret key on the token", copy),
        each("create and destroy a secret key in the session", create_in_session),
        each("read ten attributes of a private key", read),
    ];
    rows.extend(copies);
    rows
}

fn create(contender: &Contender) -> Operation<'_> {
    Box::new(move || {
        contender.session.create_object(&Contender::secret_key(0, true))?;
        Ok(Done::ONE)
    })
}

fn destroy(contender: &Contender) -> Result<Option<Operation<'_>>> {
    let session = &contender.session;
    Ok(Some(Box::new(move || {
        let made = session.create_object(&Contender::secret_key(0, true))?;
        Ok(Done::timed(|| Ok(session.destroy_object(made)?))?.0)
    })))
}

fn copy(contender: &Contender) -> Result<Option<Operation<'_>>> {
    let session = &contender.session;
    let original = session.create_object(&Contender::secret_key(0, true))?;
    Ok(Some(Box::new(move || {
        let copy = || Ok(session.copy_object(original, &[Attribute::Label("copy".into())])?);
        let (done, copy) = Done::timed(copy)?;
        session.destroy_object(copy)?;
        Ok(done)
    })))
}

fn create_in_session(contender: &Contender) -> Result<Option<Operation<'_>>> {
    let session = &contender.session;
    Ok(Some(Box::new(move || {
        let made = session.create_object(&Contender::secret_key(0, false))?;
        session.destroy_object(made)?;
        Ok(Done::ONE)
    })))
}

/// cryptoki asks twice: first for the lengths that it does not know.
fn read(contender: &Contender) -> Result<Option<Operation<'_>>> {
    const TEN: [AttributeType; 10] = [
        AttributeType::Class,
        AttributeType::KeyType,
        AttributeType::Label,
        AttributeType::EcParams,
        AttributeType::Token,
        AttributeType::Private,
        AttributeType::Sensitive,
        AttributeType::Extractable,
        AttributeType::Sign,
        AttributeType::Local,
    ];
    let (_, key) = Algorithm::P256.key_pair(&contender.session, true, "read")?;
    Ok(Some(Box::new(move || match contender.session.get_attributes(key, &TEN)?.len() {
        10 => Ok(Done::ONE),
        found => Err(format!("{found} attributes instead of ten").into()),
    })))
}

/// What OpenSSL's provider does for each signature, beside signing alone with the same key.
fn copy_sign_destroy(algorithm: Algorithm) -> Plan {
    let what = format!("{} sign, as OpenSSL does it", algorithm.name());
    let plan = Plan::new(OBJECTS, what, move |contenders, row| {
        for contender in contenders.iter().filter(|contender| contender.has(algorithm.needs())) {
            let session = &contender.session;
            let (_, key) = algorithm.key_pair(session, true, "copied")?;
            let sign =
                move |key| Ok(std::hint::black_box(session.sign(&algorithm.usual(), key, &MESSAGE)?));
            let alone = move || -> Result<Done> { sign(key).map(|_| Done::ONE) };
            let copied = move || -> Result<Done> {
                let copy = session.copy_object(key, &[Attribute::Token(false)])?;
                sign(copy)?;
                session.destroy_object(copy)?;
                Ok(Done::ONE)
            };
            let name = contender.kind.name();
            row.add(Column::with(name, ALONE), Box::new(alone));
            // What a module refuses is not measured.
            if copied().is_ok() {
                row.add(Column::with(name, COPIED), Box::new(copied));
            }
        }
        Ok(())
    });
    let bound = Bound::AtMost { column: Column::ours(COPIED), times: 1.08, of: Column::ours(ALONE) };
    // Of a signature that takes 30 µs a copy is a larger part: the promise is about ML-DSA-65.
    if algorithm == Algorithm::MlDsa65 { plan.promising([bound]).longer(6) } else { plan }
}
