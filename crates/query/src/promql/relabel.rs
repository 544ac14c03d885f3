//! Functions that change labels, or the order of series.

use regex::{Captures, Regex};

use super::error::PromqlError;
use super::value::{Budget, LABEL_BYTES_MAX, Vector};

/// `label_replace`: where a label's value is as the expression says, another is set from it.
pub(super) fn replace(
    vector: &mut Vector,
    target: &str,
    replacement: &str,
    source: &str,
    regex: &Regex,
    budget: &Budget,
) -> Result<(), PromqlError> {
    for series in &mut vector.series {
        budget.go_on()?;
        let value = series.labels.get(source);
        let Some(found) = regex.captures(value) else { continue };
        let expanded = expanded(&found, replacement, target)?;
        budget.take_label(&mut vector.held, target, &expanded)?;
        series.labels.set(target, expanded);
    }
    vector.settle()
}

/// A replacement with what was found in its places, of a length that a label may have.
fn expanded(found: &Captures, replacement: &str, target: &str) -> Result<String, PromqlError> {
    let mut expanded = String::new();
    let mut rest = replacement;
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(piece(rest));
        found.expand(piece, &mut expanded);
        not_too_long(&expanded, target)?;
        rest = more;
    }
    Ok(expanded)
}

/// The length of what a replacement begins with: text, or a reference and the text behind it. No
/// reference is cut.
fn piece(rest: &str) -> usize {
    match rest.as_bytes() {
        [b'$', b'$', ..] => 2,
        [b'$', b'{', ..] => rest.find('}').map_or(2, |end| end + 1),
        bytes => {
            bytes.iter().skip(1).position(|byte| *byte == b'$').map_or(rest.len(), |at| at + 1)
        }
    }
}

fn not_too_long(value: &str, label: &str) -> Result<(), PromqlError> {
    match value.len() > LABEL_BYTES_MAX {
        true => Err(PromqlError::execution(format!(
            "the label {label} would have more than {} KiB",
            LABEL_BYTES_MAX >> 10
        ))),
        false => Ok(()),
    }
}

/// `label_join`: sets a label to the values of others.
pub(super) fn join(
    vector: &mut Vector,
    target: &str,
    separator: &str,
    sources: &[String],
    budget: &Budget,
) -> Result<(), PromqlError> {
    for series in &mut vector.series {
        budget.go_on()?;
        let mut joined = String::new();
        for (at, source) in sources.iter().enumerate() {
            if at > 0 {
                joined.push_str(separator);
            }
            joined.push_str(series.labels.get(source));
            not_too_long(&joined, target)?;
        }
        budget.take_label(&mut vector.held, target, &joined)?;
        series.labels.set(target, joined);
    }
    vector.settle()
}

/// `sort` and `sort_desc`: by the value at the first step, which is the only one where order
/// counts. NaN comes last.
pub(super) fn sort(vector: &mut Vector, descending: bool) {
    vector.series.sort_by(|one, other| {
        let value = |series: &super::value::Series| series.values.first().copied();
        let (one_value, other_value) =
            (value(one).unwrap_or(f64::NAN), value(other).unwrap_or(f64::NAN));
        let nan_last = one_value.is_nan().cmp(&other_value.is_nan());
        let order = match descending {
            false => one_value.partial_cmp(&other_value),
            true => other_value.partial_cmp(&one_value),
        };
        let order = order.unwrap_or(std::cmp::Ordering::Equal);
        nan_last.then(order).then_with(|| one.labels.cmp(&other.labels))
    });
}

/// `sort_by_label`: by the values of labels, in which numbers are compared as such.
pub(super) fn sort_by_label(vector: &mut Vector, labels: &[String], descending: bool) {
    vector.series.sort_by(|one, other| {
        let named =
            labels.iter().map(|label| natural(one.labels.get(label), other.labels.get(label)));
        let order = named.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then);
        let order = order.then_with(|| one.labels.cmp(&other.labels));
        if descending { order.reverse() } else { order }
    });
}

/// The order of two texts, in which runs of digits are numbers.
fn natural(one: &str, other: &str) -> std::cmp::Ordering {
    let (mut one, mut other) = (one, other);
    loop {
        let (digits, more) = (run(one), run(other));
        let numbers = |text: &str| text.as_bytes().first().is_some_and(u8::is_ascii_digit);
        let (here, there) = (&one[..digits], &other[..more]);
        let order = match numbers(here) && numbers(there) {
            true => {
                let (here, there) = (here.trim_start_matches('0'), there.trim_start_matches('0'));
                here.len().cmp(&there.len()).then(here.cmp(there))
            }
            false => here.cmp(there),
        };
        if order.is_ne() || digits == 0 || more == 0 {
            return order;
        }
        (one, other) = (&one[digits..], &other[more..]);
    }
}

/// The length of the digits, or of the other characters, that a text begins with.
fn run(text: &str) -> usize {
    let is_number = text.as_bytes().first().is_some_and(u8::is_ascii_digit);
    text.find(|c: char| c.is_ascii_digit() != is_number).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Piece by piece as all at once.
    #[test]
    fn replacements_are_expanded() {
        let regex = Regex::new("(?<a>.)(.)").unwrap();
        let found = regex.captures("xé").unwrap();
        for replacement in [
            "",
            "$1",
            "é$1é$2é",
            "$1$2$1",
            "$$1",
            "$$$1",
            "$",
            "$$",
            "a$",
            "${1}",
            "${1}2",
            "${a}$",
            "${a$b}c",
            "${1",
            "${$1}",
            "$1x",
            "$a $2",
            "}{$1}",
            "${",
            "$${1}",
            "$é",
            "${}",
        ] {
            let mut whole = String::new();
            found.expand(replacement, &mut whole);
            assert_eq!(expanded(&found, replacement, "l").unwrap(), whole, "{replacement}");
        }
    }

    #[test]
    fn numbers_in_texts() {
        let mut texts = ["b", "a10", "a9", "a", "", "a9b", "a09c", "10"];
        texts.sort_by(|one, other| natural(one, other));
        assert_eq!(texts, ["", "10", "a", "a9", "a9b", "a09c", "a10", "b"]);
    }
}
