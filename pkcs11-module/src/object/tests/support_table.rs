//! docs/pkcs11-support.md, its part about attributes, is the attribute table.

use crate::attribute::{ATTRIBUTES, Attribute, Fallback, Form, Kinds, notes};

const DOCUMENT: &str = include_str!("../../../../docs/pkcs11-support.md");

#[test]
fn every_attribute_has_its_row() {
    let documented: Vec<_> = DOCUMENT.lines().filter(|line| line.starts_with("| `CKA_")).collect();
    let expected: Vec<_> = ATTRIBUTES.iter().map(line).collect();
    assert_eq!(documented, expected, "the rows should be:\n{}\n", expected.join("\n"));
}

fn line(row: &Attribute) -> String {
    let form = match row.form {
        Form::Bool => "CK_BBOOL",
        Form::Ulong => "CK_ULONG",
        Form::Bytes => "bytes",
        Form::Utf8 => "UTF-8",
        Form::BigInteger => "big integer",
        Form::Date => "CK_DATE",
        Form::MechanismList => "mechanisms",
        Form::Template => "template",
    };
    let fallback = match row.fallback {
        Fallback::Absent => "-".to_owned(),
        Fallback::Empty | Fallback::EmptyList => "empty".to_owned(),
        Fallback::Bool(value) => value.to_string(),
        Fallback::Ulong(u64::MAX) => "unavailable".to_owned(),
        Fallback::Ulong(value) => value.to_string(),
    };
    format!(
        "| `{}` | {form} | {} | {} | {} | {} | {fallback} | {} |",
        row.name,
        row.of,
        giving(row, Kinds::STORAGE, notes::N1, notes::N2),
        giving(row, Kinds::KEYS, notes::N3, notes::N4),
        giving(row, Kinds::PRIVATE.and(Kinds::SECRET), notes::N5, notes::N6),
        changing(row),
    )
}

/// Whether a template may have the attribute, for a function that makes objects of `makes`.
fn giving(row: &Attribute, makes: Kinds, must: u16, must_not: u16) -> &'static str {
    if !row.of.meet(makes) {
        return "-";
    }
    match (row.has(must), row.has(must_not)) {
        (true, _) => "must",
        (_, true) => "no",
        _ => "may",
    }
}

fn changing(row: &Attribute) -> &'static str {
    if row.has(notes::N7) {
        "no; secret"
    } else if row.has(notes::N10) {
        "by the SO"
    } else if row.has(notes::N11) {
        "to true only"
    } else if row.has(notes::N12) {
        "to false only"
    } else if row.has(notes::N8) {
        "yes"
    } else if row.has(notes::COPY) {
        "in a copy"
    } else if row.has(notes::EMPTIES) {
        "to empty only"
    } else {
        "no"
    }
}
