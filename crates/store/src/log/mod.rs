//! The write-ahead log: requests as they came, framed and checked, in numbered segments.
//!
//! Recovery is ingestion of the log.

mod frame;

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, IoSlice, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use frame::{HEADER_BYTES, MAGIC, record_header};
pub use frame::{LogScan, scan_segment};

/// The open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    file: File,
    number: u64,
    bytes: u64,
    /// Part of a record may lie behind `bytes`. It would end the segment for recovery, and hide
    /// from it whatever came behind.
    torn: bool,
}

impl Segment {
    /// Starts a segment.
    pub(crate) fn create(folder: &Path, number: u64) -> io::Result<Self> {
        let path = folder.join(file_name(number));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        file.write_all(MAGIC)?;
        crate::files::sync_folder(folder)?;
        Ok(Self { file, number, bytes: MAGIC.len() as u64, torn: false })
    }

    /// Goes on with a segment that was recovered and ends with its last good record.
    pub(crate) fn resume(path: &Path, number: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let bytes = io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
        Ok(Self { file, number, bytes, torn: false })
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// A handle for making it durable from elsewhere.
    pub(crate) fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Appends records. After an error the segment ends where it ended before; as long as that
    /// cannot be had, it takes nothing.
    pub(crate) fn append(&mut self, records: &[(u64, Bytes)]) -> io::Result<()> {
        self.mend()?;
        let headers: Vec<[u8; HEADER_BYTES]> =
            records.iter().map(|(time, payload)| record_header(*time, payload)).collect();
        let mut slices: Vec<IoSlice<'_>> = headers
            .iter()
            .zip(records)
            .flat_map(|(header, (_, payload))| [IoSlice::new(header), IoSlice::new(payload)])
            .collect();
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let written = write_all_vectored(&mut self.file, &mut slices);
        match &written {
            Ok(()) => self.bytes += total as u64,
            Err(_) => {
                self.torn = true;
                // The first error tells more; a second one keeps the segment torn.
                let _ = self.mend();
            }
        }
        written
    }

    /// Cuts off what a failed append left.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.bytes)?;
            io::Seek::seek(&mut self.file, io::SeekFrom::Start(self.bytes))?;
            self.torn = false;
        }
        Ok(())
    }

    /// False when the file was deleted: what it holds is lost with the process.
    pub(crate) fn is_linked(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn write_all_vectored(file: &mut File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !slices.is_empty() {
        // POSIX lets a system take as few as 16 slices a call, Linux takes 1,024.
        let now = slices.len().min(1024);
        match file.write_vectored(&slices[..now]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(crate) fn file_name(number: u64) -> String {
    format!("{number:016}.log")
}

/// The segments of a folder by number.
pub(crate) fn segments(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".log"))
            .and_then(|number| number.parse().ok());
        if let Some(number) = number {
            all.push((number, path));
        }
    }
    all.sort();
    Ok(all)
}

/// What was wrong with a segment.
#[derive(Debug)]
pub(crate) struct Repair {
    pub(crate) damage: String,
    /// Where the part that was cut off is; `None` when there was nothing to keep.
    pub(crate) kept: Option<PathBuf>,
    /// More is lost with it than the request that was being written as the process ended.
    pub(crate) lost: bool,
}

/// What a part that was cut off a segment has behind the segment's name, when more is lost with it
/// than the request that was being written as the process ended.
const TAIL: &str = ".log.tail";

/// The same when it is that request alone, which nobody was told is safe.
const TORN: &str = ".log.torn";

/// The cut parts in a folder with which records are lost.
pub(crate) fn tails(damaged_folder: &Path) -> io::Result<u64> {
    let mut count = 0;
    for entry in std::fs::read_dir(damaged_folder)? {
        count += u64::from(entry?.file_name().to_string_lossy().contains(TAIL));
    }
    Ok(count)
}

/// Reads a segment and cuts what is not whole off its end. The cut part is kept in
/// `damaged_folder` so that nothing is destroyed. `None` when all of it was whole.
pub(crate) fn recover(
    path: &Path,
    damaged_folder: &Path,
    record: impl FnMut(u64, Bytes),
) -> io::Result<Option<Repair>> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let scan = scan_segment(&mut file, record)?;
    let Some(damage) = scan.damage else { return Ok(None) };
    let mut tail = file.into_inner();
    let (mut kept, mut lost) = (None, false);
    if tail.metadata()?.len() > scan.good_bytes {
        tail.seek(SeekFrom::Start(scan.good_bytes))?;
        let mut content = Vec::new();
        tail.read_to_end(&mut content)?;
        lost = !scan.cut_off || frame::holds_record(&content);
        kept = Some(keep(&content, path, damaged_folder, if lost { TAIL } else { TORN })?);
    }
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(scan.good_bytes)?;
    file.sync_all()?;
    Ok(Some(Repair { damage, kept, lost }))
}

