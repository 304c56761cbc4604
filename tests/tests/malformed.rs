//! What people are told about files with a mistake in them, checked against the lab of the demo. The messages are kept
//! as snapshots, so that a change of wording is looked at by a person; that each names its place and a cure is asserted.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails loudly")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use ppu_core::campaign::CampaignSpec;
use ppu_core::lab::{Lab, LabModel};
use ppu_core::problem::{Problem, Problems};
use ppu_core::protocol::Protocol;
use ppu_instruments::{InstrumentFile, manifest_with};

fn read(path: &str) -> String {
    std::fs::read_to_string(xtask::root().join(path)).unwrap()
}

/// The lab of the demo with what its drivers announce.
fn demo_lab() -> LabModel {
    let lab = Lab::parse("demo.toml", &read("config/labs/demo.toml")).unwrap();
    let mut manifests = BTreeMap::new();
    for device in &lab.devices {
        let name = format!("config/instruments/{}.toml", device.instrument);
        let file = InstrumentFile::parse(&name, &read(&name)).unwrap();
        manifests
            .insert(device.id.clone(), manifest_with(&file.driver, &file.settings_with(&device.settings)).unwrap());
    }
    lab.model(&manifests)
}

/// What is wrong with a protocol, found by reading it, filling it in with its defaults, or checking it against the lab.
fn of_protocol(file: &str, text: &str) -> Result<(), Problems> {
    Protocol::parse(file, text)?.fill_in(&BTreeMap::new())?.check(&demo_lab())
}

fn of_lab(file: &str, text: &str) -> Result<(), Problems> {
    Lab::parse(file, text).map(drop)
}

fn of_campaign(file: &str, text: &str) -> Result<(), Problems> {
    let name = "config/protocols/drop_cast_film.toml";
    let protocol = Protocol::parse(name, &read(name)).unwrap();
    CampaignSpec::parse(file, text, &protocol).map(drop)
}

/// Every file of a folder must be refused with messages that people can act on; the messages are snapshots.
fn refused(folder: &str, check: fn(&str, &str) -> Result<(), Problems>, at_least: usize) {
    let path: PathBuf = xtask::root().join("tests/files/malformed").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= at_least, "only {} files", files.len());
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let problems = match check(name, &text) {
            Ok(()) => panic!("{folder}/{name} was accepted"),
            Err(problems) => problems,
        };
        assert!(!problems.0.is_empty(), "{folder}/{name} is refused without a reason");
        for problem in &problems.0 {
            names_place_and_cure(problem, name, &text);
        }
        insta::assert_snapshot!(format!("{folder}_{}", name.trim_end_matches(".toml")), problems.to_string());
    }
}

/// File, line, the part of the file that is concerned, and a cure: without them a message only says no.
fn names_place_and_cure(problem: &Problem, file: &str, text: &str) {
    assert_eq!(problem.file, file, "{problem}");
    assert!(!problem.message.is_empty() && !problem.cure.is_empty(), "{problem}");
    assert!(!problem.subject.is_empty() || !problem.field.is_empty(), "{problem}");
    match problem.line {
        Some(line) => assert!(line >= 1 && line <= text.lines().count(), "{problem}"),
        // A table that is missing altogether has no line.
        None => assert_eq!(problem.message, "the lab has no device"),
    }
}

#[test]
fn protocols_with_a_mistake_are_refused_with_place_and_cure() {
    refused("protocols", of_protocol, 10);
}

#[test]
fn labs_with_a_mistake_are_refused_with_place_and_cure() {
    refused("labs", of_lab, 5);
}

#[test]
fn campaigns_with_a_mistake_are_refused_with_place_and_cure() {
    refused("campaigns", of_campaign, 3);
}

#[test]
fn every_mistake_of_a_file_is_told_at_once() {
    let text = read("config/protocols/drop_cast_film.toml")
        .replace("\"coat.stage\"", "\"coat.stge\"")
        .replace("annealing.anneal", "annealing.aneal")
        .replace("speed_rpm = 600", "speed_rpm = 6000");
    let given =
        [("cs", 0.2), ("ma", 0.1), ("fa", 0.7), ("br", 0.3), ("anneal_temperature_c", 150.0), ("anneal_min", 10.0)];
    let given = given.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let plan = Protocol::parse("film.toml", &text).unwrap().fill_in(&given).unwrap();
    let problems = plan.check(&demo_lab()).unwrap_err();
    for part in ["coat.stge", "aneal", "speed"] {
        assert!(problems.to_string().contains(part), "{part} is not told of in\n{problems}");
    }
}
