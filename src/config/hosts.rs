//! Names under which the gateway is called.

use super::Mistake;

/// Longest name that the name system knows.
const LONGEST: usize = 253;

/// Names as they are compared: in lower case and without the last dot. Empty ones are left out, as a variable that nobody set is.
pub fn host_names<S: AsRef<str>>(written: &[S]) -> Result<Vec<String>, Mistake> {
    let names = written.iter().map(AsRef::as_ref).map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(|name| host_name(name).ok_or_else(mistake))
        .collect()
}

fn host_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    (name.len() <= LONGEST && name.split('.').all(is_label)).then(|| name.to_ascii_lowercase())
}

fn mistake() -> Mistake {
    Mistake::new(
        "server.hosts",
        "must be names without scheme, port and wildcard, such as \"clusters.example.com\"; IP addresses and localhost need not be named",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_in_one_form() {
        let written = ["Clusters.Example.COM.", " intranet ", "", "a_b.10"];
        assert_eq!(
            host_names(&written).unwrap(),
            ["clusters.example.com", "intranet", "a_b.10"]
        );
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(254);
        for text in [
            "https://clusters.example.com",
            "clusters.example.com:443",
            "*.example.com",
            ".example.com",
            "a..b",
            ".",
            "a b",
            "[::1]",
            "caf\u{e9}.example",
            &long,
        ] {
            let mistake = host_names(&[text]).unwrap_err();
            assert_eq!(mistake.key, "server.hosts", "{text}");
        }
    }
}
