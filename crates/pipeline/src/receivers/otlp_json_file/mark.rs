//! How far a file was read, and which file that is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde_json::{Value, json};

/// Bytes before the place up to which a file was read that are remembered of it. Ids of spans are
/// among them, which are random.
const TAIL_BYTES: usize = 256;

/// A file by its place on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// How far a file was read. Knows it again by its first bytes and the last that were read, wherever
/// it lies now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) file: FileId,
    /// Up to where its lines were taken.
    pub(super) offset: u64,
    /// What comes next is the rest of a line that is not taken.
    pub(super) skipping: bool,
    head: Print,
    tail: Print,
    /// The end of what was read by this process, of which `tail` is, once there is something.
    recent: Vec<u8>,
}

/// Some bytes, by their checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Print {
    bytes: usize,
    crc: u32,
}

impl Print {
    fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len(), crc: crc32c::crc32c(bytes) }
    }

    fn fits(self, file: &File, offset: u64) -> io::Result<bool> {
        Ok(Self::of(&read_at(file, offset, self.bytes)?) == self)
    }
}

/// So many bytes, or as many as there are.
fn read_at(file: &File, mut offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], offset) {
            Ok(0) => break,
            Ok(read) => {
                filled += read;
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

impl Mark {
    /// Nothing was read yet.
    pub(super) fn new(file: FileId) -> Self {
        let (head, tail) = (Print::default(), Print::default());
        Self { file, offset: 0, skipping: false, head, tail, recent: Vec::new() }
    }

    /// The same of a file that lies elsewhere.
    pub(super) fn of(self, file: FileId) -> Self {
        Self { file, ..self }
    }

    /// All that there is now is passed over. A line that is only half there is so as a whole.
    pub(super) fn at_end(id: FileId, file: &File, head_max: usize) -> io::Result<Self> {
        let mut mark = Self::new(id);
        let end = file.metadata()?.len();
        mark.skipping = end > 0 && read_at(file, end - 1, 1)? != b"\n";
        mark.pass(file, end, head_max)?;
        Ok(mark)
    }

    /// Bytes that come next were taken. They are remembered as they were read: the file may be
    /// another by now.
    pub(super) fn advance(&mut self, bytes: &[u8], head_max: usize) {
        if self.head.bytes as u64 == self.offset && self.head.bytes < head_max {
            let more = &bytes[..bytes.len().min(head_max - self.head.bytes)];
            let crc = crc32c::crc32c_append(self.head.crc, more);
            self.head = Print { bytes: self.head.bytes + more.len(), crc };
        }
        self.offset += bytes.len() as u64;
        self.recent.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
        let old = self.recent.len().saturating_sub(TAIL_BYTES);
        self.recent.drain(..old);
        self.tail = Print::of(&self.recent);
    }

    /// What comes next is passed over, up to a place.
    pub(super) fn pass(&mut self, file: &File, to: u64, head_max: usize) -> io::Result<()> {
        self.offset = to;
        let passed = usize::try_from(to).unwrap_or(usize::MAX);
        let wanted = passed.min(head_max);
        if self.head.bytes < wanted {
            self.head = Print::of(&read_at(file, 0, wanted)?);
        }
        let tail = passed.min(TAIL_BYTES);
        self.recent = read_at(file, to - tail as u64, tail)?;
        self.tail = Print::of(&self.recent);
        Ok(())
    }

    /// Whether a file is what was read, perhaps with more behind it.
    pub(super) fn fits(&self, file: &File) -> io::Result<bool> {
        Ok(file.metadata()?.len() >= self.offset
            && self.head.fits(file, 0)?
            && self.tail.fits(file, self.offset - self.tail.bytes as u64)?)
    }

    pub(super) fn to_json(&self) -> Value {
        let print = |print: &Print| json!([print.bytes, print.crc]);
        json!({
            "device": self.file.device,
            "inode": self.file.inode,
            "offset": self.offset,
            "skipping": self.skipping,
            "head": print(&self.head),
            "tail": print(&self.tail),
        })
    }

    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let print = |key: &str| {
            let print = value.get(key)?;
            let bytes = usize::try_from(print.get(0)?.as_u64()?).ok()?;
            Some(Print { bytes, crc: u32::try_from(print.get(1)?.as_u64()?).ok()? })
        };
        let number = |key: &str| value.get(key)?.as_u64();
        let mark = Self {
            file: FileId { device: number("device")?, inode: number("inode")? },
            offset: number("offset")?,
            skipping: value.get("skipping")?.as_bool()?,
            head: print("head")?,
            tail: print("tail")?,
            recent: Vec::new(),
        };
        let is_sound = mark.head.bytes as u64 <= mark.offset && mark.tail.bytes <= TAIL_BYTES;
        (is_sound && mark.tail.bytes as u64 <= mark.offset).then_some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: FileId = FileId { device: 1, inode: u64::MAX };

    fn file(content: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(content, 0).unwrap();
        file
    }

    #[test]
    fn a_file_is_known_again_by_what_was_read_of_it() {
        let long: Vec<u8> = (0..5000u32).map(|number| (number * number % 251) as u8).collect();
        let mut passed = Mark::new(ID);
        passed.pass(&file(&long), 3000, 1000).unwrap();
        let mut taken = Mark::new(ID);
        for part in [0..10, 10..900, 900..2900, 2900..3000] {
            taken.advance(&long[part], 1000);
        }
        assert_eq!(passed, taken);
        let kept = Mark::from_json(&taken.to_json()).unwrap();
        assert_eq!(kept.to_json(), taken.to_json());
        for mark in [taken, kept] {
            is_known(&mark, &long);
        }
        // After a restart the tail is shorter for a while.
        let mut kept = Mark::from_json(&passed.to_json()).unwrap();
        kept.advance(&long[3000..3100], 1000);
        assert_eq!((kept.tail.bytes, kept.head, kept.offset), (100, passed.head, 3100));
        assert!(kept.fits(&file(&long)).unwrap());
    }

    /// A mark at 3,000 with a head of 1,000.
    fn is_known(mark: &Mark, long: &[u8]) {
        let edited = |at: usize| {
            let mut edited = long.to_vec();
            edited[at] ^= 1;
            edited
        };
        for (content, fits) in [
            (long.to_vec(), true),
            (long[..3000].to_vec(), true),
            (long[..2999].to_vec(), false),
            (edited(0), false),
            (edited(999), false),
            (edited(2999), false),
            (edited(2744), false),
            (edited(3000), true),
            (Vec::new(), false),
        ] {
            assert_eq!(mark.fits(&file(&content)).unwrap(), fits, "{}", content.len());
        }
    }

    #[test]
    fn the_end_of_a_file_may_be_inside_a_line() {
        for (content, skipping) in [(&b""[..], false), (b"a\n", false), (b"a\nb", true)] {
            let mark = Mark::at_end(ID, &file(content), 16).unwrap();
            assert_eq!((mark.offset, mark.skipping), (content.len() as u64, skipping));
        }
    }

    #[test]
    fn what_is_no_mark_is_refused() {
        let whole = Mark { offset: 10, ..Mark::new(ID) }.to_json();
        assert!(Mark::from_json(&whole).is_some());
        for (key, value) in [
            ("offset", json!(-1)),
            ("offset", json!("1")),
            ("skipping", json!(null)),
            ("head", json!([11, 0])),
            ("tail", json!([11, 0])),
            ("tail", json!([1])),
            ("head", json!([1, 1u64 << 32])),
        ] {
            let mut broken = whole.clone();
            broken[key] = value;
            assert_eq!(Mark::from_json(&broken), None, "{broken}");
        }
    }
}
