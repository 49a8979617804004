//! Why a configuration was refused.

use std::{fmt, io, path::Path};

/// Why the configuration was refused, with file, line and column. C_Initialize answers CKR_FUNCTION_FAILED.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub(super) String);

impl ConfigError {
    pub(super) fn at(path: &Path, text: &str, offset: Option<usize>, message: &str) -> Self {
        let before = &text[..offset.unwrap_or(0).min(text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Self(format!("{}:{line}:{column}: {message}", path.display()))
    }

    pub(super) fn unreadable(path: &Path, cause: &io::Error) -> Self {
        Self(format!("{}: cannot be read: {cause}", path.display()))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}
