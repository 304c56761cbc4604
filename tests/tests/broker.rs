//! The broker's rules in deploy/, tried against a real Mosquitto: each forbidden act is attempted, and telemetry passes.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};
use tempfile::TempDir;

/// Each wait ends here at the latest.
const WITHIN: Duration = Duration::from_secs(10);
/// Sent last, so that what was let through before it has arrived when it arrives.
const SENTINEL: &str = "spBv1.0/STATE/sentinel";

struct Broker {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Broker {
    /// Mosquitto with the shipped configuration, on a free port; `None` where it is not installed and not required.
    fn start() -> anyhow::Result<Option<Broker>> {
        let Some(mosquitto) =
            xtask::peers::look().into_iter().find(|peer| peer.name == "mosquitto").and_then(|p| p.found)
        else {
            ensure!(std::env::var_os(xtask::peers::REQUIRE).is_none(), "mosquitto is not installed");
            eprintln!("skipped: mosquitto is not installed");
            return Ok(None);
        };
        let deploy = xtask::root().join("deploy/mosquitto");
        let folder = TempDir::new()?;
        let acl = folder.path().join("ppu.acl");
        std::fs::copy(deploy.join("ppu.acl"), &acl)?;
        // Another program may take the port between its choice and its use.
        for _ in 0..3 {
            let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
            let shipped = std::fs::read_to_string(deploy.join("ppu.conf"))?;
            let listener = format!("listener {} 127.0.0.1", address.port());
            let conf = replaced(&shipped, "listener 1883 127.0.0.1", &listener)?;
            // A root that starts Mosquitto becomes another user, who must be able to read the rules.
            let conf = replaced(&conf, "/etc/mosquitto/ppu.acl", &acl.display().to_string())? + "\nuser root\n";
            let file: PathBuf = folder.path().join("ppu.conf");
            std::fs::write(&file, conf)?;
            let log = std::fs::File::create(folder.path().join("log"))?;
            let mut process = Command::new(&mosquitto)
                .arg("-c")
                .arg(&file)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()?;
            let began = Instant::now();
            while process.try_wait()?.is_none() && began.elapsed() < WITHIN {
                if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
                    return Ok(Some(Broker { process, address, _folder: folder }));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = process.kill();
            let _ = process.wait();
            eprintln!("{}", std::fs::read_to_string(folder.path().join("log"))?);
        }
        bail!("mosquitto does not start with the shipped configuration");
    }

    /// A connected client; with a name it logs in under it.
    async fn client(&self, id: &str, name: Option<&str>) -> anyhow::Result<(AsyncClient, EventLoop)> {
        let mut options = MqttOptions::new(id, self.address.ip().to_string(), self.address.port());
        options.set_clean_session(true);
        if let Some(name) = name {
            options.set_credentials(name, "");
        }
        let (client, mut events) = AsyncClient::new(options, 64);
        until(&mut events, |event| matches!(event, Packet::ConnAck(_)).then_some(())).await?;
        Ok((client, events))
    }

    /// Publishes on each topic, then the sentinel; returns the topics that a listener of this name received.
    async fn passes(
        &self,
        speaker: Option<&str>,
        listener: Option<&str>,
        topics: &[&str],
    ) -> anyhow::Result<Vec<String>> {
        let (hears, mut heard) = self.client("listener", listener).await?;
        hears.subscribe("#", QoS::AtLeastOnce).await?;
        until(&mut heard, |event| matches!(event, Packet::SubAck(_)).then_some(())).await?;
        let (speaks, mut spoken) = self.client("speaker", speaker).await?;
        let (host, mut hosted) = self.client("host", Some("ppu-scheduler")).await?;
        for topic in topics {
            speaks.publish(*topic, QoS::AtLeastOnce, false, "x").await?;
            until(&mut spoken, |event| matches!(event, Packet::PubAck(_)).then_some(())).await?;
        }
        host.publish(SENTINEL, QoS::AtLeastOnce, false, "x").await?;
        until(&mut hosted, |event| matches!(event, Packet::PubAck(_)).then_some(())).await?;
        let mut received = Vec::new();
        loop {
            let topic = until(&mut heard, |event| match event {
                Packet::Publish(publish) => Some(publish.topic),
                _ => None,
            })
            .await?;
            if topic == SENTINEL {
                return Ok(received);
            }
            received.push(topic);
        }
    }
}

fn replaced(text: &str, from: &str, to: &str) -> anyhow::Result<String> {
    ensure!(text.contains(from), "the shipped configuration has no `{from}`");
    Ok(text.replace(from, to))
}

/// Waits for a packet, with a bound.
async fn until<T>(events: &mut EventLoop, mut wanted: impl FnMut(Packet) -> Option<T>) -> anyhow::Result<T> {
    let search = async {
        loop {
            if let Event::Incoming(packet) = events.poll().await?
                && let Some(found) = wanted(packet)
            {
                return anyhow::Ok(found);
            }
        }
    };
    tokio::time::timeout(WITHIN, search).await.context("nothing came from the broker")?
}

#[tokio::test]
async fn only_telemetry_passes_the_broker() -> anyhow::Result<()> {
    let Some(broker) = Broker::start()? else { return Ok(()) };
    let allowed = ["spBv1.0/demo/NBIRTH/pump", "spBv1.0/demo/NDATA/pump", "spBv1.0/demo/NDEATH/pump"];
    let forbidden =
        ["spBv1.0/demo/DCMD/pump/valve", "spBv1.0/demo/DDATA/pump/valve", "pump/move", "spBv1.0/demo/NDATA", "$SYS/x"];
    let all = [&allowed[..], &forbidden[..]].concat();
    assert_eq!(broker.passes(None, Some("ppu-scheduler"), &all).await?, allowed);
    Ok(())
}

#[tokio::test]
async fn a_driver_with_a_name_speaks_for_itself_only() -> anyhow::Result<()> {
    let Some(broker) = Broker::start()? else { return Ok(()) };
    let own = ["spBv1.0/demo/NBIRTH/pump", "spBv1.0/demo/NDATA/pump"];
    let others = [
        "spBv1.0/demo/NDATA/balance",
        "spBv1.0/demo/NDEATH/balance",
        "spBv1.0/demo/NCMD/balance",
        "spBv1.0/STATE/ppu-demo",
    ];
    let all = [&own[..], &others[..]].concat();
    assert_eq!(broker.passes(Some("pump"), Some("ppu-scheduler"), &all).await?, own);
    Ok(())
}

#[tokio::test]
async fn the_host_may_ask_for_births_and_nothing_else() -> anyhow::Result<()> {
    let Some(broker) = Broker::start()? else { return Ok(()) };
    let asked = ["spBv1.0/demo/NCMD/pump", "spBv1.0/demo/NDATA/pump", "spBv1.0/demo/DCMD/pump/valve"];
    assert_eq!(broker.passes(Some("ppu-scheduler"), None, &asked).await?, ["spBv1.0/demo/NCMD/pump"]);
    Ok(())
}
