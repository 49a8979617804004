//! C_FindObjectsInit, C_FindObjects and C_FindObjectsFinal for one key among many.

use std::cell::Cell;

use cryptoki::object::{Attribute, ObjectClass};

use crate::{
    bound::Bound,
    contender::Contender,
    measure::{Done, Operation, Result},
    row::Plan,
    worker::Worker,
};

use super::group::FIND;

/// The number of objects that the promises are about.
const PROMISED: usize = 100_000;
/// A prime: each search is for another object than the last ten thousands.
const STRIDE: usize = 7919;

/// The table.
pub(super) fn rows(count: usize) -> Vec<Plan> {
    let promise =
        |plan: Plan, micros| if count >= PROMISED { plan.promising([Bound::Micros(micros)]) } else { plan };
    let by = |what: &str, key: fn(usize) -> Attribute, stride| {
        Plan::new(FIND, format!("{what} among {count}"), move |contenders, row| {
            row.each(contenders, move |contender| Ok(Some(search(contender, key, stride))))
        })
    };
    let written = Plan::new(
        FIND,
        format!("one by its label among {count}, another process has just written"),
        |contenders, row| row.each(contenders, |contender| after_a_write(contender).map(Some)),
    );
    vec![
        // The first turns meet records that nobody has read before.
        promise(by("one by its label, each time another,", Contender::label, STRIDE), 20.0).longer(3),
        promise(by("one by its id, each time another,", Contender::id, STRIDE), 20.0),
        promise(by("one by its label, always the same,", Contender::label, 0), 20.0),
        promise(written, 60.0),
    ]
}

fn find_one(contender: &Contender, wanted: Attribute) -> Result<()> {
    match contender.session.find_objects(&[Attribute::Class(ObjectClass::SECRET_KEY), wanted])?.len() {
        1 => Ok(()),
        found => Err(format!("{found} objects found instead of one").into()),
    }
}

fn search(contender: &Contender, key: fn(usize) -> Attribute, stride: usize) -> Operation<'_> {
    let next = Cell::new(0);
    Box::new(move || {
        find_one(contender, key(next.get()))?;
        next.set((next.get() + stride) % contender.objects.max(1));
        Ok(Done::ONE)
    })
}

/// Always the same object: a worker creates another one between two searches.
fn after_a_write(contender: &Contender) -> Result<Operation<'_>> {
    let mut worker = Worker::start(&contender.path)?;
    worker.ask::<1>("create")?;
    Ok(Box::new(move || {
        worker.ask::<1>("create")?;
        Ok(Done::timed(|| find_one(contender, Contender::label(0)))?.0)
    }))
}
