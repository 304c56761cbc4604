//! Memory of an idle lab.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use crate::harness::RunningLab;
use crate::process::Process;

/// Memory of every process of the demo's lab after it has stood idle for this long.
///
/// # Errors
/// When the lab does not come up or a process is gone.
pub async fn run(idle: Duration) -> anyhow::Result<serde_json::Value> {
    let lab = RunningLab::start(1.0, 1).await?;
    tokio::time::sleep(idle).await;
    let mib = |bytes: u64| json!(bytes as f64 / f64::from(1 << 20));
    let (mut resident, mut proportional) = (serde_json::Map::new(), serde_json::Map::new());
    for (name, id) in lab.pids() {
        let process = Process::find(id);
        let bytes = process.and_then(|process| Some((process.resident_bytes()?, process.proportional_bytes()?)));
        let (all, share) = bytes.with_context(|| format!("{name} is gone"))?;
        resident.insert(name.clone(), mib(all));
        proportional.insert(name, mib(share));
    }
    Ok(json!({ "idle_s": idle.as_secs(), "resident_mib": resident, "proportional_mib": proportional }))
}
