//! Records: what was written is read back as it was, and nothing else is taken for it.

use proptest::prelude::*;

use super::super::record::{FACTLESS, decode, encode, encode_as};
use super::fleets::accounts;
use super::*;

/// Entries with what a record may hold: raw objects, nodes, a detail, each presence.
fn entries() -> impl Strategy<Value = Entry> {
    let texts = proptest::option::of("[a-zäΩ\"\\\\ \u{0}\n]{0,12}");
    let flags = any::<[bool; 5]>();
    let presence = proptest::sample::select(Presence::ALL.to_vec());
    let seconds = proptest::option::of(-1_000_000_i64..4_000_000_000);
    (texts, flags, presence, seconds).prop_map(|(text, flags, presence, seconds)| {
        let [has_raw, is_described, contact_lost, is_newest, has_nodes] = flags;
        let mut bench = Bench::new("s", "k");
        let mut one = cluster("s", "a/b c");
        one.contact_lost = contact_lost;
        one.environment = text;
        let mut row = listed(one.clone());
        row.raw = has_raw.then(|| raw("{\"a\":[1.50,null]}"));
        row.nodes = has_nodes.then(Vec::new);
        bench.list_with(vec![row], Vec::new());
        if is_described {
            one.orchestrator.native_version = Some("v1".to_owned());
            let mut detail = described(one);
            detail.raw = has_raw.then(|| raw("{}"));
            bench.describe_with(detail.cluster.id.clone(), detail);
        }
        Entry {
            presence,
            fetched_at: seconds.map(|seconds| Timestamp::from_second(seconds).unwrap()),
            is_detail_newest: is_newest,
            ..bench.entry("a/b c").clone()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_record_is_read_back_as_it_was_and_written_as_it_was(entry in entries()) {
        let bytes = encode(&entry);
        let mut texts = Interner::default();
        let read = decode(entry.row.id.as_str(), &bytes, &mut texts).unwrap();
        prop_assert!(read.row.says_the_same(&entry.row));
        prop_assert_eq!(read.row.tag, entry.row.tag);
        prop_assert_eq!(&read.row.id, &entry.row.id);
        prop_assert_eq!(read.presence, entry.presence);
        prop_assert_eq!(read.fetched_at, entry.fetched_at);
        prop_assert_eq!(read.changed_at, entry.changed_at);
        prop_assert_eq!(read.is_detail_newest, entry.is_detail_newest);
        prop_assert_eq!(read.detail.is_some(), entry.detail.is_some());
        prop_assert_eq!(read.base.is_some(), entry.base.is_some());
        prop_assert_eq!(format!("{:?}", read.row.facts), format!("{:?}", entry.row.facts));
        // All of it, the detail and what was listed beneath it as well.
        prop_assert_eq!(encode(&read), bytes);
    }

    #[test]
    fn a_record_without_facts_has_them_made_anew(entry in entries()) {
        let mut texts = Interner::default();
        let older = encode_as(FACTLESS, &entry);
        let read = decode(entry.row.id.as_str(), &older, &mut texts).unwrap();
        prop_assert_eq!(encode(&read), encode(&entry));
    }

    #[test]
    fn what_is_asked_for_of_a_cluster_is_in_its_record(accounts in accounts()) {
        let mut texts = Interner::default();
        for account in accounts {
            for entry in &account.bench().shelf.content.entries {
                let mut read = |bytes: Vec<u8>| {
                    let read = decode(entry.row.id.as_str(), &bytes, &mut texts).unwrap();
                    format!("{:?}", read.row.facts)
                };
                let facts = format!("{:?}", entry.row.facts);
                prop_assert_eq!(read(encode(entry)), facts.as_str());
                prop_assert_eq!(read(encode_as(FACTLESS, entry)), facts);
            }
        }
    }

    #[test]
    fn a_damaged_record_is_refused(entry in entries(), place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let id = entry.row.id.as_str();
        let bytes = encode(&entry);
        let mut texts = Interner::default();
        let at = place.index(bytes.len());
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        prop_assert!(decode(id, &flipped, &mut texts).is_none(), "bit {bit} of byte {at}");
        prop_assert!(decode(id, &bytes[..at], &mut texts).is_none(), "cut at {at}");
        let mut longer = bytes.clone();
        longer.push(0);
        prop_assert!(decode(id, &longer, &mut texts).is_none(), "longer");
        prop_assert!(decode("s:other", &bytes, &mut texts).is_none(), "under another id");
    }
}
