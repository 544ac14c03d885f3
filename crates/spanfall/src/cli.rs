//! What can be typed: the commands, and what holds for all of them.

use std::ffi::{OsStr, OsString};

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::commands::{
    completions::CompletionsArgs, components::ComponentsArgs, export::ExportArgs,
    import::ImportArgs, loadgen::LoadgenArgs, print_config::PrintConfigArgs, query::QueryArgs,
    search::SearchArgs, serve::ServeArgs, trace::TraceArgs, validate::ValidateArgs,
};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "spanfall",
    version,
    about = "Distributed tracing in one binary",
    long_about = "Distributed tracing in one binary: receives OpenTelemetry spans, stores them in \
                  one folder, answers searches, shows traces. Without a command it serves; every \
                  other command talks to a running server.",
    after_help = "Examples:\n  \
        spanfall                                    serve on this machine, data in ./spanfall-data\n  \
        spanfall search --service cart --since 1h   the newest traces of a service\n  \
        spanfall trace 0af7651916cd43dd8448eb211c80319c\n  \
        spanfall import spans.jsonl.gz\n  \
        spanfall serve --config collector.yaml      the pipelines of a Collector's configuration\n\n\
        Exit codes: 0 success, 1 failure, 2 wrong usage.",
    subcommand_required = true,
    max_term_width = 100
)]
pub struct Cli {
    /// Whether to colour the output; "auto" does on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", display_order = 900)]
    pub color: Color,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// When output is coloured. Without comments on each, help takes one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

/// The verbs. Attributes and not comments say what they do: a comment would take the place of the
/// arguments' own description.
#[derive(Debug, Subcommand)]
pub enum Command {
    // Boxed: several times as large as any other.
    #[command(about = "Receive, store and show spans (the default)")]
    Serve(Box<ServeArgs>),
    #[command(about = "Draw one trace as a waterfall")]
    Trace(TraceArgs),
    #[command(about = "Find traces")]
    Search(SearchArgs),
    #[command(about = "Ask a TraceQL query")]
    Query(Box<QueryArgs>),
    #[command(about = "Send spans from files to a server")]
    Import(ImportArgs),
    #[command(about = "Write stored traces to a file")]
    Export(ExportArgs),
    #[command(about = "Send made-up spans to a server")]
    Loadgen(LoadgenArgs),
    #[command(about = "Check a configuration without running it")]
    Validate(ValidateArgs),
    #[command(about = "Print a configuration as it comes to, or the default one")]
    PrintConfig(PrintConfigArgs),
    #[command(about = "List the components that a configuration may name")]
    Components(ComponentsArgs),
    #[command(about = "Print a completion script for a shell")]
    Completions(CompletionsArgs),
}

/// Puts `serve` in front where no command is named, so that `spanfall` and
/// `spanfall --data-dir /srv/spans` serve.
pub fn with_default_command(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let mut at = 1;
    while let Some(argument) = args.get(at).and_then(|argument| argument.to_str()) {
        match argument {
            "-h" | "--help" | "-V" | "--version" => return args,
            "--color" => at += 2,
            _ if argument.starts_with("--color=") => at += 1,
            _ if argument.starts_with('-') => break,
            _ => return args,
        }
    }
    // An argument that is not UTF-8 is no option of ours.
    if args.get(at).is_none_or(|argument| argument.to_str().is_some()) {
        let at = at.min(args.len()).max(args.len().min(1));
        args.insert(at, OsStr::new("serve").to_owned());
    }
    args
}

/// The command line's definition, from which completions are made.
pub fn definition() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds_together() {
        definition().debug_assert();
    }

    #[test]
    fn no_command_means_serve() {
        for (typed, meant) in [
            ("spanfall", "spanfall serve"),
            ("spanfall --data-dir x", "spanfall serve --data-dir x"),
            ("spanfall --color never", "spanfall --color never serve"),
            ("spanfall --color=never --listen ::", "spanfall --color=never serve --listen ::"),
            ("spanfall --color", "spanfall --color serve"),
            ("spanfall search", "spanfall search"),
            ("spanfall --color always search", "spanfall --color always search"),
            ("spanfall serch", "spanfall serch"),
            ("spanfall --help", "spanfall --help"),
            ("spanfall -V", "spanfall -V"),
        ] {
            let args = with_default_command(typed.split(' ').map(OsString::from));
            assert_eq!(args.join(OsStr::new(" ")), OsStr::new(meant), "{typed}");
        }
    }

    #[test]
    fn what_is_typed_wrong_ends_with_2() {
        for typed in [
            "search --start 2026-13-01",
            "search --end yesterday",
            "search --since 1q",
            "query {} --start 2026-13-01",
            "export --end 2026-13-01",
            "validate",
            "validate --set a=b",
        ] {
            let args = format!("spanfall {typed}");
            let error = definition().try_get_matches_from(args.split(' ')).map(drop).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{typed}");
        }
        for typed in
            ["search --start -2h --end now", "validate --config a", "print-config", "serve"]
        {
            let args = format!("spanfall {typed}");
            assert!(definition().try_get_matches_from(args.split(' ')).is_ok(), "{typed}");
        }
    }

    #[test]
    fn every_command_explains_itself() {
        for command in definition().get_subcommands() {
            let name = command.get_name();
            assert!(command.get_long_about().is_some(), "{name} has no description");
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.contains("Examples:"), "{name} has no examples");
        }
    }
}
