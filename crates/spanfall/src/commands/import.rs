//! `spanfall import`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;

use crate::client::{OtlpArgs, Patience, Refusal, Sender};
use crate::import::{
    Chunk, Chunker, Document, Documents, Place, Position, Report, STDIN, Source, Trouble,
};
use crate::printer::Printer;
use crate::text::{bytes, count, counted, duration, io_error};

/// A server may take so long to be less busy, in sum per request.
const PATIENCE: Duration = Duration::from_secs(120);
/// Requests that are ready while one is being sent; bounds memory.
const READY_MAX: usize = 2;

/// Arguments of `spanfall import`.
#[derive(Debug, Args)]
#[command(
    long_about = "Sends the spans of files to a server over OTLP/HTTP. Reads OTLP JSON, one \
                  document per line or written over several, and OTLP protobuf, alone, \
                  length-delimited or as the OpenTelemetry Collector's file exporter writes it; \
                  gzip and zstd; told apart by content. What cannot be read is counted and told \
                  at the end, and the rest goes on.",
    after_help = "Examples:\n  \
        spanfall import spans.jsonl.gz more/*.json\n  \
        spanfall export --service cart | spanfall import -\n  \
        spanfall import --otlp-endpoint https://otlp.example/v1/traces spans.pb"
)]
pub struct ImportArgs {
    /// The files; - is standard input
    #[arg(value_name = "FILE", required = true, value_hint = clap::ValueHint::FilePath)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    otlp: OtlpArgs,
}

/// Reads and sends; fails at the end if anything was wrong.
pub fn run(args: ImportArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    let sender = Sender::new(args.otlp.endpoint()?);
    let started = Instant::now();
    let bar = printer.progress_bytes(total_bytes(&args.files));
    let (report, failure) = import(&args.files, sender, &bar);
    bar.finish_and_clear();
    printer.print(&format!(
        "imported {} from {} ({}) in {}\n{report}",
        counted(report.imported, "span"),
        counted(args.files.len() as u64, "file"),
        bytes(bar.position()),
        duration(started.elapsed().as_nanos() as u64),
    ))?;
    match failure {
        Some(failure) => Err(failure.context("the import stopped")),
        None if report.is_clean() => Ok(ExitCode::SUCCESS),
        None => Ok(ExitCode::FAILURE),
    }
}

/// `None` when one of them is no plain file.
fn total_bytes(files: &[PathBuf]) -> Option<u64> {
    files
        .iter()
        .map(|path| {
            std::fs::metadata(path).ok().filter(|file| file.is_file()).map(|file| file.len())
        })
        .sum()
}

