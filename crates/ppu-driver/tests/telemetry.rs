//! The edge node: payloads, numbers and order (SP-1 to SP-11), pure first, then over a hand-made broker.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use ppu_driver::telemetry::{EdgeNode, MetricValue, Outgoing, Sample, is_rebirth_command};
use ppu_driver::{DriverOptions, run};
use ppu_proto::telemetry::v1::{Metric, Payload, metric};
use prost::Message as _;
use support::{TestInstrument, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

fn node() -> EdgeNode {
    let metrics = [("temperature", "C"), ("lid_closed", ""), ("count", "")];
    EdgeNode::new("lab", "furnace_a", metrics.map(|(name, unit)| (name.to_owned(), unit.to_owned())), 0)
}

fn samples(temperature: f64, good: bool, time_ms: i64) -> Vec<(String, Sample)> {
    let sample = |value| Sample { value: Some(value), time_ms, good };
    vec![
        ("temperature".to_owned(), sample(MetricValue::Double(temperature))),
        ("lid_closed".to_owned(), sample(MetricValue::Flag(true))),
        ("count".to_owned(), sample(MetricValue::Integer(-3))),
    ]
}

fn payload(message: &Outgoing) -> Payload {
    Payload::decode(message.payload.as_slice()).unwrap()
}

fn named<'a>(payload: &'a Payload, name: &str) -> &'a Metric {
    payload.metrics.iter().find(|metric| metric.name.as_deref() == Some(name)).unwrap()
}

#[test]
fn the_birth_lists_every_metric_with_name_alias_type_and_value() {
    let mut node = node();
    let birth = node.birth(1000, &samples(21.5, true, 990));
    assert_eq!(birth.topic, "spBv1.0/lab/NBIRTH/furnace_a");
    let payload = payload(&birth);
    assert_eq!((payload.seq, payload.timestamp), (Some(0), Some(1000)));
    let birth_death = named(&payload, "bdSeq");
    assert_eq!((birth_death.datatype, birth_death.value.clone()), (Some(4), Some(metric::Value::LongValue(0))));
    let rebirth = named(&payload, "Node Control/Rebirth");
    assert_eq!((rebirth.alias, rebirth.value.clone()), (None, Some(metric::Value::BooleanValue(false))));
    let temperature = named(&payload, "temperature");
    assert_eq!((temperature.datatype, temperature.timestamp), (Some(10), Some(990)));
    let properties = temperature.properties.clone().unwrap();
    assert_eq!(properties.keys, ["Quality", "engUnit"]);
    assert_eq!(named(&payload, "lid_closed").datatype, Some(11));
    assert_eq!(named(&payload, "count").value, Some(metric::Value::LongValue(-3_i64 as u64)));
    let mut aliases: Vec<_> = payload.metrics.iter().filter_map(|metric| metric.alias).collect();
    aliases.dedup();
    assert_eq!(aliases.len(), 3, "aliases are unique");
}

#[test]
fn data_carry_only_what_changed_by_alias_and_count_up_and_wrap() {
    let mut node = node();
    assert_eq!(node.data(1000, &samples(1.0, true, 1000)), None, "no data before the birth");
    let born = payload(&node.birth(1000, &samples(0.0, true, 1000)));
    let alias = named(&born, "temperature").alias;
    assert_eq!(node.data(1001, &samples(0.0, true, 1001)), None, "nothing changed");
    for round in 1..=300_u64 {
        let message = node.data(2000, &samples(round as f64, true, 2000)).unwrap();
        assert_eq!(message.topic, "spBv1.0/lab/NDATA/furnace_a");
        let data = payload(&message);
        assert_eq!(data.seq, Some(round % 256));
        assert_eq!(data.metrics.len(), 1);
        assert_eq!(
            (data.metrics[0].alias, data.metrics[0].name.clone(), data.metrics[0].datatype),
            (alias, None, None)
        );
    }
    let stale = payload(&node.data(3000, &samples(300.0, false, 2000)).unwrap());
    assert_eq!(stale.metrics.len(), 3, "a change of quality is a change");
}

#[test]
fn a_rebirth_keeps_the_number_of_the_connection_and_begins_seq_anew() {
    let mut node = node();
    let will = payload(&node.will());
    assert_eq!((will.seq, will.metrics.len(), will.metrics[0].name.as_deref()), (None, 1, Some("bdSeq")));
    node.birth(1, &samples(0.0, true, 1));
    node.data(2, &samples(1.0, true, 2)).unwrap();
    let again = payload(&node.birth(3, &samples(1.0, true, 2)));
    assert_eq!(again.seq, Some(0));
    assert_eq!(named(&again, "bdSeq").value, will.metrics[0].value);
    assert_eq!(payload(&node.data(4, &samples(2.0, true, 4)).unwrap()).seq, Some(1));
    node.next_connection();
    let next_will = node.will();
    assert_eq!(payload(&next_will).metrics[0].value, Some(metric::Value::LongValue(1)));
    assert_eq!(node.data(5, &samples(3.0, true, 5)), None, "a new connection is silent until its birth");
    assert_eq!(node.death(), next_will, "the death certificate is the will");
    for _ in 0..255 {
        node.next_connection();
    }
    assert_eq!(node.birth_death(), 0, "the number wraps at 256");
}

