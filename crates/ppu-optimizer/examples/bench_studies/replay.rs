//! Runs a study against a function.

use std::collections::BTreeMap;

use ppu_optimizer::Study;
use ppu_optimizer::space::{Design, Parameter, Space};
use ppu_optimizer::study::{Aim, Definition, Outcome, Pick, Reading, Told, Wanted};

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

/// Asks for one design at a time and tells what `measure` gives, until `more` says stop.
pub(crate) fn replay(
    definition: Definition,
    mut more: impl FnMut(&Study) -> bool,
    mut measure: impl FnMut(&Pick) -> Outcome,
) -> Study {
    let mut study = Study::new(definition).expect("the benchmark is sound");
    while more(&study) {
        let answer = study.ask(1).expect("the question is sound");
        let Some(pick) = answer.picks.into_iter().next() else { break };
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
