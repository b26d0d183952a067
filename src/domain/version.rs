//! Versions of Kubernetes and its kin.

use std::cmp::Ordering;

/// A version split into what orders it and what only decorates it.
///
/// `v1.34.3+rke2r1`, `1.29.3-gke.1286000` and `1.35` are all versions here; a vendor's suffix never makes one older than the
/// bare release, as strict semantic versioning would have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    numbers: Vec<u64>,
    prerelease: Option<String>,
    suffix: Option<String>,
}

impl Version {
    /// Reads a version; `None` when the text does not begin with a number (after an optional `v`).
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (numbers, rest) = text.split_at(end);
        let numbers: Option<Vec<u64>> = numbers
            .trim_end_matches('.')
            .split('.')
            .map(|n| n.parse().ok())
            .collect();
        let numbers = numbers.filter(|numbers| !numbers.is_empty() && numbers.len() <= 4)?;
        let rest = rest.trim_start_matches(['-', '+', '.', ' ']);
        let is_prerelease = ["alpha", "beta", "rc"]
            .iter()
            .any(|word| rest.starts_with(word));
        let rest = (!rest.is_empty()).then(|| rest.to_owned());
        Some(if is_prerelease {
            let bare = rest.map(|rest| rest.split('+').next().unwrap_or_default().to_owned());
            Self {
                numbers,
                prerelease: bare,
                suffix: None,
            }
        } else {
            Self {
                numbers,
                prerelease: None,
                suffix: rest,
            }
        })
    }

    /// The version without prefix and build metadata: `1.34.3`, `1.32.0-rc.1`.
    pub fn normalized(&self) -> String {
        let numbers: Vec<String> = self.numbers.iter().map(ToString::to_string).collect();
        match &self.prerelease {
            Some(prerelease) => format!("{}-{prerelease}", numbers.join(".")),
            None => numbers.join("."),
        }
    }

    /// The distribution that a build suffix gives away, such as `rke2` in `+rke2r1`.
    pub fn distribution(&self) -> Option<&'static str> {
        let suffix = self.suffix.as_deref()?.to_ascii_lowercase();
        ["rke2", "k3s", "k0s", "eks", "gke", "aks", "lks"]
            .into_iter()
            .find(|name| suffix.starts_with(name))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let prerelease =
            |version: &Self| (version.prerelease.is_none(), version.prerelease.clone());
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| prerelease(self).cmp(&prerelease(other)))
            .then_with(|| self.suffix.cmp(&other.suffix))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normalized(text: &str) -> Option<String> {
        Version::parse(text).map(|version| version.normalized())
    }

    #[test]
    fn every_vendors_form_is_normalized() {
        assert_eq!(normalized("v1.34.3+rke2r1").as_deref(), Some("1.34.3"));
        assert_eq!(normalized("1.36.1").as_deref(), Some("1.36.1"));
        assert_eq!(normalized("1.35").as_deref(), Some("1.35"));
        assert_eq!(normalized("v1.29.3-gke.1286000").as_deref(), Some("1.29.3"));
        assert_eq!(normalized("v1.30.4-eks-a737599").as_deref(), Some("1.30.4"));
        assert_eq!(
            normalized("1.32.0-rc.1+build").as_deref(),
            Some("1.32.0-rc.1")
        );
        assert_eq!(normalized("latest"), None);
        assert_eq!(normalized("1.99999999999999999999"), None);
    }

    #[test]
    fn the_suffix_names_the_distribution() {
        assert_eq!(
            Version::parse("v1.34.3+rke2r1").unwrap().distribution(),
            Some("rke2")
        );
        assert_eq!(Version::parse("1.36.1").unwrap().distribution(), None);
    }

    #[test]
    fn a_vendor_suffix_is_not_older_and_a_prerelease_is() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("1.29.3-gke.1") > version("1.29.3"));
        assert!(version("1.29.3-rc.1") < version("1.29.3"));
        assert!(version("1.9.0") < version("1.10.0"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Some(version) = Version::parse(&text) {
                let again = Version::parse(&version.normalized()).map(|version| version.normalized());
                prop_assert_eq!(again, Some(version.normalized()));
            }
        }
    }
}
