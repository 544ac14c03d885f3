//! All that is printed goes through here.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::Color;
use crate::failure::{self, ReaderGone};
use crate::text::clean;

/// The width of output that goes to no terminal, in columns.
const WIDTH_DEFAULT: usize = 100;
/// Narrower terminals get lines that wrap.
const WIDTH_MIN: usize = 30;

/// How output looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    /// With ANSI colours.
    pub color: bool,
}

impl Paint {
    /// Plain text.
    #[cfg(test)]
    pub const PLAIN: Self = Self { color: false };

    /// `text` with an ANSI attribute such as `1` (bold), `31` (red), `38;5;75`.
    pub fn with(self, attribute: &str, text: &str) -> String {
        if self.color && !text.is_empty() {
            format!("\x1b[{attribute}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Faint.
    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// Strong.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Red, for errors.
    pub fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    /// Yellow, for doubts.
    pub fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }
}

/// Writes to stdout and stderr: results to the one, everything else to the other.
#[derive(Debug, Clone)]
pub struct Printer {
    out: Paint,
    err: Paint,
    out_is_terminal: bool,
    err_is_terminal: bool,
    width: usize,
}

impl Printer {
    /// A printer for the process' own streams.
    pub fn new(color: Color) -> Self {
        let out_is_terminal = io::stdout().is_terminal();
        let err_is_terminal = io::stderr().is_terminal();
        let wanted = |is_terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            // https://no-color.org: set to anything but nothing.
            Color::Auto => {
                is_terminal
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        };
        let width = match terminal_size::terminal_size_of(io::stdout()) {
            Some((width, _)) if out_is_terminal => usize::from(width.0).max(WIDTH_MIN),
            _ => WIDTH_DEFAULT,
        };
        Self {
            out: Paint { color: wanted(out_is_terminal) },
            err: Paint { color: wanted(err_is_terminal) },
            out_is_terminal,
            err_is_terminal,
            width,
        }
    }

    /// How stdout is painted.
    pub fn paint(&self) -> Paint {
        self.out
    }

    /// Columns of stdout.
    pub fn width(&self) -> usize {
        self.width
    }

    /// True when a person looks at stdout.
    pub fn is_terminal(&self) -> bool {
        self.out_is_terminal
    }

    /// Stdout, buffered; flush it to learn of errors.
    pub fn stdout(&self) -> BufWriter<Out> {
        BufWriter::with_capacity(64 << 10, Out)
    }

    /// Prints a result.
    pub fn print(&self, text: &str) -> anyhow::Result<()> {
        Out.write_all(text.as_bytes()).and_then(|()| Out.flush()).context("writing to stdout")
    }

    /// Tells the reader something that is no result, on stderr.
    pub fn note(&self, text: &str) {
        self.line(text);
    }

    /// Warns, on stderr.
    pub fn warn(&self, text: &str) {
        self.line(&format!("{}: {text}", self.err.yellow("warning")));
    }

    /// Reports a failure in one line, and advice below.
    pub fn error(&self, error: &anyhow::Error) {
        let chain: Vec<String> =
            error.chain().map(|cause| clean(&cause.to_string()).into_owned()).collect();
        self.line(&format!("{}: {}", self.err.red("error"), chain.join(": ")));
        for hint in failure::hints(error) {
            self.line(&format!("{}: {hint}", self.err.bold("hint")));
        }
    }

    /// Shows what was found about a configuration, as a compiler does.
    pub fn diagnostics(&self, diagnostics: &config::Diagnostics) {
        self.line(diagnostics.render(self.err.color).trim_end());
    }

    fn line(&self, text: &str) {
        // Nobody can be told that stderr is gone.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// A bar of bytes, or a count of them when the total is not known.
    pub fn progress_bytes(&self, total: Option<u64>) -> ProgressBar {
        let template = match total {
            Some(_) => "{wide_bar} {percent:>3} %  {decimal_bytes}/{decimal_total_bytes}  {msg}",
            None => "{spinner} {decimal_bytes}  {msg}",
        };
        self.progress(total, template)
    }

    /// A line that says how far things are.
    pub fn progress_line(&self) -> ProgressBar {
        self.progress(None, "{spinner} {msg}")
    }

    fn progress(&self, total: Option<u64>, template: &str) -> ProgressBar {
        if !self.err_is_terminal {
            return ProgressBar::hidden();
        }
        let target = ProgressDrawTarget::stderr_with_hz(10);
        let bar = ProgressBar::with_draw_target(total, target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸ "));
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }
}

/// Stdout, whose loss can be told from that of any other pipe.
#[derive(Debug, Clone, Copy)]
pub struct Out;

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes).map_err(reader_gone)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush().map_err(reader_gone)
    }
}

fn reader_gone(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, ReaderGone),
        _ => error,
    }
}
