//! What a simulated vendor can be made to do wrong.

use std::fmt;
use std::str::FromStr;

/// One way in which an upstream misbehaves; a simulated vendor has at most one at a time.
///
/// Faults that speak of rows, cursors or totals only touch endpoints that have them; all others hold for every
/// endpoint alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// Every call answers 400 in the vendor's own error shape.
    Http400,
    /// Every call answers 401, as for a wrong credential.
    Http401,
    /// Every call answers 403 in the vendor's own error shape.
    Http403,
    /// Every call answers 404 in the vendor's own error shape.
    Http404,
    /// Every call answers 429 with the vendor's own hint to wait two seconds.
    Http429,
    /// Every call answers 429 and does not say for how long.
    Http429NoHint,
    /// Every call answers 500 in the vendor's own error shape.
    Http500,
    /// Every call answers 502 with the HTML page of a proxy.
    Http502Html,
    /// Every call answers 503 in the vendor's own error shape.
    Http503,
    /// Every call answers 503 with `Retry-After: 2`.
    Http503RetryAfter,
    /// Every call answers 401 in the words for a credential that ran out.
    ExpiredToken,
    /// The request is read and never answered.
    Hang,
    /// The head of the answer arrives, its body never does.
    HangBody,
    /// The body arrives at 16 bytes each 250 ms.
    SlowBody,
    /// The answer arrives at one byte each 200 ms, beginning with its head.
    SlowHeaders,
    /// The connection is reset before any byte of an answer.
    Reset,
    /// The connection is reset in the middle of the body.
    ResetBody,
    /// `Content-Length` promises more than is sent before the connection closes.
    CloseEarly,
    /// A well-framed body whose JSON breaks off in the middle.
    TruncatedJson,
    /// 200 with a body of no bytes.
    EmptyBody,
    /// 204 in place of 200.
    NoContent,
    /// Good JSON that says it is `text/plain`.
    WrongContentType,
    /// 200 with the HTML page of a sign-in portal.
    Html200,
    /// A good body behind 256 MiB of white space.
    HugeBody,
    /// A small gzip body that unpacks to 256 MiB of white space and a good body.
    GzipBomb,
    /// One row whose name is 256 MiB long.
    HugeString,
    /// 200,000 arrays inside each other.
    DeepNesting,
    /// `Content-Encoding: gzip` over bytes that are none.
    BadGzip,
    /// 302 to the same path on another host, the canary.
    Redirect,
    /// 302 to the very address that was asked for.
    RedirectSelf,
    /// Lists always name the same next page and always say there is more.
    CursorLoop,
    /// Lists always answer their first page, each time with a fresh cursor, and always say there is more.
    SamePage,
    /// Lists say there is more and do not say where.
    MissingCursor,
    /// Cursors and links lead to the canary, some ids carry path and header injections.
    ForeignNext,
    /// Lists are well-formed and empty.
    SuddenlyEmpty,
    /// Exactly one row of the first page has the wrong types.
    BadRow,
    /// Every field keeps its name and has a wrong JSON type.
    WrongTypes,
    /// The key that holds the data is null.
    NullData,
    /// Lists answer the bare array, without their envelope.
    BareArray,
    /// The key that holds the data is absent.
    MissingData,
    /// Plain words that say they are JSON.
    NotJson,
    /// Bytes inside a string that are not UTF-8.
    InvalidUtf8,
    /// One name holds half a surrogate pair as an escape.
    LoneSurrogate,
    /// Each row comes twice.
    DuplicateRows,
    /// Each row has its `id` and `name` twice, first with other values.
    DuplicateKeys,
    /// A good answer with 500 headers more.
    HeaderFlood,
    /// A good answer with one header of 1 MiB more.
    HugeHeader,
    /// Totals are far beyond what can exist, up to more than 64 bits.
    TotalOverflow,
    /// Counts are negative, sizes need more than 64 bits.
    NegativeNumbers,
    /// No timestamp can be parsed.
    BadDates,
    /// Answers have the shape of an older generation or draft of the API.
    LegacyGeneration,
    /// Every other call answers 503.
    Flaky503,
    /// Lists leave out half of their rows and say nothing of it.
    PartialList,
    /// Good answers, each three seconds late.
    Slow,
}

