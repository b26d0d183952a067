//! Random filters and orders.

use proptest::prelude::*;
use proptest::sample::select;

use crate::inventory::query::{Dimension, Filter, Sort, SortKey, SortTerm, Term};

/// Filters, most of which find something.
pub(super) fn filters() -> impl Strategy<Value = Filter> {
    let words = [
        "aws",
        "eu-1",
        "eu-2",
        "x",
        "p",
        "q",
        "s",
        "s1",
        "running",
        "failed",
        "kubernetes",
        "1.34",
        "1.34.3",
        "1.34.0-rc.1",
        "latest",
        "h100",
        "a100",
        "odd one",
        "hosts",
        "observes",
        "present",
        "stale",
        "missing",
        "suspect",
        "true",
        "false",
        "team",
        "team=a",
        "env=x=y",
        "none",
    ];
    let some =
        move || proptest::collection::vec(select(words.to_vec()).prop_map(str::to_owned), 0..5);
    let term =
        (select(&Dimension::ALL[..]), some(), some()).prop_map(|(dimension, any, none)| Term {
            dimension,
            any,
            none,
        });
    // Wanted values that name every common value, so that not every filter finds nothing.
    let wide = select(vec![
        (Dimension::Stale, vec!["true"]),
        (Dimension::Stale, vec!["false"]),
        (Dimension::Presence, vec!["present", "missing"]),
        (Dimension::Presence, vec!["stale"]),
        (Dimension::Provider, vec!["q"]),
        (Dimension::Source, vec!["s", "s-a"]),
        (Dimension::Cloud, vec!["aws", "x"]),
        (Dimension::Region, vec!["eu-1", "eu-2"]),
        (Dimension::Label, vec!["team", "team2=b"]),
        (Dimension::Version, vec!["1.34", "1.10"]),
    ])
    .prop_map(|(dimension, any)| Term {
        dimension,
        any: any.into_iter().map(str::to_owned).collect(),
        none: Vec::new(),
    });
    let none = (select(&Dimension::ALL[..]), some()).prop_map(|(dimension, none)| Term {
        dimension,
        any: Vec::new(),
        none,
    });
    let terms = prop_oneof![1 => term, 3 => wide, 2 => none];
    let texts = select(vec![
        "a", "οδος", "prod", "s-a:", "one s", "x%2f", "b", "é1", "a b", "",
    ]);
    (
        proptest::collection::vec(terms, 0..3),
        proptest::collection::vec(texts.prop_map(str::to_owned), 0..2),
        any::<bool>(),
    )
        .prop_map(|(terms, texts, is_open)| Filter {
            terms,
            texts: if is_open { Vec::new() } else { texts },
        })
}

/// Orders as a query can ask for them: the id alone, or up to four other keys.
pub(super) fn sorts() -> impl Strategy<Value = Sort> {
    let keys: Vec<SortKey> = SortKey::ALL
        .into_iter()
        .filter(|key| *key != SortKey::Id)
        .collect();
    let frequent = vec![
        SortKey::Source,
        SortKey::Provider,
        SortKey::Name,
        SortKey::State,
        SortKey::Cost,
    ];
    let key = prop_oneof![select(keys), select(frequent)];
    let term = (key, any::<bool>()).prop_map(|(key, descending)| SortTerm { key, descending });
    prop_oneof![
        1 => any::<bool>().prop_map(|descending| Sort(vec![SortTerm { key: SortKey::Id, descending }])),
        12 => proptest::collection::vec(term, 0..=4).prop_map(Sort),
    ]
}
