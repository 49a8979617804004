//! One file for each subcommand: it parses, calls and prints.

pub(crate) mod adopt;
pub(crate) mod attest;
pub(crate) mod backup;
pub(crate) mod clients;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod export_attestation;
pub(crate) mod generate;
pub(crate) mod import;
pub(crate) mod import_batch;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod mechanisms;
pub(crate) mod migrate;
pub(crate) mod move_key;
pub(crate) mod random;
pub(crate) mod sign;
pub(crate) mod token;
pub(crate) mod tpm;
pub(crate) mod verify;
