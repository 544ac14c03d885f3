//! JSON's numbers, exactly.

/// The length of the JSON number at the start of `text`; `None` when there is none. Inside a
/// string (`lenient`) leading zeros are no fault.
pub(super) fn number_length(text: &[u8], lenient: bool) -> Option<usize> {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && text[at] == b'0' && !lenient) {
        return None;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        if exponent == 0 {
            return None;
        }
        at += 1 + sign + exponent;
    }
    Some(at)
}

/// The value of a number that [`number_length`] accepts whole, if it is an integer (`1.5e3` is
/// one) of at most 38 digits.
pub(super) fn integer(number: &str) -> Option<i128> {
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let mut value: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    if value == 0 {
        return Some(0);
    }
    let mut exponent = exponent.parse::<i64>().ok()?.checked_sub(fraction.len() as i64)?;
    while exponent > 0 {
        value = value.checked_mul(10)?;
        exponent -= 1;
    }
    while exponent < 0 && value % 10 == 0 {
        value /= 10;
        exponent += 1;
    }
    (exponent == 0).then_some(if negative { -value } else { value })
}

/// The value of a number that [`number_length`] accepts whole; `None` when no finite double is
/// near.
pub(super) fn double(number: &str) -> Option<f64> {
    number.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_integers() {
        for (text, value) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("007", Some(7)),
            ("1.5e3", Some(1500)),
            ("1500e-2", Some(15)),
            ("1.50", None),
            ("15e-1", None),
            ("0e999999999999999999999", Some(0)),
            ("1e999999999", None),
            ("1e-999999999", None),
            ("1e9999999999999999999999", None),
            ("1.8446744073709551615e19", Some(u64::MAX.into())),
            ("-9223372036854775808", Some(i64::MIN.into())),
            ("100000000000000000000000000000000000000000", None),
        ] {
            assert_eq!(number_length(text.as_bytes(), true), Some(text.len()), "{text}");
            assert_eq!(integer(text), value, "{text}");
        }
    }

    #[test]
    fn knows_where_a_number_ends() {
        for (text, length) in [
            ("12,", Some(2)),
            ("-1.5e+3}", Some(7)),
            ("01", None),
            ("1.", None),
            ("1e", None),
            ("1e+", None),
            (".5", None),
            ("+5", None),
            ("-", None),
            ("", None),
            ("NaN", None),
        ] {
            assert_eq!(number_length(text.as_bytes(), false), length, "{text}");
        }
    }
}
