//! Any text is refused at a place in it, or prints as the same query; half a query never hurts.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match traceql::parse(text) {
        Ok(query) => {
            let printed = query.to_string();
            // Printing adds parentheses, which may make a text too long, but no other.
            if printed.len() <= traceql::QUERY_BYTES_MAX {
                assert_eq!(traceql::parse(&printed).as_ref(), Ok(&query), "{printed}");
            }
            query.attributes();
        }
        Err(error) => {
            assert!(text.get(error.start..error.end).is_some(), "{error}");
            error.caret(text);
        }
    }
    if let Some(spansets) = traceql::lenient(text) {
        let printed = spansets.to_string();
        assert!(printed.len() > traceql::QUERY_BYTES_MAX || traceql::parse(&printed).is_ok());
    }
    if let Ok(field) = traceql::attribute(text) {
        assert_eq!(traceql::attribute(&field.to_string()), Ok(field));
    }
});
