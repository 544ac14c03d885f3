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
mod printer;
mod serve;
mod text;
mod values;
mod waterfall;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use printer::Printer;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse_from(cli::with_default_command(std::env::args_os()));
    let printer = Printer::new(cli.color);
    match run(cli.command, &printer) {
        Ok(code) => code,
        Err(error) if failure::is_reader_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            printer.error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, printer: &Printer) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => commands::serve::run(*args, printer),
        Command::Trace(args) => commands::trace::run(args, printer),
        Command::Search(args) => commands::search::run(args, printer),
        Command::Query(args) => commands::query::run(*args, printer),
        Command::Import(args) => commands::import::run(args, printer),
        Command::Export(args) => commands::export::run(args, printer),
        Command::Loadgen(args) => commands::loadgen::run(args, printer),
        Command::Completions(args) => commands::completions::run(args, printer),
    }
}
