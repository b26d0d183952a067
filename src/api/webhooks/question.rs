//! What a webhook's filter means: the words of `GET /changes`.

use super::super::changes::kinds;
use super::super::params::{FILTERS, filter_among};
use super::super::problem::FieldError;
use super::super::query::Params;
use crate::inventory::Interest;
use crate::provider::Entry;

/// Reads a filter that is written as the query of `GET /changes`, over these sources; else all that is wrong with it, word by word.
pub fn interest(
    query: &str,
    sources: &[&str],
    catalog: &[Entry],
) -> Result<Interest, Vec<FieldError>> {
    let read = || {
        let params = Params::read(Some(query))?;
        let mut allowed = FILTERS.to_vec();
        allowed.push("kind");
        params.only(&allowed)?;
        Ok(Interest {
            filter: filter_among(&params, sources, catalog)?,
            kinds: kinds(&params)?,
            noise: false,
        })
    };
    read().map_err(|problem: super::Problem| problem.document().errors.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::CATALOG;
    use crate::inventory::ChangeKind;

    #[test]
    fn a_filter_has_the_words_of_the_list_of_changes() {
        let read = |query: &str| interest(query, &["main"], &CATALOG);
        let found = read("provider=latitude&state=running,!deleted&kind=removed,missing").unwrap();
        assert_eq!(found.filter.terms.len(), 2);
        assert_eq!(found.kinds, [ChangeKind::Missing, ChangeKind::Removed]);
        assert!(read("").unwrap().kinds.is_empty());
        for (query, word) in [
            ("sate=running", "sate"),
            ("noise=true", "noise"),
            ("since=7", "since"),
            ("provider=none", "provider"),
            ("source=other", "source"),
            ("kind=gone", "kind"),
            ("q=%zz", "q"),
        ] {
            let errors = read(query).unwrap_err();
            assert_eq!(errors[0].parameter, word, "{query}");
        }
    }
}
