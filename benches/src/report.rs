//! The table as text, and whether the bounds hold.

use clap::ValueEnum;

use crate::{
    contender::Kind,
    measure::Timing,
    rows::{Bound, DISK, RAW, Row},
    stores::DEVICE,
    threads::two,
};

/// How strictly the bounds are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Check {
    /// As they stand: for a quiet machine.
    Exact,
    /// Missed by far only: a busy machine may cost a sixth of a ratio, and make a time four times as long. Where not even
    /// the bare algorithm has two processors to itself, nothing is said about two threads.
    Far,
}

impl Check {
    /// What a ratio is multiplied with before it is compared.
    fn ratio(self) -> f64 {
        match self {
            Self::Exact => 1.0,
            Self::Far => 1.2,
        }
    }

    /// What a limit of time is multiplied with.
    fn time(self) -> f64 {
        match self {
            Self::Exact => 1.0,
            Self::Far => 4.0,
        }
    }
}

/// What the bare algorithm gains by a second thread when nothing else runs, and a little less.
const TWO_TO_ITSELF: f64 = 1.8;

/// Prints every row: microseconds, spread, operations per second, and the ratio to the row's first contender. Then the
/// bounds, all in one place.
pub(crate) fn print(rows: &[Row]) {
    for row in rows {
        println!("{}", row.what);
        let first = row.timings.first().map_or(f64::NAN, |(_, timing)| timing.median);
        for (name, timing) in &row.timings {
            println!(
                "  {name:<16}{:>12.2} µs  ± {:>8.2}  {:>10.0}/s  × {:.2}",
                timing.median / 1e3,
                timing.spread / 1e3,
                1e9 / timing.median,
                timing.median / first,
            );
        }
    }
    println!("bounds");
    for (row, bound) in bounded(rows) {
        let verdict = if holds(row, bound, Check::Exact) { "held  " } else { "MISSED" };
        println!("  {verdict}  {:<58}  {}", row.what, bound.text(row));
    }
}

/// Whether every bound holds for Trellis.
pub(crate) fn bounds_hold(rows: &[Row], check: Check) -> bool {
    bounded(rows).all(|(row, bound)| holds(row, bound, check))
}

fn bounded(rows: &[Row]) -> impl Iterator<Item = (&Row, Bound)> {
    rows.iter().filter_map(|row| Some((row, row.bound?)))
}

fn holds(row: &Row, bound: Bound, check: Check) -> bool {
    bound.found(row).is_some_and(|found| match bound {
        Bound::ShareOfRawSpeedup(_)
            if check == Check::Far && gain(row, RAW).is_none_or(|gain| gain < TWO_TO_ITSELF) =>
        {
            true
        }
        Bound::ShareOfRaw(share) | Bound::ShareOfRawSpeedup(share) => found * check.ratio() >= share,
        Bound::Micros(_) | Bound::MicrosOnDisk(_) | Bound::MicrosOver(_) => {
            found <= bound.limit(row) * check.time()
        }
    })
}

impl Bound {
    /// The figure that is bounded: a share or microseconds. `None` where the row lacks a contender that it takes.
    fn found(self, row: &Row) -> Option<f64> {
        let ours = Kind::Trellis.name();
        Some(match self {
            Self::ShareOfRaw(_) => timing(row, RAW)?.quick / timing(row, ours)?.quick,
            Self::Micros(_) | Self::MicrosOnDisk(_) => timing(row, ours)?.median / 1e3,
            Self::MicrosOver(_) => (timing(row, ours)?.quick - timing(row, DEVICE)?.quick) / 1e3,
            Self::ShareOfRawSpeedup(_) => gain(row, ours)? / gain(row, RAW)?,
        })
    }

    /// What the figure is compared with.
    fn limit(self, row: &Row) -> f64 {
        match self {
            Self::ShareOfRaw(limit)
            | Self::ShareOfRawSpeedup(limit)
            | Self::Micros(limit)
            | Self::MicrosOver(limit) => limit,
            Self::MicrosOnDisk(limit) => {
                timing(row, DISK).map_or(limit, |disk| limit.max(disk.median / 1e3 * 1.25))
            }
        }
    }

    fn text(self, row: &Row) -> String {
        let (found, limit) = (self.found(row).unwrap_or(f64::NAN), self.limit(row));
        match self {
            Self::ShareOfRaw(_) => {
                format!("{:.1} % of the bare algorithm's rate; at least {:.0} %", found * 1e2, limit * 1e2)
            }
            Self::Micros(_) | Self::MicrosOnDisk(_) => format!("{found:.1} µs; at most {limit:.0} µs"),
            Self::MicrosOver(_) => {
                format!("{found:.1} µs more than the device alone; at most {limit:.0} µs")
            }
            Self::ShareOfRawSpeedup(_) => {
                format!("{:.1} % of the bare algorithm's gain; at least {:.0} %", found * 1e2, limit * 1e2)
            }
        }
    }
}

/// How much more two threads do than one.
fn gain(row: &Row, name: &str) -> Option<f64> {
    Some(timing(row, name)?.quick / timing(row, &two(name))?.quick)
}

fn timing(row: &Row, name: &str) -> Option<Timing> {
    row.timings.iter().find(|(who, _)| who == name).map(|(_, timing)| *timing)
}
