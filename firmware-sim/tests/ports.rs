//! A running simulation seen from the outside: serial ports, sockets, faults of the line, control port, ledger.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use firmware_sim::control;
use firmware_sim::run::{LEDGER, Options, Running, start};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_serial::{SerialPortBuilderExt, SerialStream};

const Q: [u8; 6] = [0x02, 0x31, 0x32, 0x51, 0x03, 0x53];
const READY: [u8; 5] = [0x02, 0x30, 0x60, 0x03, 0x51];
const READ_IDENTITY: [u8; 12] = [0, 1, 0, 0, 0, 6, 1, 3, 0, 122, 0, 1];
/// No wait in these tests is longer than this.
const PATIENCE: Duration = Duration::from_secs(5);

struct Sim {
    running: Running,
    folder: tempfile::TempDir,
}

async fn sim() -> Sim {
    let folder = tempfile::tempdir().unwrap();
    let world_file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/worlds/perovskite.toml");
    let options = Options { world_file, run_dir: folder.path().join("run"), seed: 3, speed: 1000.0 };
    Sim { running: start(&options).await.unwrap(), folder }
}

impl Sim {
    fn endpoint(&self, device: &str, kind: &str) -> String {
        self.running.endpoints["devices"][device][kind].as_str().unwrap().to_owned()
    }

    fn address(&self, device: &str) -> SocketAddr {
        self.endpoint(device, "tcp").parse().unwrap()
    }

    fn port(&self, device: &str) -> PathBuf {
        self.endpoint(device, "serial").into()
    }

    async fn ask(&self, request: Value) -> Result<Value, control::ControlError> {
        control::request(self.running.control, &request).await
    }
}

async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("within five seconds")
}

