//! How far a walk over projects and families has come. No I/O: answers in, the next call out.

use serde::{Deserialize, Serialize};

use crate::provider::{ErrorKind, PageCursor, ProviderError};
use crate::upstream::FailureKind;

/// Configured projects that one cursor carries, like a page of `/projects`.
const CHUNK: usize = 100;

/// A total beyond this is no count of anything an account has.
const PLAUSIBLE: u64 = 10_000_000;

/// The vendor's two Kubernetes products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Family {
    /// `/kubernetes_clusters`, deprecated by the vendor.
    Legacy,
    /// `/lks/clusters`.
    Lks,
}

/// A project, as far as its clusters need it: neither list names the project beyond its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProjectRef {
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) environment: Option<String>,
}

/// How one project's list of one family was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With a list.
    Answered,
    /// The team does not have the product.
    Refused,
    /// Unknown: the project vanished, or the family was retired.
    Gone,
}

/// How a family was answered so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tally {
    answered: bool,
    refused: bool,
    gone: bool,
}

impl Tally {
    const fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Answered => self.answered = true,
            Outcome::Refused => self.refused = true,
            Outcome::Gone => self.gone = true,
        }
    }

    /// A product that the team does not have need not be asked for again: calls are scarce.
    const fn is_closed(self) -> bool {
        self.refused && !self.answered
    }
}

/// The state of a walk, which is also its cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    /// Pages of projects taken so far.
    page: u64,
    /// Rows of projects seen so far.
    seen: u64,
    /// Whether there are projects beyond `projects`.
    more: bool,
    /// Projects still to be read, the current one first.
    projects: Vec<ProjectRef>,
    /// Which list of the current project is next.
    family: Family,
    legacy: Tally,
    lks: Tally,
}

/// Rows of one page of projects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    /// In the answer.
    pub(super) sent: usize,
    /// Of these, not repeating another.
    pub(super) distinct: usize,
    /// At most, by the request.
    pub(super) asked: u64,
}

/// The next call of a walk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request<'a> {
    /// This page of projects.
    Projects(u64),
    /// This project's list of this family.
    Clusters(&'a ProjectRef, Family),
}

impl Progress {
    /// Before the first call.
    pub(super) fn start(families: &[Family]) -> Self {
        Self {
            page: 0,
            seen: 0,
            more: true,
            projects: Vec::new(),
            family: families.first().copied().unwrap_or(Family::Legacy),
            legacy: Tally::default(),
            lks: Tally::default(),
        }
    }

    /// Reads a cursor. Text that we did not write, or wrote under other settings, counts as expired: the walk starts afresh.
    pub(super) fn parse(cursor: &PageCursor, families: &[Family]) -> Result<Self, ProviderError> {
        let expired = || ProviderError::new(ErrorKind::CursorExpired, "list_clusters");
        let progress: Self = serde_json::from_str(cursor.as_str()).map_err(|_| expired())?;
        let sound = families.contains(&progress.family)
            && (progress.more || !progress.projects.is_empty())
            && progress.page < PLAUSIBLE
            && progress.seen < PLAUSIBLE;
        if sound { Ok(progress) } else { Err(expired()) }
    }

    /// Takes the next configured projects when there are none left to read; then `/projects` is never called.
    pub(super) fn refill(&mut self, configured: &[String]) {
        if configured.is_empty() || !self.projects.is_empty() {
            return;
        }
        let at = usize::try_from(self.page).map_or(usize::MAX, |page| page.saturating_mul(CHUNK));
        let rest = configured.get(at..).unwrap_or_default();
        let project = |id: &String| ProjectRef {
            id: id.clone(),
            name: None,
            environment: None,
        };
        self.projects = rest.iter().take(CHUNK).map(project).collect();
        self.page += 1;
        self.more = rest.len() > CHUNK;
    }

