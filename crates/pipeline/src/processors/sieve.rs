//! What a text must have before a pattern can be found in it: asked first, because most texts do
//! not have it, and it costs a fraction of what trying the pattern does.

use regex::Regex;
use regex_syntax::hir::{Class, Hir, HirKind};

/// How many sets of bytes are looked for at once.
const SETS_MAX: usize = 64;

/// What several patterns need.
pub(super) struct Sieve {
    /// In which of the sets a byte is.
    sets: [u64; 256],
    needs: Vec<Needs>,
    /// The shortest text in which any of them is found.
    length_min: usize,
}

/// What one pattern needs.
struct Needs {
    length_min: usize,
    /// A byte of each of these.
    sets: u64,
    /// So many bytes one after the other that the pattern is made of; `None` when it is made of
    /// any.
    made_of: Option<Box<Bytes>>,
}

impl Sieve {
    /// Of patterns made by [`Regex::new`]: one with options of a builder's does not tell them.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a Regex>) -> Self {
        let mut known: Vec<Bytes> = Vec::new();
        let needs: Vec<Needs> =
            patterns.into_iter().map(|pattern| Needs::of(pattern, &mut known)).collect();
        let mut sets = [0; 256];
        for (byte, own) in (0..=u8::MAX).zip(&mut sets) {
            for (at, set) in known.iter().enumerate() {
                *own |= u64::from(set.has(byte)) << at;
            }
        }
        let length_min = needs.iter().map(|needs| needs.length_min).min().unwrap_or(usize::MAX);
        Self { sets, needs, length_min }
    }

    /// Whether one of the patterns may be found in a text.
    pub fn passes(&self, text: &[u8]) -> bool {
        if text.len() < self.length_min {
            return false;
        }
        let sets = text.iter().fold(0, |sets, &byte| sets | self.sets[usize::from(byte)]);
        self.needs.iter().any(|needs| needs.are_met(text, sets))
    }
}

impl Needs {
    fn of(pattern: &Regex, known: &mut Vec<Bytes>) -> Self {
        let Ok(hir) = regex_syntax::parse(pattern.as_str()) else {
            return Self { length_min: 0, sets: 0, made_of: None };
        };
        let mut needed = Vec::new();
        need(&hir, &mut needed);
        let mut sets = 0;
        for set in needed {
            let at = known.iter().position(|own| *own == set).unwrap_or_else(|| {
                known.push(set);
                known.len() - 1
            });
            if at < SETS_MAX {
                sets |= 1 << at;
            }
        }
        known.truncate(SETS_MAX);
        let mut made_of = Bytes::default();
        add_all(&hir, &mut made_of);
        let length_min = hir.properties().minimum_len().unwrap_or(0);
        let has_any = length_min < 2 || (b' '..=b'~').all(|byte| made_of.has(byte));
        Self { length_min, sets, made_of: (!has_any).then(|| Box::new(made_of)) }
    }

    fn are_met(&self, text: &[u8], sets: u64) -> bool {
        text.len() >= self.length_min
            && sets & self.sets == self.sets
            && self.made_of.as_ref().is_none_or(|bytes| bytes.has_run(text, self.length_min))
    }
}

/// A set of bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Bytes([u64; 4]);

impl Bytes {
    fn add(&mut self, first: u8, last: u8) {
        for byte in first..=last {
            self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
    }

    fn add_class(&mut self, class: &Class) {
        match class {
            Class::Bytes(class) => {
                class.iter().for_each(|range| self.add(range.start(), range.end()));
            }
            Class::Unicode(class) => {
                for range in class.iter() {
                    let ascii = |c: char| u8::try_from(c).unwrap_or(u8::MAX).min(0x7f);
                    if range.start().is_ascii() {
                        self.add(range.start() as u8, ascii(range.end()));
                    }
                    if !range.end().is_ascii() {
                        self.add(0x80, u8::MAX);
                    }
                }
            }
        }
    }

    fn add_set(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own |= other);
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    fn len(&self) -> u32 {
        self.0.iter().map(|part| part.count_ones()).sum()
    }

    /// Whether so many bytes of the set follow one another, at least one.
    fn has_run(&self, text: &[u8], length: usize) -> bool {
        // Where the run could begin, and a place that it would then cover.
        let mut begin = 0;
        while let Some(&last) = text.get(begin + length - 1) {
            if !self.has(last) {
                begin += length;
                continue;
            }
            let before = text[begin..begin + length - 1].iter().rev();
            let tail = before.take_while(|byte| self.has(**byte)).count() + 1;
            let start = begin + length - tail;
            let rest = text[begin + length..].iter().take(start - begin);
            let more = rest.take_while(|byte| self.has(**byte)).count();
            if tail + more >= length {
                return true;
            }
            begin = start + tail + more + 1;
        }
        false
    }
}

/// Sets of which whatever the expression matches has a byte each.
fn need(hir: &Hir, sets: &mut Vec<Bytes>) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => {
            for &byte in literal.0.iter() {
                let mut one = Bytes::default();
                one.add(byte, byte);
                sets.push(one);
            }
        }
        HirKind::Class(class) => {
            let mut set = Bytes::default();
            set.add_class(class);
            sets.push(set);
        }
        HirKind::Repetition(repetition) if repetition.min == 0 => {}
        HirKind::Repetition(repetition) => need(&repetition.sub, sets),
        HirKind::Capture(capture) => need(&capture.sub, sets),
        HirKind::Concat(parts) => parts.iter().for_each(|part| need(part, sets)),
        HirKind::Alternation(ways) => {
            let mut any = Bytes::default();
            for way in ways {
                let mut own = Vec::new();
                need(way, &mut own);
                match own.iter().min_by_key(|set| set.len()) {
                    Some(rarest) => any.add_set(rarest),
                    None => return,
                }
            }
            sets.push(any);
        }
    }
}

