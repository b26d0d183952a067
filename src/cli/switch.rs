//! Values of variables that switch something: none is taken for a yes that was not meant as one.

/// Reads a yes or a no; empty is as good as not set, since container tools pass `KEY=` for a variable that nobody set.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" | "" => Ok(false),
        _ => Err("must be true or false (or 1, 0, yes, no, on, off), without quotes".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_yes_is_a_yes() {
        for yes in ["true", "1", "yes", "on", "TRUE", " On\n"] {
            assert_eq!(switch(yes), Ok(true), "{yes:?}");
        }
        for no in ["", " ", "false", "0", "no", "off", "false ", "False"] {
            assert_eq!(switch(no), Ok(false), "{no:?}");
        }
        for neither in ["\"false\"", "'true'", "disabled", "none", "y", "2", "tru e"] {
            assert!(switch(neither).is_err(), "{neither:?}");
        }
    }
}
