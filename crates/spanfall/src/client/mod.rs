//! What commands know of servers: the query API, and OTLP over HTTP.

mod api;
mod http;
mod otlp;
mod query;
mod retry;
#[cfg(test)]
pub mod stub;
mod traceql;

pub use api::{Client, ServerArgs, TraceSummary};
pub use otlp::{OtlpArgs, Refusal, Sender};
pub use query::FilterArgs;
pub use retry::Patience;
pub use traceql::{Answer, FoundTrace, HowFar, Label, Misspelt, Series, SeriesList, Stats};
