//! `/problems/{code}`: where a problem's `type` leads.

use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::code::Code;
use super::path::Segments;
use super::problem::{Document, Problem};
use super::query::Params;
use super::respond;

/// A kind of problem.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemType {
    /// The `type` of its problem documents.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference")]
    pub kind: String,
    /// The kind in words.
    pub title: &'static str,
    /// The status it is usually answered with.
    pub status: u16,
    /// The stable code.
    pub code: Code,
    /// What happened and what the caller can do about it.
    pub documentation: &'static str,
}

/// Explains one kind of problem
#[utoipa::path(
    get,
    path = "/problems/{code}",
    tag = "meta",
    operation_id = "find_problem",
    params(("code" = String, Path, description = "The code in lower case with hyphens", example = "unknown-parameter")),
    responses(
        (status = 200, description = "The kind of problem", body = ProblemType),
        (status = 404, description = "NOT_FOUND", body = Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn find_problem(path: Segments) -> Result<Response, Problem> {
    Params::read_only(path.query(), &[])?;
    let code = Code::from_slug(path.raw(1)).ok_or_else(|| Problem::new(Code::NotFound))?;
    let explained = ProblemType {
        kind: code.type_reference(),
        title: code.title(),
        status: code.status().as_u16(),
        code,
        documentation: code.documentation(),
    };
    respond::json(&explained, "public, max-age=3600")
}
