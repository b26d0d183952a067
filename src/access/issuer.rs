//! One issuer of tokens: whom it lets in, and what its claims mean here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use super::jwks::Algorithm;
use super::principal::{Denied, Principal, PrincipalKind, is_misleading};
use super::scope::Scopes;
use crate::domain::{Reach, SourceName};

/// Longest subject that is taken, as issuers promise it.
const MAX_SUBJECT: usize = 255;

/// Who may issue tokens, and what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerSettings {
    /// Exactly as tokens name it.
    pub issuer: String,
    /// Audiences of which a token must name one.
    pub audience: Vec<String>,
    /// Where its keys are; found out by discovery when it is not given.
    pub jwks_uri: Option<Url>,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Signatures that are taken.
    pub algorithms: Vec<Algorithm>,
    /// How far its clock and ours may differ.
    pub leeway: Duration,
    /// The claim that holds scopes, or what `scopes_map` turns into scopes.
    pub scope_claim: String,
    /// What values of that claim grant; when it is not empty, nothing else does.
    pub scopes_map: BTreeMap<String, Scopes>,
    /// What every token of the issuer grants.
    pub scopes: Scopes,
    /// The claim that holds the sources which are seen.
    pub sources_claim: Option<String>,
    /// Sources that are seen at most.
    pub sources: Option<BTreeSet<SourceName>>,
    /// The claim that holds the projects which are seen.
    pub projects_claim: Option<String>,
    /// Projects that are seen at most.
    pub projects: Option<BTreeSet<String>>,
}

impl IssuerSettings {
    /// How far clocks may differ unless configured.
    pub const LEEWAY: Duration = Duration::from_mins(1);
    /// The claim of scopes unless configured.
    pub const SCOPE_CLAIM: &'static str = "scope";

    /// An issuer with everything else as it is by default.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: vec![audience.into()],
            jwks_uri: None,
            ca_file: None,
            algorithms: Algorithm::DEFAULT.to_vec(),
            leeway: Self::LEEWAY,
            scope_claim: Self::SCOPE_CLAIM.to_owned(),
            scopes_map: BTreeMap::new(),
            scopes: Scopes::NONE,
            sources_claim: None,
            sources: None,
            projects_claim: None,
            projects: None,
        }
    }

    /// Who a token speaks for. The claims must have been checked.
    pub(super) fn principal(&self, claims: &Map<String, Value>) -> Result<Arc<Principal>, Denied> {
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or("");
        let is_named =
            (1..=MAX_SUBJECT).contains(&subject.len()) && !subject.chars().any(is_misleading);
        if !is_named {
            return Err(Denied::invalid("token without a usable subject"));
        }
        Ok(Arc::new(Principal {
            kind: PrincipalKind::Token,
            id: subject.to_owned(),
            name: self.issuer.clone(),
            scopes: self.scopes_of(claims),
            reach: Arc::new(Reach {
                sources: seen(
                    self.sources.as_ref(),
                    self.sources_claim.as_deref(),
                    claims,
                    |name| SourceName::new(name).ok(),
                ),
                projects: seen(
                    self.projects.as_ref(),
                    self.projects_claim.as_deref(),
                    claims,
                    |name| Some(name.to_owned()),
                ),
            }),
        }))
    }

    fn scopes_of(&self, claims: &Map<String, Value>) -> Scopes {
        let granted = values(claims, &self.scope_claim)
            .into_iter()
            .map(|value| {
                if self.scopes_map.is_empty() {
                    value
                        .parse()
                        .map_or(Scopes::NONE, |scope| Scopes::NONE.with(scope))
                } else {
                    // A group that happens to be called `admin` is not what was meant by it.
                    self.scopes_map.get(value).copied().unwrap_or_default()
                }
            })
            .fold(Scopes::NONE, Scopes::or);
        self.scopes.or(granted)
    }
}

/// What is seen: at most what is configured, and of that what the claim names. A claim that is wanted and absent shows
/// nothing: an issuer that forgets it must not open everything.
fn seen<T: Ord + Clone>(
    most: Option<&BTreeSet<T>>,
    claim: Option<&str>,
    claims: &Map<String, Value>,
    read: impl Fn(&str) -> Option<T>,
) -> Option<BTreeSet<T>> {
    let Some(claim) = claim else {
        return most.cloned();
    };
    let named = values(claims, claim);
    if named.contains(&"*") {
        return most.cloned();
    }
    let named = named.into_iter().filter_map(read);
    Some(match most {
        Some(most) => named.filter(|name| most.contains(name)).collect(),
        None => named.collect(),
    })
}

