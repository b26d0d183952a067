//! The facts of a cluster in its record, so that a restart need not read every cluster's JSON to have them.
//!
//! Whoever changes what is taken of a cluster, or how, gives records another version: then the facts of older ones are made anew.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::{Reader, Writer};
use crate::domain::{OrchestratorType, State, Vantage};
use crate::inventory::facts::{Facts, Interner};

impl Facts {
    pub(super) fn write_to(&self, writer: &mut Writer) {
        let Self {
            name,
            state,
            orchestrator,
            vantage,
            cloud,
            region,
            regions,
            environment,
            distribution,
            version,
            version_minor,
            version_order,
            projects,
            team,
            labels,
            accelerators,
            nodes,
            nodes_ready,
            cost,
            cpu_cores,
            memory_bytes,
            created_at,
            updated_at,
            observed_at,
        } = self;
        writer.bytes(name.as_bytes());
        writer.byte(*state as u8);
        writer.byte(*orchestrator as u8);
        writer.byte(*vantage as u8);
        for text in [
            cloud,
            region,
            environment,
            distribution,
            version,
            version_minor,
            team,
        ] {
            writer.option(text.as_deref(), |text, writer| writer.text(text));
        }
        for texts in [regions, projects] {
            writer.list(texts, |text, writer| writer.text(text));
        }
        writer.list(labels, |(key, value), writer| {
            writer.text(key);
            writer.text(value);
        });
        writer.option(accelerators.as_deref(), |all, writer| {
            writer.list(all, |(model, count), writer| {
                writer.text(model);
                writer.figure(*count);
            });
        });
        writer.option(cost.as_ref(), |(amount, currency), writer| {
            writer.bytes(&amount.serialize());
            writer.text(currency);
        });
        for number in [nodes, nodes_ready, memory_bytes, version_order] {
            writer.figure(*number);
        }
        writer.figure(cpu_cores.map(f64::to_bits));
        for at in [created_at, updated_at, observed_at] {
            writer.figure(at.map(i64::cast_unsigned));
        }
    }

    pub(super) fn read_from(reader: &mut Reader<'_>, texts: &mut Interner) -> Option<Self> {
        let name: Arc<str> = reader.text()?.into();
        let state = reader.one_of(&State::ALL, |state| *state as u8)?;
        let orchestrator = reader.one_of(&OrchestratorType::ALL, |kind| *kind as u8)?;
        let vantage = reader.one_of(&Vantage::ALL, |vantage| *vantage as u8)?;
        let mut text = || reader.option(|reader| reader.text().map(|text| texts.keep(text)));
        let (cloud, region, environment) = (text()?, text()?, text()?);
        let (distribution, version, version_minor, team) = (text()?, text()?, text()?, text()?);
        let mut kept = |reader: &mut Reader<'_>| reader.text().map(|text| texts.keep(text));
        let regions = reader.list(&mut kept)?;
        let projects = reader.list(&mut kept)?;
        let labels = reader.list(|reader| Some((kept(reader)?, kept(reader)?)))?;
        let accelerators = reader.option(|reader| {
            reader.list(|reader| Some((kept(reader)?, reader.option(Reader::number)?)))
        })?;
        let cost = reader.option(|reader| {
            let amount: [u8; 16] = reader.bytes()?.try_into().ok()?;
            Some((Decimal::deserialize(amount), kept(reader)?))
        })?;
        let mut number = || reader.option(Reader::number);
        let (nodes, nodes_ready, memory_bytes, version_order) =
            (number()?, number()?, number()?, number()?);
        let cpu_cores = number()?.map(f64::from_bits);
        let mut at = || Some(number()?.map(u64::cast_signed));
        Some(Self {
            name,
            state,
            orchestrator,
            vantage,
            cloud,
            region,
            regions,
            environment,
            distribution,
            version,
            version_minor,
            version_order,
            projects,
            team,
            labels,
            accelerators,
            nodes,
            nodes_ready,
            cost,
            cpu_cores,
            memory_bytes,
            created_at: at()?,
            updated_at: at()?,
            observed_at: at()?,
        })
    }
}
