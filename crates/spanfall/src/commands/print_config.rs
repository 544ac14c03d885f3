//! `spanfall print-config`.

use std::process::ExitCode;

use clap::{ArgAction, Args, ValueEnum};
use config::Secrets;

use super::config::ConfigArgs;
use super::serve::default_flags;
use crate::printer::Printer;
use crate::serve::{self, Host, Silent};

/// Arguments of `spanfall print-config`.
#[derive(Debug, Args)]
#[command(
    long_about = "Prints the configuration that several files, their references and --set come to. \
                  Without --config, that which plain `spanfall serve` runs: a start for your own.",
    after_help = "Examples:\n  \
        spanfall print-config > spanfall.yaml\n  \
        spanfall print-config --config base.yaml --config production.yaml\n  \
        spanfall print-config --config collector.yaml --set processors.batch.timeout=2s --format json"
)]
pub struct PrintConfigArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The language
    #[arg(long, value_name = "FORMAT", default_value = "yaml")]
    format: Format,
    /// Whether passwords, tokens and headers are replaced by [REDACTED]
    #[arg(long, value_name = "MODE", default_value = "redacted")]
    mode: Mode,
    /// Whether a configuration with errors is refused
    #[arg(long, value_name = "BOOL", default_value = "true", action = ArgAction::Set)]
    validate: bool,
}

/// The language.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Yaml,
    Json,
}

/// What becomes of secrets.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    Redacted,
    Unredacted,
}

/// Prints.
pub fn run(args: PrintConfigArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let mut place = args.config.place();
    if place.configs.is_empty() {
        place.configs.push(default_flags()?.document());
    }
    let loaded = serve::load(&place, &Host::new(Silent));
    let diagnostics = &loaded.diagnostics;
    if !diagnostics.is_empty() {
        printer.diagnostics(diagnostics);
    }
    if args.validate && diagnostics.has_errors() {
        return Ok(ExitCode::FAILURE);
    }
    let format = match args.format {
        Format::Yaml => config::Format::Yaml,
        Format::Json => config::Format::Json,
    };
    let secrets = match args.mode {
        Mode::Redacted => Secrets::Redacted,
        Mode::Unredacted => Secrets::Shown,
    };
    printer.print(&config::print(&loaded.document, diagnostics, format, secrets))?;
    Ok(ExitCode::SUCCESS)
}
