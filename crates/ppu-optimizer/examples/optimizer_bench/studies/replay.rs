//! Runs a study against a function.

use std::collections::BTreeMap;

use ppu_optimizer::Study;
use ppu_optimizer::space::{Design, Parameter, Space};
use ppu_optimizer::study::{Aim, Definition, Outcome, Pick, Reading, Told, Wanted};
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

pub(crate) fn wanted(name: &str, aim: Aim, reference: Option<f64>) -> Wanted {
    Wanted { name: name.to_owned(), aim, reference, known: None }
}

pub(crate) fn definition(space: Space, objectives: Vec<Wanted>, seed: u64, start: usize) -> Definition {
    Definition { space, objectives, fidelities: Vec::new(), pool: Vec::new(), seed, start: Some(start) }
}

/// x0, x1, … on the unit cube.
pub(crate) fn cube(dimensions: usize) -> Space {
    let parameters = (0..dimensions).map(|at| Parameter::continuous(&format!("x{at}"), 0.0, 1.0)).collect();
    Space { parameters, constraints: Vec::new() }
}

/// The numbers x0, x1, … of a design.
pub(crate) fn numbers(design: &Design, dimensions: usize) -> Vec<f64> {
    (0..dimensions).map(|at| design.number(&format!("x{at}")).expect("the design is complete")).collect()
}

pub(crate) fn valid(readings: &[(&str, f64)]) -> Outcome {
    let readings = readings.iter().map(|(name, value)| ((*name).to_owned(), Reading::from(*value)));
    Outcome::Valid(readings.collect::<BTreeMap<_, _>>())
}

/// Who chooses the designs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chooser {
    /// The study.
    Study,
    /// Random search, or whatever else a row is measured by.
    Yardstick,
}

/// One design at a time, told with what `measure` gives, until `more` says stop.
pub(crate) fn replay(
    definition: Definition,
    mut more: impl FnMut(&Study) -> bool,
    chooser: Chooser,
    mut measure: impl FnMut(&Pick) -> Outcome,
) -> Study {
    let mut rng = ChaCha12Rng::seed_from_u64(definition.seed ^ 0x5eed);
    let mut study = Study::new(definition).expect("the benchmark is sound");
    while more(&study) {
        let pick = match chooser {
            Chooser::Study => study.ask(1).expect("the question is sound").picks.into_iter().next(),
            Chooser::Yardstick => study.domain().sample(1, &mut rng).into_iter().next().map(|design| Pick {
                id: format!("r{}", study.record().told.len()),
                design,
                fidelity: None,
                predicted: BTreeMap::new(),
                log_improvement: None,
                probability_feasible: 1.0,
                reason: String::new(),
            }),
        };
        let Some(pick) = pick else { break };
        let outcome = measure(&pick);
        let told = Told { id: pick.id, design: pick.design, outcome, fidelity: pick.fidelity };
        study.tell(told).expect("the result is sound");
    }
    study
}

/// Until there are `count` results.
pub(crate) fn until(count: usize) -> impl FnMut(&Study) -> bool {
    move |study| study.record().told.len() < count
}
