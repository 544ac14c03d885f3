//! `spanfall export`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use model::{SpanBatch, TraceId};

use crate::client::{Client, FilterArgs, ServerArgs};
use crate::failure::Hinted;
use crate::printer::Printer;
use crate::text::{bytes, counted};
use crate::values::parse_trace_id;

/// Summaries that are in memory at once.
const PAGE_TRACES: usize = 500;

/// Arguments of `spanfall export`.
#[derive(Debug, Args)]
#[command(
    long_about = "Writes whole traces as OTLP, newest first: those with a span that meets every \
                  condition, or those named by id. Traces that arrive meanwhile are not included. \
                  `spanfall import` and any OTLP/JSON reader can read what is written.",
    after_help = "Examples:\n  \
        spanfall export --since 1h > last-hour.jsonl\n  \
        spanfall export --service cart --status error --format protobuf -o errors.pb\n  \
        spanfall export --trace-id 0af7651916cd43dd8448eb211c80319c --format json"
)]
pub struct ExportArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// This trace; repeatable, instead of conditions
    #[arg(
        short,
        long,
        value_name = "ID",
        value_parser = parse_trace_id,
        conflicts_with_all = [
            "service", "operation", "attribute", "status", "min_duration", "max_duration",
            "since", "start", "end", "limit"
        ])]
    trace_id: Vec<TraceId>,
    /// Write at most so many traces
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// What to write
    #[arg(short, long, default_value = "jsonl")]
    format: Format,
    /// The file to write; standard output without it
    #[arg(
        short,
        long,
        value_name = "FILE",
        value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One OTLP JSON document of all traces
    Json,
    /// An OTLP JSON document per trace and line
    Jsonl,
    /// A protobuf TracesData per trace, each after its length as a varint
    Protobuf,
}

