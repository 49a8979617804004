//! What was measured, for people: as text, and as a document with a chart.

mod chart;
mod document;
mod machine;
mod text;

pub(crate) use document::write;
pub(crate) use machine::{Facts, describe};
pub(crate) use text::print;
