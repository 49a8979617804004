//! The C ABI through dlopen: what a C program can do, right or wrong. Each test has a process of its own.

#![expect(clippy::unwrap_used, reason = "the whole program is tests")]

mod abuse;
mod arguments;
mod ciphers;
mod exports;
mod fork;
mod initialize;
mod interfaces;
mod login;
mod operations;
mod pins;
mod sessions;
mod signatures;
mod slot_events;
mod slots;
mod strangers;
mod support_table;
mod threads;
mod unload;
mod vendor;
