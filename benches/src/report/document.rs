//! The document and its chart, made anew from the rows. What people have written stands in a file of its own.

use std::{fmt::Write, fs, path::Path};

use crate::{
    bound::{Bound, Check, Verdict},
    contender::Kind,
    measure::{Result, Timing, Turns},
    row::{Column, RAW, Row, Unit},
    rows::{group, stores},
};

use super::{chart, machine::Facts};

/// The file in the folder that is named on the command line, and the chart beside it.
const DOCUMENT: &str = "benchmarks.md";
const CHART: &str = "benchmarks.svg";
/// What stands before the tables.
const PROSE: &str = include_str!("prose.md");
/// The columns of every table; who else took part is in the last one.
const COLUMNS: [&str; 4] = [RAW, Kind::Trellis.name(), Kind::SoftHsm.name(), Kind::Kryoptic.name()];

/// Writes both.
pub(crate) fn write(folder: &Path, rows: &[Row], facts: &Facts, turns: Turns) -> Result<()> {
    let mut text = PROSE.to_owned();
    writeln!(text, "\n## Where this was measured\n\n| | |\n|---|---|")?;
    for (what, is) in facts {
        writeln!(text, "| {what} | {is} |")?;
    }
    writeln!(text, "| turns | at most {} of {} ms for each cell |", turns.count, turns.millis)?;
    bounds(&mut text, rows)?;
    writeln!(text, "\n## All rows")?;
    for name in group::ALL {
        let rows: Vec<_> = rows.iter().filter(|row| row.group == name).collect();
        if !rows.is_empty() {
            table(&mut text, name, &rows)?;
        }
    }
    fs::write(folder.join(DOCUMENT), text)?;
    Ok(fs::write(folder.join(CHART), chart::draw(rows)?)?)
}

fn bounds(text: &mut String, rows: &[Row]) -> Result<()> {
    writeln!(text, "\n## What is promised\n\n| row | promise | measured | |\n|---|---|---|---|")?;
    let mut missed = 0;
    let all = || rows.iter().flat_map(|row| row.bounds.iter().map(move |bound| (row, bound)));
    for (row, bound) in all() {
        let verdict = match bound.verdict(row, Check::Exact) {
            Verdict::Held => "met".to_owned(),
            Verdict::Missed => {
                missed += 1;
                format!("**missed by {:.0} %**", bound.missed_by(row).unwrap_or_default())
            }
            Verdict::Unknown => "not measured here".to_owned(),
        };
        let what = in_words(row, bound);
        writeln!(text, "| {what} | {} | {} | {verdict} |", bound.promise(row), bound.finding(row))?;
    }
    let count = all().count();
    writeln!(
        text,
        "\n{} of {count} promises were missed.",
        if missed == 0 { "None".into() } else { missed.to_string() }
    )?;
    Ok(())
}

fn in_words(row: &Row, bound: &Bound) -> String {
    let how = match bound {
        Bound::AtMost { column, .. } if !column.how.is_empty() => format!(" ({})", column.how),
        _ => String::new(),
    };
    format!("{}: {}{how}", row.group, row.what)
}

fn table(text: &mut String, name: &str, rows: &[&Row]) -> Result<()> {
    let others = others(rows);
    let used: Vec<_> = COLUMNS
        .into_iter()
        .filter(|who| rows.iter().any(|row| row.timings.iter().any(|(column, _)| column.who == *who)))
        .chain(others.iter().map(|who| &**who))
        .collect();
    let unit = match rows.first().map(|row| row.unit) {
        Some(Unit::Bytes) => "bytes",
        Some(Unit::Instructions) => "instructions",
        _ => "µs",
    };
    writeln!(text, "\n### {name}\n\n| {unit} | {} |", used.join(" | "))?;
    writeln!(text, "|---|{}", "--:|".repeat(used.len()))?;
    for row in rows {
        for how in row.ways() {
            let comma = if how.is_empty() { "" } else { ": " };
            write!(text, "| {}{comma}{how} |", row.what)?;
            for who in &used {
                let cell = row.timing(&Column::with(who, how)).map(|timing| figures(&timing, row.unit));
                write!(text, " {} |", cell.unwrap_or_default())?;
            }
            writeln!(text)?;
        }
    }
    Ok(())
}

/// Who took part besides [`COLUMNS`].
fn others(rows: &[&Row]) -> Vec<String> {
    let mut others: Vec<String> = Vec::new();
    for (column, _) in rows.iter().flat_map(|row| &row.timings) {
        if !COLUMNS.contains(&&*column.who) && !others.contains(&column.who) {
            others.push(column.who.clone());
        }
    }
    debug_assert!(others.iter().all(|who| [crate::sqlite::SQLITE, stores::DEVICE].contains(&&**who)));
    others
}

/// Median and spread; operations in a second, and in a second of a processor.
fn figures(timing: &Timing, unit: Unit) -> String {
    match unit {
        Unit::Bytes => format!("{} ± {}", grouped(timing.median), grouped(timing.spread)),
        Unit::Instructions => grouped(timing.median),
        Unit::Time => {
            let (median, spread) = (timing.median / 1e3, timing.spread / 1e3);
            let digits = if median < 100.0 { 1 } else { 0 };
            let cpu =
                timing.cpu.filter(|cpu| *cpu > 0.0).map(|cpu| format!(" · {}/CPU s", grouped(1e9 / cpu)));
            format!(
                "**{median:.digits$}** ± {spread:.digits$}<br>{}/s{}",
                grouped(1e9 / timing.median),
                cpu.unwrap_or_default()
            )
        }
    }
}

/// A whole number with commas.
pub(super) fn grouped(number: f64) -> String {
    let digits = if number < 10.0 { format!("{number:.1}") } else { format!("{number:.0}") };
    let (whole, rest) =
        digits.split_once('.').map_or((&*digits, String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let mut text = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_groups_of_three() {
        assert_eq!(grouped(7.25), "7.2");
        assert_eq!(grouped(999.6), "1,000");
        assert_eq!(grouped(1_234_567.0), "1,234,567");
    }
}
