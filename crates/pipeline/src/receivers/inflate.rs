//! Decompression within a limit, in steps, so that a bomb neither fills memory nor stalls a worker.

use std::io::{self, BufRead, Read};

use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status};

use super::body::BodyError;
use super::budget::Reservation;

/// What framed Snappy begins with ("Snappy framing format description", 4.1).
const SNAPPY_FRAMES: &[u8] = b"\xff\x06\0\0sNaPpY";

/// More than a byte of a Snappy block can stand for: a copy of 64 bytes takes three.
const SNAPPY_RATIO_MAX: usize = 32;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 1950, and RFC 1951 without that wrapping, which some senders mean by "deflate".
    Deflate,
    /// RFC 8878, one frame or several.
    Zstd,
    /// A block of Snappy; frames as well, which older Collectors send under its name, and which
    /// gRPC means by it.
    Snappy,
    /// Snappy in frames. They have no end: that all came is for HTTP to tell.
    SnappyFramed,
    /// One frame of LZ4.
    Lz4,
}

impl Coding {
    pub(crate) const ALL: [Self; 6] =
        [Self::Gzip, Self::Deflate, Self::Zstd, Self::Snappy, Self::SnappyFramed, Self::Lz4];

    /// By its name in `Content-Encoding` or `grpc-encoding`; the inner `None` is "identity".
    pub(crate) fn from_name(name: &str) -> Option<Option<Self>> {
        Some(match name.to_ascii_lowercase().as_str() {
            "" | "identity" | "none" => None,
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" | "zlib" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
            "snappy" => Some(Self::Snappy),
            "x-snappy-framed" => Some(Self::SnappyFramed),
            "lz4" => Some(Self::Lz4),
            _ => return None,
        })
    }

    /// Its name in `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
            Self::Snappy => "snappy",
            Self::SnappyFramed => "x-snappy-framed",
            Self::Lz4 => "lz4",
        }
    }
}

/// A decompression under way.
pub(crate) struct Inflater {
    coding: Coding,
    source: Source,
    /// What the compressed bytes hold of the reservation.
    input_bytes: usize,
    out: Vec<u8>,
}

enum Source {
    Stream(Box<dyn Read + Send>),
    /// A block of Snappy, which can only be decompressed whole.
    Block(Bytes),
}

