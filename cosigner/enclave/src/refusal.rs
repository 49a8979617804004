//! Why a request was not done: what the asker is told, and what the enclave's log says.

use cosigner_protocol::message::{Class, Failure, Layer};

/// A refusal. The reason has nothing of the request's content: no ids, messages or keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) failure: Failure,
    pub(crate) reason: String,
}

impl Refusal {
    fn new(class: Class, layer: Layer, reason: impl Into<String>) -> Self {
        Self { failure: Failure { class, layer }, reason: reason.into() }
    }

    /// What no request can mean.
    pub(crate) fn malformed(layer: Layer, reason: &str) -> Self {
        Self::new(Class::MalformedRequest, layer, reason)
    }

    /// What is understood and refused.
    pub(crate) fn refused(layer: Layer, reason: impl Into<String>) -> Self {
        Self::new(Class::SigningFailed, layer, reason)
    }

    /// What may work another time.
    pub(crate) fn failed(layer: Layer, reason: impl Into<String>) -> Self {
        Self::new(Class::InternalError, layer, reason)
    }
}

/// The engine failed, with input that was checked before.
impl From<algorithms::Error> for Refusal {
    fn from(error: algorithms::Error) -> Self {
        Self::failed(Layer::Enclave, error.to_string())
    }
}

impl From<crate::nsm::NsmError> for Refusal {
    fn from(error: crate::nsm::NsmError) -> Self {
        Self::failed(Layer::Enclave, error.0)
    }
}
