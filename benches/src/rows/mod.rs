//! What is measured: a file for each subject, and in it a table of rows.

mod find;
mod generate;
mod imports;
mod instructions;
mod memory;
mod objects;
mod processes;
mod sessions;
mod sign;
mod startup;
pub(crate) mod stores;
mod threads;
mod verify;

use std::time::{Duration, Instant};

use crate::{
    contender::{Contender, Kind},
    home::Filling,
    measure::{Result, Turns},
    row::{Plan, Row},
};

/// What is signed unless a row says otherwise.
pub(crate) const MESSAGE: [u8; 32] = [0x42; 32];

/// The groups, in the order of the table.
pub(crate) mod group {
    pub(crate) const SIGN: &str = "Sign";
    pub(crate) const VERIFY: &str = "Verify";
    pub(crate) const GENERATE: &str = "Generate a key pair";
    pub(crate) const PARALLEL: &str = "Threads and processes";
    pub(crate) const OBJECTS: &str = "Objects";
    pub(crate) const SESSIONS: &str = "Sessions";
    pub(crate) const START: &str = "C_Initialize";
    pub(crate) const FIND: &str = "Find";
    pub(crate) const INSTRUCTIONS: &str = "Instructions";
    pub(crate) const MEMORY: &str = "Resident memory";
    pub(crate) const STORES: &str = "Stores";
    pub(crate) const ALL: [&str; 11] =
        [SIGN, VERIFY, GENERATE, PARALLEL, OBJECTS, SESSIONS, START, FIND, INSTRUCTIONS, MEMORY, STORES];
}

/// The rows with tokens that are new.
pub(crate) fn of_modules() -> Vec<Plan> {
    [
        sign::rows(),
        verify::rows(),
        generate::rows(),
        threads::rows(),
        processes::rows(),
        objects::rows(),
        sessions::rows(),
        startup::rows(),
        instructions::rows(),
        // Last, for they stay on the token.
        imports::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The rows with tokens that are filled; other modules may have fewer objects, which is said then.
pub(crate) fn of_filled(filling: Filling) -> Vec<Plan> {
    match filling {
        Filling::Keys => memory::of_keys(),
        Filling::Objects(count) => {
            let rows = [find::rows(count), startup::with_objects(count), memory::of_objects(count)];
            rows.into_iter().flatten().collect()
        }
    }
}

/// Fills a token and says how many objects it has got. Modules that take long stop after `others`.
pub(crate) fn fill(contender: &Contender, filling: Filling, others: Duration) -> Result<usize> {
    let Filling::Objects(wanted) = filling else { return memory::make_keys(contender) };
    let end = Instant::now() + others;
    for index in 0..wanted {
        if contender.kind != Kind::Trellis && Instant::now() > end {
            println!("{}: {index} objects where {wanted} were asked for", contender.kind.name());
            return Ok(index);
        }
        contender.session.create_object(&Contender::secret_key(index, true))?;
    }
    Ok(wanted)
}

/// Which modules have got fewer objects than this, for the headings.
pub(crate) fn fewer(contenders: &[Contender], wanted: usize) -> String {
    let fewer = contenders.iter().filter(|contender| contender.objects < wanted);
    let each: Vec<_> =
        fewer.map(|contender| format!("{} has {}", contender.kind.name(), contender.objects)).collect();
    if each.is_empty() { String::new() } else { format!(" ({})", each.join(", ")) }
}

/// Measures those that are wanted.
pub(crate) fn measure(
    plans: Vec<Plan>,
    only: &str,
    contenders: Vec<Contender>,
    turns: Turns,
) -> Result<Vec<Row>> {
    let wanted = plans.into_iter().filter(|plan| plan.is_wanted(only));
    let rows = wanted.map(|plan| plan.measure(&contenders, turns)).collect::<Result<_>>()?;
    contenders.into_iter().try_for_each(Contender::finalize)?;
    Ok(rows)
}
