//! Problem documents (RFC 9457), as the command line reads them.

use std::fmt;

use serde::Deserialize;

use super::exit::Exit;
use super::text::clean;
use crate::app::Reply;

/// What the gateway says when it says no.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// HTTP status of the answer.
    pub status: u16,
    /// The kind of problem in words.
    pub title: String,
    /// This occurrence in words.
    pub detail: Option<String>,
    /// The stable code.
    pub code: String,
    /// What is wrong, parameter by parameter.
    pub errors: Vec<Field>,
}

/// What is wrong with one parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Field {
    /// The parameter.
    pub parameter: String,
    /// What is wrong with it.
    pub detail: String,
    /// What would be accepted.
    pub allowed: Option<Vec<String>>,
}

impl Problem {
    /// Reads the answer; a body that is no problem document leaves the status alone to speak.
    pub fn read(reply: &Reply) -> Self {
        let read: Self = serde_json::from_slice(&reply.body).unwrap_or_default();
        Self {
            status: reply.status,
            ..read
        }
    }

    /// The exit code it stands for.
    pub fn exit(&self) -> Exit {
        match (self.status, self.code.as_str()) {
            (_, "INVENTORY_INCOMPLETE" | "NOTHING_KNOWN" | "SOURCE_UNAVAILABLE") => {
                Exit::Incomplete
            }
            // Another server's 404 says nothing of clusters.
            (404, "CLUSTER_NOT_FOUND" | "SOURCE_NOT_FOUND" | "PROVIDER_NOT_FOUND") => {
                Exit::NotFound
            }
            (400 | 414 | 422, _) => Exit::Usage,
            _ => Exit::Failure,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.title.is_empty() {
            return write!(f, "the gateway answered with status {}", self.status);
        }
        f.write_str(&clean(&self.title))?;
        if let Some(detail) = &self.detail {
            write!(f, ": {}", clean(detail))?;
        }
        if !self.code.is_empty() {
            write!(f, " ({})", clean(&self.code))?;
        }
        for field in &self.errors {
            write!(
                f,
                "\n  {}: {}",
                clean(&field.parameter),
                clean(&field.detail)
            )?;
            if let Some(allowed) = &field.allowed {
                write!(f, " (accepted: {})", clean(&allowed.join(", ")))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use serde_json::json;

    use super::*;

    fn problem(status: u16, body: impl Into<Bytes>) -> Problem {
        Problem::read(&Reply {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
        })
    }

    #[test]
    fn a_wrong_filter_names_the_parameter_and_what_is_accepted() {
        let body = json!({
            "title": "Invalid parameter value", "status": 400, "code": "INVALID_PARAMETER",
            "errors": [{"parameter": "state", "detail": "\"runing\" is not one of the accepted values", "allowed": ["running", "failed"]}],
        });
        let problem = problem(400, body.to_string());
        assert_eq!(problem.exit(), Exit::Usage);
        insta::assert_snapshot!(problem, @r#"
        Invalid parameter value (INVALID_PARAMETER)
          state: "runing" is not one of the accepted values (accepted: running, failed)
        "#);
    }

    #[test]
    fn statuses_have_their_exit_codes() {
        assert_eq!(
            problem(404, r#"{"code":"CLUSTER_NOT_FOUND"}"#).exit(),
            Exit::NotFound
        );
        // Another server's 404 says nothing of clusters.
        assert_eq!(problem(404, "{}").exit(), Exit::Failure);
        assert_eq!(problem(500, "").exit(), Exit::Failure);
        assert_eq!(
            problem(503, r#"{"code":"INVENTORY_INCOMPLETE"}"#).exit(),
            Exit::Incomplete
        );
        assert_eq!(
            problem(503, r#"{"code":"OVERLOADED"}"#).exit(),
            Exit::Failure
        );
        assert_eq!(
            problem(502, "<html>").to_string(),
            "the gateway answered with status 502"
        );
    }
}
