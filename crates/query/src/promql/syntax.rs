//! From text to tree, with the place of what is wrong.
//!
//! The parser tells what is wrong and not where, and neither bounds how deep a query may be nor
//! survives every duration. Tokens, told apart just well enough, bound what it is given and find
//! the place: that of the first token up to which the text, completed, is as wrong as the whole.

use promql_parser::parser::{Expr, lexer, parse as parsed};

use super::error::PromqlError;

/// The longest text.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// The most operators and brackets: each may be a level of the tree, and trees are walked
/// recursively.
const NESTING_MAX: usize = 200;

/// In longer texts the place of an error is not looked for.
const SEARCHED_BYTES_MAX: usize = 4 << 10;

/// The longest duration: a hundred years.
const SECONDS_MAX: f64 = 100.0 * 365.0 * 24.0 * 3600.0;

/// What the parser says of whatever does not fit its grammar.
const NO_QUERY: &str = "invalid promql query";

/// Parses a query.
///
/// # Errors
/// What is wrong, and where.
pub(super) fn parse(text: &str) -> Result<Expr, PromqlError> {
    if text.len() > TEXT_BYTES_MAX {
        let bytes = text.len();
        return Err(PromqlError::query(format!(
            "the query has {bytes} bytes; at most {TEXT_BYTES_MAX} are read"
        )));
    }
    let tokens = tokens(text);
    not_too_much(text, &tokens)?;
    if let Some(problem) = lexer(text).err() {
        return Err(PromqlError::query(problem.clone()).at(text, lexical_place(text, &problem)));
    }
    parsed(text).map_err(|problem| match problem == NO_QUERY {
        true => misplaced(text, &tokens),
        false => {
            let place = place_of(text, &tokens, &problem).unwrap_or(0);
            let problem = problem
                .replace("type matrix", "type range vector")
                .replace("type vector", "type instant vector")
                .replace("got matrix", "got range vector")
                .replace("got vector", "got instant vector");
            PromqlError::query(problem).at(text, place)
        }
    })
}

/// An error about the first place where a word stands.
pub(super) fn error_at_word(text: &str, word: &str, message: impl Into<String>) -> PromqlError {
    let error = PromqlError::query(message);
    let found = tokens(text).into_iter().find(|token| token.of(text).eq_ignore_ascii_case(word));
    match found {
        Some(token) => error.at(text, token.start),
        None => error,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Number,
    Text,
    Sign,
}

#[derive(Debug, Clone, Copy)]
struct Token {
    kind: Kind,
    start: usize,
    end: usize,
}

impl Token {
    fn of(self, text: &str) -> &str {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let rest = &text[start..];
        let run = |keep: fn(char) -> bool| rest.find(|c| !keep(c)).unwrap_or(rest.len());
        let (kind, length) = match first {
            '#' => (None, rest.find(['\n', '\r']).unwrap_or(rest.len())),
            _ if first.is_whitespace() => (None, run(char::is_whitespace)),
            '"' | '\'' | '`' => (Some(Kind::Text), quoted(rest, first)),
            '0'..='9' | '.' => (Some(Kind::Number), number(rest)),
            'a'..='z' | 'A'..='Z' | '_' => {
                let word = run(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'));
                (Some(Kind::Word), word)
            }
            '=' | '!' | '<' | '>' if matches!(rest.as_bytes().get(1), Some(b'=' | b'~')) => {
                (Some(Kind::Sign), 2)
            }
            _ => (Some(Kind::Sign), first.len_utf8()),
        };
        let end = start + length.max(first.len_utf8());
        found.extend(kind.map(|kind| Token { kind, start, end }));
        start = end;
    }
    found
}

/// The length of a text in quotes, to its end or that of all.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == quote {
            return at + 1;
        } else {
            escaped = c == '\\' && quote != '`';
        }
    }
    rest.len()
}

/// The length of a number or a duration.
fn number(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let is_exponent = |at: usize| {
        let hex = rest.starts_with("0x") || rest.starts_with("0X");
        !hex && matches!(bytes[at - 1], b'e' | b'E') && bytes[at - 2].is_ascii_digit()
    };
    let mut at = 1;
    while at < bytes.len() {
        let goes_on = match bytes[at] {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'_' => true,
            b'+' | b'-' => at >= 2 && is_exponent(at),
            _ => false,
        };
        if !goes_on {
            break;
        }
        at += 1;
    }
    at
}

