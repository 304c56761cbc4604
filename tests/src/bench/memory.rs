//! Memory of an idle lab.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use crate::harness::RunningLab;
use crate::process::Process;

/// Resident memory of every process of the demo's lab after it has stood idle for this long.
///
/// # Errors
/// When the lab does not come up or a process is gone.
pub async fn run(idle: Duration) -> anyhow::Result<serde_json::Value> {
    let lab = RunningLab::start(1.0, 1).await?;
    tokio::time::sleep(idle).await;
    let mut mib = serde_json::Map::new();
    for (name, id) in lab.pids() {
        let bytes = Process::find(id).and_then(|process| process.resident_bytes());
        let bytes = bytes.with_context(|| format!("{name} is gone"))?;
        mib.insert(name, json!(bytes as f64 / f64::from(1 << 20)));
    }
    Ok(json!({ "idle_s": idle.as_secs(), "resident_mib": mib }))
}
