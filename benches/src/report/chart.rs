//! The chart: operations per second of a few rows as horizontal bars, in plain SVG that can be read on light and on dark.

use std::fmt::Write;

use crate::{
    contender::Kind,
    measure::Result,
    row::{Column, RAW, Row},
    rows::group::{FIND, OBJECTS, SIGN, VERIFY},
};

/// The rows that are drawn: group and the beginning of what was done.
const DRAWN: [(&str, &str); 8] = [
    (SIGN, "ML-DSA-65, 32 bytes"),
    (VERIFY, "ML-DSA-65, 32 bytes"),
    (SIGN, "Ed25519, 32 bytes"),
    (VERIFY, "Ed25519, 32 bytes"),
    (SIGN, "ECDSA P-256, 32 bytes"),
    (SIGN, "RSA-2048, 32 bytes"),
    (FIND, "one by its label, each time another, among 10000"),
    (OBJECTS, "create a secret key on the token, durably"),
];
/// Fills of the bars: they differ in lightness too.
const BARS: [(&str, &str); 4] = [
    (RAW, "#8b949e"),
    (Kind::Trellis.name(), "#1a7f37"),
    (Kind::SoftHsm.name(), "#bf8700"),
    (Kind::Kryoptic.name(), "#8250df"),
];

const WIDTH: f64 = 860.0;
const LEFT: f64 = 110.0;
/// The longest bar; what is right of it is for the number.
const LONGEST: f64 = 600.0;
const BAR: f64 = 18.0;
const GAP: f64 = 26.0;

/// The whole file.
pub(super) fn draw(rows: &[Row]) -> Result<String> {
    let mut body = String::new();
    let mut y = GAP;
    for (group, what) in DRAWN {
        let Some(row) = rows.iter().find(|row| row.group == group && row.what.starts_with(what)) else {
            continue;
        };
        y = draw_row(&mut body, row, y)?;
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" height=\"{y}\" \
         font-family=\"sans-serif\" font-size=\"13\" role=\"img\">\n\
         <title>Operations per second; each group has a scale of its own</title>\n\
         <style>text {{ fill: #1f2328 }} @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} }}</style>\n\
         {body}</svg>\n"
    ))
}

/// One group of bars, the longest as long as there is room; the y below it.
fn draw_row(body: &mut String, row: &Row, mut y: f64) -> Result<f64> {
    let rate = |who: &str| row.timing(&Column::of(who)).map(|timing| 1e9 / timing.median);
    let most = BARS.iter().filter_map(|(who, _)| rate(who)).fold(0.0, f64::max);
    let heading = format!("{}: {}", row.group, row.what);
    writeln!(body, "<text x=\"0\" y=\"{y}\" font-weight=\"bold\">{heading}, per second</text>")?;
    y += 8.0;
    for (who, colour) in BARS {
        let Some(rate) = rate(who) else { continue };
        let (width, base) = ((rate / most * LONGEST).max(1.0), y + BAR - 5.0);
        writeln!(
            body,
            "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{who}</text>\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{base}\">{}</text>",
            LEFT - 8.0,
            BAR - 3.0,
            LEFT + width + 6.0,
            super::document::grouped(rate),
        )?;
        y += BAR;
    }
    Ok(y + GAP)
}