/// Refuses what the parser, or whoever walks its tree, may not survive.
fn not_too_much(text: &str, tokens: &[Token]) -> Result<(), PromqlError> {
    let (mut nesting, mut braces, mut brackets, mut is_duration) = (0, false, false, false);
    for token in tokens {
        let word = token.of(text);
        match (token.kind, word) {
            (Kind::Sign, "{") => braces = true,
            (Kind::Sign, "}") => braces = false,
            (Kind::Sign, "[") => brackets = true,
            (Kind::Sign, "]") => brackets = false,
            _ => {}
        }
        let is_sign =
            token.kind == Kind::Sign && !matches!(word, "," | ")" | "]" | "}" | ":" | "@");
        let is_operator = is_sign
            || ["and", "or", "unless", "atan2"].iter().any(|op| op.eq_ignore_ascii_case(word));
        if is_operator && !braces {
            nesting += 1;
        }
        if nesting > NESTING_MAX {
            let error = PromqlError::query(format!(
                "the query has more than {NESTING_MAX} operators and brackets"
            ));
            return Err(error.at(text, token.start));
        }
        if (is_duration || brackets) && too_long(token.kind, word) {
            let error = PromqlError::query(format!("{word} is too long for a duration"));
            return Err(error.at(text, token.start));
        }
        let sign_of_duration = is_duration && matches!(word, "+" | "-");
        is_duration = word.eq_ignore_ascii_case("offset") || sign_of_duration;
    }
    Ok(())
}

/// Whether a number of seconds or a duration is out of bounds.
fn too_long(kind: Kind, word: &str) -> bool {
    if kind == Kind::Text {
        return false;
    }
    match word.parse::<f64>() {
        Ok(seconds) => !(0.0..=SECONDS_MAX).contains(&seconds),
        // Numbers of more digits than nine count for nothing in the parser.
        Err(_) => {
            let digits = word.split(|c: char| !c.is_ascii_digit());
            kind == Kind::Number && digits.into_iter().any(|digits| digits.len() > 9)
        }
    }
}

/// Where what stands there ends the reading of tokens: the shortest beginning that is refused in
/// the same words.
fn lexical_place(text: &str, problem: &str) -> usize {
    let ends: Vec<usize> = text.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
    let is_refused = |end: &usize| {
        let begun = text.get(..*end).unwrap_or(text);
        lexer(begun).err().is_some_and(|told| told == problem)
    };
    if problem.contains("end of input") || problem.contains("unclosed") {
        return text.len();
    }
    let first = ends.partition_point(|end| !is_refused(end));
    let end = ends.get(first).copied().unwrap_or(text.len());
    text[..end].char_indices().next_back().map_or(0, |(at, _)| at)
}

/// What a token that does not fit the grammar is told as.
fn misplaced(text: &str, tokens: &[Token]) -> PromqlError {
    if text.len() > SEARCHED_BYTES_MAX {
        return PromqlError::query("this is no query");
    }
    let first = partition(tokens.len(), |count| completions(text, tokens, count).next().is_some());
    match tokens.get(first) {
        Some(token) => {
            let word = token.of(text);
            PromqlError::query(format!("unexpected {word:?}")).at(text, token.start)
        }
        None => PromqlError::query("unexpected end of input").at(text, text.len()),
    }
}

/// The greatest count for which a condition holds that holds for all smaller ones.
fn partition(most: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut least, mut most) = (0, most + 1);
    while least + 1 < most {
        let middle = least.midpoint(most);
        match holds(middle) {
            true => least = middle,
            false => most = middle,
        }
    }
    least
}

/// Where a tree does not fit its types: where the name that the problem quotes stands, or the
/// first token up to which the text has the same problem.
fn place_of(text: &str, tokens: &[Token], problem: &str) -> Option<usize> {
    let quoted = problem.split('\'').nth(1);
    let named = quoted.and_then(|name| tokens.iter().find(|token| token.of(text) == name));
    if let Some(token) = named {
        return Some(token.start);
    }
    if text.len() > SEARCHED_BYTES_MAX {
        return None;
    }
    let has_problem = |count: usize| {
        completions(text, tokens, count).any(|told| told.as_deref() == Some(problem))
    };
    let free = partition(tokens.len(), |count| !has_problem(count));
    tokens.get(free).map(|token| token.start)
}