/// The texts of a claim: a list, or one text with blanks between them.
fn values<'a>(claims: &'a Map<String, Value>, claim: &str) -> Vec<&'a str> {
    match find(claims, claim) {
        Some(Value::String(text)) => text.split_ascii_whitespace().collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// A claim by its name, or else by the names of the objects that it is in: `realm_access.roles`.
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(found) = claims.get(name) {
        return Some(found);
    }
    let (outer, inner) = name.split_once('.')?;
    find(claims.get(outer)?.as_object()?, inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::scope::Scope;
    use super::*;

    fn principal(settings: &IssuerSettings, claims: &Value) -> Arc<Principal> {
        let mut claims = claims.as_object().unwrap().clone();
        claims.insert("sub".to_owned(), json!("ada"));
        settings.principal(&claims).unwrap()
    }

    fn settings() -> IssuerSettings {
        IssuerSettings::new("https://id.example", "clustergate")
    }

    fn sources(principal: &Principal) -> Option<Vec<&str>> {
        let sources = principal.reach.sources.as_ref()?;
        Some(sources.iter().map(SourceName::as_str).collect())
    }

    #[test]
    fn scopes_come_as_a_text_or_as_a_list() {
        for scope in [
            json!("openid clusters:read metrics:read"),
            json!(["clusters:read", 7, "metrics:read"]),
        ] {
            let principal = principal(&settings(), &json!({ "scope": scope }));
            assert_eq!(principal.scopes.to_string(), "clusters:read,metrics:read");
            assert_eq!(
                (principal.id.as_str(), principal.name.as_str()),
                ("ada", "https://id.example")
            );
        }
        assert!(
            principal(&settings(), &json!({ "scope": { "admin": true } }))
                .scopes
                .is_empty()
        );
    }

    #[test]
    fn a_group_grants_what_it_is_mapped_to_and_its_name_alone_nothing() {
        let mut settings = settings();
        settings.scope_claim = "realm_access.roles".to_owned();
        settings.scopes = Scopes::NONE.with(Scope::MetricsRead);
        settings.scopes_map = BTreeMap::from([
            ("sre".to_owned(), Scopes::ADMIN),
            ("dev".to_owned(), Scopes::NONE.with(Scope::ClustersRead)),
        ]);
        let granted = |roles: Value| {
            principal(&settings, &json!({ "realm_access": { "roles": roles } }))
                .scopes
                .to_string()
        };
        assert_eq!(
            granted(json!(["dev", "admin"])),
            "clusters:read,metrics:read"
        );
        assert_eq!(granted(json!(["sre"])), "metrics:read,admin");
        assert_eq!(granted(json!(null)), "metrics:read");
    }

    #[test]
    fn a_claim_narrows_what_is_seen_and_its_absence_shows_nothing() {
        let mut settings = settings();
        assert_eq!(sources(&principal(&settings, &json!({}))), None);
        settings.sources_claim = Some("sources".to_owned());
        assert_eq!(sources(&principal(&settings, &json!({}))), Some(vec![]));
        let named = json!({ "sources": ["b", "a", "Not a name"] });
        assert_eq!(sources(&principal(&settings, &named)), Some(vec!["a", "b"]));
        assert_eq!(
            sources(&principal(&settings, &json!({ "sources": "*" }))),
            None
        );
        settings.sources = Some(BTreeSet::from([SourceName::new("a").unwrap()]));
        assert_eq!(sources(&principal(&settings, &named)), Some(vec!["a"]));
        assert_eq!(
            sources(&principal(&settings, &json!({ "sources": "*" }))),
            Some(vec!["a"])
        );
        settings.projects_claim = Some("https://example.com/projects".to_owned());
        let principal = principal(
            &settings,
            &json!({ "https://example.com/projects": "p1 p2" }),
        );
        assert_eq!(principal.reach.projects.as_ref().unwrap().len(), 2);
    }

    #[test]
    fn nobody_is_let_in_without_a_subject() {
        for subject in [
            json!(null),
            json!(""),
            json!(7),
            json!("a\nb"),
            json!("x".repeat(256)),
        ] {
            let claims = json!({ "sub": subject });
            assert!(settings().principal(claims.as_object().unwrap()).is_err());
        }
    }
}
