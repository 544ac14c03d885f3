//! `Format`: the verbs of Go's `fmt.Sprintf`, with its answers to wrong ones.

use std::fmt::Write;

use crate::value::{Value, hex};

/// The widest field and the most digits after a point.
const WIDTH_MAX: usize = 1_000;

/// The longest text that is made.
const BYTES_MAX: usize = 1 << 20;

/// What stands between `%` and the verb.
#[derive(Default)]
struct Flags {
    minus: bool,
    plus: bool,
    zero: bool,
    space: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

/// A text with values in the places of its verbs.
pub(super) fn format(text: &str, values: &[Value<'_>]) -> Result<String, String> {
    let mut out = String::new();
    let mut left = values.iter();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        let flags = read_flags(&mut rest)?;
        let Some(verb) = rest.chars().next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        rest = rest.get(verb.len_utf8()..).unwrap_or_default();
        if verb == '%' {
            out.push('%');
            continue;
        }
        match left.next() {
            None => out.push_str(&format!("%!{verb}(MISSING)")),
            Some(value) => match apply(&flags, verb, value) {
                Some(shown) => pad(&mut out, &flags, &shown, verb),
                None => {
                    let (kind, shown) = described(value);
                    out.push_str(&format!("%!{verb}({kind}{shown})"));
                }
            },
        }
        if out.len() > BYTES_MAX {
            return Err(format!("the formatted text is longer than {BYTES_MAX} bytes"));
        }
    }
    out.push_str(rest);
    let extra: Vec<String> = left.map(described).map(|(kind, shown)| kind + &shown).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    Ok(out)
}

fn read_flags(rest: &mut &str) -> Result<Flags, String> {
    let mut flags = Flags::default();
    while let Some(next) = rest.chars().next() {
        match next {
            '-' => flags.minus = true,
            '+' => flags.plus = true,
            '0' => flags.zero = true,
            ' ' => flags.space = true,
            '#' => flags.sharp = true,
            _ => break,
        }
        *rest = rest.get(1..).unwrap_or_default();
    }
    flags.width = read_number(rest)?.unwrap_or(0);
    if let Some(after) = rest.strip_prefix('.') {
        *rest = after;
        flags.precision = Some(read_number(rest)?.unwrap_or(0));
    }
    Ok(flags)
}

fn read_number(rest: &mut &str) -> Result<Option<usize>, String> {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, after) = rest.split_at(digits);
    *rest = after;
    if number.is_empty() {
        return Ok(None);
    }
    let number = number.parse().ok().filter(|number| *number <= WIDTH_MAX);
    number.map(Some).ok_or_else(|| format!("widths and precisions go up to {WIDTH_MAX}"))
}

