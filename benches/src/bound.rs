//! What the project promises of a row, as ratios within one run wherever that can be, and how strictly it is taken.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{
    contender::Kind,
    measure::Timing,
    row::{Column, RAW, Row},
    sqlite::SQLITE,
};

/// A promise.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Bound {
    /// One column takes at most so many times what another takes.
    AtMost { column: Column, times: f64, of: Column },
    /// One column's rate is at least so many times that of another.
    AtLeast { column: Column, times: f64, of: Column },
    /// At least so many times the rate of the faster of the other modules that can do it.
    FasterThanOthers(f64),
    /// At most this many microseconds.
    Micros(f64),
    /// At most this many microseconds more than another column.
    MicrosOver(f64, Column),
    /// At most this many bytes.
    Bytes(f64),
    /// At most this many instructions, on any machine.
    Instructions(f64),
}

/// How strictly the bounds are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Check {
    /// As they stand: for a quiet machine.
    Exact,
    /// Missed by far only: for a busy machine. docs/benchmarks.md says how much room each kind has.
    Far,
}

/// What was found of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Held,
    Missed,
    /// The row lacks a column that the promise is about, or this machine cannot show it.
    Unknown,
}

/// How much worse than promised a figure of each kind may be on a busy machine.
pub(crate) mod room {
    /// Ratios of two columns that compute.
    pub(crate) const RATIO: f64 = 1.2;
    /// Ratios to what a disk does: two in turn may differ by that much.
    pub(crate) const DISK: f64 = 1.4;
    /// Microseconds of processor time.
    pub(crate) const TIME: f64 = 2.0;
    /// Microseconds by the clock, in which others may have had the processor.
    pub(crate) const CLOCK: f64 = 10.0;
    /// Bytes, which do not depend on what else runs.
    pub(crate) const MEMORY: f64 = 1.1;
}

/// The modules that this one is compared with, where they are here and can do it.
const OTHERS: [Kind; 2] = [Kind::SoftHsm, Kind::Kryoptic];

/// How near to a promise about threads the bare algorithm must come where the promise is to be judged.
const NEAR: f64 = 0.95;

impl Bound {
    /// Against the bare algorithm.
    pub(crate) fn of_raw(times: f64) -> Self {
        Self::AtMost { column: Column::ours(""), times, of: Column::of(RAW) }
    }

    /// Whether it holds.
    pub(crate) fn verdict(&self, row: &Row, check: Check) -> Verdict {
        let busy = check == Check::Far && self.shared_its_processor(row);
        let Some(found) = self.found_by(row, busy) else { return Verdict::Unknown };
        let room = if check == Check::Exact { 1.0 } else { self.room() };
        let limit = self.limit();
        let held = match self {
            Self::Micros(_) if check == Check::Far => {
                let cpu = row.timing(&Column::ours("")).and_then(|timing| timing.cpu);
                cpu.is_none_or(|cpu| cpu / 1e3 <= limit * room) && found <= limit * room::CLOCK
            }
            _ if self.is_minimum() => found * room >= limit,
            _ => found <= limit * room,
        };
        match held {
            true => Verdict::Held,
            false if check == Check::Far && self.is_beyond_this_machine(row) => Verdict::Unknown,
            false => Verdict::Missed,
        }
    }

    fn is_minimum(&self) -> bool {
        matches!(self, Self::AtLeast { .. } | Self::FasterThanOthers(_))
    }

    fn room(&self) -> f64 {
        match self {
            Self::AtMost { of, .. } if of.who == SQLITE => room::DISK,
            Self::AtMost { .. } | Self::AtLeast { .. } | Self::FasterThanOthers(_) => room::RATIO,
            Self::Micros(_) | Self::MicrosOver(..) => room::TIME,
            Self::Bytes(_) => room::MEMORY,
            Self::Instructions(_) => 1.0,
        }
    }

    /// Whether numbers of threads are compared, and not even the bare algorithm does that here.
    fn is_beyond_this_machine(&self, row: &Row) -> bool {
        let Self::AtLeast { column, times, of } = self else { return false };
        let raw = |column: &Column| row.timing(&Column::with(RAW, &column.how));
        let (Some(these), Some(those)) = (raw(column), raw(of)) else { return false };
        column.how != of.how && those.quick / these.quick < times * NEAR
    }

    /// Whether the column compared with computes in one thread and got less than nine tenths of a processor: something
    /// else ran, and processor time tells more than the clock.
    fn shared_its_processor(&self, row: &Row) -> bool {
        let compared = match self {
            Self::AtMost { of, .. } if of.who != SQLITE => row.timing(of),
            Self::MicrosOver(_, of) => row.timing(of),
            Self::FasterThanOthers(_) => row.timing(&Column::of(RAW)),
            _ => None,
        };
        compared.is_some_and(|timing| timing.cpu.is_some_and(|cpu| cpu < 0.9 * timing.quick))
    }