/// Adds every byte that a match may have.
fn add_all(hir: &Hir, set: &mut Bytes) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => literal.0.iter().for_each(|&byte| set.add(byte, byte)),
        HirKind::Class(class) => set.add_class(class),
        HirKind::Repetition(repetition) => add_all(&repetition.sub, set),
        HirKind::Capture(capture) => add_all(&capture.sub, set),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().for_each(|part| add_all(part, set));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sieve(patterns: &[&str]) -> Sieve {
        let patterns: Vec<Regex> = patterns.iter().map(|one| Regex::new(one).unwrap()).collect();
        Sieve::new(&patterns)
    }

    #[test]
    fn what_cannot_match_is_held_back() {
        let card = "4[0-9]{12}(?:[0-9]{3})?";
        let mail = "[a-z0-9.]+@[a-z0-9.]+";
        for (patterns, text, passes) in [
            (&[][..], "anything", false),
            (&[""][..], "", true),
            (&[card], "4111111111111", true),
            (&[card], "pay 4111111111111 now", true),
            (&[card], "411111111111", false),
            (&[card], "a4111111-11111111-4", false),
            (&[card], "1111111111111111", false),
            (&[mail], "a@b", true),
            (&[mail], "to A@b.c", true),
            (&[mail], "nobody", false),
            (&[mail], "@b", false),
            (&[mail], "- @ -", false),
            (&[card, mail], "a@b", true),
            (&[card, mail], "4000", false),
            (&["(?i)token"], "the TOKEN", true),
            (&["(?i)token"], "the TAKEN", false),
            (&["cat|dog"], "god", true),
            (&["cat|dog"], "coda", true),
            (&["cat|dog"], "cow", false),
            (&["cat|dog"], "toga", false),
            (&["cat|dog"], "hen", false),
            (&["cat|x*"], "hen", true),
            (&[r"\d{3}"], "٣٣٣", true),
            (&[r"\d{3}"], "abc", false),
            (&[r"\bKey\b.*é"], "Key: é", true),
            (&[r"\bKey\b.*é"], "Key: e", false),
            (&["a{0}b+"], "b", true),
        ] {
            assert_eq!(sieve(patterns).passes(text.as_bytes()), passes, "{patterns:?} {text}");
        }
    }

    #[test]
    fn more_sets_than_are_looked_for_at_once_hold_nothing_back() {
        let letters: String = ('!'..='~').filter(char::is_ascii_alphanumeric).collect();
        let patterns = [letters.as_str(), "[!#]", "%;", "~"];
        for text in [letters.as_str(), "!", "%;", "~"] {
            assert!(sieve(&patterns).passes(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn runs_are_found(text in "[ab]{0,24}", length in 1..6usize) {
            let mut set = Bytes::default();
            set.add(b'a', b'a');
            prop_assert_eq!(set.has_run(text.as_bytes(), length), text.contains(&"a".repeat(length)));
        }

        #[test]
        fn what_is_found_passes(
            parts in proptest::collection::vec(
                prop::sample::select(vec![
                    "a", "bc", "[0-9]{2}", "[^a]", r"\w", "(?:a|bc)", "(?:x|)", "é*", "[é-ü]", ".",
                    r"\b", "^", "$", "(?i:k)", "c{2,3}", "-?",
                ]),
                1..5,
            ),
            text in "[abckK0-2 éü-]{0,12}",
        ) {
            let pattern = Regex::new(&parts.concat()).unwrap();
            if pattern.is_match(&text) {
                prop_assert!(Sieve::new([&pattern]).passes(text.as_bytes()), "{pattern}");
            }
        }
    }
}
