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

fn values(contender: &Contender, of: impl Fn(&Contender) -> Result<f64>) -> Result<Vec<f64>> {
    let times = if contender.kind == Kind::Trellis { TIMES } else { 1 };
    (0..times).map(|_| of(contender)).collect()
}

/// Makes the keys that [`of_keys`] is about; the number of [`KEPT`] ones.
pub(super) fn make_keys(contender: &Contender) -> Result<usize> {
    if !contender.has(Algorithm::MlDsa65.needs()) {
        return Ok(0);
    }
    let count = if contender.kind == Kind::Trellis { KEYS } else { KEYS_OF_OTHERS };
    Algorithm::MlDsa65.key_pair(&contender.session, true, FIRST)?;
    for _ in 0..count {
        Algorithm::MlDsa65.key_pair(&contender.session, true, KEPT)?;
    }
    Ok(count)
}

/// The table with tokens that have those keys.
pub(super) fn of_keys() -> Vec<Plan> {
    let what = "each ML-DSA-65 key that was found and used";
    let plan = Plan::new(MEMORY, what, |contenders, row| {
        for contender in contenders.iter().filter(|contender| contender.objects > 0) {
            let count = contender.objects;
            let each = |contender: &Contender| {
                let [found, bytes] = Worker::start(&contender.path)?.ask("keys")?;
                if found != count as u64 {
                    Err(format!("{found} keys instead of {count}"))?
                }
                Ok(bytes as f64 / count as f64)
            };
            row.add_values(Column::of(contender.kind.name()), values(contender, each)?);
        }
        Ok(())
    });
    // A login keeps at most 2,048 opened keys, the one used longest ago first to go: 40 MiB altogether.
    vec![plan.promising([Bound::Bytes(20.0 * 1024.0)])]
}

/// The table with tokens that have so many objects.
pub(super) fn of_objects(count: usize) -> Vec<Plan> {
    let what = format!("loading the module, logging in and finding {count} objects");
    vec![Plan::new(MEMORY, what, |contenders, row| {
        for contender in contenders {
            row.add_values(Column::of(contender.kind.name()), values(contender, found_all)?);
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
