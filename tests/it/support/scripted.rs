//! A provider over the whole outbound stack, whose vendor answers from a function.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use clustergate::adapters::CATALOG;
use clustergate::domain::SourceName;
use clustergate::provider::{
    ConfigError, Described, Limits, Listing, Locator, Provider, ProviderError, walk,
};
use clustergate::upstream::{Answer, Credential, Scheme, Stack, StackSettings, TokenSource};
use http::{Request, StatusCode};
use tower::service_fn;

/// A provider and the calls that it made.
pub(crate) struct Scripted {
    provider: Arc<dyn Provider>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Connects a provider. `script` names each call and answers it.
    pub(crate) fn connect(
        kind: &str,
        settings: &str,
        script: impl Fn(&Request<Bytes>) -> (String, Answer) + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        let mut entries = CATALOG.iter();
        let entry = entries.find(|entry| entry.kind.as_str() == kind).unwrap();
        let calls = Arc::<Mutex<Vec<String>>>::default();
        let (seen, script) = (Arc::clone(&calls), Arc::new(script));
        let transport = service_fn(move |request: Request<Bytes>| {
            let (name, answer) = script(&request);
            seen.lock().unwrap().push(name);
            std::future::ready(Ok(answer))
        });
        let credential = Credential {
            token: Arc::new(TokenSource::Value("token".into())),
            scheme: Scheme::Bearer,
        };
        let base_url = entry.base_url.unwrap_or("https://vendor.example/");
        let mut bounds = StackSettings::new(base_url.parse().unwrap());
        bounds.max_attempts = 1;
        let stack = Stack::over(transport, bounds, credential, entry.dialect).unwrap();
        let source = SourceName::new("main").unwrap();
        let provider = (entry.connect)(source, settings.parse().unwrap(), stack)?;
        Ok(Self { provider, calls })
    }

    /// The provider itself.
    pub(crate) fn provider(&self) -> Arc<dyn Provider> {
        Arc::clone(&self.provider)
    }

    /// Reads the whole list.
    pub(crate) async fn list(&self) -> Result<Listing, ProviderError> {
        let listing = walk(self.provider.as_ref(), Limits::default()).await;
        listing.map_err(|error| error.error)
    }

    /// Reads one cluster's detail.
    pub(crate) async fn describe(&self, locator: &str) -> Result<Described, ProviderError> {
        self.provider.describe(&Locator::new(locator)).await
    }

    /// The calls since this was last asked.
    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

/// Path and query of a request.
pub(crate) fn target(request: &Request<Bytes>) -> &str {
    request.uri().path_and_query().unwrap().as_str()
}

/// An answer with these headers.
pub(crate) fn answer(
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: impl Into<Bytes>,
) -> Answer {
    let headers = headers.iter().map(|(name, value)| {
        let name = http::HeaderName::from_static(name);
        (name, http::HeaderValue::from_static(value))
    });
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers.collect(),
        body: body.into(),
    }
}

/// The vendor's ids of a listing, in its order.
pub(crate) fn ids(listing: &Listing) -> Vec<&str> {
    let clusters = listing.clusters.iter();
    clusters
        .map(|listed| listed.cluster.native_id.as_str())
        .collect()
}
