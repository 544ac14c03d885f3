//! Formats of dates and times: `%Y-%m-%d` and so on, in the Collector's dialect.

use std::fmt::Write;

use jiff::civil::{DateTime, Weekday};
use jiff::tz::{Offset, TimeZone};

use crate::times::civil;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// How a number that is shorter than its width is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pad {
    Zero,
    Space,
    None,
}

/// How an offset from UTC is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zone {
    Hours,
    Plain,
    Colon,
    ColonSeconds,
    PlainSeconds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Character(char),
    Year,
    ShortYear,
    Month(Pad),
    MonthName,
    MonthShort,
    Day(Pad),
    WeekdayName,
    WeekdayShort,
    Hour,
    Hour12(Pad),
    Half {
        upper: bool,
    },
    Minute,
    Second,
    /// Digits after the point of the seconds.
    Fraction(u32),
    Offset(Zone),
    Abbreviation,
}

/// A format that was read.
#[derive(Debug)]
pub(crate) struct TimeFormat {
    items: Vec<Item>,
}

impl TimeFormat {
    /// Reads a format, or says why not.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let mut items = Vec::new();
        read(text, &mut items)?;
        Ok(Self { items })
    }

    /// A moment in this format, in UTC.
    pub(crate) fn format(&self, nanos: i64) -> String {
        let at = civil(nanos);
        let mut out = String::new();
        for item in &self.items {
            // Writing to a String does not fail.
            let _ = write_item(&mut out, *item, &at);
        }
        out
    }

    /// The moment that a text in this format names. What the format leaves out is of 1970-01-01,
    /// midnight, in `zone`.
    pub(crate) fn parse(&self, text: &str, zone: &TimeZone) -> Result<i64, String> {
        let mut reader = Reader { rest: text };
        let mut parts = Parts::default();
        for (at, item) in self.items.iter().enumerate() {
            let point_next = matches!(
                self.items.get(at + 1),
                Some(Item::Character('.' | ',') | Item::Fraction(_))
            );
            if read_item(&mut reader, *item, point_next, &mut parts).is_none() {
                let shown: String = reader.rest.chars().take(32).collect();
                return Err(format!("the text does not fit the format at {shown:?}"));
            }
        }
        if !reader.rest.is_empty() {
            let shown: String = reader.rest.chars().take(32).collect();
            return Err(format!("the text goes on after the format: {shown:?}"));
        }
        parts.moment(zone).ok_or_else(|| "there is no such date or time".to_owned())
    }
}

fn read(text: &str, items: &mut Vec<Item>) -> Result<(), String> {
    let mut characters = text.chars();
    while let Some(next) = characters.next() {
        if next != '%' {
            items.push(Item::Character(next));
            continue;
        }
        let letter = characters.next().ok_or("a % has nothing after it")?;
        items.push(match letter {
            'Y' => Item::Year,
            'y' => Item::ShortYear,
            'm' => Item::Month(Pad::Zero),
            'o' => Item::Month(Pad::Space),
            'q' => Item::Month(Pad::None),
            'b' | 'h' => Item::MonthShort,
            'B' => Item::MonthName,
            'd' => Item::Day(Pad::Zero),
            'e' => Item::Day(Pad::Space),
            'g' => Item::Day(Pad::None),
            'a' => Item::WeekdayShort,
            'A' => Item::WeekdayName,
            'H' => Item::Hour,
            'I' => Item::Hour12(Pad::Zero),
            'l' => Item::Hour12(Pad::None),
            'p' => Item::Half { upper: true },
            'P' => Item::Half { upper: false },
            'M' => Item::Minute,
            'S' => Item::Second,
            'L' => Item::Fraction(3),
            'f' => Item::Fraction(6),
            's' => Item::Fraction(9),
            'z' => Item::Offset(Zone::Plain),
            'Z' => Item::Abbreviation,
            'i' => Item::Offset(Zone::Hours),
            'j' => Item::Offset(Zone::Colon),
            'k' => Item::Offset(Zone::ColonSeconds),
            'w' => Item::Offset(Zone::PlainSeconds),
            'n' => Item::Character('\n'),
            't' => Item::Character('\t'),
            '%' => Item::Character('%'),
            other => {
                read(
                    match other {
                        'D' | 'x' => "%m/%d/%y",
                        'F' => "%Y-%m-%d",
                        'T' | 'X' => "%H:%M:%S",
                        'r' => "%I:%M:%S %p",
                        'R' => "%H:%M",
                        'c' => "%a %b %d %H:%M:%S %Y",
                        _ => return Err(format!("there is no %{other} in formats of time")),
                    },
                    items,
                )?;
                continue;
            }
        });
    }
    Ok(())
}

