//! `spanfall query`.

use std::io::Write;
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use clap::Args;
use model::TraceId;

use super::search;
use crate::chart::{self, Line, Times};
use crate::client::{Answer, Client, FoundTrace, HowFar, Misspelt, SeriesList, ServerArgs, Stats};
use crate::printer::Printer;
use crate::text::{bytes, clean, columns, count, counted, duration, padding};
use crate::values::{parse_duration, parse_positive_duration, parse_time};
use crate::waterfall;

/// The most traces that the API gives at once.
const PAGE_MAX: u64 = 1000;
/// Lines of a chart; further series are only counted.
const LINES_MAX: usize = 20;
/// What takes longer is told how far it is.
const PATIENCE: Duration = Duration::from_secs(2);
/// A mistake in the query is one of usage.
const MISSPELT: u8 = 2;

/// Arguments of `spanfall query`.
#[derive(Debug, Args)]
#[command(
    long_about = "Asks a TraceQL query. One that finds traces lists them, newest first; one that \
                  ends in a metrics function draws its series, by default of the last hour. \
                  docs/traceql.md describes the language.",
    after_help = "Examples:\n  \
        spanfall query '{ status = error && resource.service.name = \"cart\" }' --since 1h\n  \
        spanfall query '{ name = \"checkout\" } >> { duration > 500ms }' --waterfall\n  \
        spanfall query '{ status = error } | rate() by(resource.service.name)' --since 6h\n  \
        spanfall query '{} | quantile_over_time(duration, .5, .99)' --step 1m --json\n  \
        spanfall query '{ .http.route = \"/orders\" } | count() > 10' --explain"
)]
pub struct QueryArgs {
    /// The query
    #[arg(value_name = "TRACEQL")]
    query: String,
    /// Within this time before now, such as 1h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "start")]
    since: Option<Duration>,
    /// At or after this: RFC 3339, nanoseconds since 1970, now, or -2h. A trace is found if it
    /// overlaps the range; metrics count spans that start in it
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = parse_time)]
    start: Option<String>,
    /// Before this
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = parse_time)]
    end: Option<String>,
    /// List so many traces; 20 if nothing is said
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// How long each interval of a metrics query is, such as 1m
    #[arg(long, value_name = "DURATION", value_parser = parse_positive_duration)]
    step: Option<Duration>,
    /// Print one JSON object per trace, or one of all series, instead
    #[arg(long)]
    json: bool,
    /// Draw the first trace as well
    #[arg(long, conflicts_with = "json")]
    waterfall: bool,
    /// Tell what was read, what was not and why, and how long each step took
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Asks, a page at a time.
pub fn run(args: QueryArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server);
    let mut fixed = args.parameters(SystemTime::now())?;
    let mut left = args.limit.unwrap_or(20);
    let mut out = printer.stdout();
    let mut first: Option<String> = None;
    let mut listed: u64 = 0;
    let (mut more, mut partial) = (false, false);
    if args.limit.is_some() {
        fixed.push(("limit", left.min(PAGE_MAX).to_string()));
    }
    let mut parameters = fixed.clone();
    loop {
        let answer = watched(printer, |progress| client.query(&parameters, progress))?;
        let page = match answer {
            Err(misspelt) => return Ok(told(&misspelt, printer)),
            Ok(Answer::Series(list)) => return args.series(&list, printer),
            Ok(Answer::Traces(page)) => page,
        };
        partial |= page.partial;
        for trace in &page.traces {
            if !args.json && listed == 0 {
                writeln!(out, "{}", search::head(printer.paint())).context("writing to stdout")?;
            }
            writeln!(out, "{}", args.row(trace, printer)?).context("writing to stdout")?;
            first.get_or_insert_with(|| trace.summary.trace_id.clone());
            listed += 1;
            left = left.saturating_sub(1);
        }
        out.flush().context("writing to stdout")?;
        if args.explain {
            explain(page.stats.as_ref(), printer);
        }
        match page.next_cursor.filter(|_| !page.traces.is_empty()) {
            Some(cursor) if left > 0 => {
                parameters.clone_from(&fixed);
                parameters.retain(|(name, _)| *name != "limit");
                parameters.push(("limit", left.min(PAGE_MAX).to_string()));
                parameters.push(("cursor", cursor));
            }
            cursor => {
                more |= cursor.is_some();
                break;
            }
        }
    }
    warn_of(partial, printer);
    if !args.json && listed == 0 {
        printer.note("no traces: nothing meets this");
    } else if !args.json && more {
        printer.note(&format!("the newest {}; --limit gives more", counted(listed, "trace")));
    }
    match first.filter(|_| args.waterfall) {
        Some(id) => draw(&client, &id, printer),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Asks on a thread of its own and shows on a terminal how far it is, when that takes long.
fn watched<T: Send>(
    printer: &Printer,
    ask: impl FnOnce(&mut dyn FnMut(HowFar)) -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    let (sender, told) = channel();
    let since = Instant::now();
    std::thread::scope(|scope| {
        let asking = scope.spawn(move || {
            // Nobody listens when the other end is gone, and it goes last.
            ask(&mut |far| {
                let _ = sender.send(far);
            })
        });
        let (mut last, mut bar) = (None, None);
        loop {
            let left = PATIENCE.saturating_sub(since.elapsed());
            let news = match left.is_zero() {
                true => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => told.recv_timeout(left),
            };
            match news {
                Ok(far) => last = Some(far),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if since.elapsed() >= PATIENCE {
                let bar = bar.get_or_insert_with(|| printer.progress_line());
                bar.set_message(shown(last));
            }
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        asking.join().unwrap_or_else(|_| anyhow::bail!("the client of the server failed"))
    })
}

/// How far a query is, in a line.
fn shown(far: Option<HowFar>) -> String {
    let Some(HowFar { share, found, is_series }) = far else {
        return "waiting for the server".to_owned();
    };
    let percent = (share.clamp(0.0, 1.0) * 100.0) as u64;
    let found = match is_series {
        true => format!("{} series", count(found as u64)),
        false => counted(found as u64, "trace"),
    };
    format!("looked at {percent} %, {found} so far")
}

impl QueryArgs {
    /// The API's parameters; times that count from now are fixed ones, the same for all pages.
    fn parameters(&self, now: SystemTime) -> anyhow::Result<Vec<(&'static str, String)>> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let fixed = |name: &'static str, text: &str| {
            query::parse_time_unix_nano(text, nanos)
                .with_context(|| format!("reading --{name}"))
                .map(|time| (name, time.to_string()))
        };
        let mut parameters = vec![("q", self.query.clone())];
        if let Some(since) = self.since {
            parameters.push(("start", now.saturating_sub(since).as_nanos().to_string()));
        }
        for (name, text) in [("start", &self.start), ("end", &self.end)] {
            parameters.extend(text.as_deref().map(|text| fixed(name, text)).transpose()?);
        }
        parameters.extend(self.step.map(|step| ("step", format!("{}ns", step.as_nanos()))));
        if self.explain {
            parameters.push(("explain", "true".to_owned()));
        }
        Ok(parameters)
    }

    fn row(&self, trace: &FoundTrace, printer: &Printer) -> anyhow::Result<String> {
        match self.json {
            true => Ok(serde_json::to_string(trace)?),
            false => Ok(search::row(&trace.summary, printer)),
        }
    }

    fn series(&self, list: &SeriesList, printer: &Printer) -> anyhow::Result<ExitCode> {
        if self.json {
            printer.print(&(serde_json::to_string(list)? + "\n"))?;
        } else if list.series.is_empty() {
            printer.note("no series: no span meets this");
        } else {
            let (lines, times) = lines(list);
            let shown = &lines[..lines.len().min(LINES_MAX)];
            printer.print(&chart::draw(shown, times, printer.width(), printer.paint()))?;
            if lines.len() > LINES_MAX {
                printer.note(&format!(
                    "{LINES_MAX} of {}; | topk({LINES_MAX}) ranks them, --json gives all",
                    count(lines.len() as u64) + " series"
                ));
            }
        }
        warn_of(list.partial, printer);
        if self.explain {
            explain(list.stats.as_ref(), printer);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Series as lines, and when they are.
fn lines(list: &SeriesList) -> (Vec<Line>, Times) {
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    let start = number(&list.start_unix_nano);
    let intervals = list.series.iter().map(|series| series.values.len()).max().unwrap_or(0);
    let length = number(&list.step_nano).saturating_mul(intervals as u64);
    let times = Times { start_unix_nano: start, end_unix_nano: start.saturating_add(length) };
    let line = |series: &crate::client::Series| {
        let name = |label: &crate::client::Label| match label.name.as_str() {
            "__name__" => label.value.clone(),
            name => format!("{name}={}", label.value),
        };
        let names: Vec<String> = series.labels.iter().map(name).collect();
        Line { name: names.join(" "), values: series.values.clone() }
    };
    (list.series.iter().map(line).collect(), times)
}

/// Says what is wrong with the query, and shows where.
fn told(misspelt: &Misspelt, printer: &Printer) -> ExitCode {
    printer.error(&anyhow::anyhow!("{}", misspelt.error));
    for line in misspelt.caret.lines() {
        printer.note(&format!("  {}", clean(line)));
    }
    ExitCode::from(MISSPELT)
}

fn explain(stats: Option<&Stats>, printer: &Printer) {
    let Some(stats) = stats else { return };
    let read = stats.pieces.saturating_sub(stats.pieces_skipped + stats.pieces_behind);
    printer.note(&format!(
        "looked at {} in {} of {} and {}; {} judged whole",
        counted(stats.spans, "span"),
        counted(stats.row_groups, "row group"),
        counted(read, "piece"),
        counted(stats.traces, "trace"),
        counted(stats.candidates, "trace"),
    ));
    printer.note(&format!(
        "not read: {} outside of the time, {} older than the results; {} by statistics, {} by \
         filters",
        counted(stats.pieces_skipped, "piece"),
        count(stats.pieces_behind),
        counted(stats.row_groups_skipped_by_statistics, "row group"),
        count(stats.row_groups_skipped_by_filters),
    ));
    printer.note(&format!(
        "read {}; put {} of several pieces together",
        bytes(stats.bytes_read),
        counted(stats.traces_joined, "trace"),
    ));
    let nanos = |milliseconds: f64| (milliseconds.max(0.0) * 1e6) as u64;
    let steps = stats.steps.iter().map(|step| {
        let [wall, work] = [step.wall_ms, step.work_ms].map(|time| duration(nanos(time)));
        [clean(&step.name).into_owned(), wall, work]
    });
    table(["STEP", "WALL", "ALL THREADS"], steps.collect(), printer);
    let columns = stats
        .columns
        .iter()
        .map(|column| [clean(&column.name).into_owned(), count(column.rows), bytes(column.bytes)]);
    table(["COLUMN", "ROWS", "READ"], columns.collect(), printer);
}

/// Lines of a name and two numbers, below a head; nothing where there are none.
fn table(head: [&str; 3], lines: Vec<[String; 3]>, printer: &Printer) {
    if lines.is_empty() {
        return;
    }
    let lines: Vec<[String; 3]> = std::iter::once(head.map(str::to_owned)).chain(lines).collect();
    let width = |at: usize| lines.iter().map(|line| columns(&line[at])).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for [name, one, other] in &lines {
        printer.note(&format!(
            "  {name}{}  {}{one}  {}{other}",
            padding(name, widths[0]),
            padding(one, widths[1]),
            padding(other, widths[2]),
        ));
    }
}

fn warn_of(partial: bool, printer: &Printer) {
    if partial {
        printer.warn("a damaged block was left out, so that spans may be missing");
    }
}

fn draw(client: &Client, id: &str, printer: &Printer) -> anyhow::Result<ExitCode> {
    let id: TraceId = id.parse().context("reading the id of the first trace")?;
    let Some(batch) = client.trace(id)? else {
        printer.note(&format!("trace {id} is no longer stored"));
        return Ok(ExitCode::SUCCESS);
    };
    let options = waterfall::Options {
        width: printer.width(),
        paint: printer.paint(),
        ascii: false,
        attributes: false,
        depth: None,
    };
    let mut out = printer.stdout();
    writeln!(out)
        .and_then(|()| waterfall::draw(&batch, options, &mut out))
        .and_then(|()| out.flush())
        .context("writing to stdout")?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_it_is() {
        let far = |share, found, is_series| Some(HowFar { share, found, is_series });
        for (far, expected) in [
            (None, "waiting for the server"),
            (far(0.0, 0, false), "looked at 0 %, 0 traces so far"),
            (far(0.428, 1, false), "looked at 42 %, 1 trace so far"),
            (far(f64::NAN, 1200, true), "looked at 0 %, 1,200 series so far"),
            (far(7.0, 3, true), "looked at 100 %, 3 series so far"),
        ] {
            assert_eq!(shown(far), expected);
        }
    }
}
