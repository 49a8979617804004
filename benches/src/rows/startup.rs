//! C_Initialize: in a new process, where the self-test runs, and again in the same one, where it does not.

use crate::{
    bound::Bound,
    contender::{Contender, Kind},
    measure::{Done, Result, Span},
    row::{Column, Plan},
    worker::{self, Worker},
};

use super::group::START;

/// The number of objects that the promise is about.
const PROMISED: usize = 100_000;

/// The table with new tokens.
pub(super) fn rows() -> Vec<Plan> {
    let self_test =
        Plan::new(START, "self-test: the first of a process less the second", |contenders, row| {
            for contender in contenders.iter().filter(|contender| contender.kind == Kind::Trellis) {
                row.add(
                    Column::of(contender.kind.name()),
                    Box::new(move || {
                        let (first, second) = both(contender)?;
                        let wall = first.wall.saturating_sub(second.wall);
                        Ok(Done::Took(1, Span { wall, cpu: first.cpu.saturating_sub(second.cpu) }))
                    }),
                );
            }
            Ok(())
        });
    vec![self_test.promising([Bound::Micros(5000.0)])]
}

/// The table with tokens that have so many objects.
pub(super) fn with_objects(count: usize) -> Vec<Plan> {
    let first = Plan::new(START, format!("the first of a process, {count} objects"), |contenders, row| {
        row.each(contenders, |contender| {
            Ok(Some(Box::new(|| Ok(Done::Took(1, worker::span(initialize(contender, 1)?))))))
        })
    });
    let second = Plan::new(START, format!("the second, {count} objects"), |contenders, row| {
        row.each(contenders, |contender| {
            // Others read all objects each time: that is in the row above.
            let ours = contender.kind == Kind::Trellis;
            Ok(ours.then_some(Box::new(|| Ok(Done::Took(1, both(contender)?.1)))))
        })
    });
    let bounds = (count >= PROMISED).then_some(Bound::Micros(5000.0));
    vec![first.promising(bounds), second]
}

/// What the first and the second take in a process that has just started.
fn both(contender: &Contender) -> Result<(Span, Span)> {
    let [first, first_cpu, second, second_cpu] = initialize(contender, 2)?;
    Ok((worker::span([first, first_cpu]), worker::span([second, second_cpu])))
}

/// A new process and so many C_Initialize in it.
fn initialize<const N: usize>(contender: &Contender, times: usize) -> Result<[u64; N]> {
    Worker::start(&contender.path)?.ask(&format!("initialize {times}"))
}
