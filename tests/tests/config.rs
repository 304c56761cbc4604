//! Every file under config/ is read and checked, so that what ships with `ppu` works.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use firmware_sim::config::WorldFile;
use firmware_sim::world::{LedgerWriter, World};
use ppu_core::campaign::{CampaignSpec, protocol_of};
use ppu_core::lab::{Connection, Lab};
use ppu_core::protocol::Protocol;
use ppu_core::{DeviceId, Manifest};
use ppu_instruments::{DRIVERS, InstrumentFile, manifest_with};

fn config() -> PathBuf {
    xtask::root().join("config")
}

/// The TOML files of a folder of config/; there must be some, or the tests below would prove nothing.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(config().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "config/{folder} is empty");
    files
}

fn text(path: &Path) -> (String, String) {
    (path.display().to_string(), std::fs::read_to_string(path).unwrap())
}

fn instrument(name: &str) -> InstrumentFile {
    let (file, text) = text(&config().join(format!("instruments/{name}.toml")));
    InstrumentFile::parse(&file, &text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn lab(path: &Path) -> Lab {
    let (file, text) = text(path);
    Lab::parse(&file, &text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn protocol(path: &Path) -> Protocol {
    let (file, text) = text(path);
    Protocol::parse(&file, &text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// What the drivers of a lab announce, with the settings of the instrument files and of the lab.
fn manifests(lab: &Lab) -> BTreeMap<DeviceId, Manifest> {
    let manifest = |device: &ppu_core::lab::LabDevice| {
        let file = instrument(&device.instrument);
        manifest_with(&file.driver, &file.settings_with(&device.settings))
            .unwrap_or_else(|error| panic!("device {}: {error}", device.id))
    };
    lab.devices.iter().map(|device| (device.id.clone(), manifest(device))).collect()
}

fn demo_lab() -> Lab {
    lab(&config().join("labs/demo.toml"))
}

#[test]
fn every_instrument_file_is_sound_and_every_driver_has_one() {
    let mut drivers = BTreeSet::new();
    for path in files("instruments") {
        let (file, text) = text(&path);
        let file = InstrumentFile::parse(&file, &text).unwrap_or_else(|problems| panic!("{problems}"));
        manifest_with(&file.driver, &file.settings).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        drivers.insert(file.driver);
    }
    assert_eq!(drivers, DRIVERS.iter().map(|driver| (*driver).to_owned()).collect());
}

#[test]
fn every_lab_is_sound_with_the_instruments_it_names() {
    for path in files("labs") {
        let lab = lab(&path);
        assert_eq!(manifests(&lab).len(), lab.devices.len(), "{}", path.display());
    }
}

#[test]
fn every_world_is_sound_and_can_be_built() {
    for path in files("worlds") {
        let file = WorldFile::load(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!file.devices.is_empty(), "{}", path.display());
        World::new(&file.world, 1, LedgerWriter::discard())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

#[test]
fn every_simulated_lab_finds_its_devices_and_positions_in_its_world() {
    let mut simulated = 0;
    for path in files("labs") {
        let lab = lab(&path);
        let Some(simulation) = &lab.simulation else { continue };
        let file = WorldFile::load(&path.parent().unwrap().join(&simulation.world)).unwrap();
        let world = World::new(&file.world, simulation.seed, LedgerWriter::discard()).unwrap();
        let positions: BTreeSet<String> = world.positions().into_iter().collect();
        for device in lab.devices.iter().filter(|device| device.connect == Connection::Simulated) {
            let entry = file.devices.iter().find(|entry| entry.name == device.id.as_str());
            assert!(entry.is_some(), "{}: the world has no {}", path.display(), device.id);
            simulated += 1;
        }
        let reached = lab.positions.iter().filter(|position| position.as_str() != file.world.vial.name);
        for position in reached {
            assert!(
                positions.contains(position.as_str()),
                "{}: the world has no position {position}; it has {positions:?}",
                path.display()
            );
        }
    }
    assert!(simulated > 0, "no lab is simulated");
}

#[test]
fn every_protocol_runs_in_the_demo_lab() {
    let lab = demo_lab();
    let model = lab.model(&manifests(&lab));
    for path in files("protocols") {
        let protocol = protocol(&path);
        for share in [0.25, 0.5, 0.75] {
            let value = |min: f64, max: f64| min + share * (max - min);
            let given = protocol
                .parameters()
                .iter()
                .map(|parameter| (parameter.name.clone(), value(parameter.min, parameter.max)))
                .collect();
            let plan = protocol.fill_in(&given).unwrap_or_else(|problems| panic!("{problems}"));
            plan.check(&model).unwrap_or_else(|problems| panic!("{problems}"));
        }
    }
}

/// Corners of the design space are where a volume becomes too small to draw or a temperature too high to reach.
#[test]
fn every_campaign_can_run_all_over_its_design_space() {
    let lab = demo_lab();
    let model = lab.model(&manifests(&lab));
    for path in files("campaigns") {
        let (file, text) = text(&path);
        let protocol = protocol(&path.parent().unwrap().join(protocol_of(&file, &text).unwrap()));
        let spec = CampaignSpec::parse(&file, &text, &protocol).unwrap_or_else(|problems| panic!("{problems}"));
        let free = spec.space.free().count();
        let mut checked = 0;
        for corner in 0..1u32 << free {
            for inset in [0.0, 0.1, 0.5] {
                let unit = |at: usize| if corner >> at & 1 == 1 { 1.0 - inset } else { inset };
                let point: Vec<f64> = (0..free).map(unit).collect();
                // Some corners break the sum of a mixture: they are not in the design space.
                let Some(candidate) = spec.space.from_unit(&point) else { continue };
                let mut values = spec.fixed.clone();
                values.extend(candidate.0);
                let plan = protocol.fill_in(&values).unwrap_or_else(|problems| panic!("{problems}"));
                plan.check(&model).unwrap_or_else(|problems| panic!("{point:?}: {problems}"));
                checked += 1;
            }
        }
        assert!(checked > 10, "{}: only {checked} candidates", path.display());
    }
}
