//! JSON laid out for people.

/// The same JSON with a line for every value, indented by four spaces a level.
pub(super) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0usize;
    let mut in_text = false;
    let mut escaped = false;
    let mut characters = json.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        (0..depth).for_each(|_| out.push_str("    "));
    };
    while let Some(character) = characters.next() {
        if in_text {
            out.push(character);
            in_text = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        match character {
            '"' => {
                in_text = true;
                out.push('"');
            }
            '{' | '[' => {
                out.push(character);
                match characters.next_if(|&next| next == '}' || next == ']') {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn lays_out_what_is_not_text() {
        let json = r#"{"a":[1,"x\\\",:{}"],"b":{},"c":[],"d":null}"#;
        let expected = "{\n    \"a\": [\n        1,\n        \"x\\\\\\\",:{}\"\n    ],\n    \
                        \"b\": {},\n    \"c\": [],\n    \"d\": null\n}";
        assert_eq!(pretty(json), expected);
    }
}
