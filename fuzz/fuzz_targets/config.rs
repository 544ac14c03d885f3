//! Any text is a configuration or none, every place named lies in it, and what is printed is read
//! again as the same.

#![no_main]

use std::io;

use config::{Format, Known, Outside, Reader, Request, Secrets, load, print};
use libfuzzer_sys::fuzz_target;

/// The text is the only file there is, and the value of every variable.
struct World<'a>(&'a str);

impl Outside for World<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        (!name.starts_with("UNSET")).then(|| self.0.to_owned())
    }

    fn read(&self, _: &str) -> io::Result<Vec<u8>> {
        Ok(self.0.as_bytes().to_vec())
    }
}

fuzz_target!(|text: &str| {
    let configs = ["c.yaml".to_owned()];
    let sets = [text.chars().take(100).collect::<String>()];
    let known = Known::default();
    let world = World(text);
    let (document, mut diagnostics) =
        load(Request { configs: &configs, sets: &sets }, &world, &known);
    for component in document.receivers.iter().chain(&document.exporters) {
        let mut reader = Reader::of(component, &mut diagnostics);
        reader.field("timeout").duration();
        reader.field("headers").headers();
        reader.field("tls").section(|tls| tls.field("insecure").bool());
        reader.finish();
    }
    for label in diagnostics.iter().flat_map(|diagnostic| &diagnostic.labels) {
        let source = diagnostics.sources().get(label.at.source).expect("a source");
        assert!(source.text.get(label.at.start..label.at.end).is_some(), "{label:?}");
    }
    diagnostics.render(true);
    diagnostics.json_lines();
    print(&document, &diagnostics, Format::Yaml, Secrets::Redacted);
    print(&document, &diagnostics, Format::Json, Secrets::Shown);
    let printed = print(&document, &diagnostics, Format::Yaml, Secrets::Shown);
    // References may make much of little; what is printed then is longer than a file may be.
    if printed.len() < 1 << 20 {
        let request = Request { configs: &configs, sets: &[] };
        let (again, _) = load(request, &World(&printed), &known);
        assert_eq!(again, document, "{printed}");
    }
});
