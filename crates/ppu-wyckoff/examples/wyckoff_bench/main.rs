//! Measures the crystal model on the held-out formulas of MP-20, beside ionic substitution in its training crystals. One line
//! of JSON a bar goes to standard output, progress to standard error.
//!
//! `cargo run --release -p ppu-wyckoff --example wyckoff_bench -- [--data DIR] [--samples N] [--model FILE]`
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a benchmark reads files and a clock, and prints what it measured"
)]

mod baseline;
mod data;
mod measure;

use std::path::PathBuf;

use ppu_twin::rules::ChargeSettings;
use ppu_wyckoff::{Artifact, Condition, Crystal, Grammar, Network, Surprise, sample};
use rand::SeedableRng as _;
use rand_chacha::ChaCha12Rng;

use measure::{Portrait, cpu_seconds};

/// What went wrong, in a sentence for people.
pub(crate) type Problem = Box<dyn std::error::Error>;

/// The charge rule of all figures: SMACT's defaults (states of at least 3 reports, no mixed valence, electronegativities
/// compared), with alloys accepted as the published figures have it.
const RULE: ChargeSettings = ChargeSettings {
    least_reports: 3,
    least_share: 0.0,
    electronegativity: true,
    mixed_valence: false,
    alloys_pass: true,
};
/// Crystals that get atoms: the search for their symmetry takes milliseconds.
const REALISED: usize = 500;

/// One figure, for one line of output.
struct Bar<'a> {
    bar: &'a str,
    value: f64,
    unit: &'a str,
    target: &'a str,
    peer: &'a str,
    peer_value: Option<f64>,
    holds: bool,
}

impl Bar<'_> {
    fn print(&self) {
        let peer = self.peer_value.map_or("null".to_owned(), |value| value.to_string());
        println!(
            "{{\"bar\":{:?},\"value\":{},\"unit\":{:?},\"target\":{:?},\"peer\":{:?},\"peer_value\":{peer},\"holds\":{}}}",
            self.bar, self.value, self.unit, self.target, self.peer, self.holds
        );
    }
}

struct Arguments {
    data: PathBuf,
    samples: usize,
    model: Option<PathBuf>,
}

fn main() -> Result<(), Problem> {
    let arguments = arguments()?;
    let model = match &arguments.model {
        Some(path) => Artifact::from_bytes(&std::fs::read(path)?)?,
        None => Artifact::shipped()?,
    };
    let Some(parts) = data::mp20(&arguments.data)? else {
        eprintln!("skipped: there is no mp20/mp20_binary_ternary.jsonl.gz in {}", arguments.data.display());
        return Ok(());
    };
    eprintln!(
        "{} crystals in training, {} in validation, {} held out",
        parts.train.len(),
        parts.validation.len(),
        parts.test.len()
    );
    likelihood(&model.network, &parts)?;
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let drawn = draw(&model.network, &Condition::default(), arguments.samples, &mut rng)?;
    let substituted = baseline::substituted(&parts.train, arguments.samples, &mut rng);
    eprintln!("{} drawn, {} substituted", drawn.len(), substituted.len());
    compare(&drawn, &substituted, &parts);
    charged(&model.network, arguments.samples / 4, &mut rng)?;
    realised(&model, &drawn, &mut rng);
    Ok(())
}

/// How surprised the model is by the held-out crystals, beside equal chances for everything that the rules allow.
fn likelihood(network: &Network<f32>, parts: &data::Parts) -> Result<(), Problem> {
    let uniform = Network::zero();
    for (name, part) in [("validation", &parts.validation), ("held out", &parts.test)] {
        let (found, flat) = (Surprise::of(network, part)?, Surprise::of(&uniform, part)?);
        let figures = [
            ("nats a crystal", found.per_crystal, flat.per_crystal),
            ("nats an orbit, system and group included", found.per_orbit, flat.per_orbit),
            ("nats an orbit, system and group given", found.of_orbits, flat.of_orbits),
        ];
        for (what, value, peer) in figures {
            let bar = format!("{name}: -ln q, {what}");
            let target = "below equal chances";
            Bar {
                bar: &bar,
                value,
                unit: "nat",
                target,
                peer: "equal chances",
                peer_value: Some(peer),
                holds: value < peer,
            }
            .print();
        }
    }
    Ok(())
}

/// Draws crystals and prints the time that one takes.
fn draw(
    network: &Network<f32>,
    condition: &Condition,
    count: usize,
    rng: &mut ChaCha12Rng,
) -> Result<Vec<Crystal>, Problem> {
    let grammar = Grammar::new(condition)?;
    // The first ones fill tables of look-ahead that all later ones share.
    let mut one =
        || sample(network, &grammar, 1.0, rng).map(|sampled| sampled.crystal).ok_or("the network is not a number");
    for _ in 0..count.min(200) {
        one()?;
    }
    let began = cpu_seconds();
    let drawn = (0..count).map(|_| one()).collect::<Result<Vec<Crystal>, _>>()?;
    let each = 1e3 * (cpu_seconds() - began) / count.max(1) as f64;
    let with = if condition.charges.is_some() { ", charges balanced while it is drawn" } else { "" };
    let bar = format!("time to draw a crystal, one core{with}");
    Bar { bar: &bar, value: each, unit: "ms", target: "< 1", peer: "", peer_value: None, holds: each < 1.0 }.print();
    Ok(drawn)
}

