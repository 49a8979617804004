//! One thread beside two: whether sessions run in parallel.

use std::{error::Error, thread};

use aws_lc_rs::signature::Ed25519KeyPair;

use crate::{
    contender::Contender,
    measure::{Done, Operation, Turns},
    rows::{Algorithm, Bound, Builder, MESSAGE, RAW, Row, key_pair},
};

/// Signatures of each thread in one call: starting the threads takes a hundredth of that.
const EACH: u32 = 1000;

/// The name of a contender with two threads.
pub(crate) fn two(name: &str) -> String {
    format!("{name}, two")
}

/// Ed25519 with one key, each thread in a session of its own. With one thread it is a fresh one too.
pub(crate) fn sign(contenders: &[Contender], turns: Turns) -> Result<Row, Box<dyn Error>> {
    let key = Ed25519KeyPair::generate()?;
    let mut row =
        Builder::new("Ed25519 sign, one thread and two".into(), Some(Bound::ShareOfRawSpeedup(0.95)));
    for (name, count) in [(RAW.to_owned(), 1), (two(RAW), 2)] {
        let key = &key;
        let workers = vec![(); count];
        row.add(&name, in_threads(workers, move |()| _ = std::hint::black_box(key.sign(&MESSAGE))));
    }
    for contender in contenders.iter().filter(|contender| Algorithm::Ed25519.supported(contender)) {
        let (_, key) = key_pair(contender, Algorithm::Ed25519, true)?;
        let name = contender.kind.name();
        for (name, count) in [(name.to_owned(), 1), (two(name), 2)] {
            let sessions = (0..count)
                .map(|_| contender.module.open_rw_session(contender.slot))
                .collect::<Result<Vec<_>, _>>()?;
            row.add(
                &name,
                in_threads(sessions, move |session| {
                    let signature = session.sign(&Algorithm::Ed25519.mechanism(), key, &MESSAGE);
                    drop(std::hint::black_box(signature.expect("it signed when there was one thread")));
                }),
            );
        }
    }
    row.run(turns)
}

/// Runs `work` [`EACH`] times in one thread for each worker.
fn in_threads<'a, W: Send + 'a>(mut workers: Vec<W>, work: impl Fn(&mut W) + Sync + 'a) -> Operation<'a> {
    Box::new(move || {
        let count = u32::try_from(workers.len())?;
        thread::scope(|scope| {
            for worker in &mut workers {
                let work = &work;
                scope.spawn(move || (0..EACH).for_each(|_| work(worker)));
            }
        });
        Ok(Done::Operations(count * EACH))
    })
}
