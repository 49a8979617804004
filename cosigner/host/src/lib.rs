//! The parent instance's part of the enclave co-signer.
//!
//! A [`Host`] takes requests from PKCS#11 modules ([`Server`]), keeps the records of keys that only an enclave can open
//! ([`Records`]), asks the enclave to make keys and to sign ([`Enclave`]), and relays the enclave's questions to AWS KMS
//! ([`Kms`]). It sees no private key and no data key: KMS encrypts them to the enclave.
//!
//! Threads do the work; only AWS' client is asynchronous. The locks are `parking_lot`'s, which a program may use that never
//! forks (docs/decisions/0006).
#![forbid(unsafe_code)]

mod enclave;
mod kms;
mod log;
mod options;
mod records;
mod requests;
mod server;

pub use enclave::{Enclave, EnclaveError, Outcome};
pub use kms::{Kms, KmsConfigError, Question, Refusal, Reply};
pub use log::{Log, Pseudonym};
pub use options::Options;
pub use records::{PAGE, Record, Records, RecordsError};
pub use requests::{Host, LONGEST_MESSAGE};
pub use server::{Server, Work};
