//! From text to tree, with the place of what is wrong.
//!
//! The parser tells what is wrong and not where, and neither bounds how deep a query may be nor
//! survives every duration. Tokens, told apart just well enough, bound what it is given and find
//! the place: that of the first token up to which the text, completed, is as wrong as the whole.

use std::borrow::Cow;

use promql_parser::parser::{Expr, lexer, parse as parsed};
use promql_parser::util::unquote_string;

use super::error::PromqlError;
use super::matchers::{Pattern, pattern};
use super::tokens::{Kind, Token, tokens};

/// The longest text.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// The most operators and brackets: each may be a level of the tree, and trees are walked
/// recursively.
const NESTING_MAX: usize = 200;

/// The most regular expressions in conditions on labels: each is compiled.
pub(super) const REGEXES_MAX: usize = 16;

/// The most calls of `label_replace`, which have a regular expression each.
const REPLACES_MAX: usize = 64;

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
    let plain = without_regexes(text, &tokens)?;
    parsed(text).map_err(|problem| match problem == NO_QUERY {
        true => misplaced(text, &plain, &tokens),
        false => {
            let place = place_of_regex(text, &tokens, &problem);
            let place = place.or_else(|| place_of(&plain, &tokens, &problem)).unwrap_or(0);
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

/// Refuses what the parser, or whoever walks its tree, may not survive.
fn not_too_much(text: &str, tokens: &[Token]) -> Result<(), PromqlError> {
    let (mut nesting, mut braces, mut brackets, mut is_duration) = (0, false, false, false);
    let (mut regexes, mut replaces) = (0, 0);
    for token in tokens {
        let word = token.of(text);
        regexes += usize::from(matches!(word, "=~" | "!~"));
        replaces += usize::from(word.eq_ignore_ascii_case("label_replace"));
        if regexes > REGEXES_MAX {
            return Err(too_many_regexes().at(text, token.start));
        }
        if replaces > REPLACES_MAX {
            let problem = format!("the query has more than {REPLACES_MAX} calls of label_replace");
            return Err(PromqlError::query(problem).at(text, token.start));
        }
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

/// The texts that are regular expressions of conditions on labels.
fn patterns<'a>(text: &'a str, tokens: &'a [Token]) -> impl Iterator<Item = Token> + 'a {
    let pairs = tokens.iter().zip(tokens.iter().skip(1));
    let found = pairs
        .filter(|(sign, quoted)| matches!(sign.of(text), "=~" | "!~") && quoted.kind == Kind::Text);
    found.map(|(_, quoted)| *quoted)
}

/// The text with regular expressions in their places that cost nothing to compile, for looking
/// for the place of an error.
///
/// # Errors
/// One that is wrong or too large.
fn without_regexes<'a>(text: &'a str, tokens: &[Token]) -> Result<Cow<'a, str>, PromqlError> {
    let mut plain = Cow::Borrowed(text);
    for token in patterns(text, tokens) {
        let Ok(value) = unquote_string(token.of(text)) else { continue };
        let takes_nothing = match pattern(&value) {
            Ok(regex) => regex.is_match(""),
            // It may be one of Go's; the parser tells.
            Err(Pattern::Wrong) => false,
            Err(problem) => return Err(problem.error(&value).at(text, token.start)),
        };
        let inner = token.start + 1..token.end.saturating_sub(1).max(token.start + 1);
        let same = if takes_nothing { "|" } else { "x" }.repeat(inner.len());
        plain.to_mut().replace_range(inner, &same);
    }
    Ok(plain)
}

/// What is said where conditions have more regular expressions than are compiled.
pub(super) fn too_many_regexes() -> PromqlError {
    PromqlError::query(format!(
        "there are more than {REGEXES_MAX} regular expressions in conditions on labels; join some \
         of them with |"
    ))
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

/// What a token that does not fit the grammar is told as. `plain` is the text without its regular
/// expressions.
fn misplaced(text: &str, plain: &str, tokens: &[Token]) -> PromqlError {
    if text.len() > SEARCHED_BYTES_MAX {
        return PromqlError::query("this is no query");
    }
    let first = partition(tokens.len(), |count| completions(plain, tokens, count).next().is_some());
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

/// Where the regular expression stands that a problem names.
fn place_of_regex(text: &str, tokens: &[Token], problem: &str) -> Option<usize> {
    let wrong = problem.strip_prefix("illegal regex for ")?;
    let is_it = |token: &Token| unquote_string(token.of(text)).is_ok_and(|value| value == wrong);
    patterns(text, tokens).find(is_it).map(|token| token.start)
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
    fn regular_expressions_have_bounds() {
        let many = |count: usize| format!("x{{{}}}", "a=~\"b\",".repeat(count));
        assert!(parse(&many(REGEXES_MAX)).is_ok());
        let spread = |count: usize| vec!["x{a!~'b'}"; count].join(" + ");
        assert!(parse(&spread(REGEXES_MAX)).is_ok());
        let replaces = |count: usize| {
            format!("{}x{}", "label_replace(".repeat(count), ",'a','b','c','d')".repeat(count))
        };
        assert!(parse(&replaces(REPLACES_MAX)).is_ok());
        let long = |length: usize| format!("x{{a=~\"{}\"}}", "b".repeat(length));
        assert!(parse(&long(4096)).is_ok());
        let names: Vec<String> = (0..100).map(|at| format!(".*some-operation-{at}.*")).collect();
        assert!(parse(&format!("x{{a=~\"{}\"}}", names.join("|"))).is_ok());
        for (text, expected) in [
            (many(REGEXES_MAX + 1), "1:116: parse error: there are more than 16 regular"),
            (spread(REGEXES_MAX + 1), "1:196: parse error: there are more than 16 regular"),
            (replaces(REPLACES_MAX + 1), "1:897: parse error: the query has more than 64 calls"),
            (long(4097), "1:6: parse error: a regular expression is too large: it may have 4096"),
            ("x{a=~'\\\\w{1000}'}".to_owned(), "1:6: parse error: a regular expression is too"),
            ("x{a=~'((b{99}){99}){99}'}".to_owned(), "1:6: parse error: a regular expression is"),
        ] {
            let error = parse(&text).expect_err(&text).to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    /// The same place whatever the regular expressions before it; they are not compiled again.
    #[test]
    fn errors_behind_regular_expressions_are_found() {
        for (text, expected) in [
            ("x{a=~'(b|c).*'} + * 2", "1:19: parse error: unexpected \"*\""),
            ("x{a=~'b.*', c='d' e=~'f'}", "1:19: parse error: unexpected \"e\""),
            ("x{a='b' 'c'=~'d'}", "1:9: parse error: unexpected \"'c'\""),
            (
                "y + {a=~'.*'}",
                "1:5: parse error: vector selector must contain at least one non-empty matcher",
            ),
            ("x{a=~'b{c}'} y", "1:14: parse error: unexpected \"y\""),
            ("x{a=~'b', c=~'(b'}", "1:14: parse error: illegal regex for (b"),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn a_long_error_is_found_soon() {
        let text = format!("{}1 1", "x{a=\"b\"} + ".repeat(150));
        assert_eq!(parse(&text).unwrap_err().place, Some((1, 11 * 150 + 3)));
    }
}
