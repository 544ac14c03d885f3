//! Sending made-up spans: pace, workers, counts.

mod latency;
mod pace;
mod worker;

pub use latency::Latencies;
pub use pace::Stop;
pub use worker::{Counts, Load, run};
