//! What regular expressions match.

use traceql::Pattern;

#[test]
fn matches() {
    for (pattern, text, expected) in [
        ("abc", "abc", true),
        ("abc", "xabc", false),
        ("abc", "abcx", false),
        ("a|bc", "abc", false),
        ("a|bc", "bc", true),
        (".*", "a\nb", true),
        ("a.b", "a\nb", true),
        ("(?i)ABC", "abc", true),
        ("a$", "a\n", false),
        ("^a$", "a", true),
        ("", "", true),
        ("", "a", false),
        // Classes are of ASCII.
        (r"\d+", "123", true),
        (r"\d", "٣", false),
        (r"\D", "٣", true),
        (r"\w+", "aB_9", true),
        (r"\w", "é", false),
        (r"\W", "é", true),
        (r"\s", "\u{a0}", false),
        (r"\S", "\u{a0}", true),
        (r"[\d.]+", "1.2", true),
        (r"[^\d]", "a", true),
        (r"[\w-]+", "a-b", true),
        (r"\bé.*", "é", false),
        (r"\bab\b", "ab", true),
        // A brace that starts no repetition is itself.
        ("/users/{id}", "/users/{id}", true),
        ("a{,2}", "a{,2}", true),
        ("a{2}", "aa", true),
        ("a{2,}", "aaa", true),
        ("a{1,2}", "aa", true),
        ("a{", "a{", true),
        ("{}", "{}", true),
        // In brackets nothing but a range is an operator.
        ("[[]", "[", true),
        ("[a&&b]+", "a&b", true),
        ("[a~~b]+", "a~b", true),
        ("[]a]+", "]a", true),
        ("[^]a]", "b", true),
        ("[^]a]", "]", false),
        ("[[:alpha:]]+", "ab", true),
        ("[[:^alpha:]]+", "12", true),
        ("[(]", "(", true),
        (r"[\]]", "]", true),
        (r"\Qa.b*\E+", "a.b**", true),
        (r"\Qa.b", "a.b", true),
        (r"\p{Greek}+", "αβ", true),
        (r"\pL", "é", true),
        (r"\x{e9}\x41", "éA", true),
        (r"\/api\/v1", "/api/v1", true),
        ("(?P<name>a)b", "ab", true),
        ("é+", "éé", true),
    ] {
        let compiled = match Pattern::new(pattern) {
            Ok(compiled) => compiled,
            Err(error) => panic!("{pattern}: {error}"),
        };
        assert_eq!(compiled.is_match(text), expected, "{pattern} on {text:?}");
        assert_eq!(compiled.as_str(), pattern);
    }
}

#[test]
fn refused() {
    for (pattern, fragment) in [
        ("(", "unclosed group"),
        (")", "not opened"),
        ("a)(b", "not opened"),
        ("[a", "unclosed character class"),
        ("a**{2}(", "unclosed group"),
        ("+", "repetition operator missing expression"),
        (r"(a)\1", "backreference"),
        ("(?!a)", "look-around"),
        (r"\", "backslash"),
        (r"\p{Nonsense}", "not found"),
        (r"(\pL{100}){100}", "too large"),
    ] {
        let error = Pattern::new(pattern).unwrap_err();
        assert!(error.contains(fragment), "{pattern}: {error}");
        assert!(!error.contains('\n'), "{pattern}: {error}");
    }
    assert!(Pattern::new(&"(".repeat(10_000)).is_err());
    assert!(Pattern::new(&format!("{}a{}", "(".repeat(10_000), ")".repeat(10_000))).is_err());
}
