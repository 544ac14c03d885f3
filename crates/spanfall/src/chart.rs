//! Series as charts of characters: one large, several as lines.

use crate::printer::Paint;
use crate::text::{clean, columns, cut, padding, time};

/// Rows of a chart of one series.
const ROWS: usize = 8;
/// Columns of figures beside charts, and of names.
const FIGURE_COLUMNS: usize = 9;
const NAME_COLUMNS_MAX: usize = 40;
const CHART_COLUMNS_MIN: usize = 10;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A named line.
#[derive(Debug, Clone)]
pub struct Line {
    /// What it is of.
    pub name: String,
    /// A value for each interval that has one.
    pub values: Vec<Option<f64>>,
}

/// When the intervals are.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Where the first starts, nanoseconds since the epoch.
    pub start_unix_nano: u64,
    /// Where the last ends.
    pub end_unix_nano: u64,
}

/// Draws lines, each with its name, on so many columns.
pub fn draw(lines: &[Line], times: Times, width: usize, paint: Paint) -> String {
    match lines {
        [] => String::new(),
        [line] => large(line, times, width, paint),
        lines => small(lines, times, width, paint),
    }
}

fn large(line: &Line, times: Times, width: usize, paint: Paint) -> String {
    let room = width.saturating_sub(FIGURE_COLUMNS + 2).max(CHART_COLUMNS_MIN);
    let points = fitted(&line.values, room);
    let scale = Scale::of(&points);
    let mut out = format!("{}\n", paint.bold(&cut(&clean(&line.name), width, "…")));
    for row in (0..ROWS).rev() {
        let label = match row {
            row if row == ROWS - 1 => figure(scale.most),
            0 => figure(scale.least),
            _ => String::new(),
        };
        let bars: String = points.iter().map(|point| scale.cell(*point, row)).collect();
        let label = paint.dim(&format!("{}{label}", padding(&label, FIGURE_COLUMNS)));
        out.push_str(format!("{label} │{bars}").trim_end());
        out.push('\n');
    }
    out.push_str(&axis(times, FIGURE_COLUMNS + 1, room, paint));
    out
}

fn small(lines: &[Line], times: Times, width: usize, paint: Paint) -> String {
    let names: Vec<String> = lines.iter().map(|line| clean(&line.name).into_owned()).collect();
    let longest = names.iter().map(|name| columns(name)).max().unwrap_or(0);
    let figures = 2 * (FIGURE_COLUMNS + 1);
    let name_columns = longest.min(NAME_COLUMNS_MAX).min(width / 3);
    let room = width.saturating_sub(name_columns + 2 + figures).max(CHART_COLUMNS_MIN);
    let all: Vec<Vec<Option<f64>>> = lines.iter().map(|line| fitted(&line.values, room)).collect();
    // One scale for all, so that lines can be compared.
    let together: Vec<Option<f64>> = all.iter().flatten().copied().collect();
    let scale = Scale::of(&together);
    let head =
        format!("{}{:>FIGURE_COLUMNS$} {:>FIGURE_COLUMNS$}", " ".repeat(room), "LAST", "MAX");
    let mut out = format!("{}  {}\n", " ".repeat(name_columns), paint.dim(&head));
    for ((name, line), points) in names.iter().zip(lines).zip(&all) {
        let name = cut(name, name_columns, "…");
        let bars: String = points.iter().map(|point| scale.bar(*point)).collect();
        let last = line.values.iter().rev().flatten().next().copied();
        let most = line.values.iter().flatten().copied().reduce(f64::max);
        let number = |value: Option<f64>| value.map(figure).unwrap_or_default();
        let (last, most) = (number(last), number(most));
        let row = format!(
            "{name}{}  {bars}{:>FIGURE_COLUMNS$} {:>FIGURE_COLUMNS$}",
            padding(&name, name_columns),
            last,
            most
        );
        out.push_str(row.trim_end());
        out.push('\n');
    }
    out.push_str(&axis(times, name_columns + 1, room, paint));
    out
}

/// Times under a chart.
fn axis(times: Times, indent: usize, room: usize, paint: Paint) -> String {
    let (from, to) = (time(times.start_unix_nano), time(times.end_unix_nano));
    let gap = room.saturating_sub(columns(&from) + columns(&to)).max(1);
    let line = format!("{}└{}\n", " ".repeat(indent), "─".repeat(room));
    let under = format!("{} {from}{}{to}\n", " ".repeat(indent), " ".repeat(gap));
    paint.dim(&line) + &paint.dim(&under)
}

/// Values on so many columns: the mean of several, or one over several.
fn fitted(values: &[Option<f64>], columns: usize) -> Vec<Option<f64>> {
    let count = values.len();
    let of_column = |column: usize| {
        let from = column * count / columns;
        let to = ((column + 1) * count).div_ceil(columns).max(from + 1).min(count);
        let values =
            if count > columns { &values[from..to] } else { values.get(from..from + 1)? };
        let there: Vec<f64> =
            values.iter().flatten().copied().filter(|value| value.is_finite()).collect();
        (!there.is_empty()).then(|| there.iter().sum::<f64>() / there.len() as f64)
    };
    (0..columns).map(of_column).collect()
}

