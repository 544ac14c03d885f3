//! `spanfall serve`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::values::{
    DiskLimit, SyncPolicy, parse_address, parse_positive_duration, parse_positive_size,
};

/// Arguments of `spanfall serve`.
#[derive(Debug, Args)]
#[command(
    long_about = "Receives OpenTelemetry spans over gRPC and HTTP, stores them in one folder, and \
                  serves the UI and the query API. Listens on this machine alone until told \
                  otherwise; runs until SIGINT or SIGTERM, on which it stops in order.",
    after_help = "Examples:\n  \
        spanfall serve\n  \
        spanfall serve --data-dir /var/lib/spanfall --retention 30d --retention-bytes 200GB\n  \
        spanfall serve --listen 0.0.0.0 --token-file /run/secrets/spanfall"
)]
pub struct ServeArgs {
    /// The folder that holds everything; made when missing
    #[arg(
        long,
        value_name = "PATH",
        env = "SPANFALL_DATA_DIR",
        default_value = "./spanfall-data",
        value_hint = clap::ValueHint::DirPath
    )]
    pub data_dir: PathBuf,
    /// The address that all listeners listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1", value_parser = parse_address)]
    pub listen: IpAddr,
    /// What clients of the query API and the UI have to present
    #[arg(
        long,
        value_name = "TOKEN",
        env = "SPANFALL_TOKEN",
        hide_env_values = true,
        conflicts_with = "token_file"
    )]
    pub token: Option<String>,
    /// A file whose first line is the token
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    pub token_file: Option<PathBuf>,
    /// Serve the query API and the UI on a public address without a token
    #[arg(long)]
    pub insecure_public: bool,
    /// Port of OTLP over gRPC
    #[arg(long, value_name = "PORT", default_value_t = 4317)]
    pub otlp_grpc_port: u16,
    /// Port of OTLP over HTTP
    #[arg(long, value_name = "PORT", default_value_t = 4318)]
    pub otlp_http_port: u16,
    /// Port of the UI and the query API
    #[arg(long, value_name = "PORT", default_value_t = 16686)]
    pub http_port: u16,
    /// Port of the health check
    #[arg(long, value_name = "PORT", default_value_t = 13133)]
    pub health_port: u16,
    /// Port of the server's own metrics
    #[arg(long, value_name = "PORT", default_value_t = 8888)]
    pub metrics_port: u16,
    /// How long spans are kept, such as 90m, 36h or 14d
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "14d",
        value_parser = parse_positive_duration
    )]
    pub retention: Duration,
    /// How much disk spans may take, such as 500MB, 10GiB or a share of what is free at the start
    #[arg(long, value_name = "SIZE", default_value = "80%")]
    pub retention_bytes: DiskLimit,
    /// How long after an answer spans are safe on disk; "always" means before it
    #[arg(long, value_name = "DURATION|always", default_value = "200ms")]
    pub sync: SyncPolicy,
    /// The largest OTLP request that is accepted
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "64MiB",
        value_parser = parse_positive_size
    )]
    pub max_request_bytes: u64,
    /// Pages of this origin may send spans, such as https://shop.example; repeatable
    #[arg(long, value_name = "ORIGIN")]
    pub cors_allowed_origin: Vec<String>,
    /// How much is logged: error, warn, info, debug, trace, or a filter of tracing-subscriber
    #[arg(long, value_name = "LEVEL", env = "SPANFALL_LOG", default_value = "info")]
    pub log: String,
}

/// Serves until told to stop.
pub fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let _ = args;
    anyhow::bail!("serve is being wired")
}
