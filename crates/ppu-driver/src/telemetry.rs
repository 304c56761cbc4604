//! Sparkplug B 3.0 telemetry: the driver is an edge node whose id is the device id. What may be watched goes out here;
//! nothing is ever actuated by it (SP-15). Without a broker address there is no telemetry.

mod client;
mod node;

pub use node::{EdgeNode, MetricKind, MetricValue, Outgoing, Sample, is_rebirth_command};

use std::sync::Arc;
use std::time::Duration;

use ppu_core::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::service::{Shared, StoredReading};

/// Time for the death certificate to leave before the process ends.
const FAREWELL: Duration = Duration::from_millis(500);

/// Telemetry that runs, or none.
#[derive(Debug)]
pub(crate) struct Telemetry(Option<(oneshot::Sender<()>, JoinHandle<()>)>);

/// Starts telemetry if a broker is configured.
pub(crate) fn start(shared: &Arc<Shared>) -> Telemetry {
    let Some(broker) = shared.options.broker.clone() else { return Telemetry(None) };
    let (end, ends) = oneshot::channel();
    Telemetry(Some((end, tokio::spawn(client::supervise(Arc::clone(shared), broker, ends)))))
}

impl Telemetry {
    /// Publishes the death certificate and disconnects (SP-11), within a moment.
    pub(crate) async fn end(self) {
        let Some((end, mut task)) = self.0 else { return };
        // A task that has ended already needs not be told.
        let _ = end.send(());
        if tokio::time::timeout(FAREWELL, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// The values of all metrics now: the properties of the manifest and the driver's own.
fn samples(shared: &Shared) -> Vec<(String, Sample)> {
    let now_ms = shared.options.host.wall_ms();
    let own = |value: MetricValue| Sample { value: Some(value), time_ms: now_ms, good: true };
    let command = shared.contact().running.map(|key| key.to_string()).unwrap_or_default();
    let degraded = shared.degraded().unwrap_or_default();
    let state = shared.device_state().as_str_name().trim_start_matches("DEVICE_STATE_").to_owned();
    let mut samples: Vec<_> = shared.readings().into_iter().map(|(name, reading)| (name, sample(reading))).collect();
    samples.push(("Device/State".to_owned(), own(MetricValue::Text(state))));
    samples.push(("Device/Command".to_owned(), own(MetricValue::Text(command))));
    samples.push(("Device/Degraded".to_owned(), own(MetricValue::Text(degraded))));
    samples
}

fn sample(reading: StoredReading) -> Sample {
    let value = reading.value.map(|value| match value {
        Value::Quantity(quantity) => MetricValue::Double(quantity.value),
        Value::Integer(number) => MetricValue::Integer(number),
        Value::Text(text) => MetricValue::Text(text),
        Value::Flag(flag) => MetricValue::Flag(flag),
    });
    Sample { value, time_ms: reading.time_ms, good: reading.good }
}
