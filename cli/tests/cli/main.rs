//! The built command against a real module: every subcommand, its exit codes and its JSON.

#[cfg(test)]
mod attest;
#[cfg(test)]
mod backends;
#[cfg(test)]
mod batch;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod key;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod migrate;
#[cfg(test)]
mod move_key;
#[cfg(test)]
mod sign;
#[cfg(test)]
mod token;
#[cfg(test)]
mod tpm;
#[cfg(test)]
mod trouble;
