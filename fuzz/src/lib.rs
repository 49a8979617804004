//! What the fuzz targets share. An input is read as a sequence of choices ([`Choices`]); what a client would have in
//! memory is laid out in blocks of exactly its length ([`Template`], [`Parameter`]), so that the address sanitizer
//! sees every read past an end; and the module is called through its C functions ([`Module`]).

#![expect(
    clippy::macro_metavars_in_unsafe,
    reason = "a call is unsafe because of what its arguments point to"
)]

mod choices;
mod module;
mod parameter;
mod template;

pub use choices::Choices;
pub use module::{Keys, Module};
pub use parameter::{For, Parameter};
pub use template::Template;
