//! The table as text.

use crate::{
    bound::{Check, Verdict},
    measure::Timing,
    row::{Row, Unit},
};

/// Prints every row: microseconds, spread, operations per second and per second of a processor, and the ratio to the
/// row's first column. Then the bounds, all in one place.
pub(crate) fn print(rows: &[Row]) {
    let mut group = "";
    for row in rows {
        if row.group != group {
            group = &row.group;
            println!("\n## {group}");
        }
        println!("{}", row.what);
        let first = row.timings.first().map_or(f64::NAN, |(_, timing)| timing.median);
        for (column, timing) in &row.timings {
            let name = if column.how.is_empty() {
                column.who.clone()
            } else {
                format!("{}, {}", column.who, column.how)
            };
            println!("  {name:<42}{}  × {:.2}", figures(timing, row.unit), timing.median / first);
        }
    }
    println!("\n## Bounds");
    for row in rows {
        for bound in &row.bounds {
            let verdict = match bound.verdict(row, Check::Exact) {
                Verdict::Held => "held   ",
                Verdict::Missed => "MISSED ",
                Verdict::Unknown => "unknown",
            };
            let what = format!("{}: {}", row.group, row.what);
            println!("  {verdict}  {what}: {}; {}", bound.finding(row), bound.promise(row));
        }
    }
}

fn figures(timing: &Timing, unit: Unit) -> String {
    match unit {
        Unit::Bytes => format!("{:>12.0} bytes ± {:>8.0}", timing.median, timing.spread),
        Unit::Instructions => format!("{:>12.0} instructions", timing.median),
        Unit::Time => format!(
            "{:>12.2} µs  ± {:>8.2}  {:>10.0}/s  {:>10}/CPU s",
            timing.median / 1e3,
            timing.spread / 1e3,
            1e9 / timing.median,
            timing.cpu.map_or(String::new(), |cpu| format!("{:.0}", 1e9 / cpu)),
        ),
    }
}
