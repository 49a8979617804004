//! Processes with one token and one key on it.

use std::{cell::RefCell, rc::Rc, time::Instant};

use crate::{
    algorithm::Algorithm,
    contender::{Contender, Kind},
    measure::{Done, Operation, Result, Span},
    row::{Column, Plan},
    worker::{self, Worker},
};

use super::group::PARALLEL;

const COUNTS: [usize; 3] = [1, 2, 4];

/// Signatures of all processes in one call: telling them takes a thousandth of that.
fn together(contender: &Contender) -> usize {
    if contender.kind == Kind::Trellis { 8000 } else { 480 }
}

/// The table.
pub(super) fn rows() -> Vec<Plan> {
    let what = format!("{} sign, one key on the token", Algorithm::Ed25519.name());
    vec![Plan::new(PARALLEL, what, |contenders, row| {
        for contender in contenders.iter().filter(|contender| contender.has(Algorithm::Ed25519.needs())) {
            Algorithm::Ed25519.key_pair(&contender.session, true, worker::SIGNING)?;
            let workers = Rc::new(RefCell::new(workers(contender)?));
            for count in COUNTS {
                let how = if count == 1 { "1 process".to_owned() } else { format!("{count} processes") };
                row.add(
                    Column::with(contender.kind.name(), &how),
                    in_processes(together(contender), workers.clone(), count),
                );
            }
        }
        Ok(())
    })]
}

/// As many as are ever needed, one after the other: SoftHSM writes its token's file at each login.
fn workers(contender: &Contender) -> Result<Vec<Worker>> {
    let most = COUNTS.iter().max().copied().unwrap_or_default();
    let started = |_| {
        let mut worker = Worker::start(&contender.path)?;
        worker.ask::<2>("sign 1")?;
        Ok(worker)
    };
    (0..most).map(started).collect()
}

/// So many signatures by so many workers, who are told at once.
fn in_processes<'a>(together: usize, workers: Rc<RefCell<Vec<Worker>>>, count: usize) -> Operation<'a> {
    Box::new(move || {
        let mut workers = workers.borrow_mut();
        let workers = &mut workers[..count];
        let start = Instant::now();
        for worker in workers.iter_mut() {
            worker.tell(&format!("sign {}", together / count))?;
        }
        let mut span = Span::default();
        for worker in workers.iter_mut() {
            span.cpu += worker::span(worker.answer()?).cpu;
        }
        span.wall = start.elapsed();
        Ok(Done::Took(u32::try_from(together)?, span))
    })
}
