//! Profiles as `pprof` reads them: `profile.proto` of google/pprof, compressed with gzip.

use std::collections::HashMap;
use std::ffi::c_void;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use model::wire::{put_bytes_field, put_message, put_varint, put_varint_unless_zero};

/// The number of the only mapping: the program.
const MAPPING: u64 = 1;

/// What was seen at one place of the program.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample<const N: usize> {
    /// Addresses of instructions, that of the innermost function first.
    pub(super) stack: Box<[usize]>,
    /// One for each of the profile's types.
    pub(super) values: [i64; N],
}

/// A profile.
pub(super) struct Profile<const N: usize> {
    /// What values are, and their unit.
    pub(super) types: [(&'static str, &'static str); N],
    /// The type that is shown first.
    pub(super) default_type: &'static str,
    /// What lies between two samples on average, its unit, and how much of it.
    pub(super) period: (&'static str, &'static str, i64),
    /// When it began.
    pub(super) begun: SystemTime,
    /// How long it took.
    pub(super) lasted: Duration,
    /// For who reads it.
    pub(super) comments: Vec<String>,
    /// In any order.
    pub(super) samples: Vec<Sample<N>>,
}

/// A function and the place in it; several for one instruction where functions are inlined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) function: String,
    pub(super) file: String,
    pub(super) line: u32,
}

/// The places of an instruction, the innermost first. Reads what the program says of itself, which
/// takes long the first time.
pub(super) fn places(address: usize) -> Vec<Place> {
    let mut places = Vec::new();
    backtrace::resolve(address as *mut c_void, |symbol| {
        let file = symbol.filename().map(|file| file.to_string_lossy().into_owned());
        places.push(Place {
            function: symbol.name().map(|name| format!("{name:#}")).unwrap_or_default(),
            file: file.unwrap_or_default(),
            line: symbol.lineno().unwrap_or(0),
        });
    });
    places.retain(|place| !place.function.is_empty());
    places
}

impl<const N: usize> Profile<N> {
    /// Encodes and compresses it; `places` finds what an instruction belongs to.
    pub(super) fn encode(
        &self,
        mut places: impl FnMut(usize) -> Vec<Place>,
    ) -> io::Result<Vec<u8>> {
        let mut tables = Tables::default();
        let mut out = Vec::new();
        // Says that names are in it: readers would look for them elsewhere.
        let program = std::env::current_exe().ok();
        let program = program.as_ref().and_then(|path| path.file_name()?.to_str());
        let program = tables.text(program.unwrap_or("spanfall"));
        put_message(&mut out, 3, |out| {
            put_varint_unless_zero(out, 1, MAPPING);
            put_varint_unless_zero(out, 3, u64::MAX);
            put_varint_unless_zero(out, 5, program);
            for has in 7..=10 {
                put_varint_unless_zero(out, has, 1);
            }
        });
        for (kind, unit) in self.types {
            tables.put_type(&mut out, 1, kind, unit);
        }
        for sample in &self.samples {
            let locations: Vec<u64> =
                sample.stack.iter().map(|&address| tables.location(address, &mut places)).collect();
            put_message(&mut out, 2, |out| {
                put_packed(out, 1, locations.into_iter());
                put_packed(out, 2, sample.values.iter().map(|&value| value as u64));
            });
        }
        let since = self.begun.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        put_varint_unless_zero(&mut out, 9, nanos(since));
        put_varint_unless_zero(&mut out, 10, nanos(self.lasted));
        let (kind, unit, period) = self.period;
        tables.put_type(&mut out, 11, kind, unit);
        put_varint_unless_zero(&mut out, 12, period as u64);
        for comment in &self.comments {
            let comment = tables.text(comment);
            put_varint_unless_zero(&mut out, 13, comment);
        }
        put_varint_unless_zero(&mut out, 14, tables.text(self.default_type));
        tables.put(&mut out);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&out)?;
        gzip.finish()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn put_packed(out: &mut Vec<u8>, number: u32, values: impl Iterator<Item = u64>) {
    let mut packed = Vec::new();
    values.for_each(|value| put_varint(&mut packed, value));
    put_bytes_field(out, number, &packed);
}

/// Texts, functions and locations, each once, by their numbers.
struct Tables {
    texts: HashMap<String, u64>,
    /// In their order.
    strings: Vec<u8>,
    functions: HashMap<(u64, u64), u64>,
    locations: HashMap<usize, u64>,
    /// Messages `Location` and `Function`.
    out: Vec<u8>,
}

impl Default for Tables {
    fn default() -> Self {
        let (functions, locations) = (HashMap::new(), HashMap::new());
        let (texts, strings, out) = (HashMap::new(), Vec::new(), Vec::new());
        let mut tables = Self { texts, strings, functions, locations, out };
        // The format wants the empty text first.
        tables.text("");
        tables
    }
}

impl Tables {
    fn text(&mut self, text: &str) -> u64 {
        if let Some(&known) = self.texts.get(text) {
            return known;
        }
        let number = self.texts.len() as u64;
        put_bytes_field(&mut self.strings, 6, text.as_bytes());
        self.texts.insert(text.to_owned(), number);
        number
    }

    fn put_type(&mut self, out: &mut Vec<u8>, number: u32, kind: &str, unit: &str) {
        let (kind, unit) = (self.text(kind), self.text(unit));
        put_message(out, number, |out| {
            put_varint_unless_zero(out, 1, kind);
            put_varint_unless_zero(out, 2, unit);
        });
    }

    fn function(&mut self, place: &Place) -> u64 {
        let key = (self.text(&place.function), self.text(&place.file));
        if let Some(&known) = self.functions.get(&key) {
            return known;
        }
        let number = self.functions.len() as u64 + 1;
        let (name, file) = key;
        put_message(&mut self.out, 5, |out| {
            put_varint_unless_zero(out, 1, number);
            // Without the name as a linker has it, which readers would take apart again.
            put_varint_unless_zero(out, 2, name);
            put_varint_unless_zero(out, 4, file);
        });
        self.functions.insert(key, number);
        number
    }

    fn location(&mut self, address: usize, mut places: impl FnMut(usize) -> Vec<Place>) -> u64 {
        if let Some(&known) = self.locations.get(&address) {
            return known;
        }
        let number = self.locations.len() as u64 + 1;
        let places = places(address);
        let lines: Vec<(u64, u32)> =
            places.iter().map(|place| (self.function(place), place.line)).collect();
        put_message(&mut self.out, 4, |out| {
            put_varint_unless_zero(out, 1, number);
            put_varint_unless_zero(out, 2, MAPPING);
            put_varint_unless_zero(out, 3, address as u64);
            for (function, line) in lines {
                put_message(out, 4, |out| {
                    put_varint_unless_zero(out, 1, function);
                    put_varint_unless_zero(out, 2, u64::from(line));
                });
            }
        });
        self.locations.insert(address, number);
        number
    }

    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.out);
        out.extend_from_slice(&self.strings);
    }
}
