//! What Trellis's module reports of itself: `T_Status` of its vendor interface, read as docs/vendor-interface.md has it.
//! A field that is documented must be there and of its type; further ones may come with a later release.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};

/// Of the module.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    initialized: bool,
    /// The configuration file that the module reads.
    #[serde(deserialize_with = "present")]
    pub(crate) config: Option<PathBuf>,
    #[serde(deserialize_with = "present")]
    pub(crate) last_failure: Option<Failure>,
    pub(crate) problems: Vec<Problem>,
    /// This and what follows is known only after C_Initialize.
    pub(crate) self_test: Option<String>,
    pub(crate) memory_locked: Option<bool>,
    pub(crate) slots: Option<Vec<SlotReport>>,
}

/// Something to look at, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) remedy: String,
}

/// Why a function failed.
#[derive(Debug, Deserialize)]
pub(crate) struct Failure {
    pub(crate) function: String,
    pub(crate) return_value: String,
    /// `store`, `backup`, `configuration`, `module` or `template`.
    pub(crate) about: String,
    /// Which of several templates was refused, from 0.
    pub(crate) template: Option<usize>,
    pub(crate) message: String,
    pub(crate) remedy: String,
}

/// Of a slot.
#[derive(Debug, Deserialize)]
pub(crate) struct SlotReport {
    #[serde(deserialize_with = "present")]
    pub(crate) store: Option<PathBuf>,
    /// `None` when the store cannot be read.
    #[serde(deserialize_with = "present")]
    pub(crate) token: Option<TokenReport>,
    pub(crate) problems: Vec<Problem>,
}

/// Of a token.
#[derive(Debug, Deserialize)]
pub(crate) struct TokenReport {
    pub(crate) initialized: bool,
}

impl Report {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let misunderstood = |why: String| {
            Error::module(format!("the module's report is not understood: {why}"))
                .remedy("use the trellis command and the module of one release")
        };
        let report: Self = serde_json::from_str(text).map_err(|error| misunderstood(error.to_string()))?;
        let whole = report.self_test.is_some() && report.memory_locked.is_some() && report.slots.is_some();
        if report.initialized && !whole {
            return Err(misunderstood("self_test, memory_locked or slots is missing".into()));
        }
        Ok(report)
    }
}

/// A field that may be null but not missing.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"version":"1","initialized":true,"config":null,"self_test":"passed","memory_locked":true,
        "memory":{},"new":[],"last_failure":null,"problems":[{"message":"a","remedy":"b"}],
        "slots":[{"id":7,"store":"/s","description":"","token":{"initialized":true},"problems":[]}]}"#;

    #[test]
    fn a_report_may_say_more_but_not_less() {
        let report = Report::parse(WHOLE).unwrap();
        assert_eq!(report.problems, [Problem { message: "a".into(), remedy: "b".into() }]);
        for (whole, spoilt) in [
            (r#"{"message":"a","remedy":"b"}"#, r#""a""#),
            (r#""config":null,"#, ""),
            (r#""self_test":"passed","#, ""),
            (r#""last_failure":null,"#, ""),
            (r#""token":{"initialized":true},"#, ""),
        ] {
            assert!(WHOLE.contains(whole));
            assert!(Report::parse(&WHOLE.replace(whole, spoilt)).is_err(), "without {whole}");
        }
    }

    #[test]
    fn before_c_initialize_there_is_less() {
        let text = r#"{"version":"1","initialized":false,"config":"/c","last_failure":null,"problems":[]}"#;
        assert_eq!(Report::parse(text).unwrap().config, Some("/c".into()));
    }
}
