//! Telling formats apart by their first bytes.

/// How many bytes [`detect`] wants to see.
pub const HEAD_BYTES: usize = 4096;

/// The field `resource_spans` of `TracesData`, length-delimited; also a newline.
pub const RESOURCE_SPANS_TAG: u8 = 0x0a;

/// How a file holds spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OTLP JSON: documents, one per line or over several.
    Json,
    /// One protobuf `TracesData`.
    Protobuf,
    /// Protobuf messages, each after its length as a varint, as protobuf's libraries write them.
    Delimited,
    /// Messages, each after its length in four bytes, as the Collector's file exporter writes
    /// protobuf and whatever it compresses.
    Sized,
}

/// The format of a file that starts like this.
pub fn detect(head: &[u8]) -> Result<Format, &'static str> {
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return Err("this is UTF-16; OTLP JSON is UTF-8");
    }
    if is_text(head) {
        return Ok(Format::Json);
    }
    let after_length = head.iter().position(|byte| *byte < 0x80).map_or(head.len(), |end| end + 1);
    match (head[0], head.get(after_length)) {
        // No length-delimited message is so short that it starts like this: a span takes 28 bytes.
        (RESOURCE_SPANS_TAG, _) => Ok(Format::Protobuf),
        // Less than 16 MiB, which no single message of the Collector exceeds.
        (0, _) => Ok(Format::Sized),
        (_, Some(&RESOURCE_SPANS_TAG)) => Ok(Format::Delimited),
        _ => Err("this is neither OTLP JSON nor OTLP protobuf"),
    }
}

/// True for what can be JSON. Protobuf holds control characters within the first few bytes, as
/// lengths and as parts of ids, though it may begin like text.
pub fn is_text(head: &[u8]) -> bool {
    !head.iter().any(|byte| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\r' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let mut generator = loadgen::Generator::new(loadgen::Options::default());
        let mut request = Vec::new();
        generator.request(3, 1_700_000_000_000_000_000, &mut request);
        let mut delimited = Vec::new();
        model::wire::put_varint(&mut delimited, request.len() as u64);
        delimited.extend_from_slice(&request);
        let mut sized = (request.len() as u32).to_be_bytes().to_vec();
        sized.extend_from_slice(&request);
        // Begins with "\n{\n\"", which could be JSON.
        let braces = [b"\n{\n\"\n ", &b"\n\x0cservice.name"[..], &[0; 200]].concat();

        for (head, format) in [
            (&request[..], Ok(Format::Protobuf)),
            (&braces, Ok(Format::Protobuf)),
            (&delimited, Ok(Format::Delimited)),
            (&sized, Ok(Format::Sized)),
            (b"{\"resourceSpans\":[]}", Ok(Format::Json)),
            (b"\n\n  {\n\t\"resourceSpans\": [\r\n", Ok(Format::Json)),
            (b"\xef\xbb\xbf{}", Ok(Format::Json)),
            (b"not json", Ok(Format::Json)),
            (b"", Ok(Format::Json)),
            (b"\xff\xfe{\0", Err("this is UTF-16; OTLP JSON is UTF-8")),
            (b"PAR1\x15\x04", Err("this is neither OTLP JSON nor OTLP protobuf")),
            (b"\xff\xff\xff\xff\xff\x01", Err("this is neither OTLP JSON nor OTLP protobuf")),
        ] {
            assert_eq!(detect(head), format, "{head:?}");
        }
    }
}
