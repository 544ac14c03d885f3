//! `spanfall validate`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::config::ConfigArgs;
use crate::printer::Printer;
use crate::serve::{self, Host, Silent};

/// Arguments of `spanfall validate`.
#[derive(Debug, Args)]
#[command(
    long_about = "Reads a configuration with every component's settings and reports all that is \
                  wrong, each with its file, line and column. Starts nothing. Exit code 0 means \
                  that it can be run, with warnings perhaps; 1 that it cannot.",
    mut_arg("config", |config| config.required(true)),
    after_help = "Examples:\n  \
        spanfall validate --config collector.yaml\n  \
        spanfall validate --config base.yaml --config production.yaml\n  \
        spanfall validate --config collector.yaml --format json | jq .message"
)]
pub struct ValidateArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// How the report looks: text for people on stderr, or json on stdout, an object a line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// How the report looks.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Checks.
pub fn run(args: ValidateArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let loaded = serve::load(&args.config.place(), &Host::new(Silent));
    let diagnostics = &loaded.diagnostics;
    match args.format {
        Format::Json => printer.print(&diagnostics.json_lines())?,
        Format::Text if diagnostics.is_empty() => {}
        Format::Text => printer.diagnostics(diagnostics),
    }
    Ok(if diagnostics.has_errors() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
