//! Kinds of private text that are known without a pattern of one's own.

use std::ops::{Range, RangeInclusive};

/// A kind of private text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Numbers of payment cards: 13 to 19 digits, perhaps in groups, as an issuer gives them out,
    /// whose check digit is right (ISO/IEC 7812-1, annex B), also as URLs write them, with `%20`.
    CreditCard,
    /// E-mail addresses (RFC 5321, RFC 6531), also as URLs write them, with `%40`, and URLs inside
    /// URLs, with `%2540`.
    Email,
}

impl Preset {
    /// Finds every text of the kind, and more: [`Self::places`] tells.
    pub(super) fn pattern(self) -> &'static str {
        match self {
            // As many digits as there are: before or behind a card's number stand others.
            Self::CreditCard => {
                r"[0-9](?:(?:[\p{Zs}\t\r\n\p{Pd}\u{2212}._+]|%2[0BbDd]){0,3}[0-9]){12,}"
            }
            // The last part of a domain begins with a letter, that of a version does not. Letters
            // may be followed by marks, such as vowels of Hindi. In quotes stands anything, and in
            // place of a domain an address.
            Self::Email => concat!(
                r#"(?:[\p{L}\p{M}\p{N}_.%+-]+(?:['’][\p{L}\p{M}\p{N}_.%+-]+)*|"[^"\r\n]+")"#,
                r"(?:@|%(?:25)*40)",
                r"(?:(?:[\p{L}\p{M}\p{N}-]+\.)+\p{L}[\p{L}\p{M}\p{N}-]+",
                r"|\[(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|(?i:IPv6):[0-9A-Fa-f:.]+)\])",
            ),
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

/// The most digits of a card's number.
const CARD_DIGITS_MAX: usize = 19;

/// By which four digits cards' numbers begin (ISO/IEC 7812-1), and how many they have. Times since
/// 1970 begin otherwise, and so do most numbers that are given out one after the other.
const ISSUERS: [(RangeInclusive<usize>, &[usize]); 14] = [
    // Visa
    (4000..=4999, &[13, 16, 19]),
    // Mastercard
    (5100..=5599, &[16]),
    (2221..=2720, &[16]),
    // American Express
    (3400..=3499, &[15]),
    (3700..=3799, &[15]),
    // Diners Club
    (3000..=3059, &[14, 15, 16, 17, 18, 19]),
    (3600..=3699, &[14, 15, 16, 17, 18, 19]),
    (3800..=3999, &[14, 15, 16, 17, 18, 19]),
    // JCB
    (3528..=3589, &[16, 17, 18, 19]),
    // Mir
    (2200..=2204, &[16, 17, 18, 19]),
    // Maestro
    (5000..=5099, &[13, 14, 15, 16, 17, 18, 19]),
    (5600..=5899, &[13, 14, 15, 16, 17, 18, 19]),
    (6300..=6399, &[13, 14, 15, 16, 17, 18, 19]),
    // Discover, UnionPay, RuPay, Maestro
    (6000..=6999, &[16, 17, 18, 19]),
];

/// Numbers of cards among groups of digits. A number begins and ends with a group; of several that
/// begin with the same one, the longest counts. A group that letters follow is part of a word, and
/// so is one behind a word that is none of letters alone, or may be hexadecimal.
fn cards(text: &str, found: Range<usize>) -> Vec<Range<usize>> {
    let mut groups = groups(text, found);
    let touches = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    if groups.last().is_some_and(|group| touches(text[group.end..].chars().next())) {
        groups.pop();
    }
    let mut first = 0;
    if groups.first().is_some_and(|group| !can_follow(word_before(text, group.start))) {
        first = 1;
    }
    let mut found = Vec::new();
    while let Some(begin) = groups.get(first) {
        let mut digits = 0;
        let mut best = None;
        for (at, group) in groups.iter().enumerate().skip(first) {
            digits += group.len();
            if digits > CARD_DIGITS_MAX {
                break;
            }
            if is_card(text, &groups, first..=at) {
                best = Some((at, begin.start..group.end));
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

/// Whether these groups are a card's number.
fn is_card(text: &str, groups: &[Range<usize>], own: RangeInclusive<usize>) -> bool {
    let is_dot = |left: usize| match groups.get(left..left + 2) {
        Some([left, right]) => &text[left.end..right.start] == ".",
        _ => false,
    };
    let (first, last) = own.clone().into_inner();
    let is_fraction = |before: &[u8]| matches!(before, [.., digit, b'.'] if digit.is_ascii_digit());
    let goes_on = |after: &[u8]| matches!(after, [b'.', digit, ..] if digit.is_ascii_digit());
    let (before, after) =
        (&text.as_bytes()[..groups[first].start], &text.as_bytes()[groups[last].end..]);
    // What a dot divides once, or stands beside, is a decimal number or an address.
    let has_dot = (first..last).any(is_dot);
    let is_decimal = has_dot && (groups[first].len() != 4 || last - first < 2);
    if is_fraction(before) || goes_on(after) || is_decimal {
        return false;
    }
    let number = groups[own].iter().flat_map(|group| text[group.clone()].bytes());
    let digits: Vec<usize> = number.map(|digit| usize::from(digit - b'0')).collect();
    is_issued(&digits) && has_check_digit(&digits)
}

fn is_issued(digits: &[usize]) -> bool {
    let Some(leading) = digits.get(..4) else { return false };
    let leading = leading.iter().fold(0, |leading, digit| leading * 10 + digit);
    ISSUERS
        .iter()
        .any(|(range, lengths)| range.contains(&leading) && lengths.contains(&digits.len()))
}

/// The letters and digits right before a byte, but for those of an escape.
fn word_before(text: &str, end: usize) -> &str {
    let before = text[..end].char_indices().rev();
    let own = before.take_while(|(at, c)| c.is_alphanumeric() && !is_of_escape(text, *at));
    own.last().map_or("", |(start, _)| &text[start..end])
}

/// Whether a number may stand right behind a word, such as that of `PAN4111…`; an identifier goes
/// on.
fn can_follow(word: &str) -> bool {
    let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    word.is_empty() || !is_hex && word.chars().all(char::is_alphabetic)
}

/// The groups of digits in a part of a text.
fn groups(text: &str, part: Range<usize>) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for at in part {
        match groups.last_mut() {
            _ if !text.as_bytes()[at].is_ascii_digit() || is_of_escape(text, at) => {}
            Some(last) if last.end == at => last.end += 1,
            _ => groups.push(at..at + 1),
        }
    }
    groups
}

/// Whether a byte is one of the two digits of a character as URLs escape it (RFC 3986 2.1), such as
/// those of `%3D` before a number.
fn is_of_escape(text: &str, at: usize) -> bool {
    let is_escape = |from: usize| match text.as_bytes().get(from..from + 3) {
        Some([b'%', digits @ ..]) => digits.iter().all(u8::is_ascii_hexdigit),
        _ => false,
    };
    at.checked_sub(1).is_some_and(is_escape) || at.checked_sub(2).is_some_and(is_escape)
}

/// Luhn's formula.
fn has_check_digit(digits: &[usize]) -> bool {
    let sum: usize = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, digit * 2) {
            (0, _) => *digit,
            (_, twice) if twice > 9 => twice - 9,
            (_, twice) => twice,
        })
        .sum();
    sum.is_multiple_of(10)
}
