//! One conversation: requests one after the other, each with its number, until the first error.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{Address, Error, Listener, frame, socket::Socket};

/// The version of the protocol.
const VERSION: u8 = 1;

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For a whole frame to be taken by the other side, and for a whole frame to come.
    pub frame: Duration,
}

impl Default for Timeouts {
    /// Two seconds for a connection, ten for a frame.
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), frame: Duration::from_secs(10) }
    }
}

/// A connection and the request in hand. The first error ends it: a late answer would be taken for the next one's.
#[derive(Debug)]
pub struct Transport {
    socket: Socket,
    timeouts: Timeouts,
    /// The number of the request in hand; 0 before the first.
    number: u64,
    ended: bool,
}

/// What a frame holds around every message.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<T> {
    v: u8,
    number: u64,
    message: T,
}

impl Transport {
    /// Connects.
    pub fn connect(address: &Address, timeouts: Timeouts) -> Result<Self, Error> {
        let socket = Socket::connect(address, timeouts.connect).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Error::TimedOut,
            _ => Error::Connect(error),
        })?;
        Ok(Self { socket, timeouts, number: 0, ended: false })
    }

    /// Waits for somebody to connect.
    pub fn accept(listener: &Listener, timeouts: Timeouts) -> Result<Self, Error> {
        Ok(Self { socket: listener.accept()?, timeouts, number: 0, ended: false })
    }

    /// Begins a request: says it and hears what comes back, which may be a question ([`Transport::say`] answers it).
    pub fn ask<Q: Serialize, A: DeserializeOwned>(&mut self, request: &Q) -> Result<A, Error> {
        // A peer may have used up the numbers.
        self.number = self.number.checked_add(1).ok_or(Error::Ended)?;
        self.say(request)?;
        self.hear()
    }

    /// Says a request and hears the answer, all of it within this time, however the two share it.
    pub fn ask_within<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        request: &Q,
        within: Duration,
    ) -> Result<A, Error> {
        let start = Instant::now();
        self.number = self.number.checked_add(1).ok_or(Error::Ended)?;
        self.say_within(request, within)?;
        self.hear_within(within.saturating_sub(start.elapsed()))
    }

    /// Waits for the other side to begin a request, as long as `within`. Its number must be new.
    pub fn next_request<Q: DeserializeOwned>(&mut self, within: Duration) -> Result<Q, Error> {
        let Envelope { number, message, .. } = self.receive(within)?;
        if number <= self.number {
            self.ended = true;
            return Err(Error::Replayed(number));
        }
        self.number = number;
        Ok(message)
    }

    /// Says something within the request in hand.
    pub fn say<M: Serialize>(&mut self, message: &M) -> Result<(), Error> {
        self.say_within(message, self.timeouts.frame)
    }

    fn say_within<M: Serialize>(&mut self, message: &M, within: Duration) -> Result<(), Error> {
        let json = to_json(&Envelope { v: VERSION, number: self.number, message });
        self.go_on(|transport| {
            transport.socket.until(within);
            frame::write(&mut transport.socket, &json?)
        })
    }

    /// Hears something within the request in hand.
    pub fn hear<M: DeserializeOwned>(&mut self) -> Result<M, Error> {
        self.hear_within(self.timeouts.frame)
    }

    fn hear_within<M: DeserializeOwned>(&mut self, within: Duration) -> Result<M, Error> {
        let Envelope { number, message, .. } = self.receive(within)?;
        if number != self.number {
            self.ended = true;
            return Err(Error::OtherRequest(number, self.number));
        }
        Ok(message)
    }

    fn receive<M: DeserializeOwned>(&mut self, within: Duration) -> Result<Envelope<M>, Error> {
        self.go_on(|transport| {
            transport.socket.until(within);
            let json = frame::read(&mut transport.socket)?;
            let envelope: Envelope<M> =
                serde_json::from_slice(&json).map_err(|error| Error::Message(reason(&error)))?;
            match envelope.v {
                VERSION => Ok(envelope),
                _ => Err(Error::Message("it is of another version of the protocol".into())),
            }
        })
    }

    fn go_on<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.ended {
            return Err(Error::Ended);
        }
        let done = step(self);
        self.ended = done.is_err();
        done
    }
}

/// Where and of what kind the error is. Its text might quote what a stranger has sent, or a secret.
fn reason(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Data => "no known message",
        serde_json::error::Category::Eof => "cut short",
        _ => "not JSON",
    };
    format!("{kind} at byte {}", error.column())
}

fn to_json(message: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut json = Wiped(Zeroizing::new(Vec::with_capacity(4096)));
    serde_json::to_writer(&mut json, message).map_err(|error| Error::Message(reason(&error)))?;
    Ok(json.0)
}

/// A vector that leaves nothing behind where it grows.
struct Wiped(Zeroizing<Vec<u8>>);

impl Write for Wiped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * self.0.capacity())));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
