//! The place of one kind of operation in a session, and the guard under which an operation runs.
//!
//! A call takes the operation out, works on it without holding the session's lock, and must say [`Running::keep`] for
//! it to go on. Every other way out of the call, an error or a panic too, ends it.

use std::ops::{Deref, DerefMut};

use super::{Operations, Signer};
use crate::{
    error::{Error, Result},
    sync::Mutex,
};

/// Room for one operation.
#[derive(Debug)]
pub(crate) struct Place<T> {
    content: Content<T>,
    /// Which operation is here, so that one that was cancelled while it ran is not put back.
    ticket: u64,
}

#[derive(Debug)]
enum Content<T> {
    Empty,
    Waiting(T),
    /// A call works on it.
    Taken,
}

impl<T> Default for Place<T> {
    fn default() -> Self {
        Self { content: Content::Empty, ticket: 0 }
    }
}

impl<T> Place<T> {
    /// Puts in a new operation under a number not used before; CKR_OPERATION_ACTIVE if there is one.
    pub(super) fn begin(&mut self, operation: T, ticket: u64) -> Result<()> {
        if !self.is_empty() {
            return Err(Error::OperationActive);
        }
        *self = Self { content: Content::Waiting(operation), ticket };
        Ok(())
    }

    /// Whether nothing is active.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.content, Content::Empty)
    }

    /// The operation, unless a call works on it.
    pub(super) fn waiting(&mut self) -> Option<&mut T> {
        match &mut self.content {
            Content::Waiting(operation) => Some(operation),
            _ => None,
        }
    }

    /// The number it was begun under.
    pub(super) fn ticket(&self) -> u64 {
        self.ticket
    }

    /// Ends the operation; a call that works on it finishes but cannot keep it.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    fn take(&mut self) -> Result<T> {
        match std::mem::replace(&mut self.content, Content::Taken) {
            Content::Waiting(operation) => Ok(operation),
            Content::Empty => {
                self.content = Content::Empty;
                Err(Error::OperationNotInitialized)
            }
            Content::Taken => Err(Error::OperationActive),
        }
    }

    /// Whether it was still there.
    fn give_back(&mut self, operation: Option<T>, ticket: u64) -> bool {
        let taken = self.ticket == ticket && matches!(self.content, Content::Taken);
        if taken {
            self.content = operation.map_or(Content::Empty, Content::Waiting);
        }
        taken
    }
}

/// Which place of a session.
pub(crate) type At<T> = fn(&mut Operations) -> &mut Place<T>;

/// An operation that a call works on.
#[derive(Debug)]
pub(crate) struct Running<'a, T> {
    operations: &'a Mutex<Operations>,
    at: At<T>,
    ticket: u64,
    operation: Option<T>,
    keep: bool,
}

impl<'a, T> Running<'a, T> {
    /// Takes the operation out: CKR_OPERATION_NOT_INITIALIZED where there is none, CKR_OPERATION_ACTIVE while another
    /// thread works on it.
    pub(crate) fn take(operations: &'a Mutex<Operations>, at: At<T>) -> Result<Self> {
        let mut locked = operations.lock();
        let place = at(&mut locked);
        let operation = Some(place.take()?);
        Ok(Self { operations, at, ticket: place.ticket, operation, keep: false })
    }

    /// The operation goes on after this call.
    pub(crate) fn keep(mut self) {
        self.keep = true;
    }

    /// Takes the operation for good.
    pub(crate) fn end(mut self) -> T {
        self.operation.take().expect("it is there from `take` to `end` or `drop`")
    }
}

impl Running<'_, Signer> {
    /// The operation has ended; what is left of it serves the next one.
    pub(crate) fn spend(mut self) {
        let spent = self.operation.take().and_then(Signer::spend);
        let mut operations = self.operations.lock();
        // Who has logged out meanwhile has ended the operation, and nothing of a private record is to stay.
        if (self.at)(&mut operations).give_back(None, self.ticket) {
            operations.spent = spent;
        }
        drop(operations);
        // Nothing is left for `drop` to do.
        std::mem::forget(self);
    }
}

impl<T> Deref for Running<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.operation.as_ref().expect("it is there from `take` to `end` or `drop`")
    }
}

impl<T> DerefMut for Running<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.operation.as_mut().expect("it is there from `take` to `end` or `drop`")
    }
}

impl<T> Drop for Running<'_, T> {
    fn drop(&mut self) {
        let kept = if self.keep { self.operation.take() } else { None };
        (self.at)(&mut self.operations.lock()).give_back(kept, self.ticket);
    }
}
