//! The log of the server: how much, how it looks, where it goes. It can change while it is written.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use pipeline::telemetry::{LogEncoding, LogLevel, LogOutput, LogSettings};
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriter, MakeWriterExt};
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

/// How much is logged unless something else is said.
const LEVEL_DEFAULT: &str = "info";

/// A filter as it is typed. A word that is no level would be taken for the name of a module that
/// never logs.
pub fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    let text = if text.is_empty() { LEVEL_DEFAULT } else { text };
    let is_known = |directive: &str| {
        let is_level = directive.parse::<tracing::level_filters::LevelFilter>().is_ok();
        is_level || directive.contains('=')
    };
    let filter = EnvFilter::try_new(text).ok();
    filter.filter(|_| text.split(',').all(is_known)).ok_or_else(|| {
        anyhow::anyhow!(
            "--log {text:?} is no level; write off, error, warn, info, debug or trace, or a \
             filter such as info,store=debug"
        )
    })
}

/// What lines are made of that the filter lets through.
type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;

/// How lines look, and where they go.
type Lines = Box<dyn Layer<Filtered> + Send + Sync>;

/// The log of this process.
pub struct Log {
    settings: LogSettings,
    /// Nothing where a filter was typed, which goes before the configuration's level.
    filter: Option<reload::Handle<EnvFilter, Registry>>,
    lines: reload::Handle<Lines, Filtered>,
}

impl Log {
    /// Logs from now on, for as long as the process lives. A filter that was typed goes before the
    /// configuration's level.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub fn start(typed: Option<EnvFilter>, settings: &LogSettings) -> anyhow::Result<Self> {
        let is_typed = typed.is_some();
        let (filter, filter_handle) =
            reload::Layer::new(typed.unwrap_or_else(|| of_level(settings.level)));
        let (lines, lines_handle) = reload::Layer::new(lines(settings)?);
        tracing_subscriber::registry().with(filter).with(lines).init();
        Ok(Self {
            settings: settings.clone(),
            filter: (!is_typed).then_some(filter_handle),
            lines: lines_handle,
        })
    }

    /// Logs as other settings say.
    ///
    /// # Errors
    /// When a file cannot be opened; the log is as it was.
    pub fn change(&mut self, settings: &LogSettings) -> anyhow::Result<()> {
        if self.settings == *settings {
            return Ok(());
        }
        self.lines.reload(lines(settings)?)?;
        if let Some(filter) = &self.filter {
            filter.reload(of_level(settings.level))?;
        }
        self.settings = settings.clone();
        Ok(())
    }
}

/// The filter of a level of the configuration's.
fn of_level(level: Option<LogLevel>) -> EnvFilter {
    EnvFilter::new(match level {
        Some(LogLevel::Debug) => "debug",
        Some(LogLevel::Info) => "info",
        Some(LogLevel::Warn) => "warn",
        Some(LogLevel::Error) => "error",
        None => LEVEL_DEFAULT,
    })
}

fn lines(settings: &LogSettings) -> anyhow::Result<Lines> {
    let is_terminal = match &settings.outputs[..] {
        [LogOutput::Stdout] => io::stdout().is_terminal(),
        [LogOutput::Stderr] | [] => io::stderr().is_terminal(),
        _ => false,
    };
    let mut writer: Option<BoxMakeWriter> = None;
    for output in &settings.outputs {
        let next = match output {
            LogOutput::Stderr => BoxMakeWriter::new(io::stderr),
            LogOutput::Stdout => BoxMakeWriter::new(io::stdout),
            LogOutput::File(path) => {
                let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
                let file = file.with_context(|| {
                    format!("service::telemetry: 'logs.output_paths' {}", path.display())
                })?;
                BoxMakeWriter::new(Mutex::new(file))
            }
        };
        writer = Some(match writer {
            None => next,
            Some(before) => BoxMakeWriter::new(before.and(next)),
        });
    }
    let writer = writer.unwrap_or_else(|| BoxMakeWriter::new(io::stderr));
    let is_json = settings.encoding == LogEncoding::Json;
    let fields = fields(&settings.initial_fields, is_json);
    let writer = Labelled { writer, fields: fields.into(), is_json };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    Ok(match settings.encoding {
        LogEncoding::Console => lines.with_ansi(is_terminal).boxed(),
        // Without the spans of libraries: those that began before have no fields as JSON.
        LogEncoding::Json => {
            let lines = lines.with_ansi(false).json();
            lines.with_current_span(false).with_span_list(false).boxed()
        }
    })
}

/// Fields of every line, as they are written into one.
fn fields(fields: &[(String, String)], is_json: bool) -> String {
    let text = |text: &String| serde_json::Value::from(text.as_str()).to_string();
    let field = |(key, value): &(String, String)| match is_json {
        true => format!("{}:{},", text(key), text(value)),
        false => format!(" {key}={}", text(value)),
    };
    fields.iter().map(field).collect()
}

/// Adds fields to every line.
struct Labelled<M> {
    writer: M,
    fields: Arc<str>,
    is_json: bool,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Labelled<M> {
    type Writer = Line<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line {
            writer: self.writer.make_writer(),
            fields: self.fields.clone(),
            is_json: self.is_json,
        }
    }

    fn make_writer_for(&'a self, metadata: &tracing::Metadata<'_>) -> Self::Writer {
        let writer = self.writer.make_writer_for(metadata);
        Line { writer, fields: self.fields.clone(), is_json: self.is_json }
    }
}

/// Takes a whole line at a time, as the subscriber writes it.
struct Line<W> {
    writer: W,
    fields: Arc<str>,
    is_json: bool,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.fields.is_empty() {
            self.writer.write_all(line)?;
            return Ok(line.len());
        }
        // Behind the brace of JSON, in front of the line break of text.
        let at = match self.is_json {
            true => usize::from(line.first() == Some(&b'{')),
            false => line.len() - usize::from(line.last() == Some(&b'\n')),
        };
        let (before, after) = line.split_at(at);
        self.writer.write_all(&[before, self.fields.as_bytes(), after].concat())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters() {
        for (text, good) in [
            ("", true),
            ("info", true),
            ("WARN", true),
            ("off", true),
            ("info,store=debug", true),
            ("warn,store::engine=trace", true),
            ("bogus", false),
            ("info,bogus", false),
            ("store=bogus", false),
            ("7", false),
        ] {
            assert_eq!(filter(text).is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn every_line_has_the_fields() {
        let own = [("cluster".to_owned(), "a \"b\"".to_owned()), ("n".to_owned(), "1".to_owned())];
        for (is_json, line, expected) in [
            (
                true,
                "{\"level\":\"INFO\"}\n",
                "{\"cluster\":\"a \\\"b\\\"\",\"n\":\"1\",\"level\":\"INFO\"}\n",
            ),
            (false, "INFO it runs\n", "INFO it runs cluster=\"a \\\"b\\\"\" n=\"1\"\n"),
            (false, "", " cluster=\"a \\\"b\\\"\" n=\"1\""),
        ] {
            let fields: Arc<str> = fields(&own, is_json).into();
            let mut out = Vec::new();
            let mut writer = Line { writer: &mut out, fields, is_json };
            assert_eq!(writer.write(line.as_bytes()).unwrap(), line.len());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
