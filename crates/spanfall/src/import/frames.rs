//! Protobuf files, cut into messages.

use std::io::{self, BufRead, Read};

use super::DOCUMENT_BYTES_MAX;
use super::formats::{Format, RESOURCE_SPANS_TAG, is_text};
use super::source::ZSTD;
use crate::text::io_error;

/// A message and where it starts.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// In the decompressed file.
    pub at: u64,
    /// The message.
    pub bytes: Vec<u8>,
}

/// Why a file cannot be read on.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where, in the decompressed file.
    pub at: u64,
    /// What is wrong.
    pub reason: String,
}

/// Reads messages one by one.
pub struct Frames<R> {
    reader: R,
    format: Format,
    at: u64,
}

impl<R: BufRead> Frames<R> {
    /// A reader of a format that is not JSON.
    pub fn new(reader: R, format: Format) -> Self {
        Self { reader, format, at: 0 }
    }

    /// The next message; `None` at the end. Of a single `TracesData`, every resource's spans are a
    /// message, so that a file of any length can be read.
    pub fn next(&mut self) -> Result<Option<Frame>, Broken> {
        loop {
            let at = self.at;
            if self.reader.fill_buf().map_err(|error| broken(at, &error))?.is_empty() {
                return Ok(None);
            }
            match self.frame() {
                Ok(Some(bytes)) => return Ok(Some(Frame { at, bytes })),
                Ok(None) => {}
                Err(error) => return Err(broken(at, &error)),
            }
        }
    }

    fn frame(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut out = Vec::new();
        match self.format {
            Format::Sized => {
                let mut length = [0; 4];
                self.reader.read_exact(&mut length)?;
                self.at += 4;
                self.take(u64::from(u32::from_be_bytes(length)), &mut out)?;
                return unpacked(out).map(Some);
            }
            Format::Delimited => {
                let length = self.varint()?;
                self.take(length, &mut out)?;
            }
            Format::Protobuf | Format::Json => {
                let tag = self.varint()?;
                let length = match tag & 7 {
                    0 => return self.varint().map(|_| None),
                    1 => 8,
                    2 => self.varint()?,
                    5 => 4,
                    _ => return Err(io::Error::other("this is no OTLP protobuf")),
                };
                if tag == u64::from(RESOURCE_SPANS_TAG) {
                    out.push(RESOURCE_SPANS_TAG);
                    model::wire::put_varint(&mut out, length);
                    self.take(length, &mut out)?;
                } else {
                    self.take(length, &mut Vec::new())?;
                    return Ok(None);
                }
            }
        }
        Ok(Some(out))
    }

    /// Appends so many bytes. Grows with what comes, not by what is announced.
    fn take(&mut self, length: u64, out: &mut Vec<u8>) -> io::Result<()> {
        if length > DOCUMENT_BYTES_MAX as u64 {
            let most = crate::text::bytes(DOCUMENT_BYTES_MAX as u64);
            let length = crate::text::bytes(length);
            return Err(io::Error::other(format!("a message has {length}; the most is {most}")));
        }
        let read = (&mut self.reader).take(length).read_to_end(out)? as u64;
        self.at += read;
        if read < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for index in 0..10 {
            let mut byte = [0];
            self.reader.read_exact(&mut byte)?;
            self.at += 1;
            value |= u64::from(byte[0] & 0x7f) << (7 * index);
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err(io::Error::other("this is no OTLP protobuf"))
    }
}

/// The Collector compresses messages one by one.
fn unpacked(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    if !bytes.starts_with(ZSTD) {
        return Ok(bytes);
    }
    let mut out = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_buffer(&bytes[..])?;
    decoder.take(DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut out)?;
    if out.len() > DOCUMENT_BYTES_MAX {
        return Err(io::Error::other("a message is too large once decompressed"));
    }
    Ok(out)
}

fn broken(at: u64, error: &io::Error) -> Broken {
    let reason = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the file ends inside a message".to_owned(),
        _ => io_error(error),
    };
    Broken { at, reason }
}

/// True for a message of the Collector's that is JSON.
pub fn is_json(bytes: &[u8]) -> bool {
    is_text(&bytes[..bytes.len().min(super::formats::HEAD_BYTES)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(format: Format, bytes: &[u8]) -> Result<Vec<Frame>, Broken> {
        let mut frames = Frames::new(bytes, format);
        std::iter::from_fn(|| frames.next().transpose()).collect()
    }

    fn frame(at: u64, bytes: &[u8]) -> Frame {
        Frame { at, bytes: bytes.to_vec() }
    }

    #[test]
    fn cuts_messages() {
        let long = [&[0x0a, 0xc8, 0x01][..], &[7; 200]].concat();
        let two = [&long[..], &[0x0a, 0]].concat();
        // An unknown varint, fixed64 and bytes field lie between.
        let odd = [&long[..], &[0x10, 0xff, 1], &[0x19; 9], &[0x22, 1, 9], &[0x0a, 0]].concat();
        let zstd = zstd::encode_all(&b"{}"[..], 0).unwrap();
        let sized = [&[0, 0, 0, 1, 9], &(zstd.len() as u32).to_be_bytes()[..], &zstd].concat();
        for (format, bytes, frames) in [
            (Format::Protobuf, &[][..], vec![]),
            (Format::Protobuf, &two, vec![frame(0, &long), frame(203, &[0x0a, 0])]),
            (Format::Protobuf, &odd, vec![frame(0, &long), frame(218, &[0x0a, 0])]),
            (
                Format::Delimited,
                &[2, 8, 9, 0, 1, 7],
                vec![frame(0, &[8, 9]), frame(3, &[]), frame(4, &[7])],
            ),
            (Format::Sized, &sized, vec![frame(0, &[9]), frame(5, b"{}")]),
        ] {
            assert_eq!(all(format, bytes), Ok(frames), "{format:?}");
        }
    }

    #[test]
    fn tells_where_it_breaks() {
        let ends = "the file ends inside a message";
        for (format, bytes, at, reason) in [
            (Format::Protobuf, &[0x0a, 0, 0x0a, 5, 1][..], 2, ends),
            (Format::Protobuf, &[0x0a, 0, 0x0b], 2, "this is no OTLP protobuf"),
            (Format::Delimited, &[1, 7, 0x80], 2, ends),
            (Format::Delimited, &[0xff; 11], 0, "this is no OTLP protobuf"),
            (
                Format::Delimited,
                &[0xff, 0xff, 0xff, 0xff, 7],
                0,
                "a message has 2.1 GB; the most is 1.1 GB",
            ),
            (Format::Sized, &[0, 0, 0], 0, ends),
        ] {
            let broken = Broken { at, reason: reason.to_owned() };
            assert_eq!(all(format, bytes), Err(broken), "{format:?} {bytes:?}");
        }
    }
}
