//! The query string, read strictly: what is not understood is refused, never ignored.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::code::Code;
use super::problem::Problem;

/// The parameters of one query, decoded, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Params<'a> {
    /// Decodes a query as it stands in the request; `None` is a request without one.
    ///
    /// A `+` is a space. A name without `=` has an empty value.
    pub fn read(raw: Option<&'a str>) -> Result<Self, Problem> {
        let Some(raw) = raw.filter(|raw| !raw.is_empty()) else {
            return Ok(Self::default());
        };
        let mut params = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).map_err(|why| Problem::invalid_parameter(name, why))?;
            let value = decode(value).map_err(|why| Problem::invalid_parameter(&name, why))?;
            params.push((name, value));
        }
        Ok(Self(params))
    }

    /// Reads a query of an operation that takes only these parameters.
    pub fn read_only(raw: Option<&'a str>, allowed: &[&str]) -> Result<Self, Problem> {
        let params = Self::read(raw)?;
        params.only(allowed)?;
        Ok(params)
    }

    /// Every parameter, in the order of the query.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Every value of a parameter.
    pub fn all<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        self.iter()
            .filter(move |(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// The value of a parameter that may be given once.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self
            .0
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_ref());
        let first = values.next();
        if values.next().is_some() {
            return Err(Problem::invalid_parameter(name, "may be given only once"));
        }
        Ok(first)
    }

    /// A parameter that is on when it stands alone or says `true`.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.one(name)? {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(value) => Err(Problem::not_one_of(name, value, &["true", "false"])),
        }
    }

    /// Refuses every parameter that is not among the allowed ones, naming them all.
    pub fn only(&self, allowed: &[&str]) -> Result<(), Problem> {
        let mut problem: Option<Problem> = None;
        let mut seen: Vec<&str> = Vec::new();
        for (name, _) in self.iter() {
            if allowed.contains(&name) || seen.contains(&name) || seen.len() == 32 {
                continue;
            }
            seen.push(name);
            let base = problem.unwrap_or_else(|| Problem::new(Code::UnknownParameter));
            problem = Some(base.with_field(name, "unknown parameter", Some(allowed)));
        }
        problem.map_or(Ok(()), Err)
    }
}

/// Decodes one name or value; an incomplete escape is an error, not a literal.
fn decode(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return Ok(Cow::Borrowed(text));
    }
    if !escapes_are_whole(text) {
        return Err("`%` must be followed by two hexadecimal digits");
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode(spaced.as_bytes())
        .decode_utf8()
        .map_err(|_| "is not UTF-8 after percent-decoding")?;
    Ok(Cow::Owned(decoded.into_owned()))
}

/// Whether each `%` begins a whole escape.
pub(super) fn escapes_are_whole(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().all(|(at, byte)| {
        *byte != b'%'
            || bytes
                .get(at + 1..at + 3)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let params = Params::read(Some("q=a+b%2Fc&state=x&state=y&verbose&&%C3%A9=1")).unwrap();
        assert_eq!(params.one("q").unwrap(), Some("a b/c"));
        assert_eq!(params.all("state").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(params.one("é").unwrap(), Some("1"));
        assert!(params.flag("verbose").unwrap());
        assert!(!params.flag("absent").unwrap());
    }

    #[test]
    fn a_broken_escape_is_refused() {
        for raw in ["q=%", "q=%4", "q=%zz", "q=%ff", "%ff=1", "%=1"] {
            let problem = Params::read(Some(raw)).unwrap_err();
            assert_eq!(problem.code(), Code::InvalidParameter, "{raw}");
        }
    }

    #[test]
    fn a_single_parameter_given_twice_is_refused() {
        let params = Params::read(Some("limit=1&limit=1")).unwrap();
        assert_eq!(
            params.one("limit").unwrap_err().code(),
            Code::InvalidParameter
        );
    }

    #[test]
    fn every_unknown_parameter_is_named_once() {
        let params = Params::read(Some("lmit=1&verbose&x=1&x=2")).unwrap();
        let problem = params.only(&["limit", "verbose"]).unwrap_err();
        insta::assert_json_snapshot!(problem.document());
    }
}
