//! The characters that a waterfall is drawn with.

/// Eighths of a cell, from the left.
const LEFT: [&str; 9] = [" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"];

/// One set of characters.
#[derive(Debug, Clone, Copy)]
pub struct Glyphs {
    /// In front of a span that has siblings below it.
    pub branch: &'static str,
    /// In front of the last sibling.
    pub last: &'static str,
    /// Past a subtree to the sibling below it.
    pub pass: &'static str,
    /// An error.
    pub error: &'static str,
    /// Text that was cut.
    pub ellipsis: &'static str,
    /// An event.
    pub event: &'static str,
    /// A link.
    pub link: &'static str,
    ascii: bool,
}

/// Box-drawing and block characters.
pub const UNICODE: Glyphs = Glyphs {
    branch: "├─ ",
    last: "└─ ",
    pass: "│  ",
    error: "✖",
    ellipsis: "…",
    event: "•",
    link: "→",
    ascii: false,
};

/// For terminals and logs that know ASCII alone.
pub const ASCII: Glyphs = Glyphs {
    branch: "|- ",
    last: "`- ",
    pass: "|  ",
    error: "x",
    ellipsis: "~",
    event: "*",
    link: ">",
    ascii: true,
};

impl Glyphs {
    /// Our own text in these characters.
    pub fn spell(&self, text: String) -> String {
        if self.ascii { text.replace('µ', "u") } else { text }
    }

    /// A bar from one eighth of a cell to another, which is further: the cells before it and the
    /// cells themselves.
    ///
    /// Unicode has left blocks for all eighths but right blocks for one, four and eight alone, so
    /// that a bar's end is exact and its start rounded.
    pub fn bar(&self, from: usize, to: usize) -> (usize, String) {
        let (first, last) = (from / 8, (to - 1) / 8);
        let (gap, fill) = (from % 8, to - last * 8);
        let cells = if self.ascii {
            let one = first == last && (gap, fill) != (0, 8);
            if one { "|".to_owned() } else { "=".repeat(last - first + 1) }
        } else if first < last {
            right(8 - gap).to_owned() + &LEFT[8].repeat(last - first - 1) + LEFT[fill]
        } else if gap == 0 || (fill < 8 && gap < 4) {
            LEFT[fill - gap].to_owned()
        } else {
            right(fill - gap).to_owned()
        };
        (first, cells)
    }
}

fn right(eighths: usize) -> &'static str {
    match eighths {
        ..=2 => "▕",
        3..=5 => "▐",
        _ => LEFT[8],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        for (from, to, unicode, ascii) in [
            (0, 8, "█", "="),
            (0, 1, "▏", "|"),
            (0, 80, "██████████", "=========="),
            (0, 20, "██▌", "==="),
            (4, 24, "▐██", "==="),
            (7, 9, "▕▏", "=="),
            (16, 19, "  ▍", "  |"),
            (18, 20, "  ▎", "  |"),
            (20, 22, "  ▕", "  |"),
            (23, 24, "  ▕", "  |"),
        ] {
            let draw = |glyphs: Glyphs| {
                let (lead, cells) = glyphs.bar(from, to);
                " ".repeat(lead) + &cells
            };
            assert_eq!(
                (draw(UNICODE), draw(ASCII)),
                (unicode.to_owned(), ascii.to_owned()),
                "{from}..{to}"
            );
        }
    }
}
