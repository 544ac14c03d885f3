//! Decompression within a limit, in steps, so that a bomb neither fills memory nor stalls a worker.

use std::io::{self, BufRead, Read};

use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};

use super::body::BodyError;
use super::budget::Reservation;

/// The codings that requests may come in, as HTTP spells them.
pub(crate) const CODINGS: &str = "gzip, deflate, zstd";

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 1950, and RFC 1951 without that wrapping, which some senders mean by "deflate".
    Deflate,
    /// RFC 8878, one frame or several.
    Zstd,
}

impl Coding {
    /// By its name in `Content-Encoding` or `grpc-encoding`; the inner `None` is "identity".
    pub(crate) fn from_name(name: &str) -> Option<Option<Self>> {
        Some(match name.to_ascii_lowercase().as_str() {
            "" | "identity" | "none" => None,
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" | "zlib" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        }
    }
}

/// A decompression under way.
pub(crate) struct Inflater {
    coding: Coding,
    source: Box<dyn Read + Send>,
    /// What the compressed bytes hold of the reservation.
    input_bytes: usize,
    out: Vec<u8>,
}

impl Inflater {
    pub(crate) fn new(coding: Coding, input: Bytes, bytes_max: usize) -> Result<Self, BodyError> {
        let input_bytes = input.len();
        let source: Box<dyn Read + Send> = match coding {
            Coding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input.reader())),
            Coding::Deflate => Box::new(Deflate::new(input)),
            Coding::Zstd => {
                zstd_reader(input, bytes_max).map_err(|error| corrupt(coding, &error))?
            }
        };
        Ok(Self { coding, source, input_bytes, out: Vec::new() })
    }

    /// Decompresses until the end (true) or until `pause_at` bytes are out (false).
    pub(crate) fn run(
        &mut self,
        pause_at: usize,
        bytes_max: usize,
        reservation: &mut Reservation,
    ) -> Result<bool, BodyError> {
        loop {
            if self.out.len() >= bytes_max {
                let ended =
                    self.source.read(&mut [0]).map_err(|error| corrupt(self.coding, &error))? == 0;
                return if ended { Ok(true) } else { Err(BodyError::TooLarge { bytes_max }) };
            }
            if self.out.len() >= pause_at {
                return Ok(false);
            }
            if self.out.len() == self.out.capacity() {
                self.grow(pause_at.min(bytes_max), bytes_max, reservation)?;
            }
            let room = self.out.capacity().min(bytes_max) - self.out.len();
            let read = (&mut self.source).take(room as u64).read_to_end(&mut self.out);
            if read.map_err(|error| corrupt(self.coding, &error))? < room {
                return Ok(true);
            }
        }
    }

    /// Grows by what came out so far, never by what the compressed bytes announce.
    fn grow(
        &mut self,
        first_max: usize,
        bytes_max: usize,
        reservation: &mut Reservation,
    ) -> Result<(), BodyError> {
        let capacity = match self.out.len() {
            0 => (self.input_bytes * 4).max(4096).min(first_max),
            length => (length * 2).min(bytes_max),
        };
        reservation.resize(self.input_bytes + capacity)?;
        self.out.reserve_exact(capacity - self.out.len());
        Ok(())
    }

    /// The output, to which the reservation shrinks.
    pub(crate) fn finish(self, reservation: &mut Reservation) -> Bytes {
        reservation.shrink(self.out.capacity());
        Bytes::from(self.out)
    }
}

fn corrupt(coding: Coding, error: &io::Error) -> BodyError {
    let reason = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        _ => error.to_string(),
    };
    BodyError::Corrupt(format!("the body is not valid {}: {reason}", coding.name()))
}

fn zstd_reader(input: Bytes, bytes_max: usize) -> io::Result<Box<dyn Read + Send>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(input.reader())?;
    // A frame announces its window, which the decoder allocates. RFC 8878 asks for 8 MiB at least;
    // no window needs to exceed the largest content.
    decoder.window_log_max((bytes_max.max(1).ilog2() + 1).clamp(23, 27))?;
    Ok(Box::new(decoder))
}

/// zlib or raw deflate. The readers of `flate2` take the end of the input for the end of the
/// stream, which would let a truncated body pass.
struct Deflate {
    decompress: Decompress,
    input: Reader<Bytes>,
    ended: bool,
}

