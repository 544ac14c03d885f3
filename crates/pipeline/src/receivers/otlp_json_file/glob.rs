//! Patterns of paths, and the files that they find.
//!
//! As in the Collector's `include` and `exclude`: `*` and `?` stand for characters of one name,
//! `**` for any number of folders, `[a-z]` and `[!a-z]` for a character, `{a,b}` for either, and a
//! backslash takes a character as it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use regex::Regex;

/// How deep `**` looks.
const DEPTH_MAX: usize = 64;

/// Entries of folders that one look goes through. More are not seen.
const VISITED_MAX: usize = 1 << 20;

/// How deep `{}` may lie in each other.
const BRACES_MAX: usize = 8;

/// A pattern of paths.
#[derive(Debug, Clone)]
pub struct Glob {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    /// The root, or a name without anything special.
    Name(String),
    Pattern(Regex),
    /// `**`.
    Folders,
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Glob {}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        let mut parts = Vec::new();
        if text.starts_with('/') {
            parts.push(Part::Name("/".to_owned()));
        }
        for name in text.split('/').filter(|name| !name.is_empty() && *name != ".") {
            parts.push(match name {
                "**" => Part::Folders,
                name if name.contains(['*', '?', '[', '{', '\\']) => {
                    let pattern = Translation { rest: name, braces: 0 }.all()?;
                    let regex = Regex::new(&format!("(?s)^{pattern}$"));
                    Part::Pattern(regex.map_err(|_| format!("{name:?} is no pattern"))?)
                }
                name => Part::Name(name.to_owned()),
            });
        }
        if matches!(parts.last(), Some(Part::Folders)) {
            parts.push(Part::Pattern(Regex::new("").map_err(|error| error.to_string())?));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a path is one of those meant.
    pub fn matches(&self, path: &Path) -> bool {
        let names: Vec<String> = path
            .components()
            .filter(|component| !matches!(component, Component::CurDir))
            .map(|component| component.as_os_str().to_string_lossy().into_owned())
            .collect();
        are_matched(&self.parts, &names)
    }

    /// Adds the files that there are, up to a number of them in all; false if there may be more.
    pub fn find(&self, files: &mut BTreeSet<PathBuf>, files_max: usize) -> bool {
        let mut walk = Walk { files, files_max, left: VISITED_MAX };
        walk.go(PathBuf::new(), &self.parts, 0)
    }
}

fn are_matched(parts: &[Part], names: &[String]) -> bool {
    match (parts, names) {
        ([], []) => true,
        ([Part::Folders, rest @ ..], _) => {
            (0..=names.len()).any(|skipped| are_matched(rest, &names[skipped..]))
        }
        ([part, parts @ ..], [name, names @ ..]) => part.takes(name) && are_matched(parts, names),
        _ => false,
    }
}

impl Part {
    fn takes(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Pattern(regex) => regex.is_match(name),
            Self::Folders => true,
        }
    }
}

struct Walk<'a> {
    files: &'a mut BTreeSet<PathBuf>,
    files_max: usize,
    left: usize,
}

impl Walk<'_> {
    /// False when it ended early. What cannot be read is passed over.
    fn go(&mut self, folder: PathBuf, parts: &[Part], depth: usize) -> bool {
        match parts {
            [] => true,
            [Part::Name(name), rest @ ..] => self.step(folder.join(name), rest, depth),
            [Part::Pattern(_), rest @ ..] => self.each(&folder, |walk, name, path, _| {
                !parts[0].takes(name) || walk.step(path, rest, depth)
            }),
            [Part::Folders, rest @ ..] => {
                self.go(folder.clone(), rest, depth)
                    && self.each(&folder, |walk, _, path, is_folder| {
                        // Links are not followed, lest they go round in circles.
                        !is_folder || depth == DEPTH_MAX || walk.go(path, parts, depth + 1)
                    })
            }
        }
    }

    fn step(&mut self, path: PathBuf, rest: &[Part], depth: usize) -> bool {
        if !rest.is_empty() {
            return self.go(path, rest, depth);
        }
        if fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            if self.files.len() >= self.files_max && !self.files.contains(&path) {
                return false;
            }
            self.files.insert(path);
        }
        true
    }

    fn each(
        &mut self,
        folder: &Path,
        mut visit: impl FnMut(&mut Self, &str, PathBuf, bool) -> bool,
    ) -> bool {
        let read = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let Ok(entries) = fs::read_dir(read) else { return true };
        for entry in entries.flatten() {
            if self.left == 0 {
                return false;
            }
            self.left -= 1;
            let name = entry.file_name();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if !visit(self, &name.to_string_lossy(), folder.join(&name), is_folder) {
                return false;
            }
        }
        true
    }
}

/// A name's pattern as a regular expression.
struct Translation<'a> {
    rest: &'a str,
    braces: usize,
}