    /// What to ask next.
    pub(super) fn request(&self) -> Request<'_> {
        self.projects
            .first()
            .map_or(Request::Projects(self.page + 1), |project| {
                Request::Clusters(project, self.family)
            })
    }

    /// Takes a page of projects.
    ///
    /// The vendor's largest page size is unknown: it may silently send fewer than asked. Its own total therefore decides
    /// where it can be true, and the length of the page where it cannot.
    pub(super) fn after_projects(
        mut self,
        projects: Vec<ProjectRef>,
        rows: Rows,
        total: Option<u64>,
        families: &[Family],
    ) -> Result<Option<Self>, ProviderError> {
        self.page += 1;
        self.seen = self.seen.saturating_add(rows.distinct as u64);
        let total = total.filter(|total| (self.seen..=PLAUSIBLE).contains(total));
        self.more = total.map_or(rows.sent as u64 >= rows.asked, |total| self.seen < total);
        if self.more && rows.sent == 0 {
            return Err(ProviderError::new(ErrorKind::Truncated, "list_projects")
                .with_detail("a page without projects before their total was reached"));
        }
        self.projects = projects;
        self.finish(families)
    }

    /// Takes the answer to one project's list.
    pub(super) fn after_clusters(
        mut self,
        outcome: Outcome,
        families: &[Family],
    ) -> Result<Option<Self>, ProviderError> {
        let asked = self.family;
        self.tally(asked).add(outcome);
        let open = |family: &&Family| !self.read_tally(**family).is_closed();
        let next = families
            .iter()
            .filter(open)
            .find(|family| **family > asked)
            .copied();
        let first = families.iter().find(open).copied();
        match (next, first) {
            (Some(next), _) => self.family = next,
            (None, Some(first)) => {
                self.family = first;
                self.projects = self.projects.split_off(1.min(self.projects.len()));
            }
            (None, None) => return Err(not_enabled()),
        }
        self.finish(families)
    }

    fn finish(self, families: &[Family]) -> Result<Option<Self>, ProviderError> {
        if self.more || !self.projects.is_empty() {
            return Ok(Some(self));
        }
        let tallies = || families.iter().map(|family| self.read_tally(*family));
        if tallies().any(|tally| tally.answered) {
            return Ok(None);
        }
        if tallies().any(|tally| tally.refused) {
            return Err(not_enabled());
        }
        // Projects, and not one list of clusters for any of them: that is a wrong address, not an empty account.
        if tallies().any(|tally| tally.gone) {
            let kind = ErrorKind::Call(FailureKind::NotFound);
            return Err(ProviderError::new(kind, "list_clusters")
                .with_detail("no project's list of clusters is known to the vendor"));
        }
        Ok(None)
    }

    /// The cursor.
    pub(super) fn to_cursor(&self) -> PageCursor {
        PageCursor::new(serde_json::to_string(self).unwrap_or_default())
    }

    const fn tally(&mut self, family: Family) -> &mut Tally {
        match family {
            Family::Legacy => &mut self.legacy,
            Family::Lks => &mut self.lks,
        }
    }

    const fn read_tally(&self, family: Family) -> Tally {
        match family {
            Family::Legacy => self.legacy,
            Family::Lks => self.lks,
        }
    }
}