impl Inflater {
    pub(crate) fn new(coding: Coding, input: Bytes, bytes_max: usize) -> Result<Self, BodyError> {
        let input_bytes = input.len();
        let stream: Box<dyn Read + Send> = match coding {
            Coding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input.reader())),
            Coding::Deflate => Box::new(Deflate::new(input)),
            Coding::Zstd => {
                zstd_reader(input, bytes_max).map_err(|error| corrupt(coding, &error))?
            }
            Coding::Snappy if !input.starts_with(SNAPPY_FRAMES) => {
                let source = Source::Block(input);
                return Ok(Self { coding, source, input_bytes, out: Vec::new() });
            }
            Coding::Snappy | Coding::SnappyFramed => {
                Box::new(snap::read::FrameDecoder::new(input.reader()))
            }
            Coding::Lz4 => Box::new(Lz4::new(input)),
        };
        Ok(Self { coding, source: Source::Stream(stream), input_bytes, out: Vec::new() })
    }

    /// Decompresses until the end (true) or until `pause_at` bytes are out (false). A block comes out
    /// whole or, if it is larger than that, not yet.
    pub(crate) fn run(
        &mut self,
        pause_at: usize,
        bytes_max: usize,
        reservation: &mut Reservation,
    ) -> Result<bool, BodyError> {
        let Self { coding, source, input_bytes, out } = self;
        let fault = |error| corrupt(*coding, &error);
        let stream = match source {
            Source::Stream(stream) => stream,
            Source::Block(block) => {
                return run_block(block, out, pause_at, bytes_max, reservation);
            }
        };
        loop {
            if out.len() >= bytes_max {
                let ended = stream.read(&mut [0]).map_err(fault)? == 0;
                return if ended { Ok(true) } else { Err(BodyError::TooLarge { bytes_max }) };
            }
            if out.len() >= pause_at {
                return Ok(false);
            }
            if out.len() == out.capacity() {
                // By what came out so far, never by what the compressed bytes announce.
                let capacity = match out.len() {
                    0 => (*input_bytes * 4).max(4096).min(pause_at).min(bytes_max),
                    length => (length * 2).min(bytes_max),
                };
                reservation.resize(*input_bytes + capacity)?;
                out.reserve_exact(capacity - out.len());
            }
            let room = out.capacity().min(bytes_max) - out.len();
            if stream.take(room as u64).read_to_end(out).map_err(fault)? < room {
                return Ok(true);
            }
        }
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

/// A block of Snappy announces how much it becomes; it is believed no further than its bytes reach.
fn run_block(
    block: &[u8],
    out: &mut Vec<u8>,
    pause_at: usize,
    bytes_max: usize,
    reservation: &mut Reservation,
) -> Result<bool, BodyError> {
    let fault = |error| corrupt(Coding::Snappy, &io::Error::other(error));
    let length = snap::raw::decompress_len(block).map_err(fault)?;
    if length / SNAPPY_RATIO_MAX > block.len() {
        return Err(corrupt(Coding::Snappy, &io::ErrorKind::UnexpectedEof.into()));
    }
    if length > bytes_max {
        return Err(BodyError::TooLarge { bytes_max });
    }
    if length > pause_at {
        return Ok(false);
    }
    reservation.resize(block.len() + length)?;
    out.resize(length, 0);
    let written = snap::raw::Decoder::new().decompress(block, out).map_err(fault)?;
    out.truncate(written);
    Ok(true)
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

/// One frame of LZ4. The decoder takes the end of the input between two blocks for the end of the
/// frame, and knows of nothing that follows it.
struct Lz4 {
    decoder: lz4_flex::frame::FrameDecoder<Input>,
    ended: bool,
}

impl Lz4 {
    fn new(bytes: Bytes) -> Self {
        let input = Input { bytes: bytes.reader(), ran_out: false };
        Self { decoder: lz4_flex::frame::FrameDecoder::new(input), ended: false }
    }
}

impl Read for Lz4 {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.ended || out.is_empty() {
            return Ok(0);
        }
        let read = self.decoder.read(out)?;
        if read == 0 {
            let input = self.decoder.get_ref();
            if input.ran_out {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if input.bytes.get_ref().has_remaining() {
                return Err(io::Error::other("bytes follow its end"));
            }
            self.ended = true;
        }
        Ok(read)
    }
}

/// Knows whether more was asked for than there is.
struct Input {
    bytes: Reader<Bytes>,
    ran_out: bool,
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(out)?;
        self.ran_out |= read == 0 && !out.is_empty();
        Ok(read)
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
        let block: Bytes = snap::raw::Encoder::new().compress_vec(plain).unwrap().into();
        let mut frames = snap::write::FrameEncoder::new(Vec::new());
        frames.write_all(plain).unwrap();
        let frames = Bytes::from(frames.into_inner().unwrap());
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(plain).unwrap();
        vec![
            ("gzip", Coding::Gzip, gzip.finish().unwrap().into()),
            ("zlib", Coding::Deflate, zlib.finish().unwrap().into()),
            ("raw deflate", Coding::Deflate, raw.finish().unwrap().into()),
            ("zstd", Coding::Zstd, zstd.into()),
            ("a block of snappy", Coding::Snappy, block),
            ("snappy in frames, as snappy", Coding::Snappy, frames.clone()),
            ("snappy in frames", Coding::SnappyFramed, frames),
            ("lz4", Coding::Lz4, lz4.finish().unwrap().into()),
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
                // Snappy in frames may end behind each of them, which hold 64 KiB.
                let has_ended = name.contains("frames")
                    && cut.as_ref().is_ok_and(|out| out.len().is_multiple_of(64 << 10));
                let corrupt = matches!(cut, Err(BodyError::Corrupt(_)));
                assert!(corrupt || has_ended, "{name}, {length} bytes of {}", input.len());
            }
        }
    }

    #[test]
    fn what_a_block_announces_is_not_believed() {
        // 60 MiB, in four bytes and in 200 KiB.
        let announced = b"\x80\x80\x80\x1e";
        for more in [0, 200 << 10] {
            let block = [&announced[..], &vec![0; more]].concat();
            let mut reservation = ByteBudget::new(1 << 30).reservation();
            let mut inflater = Inflater::new(Coding::Snappy, block.into(), 64 << 20).unwrap();
            let run = inflater.run(usize::MAX, 64 << 20, &mut reservation);
            assert!(matches!(run, Err(BodyError::Corrupt(_))), "{run:?}");
            assert_eq!((reservation.bytes(), inflater.out.capacity()), (0, 0));
        }
    }

    #[test]
    fn nothing_may_follow_a_frame_of_lz4() {
        let frame = compressed(&plain()).pop().unwrap().2;
        let twice = inflate(Coding::Lz4, frame.repeat(2).into(), 1 << 20);
        assert!(matches!(twice, Err(BodyError::Corrupt(_))), "{twice:?}");
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
            let paused_at = inflater.out.len();
            let is_block = matches!(inflater.source, Source::Block(_));
            assert!((1000..=20_000).contains(&paused_at) || is_block && paused_at == 0, "{name}");
            assert!(inflater.run(usize::MAX, 1 << 20, &mut reservation).unwrap(), "{name}");
            let whole = inflater.finish(&mut reservation);
            assert!(whole == plain && budget.used() >= plain.len(), "{name}");
        }
    }
}