impl Fault {
    /// Every fault there is, in the order of declaration.
    pub const ALL: [Self; 54] = [
        Self::Http400,
        Self::Http401,
        Self::Http403,
        Self::Http404,
        Self::Http429,
        Self::Http429NoHint,
        Self::Http500,
        Self::Http502Html,
        Self::Http503,
        Self::Http503RetryAfter,
        Self::ExpiredToken,
        Self::Hang,
        Self::HangBody,
        Self::SlowBody,
        Self::SlowHeaders,
        Self::Reset,
        Self::ResetBody,
        Self::CloseEarly,
        Self::TruncatedJson,
        Self::EmptyBody,
        Self::NoContent,
        Self::WrongContentType,
        Self::Html200,
        Self::HugeBody,
        Self::GzipBomb,
        Self::HugeString,
        Self::DeepNesting,
        Self::BadGzip,
        Self::Redirect,
        Self::RedirectSelf,
        Self::CursorLoop,
        Self::SamePage,
        Self::MissingCursor,
        Self::ForeignNext,
        Self::SuddenlyEmpty,
        Self::BadRow,
        Self::WrongTypes,
        Self::NullData,
        Self::BareArray,
        Self::MissingData,
        Self::NotJson,
        Self::InvalidUtf8,
        Self::LoneSurrogate,
        Self::DuplicateRows,
        Self::DuplicateKeys,
        Self::HeaderFlood,
        Self::HugeHeader,
        Self::TotalOverflow,
        Self::NegativeNumbers,
        Self::BadDates,
        Self::LegacyGeneration,
        Self::Flaky503,
        Self::PartialList,
        Self::Slow,
    ];

