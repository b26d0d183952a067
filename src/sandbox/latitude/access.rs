//! The kubeconfigs that Latitude.sh gives out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::super::world::{Answer, Call};
use super::record::Record;
use super::{CANARY, Latitude, ROWS, refused, titled};

/// A certificate that certifies nothing: nobody has its key.
const AUTHORITY: &str = include_str!("../lakesail/ca.pem");

impl Latitude {
    /// The kubeconfig of a cluster of either family; both refuse it while there is none, each in its own way.
    pub(super) fn kubeconfig(&self, call: &Call, id: &str, legacy: bool) -> Answer {
        if let Some(answer) = Self::denied(call) {
            return answer;
        }
        let Some(record) = self.find(call, id, legacy) else {
            return if legacy {
                refused(404, "NOT_FOUND", &format!("Cluster {id} not found"))
            } else {
                titled(404, "not_found", "Specified Record Not Found")
            };
        };
        if legacy && !record.ready() {
            let message = format!("Kubeconfig not found for cluster {}", record.name);
            return refused(404, "NOT_FOUND", &message);
        }
        if !legacy && record.status == Some("provisioning") {
            return titled(409, "NOT_READY", "The control plane is being provisioned");
        }
        let kind = if legacy {
            "kubernetes_cluster_kubeconfigs"
        } else {
            "lks_cluster_kubeconfigs"
        };
        Answer::ok(json!({"data": {"type": kind, "id": record.id,
            "attributes": {"cluster_name": record.name, "kubeconfig": text(&record)}}}))
        .rows(ROWS)
    }
}

/// A file with a client certificate and its key, as the vendor's page shows one.
fn text(record: &Record) -> String {
    let authority = STANDARD.encode(AUTHORITY);
    let certificate = pem(
        "CERTIFICATE",
        &format!("{CANARY}-client-certificate-{}", record.id),
    );
    let key = pem("PRIVATE KEY", &format!("{CANARY}-client-key-{}", record.id));
    let (server, name) = (record.endpoint(), json!(record.name));
    let user = json!(format!("{}-admin", record.name));
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {authority}\n    server: {server}\n  name: {name}\n\
         contexts:\n- context:\n    cluster: {name}\n    user: {user}\n  name: {name}\ncurrent-context: {name}\nkind: Config\n\
         preferences: {{}}\nusers:\n- name: {user}\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n"
    )
}

/// A block that is PEM in form, in the way that kubeconfigs have it. What stands before the block tells whose it is.
fn pem(label: &str, content: &str) -> String {
    let inner = STANDARD.encode(content);
    STANDARD.encode(format!(
        "{content}\n-----BEGIN {label}-----\n{inner}\n-----END {label}-----\n"
    ))
}