impl Translation<'_> {
    fn all(mut self) -> Result<String, String> {
        let whole = self.rest;
        let mut out = String::new();
        while let Some(next) = self.next() {
            match next {
                '*' => out.push_str(".*"),
                '?' => out.push('.'),
                '[' => self.class(whole, &mut out)?,
                '{' if self.braces == BRACES_MAX => {
                    return Err(format!("{whole:?} has too many braces in each other"));
                }
                '{' => {
                    self.braces += 1;
                    out.push_str("(?:");
                }
                '}' if self.braces > 0 => {
                    self.braces -= 1;
                    out.push(')');
                }
                ',' if self.braces > 0 => out.push('|'),
                '\\' => {
                    let escaped = self.next();
                    let escaped =
                        escaped.ok_or_else(|| format!("{whole:?} ends in a backslash"))?;
                    push_literal(&mut out, escaped);
                }
                other => push_literal(&mut out, other),
            }
        }
        match self.braces {
            0 => Ok(out),
            _ => Err(format!("{whole:?} has a brace that is not closed before the next slash")),
        }
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next();
        self.rest = characters.as_str();
        next
    }

    fn class(&mut self, whole: &str, out: &mut String) -> Result<(), String> {
        out.push('[');
        if let Some(rest) = self.rest.strip_prefix(['!', '^']) {
            self.rest = rest;
            out.push('^');
        }
        let mut is_empty = true;
        loop {
            match self.next() {
                None => return Err(format!("{whole:?} has a bracket that is not closed")),
                Some(']') if !is_empty => break,
                Some('-') if !is_empty => out.push('-'),
                Some('\\') => {
                    let escaped = self.next();
                    let escaped =
                        escaped.ok_or_else(|| format!("{whole:?} ends in a backslash"))?;
                    push_literal(out, escaped);
                }
                Some(other) => push_literal(out, other),
            }
            is_empty = false;
        }
        out.push(']');
        Ok(())
    }
}

/// A character that stands for itself, inside of brackets and outside.
fn push_literal(out: &mut String, character: char) {
    if character.is_ascii_punctuation() {
        out.push('\\');
    }
    out.push(character);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_against_patterns() {
        for (pattern, path, expected) in [
            ("/var/log/*.json", "/var/log/a.json", true),
            ("/var/log/*.json", "/var/log/.json", true),
            ("/var/log/*.json", "/var/log/a/b.json", false),
            ("/var/log/*.json", "/var/log/a.json.1", false),
            ("/var/log/*.json", "/var/log/ajson", false),
            ("/var/**/*.json", "/var/a.json", true),
            ("/var/**/*.json", "/var/a/b/c.json", true),
            ("/var/**/*.json", "/etc/a.json", false),
            ("/var/**", "/var/a/b", true),
            ("**/a", "a", true),
            ("logs/a?.json", "logs/ab.json", true),
            ("./logs/a?.json", "logs/ab.json", true),
            ("logs/a?.json", "logs/a.json", false),
            ("/a/[a-c]x", "/a/bx", true),
            ("/a/[!a-c]x", "/a/bx", false),
            ("/a/[^a-c]x", "/a/dx", true),
            ("/a/[]]x", "/a/]x", true),
            ("/a/{one,t*}.json", "/a/two.json", true),
            ("/a/{one,t*}.json", "/a/three.jsonl", false),
            ("/a/{x{1,2},y}", "/a/x2", true),
            ("/a/\\*", "/a/*", true),
            ("/a/\\*", "/a/b", false),
            ("/a/b+(c).json", "/a/b+(c).json", true),
            ("/a/*&&~*", "/a/b&&~c", true),
            ("/a/ä*", "/a/äb", true),
        ] {
            let glob = Glob::parse(pattern).unwrap();
            assert_eq!(glob.matches(Path::new(path)), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for pattern in ["", "a[b", "a[", "{a,b", "{a/b}", "a\\", "[z-a]"] {
            assert!(Glob::parse(pattern).is_err(), "{pattern}");
        }
        let deep = "{".repeat(20);
        assert!(Glob::parse(&deep).is_err());
    }

    #[test]
    fn files_are_found_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::create_dir_all(at("folder.json")).unwrap();
        for name in ["one.json", "two.txt", "a/three.json", "a/b/four.json"] {
            fs::write(at(name), "").unwrap();
        }
        std::os::unix::fs::symlink(at("one.json"), at("a/link.json")).unwrap();
        std::os::unix::fs::symlink(at("a"), at("a/b/circle")).unwrap();
        let find = |pattern: &str, most: usize| {
            let mut files = BTreeSet::new();
            let glob = Glob::parse(&format!("{}/{pattern}", folder.path().display())).unwrap();
            let is_all = glob.find(&mut files, most);
            let name = |path: PathBuf| {
                path.strip_prefix(folder.path()).unwrap().to_string_lossy().into_owned()
            };
            (files.into_iter().map(name).collect::<Vec<_>>(), is_all)
        };
        for (pattern, expected) in [
            ("*.json", &["one.json"][..]),
            ("one.json", &["one.json"]),
            ("none.json", &[]),
            ("*/*.json", &["a/link.json", "a/three.json"]),
            ("**/*.json", &["a/b/four.json", "a/link.json", "a/three.json", "one.json"]),
            ("**/*r.json", &["a/b/four.json"]),
            ("a/**", &["a/b/four.json", "a/link.json", "a/three.json"]),
        ] {
            assert_eq!(find(pattern, 100).0, expected, "{pattern}");
        }
        let (found, is_all) = find("**/*.json", 2);
        assert_eq!((found.len(), is_all), (2, false));
    }
}
