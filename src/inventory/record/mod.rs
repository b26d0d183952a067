//! One cluster in the form in which a store keeps it: bytes that say of themselves whether they are whole.

mod facts;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::facts::{Facts, Interner};
use super::row::{Base, Detail, Entry, Row};
use crate::domain::{Cluster, ClusterId, Presence};
use crate::provider::Locator;

/// The first byte of every record that is written. Another one is of another program's version.
const VERSION: u8 = 2;
/// The first byte of records without the facts of their clusters, which are made anew from the clusters then.
pub(super) const FACTLESS: u8 = 1;
/// Bytes of the print that follows it: as many as tell what was written from what a disk or a hand has made of it.
const PRINT: usize = 4;
/// The same of records without facts.
const LONG_PRINT: usize = 16;

/// Writes a cluster down.
pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    encode_as(VERSION, entry)
}

/// Writes it as an earlier program did, or this one.
pub(super) fn encode_as(version: u8, entry: &Entry) -> Vec<u8> {
    let mut writer = Writer(vec![version]);
    let begin = 1 + length(version);
    writer.0.resize(begin, 0);
    let Entry {
        row,
        presence,
        fetched_at,
        changed_at,
        detail,
        base,
        is_detail_newest,
    } = entry;
    writer.byte(*presence as u8);
    writer.flag(*is_detail_newest);
    writer.time(*fetched_at);
    writer.time(Some(*changed_at));
    row.write_to(version != FACTLESS, &mut writer);
    writer.option(detail.as_deref(), Detail::write_to);
    writer.option(base.as_deref(), Base::write_to);
    let print = print(version, &writer.0[begin..]);
    writer.0[1..begin].copy_from_slice(&print[..begin - 1]);
    writer.0
}

/// Reads a cluster back; `None` where the bytes are not what was written.
pub(super) fn decode(id: &str, bytes: &[u8], texts: &mut Interner) -> Option<Entry> {
    let (version, rest) = bytes.split_first()?;
    if ![VERSION, FACTLESS].contains(version) {
        return None;
    }
    let (expected, body) = rest.split_at_checked(length(*version))?;
    if print(*version, body)[..expected.len()] != *expected {
        return None;
    }
    let mut reader = Reader(body);
    let presence = reader.one_of(&Presence::ALL, |presence| *presence as u8)?;
    let is_detail_newest = reader.flag()?;
    let fetched_at = reader.time()?;
    let changed_at = reader.time()??;
    let row = Row::read_from(&mut reader, id, *version != FACTLESS, texts)?;
    let detail = reader.option(Detail::read_from)?;
    let base = reader.option(Base::read_from)?;
    reader.0.is_empty().then(|| Entry {
        row: Arc::new(row),
        presence,
        fetched_at,
        changed_at,
        detail: detail.map(Arc::new),
        base: base.map(Arc::new),
        is_detail_newest,
    })
}

const fn length(version: u8) -> usize {
    if version == FACTLESS {
        LONG_PRINT
    } else {
        PRINT
    }
}

/// The print, and nothing behind it.
fn print(version: u8, body: &[u8]) -> [u8; LONG_PRINT] {
    let mut print = [0; LONG_PRINT];
    if version == FACTLESS {
        blake3::Hasher::new()
            .update(body)
            .finalize_xof()
            .fill(&mut print);
    } else {
        print[..PRINT].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    }
    print
}

/// Appends values, each of which says how long it is.
struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn flag(&mut self, is: bool) {
        self.byte(u8::from(is));
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn time(&mut self, at: Option<Timestamp>) {
        self.option(at, |at, writer| {
            writer
                .0
                .extend_from_slice(&at.as_microsecond().to_le_bytes());
        });
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn figure(&mut self, number: Option<u64>) {
        self.option(number, |number, writer| writer.number(number));
    }

    fn list<T>(&mut self, all: &[T], write: impl Fn(&T, &mut Self)) {
        self.number(all.len() as u64);
        for one in all {
            write(one, self);
        }
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(T, &mut Self)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(value, self);
        }
    }
}

