//! What a reader may ask for: filters, order, place.

use std::fmt::Write as _;

use crate::domain::{Presence, SourceName};

/// What can be filtered by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(usize)]
pub enum Dimension {
    /// The kind of provider.
    Provider,
    /// The configured account.
    Source,
    /// The cloud.
    Cloud,
    /// Any of the regions.
    Region,
    /// The normalized state.
    State,
    /// The environment.
    Environment,
    /// The family of orchestrator.
    Orchestrator,
    /// The distribution.
    Distribution,
    /// The version, whole (`1.34.3`) or its minor (`1.34`).
    Version,
    /// A model of accelerator in it.
    Accelerator,
    /// Whether the provider runs or watches it.
    Vantage,
    /// How sure the inventory is that it still exists.
    Presence,
    /// Whether what is known of it is old: `true` or `false`.
    Stale,
    /// A label, as `key` or `key=value`.
    Label,
    /// The project, by id or name.
    Project,
    /// The team.
    Team,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 16] = [
        Self::Provider,
        Self::Source,
        Self::Cloud,
        Self::Region,
        Self::State,
        Self::Environment,
        Self::Orchestrator,
        Self::Distribution,
        Self::Version,
        Self::Accelerator,
        Self::Vantage,
        Self::Presence,
        Self::Stale,
        Self::Label,
        Self::Project,
        Self::Team,
    ];

    /// The parameter's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Source => "source",
            Self::Cloud => "cloud",
            Self::Region => "region",
            Self::State => "state",
            Self::Environment => "environment",
            Self::Orchestrator => "orchestrator",
            Self::Distribution => "distribution",
            Self::Version => "version",
            Self::Accelerator => "accelerator",
            Self::Vantage => "vantage",
            Self::Presence => "presence",
            Self::Stale => "stale",
            Self::Label => "label",
            Self::Project => "project",
            Self::Team => "team",
        }
    }
}

/// One filter: any of the wanted values (all, when none is wanted) and none of the unwanted ones. Values are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// What is filtered.
    pub dimension: Dimension,
    /// Values of which one must be there.
    pub any: Vec<String>,
    /// Values of which none may be there.
    pub none: Vec<String>,
}

/// Filters that must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Filters by value.
    pub terms: Vec<Term>,
    /// Texts in lower case that must all occur in the cluster's name or id.
    pub texts: Vec<String>,
}

impl Filter {
    /// Whether a source can hold anything that passes, as far as its name and provider tell.
    pub fn admits_source(&self, name: &SourceName, provider: &str) -> bool {
        self.terms.iter().all(|term| match term.dimension {
            Dimension::Source => term.admits(name.as_str()),
            Dimension::Provider => term.admits(provider),
            _ => true,
        })
    }

    /// Whether nothing but sources is chosen, so that all that a source holds passes where the source does.
    pub(super) fn is_of_sources(&self) -> bool {
        let is_source =
            |term: &Term| matches!(term.dimension, Dimension::Source | Dimension::Provider);
        self.texts.is_empty() && self.terms.iter().all(is_source)
    }

    /// Whether the filter names sources, and only by wanting them.
    pub fn wanted_sources(&self) -> &[String] {
        self.terms
            .iter()
            .find(|term| term.dimension == Dimension::Source)
            .map_or(&[], |term| term.any.as_slice())
    }
}

impl Term {
    /// Whether one value passes.
    pub fn admits(&self, value: &str) -> bool {
        let is = |wanted: &String| wanted == value;
        (self.any.is_empty() || self.any.iter().any(is)) && !self.none.iter().any(is)
    }

    /// Whether a presence passes.
    pub(super) fn admits_presence(&self, presence: Presence) -> bool {
        self.admits(presence.as_str())
    }
}

/// What answers can be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum SortKey {
    /// The cluster's id, which begins with its source.
    Id,
    /// The kind of provider.
    Provider,
    /// The configured account.
    Source,
    /// The name, without regard to case.
    Name,
    /// The state, in the order of the life cycle.
    State,
    /// The cloud.
    Cloud,
    /// The first region.
    Region,
    /// The environment.
    Environment,
    /// The distribution.
    Distribution,
    /// The version, by number.
    Version,
    /// Nodes in all.
    Nodes,
    /// Accelerators in all.
    Accelerators,
    /// The hourly amount; currencies are not converted.
    Cost,
    /// Processor cores.
    Cpu,
    /// Memory.
    Memory,
    /// When it was made.
    CreatedAt,
    /// When it last changed.
    UpdatedAt,
    /// When the vendor last saw it.
    ObservedAt,
}

impl SortKey {
    /// Every key.
    pub const ALL: [Self; 18] = [
        Self::Id,
        Self::Provider,
        Self::Source,
        Self::Name,
        Self::State,
        Self::Cloud,
        Self::Region,
        Self::Environment,
        Self::Distribution,
        Self::Version,
        Self::Nodes,
        Self::Accelerators,
        Self::Cost,
        Self::Cpu,
        Self::Memory,
        Self::CreatedAt,
        Self::UpdatedAt,
        Self::ObservedAt,
    ];

    /// The word used in `sort=`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Provider => "provider",
            Self::Source => "source",
            Self::Name => "name",
            Self::State => "state",
            Self::Cloud => "cloud",
            Self::Region => "region",
            Self::Environment => "environment",
            Self::Distribution => "distribution",
            Self::Version => "version",
            Self::Nodes => "nodes",
            Self::Accelerators => "accelerators",
            Self::Cost => "cost",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::ObservedAt => "observed_at",
        }
    }

    /// Whether a cluster keeps its place under this key for as long as it lives.
    pub const fn is_immutable(self) -> bool {
        matches!(self, Self::Id | Self::Provider | Self::Source)
    }
}

/// One key and its direction. Unknown values come last in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortTerm {
    /// The key.
    pub key: SortKey,
    /// Largest first.
    pub descending: bool,
}

/// Keys that one answer can be ordered by at most.
pub const SORT_KEYS: usize = 4;

/// The order of an answer; ties are broken by id, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sort(pub Vec<SortTerm>);

impl Sort {
    /// Whether clusters keep their places under this order while the inventory changes.
    pub fn is_immutable(&self) -> bool {
        self.0.iter().all(|term| term.key.is_immutable())
    }
}

/// A value that a cluster is ordered by, comparable across sources.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum SortValue {
    /// An order-preserving number.
    Number(u64),
    /// A text, compared without regard to ASCII case.
    Text(String),
    /// The provider does not say.
    Unknown,
}

/// The place after one row: its sort values and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// One value for each term of the order.
    pub values: Vec<SortValue>,
    /// The row's id.
    pub id: String,
}

/// A question to a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// What passes.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// Only what comes after this place.
    pub after: Option<Position>,
    /// At most so many.
    pub limit: usize,
}

impl Query {
    /// Filters and order in one canonical text.
    pub fn canonical(&self) -> String {
        let mut terms = self.filter.terms.clone();
        terms.sort_by_key(|term| term.dimension);
        let mut text = String::new();
        for term in &mut terms {
            term.any.sort_unstable();
            term.none.sort_unstable();
            let _ = write!(
                text,
                "{}:{:?}!{:?};",
                term.dimension.as_str(),
                term.any,
                term.none
            );
        }
        let mut texts = self.filter.texts.clone();
        texts.sort_unstable();
        let _ = write!(text, "q:{texts:?};sort:");
        for term in &self.sort.0 {
            let _ = write!(
                text,
                "{}{},",
                if term.descending { "-" } else { "" },
                term.key.as_str()
            );
        }
        text
    }
}
