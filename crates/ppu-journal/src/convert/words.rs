//! Small pieces that the events share.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use ppu_core::ids::IdError;
use ppu_core::{ArtifactHash, Measured, Unit};
use ppu_engine::event::{ArtifactRef, Resolution, Verdict};
use ppu_proto::ConversionError;
use ppu_proto::{common::v1 as wire_common, device::v1 as wire_device, journal::v1 as wire};

pub(crate) fn missing(field: &'static str) -> ConversionError {
    ConversionError::new(field, "it is missing")
}

pub(super) fn texts<T: Display>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// An optional id: empty text means none, because no id is empty.
pub(super) fn text_or_empty<T: Display>(item: Option<&T>) -> String {
    item.map(ToString::to_string).unwrap_or_default()
}

pub(super) fn id<T: FromStr<Err = IdError>>(field: &'static str, text: &str) -> Result<T, ConversionError> {
    text.parse().map_err(|error: IdError| ConversionError::new(field, error.to_string()))
}

pub(super) fn optional_id<T: FromStr<Err = IdError>>(
    field: &'static str,
    text: &str,
) -> Result<Option<T>, ConversionError> {
    if text.is_empty() { Ok(None) } else { id(field, text).map(Some) }
}

pub(super) fn ids<T: FromStr<Err = IdError>>(field: &'static str, list: &[String]) -> Result<Vec<T>, ConversionError> {
    list.iter().map(|text| id(field, text)).collect()
}

pub(super) fn unit(field: &'static str, symbol: &str) -> Result<Unit, ConversionError> {
    Unit::try_from(symbol.to_owned()).map_err(|reason| ConversionError::new(field, reason))
}

pub(super) fn hash(field: &'static str, bytes: &[u8]) -> Result<ArtifactHash, ConversionError> {
    ArtifactHash::from_slice(bytes).map_err(|error| ConversionError::new(field, error.to_string()))
}

/// Collects named things; a name that comes twice is refused.
pub(super) fn by_name<K: Ord + Display, V>(
    field: &'static str,
    items: impl Iterator<Item = Result<(K, V), ConversionError>>,
) -> Result<BTreeMap<K, V>, ConversionError> {
    let mut map = BTreeMap::new();
    for item in items {
        let (name, value) = item?;
        if map.contains_key(&name) {
            return Err(ConversionError::new(field, format!("`{name}` comes twice")));
        }
        map.insert(name, value);
    }
    Ok(map)
}

/// Numbers by name. Unlike the conversion for requests, a name that comes twice is refused: no journal writes that.
pub(super) fn numbers(
    field: &'static str,
    list: &[wire_common::NamedNumber],
) -> Result<BTreeMap<String, f64>, ConversionError> {
    by_name(field, list.iter().map(|named| Ok((named.name.clone(), named.number))))
}

pub(super) fn measured_to_wire(values: &BTreeMap<String, Measured>) -> Vec<wire::MeasuredValue> {
    let one = |(name, measured): (&String, &Measured)| wire::MeasuredValue {
        name: name.clone(),
        value: measured.value,
        sd: measured.sd,
        flags: measured.flags.clone(),
    };
    values.iter().map(one).collect()
}

pub(super) fn measured_from_wire(
    field: &'static str,
    list: &[wire::MeasuredValue],
) -> Result<BTreeMap<String, Measured>, ConversionError> {
    let one = |value: &wire::MeasuredValue| Measured { value: value.value, sd: value.sd, flags: value.flags.clone() };
    by_name(field, list.iter().map(|value| Ok((value.name.clone(), one(value)))))
}

pub(super) fn artifact_to_wire(artifact: &ArtifactRef) -> wire_common::Artifact {
    wire_common::Artifact {
        hash: artifact.hash.as_bytes().to_vec(),
        name: artifact.name.clone(),
        media_type: artifact.media_type.clone(),
        size: artifact.size,
    }
}

pub(super) fn artifact_from_wire(artifact: &wire_common::Artifact) -> Result<ArtifactRef, ConversionError> {
    Ok(ArtifactRef {
        hash: hash("artifact.hash", &artifact.hash)?,
        name: artifact.name.clone(),
        media_type: artifact.media_type.clone(),
        size: artifact.size,
    })
}

pub(super) fn verdict_to_wire(verdict: Verdict) -> wire_device::Verdict {
    match verdict {
        Verdict::Done => wire_device::Verdict::Done,
        Verdict::NotDone => wire_device::Verdict::NotDone,
        Verdict::Scrapped => wire_device::Verdict::Scrapped,
    }
}

pub(super) fn verdict_from_wire(verdict: wire_device::Verdict) -> Result<Verdict, ConversionError> {
    match verdict {
        wire_device::Verdict::Done => Ok(Verdict::Done),
        wire_device::Verdict::NotDone => Ok(Verdict::NotDone),
        wire_device::Verdict::Scrapped => Ok(Verdict::Scrapped),
        wire_device::Verdict::Unspecified => Err(missing("verdict")),
    }
}

pub(super) fn resolution_to_wire(resolution: &Resolution) -> wire_device::Resolution {
    wire_device::Resolution {
        who: resolution.who.clone(),
        inspected: resolution.inspected.clone(),
        evidence: resolution.evidence.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
        note: resolution.note.clone(),
        countersigned_by: resolution.countersigned_by.clone().unwrap_or_default(),
        // The record has its own time.
        time_ms: 0,
    }
}

pub(super) fn resolution_from_wire(resolution: &wire_device::Resolution) -> Result<Resolution, ConversionError> {
    let evidence = resolution.evidence.iter().map(|bytes| hash("resolution.evidence", bytes));
    Ok(Resolution {
        who: resolution.who.clone(),
        inspected: resolution.inspected.clone(),
        evidence: evidence.collect::<Result<_, _>>()?,
        note: resolution.note.clone(),
        countersigned_by: Some(resolution.countersigned_by.clone()).filter(|name| !name.is_empty()),
    })
}
