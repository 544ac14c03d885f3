//! Receivers, one module per protocol, and what they share: connections, limits, bodies.

mod auth;
mod body;
mod budget;
mod cors;
mod counters;
mod foreign;
mod front;
mod inflate;
pub mod jaeger;
pub mod kafka;
mod listener;
pub mod otlp;
pub mod otlp_json_file;
mod plain_http;
mod server;
mod settings;
mod write_timeout;
pub mod zipkin;

pub use auth::{Auth, Authenticator};
pub use budget::{ByteBudget, IN_FLIGHT_BYTES_MAX_DEFAULT};
pub use cors::{OriginError, check_origin};
pub use counters::{ConnectionCounters, ReceiverCounters, TransportCounters};
pub use listener::{Address, Listener, UnixSocket};
pub use server::{Drained, Handler, serve};
pub use settings::{CorsSettings, ServerSettings};
