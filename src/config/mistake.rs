//! What is wrong with a configuration, all of it at once.

use std::fmt;

/// One thing that is wrong. Neither half ever holds a value of the file or of the environment that could be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where: `sources[latitude-main].token_env`, `server.listen`, `clustergate.toml:3:7`.
    pub key: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl Mistake {
    /// Names a mistake.
    pub fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.reason)
    }
}

/// Everything that is wrong with a configuration; at least one thing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "the configuration cannot be used\n  {one}"),
            all => {
                write!(f, "the configuration has {} mistakes", all.len())?;
                all.iter()
                    .try_for_each(|mistake| write!(f, "\n  {mistake}"))
            }
        }
    }
}

/// The candidate that a misspelt word was probably meant to be.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A long foreign text is no misspelling, and the distance is quadratic.
    if word.len() > 64 {
        return None;
    }
    let tolerated = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerated)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, dropped or changed (Levenshtein), hyphens and underscores being the same.
fn distance(left: &str, right: &str) -> usize {
    let fold = |c: char| {
        if c == '-' {
            '_'
        } else {
            c.to_ascii_lowercase()
        }
    };
    let right: Vec<char> = right.chars().map(fold).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().map(fold).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_finds_the_one_that_was_meant() {
        let keys = ["refresh_interval", "refresh_deadline", "rate"];
        assert_eq!(nearest("refresh_intervall", keys), Some("refresh_interval"));
        assert_eq!(nearest("refresh-interval", keys), Some("refresh_interval"));
        assert_eq!(nearest("rates", keys), Some("rate"));
        assert_eq!(nearest("projects", keys), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), keys), None);
    }
}