/// Reads here and sends from another thread, so that neither waits for the other.
fn import(
    files: &[PathBuf],
    mut sender: Sender,
    bar: &ProgressBar,
) -> (Report, Option<anyhow::Error>) {
    let (ready, chunks) = mpsc::sync_channel::<Chunk>(READY_MAX);
    let imported = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| send(chunks, &mut sender, &imported));
        let mut report = Report::default();
        let mut chunker = Chunker::default();
        // Sending fails when the other thread has given up.
        let pass_on = |chunks: Vec<Chunk>| {
            bar.set_message(format!("{} spans", count(imported.load(Ordering::Relaxed))));
            chunks.into_iter().all(|chunk| ready.send(chunk).is_ok())
        };
        let goes_on = files.iter().all(|path| {
            read(path, bar, &mut report, |document, report| {
                pass_on(take(document, &mut chunker, report))
            })
        });
        if goes_on {
            pass_on(chunker.finish().into_iter().collect());
        }
        drop(ready);
        match sending.join() {
            Ok((sent, failure)) => {
                report.merge(sent);
                (report, failure)
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Gives the documents of a file to `each` until that says no; says whether it never did.
fn read(
    path: &Path,
    bar: &ProgressBar,
    report: &mut Report,
    mut each: impl FnMut(Document, &mut Report) -> bool,
) -> bool {
    let name = if path.as_os_str() == STDIN { "stdin".into() } else { path.to_string_lossy() };
    match Source::open(path, bar) {
        Ok(source) => Documents::new(&name, source).all(|document| each(document, report)),
        Err(error) => {
            let place = Place { file: name.into_owned(), position: Position::File };
            let cause = error.root_cause();
            let reason = cause.downcast_ref().map_or_else(|| cause.to_string(), io_error);
            report.add(Trouble::Document, 1, &reason, &place, "");
            true
        }
    }
}

/// Counts what is wrong with a document, and gives the chunks that it fills.
fn take(document: Document, chunker: &mut Chunker, report: &mut Report) -> Vec<Chunk> {
    let place = &document.place;
    match document.content {
        Ok(batch) => {
            let rejection = batch.rejection();
            report.add(Trouble::Invalid, rejection.spans, &rejection.reason, place, "");
            chunker.add(&batch, place)
        }
        Err(fault) => {
            report.add(Trouble::Document, 1, &fault.reason, place, &fault.field);
            Vec::new()
        }
    }
}

fn send(
    chunks: mpsc::Receiver<Chunk>,
    sender: &mut Sender,
    imported: &AtomicU64,
) -> (Report, Option<anyhow::Error>) {
    let mut report = Report::default();
    for chunk in chunks {
        let spans = chunk.spans as u64;
        let pause = |pause| {
            std::thread::sleep(pause);
            true
        };
        match sender.send(&chunk.bytes, Patience::new(PATIENCE), pause) {
            Ok(outcome) => {
                let rejected = outcome.rejected.min(spans);
                report.imported += spans - rejected;
                imported.store(report.imported, Ordering::Relaxed);
                report.add(Trouble::Rejected, rejected, &outcome.reason, &chunk.first, "or after");
            }
            Err(Refusal::Refused(reason)) => {
                report.add(Trouble::Refused, spans, &reason, &chunk.first, "and after");
            }
            Err(Refusal::Gone(error)) => {
                return (report, Some(error.context(format!("sending {}", chunk.first))));
            }
        }
    }
    (report, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::stub::{Stub, reply};

    fn file(folder: &tempfile::TempDir, name: &str, content: &[u8]) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn request(seed: u64, spans: usize) -> Vec<u8> {
        let options = loadgen::Options { seed, ..loadgen::Options::default() };
        let mut out = Vec::new();
        loadgen::Generator::new(options).request(spans, 1_700_000_000_000_000_000, &mut out);
        out
    }

    fn run_on(stub: &Stub, files: &[PathBuf]) -> (Report, Option<anyhow::Error>) {
        import(files, Sender::new(stub.url().to_owned()), &ProgressBar::hidden())
    }

    fn spans_received(stub: &Stub) -> usize {
        let decode = |body: Vec<u8>| model::SpanBatch::decode(body.into()).unwrap().len();
        stub.requests().into_iter().map(|request| decode(request.body)).sum()
    }

    #[test]
    fn every_format_gives_the_same_spans() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (request(1, 20), request(2, 30));
        let json = |bytes: &[u8]| model::json::encode(bytes).unwrap();
        let lines = format!("{}\n{}\n", json(&one), json(&two));
        let pretty: serde_json::Value = serde_json::from_str(&json(&one)).unwrap();
        let pretty = serde_json::to_string_pretty(&pretty).unwrap() + "\n" + &json(&two);
        let mut delimited = Vec::new();
        let mut sized = Vec::new();
        for message in [&one, &two] {
            model::wire::put_varint(&mut delimited, message.len() as u64);
            delimited.extend_from_slice(message);
            let packed = zstd::encode_all(&message[..], 0).unwrap();
            sized.extend_from_slice(&(packed.len() as u32).to_be_bytes());
            sized.extend_from_slice(&packed);
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, lines.as_bytes()).unwrap();
        for (name, content) in [
            ("lines", lines.clone().into_bytes()),
            ("pretty", pretty.into_bytes()),
            ("protobuf", [&one[..], &two].concat()),
            ("delimited", delimited),
            ("sized", sized),
            ("gzip", gzip.finish().unwrap()),
            ("zstd", zstd::encode_all(lines.as_bytes(), 0).unwrap()),
        ] {
            let stub = Stub::new([reply(200, &[], b"")]);
            let (report, failure) = run_on(&stub, &[file(&folder, name, &content)]);
            assert!(failure.is_none(), "{name}: {failure:?}");
            assert_eq!((report.imported, report.to_string().as_str()), (50, ""), "{name}");
            assert_eq!(spans_received(&stub), 50, "{name}");
        }
    }

    #[test]
    fn goes_on_after_what_is_bad() {
        let folder = tempfile::tempdir().unwrap();
        let good = model::json::encode(&request(1, 3)).unwrap();
        let lines = format!(
            "{good}\n{{\"resourceSpans\":[{{]}}\n{{\"resourceSpans\":7}}\n  {{\"resourceSpans\":8}}\n\
             {{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{{\"name\":\"x\"}}]}}]}}]}}\n{good}"
        );
        let files = [
            file(&folder, "a.jsonl", lines.as_bytes()),
            folder.path().join("missing"),
            file(&folder, "cut.pb", &request(1, 5)[..100]),
            file(&folder, "good.json", good.as_bytes()),
        ];
        let stub = Stub::new([reply(200, &[], b"")]);
        let (report, failure) = run_on(&stub, &files);
        assert!(failure.is_none());
        assert_eq!(report.imported, 9);
        assert_eq!(spans_received(&stub), 9);
        let text = report.to_string().replace(&format!("{}/", folder.path().display()), "");
        insta::assert_snapshot!(text, @r#"
        5 documents could not be read:
                1  expected a field's name in quotes, found ]
                   at a.jsonl:2:20 resourceSpans[0]
                1  expected an array, found 7
                   at a.jsonl:3:18 resourceSpans
                1  expected an array, found 8
                   at a.jsonl:4:20 resourceSpans
                1  no such file or directory
                   at missing
                1  the file ends inside a message
                   at cut.pb, byte 0
        1 span left out as invalid:
                1  a span's trace id is missing or all zeros
                   at a.jsonl:5:1
        "#);
    }

    #[test]
    fn tells_what_the_server_did_not_take() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "a.json", model::json::encode(&request(1, 5)).unwrap().as_bytes());
        let rejection = model::Rejection { spans: 2, reason: "too old".to_owned() };
        let partial = model::export_response(&rejection);
        for (answer, imported, reason) in [
            (reply(200, &[], &partial), 3, "too old"),
            (reply(400, &[], b"no"), 0, "HTTP status 400: no"),
        ] {
            let (report, failure) = run_on(&Stub::new([answer]), std::slice::from_ref(&path));
            assert!(failure.is_none());
            assert_eq!(report.imported, imported);
            assert!(report.to_string().contains(reason), "{report}");
        }
        let dead = Stub::new([]).into_dead_url();
        let (report, failure) = import(&[path], Sender::new(dead), &ProgressBar::hidden());
        assert_eq!(report.imported, 0);
        assert!(format!("{:#}", failure.unwrap()).contains("no OTLP server answers"));
    }
}
