//! `spanfall serve`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::Context;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, FromArgMatches};
use indicatif::ProgressBar;
use pipeline::receivers::check_origin;

use super::config::ConfigArgs;
use crate::logging::{self, Log};
use crate::printer::Printer;
use crate::serve::{self, Flags, Host, Notices, Ports};
use crate::values::{
    DiskLimit, SyncPolicy, parse_address, parse_duration, parse_positive_duration,
    parse_positive_size,
};

const HEAD_SPANS: std::ops::RangeInclusive<i64> =
    *serve::HEAD_SPANS.start() as i64..=*serve::HEAD_SPANS.end() as i64;

/// Flags that say something beside a configuration.
const BESIDE_CONFIG: [&str; 4] = ["config", "set", "log", "color"];

/// Arguments of `spanfall serve`.
#[derive(Debug, Args)]
#[command(
    long_about = "Receives OpenTelemetry spans over gRPC and HTTP, stores them in one folder, and \
                  serves the UI and the query API. Listens on this machine alone until told \
                  otherwise; runs until SIGINT or SIGTERM, on which it stops in order. With \
                  --config it runs the pipelines of an OpenTelemetry Collector's configuration \
                  instead, and takes a changed one over while it runs, or on SIGHUP.",
    after_help = "Examples:\n  \
        spanfall serve\n  \
        spanfall serve --data-dir /var/lib/spanfall --retention 30d --retention-bytes 200GB\n  \
        spanfall serve --listen 0.0.0.0 --token-file /run/secrets/spanfall\n  \
        spanfall serve --config collector.yaml --set exporters.spanfall.retention=30d"
)]
pub struct ServeArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
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
    /// Port of Jaeger's query API over gRPC
    #[arg(long, value_name = "PORT", default_value_t = 16685)]
    pub jaeger_grpc_port: u16,
    /// Port of Zipkin's query API
    #[arg(long, value_name = "PORT", default_value_t = 9411)]
    pub zipkin_port: u16,
    /// Port of Tempo's query API, over HTTP and gRPC
    #[arg(long, value_name = "PORT", default_value_t = 3200)]
    pub tempo_port: u16,
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
        value_parser = |text: &str| typed(text, parse_positive_duration)
    )]
    pub retention: String,
    /// How much disk spans may take, such as 500MB, 10GiB or a share of what is free at the start
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "80%",
        value_parser = |text: &str| typed(text, str::parse::<DiskLimit>)
    )]
    pub retention_bytes: String,
    /// How many spans are gathered in memory and log before they become a block
    #[arg(
        long,
        value_name = "SPANS",
        default_value_t = 500_000,
        value_parser = clap::value_parser!(u32).range(HEAD_SPANS)
    )]
    pub head_max_spans: u32,
    /// How long after an answer spans are safe on disk; "always" means before it
    #[arg(
        long,
        value_name = "DURATION|always",
        default_value = "200ms",
        value_parser = |text: &str| typed(text, str::parse::<SyncPolicy>)
    )]
    pub sync: String,
    /// The largest OTLP request that is accepted
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "64MiB",
        value_parser = parse_request_size
    )]
    pub max_request_bytes: u64,
    /// By how much Jaeger's APIs set the clock of another host right at the most; with 0 they only
    /// say by how much it is wrong
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "0s",
        value_parser = |text: &str| typed(text, parse_duration)
    )]
    pub max_clock_skew_adjust: String,
    /// Pages of this origin may send spans, such as https://shop.example; repeatable
    #[arg(long, value_name = "ORIGIN")]
    pub cors_allowed_origin: Vec<String>,
    /// How much is logged: off, error, warn, info, debug, trace, or a filter such as
    /// info,store=debug. Default info, or what service.telemetry.logs.level says
    #[arg(long, value_name = "LEVEL", env = "SPANFALL_LOG")]
    pub log: Option<String>,
}

/// A text that can be read as what it stands for, as it was typed.
fn typed<T>(text: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Result<String, String> {
    read(text).map(|_| text.to_owned())
}

/// Serves until told to stop. `typed` tells which flags were.
pub fn run(
    args: ServeArgs,
    matches: Option<&ArgMatches>,
    printer: &Printer,
) -> anyhow::Result<ExitCode> {
    // Before anything is read: a word that means nothing is told at once.
    let filter = args.log.as_deref().map(logging::filter).transpose()?;
    serve::without_huge_pages();
    let is_built_in = args.config.config.is_empty();
    let mut ports = None;
    let place = if is_built_in {
        for origin in &args.cors_allowed_origin {
            check_origin(origin)
                .map_err(|error| anyhow::anyhow!("--cors-allowed-origin {error}"))?;
        }
        let mut place = args.config.place();
        let flags = flags(args)?;
        flags.refuse_open_data()?;
        place.configs.push(flags.document());
        ports = Some(flags.ports);
        place
    } else {
        matches.map_or(Ok(()), refuse_flags)?;
        args.config.place()
    };
    let host = Host::new(Terminal { printer: printer.clone(), bar: OnceLock::new() });
    let loaded = serve::load(&place, &host);
    if !loaded.diagnostics.is_empty() {
        printer.diagnostics(&loaded.diagnostics);
    }
    if loaded.diagnostics.has_errors() {
        return Ok(ExitCode::FAILURE);
    }
    let log = Log::start(filter, loaded.log_settings())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let served = runtime.block_on(serve::run(&place, loaded, host, log));
    // A query that still runs must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match (served, ports) {
        (Err(error), Some(ports)) => {
            anyhow::bail!(serve::in_words_of_flags(&format!("{error:#}"), &ports))
        }
        (served, _) => served.map(|()| ExitCode::SUCCESS),
    }
}

