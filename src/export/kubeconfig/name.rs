//! Names of contexts: readable, and each given once.

use std::collections::BTreeMap;

use crate::domain::{ClusterId, SourceName};

/// Longest part that is made of a cluster's name.
const MAX_NAME: usize = 63;
/// Characters of the vendor's id, counted from its end, that tell clusters of one name apart.
const ID_PART: usize = 8;

/// One cluster that wants a name.
pub(super) struct Wanted<'a> {
    pub(super) id: &'a ClusterId,
    pub(super) source: &'a SourceName,
    pub(super) name: &'a str,
}

impl Wanted<'_> {
    fn base(&self) -> String {
        let name = safe(self.name, MAX_NAME);
        let name = if name.is_empty() {
            safe(self.native(), MAX_NAME)
        } else {
            name
        };
        format!("{}/{name}", self.source)
    }

    fn native(&self) -> &str {
        let id = self.id.as_str();
        id.split_once(':').map_or(id, |(_, native)| native)
    }

    /// The name, the more precise the higher the level.
    fn at_level(&self, level: u8) -> String {
        let base = self.base();
        match level {
            0 => base,
            1 => {
                let native = safe(self.native(), usize::MAX);
                let start = native.len().saturating_sub(ID_PART);
                format!(
                    "{base}-{}",
                    native[start..].trim_start_matches(['-', '.', '_'])
                )
            }
            _ => format!(
                "{base}-{}",
                &blake3::hash(self.id.as_str().as_bytes()).to_hex()[..16]
            ),
        }
    }
}

/// Gives each cluster a name, by its id. The result depends on the set alone.
///
/// Names that several clusters would have get the end of the vendor's id, all of them; where that does not tell them apart
/// either, a hash of the id does.
pub(super) fn names<'a>(
    wanted: impl IntoIterator<Item = Wanted<'a>>,
) -> BTreeMap<ClusterId, String> {
    let mut levels: BTreeMap<&ClusterId, (Wanted<'a>, u8)> = BTreeMap::new();
    for wanted in wanted {
        levels.insert(wanted.id, (wanted, 0));
    }
    loop {
        let mut holders: BTreeMap<String, Vec<&ClusterId>> = BTreeMap::new();
        for (id, (wanted, level)) in &levels {
            holders
                .entry(wanted.at_level(*level))
                .or_default()
                .push(*id);
        }
        let mut is_settled = true;
        for id in holders.values().filter(|ids| ids.len() > 1).flatten() {
            if let Some((_, level)) = levels.get_mut(*id)
                && *level < 2
            {
                *level += 1;
                is_settled = false;
            }
        }
        if is_settled {
            let named = levels.into_iter();
            return named
                .map(|(id, (wanted, level))| (id.clone(), wanted.at_level(level)))
                .collect();
        }
    }
}

/// A text as part of a name: letters, digits and inner `-`, `.`, `_`; runs of anything else become one hyphen.
fn safe(text: &str, most: usize) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') {
            safe.push(c);
        } else if !safe.ends_with('-') {
            safe.push('-');
        }
        if safe.len() >= most {
            break;
        }
    }
    safe.trim_matches(['-', '.', '_']).to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn named(clusters: &[(&str, &str, &str)]) -> Vec<String> {
        let sources: Vec<SourceName> = (clusters.iter())
            .map(|(source, _, _)| SourceName::new(*source).unwrap())
            .collect();
        let ids: Vec<ClusterId> = (clusters.iter().zip(&sources))
            .map(|((_, native, _), source)| ClusterId::new(source, native))
            .collect();
        let wanted = clusters
            .iter()
            .enumerate()
            .map(|(at, (_, _, name))| Wanted {
                id: &ids[at],
                source: &sources[at],
                name,
            });
        let names = names(wanted);
        ids.iter().map(|id| names[id].clone()).collect()
    }

    #[test]
    fn a_name_is_source_and_name_and_says_more_only_where_it_must() {
        assert_eq!(
            named(&[
                ("main", "kc_pRMLydp0dQKr1", "edge"),
                ("main", "kc_oooooooo2", "GPU pool/é #1"),
                ("eu", "3", "edge"),
                ("eu", "a/b", ""),
            ]),
            ["main/edge", "main/GPU-pool-1", "eu/edge", "eu/a-2Fb"]
        );
        assert_eq!(
            named(&[
                ("main", "kc_aaaa1111", "edge"),
                ("main", "kc_aaaa2222", "edge")
            ]),
            ["main/edge-aaaa1111", "main/edge-aaaa2222"]
        );
        let hashed = named(&[
            ("main", "x/1", "edge"),
            ("main", "x 1", "edge"),
            ("main", "x-2F1", "edge"),
        ]);
        assert_eq!(hashed[1], "main/edge-x-201");
        assert_ne!(hashed[0], hashed[2]);
        assert!(hashed[0].starts_with("main/edge-") && hashed[0].len() == "main/edge-".len() + 16);
    }

    proptest! {
        #[test]
        fn names_are_unique_and_do_not_depend_on_the_order(
            clusters in proptest::collection::btree_map("[ab/ -]{1,4}", "[ab -]{0,3}", 0..12),
            turn in 0_usize..12,
        ) {
            let clusters: Vec<(&str, &str, &str)> = (clusters.iter())
                .map(|(native, name)| ("s", native.as_str(), name.as_str()))
                .collect();
            let names = named(&clusters);
            prop_assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), clusters.len());
            let mut turned = clusters.clone();
            turned.rotate_left(turn.min(clusters.len()));
            let mut again = named(&turned);
            again.rotate_right(turn.min(clusters.len()));
            prop_assert_eq!(names, again);
        }
    }
}
