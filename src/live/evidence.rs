//! What a cluster shows of a write whose answer was lost. No I/O: values in, values out.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use crate::domain::{Cluster, ClusterId, ClusterPatch, Operation, OperationKind, State};
use crate::provider::Listed;

/// How far a vendor's clock may be behind ours.
const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// What was found where a write's answer was lost and its effect was not seen: it may have happened, and may still happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookback {
    /// The code of what happened to the answer.
    pub cause: &'static str,
    /// Whether the answer was waited for in vain.
    pub timed_out: bool,
    /// Whether anything could be read afterwards.
    pub was_read: bool,
    /// The cluster's state as it was read; `None` when it could not be read.
    pub state: Option<State>,
    /// What was looked at and found, for the caller.
    pub text: String,
}

/// One look at a cluster.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The cluster as it was read.
    pub(super) cluster: Option<Cluster>,
    /// Whether the vendor says that there is no such cluster.
    pub(super) is_gone: bool,
    /// The cluster's operations, where the vendor tells them.
    pub(super) operations: Option<Vec<Operation>>,
}

/// What a look proves of a write's effect.
#[derive(Debug, PartialEq)]
pub(super) enum Proof {
    /// Nothing.
    None,
    /// It happened and is over.
    Done,
    /// It happened and goes on.
    UnderWay(Option<Box<Operation>>),
}

/// How a changed cluster agrees with the change that was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agreement {
    /// Everything that can be compared is as wanted, and something of it was not so before.
    Changed,
    /// Everything that can be compared is as wanted, and was so before, or was not known.
    AsWanted,
    /// Something is not as wanted.
    Otherwise,
    /// Nothing can be compared.
    Unknown,
}

/// What a look proves of a write of one kind that began at a time, on a cluster that was so before.
pub(super) fn proof(
    kind: OperationKind,
    patch: Option<&ClusterPatch>,
    before: Option<&Cluster>,
    look: &Look,
    began: Timestamp,
) -> Proof {
    if look.is_gone {
        return match kind {
            OperationKind::Forget | OperationKind::Destroy => Proof::Done,
            OperationKind::Create
            | OperationKind::Provision
            | OperationKind::Update
            | OperationKind::Unknown => Proof::None,
        };
    }
    if let Some(operation) = look
        .operations
        .iter()
        .flatten()
        .find(|operation| is_of(operation, kind, began))
    {
        return Proof::UnderWay(Some(Box::new(operation.clone())));
    }
    let Some(after) = &look.cluster else {
        return Proof::None;
    };
    let was = before.map(|before| before.status.state);
    let is = after.status.state;
    let is_new = was.is_some_and(|was| was != is);
    match kind {
        OperationKind::Provision => match is {
            State::Provisioning | State::Updating if was != Some(is) => Proof::UnderWay(None),
            State::Running | State::Degraded if was == Some(State::Pending) => Proof::Done,
            _ => Proof::None,
        },
        OperationKind::Destroy => match is {
            State::Deleting if was != Some(is) => Proof::UnderWay(None),
            State::Deleted if is_new => Proof::Done,
            _ => Proof::None,
        },
        OperationKind::Update => {
            let agreement = patch.map_or(Agreement::Unknown, |patch| agree(patch, before, after));
            match (agreement, is) {
                (Agreement::Changed, State::Updating) => Proof::UnderWay(None),
                // Work at a cluster that is not as wanted is as likely somebody else's.
                (Agreement::AsWanted | Agreement::Unknown, State::Updating) if is_new => {
                    Proof::UnderWay(None)
                }
                (Agreement::Changed, _) => Proof::Done,
                _ => Proof::None,
            }
        }
        OperationKind::Create | OperationKind::Forget | OperationKind::Unknown => Proof::None,
    }
}

/// Whether an operation is of this kind and was asked for since.
fn is_of(operation: &Operation, kind: OperationKind, began: Timestamp) -> bool {
    let since = operation.created_at.or(operation.started_at);
    operation.kind == kind
        && match since {
            Some(since) => is_since(since, began),
            None => !operation.done,
        }
}

/// Whether a time of the vendor's clock may be later than one of ours.
fn is_since(at: Timestamp, began: Timestamp) -> bool {
    at >= began.checked_sub(SKEW).unwrap_or(began)
}

/// A cluster that was found by its name, if a creation that began at a time may have made it: it is none of those that had the
/// name before, and not older.
pub(super) fn made_by(
    found: Option<Listed>,
    namesakes: &[ClusterId],
    began: Timestamp,
) -> Option<Listed> {
    found.filter(|listed| {
        let cluster = &listed.cluster;
        let is_young = cluster.created_at.is_none_or(|at| is_since(at, began));
        is_young && !namesakes.contains(&cluster.id)
    })
}

