//! Compressions of a batch.

use std::io::{self, Read, Write};

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// What a batch may become when it is decompressed. Brokers take batches of 1 MiB unless they are
/// told otherwise, which seldom become more than 20 MiB.
pub const BATCH_BYTES_MAX: usize = 64 << 20;

/// How a batch is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy, in the frame of snappy-java.
    Snappy,
    /// LZ4's frames.
    Lz4,
    /// RFC 8878.
    Zstd,
}

/// snappy-java's frame: this, two versions, and blocks with their lengths. Clients that have
/// nothing to do with Java write a bare block instead.
const SNAPPY_MAGIC: &[u8] = b"\x82SNAPPY\0";
const SNAPPY_HEAD_BYTES: usize = 16;
const SNAPPY_BLOCK_BYTES: usize = 32 << 10;

impl Compression {
    /// By its name in settings.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "gzip" => Some(Self::Gzip),
            "snappy" => Some(Self::Snappy),
            "lz4" => Some(Self::Lz4),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    pub(super) fn number(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    pub(super) fn from_number(number: i16) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd]
            .into_iter()
            .find(|compression| compression.number() == number)
    }

    pub(super) fn compress(self, bytes: Bytes) -> io::Result<Bytes> {
        match self {
            Self::None => Ok(bytes),
            Self::Gzip => {
                let mut out =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                out.write_all(&bytes)?;
                out.finish().map(Bytes::from)
            }
            Self::Snappy => snappy(&bytes),
            Self::Lz4 => {
                let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
                out.write_all(&bytes)?;
                out.finish().map(Bytes::from).map_err(io::Error::other)
            }
            Self::Zstd => zstd::bulk::compress(&bytes, 0).map(Bytes::from),
        }
    }

    pub(super) fn decompress(self, bytes: Bytes) -> io::Result<Bytes> {
        match self {
            Self::None => Ok(bytes),
            Self::Gzip => read(flate2::bufread::MultiGzDecoder::new(bytes.reader())),
            Self::Snappy => unsnappy(bytes),
            Self::Lz4 => read(lz4_flex::frame::FrameDecoder::new(bytes.reader())),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes.reader())?;
                // 8 MiB, which RFC 8878 asks of all decoders.
                decoder.window_log_max(23)?;
                read(decoder)
            }
        }
    }
}

fn too_large() -> io::Error {
    io::Error::other(format!("it becomes more than {BATCH_BYTES_MAX} bytes"))
}

fn read(from: impl Read) -> io::Result<Bytes> {
    let mut out = Vec::new();
    from.take(BATCH_BYTES_MAX as u64 + 1).read_to_end(&mut out)?;
    if out.len() > BATCH_BYTES_MAX { Err(too_large()) } else { Ok(out.into()) }
}

fn snappy(bytes: &[u8]) -> io::Result<Bytes> {
    let mut out = BytesMut::from(SNAPPY_MAGIC);
    out.put_i32(1);
    out.put_i32(1);
    let mut encoder = snap::raw::Encoder::new();
    for block in bytes.chunks(SNAPPY_BLOCK_BYTES) {
        let block = encoder.compress_vec(block).map_err(io::Error::other)?;
        // No longer than 32 KiB and a little.
        out.put_u32(block.len() as u32);
        out.put_slice(&block);
    }
    Ok(out.freeze())
}

fn unsnappy(mut bytes: Bytes) -> io::Result<Bytes> {
    let mut out = Vec::new();
    if !bytes.starts_with(SNAPPY_MAGIC) {
        unsnap(&bytes, &mut out)?;
        return Ok(out.into());
    }
    if bytes.len() < SNAPPY_HEAD_BYTES {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    bytes.advance(SNAPPY_HEAD_BYTES);
    while !bytes.is_empty() {
        let length = bytes.try_get_u32().map_err(|_| io::ErrorKind::UnexpectedEof)? as usize;
        if length > bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        unsnap(&bytes.split_to(length), &mut out)?;
    }
    Ok(out.into())
}

fn unsnap(block: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let length = snap::raw::decompress_len(block).map_err(io::Error::other)?;
    // A block's elements make 64 bytes of two at most, so that a length beyond it is a lie that
    // nothing should be allocated for.
    if out.len() + length > BATCH_BYTES_MAX || length / 32 > block.len() {
        return Err(too_large());
    }
    let from = out.len();
    out.resize(from + length, 0);
    let written =
        snap::raw::Decoder::new().decompress(block, &mut out[from..]).map_err(io::Error::other)?;
    out.truncate(from + written);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bombs_are_refused() {
        let zeros = Bytes::from(vec![0; BATCH_BYTES_MAX + 1]);
        for compression in [Compression::Gzip, Compression::Snappy, Compression::Lz4] {
            let bomb = compression.compress(zeros.clone()).unwrap();
            assert!(compression.decompress(bomb).is_err(), "{compression:?}");
            let most = compression.compress(zeros.slice(1..)).unwrap();
            assert_eq!(compression.decompress(most).unwrap().len(), BATCH_BYTES_MAX);
        }
        let bomb = Compression::Zstd.compress(zeros).unwrap();
        assert!(Compression::Zstd.decompress(bomb).is_err());
    }

    #[test]
    fn a_bare_block_of_snappy_is_read() {
        let block = snap::raw::Encoder::new().compress_vec(b"bare").unwrap();
        assert_eq!(Compression::Snappy.decompress(block.into()).unwrap(), "bare");
        // Four bytes that claim 60 MiB.
        assert!(
            Compression::Snappy.decompress(Bytes::from_static(&[0x80, 0x80, 0x80, 0x1e])).is_err()
        );
    }
}
