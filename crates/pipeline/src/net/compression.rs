//! Compression of requests.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::{GzEncoder, ZlibEncoder};

/// Up to this many bytes are compressed on the runtime's own threads: a few milliseconds of work.
/// More goes to the blocking pool.
const INLINE_BYTES_MAX: usize = 256 << 10;

/// How requests are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compression {
    /// Default gzip.
    pub algorithm: Algorithm,
    /// `compression_params.level`; by default 1 for gzip, zlib and deflate, which spares CPU
    /// at the price of some bytes, and 3 for zstd; Snappy and LZ4 have none. Numbers outside of
    /// the algorithm's range are taken for the nearest inside.
    pub level: Option<i32>,
}

impl Compression {
    /// None.
    pub const NONE: Self = Self { algorithm: Algorithm::None, level: None };
}

/// The algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// As it is.
    None,
    /// RFC 1952.
    #[default]
    Gzip,
    /// RFC 8878.
    Zstd,
    /// RFC 1950, under the name `zlib`.
    Zlib,
    /// RFC 1950 as well, which is what HTTP means by `deflate`.
    Deflate,
    /// A block of Snappy.
    Snappy,
    /// Snappy in frames, under the name `x-snappy-framed`.
    SnappyFramed,
    /// A frame of LZ4.
    Lz4,
}

impl Algorithm {
    /// By its name in configuration; the empty one is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "" | "none" => Self::None,
            "gzip" => Self::Gzip,
            "zstd" => Self::Zstd,
            "zlib" => Self::Zlib,
            "deflate" => Self::Deflate,
            "snappy" => Self::Snappy,
            "x-snappy-framed" => Self::SnappyFramed,
            "lz4" => Self::Lz4,
            _ => return None,
        })
    }

    /// Its name in `Content-Encoding`, but for zlib's.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
            Self::Zlib => Some("zlib"),
            Self::Deflate => Some("deflate"),
            Self::Snappy => Some("snappy"),
            Self::SnappyFramed => Some("x-snappy-framed"),
            Self::Lz4 => Some("lz4"),
        }
    }
}

/// The parts as one compressed piece.
pub(crate) async fn compress(compression: Compression, parts: &[Bytes]) -> io::Result<Bytes> {
    let bytes: usize = parts.iter().map(Bytes::len).sum();
    if bytes <= INLINE_BYTES_MAX {
        return compress_here(compression, parts, bytes);
    }
    let parts = parts.to_vec();
    tokio::task::spawn_blocking(move || compress_here(compression, &parts, bytes))
        .await
        .map_err(io::Error::other)?
}

fn compress_here(compression: Compression, parts: &[Bytes], bytes: usize) -> io::Result<Bytes> {
    let out = Vec::with_capacity(bytes / 4 + 64);
    let level = compression.level;
    let flate = || flate2::Compression::new(level.unwrap_or(1).clamp(0, 9) as u32);
    Ok(match compression.algorithm {
        Algorithm::None => parts.concat(),
        Algorithm::Gzip => write_all(GzEncoder::new(out, flate()), parts)?.finish()?,
        Algorithm::Zlib | Algorithm::Deflate => {
            write_all(ZlibEncoder::new(out, flate()), parts)?.finish()?
        }
        Algorithm::Zstd => {
            let level = level.unwrap_or(3).clamp(1, 22);
            let mut encoder = zstd::Encoder::new(out, level)?;
            // Lets both ends keep their buffers small.
            encoder.set_pledged_src_size(Some(bytes as u64))?;
            write_all(encoder, parts)?.finish()?
        }
        Algorithm::Snappy => {
            snap::raw::Encoder::new().compress_vec(&parts.concat()).map_err(io::Error::other)?
        }
        Algorithm::SnappyFramed => write_all(snap::write::FrameEncoder::new(out), parts)?
            .into_inner()
            .map_err(|error| io::Error::other(error.error().to_string()))?,
        Algorithm::Lz4 => write_all(lz4_flex::frame::FrameEncoder::new(out), parts)?
            .finish()
            .map_err(io::Error::other)?,
    }
    .into())
}

fn write_all<W: Write>(mut out: W, parts: &[Bytes]) -> io::Result<W> {
    for part in parts {
        out.write_all(part)?;
    }
    Ok(out)
}
