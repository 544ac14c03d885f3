//! `spanfall completions`.

use std::process::ExitCode;

use clap::Args;

use crate::cli;
use crate::printer::Printer;

/// Arguments of `spanfall completions`.
#[derive(Debug, Args)]
#[command(
    long_about = "Prints a script that makes a shell complete spanfall's commands and options. \
                  Where it belongs depends on the shell; the examples are usual places.",
    after_help = "Examples:\n  \
        spanfall completions bash > ~/.local/share/bash-completion/completions/spanfall\n  \
        spanfall completions fish > ~/.config/fish/completions/spanfall.fish\n  \
        spanfall completions zsh > ~/.zfunc/_spanfall"
)]
pub struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// Prints the script.
pub fn run(args: CompletionsArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::definition(), "spanfall", &mut script);
    printer.print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
