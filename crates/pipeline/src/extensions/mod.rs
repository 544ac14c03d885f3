//! Extensions: what components lean on (storage, proofs of who one is) and what tells others how
//! the graph is.

mod basic_auth;
mod bearer_token;
mod file_storage;
mod health_check;
mod pages;
mod pprof;
mod zpages;

pub use basic_auth::{BasicAuth, BasicClient, Htpasswd};
pub use bearer_token::{BearerToken, BearerTokenSettings, TokenSource};
pub use file_storage::{FileStorage, FileStorageSettings};
pub use health_check::{HealthCheck, HealthCheckSettings};
pub use pages::Pages;
pub use pprof::{Pprof, SampledAlloc};
pub use zpages::Zpages;
