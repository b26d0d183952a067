//! Places in the order of all changes.

use std::fmt;

/// A place in the order of all changes: everything before it is known to whoever holds it.
///
/// It is written as a generation where all of that is known, and as `<generation>.<place>` within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// The generation that the next change is of, or a later one.
    pub generation: u64,
    /// Changes of this generation that come before.
    pub place: usize,
}

impl Mark {
    /// The place after all changes of a generation.
    pub const fn after(generation: u64) -> Self {
        Self {
            generation: generation.saturating_add(1),
            place: 0,
        }
    }

    /// The last generation that is known as a whole.
    pub const fn known(self) -> u64 {
        self.generation.saturating_sub(1)
    }

    /// Reads a place as it is written.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse::<u64>().ok()).flatten()
        };
        match text.split_once('.') {
            None => number(text).map(Self::after),
            Some((generation, place)) => {
                let place = usize::try_from(number(place)?).ok()?;
                let generation = number(generation)?;
                (place > 0).then_some(Self { generation, place })
            }
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            0 => write!(f, "{}", self.known()),
            place => write!(f, "{}.{place}", self.generation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_as_it_was_written() {
        for mark in [
            Mark::after(0),
            Mark::after(7),
            Mark {
                generation: 7,
                place: 500,
            },
        ] {
            assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
        }
        assert_eq!(Mark::after(7).to_string(), "7");
        assert_eq!(Mark::after(7).known(), 7);
        let inside = Mark::parse("8.3").unwrap();
        assert!(Mark::after(7) < inside && inside < Mark::after(8));
        assert_eq!(inside.known(), 7);
        for text in [
            "",
            "-1",
            "+1",
            "1.",
            ".1",
            "1.0",
            "1.x",
            "1.2.3",
            " 1",
            "99999999999999999999",
        ] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }
}