/// From the least to the greatest value; from 0 where none is less.
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn of(points: &[Option<f64>]) -> Self {
        let there = || points.iter().flatten().copied();
        let least = there().reduce(f64::min).unwrap_or(0.0).min(0.0);
        let most = there().reduce(f64::max).unwrap_or(0.0).max(least);
        Self { least, most }
    }

    /// A value as a part of the height, 0 to 1.
    fn part(&self, value: f64) -> f64 {
        // Halves, so that the difference of two large numbers is one.
        let height = self.most / 2.0 - self.least / 2.0;
        if height > 0.0 { (value / 2.0 - self.least / 2.0) / height } else { 0.0 }
    }

    /// One character for a value.
    fn bar(&self, point: Option<f64>) -> char {
        let Some(value) = point else { return ' ' };
        let eighths = (self.part(value) * BARS.len() as f64).ceil() as usize;
        BARS[eighths.clamp(1, BARS.len()) - 1]
    }

    /// One of [`ROWS`] characters for a value, counted from below.
    fn cell(&self, point: Option<f64>, row: usize) -> char {
        let Some(value) = point else { return ' ' };
        let eighths = (self.part(value) * (ROWS * BARS.len()) as f64).round() as usize;
        match eighths.max(1).saturating_sub(row * BARS.len()).min(BARS.len()) {
            0 => ' ',
            filled => BARS[filled - 1],
        }
    }
}

/// A number in few characters: `0.0312`, `12.5`, `3.2M`.
fn figure(value: f64) -> String {
    let size = value.abs();
    for (unit, at_least) in [("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e4)] {
        if size >= at_least {
            let scaled = value / if unit == "k" { 1e3 } else { at_least };
            return if scaled.abs() < 1e6 {
                format!("{scaled:.1}{unit}")
            } else {
                format!("{value:.2e}")
            };
        }
    }
    match size {
        0.0 => "0".to_owned(),
        0.001.. => {
            let decimals = if size >= 100.0 { 1 } else { 4 };
            let text = format!("{value:.decimals$}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => format!("{value:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times {
        start_unix_nano: 1_700_000_000_000_000_000,
        end_unix_nano: 1_700_003_600_000_000_000,
    };

    fn line(name: &str, values: &[f64]) -> Line {
        let values = values.iter().map(|value| (!value.is_nan()).then_some(*value)).collect();
        Line { name: name.to_owned(), values }
    }

    #[test]
    fn one_series() {
        let rising = line("rate", &[0.0, 1.0, 2.0, f64::NAN, 4.0, 8.0]);
        insta::assert_snapshot!(draw(&[rising], TIMES, 70, Paint::PLAIN), @r"
        rate
                8 │                                                  █████████
                  │                                                  █████████
                  │                                                  █████████
                  │                                                  █████████
                  │                                        ███████████████████
                  │                                        ███████████████████
                  │                    ██████████          ███████████████████
                0 │▁▁▁▁▁▁▁▁▁▁████████████████████          ███████████████████
                  └───────────────────────────────────────────────────────────
                   2023-11-14T22:13:20.000Z           2023-11-14T23:13:20.000Z
        ");
    }

    #[test]
    fn several_series_share_a_scale() {
        let lines = [line("cart", &[1.0, 2.0, 4.0, 2.0]), line("注文", &[0.0, f64::NAN, 8.0, 0.5])];
        insta::assert_snapshot!(draw(&lines, TIMES, 80, Paint::PLAIN), @r"
                                                                         LAST       MAX
        cart  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▂▂▂▂▂▂▂▂▂▂▂▂▂▄▄▄▄▄▄▄▄▄▄▄▄▄▄▂▂▂▂▂▂▂▂▂▂▂▂▂        2         4
        注文  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁             ██████████████▁▁▁▁▁▁▁▁▁▁▁▁▁      0.5         8
             └──────────────────────────────────────────────────────
              2023-11-14T22:13:20.000Z      2023-11-14T23:13:20.000Z
        ");
    }

    #[test]
    fn nothing_breaks_it() {
        let odd = [f64::NAN, f64::INFINITY, f64::MAX, f64::MIN, 0.0, -1.0, 1e-300];
        for width in [0, 1, 30, 200] {
            for values in [&odd[..], &[], &[f64::NAN], &[5.0; 3000]] {
                draw(&[line("a\x1b[31m", values)], TIMES, width, Paint::PLAIN);
                let both = [line("a", values), line(&"b".repeat(500), values)];
                draw(&both, TIMES, width, Paint::PLAIN);
            }
        }
    }

    #[test]
    fn figures() {
        for (value, text) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (12.34567, "12.3457"),
            (123.456, "123.5"),
            (9999.0, "9999"),
            (12_345.0, "12.3k"),
            (-2_500_000.0, "-2.5M"),
            (0.00001234, "1.23e-5"),
            (1e300, "1.00e300"),
        ] {
            assert_eq!(figure(value), text);
        }
    }
}