fn write_item(out: &mut String, item: Item, at: &DateTime) -> std::fmt::Result {
    let padded = |out: &mut String, pad, number: i8| match pad {
        Pad::Zero => write!(out, "{number:02}"),
        Pad::Space => write!(out, "{number:2}"),
        Pad::None => write!(out, "{number}"),
    };
    let name = |names: &'static [&'static str], index: i8| {
        usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
    };
    let short = |name: &'static str| name.get(..3).unwrap_or(name);
    let weekday = name(&WEEKDAYS, at.weekday().to_sunday_zero_offset());
    let hour12 = match at.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    match item {
        Item::Character(c) => out.write_char(c),
        Item::Year => write!(out, "{:04}", at.year()),
        Item::ShortYear => write!(out, "{:02}", at.year().rem_euclid(100)),
        Item::Month(pad) => padded(out, pad, at.month()),
        Item::MonthName => out.write_str(name(&MONTHS, at.month() - 1)),
        Item::MonthShort => out.write_str(short(name(&MONTHS, at.month() - 1))),
        Item::Day(pad) => padded(out, pad, at.day()),
        Item::WeekdayName => out.write_str(weekday),
        Item::WeekdayShort => out.write_str(short(weekday)),
        Item::Hour => padded(out, Pad::Zero, at.hour()),
        Item::Hour12(pad) => padded(out, pad, hour12),
        Item::Half { upper } => out.write_str(match (at.hour() < 12, upper) {
            (true, true) => "AM",
            (true, false) => "am",
            (false, true) => "PM",
            (false, false) => "pm",
        }),
        Item::Minute => padded(out, Pad::Zero, at.minute()),
        Item::Second => padded(out, Pad::Zero, at.second()),
        Item::Fraction(digits) => {
            let value = at.subsec_nanosecond().unsigned_abs() / 10u32.pow(9 - digits);
            write!(out, "{value:0width$}", width = digits as usize)
        }
        Item::Offset(zone) => out.write_str(match zone {
            Zone::Hours => "+00",
            Zone::Plain => "+0000",
            Zone::Colon => "+00:00",
            Zone::ColonSeconds => "+00:00:00",
            Zone::PlainSeconds => "+000000",
        }),
        Item::Abbreviation => out.write_str("UTC"),
    }
}

/// What a text said of a moment.
#[derive(Default)]
struct Parts {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    hour: i8,
    /// Whether a half of the day was named, and whether the second.
    afternoon: Option<bool>,
    minute: i8,
    second: i8,
    nanos: i32,
    zone: Option<TimeZone>,
}

