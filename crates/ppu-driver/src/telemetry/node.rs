//! The edge node as a plain state machine: topics, aliases, sequence numbers, births and deaths (SP-1 to SP-11).

use std::collections::BTreeMap;

use ppu_proto::telemetry::v1::{Metric, Payload, PropertySet, PropertyValue, metric, property_value};
use prost::Message as _;

/// Data types of the Sparkplug B payload.
const INT32: u32 = 3;
const INT64: u32 = 4;
const DOUBLE: u32 = 10;
const BOOLEAN: u32 = 11;
const STRING: u32 = 12;

/// Quality codes of the specification (SP-10).
const GOOD: u32 = 192;
const STALE: u32 = 500;

const REBIRTH: &str = "Node Control/Rebirth";

/// What kind of values a metric has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A number in the unit of the metric.
    Double,
    /// A whole number.
    Integer,
    /// A text.
    Text,
    /// Yes or no.
    Flag,
}

/// The value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricValue {
    /// A number in the unit of the metric.
    Double(f64),
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
    /// Yes or no.
    Flag(bool),
}

impl MetricValue {
    fn kind(&self) -> MetricKind {
        match self {
            MetricValue::Double(_) => MetricKind::Double,
            MetricValue::Integer(_) => MetricKind::Integer,
            MetricValue::Text(_) => MetricKind::Text,
            MetricValue::Flag(_) => MetricKind::Flag,
        }
    }
}

impl MetricKind {
    fn datatype(self) -> u32 {
        match self {
            MetricKind::Double => DOUBLE,
            MetricKind::Integer => INT64,
            MetricKind::Text => STRING,
            MetricKind::Flag => BOOLEAN,
        }
    }
}

/// A value that was read again and did not change is told again after this time, because whoever shows it must show its
/// age, and cannot tell a steady value from one that nobody reads any more.
const REPEAT_AFTER_MS: i64 = 2_000;

/// A value with its time and quality.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `None` before the first reading.
    pub value: Option<MetricValue>,
    /// Unix time in milliseconds.
    pub time_ms: i64,
    /// Whether the value can be believed.
    pub good: bool,
}

/// A message to be published; QoS 0 and not retained, except the will, which has QoS 1 (SP-4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Topic.
    pub topic: String,
    /// Encoded payload.
    pub payload: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Known {
    alias: u64,
    unit: String,
    kind: MetricKind,
    last: Option<Sample>,
}

/// An edge node of one device.
#[derive(Debug, Clone)]
pub struct EdgeNode {
    group: String,
    node: String,
    metrics: BTreeMap<String, Known>,
    next_seq: u8,
    birth_death: u8,
    is_born: bool,
}

impl EdgeNode {
    /// A node with all metrics that it will ever send: name and unit, empty for a pure number, a text or a flag. The
    /// first connection has the number `first_birth` (SP-6).
    pub fn new(
        lab: &str,
        device: &str,
        metrics: impl IntoIterator<Item = (String, String)>,
        first_birth: u8,
    ) -> EdgeNode {
        // The kind is a guess until the first value comes; another kind then leads to a new birth.
        let kind = |unit: &str| if unit.is_empty() { MetricKind::Text } else { MetricKind::Double };
        let metrics = (1..).zip(metrics);
        let metrics = metrics.map(|(alias, (name, unit))| {
            let kind = kind(&unit);
            (name, Known { alias, unit, kind, last: None })
        });
        EdgeNode {
            group: lab.to_owned(),
            node: device.to_owned(),
            metrics: metrics.collect(),
            next_seq: 0,
            birth_death: first_birth,
            is_born: false,
        }
    }

    /// The will for the next CONNECT. No data goes out before the birth that must follow (SP-3).
    pub fn will(&mut self) -> Outgoing {
        self.is_born = false;
        self.death()
    }

    /// The death certificate of the present connection: it holds bdSeq and nothing else, and no seq (SP-5, SP-6).
    pub fn death(&self) -> Outgoing {
        let payload = Payload { timestamp: None, metrics: vec![self.birth_death_metric()], seq: None };
        self.message("NDEATH", &payload)
    }

    /// The number that the next CONNECT will have, to be kept over a restart of the process.
    pub fn next_connection(&mut self) -> u8 {
        self.birth_death = self.birth_death.wrapping_add(1);
        self.birth_death
    }

    /// The number of the present connection.
    pub fn birth_death(&self) -> u8 {
        self.birth_death
    }

    /// The filter of the commands to this node: subscribed before the birth (SP-3).
    pub fn command_topic(&self) -> String {
        format!("spBv1.0/{}/NCMD/{}", self.group, self.node)
    }

