//! Tables: drawing is a function of rows and [`Style`].

use comfy_table::presets::NOTHING;
use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, Width,
};

use super::text::UNKNOWN;

/// Blanks between columns.
const GAP: u16 = 2;

/// How a table is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal; `None` draws every cell on one line.
    pub width: Option<u16>,
    /// Whether meanings are coloured.
    pub colour: bool,
}

/// What a cell means, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Nothing in particular.
    Plain,
    /// As it should be.
    Good,
    /// On its way, or in need of a look.
    Uneasy,
    /// Wrong.
    Bad,
    /// Over, or not known.
    Faint,
}

impl Tone {
    /// The meaning of a cluster's normalized state.
    pub(super) fn of_state(state: &str) -> Self {
        match state {
            "running" => Self::Good,
            "pending" | "provisioning" | "updating" | "degraded" | "deleting" => Self::Uneasy,
            "failed" | "unreachable" => Self::Bad,
            "stopped" | "deleted" | "unknown" => Self::Faint,
            _ => Self::Plain,
        }
    }

    /// The meaning of a source's state.
    pub(super) fn of_freshness(state: &str) -> Self {
        match state {
            "fresh" => Self::Good,
            "stale" | "suspect" => Self::Uneasy,
            "never" => Self::Bad,
            _ => Self::Plain,
        }
    }
}

/// A cell with a meaning.
pub(super) fn toned(text: impl Into<String>, tone: Tone) -> Cell {
    let cell = Cell::new_owned(text.into());
    match tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::Green),
        Tone::Uneasy => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red),
        Tone::Faint => cell.fg(Color::DarkGrey),
    }
}

/// A cell, or the sign for what is not known.
pub(super) fn known(text: Option<String>) -> Cell {
    text.map_or_else(|| toned(UNKNOWN, Tone::Faint), Cell::new_owned)
}

/// A number, flush right.
pub(super) fn number(text: Option<String>) -> Cell {
    known(text).set_alignment(CellAlignment::Right)
}

/// Draws a table with a header line; see [`render_without`].
pub(super) fn render(
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<Cell>>,
    style: Style,
) -> String {
    render_without(&[], header, rows, style)
}

/// Draws a table with a header line.
///
/// Where the width does not hold it, columns of which nothing is known go first, then the expendable ones, in their
/// order, until there is room for the titles. The columns that stay share the width.
pub(super) fn render_without(
    expendable: &[&str],
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<Cell>>,
    style: Style,
) -> String {
    let titles = header.iter().map(|title| title_cell(title)).collect();
    let rows: Vec<Vec<Cell>> = rows.into_iter().collect();
    let mut table = fill(titles, rows.clone(), style);
    if let Some(width) = style.width.map(usize::from)
        && natural_width(&table) > width
    {
        let mut kept: Vec<usize> = (0..header.len())
            .filter(|&column| rows.is_empty() || rows.iter().any(|row| is_known(row, column)))
            .collect();
        for title in expendable {
            if title_widths(header, &kept) > width {
                kept.retain(|&column| header[column] != *title);
            }
        }
        let titles = kept.iter().map(|&column| title_cell(header[column]));
        let rows = rows.iter().map(|row| {
            let cells = kept.iter().filter_map(|&column| row.get(column).cloned());
            cells.collect()
        });
        table = fill(titles.collect(), rows.collect(), style);
        if title_widths(header, &kept) <= width {
            table.set_constraints(kept.iter().map(|&column| at_least(header[column])));
        }
    }
    finish(&mut table)
}

fn title_widths(header: &[&str], columns: &[usize]) -> usize {
    let widths = columns.iter().map(|&column| header[column].chars().count());
    widths.map(|width| width + usize::from(GAP)).sum()
}

fn at_least(title: &str) -> ColumnConstraint {
    let width = u16::try_from(title.chars().count()).unwrap_or(u16::MAX - GAP);
    ColumnConstraint::LowerBoundary(Width::Fixed(width + GAP))
}

fn title_cell(title: &str) -> Cell {
    Cell::new(title).add_attribute(Attribute::Bold)
}

fn fill(titles: Vec<Cell>, rows: Vec<Vec<Cell>>, style: Style) -> Table {
    let mut table = begin(style);
    table.set_header(titles);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    table
}

fn is_known(row: &[Cell], column: usize) -> bool {
    row.get(column)
        .is_some_and(|cell| cell.content() != UNKNOWN)
}

fn natural_width(table: &Table) -> usize {
    let widths = table.column_max_content_widths();
    widths.iter().map(|width| usize::from(width + GAP)).sum()
}

/// Draws names and values, one pair on each line.
pub(super) fn pairs(rows: impl IntoIterator<Item = (String, Cell)>, style: Style) -> String {
    let mut table = begin(style);
    table
        .add_rows(rows.into_iter().map(|(name, value)| {
            vec![Cell::new_owned(name).add_attribute(Attribute::Bold), value]
        }));
    finish(&mut table)
}

/// The columns of the terminal on standard output, if it is one.
pub(super) fn terminal_width() -> Option<u16> {
    Table::new().width()
}

fn begin(style: Style) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).force_no_tty();
    if style.colour {
        table.enforce_styling();
    }
    match style.width {
        Some(width) => table
            .set_width(width)
            .set_content_arrangement(ContentArrangement::Dynamic),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table
}

fn finish(table: &mut Table) -> String {
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(style: Style) -> String {
        let rows = [
            vec![toned("running", Tone::Good), number(Some("12".into()))],
            vec![
                toned("failed with a long story to tell", Tone::Bad),
                number(None),
            ],
        ];
        render(&["STATE", "NODES"], rows, style)
    }

    #[test]
    fn without_a_terminal_there_is_no_colour_and_no_wrapping() {
        let text = draw(Style::default());
        assert!(!text.contains('\u{1b}'));
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().all(|line| line == line.trim_end()), "{text:?}");
    }

    #[test]
    fn a_column_of_which_nothing_is_known_goes_first() {
        let draw = |width| {
            let row = vec![Cell::new("one"), known(None), Cell::new("two words")];
            render(
                &["FIRST", "SECOND", "THIRD"],
                [row],
                Style {
                    width: Some(width),
                    colour: false,
                },
            )
        };
        assert!(draw(80).contains("SECOND"));
        assert_eq!(draw(18), "FIRST  THIRD\none    two words");
    }

    #[test]
    fn a_narrow_terminal_wraps_cells() {
        let text = draw(Style {
            width: Some(24),
            colour: false,
        });
        assert!(text.lines().count() > 3, "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 24),
            "{text}"
        );
    }
}
