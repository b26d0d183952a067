//! Values of a request, read one by one, with every mistake noted on the way: nothing is sent while there is one.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::domain::NodeGroupSpec;
use crate::provider::{Mistake, ProviderError};

/// The groups that a legacy cluster has.
pub(super) const CONTROL_PLANE: &str = "control-plane";
pub(super) const WORKERS: &str = "workers";

/// A value and the field that it came from.
pub(super) type Given<T> = Option<(String, T)>;

/// Reads a request's values.
pub(super) struct Form<'a> {
    options: &'a Map<String, Value>,
    known: Vec<&'static str>,
    mistakes: Vec<Mistake>,
}

/// What a request says of one group of nodes.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) size: Given<u32>,
    pub(super) plan: Given<String>,
}

/// What a request says of both groups of a legacy cluster.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub(super) control_plane: Group,
    pub(super) workers: Group,
}

impl<'a> Form<'a> {
    pub(super) const fn new(options: &'a Map<String, Value>) -> Self {
        Self {
            options,
            known: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    /// Notes a mistake.
    pub(super) fn wrong(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.mistakes.push(Mistake {
            field: field.into(),
            reason: reason.into(),
        });
    }

    /// Notes a value that this kind of cluster has no use for.
    pub(super) fn refuse(&mut self, field: &str, is_given: bool, reason: &str) {
        if is_given {
            self.wrong(field, reason);
        }
    }

    /// A text of the request that has to be there, and to say something.
    pub(super) fn required(&mut self, field: &str, value: Option<&str>, reason: &str) -> String {
        let text = value.unwrap_or_default().trim();
        if text.is_empty() {
            self.wrong(field, reason);
        }
        text.to_owned()
    }

    /// A text of the request that, where it is there, says something.
    pub(super) fn optional(&mut self, field: &str, value: Option<&str>) -> Option<String> {
        let text = value?.trim();
        if text.is_empty() {
            self.wrong(field, "is empty: leave it out, or say something");
            return None;
        }
        Some(text.to_owned())
    }

    fn option(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.options.get(key).filter(|value| !value.is_null())
    }

    /// A text among the options.
    pub(super) fn text(&mut self, key: &'static str) -> Given<String> {
        let field = format!("options.{key}");
        let Some(text) = self.option(key)?.as_str() else {
            self.wrong(field, "use a text");
            return None;
        };
        let text = self.optional(&field, Some(text))?;
        Some((field, text))
    }

    /// A text among the options that may be empty.
    pub(super) fn free_text(&mut self, key: &'static str) -> Option<String> {
        let value = self.option(key)?;
        if !value.is_string() {
            self.wrong(format!("options.{key}"), "use a text");
        }
        value.as_str().map(str::to_owned)
    }

    /// Texts among the options.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let value = self.option(key)?;
        let texts: Option<Vec<String>> = value.as_array().and_then(|items| {
            let text = |item: &Value| Some(item.as_str()?.trim().to_owned());
            items
                .iter()
                .map(|item| text(item).filter(|text| !text.is_empty()))
                .collect()
        });
        if texts.is_none() {
            self.wrong(format!("options.{key}"), "use a list of texts");
        }
        texts
    }

    /// A count among the options.
    pub(super) fn count(&mut self, key: &'static str) -> Given<u32> {
        let field = format!("options.{key}");
        let number = self.option(key)?.as_u64();
        let Some(number) = number.and_then(|number| u32::try_from(number).ok()) else {
            self.wrong(field, "use a whole number that is not negative");
            return None;
        };
        Some((field, number))
    }

    /// The one of two ways to say a thing that was used.
    pub(super) fn either<T>(&mut self, one: Given<T>, other: Given<T>) -> Given<T> {
        if let (Some((one, _)), Some((other, _))) = (&one, &other) {
            let reason = format!("is said by {one} already: say it once");
            self.wrong(other, reason);
        }
        one.or(other)
    }

    /// Notes a count that is out of bounds.
    pub(super) fn within(&mut self, count: Option<&(String, u32)>, bounds: &RangeInclusive<u32>) {
        if let Some((field, count)) = count
            && !bounds.contains(count)
        {
            let (least, most) = (bounds.start(), bounds.end());
            let reason = if *most == u32::MAX {
                format!("use {least} or more")
            } else {
                format!("use a number from {least} to {most}")
            };
            self.wrong(field, reason);
        }
    }

    /// Both groups of a legacy cluster, found by their names.
    pub(super) fn groups(&mut self, specs: &[NodeGroupSpec]) -> Groups {
        let mut groups = Groups::default();
        let mut seen = Vec::new();
        for (at, spec) in specs.iter().enumerate() {
            let field = |name: &str| format!("node_groups[{at}].{name}");
            let group = match spec.name.as_deref() {
                Some(CONTROL_PLANE) => &mut groups.control_plane,
                Some(WORKERS) => &mut groups.workers,
                Some(_) | None => {
                    self.wrong(field("name"), "use `control-plane` or `workers`");
                    continue;
                }
            };
            if seen.contains(&&spec.name) {
                self.wrong(field("name"), "is there twice");
                continue;
            }
            seen.push(&spec.name);
            for (name, value) in [
                ("min_size", spec.min_size),
                ("max_size", spec.max_size),
                ("disk_gb", spec.disk_gb),
            ] {
                let reason = "the vendor has no such setting: use desired_size and a plan";
                self.refuse(&field(name), value.is_some(), reason);
            }
            group.size = spec.desired_size.map(|size| (field("desired_size"), size));
            group.plan = match spec.instance_types.as_deref() {
                None => None,
                Some([plan]) if !plan.trim().is_empty() => {
                    Some((field("instance_types"), plan.trim().to_owned()))
                }
                Some(_) => {
                    self.wrong(field("instance_types"), "name exactly one plan");
                    None
                }
            };
        }
        groups
    }

    /// Ends the reading early with the mistakes so far; which options there are is not known yet.
    pub(super) fn stop(self, operation: &'static str) -> ProviderError {
        ProviderError::invalid(operation, self.mistakes)
    }

    /// Ends the reading: with all mistakes at once, unknown options among them, or none.
    pub(super) fn finish(mut self, operation: &'static str) -> Result<(), ProviderError> {
        let unknown = self.options.keys();
        let unknown: Vec<_> = unknown
            .filter(|key| !self.known.contains(&key.as_str()))
            .collect();
        let known = self.known.join(", ");
        for key in unknown {
            let reason = format!("there is no such option: there is {known}");
            self.wrong(format!("options.{key}"), reason);
        }
        if self.mistakes.is_empty() {
            Ok(())
        } else {
            Err(ProviderError::invalid(operation, self.mistakes))
        }
    }
}
