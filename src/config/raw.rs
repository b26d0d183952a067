//! The file as it is written: tables of which keys are taken one by one, until what is left is unknown.
//!
//! serde would stop at the first mistake; an operator wants to see all of them.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::{Table, Value};

use super::mistake::{Mistake, nearest};
use super::quantity;

/// One table of the file, with the mistakes found in it.
pub(super) struct Section<'a> {
    path: String,
    table: Table,
    known: Vec<&'static str>,
    mistakes: &'a mut Vec<Mistake>,
}

impl<'a> Section<'a> {
    /// Begins to read a table; `path` is how mistakes name it, empty for the whole file.
    pub(super) fn new(
        path: impl Into<String>,
        table: Table,
        mistakes: &'a mut Vec<Mistake>,
    ) -> Self {
        Self {
            path: path.into(),
            table,
            known: Vec::new(),
            mistakes,
        }
    }

    /// Changes how mistakes name the table.
    pub(super) fn rename(&mut self, path: String) {
        self.path = path;
    }

    /// The full name of a key.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Records a mistake.
    pub(super) fn reject(&mut self, key: &str, reason: impl Into<String>) {
        let key = self.key(key);
        self.mistakes.push(Mistake::new(key, reason));
    }

    /// How many mistakes there are by now, in this table and before it.
    pub(super) fn mistakes(&self) -> usize {
        self.mistakes.len()
    }

    /// Whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Takes a key out, whatever its type.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// Takes a text that is not empty.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            Value::String(_) => self.none(key, "must not be empty"),
            _ => self.none(key, "must be a text in quotes"),
        }
    }

    /// Takes a text that must be there; empty when it is not, or is wrong.
    pub(super) fn required(&mut self, key: &'static str, missing: &str) -> String {
        if !self.has(key) {
            self.known.push(key);
            self.reject(key, missing);
        }
        self.text(key).unwrap_or_default()
    }

    /// Takes a list of texts, or one text alone.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let texts = match self.take(key)? {
            Value::String(text) => Some(vec![text]),
            Value::Array(items) => items
                .into_iter()
                .map(|item| match item {
                    Value::String(text) => Some(text),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        let texts: Option<Vec<String>> =
            texts.map(|texts| texts.iter().map(|text| text.trim().to_owned()).collect());
        match texts {
            Some(texts) if !texts.is_empty() && texts.iter().all(|text| !text.is_empty()) => {
                Some(texts)
            }
            _ => self.none(key, "must be a list of texts in quotes, none of them empty"),
        }
    }

    /// Takes the name of a file that must be there; relative names begin at `folder`.
    pub(super) fn file(&mut self, key: &'static str, folder: &Path) -> Option<PathBuf> {
        let file = folder.join(self.text(key)?);
        if file.is_file() {
            Some(file)
        } else {
            self.none(key, "there is no such file")
        }
    }

    /// Whether something is wrong with a key.
    pub(super) fn was_rejected(&self, key: &str) -> bool {
        let key = self.key(key);
        self.mistakes.iter().any(|mistake| mistake.key == key)
    }

    /// Takes `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        match self.take(key)? {
            Value::Boolean(flag) => Some(flag),
            _ => self.none(key, "must be true or false, without quotes"),
        }
    }

    /// Takes a whole number.
    pub(super) fn count(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let (least, most) = (*range.start(), *range.end());
        match self.take(key)? {
            Value::Integer(number)
                if u64::try_from(number).is_ok_and(|number| range.contains(&number)) =>
            {
                u64::try_from(number).ok()
            }
            _ => self.none(
                key,
                format!("must be a whole number from {least} to {most}"),
            ),
        }
    }

    /// Takes a duration.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let read = match self.take(key)? {
            Value::String(text) => quantity::duration(&text),
            _ => Err("must be a duration in quotes, with its unit, such as \"30s\""),
        };
        match read {
            Ok(duration) if range.contains(&duration) => Some(duration),
            Ok(_) => {
                let (least, most) = (
                    quantity::spell(*range.start()),
                    quantity::spell(*range.end()),
                );
                self.none(key, format!("must be from {least} to {most}"))
            }
            Err(reason) => self.none(key, reason),
        }
    }

    /// Takes a number of bytes, or a text such as `32MiB`.
    pub(super) fn size(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let read = match self.take(key)? {
            Value::Integer(bytes) => u64::try_from(bytes).map_err(|_| "must not be negative"),
            Value::String(text) => quantity::size(&text),
            _ => Err("must be a number of bytes, or a size such as \"32MiB\""),
        };
        match read {
            Ok(bytes) if range.contains(&bytes) => Some(bytes),
            Ok(_) => self.none(
                key,
                format!("must be from {} to {} bytes", range.start(), range.end()),
            ),
            Err(reason) => self.none(key, reason),
        }
    }

    /// Takes one of some words.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = match self.take(key)? {
            Value::String(text) => text,
            _ => String::new(),
        };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let allowed: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        self.none(key, format!("must be {}", allowed.join(" or ")))
    }

    /// Takes a table; a missing one is empty.
    pub(super) fn table(&mut self, key: &'static str) -> Table {
        match self.take(key) {
            Some(Value::Table(table)) => table,
            None => Table::new(),
            Some(_) => {
                self.reject(key, format!("must be a table: write [{key}]"));
                Table::new()
            }
        }
    }

    /// Ends the reading: the keys that nobody took are unknown.
    pub(super) fn finish(mut self) {
        let unknown: Vec<String> = self.table.keys().cloned().collect();
        for key in unknown {
            let reason = unknown_key(&key, &self.known);
            self.reject(&printable(&key), reason);
        }
    }

    /// Ends the reading where another reader takes the keys that are left.
    pub(super) fn into_rest(self) -> (Table, Vec<&'static str>) {
        (self.table, self.known)
    }

    fn none<T>(&mut self, key: &str, reason: impl Into<String>) -> Option<T> {
        self.reject(key, reason);
        None
    }
}

/// What to say of a key that is not known.
fn unknown_key(key: &str, known: &[&'static str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(meant) => format!("unknown key; did you mean {meant}?"),
        None => format!("unknown key; known here are {}", known.join(", ")),
    }
}

/// A key as it may be shown on a terminal.
pub(super) fn printable(key: &str) -> String {
    key.chars().filter(|c| !c.is_control()).take(64).collect()
}