/// A flag beside a configuration would be ignored, or contradict it.
fn refuse_flags(matches: &ArgMatches) -> anyhow::Result<()> {
    let command = ServeArgs::augment_args(clap::Command::new("serve"));
    let is_typed = |flag: &&clap::Arg| {
        let id = flag.get_id().as_str();
        let source = matches.value_source(id);
        source == Some(ValueSource::CommandLine) && !BESIDE_CONFIG.contains(&id)
    };
    match command.get_arguments().find(is_typed).and_then(clap::Arg::get_long) {
        Some(flag) => anyhow::bail!(
            "--{flag} means nothing beside --config: write it in the file, or add --set \
             section.component.key=VALUE; `spanfall print-config` shows where it belongs"
        ),
        None => Ok(()),
    }
}

/// What `spanfall serve` without flags says.
pub fn default_flags() -> anyhow::Result<Flags> {
    let command = ServeArgs::augment_args(clap::Command::new("serve"));
    let matches = command.try_get_matches_from(["serve"])?;
    flags(ServeArgs::from_arg_matches(&matches)?)
}

fn flags(args: ServeArgs) -> anyhow::Result<Flags> {
    if let Some(path) = &args.token_file {
        let content = std::fs::read_to_string(path)
            .with_context(|| format!("reading --token-file {}", path.display()))?;
        let line = content.lines().next().unwrap_or_default().trim();
        anyhow::ensure!(!line.is_empty(), "--token-file {} has no token", path.display());
    }
    Ok(Flags {
        data_dir: args.data_dir,
        listen: args.listen,
        ports: Ports {
            otlp_grpc: args.otlp_grpc_port,
            otlp_http: args.otlp_http_port,
            ui: args.http_port,
            jaeger_grpc: args.jaeger_grpc_port,
            zipkin: args.zipkin_port,
            tempo: args.tempo_port,
            health: args.health_port,
            metrics: args.metrics_port,
        },
        token: args.token.filter(|token| !token.is_empty() && args.token_file.is_none()),
        token_file: args.token_file,
        insecure_public: args.insecure_public,
        retention: args.retention,
        retention_bytes: args.retention_bytes,
        head_max_spans: args.head_max_spans,
        sync: args.sync,
        max_request_bytes: args.max_request_bytes,
        max_clock_skew_adjust: args.max_clock_skew_adjust,
        cors_allowed_origins: args.cors_allowed_origin,
    })
}

/// Half of what all requests may take together, so that any one finds room beside another.
const REQUEST_BYTES_MAX: u64 = serve::IN_FLIGHT_BYTES_MAX as u64 / 2;

fn parse_request_size(text: &str) -> Result<u64, String> {
    match parse_positive_size(text)? {
        size if size > REQUEST_BYTES_MAX => {
            Err(format!("the most is {} MiB", REQUEST_BYTES_MAX >> 20))
        }
        size => Ok(size),
    }
}

/// Tells the person at the terminal how the start goes.
struct Terminal {
    printer: Printer,
    bar: OnceLock<ProgressBar>,
}

impl Notices for Terminal {
    fn recovering(&self, read: u64, total: u64) {
        let bar = self.bar.get_or_init(|| {
            let bar = self.printer.progress_bytes(Some(total));
            bar.set_message("reading the log");
            bar
        });
        bar.set_position(read);
        if read >= total {
            bar.finish_and_clear();
        }
    }

    fn ready(&self, banner: &str) {
        self.printer.note(banner);
    }

    fn stopping(&self) {
        self.printer.note("Stopping: open requests are finished, and what is held is handed on.");
    }

    fn found(&self, diagnostics: &config::Diagnostics) {
        self.printer.diagnostics(diagnostics);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_sizes_have_a_most() {
        for (text, size) in [
            ("64MiB", Ok(64 << 20)),
            ("128MiB", Ok(128 << 20)),
            ("134217729", Err("the most is 128 MiB".to_owned())),
            ("10GiB", Err("the most is 128 MiB".to_owned())),
            ("0", Err("it has to be more than zero".to_owned())),
        ] {
            assert_eq!(parse_request_size(text), size, "{text}");
        }
    }
}
