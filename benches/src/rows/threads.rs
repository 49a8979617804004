//! Threads of one process with one key, each in a session of its own.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    algorithm::Algorithm,
    bound::Bound,
    contender::Contender,
    measure::{Done, Operation, Result, Span},
    raw::RawKey,
    row::{Builder, Column, Plan, RAW},
};

use super::{MESSAGE, group::PARALLEL};

/// How many.
const COUNTS: [usize; 4] = [1, 2, 4, 8];
/// How long all of them sign in one call: long beside what starting them takes, and beside a thread's turn on its processor.
const WINDOW: Duration = Duration::from_millis(50);

/// The name of a way.
fn threads(count: usize) -> String {
    if count == 1 { "1 thread".to_owned() } else { format!("{count} threads") }
}

/// The table.
pub(super) fn rows() -> Vec<Plan> {
    [Algorithm::MlDsa65, Algorithm::Ed25519].into_iter().map(row).collect()
}

fn row(algorithm: Algorithm) -> Plan {
    let ours = |count| Column::ours(&threads(count));
    let at_least = |times, count, of| Bound::AtLeast { column: ours(count), times, of: ours(of) };
    let plan = Plan::new(PARALLEL, format!("{} sign, one key", algorithm.name()), move |contenders, row| {
        add_raw(algorithm, row)?;
        for contender in contenders.iter().filter(|contender| contender.has(algorithm.needs())) {
            add(algorithm, contender, row)?;
        }
        Ok(())
    });
    // That eight lose nothing is judged to within what two turns of the same work differ.
    plan.promising([at_least(1.9, 2, 1), at_least(0.98, 8, 2)])
}

fn add_raw(algorithm: Algorithm, row: &mut Builder<'_>) -> Result<()> {
    let key = std::sync::Arc::new(RawKey::generate(algorithm)?.ok_or("the engine lacks it")?);
    for count in COUNTS {
        let key = key.clone();
        let work = move |(): &mut ()| _ = std::hint::black_box(key.sign(&MESSAGE));
        row.add(Column::with(RAW, &threads(count)), in_threads(vec![(); count], work));
    }
    Ok(())
}

fn add<'a>(algorithm: Algorithm, contender: &'a Contender, row: &mut Builder<'a>) -> Result<()> {
    let (_, key) = algorithm.key_pair(&contender.session, true, "threads")?;
    for count in COUNTS {
        // With one thread it is a fresh session too.
        let sessions = (0..count)
            .map(|_| contender.module.open_rw_session(contender.slot))
            .collect::<Result<Vec<_>, _>>()?;
        let work = move |session: &mut cryptoki::session::Session| {
            let signature = session.sign(&algorithm.usual(), key, &MESSAGE);
            drop(std::hint::black_box(signature.expect("it signed when there was one thread")));
        };
        row.add(Column::with(contender.kind.name(), &threads(count)), in_threads(sessions, work));
    }
    Ok(())
}

/// Runs `work` again and again, in one thread for each worker, until all stop together.
fn in_threads<'a, W: Send + 'a>(mut workers: Vec<W>, work: impl Fn(&mut W) + Sync + 'a) -> Operation<'a> {
    Box::new(move || {
        let start = Span::start();
        let end = Instant::now() + WINDOW;
        let work = &work;
        let done = thread::scope(|scope| {
            let sign = |worker: &mut W| {
                let mut done = 0;
                while Instant::now() < end {
                    work(worker);
                    done += 1;
                }
                done
            };
            let threads: Vec<_> =
                workers.iter_mut().map(|worker| scope.spawn(move || sign(worker))).collect();
            threads.into_iter().map(|thread| thread.join().expect("it signed")).sum()
        });
        Ok(Done::Took(done, Span::since(start)))
    })
}
