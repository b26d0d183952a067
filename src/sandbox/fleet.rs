//! What clusters there are: everything follows from a seed and a serial number, so that nothing need be stored.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

/// A small deterministic generator (splitmix64), begun anew for each thing that is drawn.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(parts: &[u64]) -> Self {
        let state = parts
            .iter()
            .fold(0x9E37_79B9_7F4A_7C15, |state, part| mix(state ^ mix(*part)));
        Self(state)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `bound`; 0 when there is nothing below it.
    pub(super) const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    pub(super) const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub(super) const fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let at = usize::try_from(self.below(choices.len() as u64)).unwrap_or(0);
        choices[at]
    }

    pub(super) fn letters(&mut self, alphabet: &str, length: usize) -> String {
        let alphabet = alphabet.as_bytes();
        (0..length)
            .map(|_| char::from(self.pick(alphabet)))
            .collect()
    }
}

pub(super) const BASE62: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
pub(super) const BASE36: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
pub(super) const LOWER36: &str = "0123456789abcdefghijklmnopqrstuvwxyz";
pub(super) const HEX: &str = "0123456789abcdef";

const fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// The clusters of one vendor at one moment.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Grows with each touch; everything that moves in a cluster moves with it.
    pub(super) revision: u64,
    /// Serial numbers in ascending order.
    pub(super) alive: Vec<u64>,
    /// Native id to serial number, for all ids a cluster is known by.
    pub(super) ids: Arc<HashMap<String, u64>>,
    pub(super) arrangement: Arrangement,
}

/// The orders in which a vendor lists its clusters, worked out once for each change of the fleet.
#[derive(Debug, Default)]
pub(super) struct Arrangement {
    pub(super) main: Vec<u64>,
    /// A second list of other clusters, for vendors that have two.
    pub(super) other: Vec<u64>,
    /// Clusters by project or connection, for vendors that list by it.
    pub(super) groups: Vec<Vec<u64>>,
}

/// What clusters of all vendors have in common: a name that fits a place, a size, accelerators.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    pub(super) name: String,
    /// Index of the region in each vendor's own table, not yet bounded.
    pub(super) place: usize,
    pub(super) environment: &'static str,
    pub(super) nodes: u64,
    pub(super) gpu: Option<Gpu>,
    pub(super) created: Timestamp,
}

/// One kind of accelerator, in the spellings the vendors use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gpu {
    pub(super) short: &'static str,
    /// As the Kubernetes device plugin labels it.
    pub(super) model: &'static str,
    /// As GPU marketplaces spell it.
    pub(super) market: &'static str,
    pub(super) socket: &'static str,
    pub(super) memory_gb: u64,
    pub(super) cents_per_hour: u64,
}

pub(super) const GPUS: [Gpu; 6] = [
    Gpu {
        short: "h200",
        model: "NVIDIA H200",
        market: "H200_141GB",
        socket: "SXM5",
        memory_gb: 141,
        cents_per_hour: 329,
    },
    Gpu {
        short: "h100",
        model: "NVIDIA H100 80GB HBM3",
        market: "H100_80GB",
        socket: "SXM5",
        memory_gb: 80,
        cents_per_hour: 219,
    },
    Gpu {
        short: "a100",
        model: "NVIDIA A100-SXM4-80GB",
        market: "A100_80GB",
        socket: "SXM4",
        memory_gb: 80,
        cents_per_hour: 139,
    },
    Gpu {
        short: "l40s",
        model: "NVIDIA L40S",
        market: "L40S_48GB",
        socket: "PCIe",
        memory_gb: 48,
        cents_per_hour: 89,
    },
    Gpu {
        short: "b200",
        model: "NVIDIA B200",
        market: "B200_180GB",
        socket: "SXM6",
        memory_gb: 180,
        cents_per_hour: 449,
    },
    Gpu {
        short: "a10g",
        model: "NVIDIA A10G",
        market: "A10_24GB",
        socket: "PCIe",
        memory_gb: 24,
        cents_per_hour: 61,
    },
];

/// Regions of the clouds, `(cloud, managed service, region)`; vendors of their own sites use their own tables.
pub(super) const CLOUD_PLACES: [(&str, &str, &str); 12] = [
    ("aws", "EKS", "eu-west-1"),
    ("aws", "EKS", "us-east-1"),
    ("gcp", "GKE", "us-central1"),
    ("aws", "EKS", "eu-central-1"),
    ("azure", "AKS", "westeurope"),
    ("gcp", "GKE", "europe-west4"),
    ("aws", "EKS", "us-west-2"),
    ("aws", "EKS", "ap-southeast-1"),
    ("azure", "AKS", "eastus2"),
    ("aws", "EKS", "sa-east-1"),
    ("gcp", "GKE", "asia-northeast1"),
    ("on-prem", "", "fra-dc1"),
];