/// Waits until `ready` gives something.
async fn until<T>(what: &str, mut ready: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ready().await {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not happen within five seconds");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn open(port: &Path) -> tokio_serial::Result<SerialStream> {
    tokio_serial::new(port.to_string_lossy(), 9600).open_native_async()
}

async fn exchange<S: AsyncReadExt + AsyncWriteExt + Unpin>(line: &mut S, request: &[u8], length: usize) -> Vec<u8> {
    let mut reply = vec![0; length];
    bounded(async {
        line.write_all(request).await.unwrap();
        line.read_exact(&mut reply).await.unwrap();
    })
    .await;
    reply
}

#[tokio::test]
async fn a_serial_port_can_be_opened_again_and_again() {
    let sim = sim().await;
    for _ in 0..3 {
        let mut port = open(&sim.port("pump")).unwrap();
        assert_eq!(exchange(&mut port, &Q, READY.len()).await, READY);
    }
}

#[tokio::test]
async fn a_vanished_serial_port_comes_back_under_its_name() {
    let sim = sim().await;
    let name = sim.port("pump");
    let mut port = open(&name).unwrap();
    assert_eq!(exchange(&mut port, &Q, READY.len()).await, READY);
    let fault = json!({ "fault": { "device": "pump", "name": "vanish", "delay_ms": 50 } });
    sim.ask(fault).await.unwrap();
    let mut byte = [0];
    let gone = bounded(port.read(&mut byte)).await;
    assert!(matches!(gone, Ok(0) | Err(_)), "{gone:?}");
    drop(port);
    let mut port = until("the port", async || open(&name).ok()).await;
    assert_eq!(exchange(&mut port, &Q, READY.len()).await, READY);
}

#[tokio::test]
async fn a_locked_port_is_refused_until_it_is_free() {
    let sim = sim().await;
    let name = sim.port("balance");
    sim.ask(json!({ "fault": { "device": "balance", "name": "port_locked" } })).await.unwrap();
    until("the lock", async || open(&name).err()).await;
    sim.ask(json!({ "clear": { "device": "balance" } })).await.unwrap();
    let mut port = until("the port", async || open(&name).ok()).await;
    let banner = b"I4 A \"SIM-XPE206-0001\"\r\n";
    assert_eq!(exchange(&mut port, b"I4\r\n", banner.len()).await, banner);
}

#[tokio::test]
async fn an_offline_device_refuses_connections_and_keeps_its_port() {
    let sim = sim().await;
    let address = sim.address("furnace_a");
    let mut line = TcpStream::connect(address).await.unwrap();
    let identity = exchange(&mut line, &READ_IDENTITY, 11).await;
    assert_eq!(identity, [0, 1, 0, 0, 0, 5, 1, 3, 2, 0x30, 0x16]);
    sim.ask(json!({ "fault": { "device": "furnace_a", "name": "offline" } })).await.unwrap();
    let gone = bounded(line.read(&mut [0])).await;
    assert!(matches!(gone, Ok(0) | Err(_)), "{gone:?}");
    until("the refusal", async || TcpStream::connect(address).await.err()).await;
    sim.ask(json!({ "clear": { "device": "furnace_a" } })).await.unwrap();
    let mut line = until("the connection", async || TcpStream::connect(address).await.ok()).await;
    assert_eq!(exchange(&mut line, &READ_IDENTITY, 11).await, identity);
}

#[tokio::test]
async fn a_late_reply_is_late_in_wall_time() {
    let sim = sim().await;
    let mut line = TcpStream::connect(sim.address("furnace_a")).await.unwrap();
    let fault = json!({ "fault": { "device": "furnace_a", "name": "late_reply", "delay_ms": 150 } });
    sim.ask(fault).await.unwrap();
    let asked = Instant::now();
    exchange(&mut line, &READ_IDENTITY, 11).await;
    assert!(asked.elapsed() >= Duration::from_millis(150), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn an_unfinished_modbus_frame_ends_with_a_pause() {
    let sim = sim().await;
    let mut port = open(&sim.port("furnace_b")).unwrap();
    // The head of a write of 255 bytes would swallow all that follows, were there no pause.
    bounded(port.write_all(&[1, 16, 0, 2, 0, 1, 0xff])).await.unwrap();
    let read_pv = [0x01, 0x03, 0x00, 0x01, 0x00, 0x01, 0xd5, 0xca];
    let asked = until("an answer", async || {
        port.write_all(&read_pv).await.unwrap();
        let mut reply = [0; 7];
        // Longer than the pause that ends a frame.
        tokio::time::timeout(Duration::from_millis(150), port.read_exact(&mut reply)).await.ok().map(|_| reply)
    });
    assert_eq!(asked.await[..3], [1, 3, 2]);
}

#[tokio::test]
async fn a_robot_carries_a_sample_and_the_ledger_has_it() {
    let mut sim = sim().await;
    let mut arm = TcpStream::connect(sim.address("arm")).await.unwrap();
    let greeting = "Connected: Universal Robots Dashboard Server\n";
    assert_eq!(exchange(&mut arm, b"", greeting.len()).await, greeting.as_bytes());
    for program in ["pick_rack_1.urp", "place_spectrometer_stage.urp"] {
        let loading = format!("Loading program: {program}\n");
        assert_eq!(exchange(&mut arm, format!("load {program}\n").as_bytes(), loading.len()).await, loading.as_bytes());
        assert_eq!(exchange(&mut arm, b"play\n", 17).await, b"Starting program\n");
        let before = sim.ask(json!({ "executions": {} })).await.unwrap()["arm"]["play"].clone();
        until("the end of the programme", async || {
            let executions = sim.ask(json!({ "executions": {} })).await.unwrap();
            (executions["arm"]["finished"] == before).then_some(())
        })
        .await;
    }
    let truth = sim.ask(json!({ "truth": { "sample": "S01" } })).await.unwrap();
    assert_eq!(truth["where"], "spectrometer.stage");
    sim.running.stop().await;
    let ledger = std::fs::read_to_string(sim.folder.path().join("run").join(LEDGER)).unwrap();
    let lines: Vec<Value> = ledger.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let moves = lines.iter().filter(|line| line["action"] == "pick" || line["action"] == "place").count();
    assert_eq!(moves, 2);
    assert!(!sim.folder.path().join("run/endpoints.json").exists());
    assert!(!sim.folder.path().join("run/pump.tty").exists());
}

#[tokio::test]
async fn the_control_port_refuses_with_what_there_is() {
    let sim = sim().await;
    let refusal = sim.ask(json!({ "fault": { "device": "pump", "name": "melt" } })).await.unwrap_err();
    assert!(matches!(&refusal, control::ControlError::Refused(why) if why.contains("not_initialised")), "{refusal}");
    let status = sim.ask(json!({ "status": {} })).await.unwrap();
    assert_eq!(status["speed"], 1000.0);
    for (name, device) in status["devices"].as_object().unwrap() {
        assert!(device["identity"].as_str().unwrap().contains("SIM"), "{name} must say that it is simulated");
    }
}
