//! What is shown: aligned text for people, one JSON document for programs.

use serde::Serialize;

use crate::error::Result;
use crate::files::print;
use crate::options::Global;

/// Prints the JSON document or, without `--json`, the text.
pub(crate) fn show(global: &Global, json: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
    let mut out = if global.json {
        serde_json::to_string_pretty(json).expect("the documents have string keys and no failing parts")
    } else {
        text()
    };
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    print(out.as_bytes())
}

/// Rows under headings, in columns as wide as they need to be; an empty column is left out.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = headings.map(width);
    for row in rows {
        for (known, cell) in widths.iter_mut().zip(row) {
            *known = (*known).max(width(cell));
        }
    }
    let used: [bool; N] = std::array::from_fn(|column| rows.iter().any(|row| !row[column].is_empty()));
    let line = |cells: &[String; N]| {
        let mut line = String::new();
        for ((cell, wide), _) in cells.iter().zip(widths).zip(used).filter(|(_, used)| *used) {
            line.push_str(cell);
            line.push_str(&" ".repeat(wide - width(cell) + 2));
        }
        line.trim_end().to_owned() + "\n"
    };
    let mut out = line(&headings.map(ToOwned::to_owned));
    rows.iter().for_each(|row| out.push_str(&line(row)));
    out
}

/// Names and values, one to a line; an empty value leaves its line out.
pub(crate) fn fields(fields: &[(&str, String)]) -> String {
    let wide = fields.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let shown = fields.iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(name, value)| format!("{name}{}  {value}\n", " ".repeat(wide - width(name)))).collect()
}

/// Text from a token made safe for a terminal: control characters could rewrite the screen.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["größe".to_owned(), "1".to_owned()], ["b".to_owned(), "22".to_owned()]];
        assert_eq!(table(["NAME", "N"], &rows), "NAME   N\ngröße  1\nb      22\n");
        let rows = rows.map(|[name, number]| [name, String::new(), number]);
        assert_eq!(table(["NAME", "NOTES", "N"], &rows), "NAME   N\ngröße  1\nb      22\n");
    }

    #[test]
    fn empty_fields_are_left_out() {
        assert_eq!(
            fields(&[("a", "1".into()), ("long", String::new()), ("bc", "2".into())]),
            "a     1\nbc    2\n"
        );
    }

    #[test]
    fn escape_sequences_of_a_label_do_not_reach_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
