//! Receivers, one module per protocol, and what they share: connections, limits, bodies.

mod auth;
mod body;
mod budget;
mod cors;
mod counters;
mod inflate;
pub mod otlp;
mod server;
mod settings;
mod write_timeout;

pub use auth::{Auth, Authenticator};
pub use budget::{ByteBudget, IN_FLIGHT_BYTES_MAX_DEFAULT};
pub use cors::{OriginError, check_origin};
pub use counters::{ConnectionCounters, ReceiverCounters, TransportCounters};
pub use server::{Drained, Handler, serve};
pub use settings::{CorsSettings, ServerSettings};
