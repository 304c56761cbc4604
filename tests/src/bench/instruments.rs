//! Instruments without hardware: one that does nothing, and a dispenser whose effect is a line in a file.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use ppu_core::Manifest;
use ppu_driver::{Attention, Done, DriverOptions, Fault, Instrument, Reading, Recovered, Request};
use ppu_proto::capability::v1 as wire;

use super::DEVICE;

/// Runs a driver process until it is killed.
///
/// # Errors
/// What ended it.
pub async fn drive<I: Instrument>(data: PathBuf, instrument: I) -> anyhow::Result<()> {
    let options = DriverOptions::new("bench", ppu_core::DeviceId::new(DEVICE)?, data);
    ppu_driver::run(options, instrument, std::future::pending()).await?;
    Ok(())
}

/// A manifest with one command for each of these (name, class, usual duration in seconds).
fn manifest(commands: &[(&str, wire::ActionClass, f64)]) -> Manifest {
    let commands = commands.iter().map(|(name, class, typical_s)| wire::CommandSpec {
        name: (*name).to_owned(),
        class: (*class).into(),
        typical_s: *typical_s,
        description: "For measurements.".to_owned(),
        ..Default::default()
    });
    let manifest = wire::Manifest {
        driver: "bench".to_owned(),
        model: "bench".to_owned(),
        capabilities: vec![wire::CapabilitySpec { name: "bench".to_owned(), commands: commands.collect() }],
        properties: Vec::new(),
    };
    (&manifest).try_into().expect("a constant manifest that the tests of this module load")
}

/// Does nothing at once.
#[derive(Debug, Default)]
pub struct Noop;

impl Instrument for Noop {
    fn describe(&self) -> Manifest {
        manifest(&[
            ("queryable", wire::ActionClass::Queryable, 0.001),
            ("unqueryable", wire::ActionClass::Unqueryable, 0.001),
        ])
    }

    async fn connect(&mut self) -> Result<String, Fault> {
        Ok("0".to_owned())
    }

    async fn prepare(&mut self, _: &Request, _: &Attention) -> Result<Vec<u8>, Fault> {
        Ok(Vec::new())
    }

    async fn execute(&mut self, _: &Request, _: &Attention) -> Result<Done, Fault> {
        Ok(Done::default())
    }

    async fn recover(&mut self, _: &Request, _: &[u8], _: &Attention) -> Result<Recovered, Fault> {
        Ok(Recovered::NeverStarted)
    }

    async fn attend(&mut self, _: &Request, _: &[u8], _: &Attention) -> Result<Done, Fault> {
        Ok(Done::default())
    }

    async fn read(&mut self) -> Result<Vec<Reading>, Fault> {
        Ok(Vec::new())
    }

    async fn make_safe(&mut self, _: &str) -> Result<String, Fault> {
        Ok("it does nothing anyway".to_owned())
    }
}

/// A dispenser as peers drive it in the comparison: it appends a line to a file, which is the physical effect, and is busy
/// for a while. It cannot be asked what it did.
#[derive(Debug)]
pub struct Dispenser {
    /// The file that stands for the powder on the table.
    pub file: PathBuf,
    /// How long it is busy.
    pub busy: Duration,
}

impl Instrument for Dispenser {
    fn describe(&self) -> Manifest {
        manifest(&[("dispense", wire::ActionClass::Unqueryable, 8.0)])
    }

    async fn connect(&mut self) -> Result<String, Fault> {
        Ok("0".to_owned())
    }

    async fn prepare(&mut self, _: &Request, _: &Attention) -> Result<Vec<u8>, Fault> {
        Ok(Vec::new())
    }

    async fn execute(&mut self, request: &Request, attention: &Attention) -> Result<Done, Fault> {
        let append = || -> std::io::Result<()> {
            let mut file = std::fs::File::options().create(true).append(true).open(&self.file)?;
            writeln!(file, "dispensed for {}", request.key)
        };
        attention.telling();
        append().map_err(|error| Fault::Silent { code: "E0201", message: error.to_string() })?;
        attention.pause(self.busy).await;
        Ok(Done::default())
    }

    async fn recover(&mut self, _: &Request, _: &[u8], _: &Attention) -> Result<Recovered, Fault> {
        Ok(Recovered::Unknown("it cannot be asked".to_owned()))
    }

    async fn attend(&mut self, _: &Request, _: &[u8], _: &Attention) -> Result<Done, Fault> {
        Err(Fault::Silent { code: "E0201", message: "it cannot be attended".to_owned() })
    }

    async fn read(&mut self) -> Result<Vec<Reading>, Fault> {
        Ok(Vec::new())
    }

    async fn make_safe(&mut self, _: &str) -> Result<String, Fault> {
        Ok("it stands still".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_load() {
        assert!(Noop.describe().command("bench", "queryable").is_some());
        let dispenser = Dispenser { file: PathBuf::new(), busy: Duration::ZERO };
        assert!(dispenser.describe().command("bench", "dispense").is_some());
    }
}
