//! Codings of a body, and which of them a caller takes.

use std::io::Write as _;

use http::HeaderValue;

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// As it is.
    Identity,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Coding {
    /// The best coding that a caller accepts.
    pub fn accepted(header: Option<&HeaderValue>) -> Self {
        let Some(text) = header.and_then(|value| value.to_str().ok()) else {
            return Self::Identity;
        };
        let takes = |coding: &str| {
            text.split(',').any(|part| {
                let (name, quality) = part.split_once(';').unwrap_or((part, ""));
                let is_refused = quality
                    .trim()
                    .strip_prefix("q=")
                    .is_some_and(|q| q.trim().parse() == Ok(0.0_f32));
                name.trim().eq_ignore_ascii_case(coding) && !is_refused
            })
        };
        if takes("zstd") {
            Self::Zstd
        } else if takes("gzip") {
            Self::Gzip
        } else {
            Self::Identity
        }
    }

    /// What `Content-Encoding` says of it.
    pub(super) fn header(self) -> Option<HeaderValue> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some(HeaderValue::from_static("gzip")),
            Self::Zstd => Some(HeaderValue::from_static("zstd")),
        }
    }

    /// What tells the entity tag of a coded body from that of the body itself.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Gzip => "-gz",
            Self::Zstd => "-zs",
        }
    }

    /// Codes a body; `None` where that fails.
    pub(super) fn code(self, body: Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Self::Identity => Some(body),
            Self::Gzip => {
                let mut coder = flate2::write::GzEncoder::new(
                    Vec::with_capacity(body.len() / 6),
                    flate2::Compression::new(4),
                );
                coder.write_all(&body).ok()?;
                coder.finish().ok()
            }
            Self::Zstd => zstd::bulk::compress(&body, 3).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_accepted_coding_is_taken() {
        let coding = |text: &'static str| Coding::accepted(Some(&HeaderValue::from_static(text)));
        assert_eq!(Coding::accepted(None), Coding::Identity);
        assert_eq!(coding("gzip, deflate, br, zstd"), Coding::Zstd);
        assert_eq!(coding("GZIP;q=0.5, zstd;q=0"), Coding::Gzip);
        assert_eq!(coding("br, *"), Coding::Identity);
    }
}
