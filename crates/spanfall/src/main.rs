//! The `spanfall` binary: commands, wiring, output.
//!
//! Owns what a person types and sees. Every verb is one file under `commands/`; whatever reaches
//! stdout or stderr goes through the [`printer::Printer`]. Knows nothing of how spans are stored:
//! but for `serve`, commands are clients of a running server.

mod chart;
mod cli;
mod client;
mod commands;
mod failure;
mod import;
mod load;
mod logging;
mod printer;
mod serve;
mod text;
mod values;
mod waterfall;

use std::process::ExitCode;

use clap::{ArgMatches, FromArgMatches};

use cli::{Cli, Command};
use mimalloc::MiMalloc;
use pipeline::extensions::SampledAlloc;
use printer::Printer;

/// Its samples are off until the extension `pprof` wants them: then it costs a flag to look at.
#[global_allocator]
static ALLOCATOR: SampledAlloc<MiMalloc> = SampledAlloc::new(MiMalloc);

fn main() -> ExitCode {
    let args = cli::with_default_command(std::env::args_os());
    let matches = cli::definition().get_matches_from(args);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let printer = Printer::new(cli.color);
    let (_, own) = matches.subcommand().unzip();
    match run(cli.command, own, &printer) {
        Ok(code) => code,
        Err(error) if failure::is_reader_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            printer.error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(
    command: Command,
    matches: Option<&ArgMatches>,
    printer: &Printer,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => commands::serve::run(*args, matches, printer),
        Command::Trace(args) => commands::trace::run(args, printer),
        Command::Search(args) => commands::search::run(args, printer),
        Command::Query(args) => commands::query::run(*args, printer),
        Command::Import(args) => commands::import::run(args, printer),
        Command::Export(args) => commands::export::run(args, printer),
        Command::Loadgen(args) => commands::loadgen::run(args, printer),
        Command::Validate(args) => commands::validate::run(args, printer),
        Command::PrintConfig(args) => commands::print_config::run(args, printer),
        Command::Components(args) => commands::components::run(args, printer),
        Command::Completions(args) => commands::completions::run(args, printer),
    }
}