    /// The figure that is bounded; `None` where the row lacks a column that it takes.
    pub(crate) fn found(&self, row: &Row) -> Option<f64> {
        self.found_by(row, false)
    }

    /// By the clock, or on a machine that was busy by processor time. The clock's ratios are of the lower quartiles, since
    /// what else runs slows most turns; but of the medians where turns have so different numbers of operations in
    /// them that chance alone sets their quartiles apart.
    fn found_by(&self, row: &Row, busy: bool) -> Option<f64> {
        let of = |column: &Column| {
            let Timing { quick, cpu, median, .. } = row.timing(column)?;
            match self {
                _ if busy => cpu,
                Self::FasterThanOthers(_) => Some(median),
                _ => Some(quick),
            }
        };
        let ours = Column::ours("");
        match self {
            Self::AtMost { column, of: other, .. } => Some(of(column)? / of(other)?),
            Self::AtLeast { column, of: other, .. } => Some(of(other)? / of(column)?),
            Self::FasterThanOthers(_) => {
                let fastest = OTHERS.iter().filter_map(|kind| of(&Column::of(kind.name())));
                Some(fastest.min_by(f64::total_cmp)? / of(&ours)?)
            }
            Self::Micros(_) => Some(row.timing(&ours)?.median / 1e3),
            Self::MicrosOver(_, other) => Some((of(&ours)? - of(other)?) / 1e3),
            Self::Bytes(_) | Self::Instructions(_) => Some(row.timing(&ours)?.median),
        }
    }

    /// What the figure is compared with.
    pub(crate) fn limit(&self) -> f64 {
        match self {
            Self::AtMost { times, .. } | Self::AtLeast { times, .. } => *times,
            Self::FasterThanOthers(limit)
            | Self::Micros(limit)
            | Self::MicrosOver(limit, _)
            | Self::Bytes(limit)
            | Self::Instructions(limit) => *limit,
        }
    }

    /// The promise in words; of other modules, with the names of those that are in the row.
    pub(crate) fn promise(&self, row: &Row) -> String {
        let limit = self.limit();
        let named = |column: &Column| {
            let who = if column.who == Kind::Trellis.name() { "" } else { &*column.who };
            [who, &*column.how].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::AtMost { of, .. } => format!("≤ {limit:.2} × {}", named(of)),
            Self::AtLeast { column, of, .. } if column.how.is_empty() => {
                format!("≥ {limit:.2} × the rate of {}", named(of))
            }
            Self::AtLeast { column, of, .. } => {
                format!("{}: ≥ {limit:.2} × the rate of {}", named(column), named(of))
            }
            Self::FasterThanOthers(_) => {
                let names = OTHERS.map(Kind::name).into_iter();
                let here: Vec<_> = names.filter(|name| row.timing(&Column::of(name)).is_some()).collect();
                let here = if here.is_empty() { "none is here".to_owned() } else { here.join(", ") };
                format!("≥ {limit:.1} × the faster of the other modules ({here})")
            }
            Self::Micros(_) => format!("≤ {limit:.0} µs"),
            Self::MicrosOver(_, of) => format!("≤ {limit:.0} µs more than {}", named(of)),
            Self::Bytes(_) => format!("≤ {limit:.0} bytes"),
            Self::Instructions(_) => format!("≤ {limit:.0} instructions"),
        }
    }

    /// What was found, in the unit of the promise.
    pub(crate) fn finding(&self, row: &Row) -> String {
        let Some(found) = self.found(row) else { return "not measured here".to_owned() };
        match self {
            Self::AtMost { .. } | Self::AtLeast { .. } => format!("{found:.3} ×"),
            Self::FasterThanOthers(_) => format!("{found:.2} ×"),
            Self::Micros(_) | Self::MicrosOver(..) => format!("{found:.1} µs"),
            Self::Bytes(_) => format!("{found:.0} bytes"),
            Self::Instructions(_) => format!("{found:.0} instructions"),
        }
    }

