//! Accelerators, from the many ways to write their names.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How an accelerator is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Interconnect {
    /// An SXM socket, of any generation.
    Sxm,
    /// A PCI Express card.
    Pcie,
    /// A pair of cards bridged by NVLink.
    Nvl,
}

/// Accelerators of one kind in a cluster or node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Accelerator {
    /// The maker, such as `NVIDIA`; null when the vendor's text is not recognised.
    pub vendor: Option<String>,
    /// The canonical model, such as `H200`; null when the vendor's text is not recognised.
    pub model: Option<String>,
    /// Memory of one accelerator in gigabytes.
    pub memory_gb: Option<u32>,
    /// How many there are.
    pub count: Option<u64>,
    /// How many of them can be scheduled.
    pub allocatable: Option<u64>,
    /// How they are attached.
    pub interconnect: Option<Interconnect>,
    /// The vendor's own text.
    pub native: Option<String>,
}

/// Models by their canonical name; a longer name that begins like a shorter one stands first.
const NVIDIA: [&str; 34] = [
    "GH200",
    "GB300",
    "GB200",
    "B300",
    "B200",
    "H200",
    "H100",
    "H800",
    "A100",
    "A800",
    "L40S",
    "L40",
    "L4",
    "A10G",
    "A10",
    "A16",
    "A2",
    "A30",
    "A40",
    "V100",
    "P100",
    "T4G",
    "T4",
    "RTX6000",
    "RTXPRO6000",
    "A6000",
    "A5000",
    "A4500",
    "A4000",
    "RTX5090",
    "RTX4090",
    "RTX3090",
    "RTX3080",
    "P40",
];
const AMD: [&str; 7] = [
    "MI355X", "MI350X", "MI325X", "MI300X", "MI300A", "MI250X", "MI250",
];
const INTEL: [&str; 2] = ["GAUDI3", "GAUDI2"];

impl Accelerator {
    /// Reads a vendor's text such as `H100_80GB` or `NVIDIA A100-SXM4-80GB`; an unknown text keeps only itself and the counts.
    pub fn from_native(native: &str, count: Option<u64>, allocatable: Option<u64>) -> Self {
        let known = recognise(native);
        Self {
            vendor: known.map(|(vendor, _)| vendor.to_owned()),
            model: known.map(|(_, model)| model.to_owned()),
            memory_gb: known.and_then(|_| memory_gb(native)),
            count,
            allocatable,
            interconnect: known.and_then(|_| interconnect(native)),
            native: (!native.is_empty()).then(|| native.to_owned()),
        }
    }

    /// Reads how a socket is named apart from the model: `PCIe`, `SXM2` to `SXM6`.
    pub fn socket(text: &str) -> Option<Interconnect> {
        interconnect(text)
    }
}

fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_uppercase)
}

fn recognise(native: &str) -> Option<(&'static str, &'static str)> {
    let words: Vec<String> = words(native).collect();
    let joined: Vec<String> = words.windows(2).map(<[String]>::concat).collect();
    let joined_three = words.windows(3).map(<[String]>::concat);
    let candidates: Vec<String> = joined_three
        .chain(joined)
        .chain(words.iter().cloned())
        .collect();
    let table =
        |vendor, models: &'static [&'static str]| models.iter().map(move |model| (vendor, *model));
    let mut known = table("NVIDIA", &NVIDIA)
        .chain(table("AMD", &AMD))
        .chain(table("Intel", &INTEL));
    known.find(|(_, model)| candidates.iter().any(|candidate| candidate == model))
}

fn memory_gb(native: &str) -> Option<u32> {
    words(native).find_map(|word| {
        word.strip_suffix("GB")
            .or_else(|| word.strip_suffix('G'))?
            .parse()
            .ok()
    })
}

fn interconnect(native: &str) -> Option<Interconnect> {
    words(native).find_map(|word| match word.as_str() {
        "PCIE" => Some(Interconnect::Pcie),
        "NVL" | "NVL72" => Some(Interconnect::Nvl),
        word if word.starts_with("SXM") => Some(Interconnect::Sxm),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        native: &str,
    ) -> (
        Option<String>,
        Option<String>,
        Option<u32>,
        Option<Interconnect>,
    ) {
        let accelerator = Accelerator::from_native(native, Some(8), None);
        assert_eq!(accelerator.count, Some(8));
        (
            accelerator.vendor,
            accelerator.model,
            accelerator.memory_gb,
            accelerator.interconnect,
        )
    }

    #[test]
    fn the_usual_spellings_are_recognised() {
        let nvidia = || Some("NVIDIA".to_owned());
        assert_eq!(
            read("H100_80GB"),
            (nvidia(), Some("H100".into()), Some(80), None)
        );
        assert_eq!(
            read("NVIDIA A100-SXM4-80GB"),
            (
                nvidia(),
                Some("A100".into()),
                Some(80),
                Some(Interconnect::Sxm)
            )
        );
        assert_eq!(read("Tesla T4"), (nvidia(), Some("T4".into()), None, None));
        assert_eq!(read("GB300"), (nvidia(), Some("GB300".into()), None, None));
        assert_eq!(
            read("RTX_4090 24GB"),
            (nvidia(), Some("RTX4090".into()), Some(24), None)
        );
        assert_eq!(
            read("amd-mi300x"),
            (Some("AMD".into()), Some("MI300X".into()), None, None)
        );
    }

    #[test]
    fn an_unknown_text_keeps_itself_and_the_count() {
        assert_eq!(read("QuantumCard 9000 80GB"), (None, None, None, None));
        assert_eq!(
            Accelerator::from_native("X1", None, None).native.as_deref(),
            Some("X1")
        );
    }
}
