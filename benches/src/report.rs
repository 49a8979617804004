//! The table as text, and whether the bounds hold.

use crate::{
    measure::Timing,
    rows::{Bound, Row},
};

/// Prints every row: microseconds, spread, operations per second, and the ratio to the row's first contender.
pub(crate) fn print(rows: &[Row]) {
    for row in rows {
        println!("{}", row.what);
        let first = row.timings[0].1.median;
        for (name, timing) in &row.timings {
            println!(
                "  {name:<11}{:>12.2} µs  ± {:>8.2}  {:>10.0}/s  × {:.2}",
                timing.median / 1e3,
                timing.spread / 1e3,
                1e9 / timing.median,
                timing.median / first,
            );
        }
        if let Some(bound) = row.bound {
            println!("  bound: {} - {}", bound.text(), if holds(row, bound) { "held" } else { "MISSED" });
        }
    }
}

/// Whether every bound holds for Trellis.
pub(crate) fn bounds_hold(rows: &[Row]) -> bool {
    rows.iter().all(|row| row.bound.is_none_or(|bound| holds(row, bound)))
}

fn holds(row: &Row, bound: Bound) -> bool {
    let of = |name: &str| row.timings.iter().find(|(who, _)| *who == name).map(|(_, timing)| *timing);
    match (bound, of("Trellis"), of("raw AWS-LC")) {
        (Bound::ShareOfRaw(share), Some(Timing { median, .. }), Some(raw)) => raw.median / median >= share,
        (Bound::Micros(limit), Some(Timing { median, .. }), _) => median <= limit * 1e3,
        _ => false,
    }
}

impl Bound {
    fn text(self) -> String {
        match self {
            Self::ShareOfRaw(share) => format!("at least {:.0} % of the bare algorithm", share * 100.0),
            Self::Micros(limit) => format!("at most {limit:.0} µs"),
        }
    }
}
