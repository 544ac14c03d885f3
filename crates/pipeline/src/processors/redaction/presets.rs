//! Kinds of private text that are known without a pattern of one's own.

use std::ops::{Range, RangeInclusive};

/// A kind of private text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Numbers of payment cards: 13 to 19 digits, perhaps in groups, whose check digit is right
    /// (ISO/IEC 7812-1, annex B).
    CreditCard,
    /// E-mail addresses (RFC 5321, RFC 6531), also as URLs write them, with `%40`.
    Email,
}

impl Preset {
    /// Finds every text of the kind, and more: [`Self::places`] tells.
    pub(super) fn pattern(self) -> &'static str {
        match self {
            // As many digits as there are: before or behind a card's number stand others.
            Self::CreditCard => r"[0-9](?:[ +-]?[0-9]){12,}",
            // The last part of a domain begins with a letter, that of a version does not.
            Self::Email => r"[\p{L}\p{N}_.%+-]+(?:@|%40)(?:[\p{L}\p{N}-]+\.)+\p{L}[\p{L}\p{N}-]+",
        }
    }

    /// Where in the text it is, in a place that the pattern found.
    pub(super) fn places(self, text: &str, found: Range<usize>) -> Vec<Range<usize>> {
        match self {
            Self::CreditCard => cards(text, found),
            Self::Email => std::iter::once(found).collect(),
        }
    }
}

/// Digits of a card's number.
const CARD_DIGITS: RangeInclusive<usize> = 13..=19;

/// Numbers of cards among groups of digits. A number begins and ends with a group; of several that
/// begin with the same one, the longest counts. A group that letters touch is part of a word.
fn cards(text: &str, found: Range<usize>) -> Vec<Range<usize>> {
    let mut groups = groups(text, found);
    let touches = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    if groups.last().is_some_and(|group| touches(text[group.end..].chars().next())) {
        groups.pop();
    }
    let mut first = 0;
    if groups.first().is_some_and(|group| touches(text[..group.start].chars().next_back())) {
        first = 1;
    }
    let mut found = Vec::new();
    while let Some(begin) = groups.get(first) {
        let mut digits = 0;
        let mut best = None;
        for (at, group) in groups.iter().enumerate().skip(first) {
            digits += group.len();
            if digits > *CARD_DIGITS.end() {
                break;
            }
            let place = begin.start..group.end;
            if CARD_DIGITS.contains(&digits) && has_check_digit(&text[place.clone()]) {
                best = Some((at, place));
            }
        }
        first = match best {
            Some((last, place)) => {
                found.push(place);
                last + 1
            }
            None => first + 1,
        };
    }
    found
}

/// The groups of digits in a part of a text.
fn groups(text: &str, part: Range<usize>) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for at in part {
        match groups.last_mut() {
            _ if !text.as_bytes()[at].is_ascii_digit() => {}
            Some(last) if last.end == at => last.end += 1,
            _ => groups.push(at..at + 1),
        }
    }
    groups
}

/// Luhn's formula.
fn has_check_digit(text: &str) -> bool {
    let digits = text.bytes().rev().filter(u8::is_ascii_digit).map(|digit| u32::from(digit - b'0'));
    let sum: u32 = digits
        .enumerate()
        .map(|(at, digit)| match (at % 2, digit * 2) {
            (0, _) => digit,
            (_, twice) if twice > 9 => twice - 9,
            (_, twice) => twice,
        })
        .sum();
    sum.is_multiple_of(10)
}
