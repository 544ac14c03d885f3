//! A file's bytes, decompressed, with a look at those that come next.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;

/// The name that stands for standard input.
pub const STDIN: &str = "-";

/// Enough to tell formats apart.
const BUFFER_BYTES: usize = 128 << 10;

const GZIP: &[u8] = &[0x1f, 0x8b];
/// Also that of each message in a compressed file of the Collector.
pub const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// A file that is being read.
pub struct Source(Buffered<Box<dyn Read>>);

impl Source {
    /// Opens a file, or standard input for `-`; counts its bytes, as they are stored, on `bar`.
    pub fn open(path: &Path, bar: &ProgressBar) -> anyhow::Result<Self> {
        if path.as_os_str() == STDIN {
            return Self::new(bar.wrap_read(io::stdin())).context("reading standard input");
        }
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        Self::new(bar.wrap_read(file)).with_context(|| format!("reading {}", path.display()))
    }

    /// Reads from anything; gzip and zstd are told by their first bytes.
    pub fn new(read: impl Read + 'static) -> io::Result<Self> {
        let mut reader = Buffered::new(Box::new(read) as Box<dyn Read>);
        let head = reader.fill_to(ZSTD.len())?;
        let decompressed: Box<dyn Read> = if head.starts_with(GZIP) {
            Box::new(MultiGzDecoder::new(reader))
        } else if head.starts_with(ZSTD) {
            Box::new(zstd::stream::read::Decoder::with_buffer(reader)?)
        } else {
            return Ok(Self(reader));
        };
        Ok(Self(Buffered::new(decompressed)))
    }

    /// The first bytes, without taking them: so many, or all if there are fewer. To be called
    /// before reading.
    pub fn head(&mut self, bytes: usize) -> io::Result<&[u8]> {
        self.0.fill_to(bytes)
    }
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.0.consume(bytes);
    }
}

/// A [`BufReader`] that can be asked for its first bytes.
struct Buffered<R> {
    head: io::Cursor<Vec<u8>>,
    rest: BufReader<R>,
}

impl<R: Read> Buffered<R> {
    fn new(read: R) -> Self {
        Self {
            head: io::Cursor::new(Vec::new()),
            rest: BufReader::with_capacity(BUFFER_BYTES, read),
        }
    }

    /// The first bytes: so many, or all if there are fewer. To be called before reading.
    fn fill_to(&mut self, bytes: usize) -> io::Result<&[u8]> {
        let head = self.head.get_mut();
        let missing = bytes.saturating_sub(head.len()) as u64;
        (&mut self.rest).take(missing).read_to_end(head)?;
        Ok(head)
    }
}

impl<R: Read> Read for Buffered<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.head.read(out)? {
            0 => self.rest.read(out),
            read => Ok(read),
        }
    }
}

impl<R: Read> BufRead for Buffered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if (self.head.position() as usize) < self.head.get_ref().len() {
            return self.head.fill_buf();
        }
        self.rest.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        if (self.head.position() as usize) < self.head.get_ref().len() {
            self.head.consume(bytes);
        } else {
            self.rest.consume(bytes);
        }
    }
}