fn not_enabled() -> ProviderError {
    ProviderError::new(ErrorKind::NotEnabled, "list_clusters")
        .with_detail("no Kubernetes product is enabled for this team")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOTH: &[Family] = &[Family::Legacy, Family::Lks];

    fn project(id: &str) -> ProjectRef {
        ProjectRef {
            id: id.to_owned(),
            name: None,
            environment: None,
        }
    }

    fn rows(sent: usize, asked: u64) -> Rows {
        Rows {
            sent,
            distinct: sent,
            asked,
        }
    }

    /// Walks two projects; the outcomes are those of the calls in order.
    fn walk(families: &[Family], outcomes: &[Outcome]) -> (Vec<String>, Option<ErrorKind>) {
        let projects = vec![project("p1"), project("p2")];
        let mut asked = Vec::new();
        let mut step =
            Progress::start(families).after_projects(projects, rows(2, 100), None, families);
        let mut outcomes = outcomes.iter();
        loop {
            let progress = match step {
                Ok(Some(progress)) => Progress::parse(&progress.to_cursor(), families).unwrap(),
                Ok(None) => return (asked, None),
                Err(error) => return (asked, Some(error.kind)),
            };
            let Request::Clusters(project, family) = progress.request() else {
                unreachable!("two projects are the whole account")
            };
            asked.push(format!("{family:?} {}", project.id));
            step = progress.after_clusters(*outcomes.next().unwrap(), families);
        }
    }

    #[test]
    fn every_family_of_every_project_is_asked_once() {
        let (asked, error) = walk(BOTH, &[Outcome::Answered; 4]);
        assert_eq!(asked, ["Legacy p1", "Lks p1", "Legacy p2", "Lks p2"]);
        assert_eq!(error, None);
        let (asked, _) = walk(&[Family::Lks], &[Outcome::Answered; 2]);
        assert_eq!(asked, ["Lks p1", "Lks p2"]);
    }

    #[test]
    fn a_product_that_is_not_enabled_is_not_asked_for_again() {
        use Outcome::{Answered, Refused};
        let (asked, error) = walk(BOTH, &[Refused, Answered, Answered]);
        assert_eq!(asked, ["Legacy p1", "Lks p1", "Lks p2"]);
        assert_eq!(error, None);
        let (asked, error) = walk(BOTH, &[Refused, Refused]);
        assert_eq!(asked, ["Legacy p1", "Lks p1"]);
        assert_eq!(error, Some(ErrorKind::NotEnabled));
    }

    #[test]
    fn a_family_that_answered_before_is_asked_on() {
        use Outcome::{Answered, Refused};
        let (asked, error) = walk(BOTH, &[Answered, Answered, Refused, Answered]);
        assert_eq!((asked.len(), error), (4, None));
    }

    #[test]
    fn a_retired_family_or_a_vanished_project_fails_nothing() {
        use Outcome::{Answered, Gone};
        assert_eq!(walk(BOTH, &[Gone, Answered, Gone, Answered]).1, None);
        assert_eq!(walk(BOTH, &[Gone, Gone, Answered, Answered]).1, None);
    }

    #[test]
    fn not_one_list_for_any_project_is_no_empty_account() {
        use Outcome::{Gone, Refused};
        let not_found = ErrorKind::Call(FailureKind::NotFound);
        assert_eq!(walk(BOTH, &[Gone; 4]).1, Some(not_found));
        let (_, error) = walk(BOTH, &[Gone, Refused, Gone]);
        assert_eq!(error, Some(ErrorKind::NotEnabled));
    }

    fn more(seen_before: u64, sent: usize, size: u64, total: Option<u64>) -> Option<bool> {
        let mut progress = Progress::start(BOTH);
        progress.seen = seen_before;
        let projects = (0..sent).map(|n| project(&n.to_string())).collect();
        progress
            .after_projects(projects, rows(sent, size), total, BOTH)
            .ok()
            .map(|next| next.is_some_and(|next| next.more))
    }

    #[test]
    fn projects_end_with_their_total_or_a_short_page() {
        assert_eq!(more(0, 100, 100, None), Some(true));
        assert_eq!(more(100, 7, 100, None), Some(false));
        assert_eq!(more(100, 0, 100, None), Some(false));
        assert_eq!(more(0, 100, 100, Some(100)), Some(false));
        // The vendor sends fewer than asked.
        assert_eq!(more(0, 20, 100, Some(45)), Some(true));
        assert_eq!(more(40, 5, 100, Some(45)), Some(false));
        // Totals that cannot be true.
        assert_eq!(more(0, 3, 100, Some(0)), Some(false));
        assert_eq!(more(0, 3, 100, Some(1 << 52)), Some(false));
        assert_eq!(more(20, 0, 100, Some(45)), None);
        assert_eq!(more(3, 0, 100, Some(1_000_003)), None);
    }

    #[test]
    fn projects_that_are_sent_twice_are_counted_once() {
        let twice = Rows {
            sent: 200,
            distinct: 100,
            asked: 100,
        };
        let projects = vec![project("p")];
        let next = Progress::start(BOTH).after_projects(projects, twice, Some(200), BOTH);
        assert!(next.unwrap().unwrap().more);
    }

    #[test]
    fn an_account_without_projects_is_empty() {
        let end = Progress::start(BOTH).after_projects(Vec::new(), rows(0, 100), Some(0), BOTH);
        assert_eq!(end.unwrap(), None);
    }

    #[test]
    fn configured_projects_need_no_call_and_are_taken_by_the_hundred() {
        let configured: Vec<String> = (0..150).map(|n| format!("proj_{n}")).collect();
        let mut progress = Progress::start(BOTH);
        let mut asked = 0;
        loop {
            progress.refill(&configured);
            assert!(progress.projects.len() <= CHUNK);
            assert!(matches!(progress.request(), Request::Clusters(..)));
            asked += 1;
            match progress.after_clusters(Outcome::Answered, BOTH).unwrap() {
                Some(next) => progress = next,
                None => break,
            }
        }
        assert_eq!(asked, 300);
    }

    #[test]
    fn a_cursor_under_other_settings_is_expired() {
        let cursor = Progress::start(BOTH).to_cursor();
        let error = Progress::parse(&cursor, &[Family::Lks]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::CursorExpired);
    }

    proptest! {
        #[test]
        fn any_text_is_a_cursor_or_expired(text in ".*") {
            if let Err(error) = Progress::parse(&PageCursor::new(text), BOTH) {
                prop_assert_eq!(error.kind, ErrorKind::CursorExpired);
            }
        }
    }
}