    /// The fault's name in kebab-case, as the control port and the command line spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http400 => "http400",
            Self::Http401 => "http401",
            Self::Http403 => "http403",
            Self::Http404 => "http404",
            Self::Http429 => "http429",
            Self::Http429NoHint => "http429-no-hint",
            Self::Http500 => "http500",
            Self::Http502Html => "http502-html",
            Self::Http503 => "http503",
            Self::Http503RetryAfter => "http503-retry-after",
            Self::ExpiredToken => "expired-token",
            Self::Hang => "hang",
            Self::HangBody => "hang-body",
            Self::SlowBody => "slow-body",
            Self::SlowHeaders => "slow-headers",
            Self::Reset => "reset",
            Self::ResetBody => "reset-body",
            Self::CloseEarly => "close-early",
            Self::TruncatedJson => "truncated-json",
            Self::EmptyBody => "empty-body",
            Self::NoContent => "no-content",
            Self::WrongContentType => "wrong-content-type",
            Self::Html200 => "html-200",
            Self::HugeBody => "huge-body",
            Self::GzipBomb => "gzip-bomb",
            Self::HugeString => "huge-string",
            Self::DeepNesting => "deep-nesting",
            Self::BadGzip => "bad-gzip",
            Self::Redirect => "redirect",
            Self::RedirectSelf => "redirect-self",
            Self::CursorLoop => "cursor-loop",
            Self::SamePage => "same-page",
            Self::MissingCursor => "missing-cursor",
            Self::ForeignNext => "foreign-next",
            Self::SuddenlyEmpty => "suddenly-empty",
            Self::BadRow => "bad-row",
            Self::WrongTypes => "wrong-types",
            Self::NullData => "null-data",
            Self::BareArray => "bare-array",
            Self::MissingData => "missing-data",
            Self::NotJson => "not-json",
            Self::InvalidUtf8 => "invalid-utf8",
            Self::LoneSurrogate => "lone-surrogate",
            Self::DuplicateRows => "duplicate-rows",
            Self::DuplicateKeys => "duplicate-keys",
            Self::HeaderFlood => "header-flood",
            Self::HugeHeader => "huge-header",
            Self::TotalOverflow => "total-overflow",
            Self::NegativeNumbers => "negative-numbers",
            Self::BadDates => "bad-dates",
            Self::LegacyGeneration => "legacy-generation",
            Self::Flaky503 => "flaky-503",
            Self::PartialList => "partial-list",
            Self::Slow => "slow",
        }
    }

    /// One sentence on what a client gets to see.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Http400 => "Every call answers 400 in the vendor's own error shape.",
            Self::Http401 => "Every call answers 401, as for a wrong credential.",
            Self::Http403 => "Every call answers 403 in the vendor's own error shape.",
            Self::Http404 => "Every call answers 404 in the vendor's own error shape.",
            Self::Http429 => {
                "Every call answers 429 with the vendor's own hint to wait two seconds."
            }
            Self::Http429NoHint => "Every call answers 429 and does not say for how long.",
            Self::Http500 => "Every call answers 500 in the vendor's own error shape.",
            Self::Http502Html => "Every call answers 502 with the HTML page of a proxy.",
            Self::Http503 => "Every call answers 503 in the vendor's own error shape.",
            Self::Http503RetryAfter => "Every call answers 503 with `Retry-After: 2`.",
            Self::ExpiredToken => {
                "Every call answers 401 in the words for a credential that ran out."
            }
            Self::Hang => "The request is read and never answered.",
            Self::HangBody => "The head of the answer arrives, its body never does.",
            Self::SlowBody => "The body arrives at 16 bytes each 250 ms.",
            Self::SlowHeaders => {
                "The answer arrives at one byte each 200 ms, beginning with its head."
            }
            Self::Reset => "The connection is reset before any byte of an answer.",
            Self::ResetBody => "The connection is reset in the middle of the body.",
            Self::CloseEarly => {
                "`Content-Length` promises more than is sent before the connection closes."
            }
            Self::TruncatedJson => "A well-framed body whose JSON breaks off in the middle.",
            Self::EmptyBody => "200 with a body of no bytes.",
            Self::NoContent => "204 in place of 200.",
            Self::WrongContentType => "Good JSON that says it is `text/plain`.",
            Self::Html200 => "200 with the HTML page of a sign-in portal.",
            Self::HugeBody => "A good body behind 256 MiB of white space.",
            Self::GzipBomb => {
                "A small gzip body that unpacks to 256 MiB of white space and a good body."
            }
            Self::HugeString => "One row whose name is 256 MiB long.",
            Self::DeepNesting => "200,000 arrays inside each other.",
            Self::BadGzip => "`Content-Encoding: gzip` over bytes that are none.",
            Self::Redirect => "302 to the same path on another host, the canary.",
            Self::RedirectSelf => "302 to the very address that was asked for.",
            Self::CursorLoop => {
                "Lists always name the same next page and always say there is more."
            }
            Self::SamePage => {
                "Lists always answer their first page, each time with a fresh cursor, and always say there is more."
            }
            Self::MissingCursor => "Lists say there is more and do not say where.",
            Self::ForeignNext => {
                "Cursors and links lead to the canary, some ids carry path and header injections."
            }
            Self::SuddenlyEmpty => "Lists are well-formed and empty.",
            Self::BadRow => "Exactly one row of the first page has the wrong types.",
            Self::WrongTypes => "Every field keeps its name and has a wrong JSON type.",
            Self::NullData => "The key that holds the data is null.",
            Self::BareArray => "Lists answer the bare array, without their envelope.",
            Self::MissingData => "The key that holds the data is absent.",
            Self::NotJson => "Plain words that say they are JSON.",
            Self::InvalidUtf8 => "Bytes inside a string that are not UTF-8.",
            Self::LoneSurrogate => "One name holds half a surrogate pair as an escape.",
            Self::DuplicateRows => "Each row comes twice.",
            Self::DuplicateKeys => {
                "Each row has its `id` and `name` twice, first with other values."
            }
            Self::HeaderFlood => "A good answer with 500 headers more.",
            Self::HugeHeader => "A good answer with one header of 1 MiB more.",
            Self::TotalOverflow => "Totals are far beyond what can exist, up to more than 64 bits.",
            Self::NegativeNumbers => "Counts are negative, sizes need more than 64 bits.",
            Self::BadDates => "No timestamp can be parsed.",
            Self::LegacyGeneration => {
                "Answers have the shape of an older generation or draft of the API."
            }
            Self::Flaky503 => "Every other call answers 503.",
            Self::PartialList => "Lists leave out half of their rows and say nothing of it.",
            Self::Slow => "Good answers, each three seconds late.",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A word that names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown fault `{0}`")]
pub struct UnknownFault(pub String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|fault| fault.name() == text)
            .ok_or_else(|| UnknownFault(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_by_its_own_name() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse(), Ok(fault));
        }
        assert!("no-such-fault".parse::<Fault>().is_err());
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> =
            Fault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), Fault::ALL.len());
    }
}