impl Deflate {
    fn new(input: Bytes) -> Self {
        // RFC 1950 2.2: method 8, and the first two bytes a multiple of 31.
        let zlib = matches!(*input, [first, second, ..]
            if first & 0x0f == 8 && u16::from_be_bytes([first, second]) % 31 == 0);
        Self { decompress: Decompress::new(zlib), input: input.reader(), ended: false }
    }
}

impl Read for Deflate {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.ended || out.is_empty() {
            return Ok(0);
        }
        let (read_before, written_before) =
            (self.decompress.total_in(), self.decompress.total_out());
        let input = self.input.fill_buf()?;
        let available = input.len();
        let status = self.decompress.decompress(input, out, FlushDecompress::None)?;
        let read = (self.decompress.total_in() - read_before) as usize;
        let written = (self.decompress.total_out() - written_before) as usize;
        self.input.consume(read);
        if status == Status::StreamEnd {
            self.ended = true;
            if read < available {
                return Err(io::Error::other("bytes follow its end"));
            }
        } else if written == 0 {
            // All of the input was offered, so more output will not come.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;
    use crate::receivers::ByteBudget;

    /// Compressible, but not to nothing.
    fn plain() -> Vec<u8> {
        (0..20_000u32).flat_map(|number| (number * number % 251).to_le_bytes()).collect()
    }

    fn compressed(plain: &[u8]) -> Vec<(&'static str, Coding, Bytes)> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(plain).unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(plain).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(plain).unwrap();
        let zstd = zstd::encode_all(plain, 3).unwrap();
        vec![
            ("gzip", Coding::Gzip, gzip.finish().unwrap().into()),
            ("zlib", Coding::Deflate, zlib.finish().unwrap().into()),
            ("raw deflate", Coding::Deflate, raw.finish().unwrap().into()),
            ("zstd", Coding::Zstd, zstd.into()),
        ]
    }

    fn inflate(coding: Coding, input: Bytes, bytes_max: usize) -> Result<Bytes, BodyError> {
        let mut reservation = ByteBudget::new(1 << 30).reservation();
        let mut inflater = Inflater::new(coding, input, bytes_max)?;
        assert!(inflater.run(usize::MAX, bytes_max, &mut reservation)?);
        Ok(inflater.finish(&mut reservation))
    }

    #[test]
    fn the_limit_is_exact() {
        let plain = plain();
        for (name, coding, input) in compressed(&plain) {
            let whole = inflate(coding, input.clone(), plain.len()).unwrap();
            assert!(whole == plain, "{name}");
            let over = inflate(coding, input, plain.len() - 1);
            assert!(matches!(over, Err(BodyError::TooLarge { .. })), "{name}: {over:?}");
        }
    }

    #[test]
    fn no_beginning_passes_for_the_whole() {
        for (name, coding, input) in compressed(&plain()) {
            // Nothing at all is no zstd frame, which is well-formed, if little use.
            for length in (1..input.len()).step_by(7).chain([input.len() - 1]) {
                let cut = inflate(coding, input.slice(..length), 1 << 20);
                let corrupt = matches!(cut, Err(BodyError::Corrupt(_)));
                assert!(corrupt, "{name}, {length} bytes of {}", input.len());
            }
        }
    }

    #[test]
    fn output_counts_while_it_grows_and_pauses_where_told() {
        let plain = plain();
        for (name, coding, input) in compressed(&plain) {
            let budget = ByteBudget::new(plain.len() / 2);
            let mut reservation = budget.reservation();
            let mut inflater = Inflater::new(coding, input.clone(), 1 << 20).unwrap();
            let run = inflater.run(usize::MAX, 1 << 20, &mut reservation);
            assert!(matches!(run, Err(BodyError::Busy)), "{name}: {run:?}");

            let budget = ByteBudget::new(1 << 20);
            let mut reservation = budget.reservation();
            let mut inflater = Inflater::new(coding, input, 1 << 20).unwrap();
            assert!(!inflater.run(1000, 1 << 20, &mut reservation).unwrap(), "{name}");
            assert!((1000..=20_000).contains(&inflater.out.len()), "{name}");
            assert!(inflater.run(usize::MAX, 1 << 20, &mut reservation).unwrap(), "{name}");
            let whole = inflater.finish(&mut reservation);
            assert!(whole == plain && budget.used() >= plain.len(), "{name}");
        }
    }
}
