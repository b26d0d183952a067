//! Links of a cluster. They follow from its id and its provider, so that no row keeps them.

use crate::provider::{Capabilities, Capability};

/// Resources below a cluster, in the order in which answers have them.
const RESOURCES: [&str; 5] = ["nodes", "health", "kubeconfig", "metrics", "operations"];

/// Which resources below a cluster its provider has, one bit for each of [`RESOURCES`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Links(u8);

impl Links {
    pub(super) fn of(capabilities: &Capabilities) -> Self {
        let can = |capability| capabilities.supports(capability);
        let has = [
            can(Capability::Nodes),
            can(Capability::Health),
            can(Capability::Kubeconfig),
            can(Capability::Metrics),
            // Where the vendor tells no operations of its writes, the gateway does.
            can(Capability::Operations) || capabilities.operations.iter().any(|one| one.is_write()),
        ];
        let bits = has.iter().enumerate();
        Self(bits.fold(0, |bits, (at, has)| bits | u8::from(*has) << at))
    }

    /// Appends the member `links` of a cluster. An id is made of characters that need no escape.
    pub(super) fn append(self, id: &str, body: &mut Vec<u8>) {
        let source = id.split_once(':').map_or(id, |(source, _)| source);
        let mut put = |text: &str| body.extend_from_slice(text.as_bytes());
        put(",\"links\":{\"self\":\"/clusters/");
        put(id);
        put("\",\"source\":\"/sources/");
        put(source);
        for (at, resource) in RESOURCES.iter().enumerate() {
            if self.0 & 1 << at != 0 {
                put("\",\"");
                put(resource);
                put("\":\"/clusters/");
                put(id);
                put("/");
                put(resource);
            }
        }
        put("\"}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Vantage;

    #[test]
    fn only_what_the_provider_has_is_linked() {
        static CAPABILITIES: Capabilities = Capabilities {
            vantage: Vantage::Hosts,
            operations: &[Capability::List, Capability::Nodes, Capability::Update],
            reports: &[],
            detail_only: &[],
        };
        let links = |links: Links| {
            let mut body = b"{\"a\":0".to_vec();
            links.append("s:a%2Fb", &mut body);
            body.push(b'}');
            let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
            value["links"].clone()
        };
        assert_eq!(
            links(Links::of(&CAPABILITIES)),
            serde_json::json!({
                "self": "/clusters/s:a%2Fb",
                "source": "/sources/s",
                "nodes": "/clusters/s:a%2Fb/nodes",
                "operations": "/clusters/s:a%2Fb/operations",
            })
        );
        assert_eq!(links(Links::default()).as_object().unwrap().len(), 2);
    }
}