/// Fetches trace by trace and writes.
pub fn run(args: ExportArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    if args.output.is_none() && args.format == Format::Protobuf && printer.is_terminal() {
        return Err(Hinted::new(
            "protobuf is binary and would garble the terminal",
            "name a file with --output, or pipe it on",
        )
        .into());
    }
    let client = Client::new(&args.server);
    let (target, place): (Box<dyn Write>, String) = match &args.output {
        None => (Box::new(printer.stdout()), "stdout".to_owned()),
        Some(path) => {
            let place = path.display().to_string();
            let file = File::create(path).with_context(|| format!("creating {place}"))?;
            (Box::new(BufWriter::new(file)), place)
        }
    };
    let mut export = Export {
        client,
        writer: Writer { target, format: args.format, traces: 0, bytes: 0 },
        place,
        bar: printer.progress_line(),
        spans: 0,
        gone: 0,
        partial: false,
    };
    export.writer.start().with_context(|| format!("writing to {}", export.place))?;
    if args.trace_id.is_empty() {
        let filter = args.filter.fixed_at(SystemTime::now())?;
        export.search(&filter, args.limit)?;
    } else {
        args.trace_id.iter().try_for_each(|id| export.trace(*id))?;
    }
    export.writer.finish().with_context(|| format!("writing to {}", export.place))?;
    export.bar.finish_and_clear();
    printer.note(&format!(
        "wrote {} of {} ({})",
        counted(export.spans, "span"),
        counted(export.writer.traces, "trace"),
        bytes(export.writer.bytes)
    ));
    if export.partial {
        printer.warn("a damaged block was left out, so that traces may be missing or incomplete");
    }
    if export.gone == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let named = !args.trace_id.is_empty();
    let why = if named { "not stored" } else { "deleted before they could be read" };
    printer.warn(&format!("left out {}: {why}", counted(export.gone, "trace")));
    // What retention takes meanwhile is no failure; what was asked for by name is.
    Ok(if named { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct Export {
    client: Client,
    writer: Writer,
    place: String,
    bar: ProgressBar,
    spans: u64,
    gone: u64,
    partial: bool,
}

impl Export {
    /// Page by page: cursors go back in time, so that what arrives meanwhile is not met.
    fn search(&mut self, filter: &FilterArgs, limit: Option<u64>) -> anyhow::Result<()> {
        let mut left = limit.map_or(Ok(usize::MAX), usize::try_from)?;
        let mut cursor: Option<String> = None;
        loop {
            let page = self.client.search(filter, left.min(PAGE_TRACES), cursor.as_deref())?;
            self.partial |= page.partial;
            left = left.saturating_sub(page.traces.len());
            for trace in &page.traces {
                let id = trace.trace_id.parse();
                self.trace(id.with_context(|| format!("reading trace id {:?}", trace.trace_id))?)?;
            }
            cursor = page.next_cursor.filter(|_| !page.traces.is_empty());
            if cursor.is_none() || left == 0 {
                return Ok(());
            }
        }
    }

    fn trace(&mut self, id: TraceId) -> anyhow::Result<()> {
        let Some(batch) = self.client.trace(id)? else {
            self.gone += 1;
            return Ok(());
        };
        self.writer.trace(&batch).with_context(|| format!("writing to {}", self.place))?;
        self.spans += batch.len() as u64;
        self.bar.set_message(format!(
            "{}, {}, {}",
            counted(self.writer.traces, "trace"),
            counted(self.spans, "span"),
            bytes(self.writer.bytes)
        ));
        Ok(())
    }
}

/// Writes traces in a format.
struct Writer {
    target: Box<dyn Write>,
    format: Format,
    traces: u64,
    bytes: u64,
}

/// How `model::json::encode` begins and ends.
const JSON_START: &str = "{\"resourceSpans\":[";
const JSON_END: &str = "]}";

impl Writer {
    fn start(&mut self) -> io::Result<()> {
        match self.format {
            Format::Json => self.write(JSON_START.as_bytes()),
            Format::Jsonl | Format::Protobuf => Ok(()),
        }
    }

    fn trace(&mut self, batch: &SpanBatch) -> io::Result<()> {
        match self.format {
            Format::Json => {
                let json = encode(batch)?;
                let inner =
                    json.strip_prefix(JSON_START).and_then(|json| json.strip_suffix(JSON_END));
                let inner = inner.ok_or_else(|| io::Error::other("OTLP JSON of an odd shape"))?;
                if self.traces > 0 {
                    self.write(b",")?;
                }
                self.write(b"\n")?;
                self.write(inner.as_bytes())?;
            }
            Format::Jsonl => {
                self.write(encode(batch)?.as_bytes())?;
                self.write(b"\n")?;
            }
            Format::Protobuf => {
                let mut length = Vec::new();
                model::wire::put_varint(&mut length, batch.bytes().len() as u64);
                self.write(&length)?;
                self.write(batch.bytes())?;
            }
        }
        self.traces += 1;
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.format == Format::Json {
            self.write(JSON_END.as_bytes())?;
            self.write(b"\n")?;
        }
        self.target.flush()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.target.write_all(bytes)
    }
}

fn encode(batch: &SpanBatch) -> io::Result<String> {
    model::json::encode(batch.bytes()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::import::{Documents, Source};

    #[derive(Clone, Default)]
    struct Shared(Rc<RefCell<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn import_reads_every_format() {
        let traces: Vec<SpanBatch> = (1..4)
            .map(|seed| loadgen::sample_trace(seed, 1_700_000_000_000_000_000))
            .map(|bytes| SpanBatch::decode(bytes.into()).unwrap())
            .collect();
        for (format, documents) in [(Format::Json, 1), (Format::Jsonl, 3), (Format::Protobuf, 3)] {
            let shared = Shared::default();
            let target = Box::new(shared.clone());
            let mut writer = Writer { target, format, traces: 0, bytes: 0 };
            writer.start().unwrap();
            traces.iter().for_each(|trace| writer.trace(trace).unwrap());
            writer.finish().unwrap();

            let written = shared.0.borrow().clone();
            assert_eq!(writer.bytes, written.len() as u64);
            let source = Source::new(io::Cursor::new(written)).unwrap();
            let read: Vec<SpanBatch> =
                Documents::new("x", source).map(|document| document.content.unwrap()).collect();
            assert_eq!(read.len(), documents, "{format:?}");
            let ids = |batches: &[SpanBatch]| -> Vec<_> {
                let spans = batches.iter().flat_map(|batch| batch.spans());
                spans.map(|span| (span.trace_id, span.span_id)).collect()
            };
            assert_eq!(ids(&read), ids(&traces), "{format:?}");
        }
    }
}
