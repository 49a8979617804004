//! What KMS answers when it does not do it.

use std::{borrow::Cow, fmt};

/// An error as KMS tells it: HTTP status, code (`__type`) and message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsError {
    /// What the client sees as the error's code.
    pub code: String,
    /// For people.
    pub message: Cow<'static, str>,
}

impl KmsError {
    /// An error by its code.
    pub fn new(code: &str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }

    pub(crate) fn validation(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new("ValidationException", message)
    }

    pub(crate) fn access_denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new("AccessDeniedException", message)
    }

    /// KMS says nothing more to whoever has a ciphertext that does not open.
    pub(crate) fn invalid_ciphertext() -> Self {
        Self::new("InvalidCiphertextException", "")
    }

    /// The HTTP status that AWS gives the code: 500 for its own failures, 400 for everything else.
    pub fn status(&self) -> u16 {
        match self.code.as_str() {
            "KMSInternalException" | "InternalFailure" => 500,
            "DependencyTimeoutException" | "KeyUnavailableException" | "ServiceUnavailable" => 503,
            _ => 400,
        }
    }
}

impl fmt::Display for KmsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for KmsError {}
