//! What a whole trace tells: pure functions over its spans.
//!
//! Knows nothing of where spans come from or go to.

pub mod adjust;
pub mod skew;
