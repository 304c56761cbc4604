//! The supervisor of the broker connection. Each connection has a client of its own, so no state of a broken one can
//! hold up the next (MQ-6); the task that polls never publishes (MQ-3).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, LastWill, MqttOptions, Packet, QoS};
use tokio::sync::{mpsc, oneshot};

use super::node::{EdgeNode, Outgoing, is_rebirth_command};
use super::samples;
use crate::service::Shared;
use crate::transport::BackOff;

/// Both packet limits (MQ-4); payloads here are a few kilobytes, hosts may send more.
const LARGEST_PACKET: usize = 1 << 20;
/// At most ten data messages a second, whatever the readings do.
const DATA_PERIOD: Duration = Duration::from_millis(100);
/// The broker sends the will after one and a half of these without a sign.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// First and longest wait between two connections (MQ-5).
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Requests between this task and the client; more means that the connection stalls, and then a new one is made.
const QUEUE: usize = 64;
/// How long a subscription may stay unconfirmed.
const SUBSCRIBE_WITHIN: Duration = Duration::from_secs(5);
/// File that keeps the number of the last connection over restarts, so that the late will of an old process is not taken
/// for the death of this one (SP-6).
const BIRTH_FILE: &str = "telemetry-birth";

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the connection failed")]
    Connection(#[from] Box<ConnectionError>),
    #[error("the client does not take anything any more")]
    Stalled(#[from] rumqttc::ClientError),
    #[error("the broker did not confirm the subscription")]
    NotSubscribed,
}

/// Keeps the edge node connected until it is told to end.
pub(super) async fn supervise(shared: Arc<Shared>, broker: String, mut end: oneshot::Receiver<()>) {
    let Some((host, port)) = address(&broker) else {
        tracing::error!(broker, "the broker's address is not host:port: there is no telemetry");
        return;
    };
    let properties = shared.manifest.properties.iter();
    let unit =
        |unit: ppu_core::Unit| if unit == ppu_core::Unit::One { String::new() } else { unit.symbol().to_owned() };
    let mut metrics: Vec<_> = properties.map(|property| (property.name.clone(), unit(property.unit))).collect();
    metrics.extend(["Device/State", "Device/Command", "Device/Degraded"].map(|name| (name.to_owned(), String::new())));
    let birth_file = shared.options.directory.join(BIRTH_FILE);
    let device = shared.options.device.to_string();
    let mut node = EdgeNode::new(&shared.options.lab, &device, metrics, first_birth(&birth_file));
    let mut back_off = BackOff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        keep_birth(&birth_file, node.birth_death());
        let will = node.will();
        let mut options = MqttOptions::new(format!("ppu-{}-{device}", shared.options.lab), host.clone(), port);
        options.set_clean_session(true).set_keep_alive(KEEP_ALIVE).set_max_packet_size(LARGEST_PACKET, LARGEST_PACKET);
        options.set_last_will(LastWill::new(will.topic, will.payload, QoS::AtLeastOnce, false));
        let (client, event_loop) = AsyncClient::new(options, QUEUE);
        match connected(&shared, &mut node, &client, event_loop, &mut back_off, &mut end).await {
            Ok(()) => return,
            Err(lost) => {
                tracing::warn!(
                    device_id = device,
                    broker,
                    error = crate::ledger::explained(&lost),
                    "telemetry is cut off"
                );
            }
        }
        tokio::select! {
            () = tokio::time::sleep(back_off.next_wait()) => {}
            _ = &mut end => return,
        }
        node.next_connection();
    }
}

/// One connection, from CONNECT until it breaks or the process ends.
async fn connected(
    shared: &Shared,
    node: &mut EdgeNode,
    client: &AsyncClient,
    event_loop: EventLoop,
    back_off: &mut BackOff,
    end: &mut oneshot::Receiver<()>,
) -> Result<(), Lost> {
    let (sender, mut events) = mpsc::channel(QUEUE);
    let poller = AbortOnDrop(tokio::spawn(poll(event_loop, sender)));
    let mut ticks = tokio::time::interval(DATA_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut changed = shared.changed.subscribe();
    changed.mark_changed();
    let mut subscribe_by = None;
    let mut born = false;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(Ok(Packet::ConnAck(_))) => {
                    // A clean session knows no subscription, so each one subscribes anew (MQ-2), before its birth (SP-3).
                    client.try_subscribe(node.command_topic(), QoS::AtLeastOnce)?;
                    subscribe_by = Some(tokio::time::Instant::now() + SUBSCRIBE_WITHIN);
                }
                Some(Ok(Packet::SubAck(_))) if !born => {
                    publish(client, node.birth(shared.options.host.wall_ms(), &samples(shared)))?;
                    born = true;
                    back_off.reset();
                    tracing::info!(device_id = %shared.options.device, "telemetry is connected");
                }
                Some(Ok(Packet::Publish(message))) if is_rebirth_command(&message.payload) => {
                    publish(client, node.birth(shared.options.host.wall_ms(), &samples(shared)))?;
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Lost::Connection(error)),
                None => return Err(Lost::NotSubscribed),
            },
            _ = ticks.tick() => {
                if !born && subscribe_by.is_some_and(|by| tokio::time::Instant::now() > by) {
                    return Err(Lost::NotSubscribed);
                }
                if born && changed.has_changed().unwrap_or(false) {
                    changed.mark_unchanged();
                    if let Some(data) = node.data(shared.options.host.wall_ms(), &samples(shared)) {
                        publish(client, data)?;
                    }
                }
            }
            _ = &mut *end => break,
        }
    }
    if born {
        // A wanted disconnect suppresses the will, so the death certificate is published first (SP-11).
        publish(client, node.death())?;
        client.try_disconnect()?;
        while let Some(Ok(_)) = events.recv().await {}
    }
    drop(poller);
    Ok(())
}

/// Drives the client and passes on what comes in. Ends with the connection.
async fn poll(mut event_loop: EventLoop, events: mpsc::Sender<Result<Packet, Box<ConnectionError>>>) {
    loop {
        match event_loop.poll().await {
            Ok(Event::Incoming(packet)) => {
                if events.send(Ok(packet)).await.is_err() {
                    return;
                }
            }
            Ok(Event::Outgoing(_)) => {}
            Err(error) => {
                // Nobody is left to be told when the receiver is gone.
                let _ = events.send(Err(Box::new(error))).await;
                return;
            }
        }
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn publish(client: &AsyncClient, message: Outgoing) -> Result<(), Lost> {
    Ok(client.try_publish(message.topic, QoS::AtMostOnce, false, message.payload)?)
}

/// `host:port`, also with `mqtt://` or `tcp://` before it; 1883 without a port.
fn address(broker: &str) -> Option<(String, u16)> {
    let bare = broker.strip_prefix("mqtt://").or_else(|| broker.strip_prefix("tcp://")).unwrap_or(broker);
    match bare.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() => Some((host.to_owned(), port.parse().ok()?)),
        None if !bare.is_empty() => Some((bare.to_owned(), 1883)),
        _ => None,
    }
}

/// The number after that of the last connection of the process before this one; 0 for the first ever.
fn first_birth(file: &Path) -> u8 {
    let before = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse::<u8>().ok());
    before.map_or(0, |before| before.wrapping_add(1))
}

fn keep_birth(file: &Path, number: u8) {
    // A number that is not kept costs at most one wrong "offline" at a host, until the next birth.
    if let Err(error) = std::fs::write(file, number.to_string()) {
        tracing::warn!(%error, "the number of the telemetry connection could not be kept");
    }
}