/// Writes the rest of a segment to where nothing is yet.
fn keep(content: &[u8], path: &Path, damaged_folder: &Path, kind: &str) -> io::Result<PathBuf> {
    std::fs::create_dir_all(damaged_folder)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut kept = damaged_folder.join(format!("{name}{kind}"));
    for more in 2.. {
        if !kept.exists() {
            break;
        }
        kept = damaged_folder.join(format!("{name}{kind}-{more}"));
    }
    std::fs::write(&kept, content)?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let mut segment = Segment::create(folder.path(), 3).unwrap();
        segment.append(&[(1, Bytes::from_static(b"one")), (2, Bytes::new())]).unwrap();
        segment.append(&[(3, Bytes::from_static(b"three"))]).unwrap();
        let path = folder.path().join(file_name(3));
        (folder, path)
    }

    fn read(path: &Path) -> (Vec<(u64, Bytes)>, LogScan) {
        let content = Bytes::from(std::fs::read(path).unwrap());
        let mut records = Vec::new();
        let scan =
            scan_segment(&content[..], |time, payload| records.push((time, payload))).unwrap();
        (records, scan)
    }

    #[test]
    fn reads_what_was_appended() {
        let (folder, path) = segment();
        assert_eq!(segments(folder.path()).unwrap(), [(3, path.clone())]);
        let (records, scan) = read(&path);
        assert_eq!(
            records,
            [(1, Bytes::from_static(b"one")), (2, Bytes::new()), (3, Bytes::from_static(b"three"))]
        );
        assert_eq!(scan.damage, None);
    }

    #[test]
    fn every_cut_leaves_the_whole_records_before_it() {
        let (_folder, path) = segment();
        let content = Bytes::from(std::fs::read(&path).unwrap());
        // Ends of the header and of the three records.
        let ends = [8, 27, 43, 64];
        for length in 0..content.len() {
            let mut count = 0;
            let scan = scan_segment(&content[..length], |_, _| count += 1).unwrap();
            let whole = ends.iter().filter(|&&end| end <= length).count();
            assert_eq!(count, whole.saturating_sub(1), "cut at {length}");
            assert_eq!(scan.damage.is_none(), ends.contains(&length), "cut at {length}");
        }
    }

    #[test]
    fn every_flipped_bit_is_found_and_cut_once() {
        let (folder, path) = segment();
        let content = std::fs::read(&path).unwrap();
        // Bytes 43 to 46 are the length of the last record: made longer, it looks torn.
        let lost = |at: usize| (8..=at).filter(|at| !(43..47).contains(at)).count() as u64;
        for at in 8..content.len() {
            let mut wrong = content.clone();
            wrong[at] ^= 0x10;
            std::fs::write(&path, &wrong).unwrap();
            let mut count = 0;
            let damaged = folder.path().join("damaged");
            let repair = recover(&path, &damaged, |_, _| count += 1).unwrap().unwrap();
            assert!(repair.kept.is_some_and(|kept| kept.exists()) && count < 3, "byte {at}");
            assert_eq!(tails(&damaged).unwrap(), lost(at), "byte {at}");
            let (records, after) = read(&path);
            assert_eq!((records.len(), after.damage), (count, None), "byte {at}");
        }
        assert!(folder.path().join("damaged").join("0000000000000003.log.tail").exists());
    }

    #[test]
    fn the_header_of_another_version_is_no_damage() {
        let (folder, path) = segment();
        let content = std::fs::read(&path).unwrap();
        for (header, wanted) in [
            (MAGIC, Ok(None)),
            (b"SPANLOG\x02", Err(io::ErrorKind::Unsupported)),
            (b"SPANLOG\x00", Err(io::ErrorKind::Unsupported)),
            (b"SPANLIG\x01", Ok(Some("no log header at byte 0".to_owned()))),
        ] {
            let other = [&header[..], &content[8..]].concat();
            std::fs::write(&path, &other).unwrap();
            let repair = recover(&path, &folder.path().join("damaged"), |_, _| {});
            let damage = repair.map(|repair| repair.map(|repair| repair.damage));
            let refused = damage.is_err();
            assert_eq!(damage.map_err(|error| error.kind()), wanted, "{header:?}");
            assert!(!refused || std::fs::read(&path).unwrap() == other, "it is left as it is");
        }
    }

    /// A device that takes nothing and cannot be cut: the error of the write is told, and nothing
    /// is appended behind what may be half a record.
    #[test]
    fn a_torn_segment_takes_nothing_until_it_is_mended() {
        let (_folder, path) = segment();
        let real = OpenOptions::new().write(true).open(&path).unwrap();
        let bytes = real.metadata().unwrap().len();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut segment = Segment { file: full, number: 3, bytes, torn: false };
        let four = [(4, Bytes::from_static(b"four"))];
        assert_eq!(segment.append(&four).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(segment.torn);
        // The disk comes back with half a record on it.
        segment.file = real;
        io::Seek::seek(&mut segment.file, io::SeekFrom::End(0)).unwrap();
        segment.file.write_all(b"half").unwrap();
        segment.append(&four).unwrap();
        let (records, scan) = read(&path);
        assert_eq!((records.len(), scan.damage), (4, None));
        assert_eq!(records[3], four[0]);
    }
}