/// What the parser says of the first tokens, completed in ways that fit its grammar: `None` where
/// they are a query.
fn completions<'a>(
    text: &'a str,
    tokens: &'a [Token],
    count: usize,
) -> impl Iterator<Item = Option<String>> + 'a {
    const FILLERS: [&str; 11] =
        ["", " x", "1m", "1", "(x)", "()", "(a) x", "(a) (x)", "a=\"\"", "=\"\"", "\"\""];
    const TAILS: [&str; 3] = ["", " (x)", " x"];
    let end = count.checked_sub(1).and_then(|last| tokens.get(last)).map_or(0, |last| last.end);
    let mut closing = Vec::new();
    for token in &tokens[..count.min(tokens.len())] {
        match token.of(text) {
            "(" => closing.push(")"),
            "[" => closing.push("]"),
            "{" => closing.push("}"),
            ")" | "]" | "}" => drop(closing.pop()),
            _ => {}
        }
    }
    closing.reverse();
    let closing = closing.concat();
    let pairs = FILLERS.into_iter().flat_map(|filler| TAILS.map(|tail| (filler, tail)));
    pairs.filter_map(move |(filler, tail)| {
        let completed = format!("{}{filler}{closing}{tail}", &text[..end]);
        if lexer(&completed).is_err() {
            return None;
        }
        match parsed(&completed) {
            Ok(_) => Some(None),
            Err(problem) if problem == NO_QUERY => None,
            Err(problem) => Some(Some(problem)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_and_where() {
        for (text, expected) in [
            ("", "1:1: parse error: no expression found in input"),
            ("1 +", "1:4: parse error: unexpected end of input"),
            ("1 + * 2", "1:5: parse error: unexpected \"*\""),
            ("sum(rate(x[5m])", "1:16: parse error: unclosed left parenthesis"),
            ("sum by a (x)", "1:8: parse error: unexpected \"a\""),
            ("sum by (a) on (x)", "1:12: parse error: unexpected \"on\""),
            ("x y", "1:3: parse error: unexpected \"y\""),
            ("x;y", "1:2: parse error: unexpected character: ';'"),
            ("x\n  + ü", "2:5: parse error: unexpected character: 'ü'"),
            (
                "x{a=b}",
                "1:5: parse error: unexpected identifier 'b' in label matching, expected string",
            ),
            ("1 + foo(x)", "1:5: parse error: unknown function with name 'foo'"),
            (
                "sum(rate(x))",
                "1:5: parse error: expected type range vector in call to function 'rate', got \
                 instant vector",
            ),
            ("x{a=~\"(\"}", "1:6: parse error: illegal regex for ("),
            (
                "1 + x[5m]",
                "1:6: parse error: binary expression must contain only scalar and instant vector \
                 types",
            ),
            ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
            ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
            ("x[1e300]", "1:3: parse error: 1e300 is too long for a duration"),
            ("x offset - Inf", "1:12: parse error: Inf is too long for a duration"),
            ("x[1h9999999999s]", "1:3: parse error: 1h9999999999s is too long for a duration"),
            ("x[5m:-1]", "1:6: parse error: unexpected character inside brackets: '-'"),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let nested = |levels| format!("{}x{}", "(".repeat(levels), ")".repeat(levels));
        assert!(parse(&nested(NESTING_MAX)).is_ok());
        let told = format!(
            "1:{}: parse error: the query has more than 200 operators and brackets",
            NESTING_MAX + 1
        );
        assert_eq!(parse(&nested(NESTING_MAX + 1)).unwrap_err().to_string(), told);
        assert!(parse(&"-".repeat(1000)).is_err());
        assert!(parse(&"x or ".repeat(1000)).is_err());
        assert!(parse(&format!("x{{{}}}", "a!=\"b\",".repeat(1000))).is_ok());
        assert!(parse(&"x".repeat(TEXT_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_long_error_is_found_soon() {
        let text = format!("{}1 1", "x{a=\"b\"} + ".repeat(150));
        assert_eq!(parse(&text).unwrap_err().place, Some((1, 11 * 150 + 3)));
    }
}