    /// The birth certificate: every metric with name, alias, type and value; seq begins at 0 (SP-5, SP-7 to SP-9). It is
    /// also the answer to a rebirth command, with the same bdSeq.
    pub fn birth(&mut self, now_ms: i64, samples: &[(String, Sample)]) -> Outgoing {
        self.next_seq = 0;
        self.is_born = true;
        for (name, sample) in samples {
            if let Some(known) = self.metrics.get_mut(name) {
                known.learn_kind(sample);
                known.last = Some(sample.clone());
            }
        }
        let rebirth = Metric {
            name: Some(REBIRTH.to_owned()),
            timestamp: Some(millis(now_ms)),
            datatype: Some(BOOLEAN),
            value: Some(metric::Value::BooleanValue(false)),
            ..Metric::default()
        };
        let mut metrics = vec![self.birth_death_metric(), rebirth];
        for (name, known) in &self.metrics {
            metrics.push(known.birth_metric(name, now_ms));
        }
        let payload = self.numbered(now_ms, metrics);
        self.message("NBIRTH", &payload)
    }

    /// The metrics that changed or were confirmed, or a new birth when a metric has another type than its birth said; `None` when nothing
    /// changed or no birth was sent yet.
    pub fn data(&mut self, now_ms: i64, samples: &[(String, Sample)]) -> Option<Outgoing> {
        if !self.is_born {
            return None;
        }
        let other_kind = |(name, sample): &(String, Sample)| {
            let value = sample.value.as_ref();
            self.metrics.get(name).is_some_and(|known| value.is_some_and(|value| value.kind() != known.kind))
        };
        if samples.iter().any(other_kind) {
            return Some(self.birth(now_ms, samples));
        }
        let mut changed = Vec::new();
        for (name, sample) in samples {
            let Some(known) = self.metrics.get_mut(name) else { continue };
            let same = known.last.as_ref().is_some_and(|last| {
                let recent = sample.time_ms - last.time_ms < REPEAT_AFTER_MS;
                last.value == sample.value && last.good == sample.good && recent
            });
            if !same {
                known.last = Some(sample.clone());
                changed.push(known.data_metric(now_ms));
            }
        }
        if changed.is_empty() {
            return None;
        }
        // Metrics of one payload go out in the order of their times (SP-8).
        changed.sort_by_key(|metric| metric.timestamp);
        let payload = self.numbered(now_ms, changed);
        Some(self.message("NDATA", &payload))
    }

    fn numbered(&mut self, now_ms: i64, metrics: Vec<Metric>) -> Payload {
        let seq = self.next_seq;
        self.next_seq = seq.wrapping_add(1);
        Payload { timestamp: Some(millis(now_ms)), metrics, seq: Some(seq.into()) }
    }

    fn birth_death_metric(&self) -> Metric {
        Metric {
            name: Some("bdSeq".to_owned()),
            datatype: Some(INT64),
            value: Some(metric::Value::LongValue(self.birth_death.into())),
            ..Metric::default()
        }
    }

    fn message(&self, kind: &str, payload: &Payload) -> Outgoing {
        Outgoing { topic: format!("spBv1.0/{}/{kind}/{}", self.group, self.node), payload: payload.encode_to_vec() }
    }
}

impl Known {
    fn learn_kind(&mut self, sample: &Sample) {
        if let Some(value) = &sample.value {
            self.kind = value.kind();
        }
    }

    fn birth_metric(&self, name: &str, now_ms: i64) -> Metric {
        let mut metric = self.data_metric(now_ms);
        metric.name = Some(name.to_owned());
        metric.datatype = Some(self.kind.datatype());
        if let Some(properties) = &mut metric.properties
            && !self.unit.is_empty()
        {
            properties.keys.push("engUnit".to_owned());
            let unit = property_value::Value::StringValue(self.unit.clone());
            properties.values.push(PropertyValue { r#type: STRING, value: Some(unit) });
        }
        metric
    }

    /// Alias, time, value and quality; the type was said in the birth.
    fn data_metric(&self, now_ms: i64) -> Metric {
        let value = self.last.as_ref().and_then(|last| last.value.as_ref());
        let quality = if self.last.as_ref().is_some_and(|last| last.good) { GOOD } else { STALE };
        let time_ms = self.last.as_ref().map_or(now_ms, |last| if last.time_ms > 0 { last.time_ms } else { now_ms });
        let quality = PropertyValue { r#type: INT32, value: Some(property_value::Value::IntValue(quality)) };
        Metric {
            alias: Some(self.alias),
            timestamp: Some(millis(time_ms)),
            is_null: value.is_none().then_some(true),
            properties: Some(PropertySet { keys: vec!["Quality".to_owned()], values: vec![quality] }),
            value: value.map(|value| match value {
                MetricValue::Double(number) => metric::Value::DoubleValue(*number),
                // Int64 travels as the same 64 bits without sign.
                MetricValue::Integer(number) => metric::Value::LongValue(*number as u64),
                MetricValue::Text(text) => metric::Value::StringValue(text.clone()),
                MetricValue::Flag(flag) => metric::Value::BooleanValue(*flag),
            }),
            ..Metric::default()
        }
    }
}

fn millis(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}

/// Whether a command to the node asks for a rebirth; everything else is ignored, because nothing is actuated by MQTT.
pub fn is_rebirth_command(payload: &[u8]) -> bool {
    let Ok(payload) = Payload::decode(payload) else { return false };
    payload.metrics.iter().any(|metric| {
        metric.name.as_deref() == Some(REBIRTH) && metric.value == Some(metric::Value::BooleanValue(true))
    })
}