/// A value under a verb, not yet padded; nothing if the verb does not go with it.
fn apply(flags: &Flags, verb: char, value: &Value<'_>) -> Option<String> {
    let plus = |negative: bool| match (negative, flags.plus, flags.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        (false, false, false) => "",
    };
    let integer = |value: i64, digits: String| format!("{}{digits}", plus(value < 0));
    let sharp = |prefix: &'static str| if flags.sharp { prefix } else { "" };
    Some(match (verb, value) {
        ('v' | 's', Value::String(text)) => cut(text, flags.precision),
        ('v', Value::Nil) => "<nil>".to_owned(),
        ('v' | 'd', Value::Int(value)) => integer(*value, value.unsigned_abs().to_string()),
        ('d', Value::Duration(nanos)) => integer(*nanos, nanos.unsigned_abs().to_string()),
        ('b', Value::Int(value)) => integer(*value, format!("{:b}", value.unsigned_abs())),
        ('o', Value::Int(value)) => integer(*value, format!("{:o}", value.unsigned_abs())),
        ('x', Value::Int(value)) => {
            integer(*value, format!("{}{:x}", sharp("0x"), value.unsigned_abs()))
        }
        ('X', Value::Int(value)) => {
            integer(*value, format!("{}{:X}", sharp("0X"), value.unsigned_abs()))
        }
        ('c', Value::Int(value)) => {
            let c = u32::try_from(*value).ok().and_then(char::from_u32);
            c.unwrap_or(char::REPLACEMENT_CHARACTER).to_string()
        }
        ('f' | 'F', Value::Double(value)) => {
            let digits = flags.precision.unwrap_or(6);
            let number = format!("{:.digits$}", value.abs());
            format!("{}{number}", plus(value.is_sign_negative()))
        }
        ('e', Value::Double(value)) => {
            let number = exponential(value.abs(), flags.precision.unwrap_or(6));
            format!("{}{number}", plus(value.is_sign_negative()))
        }
        ('v' | 'g', Value::Double(value)) => {
            format!("{}{}", plus(value.is_sign_negative()), shortest(value.abs()))
        }
        ('v' | 't', Value::Bool(value)) => value.to_string(),
        ('q', Value::String(text)) => format!("{text:?}"),
        ('x', Value::String(text)) => hex(text.as_bytes()),
        ('X', Value::String(text)) => hex(text.as_bytes()).to_uppercase(),
        ('x', Value::Bytes(bytes)) => hex(bytes),
        ('X', Value::Bytes(bytes)) => hex(bytes).to_uppercase(),
        ('s' | 'v', Value::Time(_) | Value::Duration(_) | Value::List(_) | Value::Map(_)) => {
            value.to_text().unwrap_or_default().into_owned()
        }
        ('s' | 'v', Value::Bytes(bytes)) => hex(bytes),
        _ => return None,
    })
}

fn cut(text: &str, precision: Option<usize>) -> String {
    text.chars().take(precision.unwrap_or(usize::MAX)).collect()
}

/// `1.500000e+03`.
fn exponential(value: f64, digits: usize) -> String {
    let number = format!("{value:.digits$e}");
    match number.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{exponent:0>2}")
        }
        None => number,
    }
}

/// As few digits as read back the same, with an exponent for the very large and very small.
fn shortest(value: f64) -> String {
    if value != 0.0 && value.is_finite() && !(1e-4..1e21).contains(&value) {
        let digits = format!("{value:e}").split('e').next().map_or(0, |mantissa| {
            mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len())
        });
        return exponential(value, digits);
    }
    Value::Double(value).to_text().unwrap_or_default().into_owned()
}

fn pad(out: &mut String, flags: &Flags, shown: &str, verb: char) {
    let missing = flags.width.saturating_sub(shown.chars().count());
    let fill = |out: &mut String, c: char| out.extend(std::iter::repeat_n(c, missing));
    if flags.minus {
        out.push_str(shown);
        fill(out, ' ');
    } else if flags.zero && !matches!(verb, 's' | 'v' | 'q' | 't') {
        let (sign, digits) = match shown.strip_prefix(['-', '+', ' ']) {
            Some(digits) => shown.split_at(shown.len() - digits.len()),
            None => ("", shown),
        };
        out.push_str(sign);
        fill(out, '0');
        out.push_str(digits);
    } else {
        fill(out, ' ');
        out.push_str(shown);
    }
}

/// A value as Go's messages name it: type and value.
fn described(value: &Value<'_>) -> (String, String) {
    let kind = match value {
        Value::Nil => return ("<nil>".to_owned(), String::new()),
        Value::Bool(_) => "bool=",
        Value::Int(_) => "int64=",
        Value::Double(_) => "float64=",
        Value::String(_) => "string=",
        Value::Bytes(_) => "[]uint8=",
        Value::List(_) => "[]interface {}=",
        Value::Map(_) => "map[string]interface {}=",
        Value::Time(_) => "time.Time=",
        Value::Duration(_) => "time.Duration=",
    };
    let mut shown = String::new();
    // Writing to a String does not fail.
    let _ = write!(shown, "{}", value.to_text().unwrap_or_default());
    (kind.to_owned(), shown)
}
