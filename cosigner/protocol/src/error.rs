//! Why a conversation ended.

use std::{fmt, io};

use crate::frame::LONGEST;

/// Why a conversation ended. After any of these the connection is of no use any more: what comes next on it may belong
/// to another request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Nobody answers at the address.
    Connect(io::Error),
    /// The connection broke.
    Io(io::Error),
    /// The other side did not take or give a whole frame in time.
    TimedOut,
    /// The other side closed the connection between two frames.
    Closed,
    /// The other side closed the connection inside a frame.
    Truncated,
    /// A frame that is empty or longer than [`LONGEST`], theirs or ours.
    FrameLength(u64),
    /// JSON that is malformed, or not one of the messages that may come now. The text has nothing of the content.
    Message(String),
    /// A frame that is not of the request in hand: its number, and the one that was expected.
    OtherRequest(u64, u64),
    /// A request whose number has been used on this connection: a frame that was sent twice.
    Replayed(u64),
    /// An earlier error has ended this conversation.
    Ended,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "nobody answers: {error}"),
            Self::Io(error) => write!(f, "the connection broke: {error}"),
            Self::TimedOut => f.write_str("the other side took too long"),
            Self::Closed => f.write_str("the other side closed the connection"),
            Self::Truncated => f.write_str("the other side closed the connection inside a frame"),
            Self::FrameLength(length) => {
                write!(f, "a frame has {length} bytes, and 1 to {LONGEST} are allowed")
            }
            Self::Message(reason) => write!(f, "a frame holds no message that may come now: {reason}"),
            Self::OtherRequest(found, wanted) => {
                write!(f, "a frame is of request {found} and not of {wanted}")
            }
            Self::Replayed(number) => write!(f, "request {number} came twice"),
            Self::Ended => f.write_str("the connection was given up after an error"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) | Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::TimedOut,
            _ => Self::Io(error),
        }
    }
}
