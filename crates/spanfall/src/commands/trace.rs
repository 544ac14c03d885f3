//! `spanfall trace`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use model::TraceId;

use crate::client::{Client, ServerArgs};
use crate::failure::Hinted;
use crate::printer::Printer;
use crate::values::parse_trace_id;
use crate::waterfall;

/// Arguments of `spanfall trace`.
#[derive(Debug, Args)]
#[command(
    long_about = "Draws one trace as a waterfall: a row per span with its service, name, place in \
                  time, duration and errors. Spans whose parent is not stored are marked with a \
                  question mark.",
    after_help = "Examples:\n  \
        spanfall trace 0af7651916cd43dd8448eb211c80319c\n  \
        spanfall trace 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01   a traceparent\n  \
        spanfall trace 0af7651916cd43dd8448eb211c80319c --attributes | less -R\n  \
        spanfall trace 0af7651916cd43dd8448eb211c80319c --json > trace.json"
)]
pub struct TraceArgs {
    /// The trace's id in hexadecimal digits, or a traceparent
    #[arg(value_name = "ID", value_parser = parse_trace_id)]
    id: TraceId,
    /// Print OTLP JSON instead
    #[arg(long, conflicts_with_all = ["attributes", "depth", "ascii"])]
    json: bool,
    /// Print each span's attributes, events and links below it
    #[arg(short, long)]
    attributes: bool,
    /// Show so many levels of the tree
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    depth: Option<u64>,
    /// Draw with ASCII characters
    #[arg(long)]
    ascii: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Fetches and draws.
pub fn run(args: TraceArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server);
    let batch = client.trace(args.id)?.ok_or_else(|| {
        Hinted::new(
            format!("{} stores no span of trace {}", client.server(), args.id),
            "it may be past retention, never sampled, or not yet sent; `spanfall search` lists \
             what is there",
        )
    })?;
    let mut out = printer.stdout();
    if args.json {
        let json = model::json::encode(batch.bytes()).context("reading the trace")?;
        writeln!(out, "{json}").and_then(|()| out.flush()).context("writing to stdout")?;
        return Ok(ExitCode::SUCCESS);
    }
    let options = waterfall::Options {
        width: printer.width(),
        paint: printer.paint(),
        ascii: args.ascii,
        attributes: args.attributes,
        depth: args.depth.map(|depth| usize::try_from(depth).unwrap_or(usize::MAX)),
    };
    waterfall::draw(&batch, options, &mut out)
        .and_then(|()| out.flush())
        .context("writing to stdout")?;
    Ok(ExitCode::SUCCESS)
}