#[test]
fn a_metric_of_another_type_than_its_birth_said_leads_to_a_new_birth() {
    let mut node = node();
    let unknown = |time_ms| Sample { value: None, time_ms, good: false };
    let born = payload(&node.birth(1, &[("count".to_owned(), unknown(0))]));
    assert_eq!((named(&born, "count").datatype, named(&born, "count").is_null), (Some(12), Some(true)));
    let again = node.data(2, &samples(1.0, true, 2)).unwrap();
    assert_eq!(again.topic, "spBv1.0/lab/NBIRTH/furnace_a");
    assert_eq!(named(&payload(&again), "count").datatype, Some(4));
}

#[test]
fn only_a_rebirth_is_a_command() {
    let command = |name: &str, value: metric::Value| {
        let metrics = vec![Metric { name: Some(name.to_owned()), value: Some(value), ..Metric::default() }];
        Payload { metrics, ..Payload::default() }.encode_to_vec()
    };
    assert!(is_rebirth_command(&command("Node Control/Rebirth", metric::Value::BooleanValue(true))));
    assert!(!is_rebirth_command(&command("Node Control/Rebirth", metric::Value::BooleanValue(false))));
    assert!(!is_rebirth_command(&command("temperature", metric::Value::DoubleValue(900.0))));
    assert!(!is_rebirth_command(b"\xFF\xFF not a payload"));
}

/// One MQTT packet: first byte and body.
async fn packet(line: &mut TcpStream) -> (u8, Vec<u8>) {
    let kind = line.read_u8().await.unwrap();
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let byte = line.read_u8().await.unwrap();
        length |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    line.read_exact(&mut body).await.unwrap();
    (kind, body)
}

/// Topic and payload of a PUBLISH with QoS 0.
fn published(kind: u8, body: &[u8]) -> (String, Payload) {
    assert_eq!(kind, 0x30, "QoS 0, not retained");
    let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
    let topic = String::from_utf8(body[2..2 + length].to_vec()).unwrap();
    (topic, Payload::decode(&body[2 + length..]).unwrap())
}

async fn next_published(line: &mut TcpStream) -> (String, Payload) {
    let (kind, body) = packet(line).await;
    published(kind, &body)
}

/// Answers CONNECT and SUBSCRIBE; returns the body of CONNECT and the topic subscribed.
async fn greet(line: &mut TcpStream) -> (Vec<u8>, String) {
    let (kind, connect) = packet(line).await;
    assert_eq!(kind, 0x10);
    line.write_all(&[0x20, 2, 0, 0]).await.unwrap();
    let (kind, subscribe) = packet(line).await;
    assert_eq!(kind, 0x82);
    line.write_all(&[0x90, 3, subscribe[0], subscribe[1], 1]).await.unwrap();
    let length = usize::from(u16::from_be_bytes([subscribe[2], subscribe[3]]));
    (connect, String::from_utf8(subscribe[4..4 + length].to_vec()).unwrap())
}

#[tokio::test]
async fn a_driver_is_born_reborn_on_command_comes_back_and_dies_properly() {
    let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut options = DriverOptions::new("lab", ppu_core::DeviceId::new("device_a").unwrap(), directory.path());
    options.broker = Some(broker.local_addr().unwrap().to_string());
    let world = std::sync::Arc::new(std::sync::Mutex::new(World { reachable: true, ..World::default() }));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let instrument = TestInstrument(world.clone());
    let driver = tokio::spawn(run(options, instrument, async {
        let _ = stopped.await;
    }));

    let (mut line, _) = broker.accept().await.unwrap();
    let (connect, subscribed) = greet(&mut line).await;
    assert_eq!(connect[7] & 0b0000_0110, 0b0000_0110, "clean session and a will");
    assert_eq!((connect[7] >> 3) & 0b11, 1, "the will has QoS 1");
    assert_eq!(subscribed, "spBv1.0/lab/NCMD/device_a");
    let (topic, birth) = next_published(&mut line).await;
    assert_eq!((topic.as_str(), birth.seq), ("spBv1.0/lab/NBIRTH/device_a", Some(0)));
    assert!(birth.metrics.iter().any(|metric| metric.name.as_deref() == Some("Device/State")));

    let rebirth = Metric {
        name: Some("Node Control/Rebirth".to_owned()),
        value: Some(metric::Value::BooleanValue(true)),
        ..Metric::default()
    };
    let command = Payload { metrics: vec![rebirth], ..Payload::default() }.encode_to_vec();
    let topic = b"spBv1.0/lab/NCMD/device_a";
    let mut publish = vec![0x30, (2 + topic.len() + command.len()) as u8, 0, topic.len() as u8];
    publish.extend(topic);
    publish.extend(&command);
    line.write_all(&publish).await.unwrap();
    let reborn = loop {
        let (topic, payload) = next_published(&mut line).await;
        if topic.contains("NBIRTH") && payload.seq == Some(0) {
            break payload;
        }
    };
    assert_eq!(named(&reborn, "bdSeq").value, named(&birth, "bdSeq").value);
    drop(line);

    let (mut line, _) = broker.accept().await.unwrap();
    greet(&mut line).await;
    let (_, birth) = next_published(&mut line).await;
    assert_eq!(
        named(&birth, "bdSeq").value,
        Some(metric::Value::LongValue(1)),
        "the next connection has the next number"
    );
    stop.send(()).unwrap();
    let death = loop {
        let (topic, payload) = next_published(&mut line).await;
        if topic == "spBv1.0/lab/NDEATH/device_a" {
            break payload;
        }
    };
    assert_eq!((death.seq, death.metrics.len()), (None, 1));
    assert_eq!(packet(&mut line).await.0, 0xE0, "then it disconnects");
    tokio::time::timeout(Duration::from_secs(2), driver).await.unwrap().unwrap().unwrap();
}
