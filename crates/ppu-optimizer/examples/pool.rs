//! A pool of a million combinations that is never held in memory: six categories of ten levels each, some of them with
//! descriptors.
//!
//! `cargo run --release -p ppu-optimizer --example pool`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;
use std::error::Error;

use ppu_optimizer::Study;
use ppu_optimizer::space::{Design, Domain, Kind, Level, Parameter, Space};
use ppu_optimizer::study::{Aim, Definition, Outcome, Reading, Told, Wanted};

fn parameters() -> Vec<Parameter> {
    let level = |component: usize, at: usize| {
        let x = at as f64 / 9.0;
        // Two descriptors that carry the chemistry and one that does not.
        let descriptors = vec![x, (3.0 * x + component as f64).sin(), ((at * 7) % 10) as f64];
        Level { name: format!("c{component}-{at}"), descriptors }
    };
    let component = |component: usize| Parameter {
        name: format!("component {component}"),
        kind: Kind::Categorical { levels: (0..10).map(|at| level(component, at)).collect() },
        active_if: None,
    };
    (0..6).map(component).collect()
}

/// Stands for the laboratory: reads the first descriptor of each level.
fn measure(domain: &Domain, design: &Design) -> f64 {
    let mut sum = 0.0;
    for (at, parameter) in domain.space().parameters.iter().enumerate() {
        let Kind::Categorical { levels } = &parameter.kind else { continue };
        let level = levels.iter().find(|level| design.level(&parameter.name) == Some(&level.name));
        let x = level.map_or(0.0, |level| level.descriptors[0]);
        sum -= (x - 0.15 * at as f64).powi(2);
    }
    100.0 * sum.exp()
}

fn main() -> Result<(), Box<dyn Error>> {
    let space = Space { parameters: parameters(), constraints: Vec::new() };
    let objective = Wanted { name: "yield".to_owned(), aim: Aim::Maximize, reference: None, known: None };
    let definition = Definition {
        space,
        objectives: vec![objective],
        fidelities: Vec::new(),
        pool: Vec::new(),
        seed: 1,
        start: None,
    };
    let mut study = Study::new(definition)?;
    println!("{} candidates", study.domain().size().unwrap_or(f64::INFINITY));
    let mut highest = f64::NEG_INFINITY;
    for round in 0..9 {
        for pick in study.ask(4)?.picks {
            let value = measure(study.domain(), &pick.design);
            highest = highest.max(value);
            let outcome = Outcome::Valid(BTreeMap::from([("yield".to_owned(), Reading::from(value))]));
            study.tell(Told { id: pick.id, design: pick.design, outcome, fidelity: None })?;
        }
        println!("after {:>2} experiments: best yield {highest:.1}", 4 * (round + 1));
    }
    Ok(())
}