/// Compares what can be compared.
pub(super) fn agree(patch: &ClusterPatch, before: Option<&Cluster>, after: &Cluster) -> Agreement {
    let mut compared = false;
    let mut changed = false;
    let mut take = |is: bool, was: Option<bool>| {
        compared = true;
        changed |= is && was == Some(false);
        is
    };
    let mut as_wanted = true;
    if let Some(name) = &patch.name {
        as_wanted &= take(
            after.name == *name,
            before.map(|before| before.name == *name),
        );
    }
    if let Some(version) = &patch.version
        && after.orchestrator.version.is_some()
    {
        as_wanted &= take(
            is_version(after, version),
            before.map(|before| is_version(before, version)),
        );
    }
    if let Some(ranges) = &patch.public_access_cidrs
        && after.network.is_some()
    {
        as_wanted &= take(
            has_ranges(after, ranges),
            before.map(|before| has_ranges(before, ranges)),
        );
    }
    match (compared, as_wanted, changed) {
        (false, _, _) => Agreement::Unknown,
        (true, false, _) => Agreement::Otherwise,
        (true, true, true) => Agreement::Changed,
        (true, true, false) => Agreement::AsWanted,
    }
}

/// Whether a cluster has as many workers as a change of its one group wanted. Vendors do not tell the sizes of groups, so that
/// other counts prove nothing.
pub(super) fn has_workers(patch: &ClusterPatch, after: &Cluster) -> bool {
    let [group] = patch.node_groups.as_slice() else {
        return false;
    };
    let workers = after.nodes.as_ref().and_then(|nodes| nodes.workers);
    let wanted = group.desired_size.map(u64::from);
    wanted.is_some() && workers == wanted
}

