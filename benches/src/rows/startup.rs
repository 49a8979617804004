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
    let row = |what: &str, of: fn((Span, Span)) -> Span| {
        Plan::new(START, format!("{what}, {count} objects"), move |contenders, row| {
            row.each(contenders, move |contender| {
                Ok(Some(Box::new(move || Ok(Done::Took(1, of(both(contender)?))))))
            })
        })
    };
    let (first, second) = (row("the first of a process", |both| both.0), row("the second", |both| both.1));
    let bounds = (count >= PROMISED).then_some(Bound::Micros(5000.0));
    vec![first.promising(bounds), second]
}

/// What the first and the second take in a process that has just started.
fn both(contender: &Contender) -> Result<(Span, Span)> {
    let [first, first_cpu, second, second_cpu] = Worker::start(&contender.path)?.ask("initialize")?;
    Ok((worker::span([first, first_cpu]), worker::span([second, second_cpu])))
}
