//! The telemetry host: what the drivers publish over MQTT (Sparkplug B), kept as last values with their times. Nothing is
//! ever actuated by MQTT, and no decision uses it: readings are for people.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ppu_host::{Host, RealHost};
use ppu_proto::telemetry::v1 as sparkplug;
use ppu_proto::{common::v1 as common, device::v1 as device};
use prost::Message as _;
use rumqttc::{AsyncClient, Event, LastWill, MqttOptions, Packet, QoS};
use tokio::sync::watch;

/// Largest message taken in; a birth of a large device is some kilobytes.
const PACKET_LIMIT: usize = 1 << 20;
/// Waits between attempts to reach the broker, the last one for ever after.
const BACK_OFF_MS: [u64; 4] = [100, 300, 1000, 3000];
/// Sparkplug quality "good".
const GOOD: u32 = 192;

type Readings = BTreeMap<String, Node>;

/// Last values by device.
#[derive(Debug, Clone, Default)]
pub(crate) struct Telemetry {
    nodes: Arc<Mutex<Readings>>,
}

#[derive(Debug, Default)]
struct Node {
    online: bool,
    birth_sequence: Option<u64>,
    next_seq: Option<u64>,
    names: BTreeMap<u64, String>,
    last: BTreeMap<String, device::Reading>,
}

impl Telemetry {
    /// Starts to listen; without a broker there are no readings.
    pub(crate) fn start(lab: &str, broker: Option<String>, shutdown: watch::Receiver<bool>) -> Self {
        let telemetry = Self::default();
        if let Some(broker) = broker {
            tokio::spawn(telemetry.clone().listen(lab.to_owned(), broker, shutdown));
        }
        telemetry
    }

    /// The last readings of a device, good only while its driver is online.
    pub(crate) fn readings(&self, device: &str) -> Vec<device::Reading> {
        let nodes = self.nodes.lock().expect("no holder panics");
        nodes.get(device).map_or_else(Vec::new, |node| {
            let seen =
                |reading: &device::Reading| device::Reading { good: reading.good && node.online, ..reading.clone() };
            node.last.values().map(seen).collect()
        })
    }

