//! Foreign programs that tests use as peers. None of them is needed to build or to run `ppu`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Tells the tests to fail where a peer is missing, instead of skipping.
pub const REQUIRE: &str = "PPU_REQUIRE_PEERS";
/// The Python interpreter that tests use; `python3` where it is not set.
pub const PYTHON: &str = "PPU_PYTHON";

/// What the package with the pseudopotentials brings.
const PSEUDOPOTENTIALS: &str = "/usr/share/espresso/pseudo/Si.pz-vbc.UPF";

/// A foreign program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: &'static str,
    /// What tests use it for.
    pub purpose: &'static str,
    /// How it gets onto a Debian or Ubuntu computer.
    pub install: &'static str,
    /// Where it was found.
    pub found: Option<PathBuf>,
}

/// Every peer, looked for on this computer.
pub fn look() -> Vec<Peer> {
    vec![
        Peer {
            name: "mosquitto",
            purpose: "an MQTT broker by others, against which telemetry and the broker's rules are tested",
            install: "apt-get install mosquitto",
            found: find(&["mosquitto"]),
        },
        Peer {
            name: "chromium",
            purpose: "a browser, in which the console is opened",
            install: "apt-get install chromium",
            found: find(&["chromium", "chromium-browser", "google-chrome"]),
        },
        Peer {
            name: "Quantum ESPRESSO",
            purpose: "a first-principles program by others, which the driver runs and whose output it reads",
            install: "apt-get install quantum-espresso quantum-espresso-data",
            found: find(&["pw.x"]).filter(|_| Path::new(PSEUDOPOTENTIALS).is_file()),
        },
        Peer {
            name: "Python with grpcio, grpcio-reflection, protobuf",
            purpose: "a gRPC client by others, which uses the public API through reflection",
            install: "python3 -m venv target/venv && target/venv/bin/pip install grpcio grpcio-reflection protobuf \
                      && export PPU_PYTHON=target/venv/bin/python",
            found: python(),
        },
    ]
}

/// A program of one of these names in `PATH`, or where Debian keeps servers, which is not in every user's `PATH`.
fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).collect();
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
}

fn python() -> Option<PathBuf> {
    let python = match std::env::var_os(PYTHON) {
        Some(python) => PathBuf::from(python),
        None => find(&["python3"])?,
    };
    has_grpc(&python).then_some(python)
}

fn has_grpc(python: &Path) -> bool {
    Command::new(python)
        .args(["-c", "import grpc, grpc_reflection, google.protobuf"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
