//! What a process needs more when it has found objects, or has used keys.

use crate::{
    algorithm::Algorithm,
    bound::Bound,
    contender::{Contender, Kind},
    measure::Result,
    row::{Column, Plan},
    worker::{FIRST, KEPT, Worker},
};

use super::group::MEMORY;

/// Keys that are used once: enough that what else a process allocates is a small part.
const KEYS: usize = 1000;
/// The same with modules that take longer to make one.
const KEYS_OF_OTHERS: usize = 100;
/// How often it is measured, each time in a new process.
const TIMES: usize = 3;

/// The table with new tokens.
pub(super) fn of_keys() -> Vec<Plan> {
    let what = "each ML-DSA-65 key that was found and used";
    let plan = Plan::new(MEMORY, what, |contenders, row| {
        for contender in contenders.iter().filter(|contender| contender.has(Algorithm::MlDsa65.needs())) {
            let count = if contender.kind == Kind::Trellis { KEYS } else { KEYS_OF_OTHERS };
            Algorithm::MlDsa65.key_pair(&contender.session, true, FIRST)?;
            for _ in 0..count {
                Algorithm::MlDsa65.key_pair(&contender.session, true, KEPT)?;
            }
            let each = |_| {
                let [found, bytes] = Worker::start(&contender.path)?.ask("keys")?;
                if found != count as u64 {
                    Err(format!("{found} keys instead of {count}"))?
                }
                Ok(bytes as f64 / count as f64)
            };
            let values: Result<_> = (0..TIMES).map(each).collect();
            row.add_values(Column::of(contender.kind.name()), values?);
        }
        Ok(())
    });
    vec![plan.promising([Bound::Bytes(6.0 * 1024.0)])]
}

/// The table with tokens that have so many objects.
pub(super) fn of_objects(count: usize) -> Vec<Plan> {
    let what = format!("loading the module, logging in and finding {count} objects");
    vec![Plan::new(MEMORY, what, |contenders, row| {
        for contender in contenders {
            let values: Result<_> = (0..TIMES).map(|_| found_all(contender)).collect();
            row.add_values(Column::of(contender.kind.name()), values?);
        }
        Ok(())
    })]
}

fn found_all(contender: &Contender) -> Result<f64> {
    let [found, bytes] = Worker::start(&contender.path)?.ask("objects")?;
    // Rows before this one may have added some.
    if found < contender.objects as u64 {
        return Err(format!("{found} objects found instead of {}", contender.objects).into());
    }
    Ok(bytes as f64)
}
