//! The shortest search: two numbers, one noisy objective, results told as they come, and a look at why.
//!
//! `cargo run -p ppu-optimizer --example ask_tell`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;
use std::error::Error;

use ppu_optimizer::Study;
use ppu_optimizer::space::{Design, Parameter, Space};
use ppu_optimizer::study::{Aim, Definition, Outcome, Reading, Told, Wanted};

/// Stands for the laboratory. Hot and slow reactions decompose: nothing to measure.
fn measure(design: &Design) -> Outcome {
    let (temperature, minutes) = (design.number("temperature").unwrap_or(0.0), design.number("minutes").unwrap_or(1.0));
    if temperature > 150.0 && minutes > 60.0 {
        return Outcome::Infeasible { reason: "decomposed".to_owned() };
    }
    let conversion = 1.0 / (1.0 + (-(temperature - 95.0) / 12.0 - (minutes / 20.0).ln()).exp());
    let loss = 0.4 * ((temperature - 80.0) / 100.0).powi(2);
    Outcome::Valid(BTreeMap::from([("yield".to_owned(), Reading::from(100.0 * (conversion - loss)))]))
}

fn main() -> Result<(), Box<dyn Error>> {
    let space = Space {
        parameters: vec![
            Parameter::stepped("temperature", 40.0, 200.0, 1.0),
            Parameter::logarithmic("minutes", 1.0, 240.0),
        ],
        constraints: Vec::new(),
    };
    let objective = Wanted { name: "yield".to_owned(), aim: Aim::Maximize, reference: None, known: None };
    let mut study = Study::new(Definition {
        space,
        objectives: vec![objective],
        fidelities: Vec::new(),
        pool: Vec::new(),
        seed: 1,
        start: None,
    })?;
    for _ in 0..10 {
        let answer = study.ask(2)?;
        for pick in answer.picks {
            let outcome = measure(&pick.design);
            println!("{:<6} {:<42} {}", pick.id, pick.design.to_string(), pick.reason);
            study.tell(Told { id: pick.id, design: pick.design, outcome, fidelity: None })?;
        }
    }
    for best in study.best()? {
        let expected = best.predicted["yield"];
        println!("best: {} {} yield {:.1} ± {:.1}", best.id, best.design, expected.mean, expected.sd);
    }
    Ok(())
}
