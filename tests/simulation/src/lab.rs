//! The lab of the simulation: an instrument of each action class, and plans that use them all.

use std::fmt::Write as _;

use ppu_core::ActionClass;
use rand::RngExt as _;
use rand::rngs::StdRng;

/// Samples in the rack.
pub const SAMPLES: usize = 8;

/// One instrument of the lab.
#[derive(Debug, Clone, Copy)]
pub struct Station {
    /// Device id.
    pub device: &'static str,
    /// Capability and verb.
    pub verb: (&'static str, &'static str),
    /// Class of the verb.
    pub class: ActionClass,
    /// Whether a sample has to stand in it.
    pub needs_sample: bool,
}

const fn station(
    device: &'static str,
    verb: (&'static str, &'static str),
    class: ActionClass,
    needs_sample: bool,
) -> Station {
    Station { device, verb, class, needs_sample }
}

/// All of them: two ovens that are equal, and one of everything else.
pub const STATIONS: [Station; 7] = [
    station("arm", ("transfer", "move"), ActionClass::Queryable, false),
    station("balance", ("weighing", "weigh"), ActionClass::Idempotent, true),
    station("dispenser", ("dosing", "dispense"), ActionClass::Unqueryable, true),
    station("oven_a", ("annealing", "anneal"), ActionClass::Continuing, true),
    station("oven_b", ("annealing", "anneal"), ActionClass::Continuing, true),
    station("pump", ("pumping", "aspirate"), ActionClass::Queryable, false),
    station("purge", ("purging", "purge"), ActionClass::Safety, false),
];

/// The lab file.
pub fn lab_toml() -> String {
    let mut text = format!(
        "version = 1\nlab = \"simulation\"\ntitle = \"Simulated lab\"\n\
         [simulation]\nworld = \"none\"\nspeed = 1.0\nseed = 1\n\
         [[rack]]\nname = \"rack\"\nslots = {SAMPLES}\nsamples = {SAMPLES}\n"
    );
    for station in STATIONS {
        let position =
            if station.needs_sample { format!("sample_position = \"{}.in\"\n", station.device) } else { String::new() };
        writeln!(
            text,
            "[[device]]\nid = \"{}\"\ninstrument = \"{}\"\nconnect = \"simulated\"\n{position}",
            station.device, station.device
        )
        .expect("text takes everything");
    }
    text
}

/// A plan of random shape: visits of the sample to stations one after the other, and beside them side steps that need no
/// sample, each after a visit.
pub fn random_protocol(random: &mut StdRng, visits: usize, side_steps: usize) -> String {
    let mut text = "version = 1\nprotocol = \"story\"\ntitle = \"A story\"\n".to_owned();
    let stations = ["weighing", "dosing", "annealing"];
    let verbs = ["weighing.weigh", "dosing.dispense", "annealing.anneal"];
    let chosen: Vec<usize> = (0..visits).map(|_| random.random_range(0..stations.len())).collect();
    for (number, station) in chosen.iter().enumerate() {
        writeln!(text, "[[lease]]\nname = \"v{number}\"\ncapability = \"{}\"", stations[*station])
            .expect("text takes everything");
    }
    let mut step = |name: &str, what: &str, after: Option<&str>, rest: &str| {
        let after = after.map_or("[]".to_owned(), |after| format!("[\"{after}\"]"));
        writeln!(text, "[[step]]\nname = \"{name}\"\n{what}\nafter = {after}\n{rest}").expect("text takes everything");
    };
    let mut before: Option<String> = None;
    for (number, station) in chosen.iter().enumerate() {
        let lease = format!("leases = [\"v{number}\"]");
        step(&format!("go{number}"), &format!("transfer_to = \"lease:v{number}\""), before.as_deref(), &lease);
        let mut last = format!("go{number}");
        for again in 0..random.random_range(1..3) {
            let name = format!("act{number}_{again}");
            step(&name, &format!("command = \"{}\"", verbs[*station]), Some(&last), &lease);
            last = name;
        }
        let back = format!("{lease}\ncleanup = true");
        step(&format!("back{number}"), "transfer_to = \"home\"", Some(&last), &back);
        before = Some(format!("back{number}"));
    }
    for number in 0..side_steps {
        let verb = if random.random_bool(0.8) { "pumping.aspirate" } else { "purging.purge" };
        let after = format!("go{}", random.random_range(0..visits));
        step(&format!("side{number}"), &format!("command = \"{verb}\""), Some(&after), "");
    }
    text
}
