//! URLs without what is different in every one of them: numbers, ids, hashes and queries. A part of
//! `redaction`.

/// What stands for a segment of a path.
const ANY: &str = "*";

/// A URL, or its path, without the query and with `*` for segments that are no words; nothing if it
/// is that already. A scheme and a host stay; who logs in there does not.
pub(super) fn url(text: &str) -> Option<String> {
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let kept = text.get(..end)?;
    let (scheme, rest) = match kept.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, kept),
    };
    let mut out = String::with_capacity(text.len());
    let mut segments = rest.split('/');
    if let Some(scheme) = scheme {
        let authority = segments.next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        out.extend([scheme, "://", host]);
    }
    for (at, segment) in segments.enumerate() {
        if at > 0 || scheme.is_some() {
            out.push('/');
        }
        out.push_str(if is_word(segment) { segment } else { ANY });
    }
    (out != text).then_some(out)
}

/// The name of a span with its URLs and paths made so; nothing if there are none, or if the name
/// would say nothing any more.
pub(super) fn span_name(name: &str) -> Option<String> {
    if !name.contains('/') {
        return None;
    }
    let clean = |word: &str| {
        let is_url = word.starts_with('/') || word.contains("://");
        if is_url { url(word) } else { None }
    };
    let mut changed = false;
    let words = name.split(' ').map(|word| {
        let clean = clean(word);
        changed |= clean.is_some();
        clean.unwrap_or_else(|| word.to_owned())
    });
    let words: Vec<String> = words.collect();
    let says_something = words.iter().any(|word| word.bytes().any(|byte| !b"/*".contains(&byte)));
    (changed && says_something).then(|| words.join(" "))
}

/// Whether a segment of a path is one that many URLs have: letters with points and strokes, the
/// version of an API, or a place in a route, such as `{id}`.
fn is_word(segment: &str) -> bool {
    let is_place = segment.starts_with('{') && segment.ends_with('}');
    let letters = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphabetic() || b"-_.~:*".contains(&byte))
    };
    is_place || letters(segment) || is_version(segment)
}

/// `v1`, `v2beta1`: numbers of three digits at the most.
fn is_version(segment: &str) -> bool {
    let Some(rest) = segment.strip_prefix(['v', 'V']) else { return false };
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let major = digits(rest);
    let rest = rest.get(major..).unwrap_or_default();
    let stage = ["alpha", "beta", "rc"].iter().find_map(|stage| rest.strip_prefix(stage));
    let minor = stage.unwrap_or(rest);
    (1..=3).contains(&major) && minor.len() <= 3 && digits(minor) == minor.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_urls_goes() {
        for (before, after) in [
            ("", ""),
            ("/", "/"),
            ("/api/users", "/api/users"),
            ("/api/users/12345", "/api/users/*"),
            ("/api/users/123/posts/456/", "/api/users/*/posts/*/"),
            ("/users/123e4567-e89b-12d3-a456-426614174000", "/users/*"),
            ("/blobs/sha256:9f86d081884c7d65", "/blobs/*"),
            ("/users/me@example.org/cart", "/users/*/cart"),
            ("/search/caf%C3%A9", "/search/*"),
            ("/users/\u{e9}", "/users/*"),
            ("/api?id=123&name=john", "/api"),
            ("/api#part-1", "/api"),
            ("api/users/7", "api/users/*"),
            ("/v1/users/{id}/:name/*", "/v1/users/{id}/:name/*"),
            ("/v2beta1/x.json/v1234/v1x/v", "/v2beta1/x.json/*/*/v"),
            ("https://shop-1.example:8080/cart/42?x=1", "https://shop-1.example:8080/cart/*"),
            ("https://me:secret@shop.example", "https://shop.example"),
            ("https://shop.example", "https://shop.example"),
            ("?x", ""),
        ] {
            assert_eq!(url(before).as_deref().unwrap_or(before), after, "{before}");
            // Again, there is nothing left to do.
            assert_eq!(url(after), None, "{after}");
        }
    }

    #[test]
    fn names_of_spans_keep_their_sense() {
        for (before, after) in [
            ("GET /users/42", "GET /users/*"),
            ("/users/42?x=1", "/users/*"),
            ("GET https://shop.example/42", "GET https://shop.example/*"),
            // Nothing but stars would be left.
            ("/42/43", "/42/43"),
            ("pkg.v1.Service/Method2", "pkg.v1.Service/Method2"),
            ("SELECT orders 42", "SELECT orders 42"),
            ("", ""),
        ] {
            assert_eq!(span_name(before).as_deref().unwrap_or(before), after, "{before}");
        }
    }
}