/// `1.36` is every `1.36.x`.
fn is_version(cluster: &Cluster, wanted: &str) -> bool {
    let wanted = wanted.trim_start_matches('v');
    cluster.orchestrator.version.as_deref().is_some_and(|is| {
        is.strip_prefix(wanted)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

fn has_ranges(cluster: &Cluster, wanted: &[String]) -> bool {
    let has = cluster
        .network
        .as_ref()
        .map(|network| &network.public_access_cidrs);
    has.is_some_and(|has| {
        has.len() == wanted.len() && wanted.iter().all(|range| has.contains(range))
    })
}

/// What was looked at and found, in words.
pub(super) fn account(kind: OperationKind, cause: &str, last: Option<&Look>) -> String {
    let mut text = format!("the answer to the write was lost ({cause}). ");
    let Some(look) = last else {
        text.push_str("The vendor could not be read afterwards, so nothing is known of its effect");
        return text;
    };
    if kind == OperationKind::Create {
        text.push_str("Afterwards no new cluster of this name was found");
        return text;
    }
    match &look.cluster {
        Some(cluster) => {
            let state = cluster.status.state.as_str();
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "Afterwards the cluster was read: its state is {state}, which shows no effect"
            );
        }
        None if look.is_gone => {
            text.push_str("Afterwards the vendor said that there is no such cluster");
        }
        None => text.push_str("Afterwards the cluster could not be read"),
    }
    match &look.operations {
        Some(_) => text.push_str(", and no operation of this kind that began since was found"),
        None => text.push_str("; its operations could not be read, or the vendor tells none"),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Kind, SourceName, Vantage};

    fn cluster(state: State) -> Cluster {
        let source = SourceName::new("s").unwrap();
        let mut cluster = Cluster::new(&source, Kind::new("k"), "c", "one", Vantage::Hosts);
        cluster.status.state = state;
        cluster
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn seen(state: State) -> Look {
        Look {
            cluster: Some(cluster(state)),
            ..Look::default()
        }
    }

    fn judge(kind: OperationKind, was: Option<State>, look: &Look) -> Proof {
        let before = was.map(cluster);
        proof(kind, None, before.as_ref(), look, at(1_000))
    }

    #[test]
    fn a_state_that_was_there_before_proves_nothing() {
        use OperationKind::{Destroy, Provision};
        let under_way = Proof::UnderWay(None);
        for (kind, was, is, expected) in [
            (
                Provision,
                Some(State::Pending),
                State::Provisioning,
                &under_way,
            ),
            (
                Provision,
                Some(State::Provisioning),
                State::Provisioning,
                &Proof::None,
            ),
            (
                Provision,
                Some(State::Pending),
                State::Running,
                &Proof::Done,
            ),
            (Provision, Some(State::Failed), State::Running, &Proof::None),
            (Provision, None, State::Running, &Proof::None),
            (Destroy, Some(State::Running), State::Deleting, &under_way),
            (
                Destroy,
                Some(State::Deleting),
                State::Deleting,
                &Proof::None,
            ),
            (Destroy, Some(State::Running), State::Deleted, &Proof::Done),
            (Destroy, None, State::Deleted, &Proof::None),
            (Destroy, Some(State::Running), State::Running, &Proof::None),
        ] {
            assert_eq!(
                judge(kind, was, &seen(is)),
                *expected,
                "{kind:?} {was:?} {is:?}"
            );
        }
    }

    #[test]
    fn a_cluster_that_is_gone_proves_what_removes_one() {
        let gone = Look {
            is_gone: true,
            ..Look::default()
        };
        let running = Some(State::Running);
        assert_eq!(judge(OperationKind::Forget, running, &gone), Proof::Done);
        assert_eq!(judge(OperationKind::Destroy, running, &gone), Proof::Done);
        assert_eq!(judge(OperationKind::Update, running, &gone), Proof::None);
        assert_eq!(
            judge(OperationKind::Forget, running, &seen(State::Running)),
            Proof::None
        );
    }

    #[test]
    fn an_operation_proves_its_own_kind_if_it_is_new() {
        let operation = |kind, created: Option<i64>, done| Operation {
            kind,
            created_at: created.map(at),
            done,
            ..Operation::default()
        };
        let with = |operation: Operation| Look {
            operations: Some(vec![operation]),
            ..seen(State::Running)
        };
        let running = Some(State::Running);
        for (kind, created, done, expected) in [
            (OperationKind::Destroy, Some(1_001), false, true),
            (OperationKind::Destroy, Some(990), true, true),
            (OperationKind::Destroy, Some(500), false, false),
            (OperationKind::Destroy, None, false, true),
            (OperationKind::Destroy, None, true, false),
            (OperationKind::Update, Some(1_001), false, false),
            (OperationKind::Unknown, Some(1_001), false, false),
        ] {
            let look = with(operation(kind, created, done));
            let is_proven = judge(OperationKind::Destroy, running, &look) != Proof::None;
            assert_eq!(is_proven, expected, "{kind:?} {created:?} {done}");
        }
    }

    #[test]
    fn a_change_is_proven_only_by_what_was_otherwise_before() {
        let patch = ClusterPatch {
            version: Some("1.36".into()),
            ..ClusterPatch::default()
        };
        let at_version = |version: &str| {
            let mut cluster = cluster(State::Running);
            cluster.orchestrator.version = Some(version.into());
            cluster
        };
        for (was, is, expected) in [
            (Some("1.35.1"), "1.36.2", Agreement::Changed),
            (Some("1.36.0"), "1.36.2", Agreement::AsWanted),
            (None, "1.36", Agreement::AsWanted),
            (Some("1.35.1"), "1.35.1", Agreement::Otherwise),
            (Some("1.35.1"), "1.360.0", Agreement::Otherwise),
        ] {
            let before = was.map(at_version);
            assert_eq!(
                agree(&patch, before.as_ref(), &at_version(is)),
                expected,
                "{was:?} {is}"
            );
        }
        let groups = ClusterPatch {
            node_groups: vec![crate::domain::NodeGroupSpec::default()],
            ..ClusterPatch::default()
        };
        let running = cluster(State::Running);
        assert_eq!(agree(&groups, Some(&running), &running), Agreement::Unknown);
    }

    #[test]
    fn work_at_a_cluster_that_is_not_as_wanted_is_not_of_the_change() {
        let under_way = Proof::UnderWay(None);
        let renamed = |name: &str| ClusterPatch {
            name: Some(name.into()),
            ..ClusterPatch::default()
        };
        let groups = ClusterPatch {
            node_groups: vec![crate::domain::NodeGroupSpec::default()],
            ..ClusterPatch::default()
        };
        for (patch, was, expected) in [
            (&renamed("two"), State::Running, &Proof::None),
            (&renamed("one"), State::Running, &under_way),
            (&groups, State::Running, &under_way),
            (&groups, State::Updating, &Proof::None),
        ] {
            let (kind, before) = (OperationKind::Update, cluster(was));
            let look = seen(State::Updating);
            let found = proof(kind, Some(patch), Some(&before), &look, at(1_000));
            assert_eq!(found, *expected, "{patch:?} {was:?}");
        }
    }

    #[test]
    fn the_account_says_what_was_looked_at() {
        let read = Look {
            operations: Some(Vec::new()),
            ..seen(State::Running)
        };
        let texts = [
            account(OperationKind::Destroy, "UPSTREAM_TIMEOUT", Some(&read)),
            account(OperationKind::Update, "UPSTREAM_TIMEOUT", None),
            account(
                OperationKind::Create,
                "UPSTREAM_INTERRUPTED",
                Some(&Look::default()),
            ),
        ];
        assert_eq!(
            texts[0],
            "the answer to the write was lost (UPSTREAM_TIMEOUT). Afterwards the cluster was read: its state is running, which shows no effect, and no operation of this kind that began since was found"
        );
        assert!(texts[1].ends_with("so nothing is known of its effect"));
        assert!(texts[2].ends_with("no new cluster of this name was found"));
    }
}