const CITIES: [&str; 12] = [
    "dub", "iad", "ord", "fra", "ams", "lhr", "sea", "sin", "ric", "gru", "nrt", "muc",
];
const ROLES: [&str; 8] = [
    "core", "web", "data", "search", "payments", "ml", "batch", "platform",
];

impl Profile {
    pub(super) fn draw(seed: u64, serial: u64, anchor: Timestamp) -> Self {
        let mut dice = Dice::new(&[seed, serial, 1]);
        let place = usize::try_from(dice.below(CLOUD_PLACES.len() as u64)).unwrap_or(0);
        let region = CLOUD_PLACES[place].2;
        let wants_gpu = dice.percent(30);
        let gpu = wants_gpu.then(|| dice.pick(&GPUS));
        let environment = dice.pick(&[
            "production",
            "production",
            "staging",
            "dev",
            "non-production",
        ]);
        let short = match environment {
            "production" => "prod",
            "staging" => "staging",
            _ => "dev",
        };
        let base = match (gpu, dice.below(4)) {
            (Some(gpu), 0 | 1) => format!("train-{}-{}", gpu.short, dice.letters("abcdef", 1)),
            (Some(gpu), 2) => format!("infer-{}-{}", gpu.short, CITIES[place]),
            (None, 0) => format!("edge-{}", CITIES[place]),
            _ => format!("{short}-{region}-{}", dice.pick(&ROLES)),
        };
        // Names stay unique without a table: the first few of a fleet are short, later ones carry their number.
        let name = if serial < 3 {
            base
        } else {
            format!("{base}-{}", short_number(serial))
        };
        let nodes = match dice.below(10) {
            0..=5 => dice.between(1, 4),
            6..=8 => dice.between(4, 9),
            _ => dice.between(9, 16),
        };
        let age = i64::try_from(dice.between(3_600, 400 * 86_400)).unwrap_or(0);
        Self {
            name,
            place,
            environment,
            nodes,
            gpu,
            created: ago(anchor, age),
        }
    }
}

fn short_number(mut number: u64) -> String {
    let digits = LOWER36.as_bytes();
    let mut text = Vec::new();
    loop {
        let digit = usize::try_from(number % 36).unwrap_or(0);
        text.push(digits[digit]);
        number /= 36;
        if number == 0 {
            break;
        }
    }
    text.iter().rev().map(|byte| char::from(*byte)).collect()
}

/// The moment `seconds` before `anchor`, with microseconds that differ from cluster to cluster.
pub(super) fn ago(anchor: Timestamp, seconds: i64) -> Timestamp {
    let micros = seconds.wrapping_mul(7_919).rem_euclid(1_000_000);
    let length = SignedDuration::from_secs(seconds) + SignedDuration::from_micros(micros);
    anchor.checked_sub(length).unwrap_or(anchor)
}

/// How a vendor writes a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `2026-01-15T10:30:00Z`
    Seconds,
    /// `2026-01-15T10:30:00.019044Z`
    Micros,
    /// `2026-01-15T12:30:00+02:00`
    Offset,
    /// `2026-01-15T10:30:00.019044`, without any zone.
    Naive,
}

pub(super) fn stamp(at: Timestamp, style: Style) -> String {
    match style {
        Style::Seconds => format!("{at:.0}"),
        Style::Micros => format!("{at:.6}"),
        Style::Offset => {
            let there = at.checked_add(SignedDuration::from_hours(2)).unwrap_or(at);
            format!("{there:.0}").replace('Z', "+02:00")
        }
        Style::Naive => format!("{at:.6}").replace('Z', ""),
    }
}

/// A UUID that is told by its seed and number alone.
pub(super) fn uuid(dice: &mut Dice) -> String {
    let hex = dice.letters(HEX, 30);
    format!(
        "{}-{}-4{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..15],
        &hex[15..18],
        &hex[18..30]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_profile_and_another_seed_another() {
        let anchor = Timestamp::UNIX_EPOCH;
        let names = |seed| -> Vec<String> {
            (0..50)
                .map(|serial| Profile::draw(seed, serial, anchor).name)
                .collect()
        };
        assert_eq!(names(7), names(7));
        assert_ne!(names(7), names(8));
    }

    #[test]
    fn names_are_unique_within_a_fleet() {
        let names: std::collections::BTreeSet<String> = (3..2_000)
            .map(|serial| Profile::draw(1, serial, Timestamp::UNIX_EPOCH).name)
            .collect();
        assert_eq!(names.len(), 1_997);
    }

    #[test]
    fn moments_are_written_in_each_style() {
        let at: Timestamp = "2026-01-15T10:30:00.019044Z".parse().unwrap();
        assert_eq!(stamp(at, Style::Seconds), "2026-01-15T10:30:00Z");
        assert_eq!(stamp(at, Style::Micros), "2026-01-15T10:30:00.019044Z");
        assert_eq!(stamp(at, Style::Offset), "2026-01-15T12:30:00+02:00");
        assert_eq!(stamp(at, Style::Naive), "2026-01-15T10:30:00.019044");
    }
}
