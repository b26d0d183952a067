//! Which release a version means: a caller may say `1.35` where the vendor wants the release to the last letter. No I/O.

use super::progress::Family;
use super::wire::{LegacyVersion, List, LksVersion, Resource};
use crate::domain::Version;
use crate::provider::row;

/// What a version is for; LKS offers some for one only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Creation,
    Upgrade,
}

/// The minor version that a text means and no more: `1.35` for `1.35` and `v1.35`; `None` for a release such as `1.35.3`.
pub(super) fn minor(text: &str) -> Option<&str> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (major, minor) = text.split_once('.')?;
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(major) && is_number(minor)).then_some(text)
}

/// The newest release of a minor version, in the vendor's spelling.
pub(super) fn newest(family: Family, list: &List, minor: &str, purpose: Purpose) -> Option<String> {
    match family {
        Family::Legacy => list.data.iter().find_map(|item| {
            let version = row::<LegacyVersion>(item)?;
            (version.minor.as_ref()? == minor).then(|| version.latest.as_ref().cloned())?
        }),
        Family::Lks => {
            let versions = list.data.iter().filter_map(|item| {
                let version = row::<Resource<LksVersion>>(item)?;
                let version = version.attributes.as_ref()?;
                let offered = match purpose {
                    Purpose::Creation => &version.available_for_creation,
                    Purpose::Upgrade => &version.available_for_upgrade,
                };
                let text = version.version.as_ref()?;
                let is_of_minor = text
                    .strip_prefix(minor)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
                (offered.as_ref() != Some(&false) && is_of_minor)
                    .then(|| Some((Version::parse(text)?, text.clone())))?
            });
            versions
                .max_by(|(one, _), (other, _)| one.cmp(other))
                .map(|(_, text)| text)
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::provider::envelope;

    fn list(body: &'static str) -> List {
        envelope("list", &Bytes::from_static(body.as_bytes())).unwrap()
    }

    #[test]
    fn a_minor_version_is_told_from_a_release() {
        for (text, expected) in [
            ("1.35", Some("1.35")),
            ("v1.35", Some("1.35")),
            ("1.35.3", None),
            ("v1.35.3+rke2r1", None),
            ("1", None),
            ("1.", None),
            ("latest", None),
        ] {
            assert_eq!(minor(text), expected, "{text}");
        }
    }

    #[test]
    fn a_legacy_release_is_what_the_channel_names() {
        let list = list(
            r#"{"data":[7,{"latest":"v1.35.3+rke2r1","minor":"1.35"},{"latest":"v1.34.6+rke2r1","minor":"1.34"}]}"#,
        );
        let newest = |minor| newest(Family::Legacy, &list, minor, Purpose::Creation);
        assert_eq!(newest("1.34").as_deref(), Some("v1.34.6+rke2r1"));
        assert_eq!(newest("1.3"), None);
    }

    #[test]
    fn an_lks_release_is_the_newest_that_is_offered_for_the_purpose() {
        let list = list(
            r#"{"data":[{"id":"a","attributes":{"version":"1.36.9","available_for_creation":true,"available_for_upgrade":true}},
            {"id":"b","attributes":{"version":"1.36.10","available_for_creation":false,"available_for_upgrade":true}},
            {"id":"c","attributes":{"version":"1.360.1"}}, {"id":"d"}]}"#,
        );
        let newest = |minor, purpose| newest(Family::Lks, &list, minor, purpose);
        assert_eq!(newest("1.36", Purpose::Creation).as_deref(), Some("1.36.9"));
        assert_eq!(newest("1.36", Purpose::Upgrade).as_deref(), Some("1.36.10"));
        assert_eq!(newest("1.37", Purpose::Upgrade), None);
    }
}
