//! Receivers, one module per protocol, and what they share: connections, limits, bodies.

mod body;
mod budget;
mod cors;
mod counters;
mod inflate;
pub mod otlp;
mod server;
mod settings;

pub use budget::{ByteBudget, IN_FLIGHT_BYTES_MAX_DEFAULT};
pub use counters::{ReceiverCounters, TransportCounters};
pub use server::Drained;
pub use settings::{CorsSettings, ServerSettings};