    /// By how much it is missed, in hundredths of the promise.
    pub(crate) fn missed_by(&self, row: &Row) -> Option<f64> {
        let (found, limit) = (self.found(row)?, self.limit());
        let over = if self.is_minimum() { 1.0 - found / limit } else { found / limit - 1.0 };
        (over > 0.0).then_some(over * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Unit;

    /// A row of columns with nanoseconds on the wall and of the processor.
    fn row(columns: &[(Column, f64, f64)]) -> Row {
        let timing = |wall, cpu| Timing { median: wall, spread: 0.0, quick: wall, cpu: Some(cpu), turns: 1 };
        let timings = columns.iter().map(|(column, wall, cpu)| (column.clone(), timing(*wall, *cpu)));
        let (group, what) = Default::default();
        Row { group, what, unit: Unit::Time, timings: timings.collect(), bounds: Vec::new() }
    }

    #[test]
    fn a_ratio_has_room_on_a_busy_machine_and_a_regression_fails_there_too() {
        let beside_raw =
            |wall, cpu, raw_wall| row(&[(Column::of(RAW), raw_wall, 100.0), (Column::ours(""), wall, cpu)]);
        let bound = Bound::of_raw(1.05);
        for (row, exact, far) in [
            (beside_raw(104.0, 104.0, 100.0), Verdict::Held, Verdict::Held),
            (beside_raw(120.0, 120.0, 100.0), Verdict::Missed, Verdict::Held),
            (beside_raw(130.0, 130.0, 100.0), Verdict::Missed, Verdict::Missed),
            // The other had half a processor: the clock says nothing, processor time does.
            (beside_raw(400.0, 104.0, 200.0), Verdict::Missed, Verdict::Held),
            (beside_raw(200.0, 130.0, 200.0), Verdict::Held, Verdict::Missed),
        ] {
            assert_eq!(bound.verdict(&row, Check::Exact), exact);
            assert_eq!(bound.verdict(&row, Check::Far), far);
        }
    }

    #[test]
    fn the_faster_of_the_others_is_the_measure() {
        let mut columns =
            vec![(Column::ours(""), 100.0, 100.0), (Column::of(Kind::SoftHsm.name()), 900.0, 900.0)];
        let bound = Bound::FasterThanOthers(5.5);
        assert_eq!(bound.verdict(&row(&columns), Check::Exact), Verdict::Held);
        assert!(bound.promise(&row(&columns)).ends_with("the faster of the other modules (SoftHSM)"));
        columns.push((Column::of(Kind::Kryoptic.name()), 450.0, 450.0));
        assert!(bound.promise(&row(&columns)).ends_with("(SoftHSM, Kryoptic)"));
        assert_eq!(bound.verdict(&row(&columns), Check::Exact), Verdict::Missed);
        assert_eq!(bound.verdict(&row(&columns), Check::Far), Verdict::Missed);
        assert_eq!(bound.verdict(&row(&columns[..1]), Check::Exact), Verdict::Unknown);
        assert!(bound.promise(&row(&columns[..1])).ends_with("(none is here)"));
    }

    #[test]
    fn a_limit_of_time_has_room_for_others_on_the_processor() {
        let ours = |wall, cpu| row(&[(Column::ours(""), wall, cpu)]);
        let verdict = |row, check| Bound::Micros(20.0).verdict(&row, check);
        assert_eq!(verdict(ours(19e3, 19e3), Check::Exact), Verdict::Held);
        assert_eq!(verdict(ours(21e3, 19e3), Check::Exact), Verdict::Missed);
        assert_eq!(verdict(ours(190e3, 39e3), Check::Far), Verdict::Held);
        assert_eq!(verdict(ours(210e3, 19e3), Check::Far), Verdict::Missed);
        assert_eq!(verdict(ours(100e3, 41e3), Check::Far), Verdict::Missed);
    }

    #[test]
    fn a_ratio_to_a_commit_has_room_for_the_disk() {
        let bound = Bound::AtMost { column: Column::ours(""), times: 1.3, of: Column::of(SQLITE) };
        let beside_commit =
            |ours| row(&[(Column::of(SQLITE), 100.0, 50.0), (Column::ours(""), ours, ours / 2.0)]);
        assert_eq!(bound.verdict(&beside_commit(131.0), Check::Exact), Verdict::Missed);
        assert_eq!(bound.verdict(&beside_commit(181.0), Check::Far), Verdict::Held);
        assert_eq!(bound.verdict(&beside_commit(183.0), Check::Far), Verdict::Missed);
    }

    #[test]
    fn threads_are_judged_where_the_bare_algorithm_gains_by_them() {
        let threads = |raw_two, two| {
            let column = |who, how| Column::with(who, how);
            let ours = Kind::Trellis.name();
            row(&[
                (column(RAW, "one"), 100.0, 100.0),
                (column(RAW, "two"), raw_two, raw_two),
                (column(ours, "one"), 100.0, 100.0),
                (column(ours, "two"), two, two),
            ])
        };
        let bound = Bound::AtLeast { column: Column::ours("two"), times: 1.9, of: Column::ours("one") };
        assert_eq!(bound.verdict(&threads(51.0, 52.0), Check::Exact), Verdict::Held);
        assert_eq!(bound.verdict(&threads(51.0, 80.0), Check::Far), Verdict::Missed);
        assert_eq!(bound.verdict(&threads(90.0, 80.0), Check::Far), Verdict::Unknown);
        assert_eq!(bound.verdict(&threads(90.0, 80.0), Check::Exact), Verdict::Missed);
    }
}