    async fn listen(self, lab: String, broker: String, mut shutdown: watch::Receiver<bool>) {
        let Some((host, port)) = broker.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)))
        else {
            tracing::error!("the broker address `{broker}` is not host:port; there are no readings");
            return;
        };
        let mut failures = 0usize;
        loop {
            tokio::select! {
                () = self.session(&lab, host, port, &mut failures) => {}
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
            self.nodes.lock().expect("no holder panics").values_mut().for_each(|node| node.online = false);
            tokio::time::sleep(Duration::from_millis(BACK_OFF_MS[failures.min(BACK_OFF_MS.len() - 1)])).await;
            failures += 1;
        }
    }

    /// One connection to the broker, until it breaks. A new client each time, since an old one can livelock (MQ-6).
    async fn session(&self, lab: &str, host: &str, port: u16, failures: &mut usize) {
        let topic = format!("spBv1.0/STATE/ppu-{lab}");
        let began = now_ms();
        let state = |online: bool| format!("{{\"online\":{online},\"timestamp\":{began}}}");
        let mut options = MqttOptions::new(format!("ppu-{lab}-host-{}", std::process::id()), host, port);
        options
            .set_clean_session(true)
            .set_keep_alive(Duration::from_secs(10))
            .set_max_packet_size(PACKET_LIMIT, PACKET_LIMIT)
            .set_last_will(LastWill::new(&topic, state(false), QoS::AtLeastOnce, true));
        let (client, mut connection) = AsyncClient::new(options, 64);
        loop {
            match connection.poll().await {
                // Subscriptions are renewed on every ConnAck (MQ-2); nothing here waits on the queue it drains (MQ-3).
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    *failures = 0;
                    let sent = client
                        .try_subscribe(format!("spBv1.0/{lab}/#"), QoS::AtMostOnce)
                        .and_then(|()| client.try_publish(&topic, QoS::AtLeastOnce, true, state(true)));
                    if sent.is_err() {
                        return;
                    }
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    if let Some(node) = self.take(&publish.topic, &publish.payload) {
                        let rebirth = sparkplug::Payload {
                            timestamp: Some(now_ms() as u64),
                            metrics: vec![sparkplug::Metric {
                                name: Some("Node Control/Rebirth".to_owned()),
                                datatype: Some(11),
                                timestamp: Some(now_ms() as u64),
                                value: Some(sparkplug::metric::Value::BooleanValue(true)),
                                ..Default::default()
                            }],
                            seq: None,
                        };
                        let topic = format!("spBv1.0/{lab}/NCMD/{node}");
                        // A full queue means that another gap will ask again.
                        let _ = client.try_publish(topic, QoS::AtMostOnce, false, rebirth.encode_to_vec());
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "no connection to the broker");
                    return;
                }
            }
        }
    }

    /// Takes in one message; returns the node whose births are wanted again, if a gap was seen.
    fn take(&self, topic: &str, payload: &[u8]) -> Option<String> {
        let parts: Vec<&str> = topic.split('/').collect();
        let ["spBv1.0", _, kind, node_name] = parts[..] else { return None };
        let payload = sparkplug::Payload::decode(payload).ok()?;
        let mut nodes = self.nodes.lock().expect("no holder panics");
        let node = nodes.entry(node_name.to_owned()).or_default();
        let metric = |name: &str| payload.metrics.iter().find(|metric| metric.name.as_deref() == Some(name));
        let birth_sequence = metric("bdSeq").and_then(|metric| match metric.value {
            Some(sparkplug::metric::Value::LongValue(number)) => Some(number),
            _ => None,
        });
        match kind {
            "NBIRTH" => {
                node.online = true;
                node.birth_sequence = birth_sequence;
                node.names.clear();
                for metric in &payload.metrics {
                    if let (Some(alias), Some(name)) = (metric.alias, &metric.name) {
                        node.names.insert(alias, name.clone());
                    }
                }
            }
            // A death of an earlier birth is no news (SP-6).
            "NDEATH" => {
                node.online &= birth_sequence != node.birth_sequence;
                return None;
            }
            "NDATA" if node.next_seq != payload.seq || !node.online => {
                node.next_seq = payload.seq.map(|seq| (seq + 1) % 256);
                return Some(node_name.to_owned());
            }
            "NDATA" => {}
            _ => return None,
        }
        node.next_seq = payload.seq.map(|seq| (seq + 1) % 256);
        for metric in &payload.metrics {
            let name = metric.name.clone().or_else(|| node.names.get(&metric.alias?).cloned());
            if let Some(name) = name.filter(|name| !name.contains('/') && name != "bdSeq") {
                let reading = reading(&name, metric, node.last.get(&name));
                node.last.insert(name, reading);
            }
        }
        None
    }
}

fn reading(name: &str, metric: &sparkplug::Metric, before: Option<&device::Reading>) -> device::Reading {
    use sparkplug::metric::Value;
    let property = |key: &str| {
        let properties = metric.properties.as_ref()?;
        let at = properties.keys.iter().position(|known| known == key)?;
        properties.values.get(at)?.value.clone()
    };
    let unit = match property("engUnit") {
        Some(sparkplug::property_value::Value::StringValue(unit)) => unit,
        _ => before.and_then(unit_of).unwrap_or_else(|| "1".to_owned()),
    };
    let quality = match property("Quality") {
        Some(sparkplug::property_value::Value::IntValue(quality)) => quality,
        _ => GOOD,
    };
    let kind = match &metric.value {
        Some(Value::DoubleValue(value)) => {
            Some(common::value::Kind::Quantity(common::Quantity { value: *value, unit }))
        }
        Some(Value::LongValue(value)) => Some(common::value::Kind::Integer(*value as i64)),
        Some(Value::IntValue(value)) => Some(common::value::Kind::Integer(i64::from(*value))),
        Some(Value::BooleanValue(value)) => Some(common::value::Kind::Flag(*value)),
        Some(Value::StringValue(value)) => Some(common::value::Kind::Text(value.clone())),
        None => None,
    };
    device::Reading {
        name: name.to_owned(),
        good: quality == GOOD && kind.is_some(),
        value: kind.map(|kind| common::Value { kind: Some(kind) }),
        time_ms: metric.timestamp.map_or_else(now_ms, |time| time as i64),
    }
}

fn unit_of(reading: &device::Reading) -> Option<String> {
    match reading.value.as_ref()?.kind.as_ref()? {
        common::value::Kind::Quantity(quantity) => Some(quantity.unit.clone()),
        _ => None,
    }
}

/// Unix milliseconds: a label in messages, and telemetry is on real computers only.
fn now_ms() -> i64 {
    (&RealHost as &dyn Host).wall_ms()
}
