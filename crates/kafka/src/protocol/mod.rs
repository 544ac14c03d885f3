//! The messages that are spoken (Kafka protocol guide). Each is a request that knows how its answer
//! is read, in the version of Kafka 2.1.

pub mod fetch;
pub mod group;
pub mod metadata;
pub mod offsets;
pub mod produce;
pub mod session;
#[cfg(test)]
mod tests;

use crate::error::Code;
use crate::wire::{Reader, WireError, Writer};

/// A question to a broker.
pub trait Request {
    /// The number of its kind.
    const KEY: i16;
    /// The name of its kind.
    const NAME: &'static str;
    /// What a broker says to it.
    type Answer;

    /// The version in which it is written.
    fn version(&self) -> i16;
    /// Writes it.
    fn write(&self, out: &mut Writer);
    /// Reads what is said to it.
    fn read(&self, from: &mut Reader) -> Result<Self::Answer, WireError>;
}

/// Reads a code.
fn code(from: &mut Reader) -> Result<Code, WireError> {
    from.i16().map(Code)
}