impl Parts {
    fn moment(self, zone: &TimeZone) -> Option<i64> {
        let hour = match self.afternoon {
            Some(_) if !(1..=12).contains(&self.hour) => return None,
            Some(true) => self.hour % 12 + 12,
            Some(false) => self.hour % 12,
            None => self.hour,
        };
        let (year, month) = (self.year.unwrap_or(1970), self.month.unwrap_or(1));
        let day = self.day.unwrap_or(1);
        let (minute, second) = (self.minute, self.second);
        let at = DateTime::new(year, month, day, hour, minute, second, self.nanos).ok()?;
        let zone = self.zone.unwrap_or_else(|| zone.clone());
        let nanos = at.to_zoned(zone).ok()?.timestamp().as_nanosecond();
        i64::try_from(nanos).ok()
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a str> {
        let taken = self.rest.get(..bytes)?;
        self.rest = self.rest.get(bytes..)?;
        Some(taken)
    }

    /// A number of at least and at most so many digits.
    fn number(&mut self, least: usize, most: usize) -> Option<i32> {
        let digits = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if digits < least { None } else { self.take(digits)?.parse().ok() }
    }

    fn small(&mut self, pad: Pad) -> Option<i8> {
        if pad == Pad::Space {
            self.rest = self.rest.trim_start_matches(' ');
        }
        i8::try_from(self.number(1, 2)?).ok()
    }

    /// One of some names, of which `length` letters count; which, from 0.
    fn name(&mut self, names: &[&str], length: usize) -> Option<i8> {
        let at = names.iter().position(|name| {
            let name = name.get(..length).unwrap_or(name);
            let start = self.rest.get(..name.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(name))
        })?;
        let name = names.get(at)?;
        self.take(name.get(..length).unwrap_or(name).len())?;
        i8::try_from(at).ok()
    }

    /// Digits after a point, as nanoseconds.
    fn fraction(&mut self, least: usize, most: usize) -> Option<i32> {
        let digits = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if digits < least {
            return None;
        }
        let number: i32 = self.take(digits)?.parse().ok()?;
        Some(number * 10i32.pow(9 - u32::try_from(digits).ok()?))
    }

    /// `Z`, or a sign and hours, minutes and seconds, with colons or without.
    fn offset(&mut self) -> Option<i32> {
        let sign = match self.take(1)? {
            "Z" => return Some(0),
            "+" => 1,
            "-" => -1,
            _ => return None,
        };
        let mut seconds = self.number(2, 2)? * 3600;
        for unit in [60, 1] {
            let colon = usize::from(self.rest.starts_with(':'));
            if !self
                .rest
                .get(colon..)
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            {
                break;
            }
            self.take(colon)?;
            seconds += self.number(2, 2)? * unit;
        }
        Some(sign * seconds)
    }
}

/// Reads what one item stands for.
fn read_item(
    reader: &mut Reader<'_>,
    item: Item,
    point_next: bool,
    parts: &mut Parts,
) -> Option<()> {
    match item {
        Item::Character(c) => reader.rest = reader.rest.strip_prefix(c)?,
        Item::Year => parts.year = Some(i16::try_from(reader.number(4, 4)?).ok()?),
        Item::ShortYear => {
            let year = i16::try_from(reader.number(2, 2)?).ok()?;
            parts.year = Some(if year >= 69 { 1900 + year } else { 2000 + year });
        }
        Item::Month(pad) => parts.month = Some(reader.small(pad)?),
        Item::MonthName => parts.month = Some(reader.name(&MONTHS, usize::MAX)? + 1),
        Item::MonthShort => parts.month = Some(reader.name(&MONTHS, 3)? + 1),
        Item::Day(pad) => parts.day = Some(reader.small(pad)?),
        Item::WeekdayName => {
            reader.name(&WEEKDAYS, usize::MAX)?;
        }
        Item::WeekdayShort => {
            reader.name(&WEEKDAYS, 3)?;
        }
        Item::Hour => parts.hour = reader.small(Pad::None)?,
        Item::Hour12(pad) => parts.hour = reader.small(pad)?,
        Item::Half { .. } => parts.afternoon = Some(reader.name(&["am", "pm"], 2)? == 1),
        Item::Minute => parts.minute = reader.small(Pad::None)?,
        Item::Second => {
            parts.second = reader.small(Pad::None)?;
            let mut after = reader.rest.chars();
            let point = matches!(after.next(), Some('.' | ','));
            if !point_next && point && after.next().is_some_and(|c| c.is_ascii_digit()) {
                reader.take(1)?;
                parts.nanos = reader.fraction(1, 9)?;
            }
        }
        Item::Fraction(digits) => {
            let digits = usize::try_from(digits).ok()?;
            parts.nanos = reader.fraction(digits, digits)?;
        }
        Item::Offset(_) => {
            let offset = Offset::from_seconds(reader.offset()?).ok()?;
            parts.zone = Some(TimeZone::fixed(offset));
        }
        Item::Abbreviation => {
            let letters = reader.rest.find(|c: char| !c.is_ascii_uppercase());
            let name = reader.take(letters.unwrap_or(reader.rest.len()))?;
            if name.is_empty() {
                return None;
            }
            // An offset says more than a name, and an unknown name nothing.
            if parts.zone.is_none() {
                parts.zone = Some(TimeZone::get(name).unwrap_or(TimeZone::UTC));
            }
        }
    }
    Some(())
}

/// The day of the week from Sunday, 0.
pub(crate) fn weekday(weekday: Weekday) -> i64 {
    i64::from(weekday.to_sunday_zero_offset())
}