fn compare(drawn: &[Crystal], substituted: &[Crystal], parts: &data::Parts) {
    let ours = Portrait::new(drawn, parts);
    let theirs = Portrait::new(substituted, parts);
    let held_out = Portrait::new(&parts.test, parts);
    eprintln!("the held-out crystals themselves: {held_out:?}");
    let floor = Portrait::new(&parts.train, parts);
    let targets = [
        format!("at least the held-out crystals' own, {:.3}", held_out.valid),
        "at least the baseline's".to_owned(),
        "at least the baseline's".to_owned(),
        format!("below the baseline's; the training part itself has {:.3}", floor.group_distance),
        format!("below the baseline's; the training part itself has {:.4}", floor.arity_distance),
        "above the baseline's".to_owned(),
        "above the baseline's, which has no template that is not in training".to_owned(),
    ];
    let figures = [
        (
            "valid: SMACT-type, states of >= 3 reports, no mixed valence, alloys pass",
            ours.valid,
            theirs.valid,
            ours.valid >= held_out.valid,
        ),
        ("unique, by formula, group and orbits", ours.unique, theirs.unique, ours.unique >= theirs.unique),
        (
            "new among unique ones: not in MP-20 training part by formula, group and orbits",
            ours.novel,
            theirs.novel,
            ours.novel >= theirs.novel,
        ),
        (
            "space groups: total variation to the held-out part",
            ours.group_distance,
            theirs.group_distance,
            ours.group_distance < theirs.group_distance,
        ),
        (
            "numbers of elements: total variation to the held-out part",
            ours.arity_distance,
            theirs.arity_distance,
            ours.arity_distance < theirs.arity_distance,
        ),
        (
            "templates (group and positions) of the held-out part that were drawn",
            ours.covered,
            theirs.covered,
            ours.covered > theirs.covered,
        ),
        (
            "the same, of those that are not in the training part",
            ours.covered_new,
            theirs.covered_new,
            ours.covered_new > theirs.covered_new,
        ),
    ];
    for ((bar, value, peer, holds), target) in figures.into_iter().zip(&targets) {
        Bar { bar, value, unit: "1", target, peer: "ion exchange in training crystals", peer_value: Some(peer), holds }
            .print();
    }
}

/// With the charge rule as a condition everything is valid by construction, and that is checked.
fn charged(network: &Network<f32>, count: usize, rng: &mut ChaCha12Rng) -> Result<(), Problem> {
    let condition = Condition { charges: Some(RULE), ..Condition::default() };
    let drawn = draw(network, &condition, count, rng)?;
    let valid = drawn.iter().filter(|crystal| measure::valid(crystal)).count() as f64 / drawn.len().max(1) as f64;
    let bar = "valid by the same rule, with the rule as a condition";
    Bar { bar, value: valid, unit: "1", target: "1", peer: "", peer_value: None, holds: valid == 1.0 }.print();
    Ok(())
}

/// How many crystals get atoms that keep apart, and have the symmetry that was drawn.
fn realised(model: &Artifact, drawn: &[Crystal], rng: &mut ChaCha12Rng) {
    let some = &drawn[..drawn.len().min(REALISED)];
    let structures: Vec<_> = some.iter().map(|crystal| model.realiser.realise(crystal, rng).ok()).collect();
    let share = |count: usize| count as f64 / some.len().max(1) as f64;
    let placed = share(structures.iter().flatten().count());
    let same = |(crystal, structure): &(&Crystal, &Option<ppu_atoms::Structure>)| {
        let read = structure.as_ref().and_then(|structure| ppu_wyckoff::describe(structure, data::TOLERANCE).ok());
        read.is_some_and(|read| read.crystal == crystal.canonical())
    };
    let kept = share(some.iter().zip(&structures).filter(same).count());
    let bar = |bar, value| {
        Bar { bar, value, unit: "1", target: "none, before relaxation", peer: "", peer_value: None, holds: true }
            .print()
    };
    bar("got atoms that keep apart by half the sum of their radii", placed);
    bar("got atoms that keep apart, and are read back as the very crystal that was drawn", kept);
}

fn arguments() -> Result<Arguments, Problem> {
    let data = std::env::var_os("PPU_REFERENCE_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let mut found = Arguments { data, samples: 10_000, model: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word} needs a value"))?;
        match word.as_str() {
            "--data" => found.data = PathBuf::from(value),
            "--samples" => found.samples = value.parse()?,
            "--model" => found.model = Some(PathBuf::from(value)),
            _ => return Err(format!("{word} is not known; there are --data, --samples, --model").into()),
        }
    }
    Ok(found)
}
