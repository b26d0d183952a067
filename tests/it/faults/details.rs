//! Every fault at every vendor's detail call: a detail is whole, or admits what it lacks, or there is none.

use clustergate::adapters::CATALOG;
use clustergate::app::sources;
use clustergate::provider::{Capability, ErrorKind, Limits, walk};
use clustergate::sandbox::Fault;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::impatient;
use crate::support::{PATIENCE, Plan};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_of_a_vendor_makes_a_detail_lie() {
    let mut running = JoinSet::new();
    for entry in CATALOG {
        if entry.capabilities.supports(Capability::Describe) {
            running.spawn(examine(entry.kind.as_str()));
        }
    }
    let complaints: Vec<String> = running.join_all().await.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

async fn examine(name: &'static str) -> Vec<String> {
    let plan = Plan::default();
    let sandbox = plan.sandbox().await;
    let configs = plan.configs(&sandbox);
    let vendor = sandbox.vendor(name.parse().unwrap());
    let mut complaints = Vec::new();
    for fault in Fault::ALL {
        let config = impatient(&configs, name, fault);
        let source = sources(&[config]).unwrap().remove(0);
        let listing = walk(source.provider.as_ref(), Limits::default())
            .await
            .unwrap();
        let locator = &listing.clusters[0].locator;
        let good = source.provider.describe(locator).await.unwrap();
        vendor.set_fault(Some(fault));
        vendor.reset_stats();
        let described = timeout(PATIENCE, source.provider.describe(locator)).await;
        vendor.set_fault(None);
        let stats = vendor.stats();
        let mut complain = |wrong: bool, text: String| {
            if wrong {
                complaints.push(format!("{fault} {name}: {text}"));
            }
        };
        complain(stats.secret_calls > 0, "a call to a secret".to_owned());
        complain(stats.requests > 40, format!("{} calls", stats.requests));
        match described {
            Ok(Ok(found)) => {
                let is_told = found.warnings.total() > 0 || found.nodes.is_none();
                // Nodes are rows of lists too, and this fault gives them other ids.
                let is_renaming = fault == Fault::ForeignNext;
                let is_same =
                    found.cluster == good.cluster && (is_renaming || found.nodes == good.nodes);
                complain(
                    found.cluster.id != good.cluster.id,
                    format!("it is {}", found.cluster.id),
                );
                complain(!is_same && !is_told, format!("{found:?}, not {good:?}"));
            }
            Ok(Err(error)) => complain(!ErrorKind::ALL.contains(&error.kind), format!("{error:?}")),
            Err(_) => complain(true, "no end".to_owned()),
        }
    }
    let hits = sandbox.canary_hits();
    if hits.requests > 0 {
        complaints.push(format!("{name}: calls to a foreign host: {hits:?}"));
    }
    complaints
}