/// Takes off what a [`Writer`] appended.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<u64> {
        let bytes = self.take(8)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    }

    #[expect(
        clippy::option_option,
        reason = "what was written, and whether it can be read"
    )]
    fn time(&mut self) -> Option<Option<Timestamp>> {
        self.option(|reader| {
            let micros = i64::from_le_bytes(reader.take(8)?.try_into().ok()?);
            Timestamp::from_microsecond(micros).ok()
        })
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.number()?).ok()?;
        self.take(count)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn list<T, L: FromIterator<T>>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<L> {
        let count = self.number()?;
        (0..count).map(|_| read(self)).collect()
    }

    fn one_of<T: Copy>(&mut self, all: &[T], number: impl Fn(&T) -> u8) -> Option<T> {
        let byte = self.byte()?;
        all.iter().copied().find(|one| number(one) == byte)
    }

    fn boxed(&mut self) -> Option<Box<[u8]>> {
        Some(self.bytes()?.into())
    }

    /// JSON as it came from the vendor.
    fn json(&mut self) -> Option<Box<RawValue>> {
        RawValue::from_string(self.text()?.to_owned()).ok()
    }

    #[expect(
        clippy::option_option,
        reason = "what was written, and whether it can be read"
    )]
    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? {
            read(self).map(Some)
        } else {
            Some(None)
        }
    }
}

/// Whether a cluster's JSON is of this id, with which it begins.
fn is_of(json: &[u8], id: &str) -> bool {
    let rest = json.strip_prefix(b"{\"id\":\"");
    let rest = rest.and_then(|rest| rest.strip_prefix(id.as_bytes()));
    rest.is_some_and(|rest| rest.starts_with(b"\""))
}

impl Row {
    fn write_to(&self, with_facts: bool, writer: &mut Writer) {
        writer.bytes(self.locator.as_str().as_bytes());
        writer.flag(self.contact_lost);
        writer.number(self.tag);
        writer.bytes(&self.json);
        writer.option(self.raw.as_deref(), |raw, writer| writer.bytes(raw));
        writer.option(self.nodes.as_deref(), |nodes, writer| writer.bytes(nodes));
        if with_facts {
            self.facts.write_to(writer);
        }
    }

    fn read_from(
        reader: &mut Reader<'_>,
        id: &str,
        has_facts: bool,
        texts: &mut Interner,
    ) -> Option<Self> {
        let locator = Locator::new(reader.text()?);
        let contact_lost = reader.flag()?;
        let tag = reader.number()?;
        let json = reader.boxed()?;
        let raw = reader.option(Reader::boxed)?;
        let nodes = reader.option(Reader::boxed)?;
        if !is_of(&json, id) {
            return None;
        }
        let facts = if has_facts {
            Facts::read_from(reader, texts)?
        } else {
            let mut whole = json.to_vec();
            whole.push(b'}');
            Facts::of(&serde_json::from_slice(&whole).ok()?, texts)
        };
        Some(Self {
            id: ClusterId::parse(id)?,
            locator,
            contact_lost,
            tag,
            json,
            raw,
            nodes,
            facts,
        })
    }

    /// A row made of the account of a cluster that a history kept, of which no more is known.
    pub(super) fn of_document(
        document: &str,
        contact_lost: bool,
        texts: &mut Interner,
    ) -> Option<Self> {
        let cluster: Cluster = serde_json::from_str(document).ok()?;
        let facts = Facts::of(&cluster, texts);
        let mut tag = [0; 8];
        blake3::Hasher::new()
            .update(document.as_bytes())
            .finalize_xof()
            .fill(&mut tag);
        Some(Self {
            id: cluster.id,
            locator: Locator::new(""),
            contact_lost,
            tag: u64::from_le_bytes(tag),
            json: document.strip_suffix('}')?.as_bytes().into(),
            raw: None,
            nodes: None,
            facts,
        })
    }
}

impl Detail {
    fn write_to(&self, writer: &mut Writer) {
        writer.time(Some(self.at));
        writer.bytes(&self.cluster);
        writer.flag(self.contact_lost);
        writer.option(self.nodes.as_deref(), |nodes, writer| writer.bytes(nodes));
        writer.option(self.raw.as_deref(), |raw, writer| {
            writer.bytes(raw.get().as_bytes());
        });
    }

    fn read_from(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            at: reader.time()??,
            cluster: reader.boxed()?,
            contact_lost: reader.flag()?,
            nodes: reader.option(Reader::boxed)?,
            raw: reader.option(Reader::json)?,
        })
    }
}

impl Base {
    fn write_to(&self, writer: &mut Writer) {
        writer.bytes(&self.cluster);
        writer.flag(self.contact_lost);
        writer.option(self.nodes.as_deref(), |nodes, writer| writer.bytes(nodes));
        writer.option(self.raw.as_deref(), |raw, writer| {
            writer.bytes(raw.get().as_bytes());
        });
    }

    fn read_from(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            cluster: reader.boxed()?,
            contact_lost: reader.flag()?,
            nodes: reader.option(Reader::boxed)?,
            raw: reader.option(Reader::json)?,
        })
    }
}
