//! Frames, addresses, messages and whole conversations over real sockets.

#![cfg(test)]

mod addresses;
mod conversations;
mod frames;
mod messages;
