//! Writing YAML of a known shape, for people and `kubectl` alike.
//!
//! Every value is a text or a yes or no. A text is written as it is where no YAML reader could take it for anything else, and
//! otherwise between quotes with everything but printable ASCII escaped, so that no text can end its line or begin a comment.

use std::fmt::Write as _;

/// Words that some reader takes for a value that is no text.
const RESERVED: [&str; 11] = [
    "null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf",
];

/// Lines of YAML.
#[derive(Default)]
pub(super) struct Yaml(String);

impl Yaml {
    /// What was written.
    pub(super) fn into_text(self) -> String {
        self.0
    }

    /// A comment; whatever would end its line is replaced.
    pub(super) fn comment(&mut self, text: &str) {
        self.0.push_str("# ");
        for c in text.chars() {
            self.0.push(if c == ' ' || c.is_ascii_graphic() {
                c
            } else {
                '?'
            });
        }
        self.0.push('\n');
    }

    /// A key whose value follows on deeper lines.
    pub(super) fn open(&mut self, lead: &str, key: &str) {
        self.0.push_str(lead);
        self.0.push_str(key);
        self.0.push_str(":\n");
    }

    /// A line as it is.
    pub(super) fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// A key with a text.
    pub(super) fn pair(&mut self, lead: &str, key: &str, value: &str) {
        self.0.push_str(lead);
        self.0.push_str(key);
        self.0.push_str(": ");
        self.text(value);
    }

    /// An item of a list of texts.
    pub(super) fn item(&mut self, lead: &str, value: &str) {
        self.0.push_str(lead);
        self.0.push_str("- ");
        self.text(value);
    }

    fn text(&mut self, text: &str) {
        if is_plain(text) {
            self.0.push_str(text);
        } else {
            self.quoted(text);
        }
        self.0.push('\n');
    }

    fn quoted(&mut self, text: &str) {
        self.0.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.0.extend(['\\', c]),
                '\n' => self.0.push_str("\\n"),
                ' ' => self.0.push(c),
                _ if c.is_ascii_graphic() => self.0.push(c),
                // Writing to memory cannot fail.
                _ if u32::from(c) <= 0xffff => {
                    let _ = write!(self.0, "\\u{:04x}", u32::from(c));
                }
                _ => {
                    let _ = write!(self.0, "\\U{:08x}", u32::from(c));
                }
            }
        }
        self.0.push('"');
    }
}

fn is_plain(text: &str) -> bool {
    text.trim_start_matches("--")
        .starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with(':')
        && (text.bytes()).all(|byte| byte.is_ascii_alphanumeric() || b"._/+=:%-".contains(&byte))
        && !(RESERVED.iter()).any(|word| word.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn read_back(text: &str) -> BTreeMap<String, serde_json::Value> {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn what_could_be_taken_for_something_else_is_quoted() {
        for text in [
            "",
            "1",
            "1e3",
            "0x1",
            "-",
            "- a",
            "a: b",
            "a #b",
            "NO",
            "y",
            "True",
            "~",
            ".inf",
            "<<",
            "=",
            "a:",
            "--",
            "---",
            "--1",
            "- a",
            "*a",
            "&a",
            "!t",
            "|",
            "\n",
            "\u{85}",
            "\u{2028}",
            "2026-01-01",
            "é",
            "🦀",
            "\t",
            "\u{feff}",
            "'",
            "\"",
            "\\",
            "%",
        ] {
            assert!(!is_plain(text), "{text:?}");
            let mut yaml = Yaml::default();
            yaml.pair("", "key", text);
            assert_eq!(read_back(&yaml.into_text())["key"], text);
        }
        for text in [
            "https://a:6443/k8s/c%2F1",
            "LS0tLS1CRUdJTg==",
            "main/edge-1",
        ] {
            assert!(is_plain(text), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was(first in any::<String>(), second in "[!-~]{0,12}", remark in any::<String>()) {
            let mut yaml = Yaml::default();
            yaml.comment(&remark);
            yaml.pair("", "first", &first);
            yaml.pair("", "second", &second);
            yaml.open("", "list");
            yaml.item("", &first);
            yaml.item("", &second);
            let read = read_back(&yaml.into_text());
            prop_assert_eq!(&read["first"], &first);
            prop_assert_eq!(&read["second"], &second);
            prop_assert_eq!(&read["list"], &serde_json::json!([first, second]));
        }
    }
}
