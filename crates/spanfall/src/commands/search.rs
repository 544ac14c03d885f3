//! `spanfall search`.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context;
use clap::Args;

use crate::client::{Client, FilterArgs, ServerArgs, TraceSummary};
use crate::printer::{Paint, Printer};
use crate::text::{clean, columns, count, counted, cut, duration, time};

/// The most traces that the API gives at once.
const PAGE_MAX: usize = 1000;
/// A narrow terminal wraps lines rather than cut names shorter.
const NAME_COLUMNS_MIN: usize = 24;

/// Arguments of `spanfall search`.
#[derive(Debug, Args)]
#[command(
    long_about = "Lists traces, newest first. A trace is found when one of its spans meets every \
                  condition given; without conditions, all are found.",
    after_help = "Examples:\n  \
        spanfall search --service cart --status error --since 1h\n  \
        spanfall search --attribute http.route=/orders --attribute resource.host.name=web-1\n  \
        spanfall search --min-duration 500ms --start 2026-05-01T08:00:00Z --end 2026-05-01T09:00:00Z\n  \
        spanfall search --operation 'POST /orders' --all --json | jq -r .trace_id"
)]
pub struct SearchArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// List so many traces
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// List all traces
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Print one JSON object per line instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Searches, a page at a time.
pub fn run(args: SearchArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server);
    let filter = args.filter.fixed_at(SystemTime::now())?;
    let mut left = if args.all { usize::MAX } else { usize::try_from(args.limit)? };
    let mut out = printer.stdout();
    let mut listed: u64 = 0;
    let mut partial = false;
    let mut cursor: Option<String> = None;
    let more = loop {
        let page = client.search(&filter, left.min(PAGE_MAX), cursor.as_deref())?;
        partial |= page.partial;
        left = left.saturating_sub(page.traces.len());
        for trace in &page.traces {
            if args.json {
                writeln!(out, "{}", serde_json::to_string(trace)?).context("writing to stdout")?;
                continue;
            }
            if listed == 0 {
                writeln!(out, "{}", head(printer.paint())).context("writing to stdout")?;
            }
            writeln!(out, "{}", row(trace, printer)).context("writing to stdout")?;
            listed += 1;
        }
        out.flush().context("writing to stdout")?;
        // An empty page with a cursor would go on for ever.
        cursor = page.next_cursor.filter(|_| !page.traces.is_empty());
        if cursor.is_none() || left == 0 {
            break cursor.is_some();
        }
    };
    if partial {
        printer.warn("a damaged block was left out, so that traces may be missing or incomplete");
    }
    if !args.json && listed == 0 {
        let why = if filter.is_empty() { "nothing is stored yet" } else { "nothing meets this" };
        printer.note(&format!("no traces: {why}"));
    } else if !args.json && more {
        printer
            .note(&format!("the newest {}; --limit or --all gives more", counted(listed, "trace")));
    }
    Ok(ExitCode::SUCCESS)
}

/// The head of a table of traces.
pub(super) fn head(paint: Paint) -> String {
    paint.dim(&format!(
        "{:24} {:>8} {:>6} {:>6}  {:32}  {}",
        "START", "DURATION", "SPANS", "ERRORS", "TRACE", "ROOT"
    ))
}

/// A row of it.
pub(super) fn row(trace: &TraceSummary, printer: &Printer) -> String {
    // Figures come as text; what is none is shown as it came.
    let figure = |text: &str, show: fn(u64) -> String| {
        text.parse().map_or_else(|_| clean(text).into_owned(), show)
    };
    let errors = format!("{:>6}", count(trace.error_count));
    let mut line = format!(
        "{:24} {:>8} {:>6} {}  {}  ",
        figure(&trace.start_unix_nano, time),
        figure(&trace.duration_nano, duration),
        count(trace.span_count),
        if trace.error_count > 0 { printer.paint().red(&errors) } else { errors },
        clean(&trace.trace_id),
    );
    let marks = marks(trace);
    let name = [&trace.root_service, &trace.root_name]
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .map(|part| clean(part))
        .collect::<Vec<_>>()
        .join(": ");
    // Whole names for programs; cut ones for people, who see the marks behind them.
    let fixed = 24 + 1 + 8 + 1 + 6 + 1 + 6 + 2 + 32 + 2;
    let room = printer.width().saturating_sub(fixed + columns(&marks)).max(NAME_COLUMNS_MIN);
    let name = if printer.is_terminal() { cut(&name, room, "…") } else { name };
    let _ = write!(line, "{name}{}", printer.paint().yellow(&marks));
    line.trim_end().to_owned()
}

/// What is odd about a trace.
fn marks(trace: &TraceSummary) -> String {
    let mut marks = Vec::new();
    if trace.missing_root {
        marks.push("root missing".to_owned());
    }
    if trace.orphan_count > 0 {
        marks.push(counted(trace.orphan_count, "orphan"));
    }
    if marks.is_empty() { String::new() } else { format!(" [{}]", marks.join(", ")) }
}
