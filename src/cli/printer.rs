//! The only place that writes to standard output and standard error.

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::Value;

use super::table::Style;
use crate::config::Strings;

/// Writes answers to standard output, and remarks to standard error.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    style: Style,
}

impl Printer {
    /// Looks at standard output and the environment once.
    pub fn new(strings: &dyn Strings) -> Self {
        let is_terminal = io::stdout().is_terminal();
        Self {
            style: Style {
                width: is_terminal.then(super::table::terminal_width).flatten(),
                colour: is_terminal && may_colour(strings),
            },
        }
    }

    /// How tables are drawn on this output.
    pub fn style(self) -> Style {
        self.style
    }

    /// Writes a text and ends it with a line break.
    pub fn print(self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.is_empty() && !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()
    }

    /// Writes bytes as they are.
    pub fn pass(self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Writes a value as indented JSON.
    pub fn json(self, value: &Value) -> io::Result<()> {
        self.print(&format!("{value:#}"))
    }

    /// Says something about the answer where it does not get in its way. Nobody can be told when that fails.
    pub fn remark(self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// Whether the environment leaves room for colour: <https://no-color.org>, and terminals that have none.
fn may_colour(strings: &dyn Strings) -> bool {
    let refused = strings
        .get("NO_COLOR")
        .is_some_and(|value| !value.is_empty());
    let plain = strings.get("TERM").is_some_and(|term| term == "dumb");
    !refused && !plain
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_color_and_dumb_terminals_are_respected() {
        let with = |key: &str, value: &str| {
            may_colour(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
        };
        assert!(with("TERM", "xterm-256color"));
        assert!(with("NO_COLOR", ""));
        assert!(!with("NO_COLOR", "1"));
        assert!(!with("TERM", "dumb"));
    }
}
