//! The tables of a store, as they are copied from one to another: a new table is a line here,
//! and a test says so where it is missing.

use super::pool::Value;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Number,
    Text,
    Bytes,
}

use Holds::{Bytes, Number, Text};

/// A table: its columns, of which the first ones are its key.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// How many of the columns are its key.
    pub(super) key: usize,
    pub(super) columns: &'static [(&'static str, Holds)],
}

const fn table(name: &'static str, key: usize, columns: &'static [(&'static str, Holds)]) -> Table {
    Table { name, key, columns }
}

/// Every table that is copied.
pub(super) const TABLES: &[Table] = &[
    table("meta", 1, &[("name", Text), ("value", Number)]),
    table(
        "source",
        1,
        &[
            ("name", Text),
            ("provider", Text),
            ("account", Text),
            ("clusters", Number),
            ("generation", Number),
            ("print", Bytes),
        ],
    ),
    table(
        "cluster",
        2,
        &[
            ("source", Text),
            ("id", Text),
            ("generation", Number),
            ("record", Bytes),
        ],
    ),
    table(
        "change",
        2,
        &[
            ("generation", Number),
            ("number", Number),
            ("at", Number),
            ("source", Text),
            ("cluster", Text),
            ("kind", Text),
            ("body", Text),
            ("document", Bytes),
            ("was", Number),
        ],
    ),
    table(
        "sync",
        2,
        &[
            ("source", Text),
            ("started_at", Number),
            ("took_ms", Number),
            ("error", Text),
            ("pages", Number),
            ("clusters", Number),
            ("rejected", Number),
        ],
    ),
    table("restart", 1, &[("first", Number), ("after", Number)]),
    table("unseen", 1, &[("source", Text), ("since", Number)]),
    table(
        "hour",
        2,
        &[
            ("source", Text),
            ("hour", Number),
            ("generation", Number),
            ("account", Bytes),
        ],
    ),
    table(
        "hook",
        1,
        &[
            ("name", Text),
            ("place", Text),
            ("seen_at", Number),
            ("success_at", Number),
            ("failure_at", Number),
            ("failure_status", Number),
            ("failure_code", Text),
            ("gone_at", Number),
        ],
    ),
    table(
        "delivery",
        2,
        &[
            ("hook", Text),
            ("number", Number),
            ("id", Text),
            ("kind", Text),
            ("subject", Text),
            ("generation", Number),
            ("state", Text),
            ("attempts", Number),
            ("created_at", Number),
            ("give_up_at", Number),
            ("next_at", Number),
            ("last_at", Number),
            ("status", Number),
            ("code", Text),
            ("ended_at", Number),
            ("claimed_by", Text),
            ("claimed_until", Number),
            ("body", Bytes),
        ],
    ),
    table(
        "operation",
        1,
        &[
            ("id", Text),
            ("source", Text),
            ("cluster", Text),
            ("created", Number),
            ("at", Number),
            ("done", Number),
            ("shown", Number),
            ("owner", Text),
            ("claim", Bytes),
            ("became", Text),
            ("body", Text),
        ],
    ),
    table(
        "claim",
        1,
        &[
            ("key", Bytes),
            ("print", Bytes),
            ("since", Number),
            ("owner", Text),
            ("asked", Number),
            ("answer", Text),
        ],
    ),
    table(
        "api_key",
        1,
        &[
            ("id", Text),
            ("made", Number),
            ("used", Number),
            ("entry", Text),
        ],
    ),
    table(
        "audit",
        1,
        &[
            ("id", Number),
            ("at", Number),
            ("action", Text),
            ("actor", Text),
            ("target", Text),
            ("status", Number),
            ("request", Text),
            ("line", Text),
        ],
    ),
];

impl Table {
    /// The names of the first columns, with commas between them.
    fn names(&self, count: usize) -> String {
        let names = self.columns.iter().take(count).map(|column| column.0);
        names.collect::<Vec<_>>().join(", ")
    }

    /// Reads rows in the order of the key: the first ones, or those behind a key.
    pub(super) fn select(&self, is_first: bool) -> String {
        let (key, all) = (self.names(self.key), self.names(self.columns.len()));
        let name = self.name;
        if is_first {
            return format!("SELECT {all} FROM {name} ORDER BY {key} LIMIT $1");
        }
        let places: Vec<String> = (1..=self.key).map(|place| format!("${place}")).collect();
        let (places, limit) = (places.join(", "), self.key + 1);
        format!("SELECT {all} FROM {name} WHERE ({key}) > ({places}) ORDER BY {key} LIMIT ${limit}")
    }

    /// Writes so many rows.
    pub(super) fn insert(&self, rows: usize) -> String {
        let width = self.columns.len();
        let row = |row: usize| {
            let places = (1..=width).map(|place| format!("${}", row * width + place));
            format!("({})", places.collect::<Vec<_>>().join(","))
        };
        let rows: Vec<String> = (0..rows).map(row).collect();
        let (name, all) = (self.name, self.names(width));
        format!("INSERT INTO {name} ({all}) VALUES {}", rows.join(","))
    }
}

impl Holds {
    /// Nothing, as a value of this column.
    pub(super) const fn nothing(self) -> Value {
        match self {
            Number => Value::Number(None),
            Text => Value::Text(None),
            Bytes => Value::Bytes(None),
        }
    }
}
