//! The C ABI through dlopen: what a C program can do, right or wrong. Each test has a process of its own.

#![expect(clippy::unwrap_used, reason = "the whole program is tests")]

mod abuse;
mod arguments;
mod batch;
mod ciphers;
mod damage;
mod exports;
mod fork;
mod fork_depth;
mod initialize;
mod interfaces;
mod kill;
mod login;
mod operations;
mod pins;
mod processes;
mod sessions;
mod signatures;
mod slot_events;
mod slots;
mod strangers;
mod streaming;
mod support_table;
mod threads;
mod unload;
mod vectors;
mod vendor;
