//! A mixture: five components of which at most three are used, dispensed in steps of 1 %, with a limit on the price. Every
//! proposal sums to exactly 100 %.
//!
//! `cargo run -p ppu-optimizer --example mixture`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;
use std::error::Error;

use ppu_optimizer::Study;
use ppu_optimizer::space::{Constraint, Design, Parameter, Relation, Space};
use ppu_optimizer::study::{Aim, Definition, Outcome, Reading, Told, Wanted};

const PARTS: [&str; 5] = ["resin", "hardener", "filler", "rubber", "dye"];

fn strength(design: &Design) -> f64 {
    let x = |name: &str| design.number(name).unwrap_or(0.0);
    60.0 - 200.0 * (x("resin") - 0.55).powi(2) - 300.0 * (x("hardener") - 0.3).powi(2) + 40.0 * x("rubber") * x("resin")
        - 50.0 * x("dye")
}

fn main() -> Result<(), Box<dyn Error>> {
    let parts: Vec<String> = PARTS.iter().map(|part| (*part).to_owned()).collect();
    let prices = [3.0, 5.0, 0.5, 4.0, 9.0];
    let terms = parts.iter().cloned().zip(prices).collect();
    let space = Space {
        parameters: PARTS.iter().map(|part| Parameter::stepped(part, 0.0, 1.0, 0.01)).collect(),
        constraints: vec![
            Constraint::Mixture { name: "whole".to_owned(), parts: parts.clone(), total: 1.0 },
            Constraint::Count { name: "recipe".to_owned(), parts, at_least: 2, at_most: 3, least: 0.05 },
            Constraint::Linear { name: "price".to_owned(), terms, relation: Relation::AtMost, bound: 3.5 },
        ],
    };
    let objective = Wanted { name: "strength".to_owned(), aim: Aim::Maximize, reference: None, known: None };
    let definition = Definition {
        space,
        objectives: vec![objective],
        fidelities: Vec::new(),
        pool: Vec::new(),
        seed: 1,
        start: None,
    };
    let mut study = Study::new(definition)?;
    for _ in 0..24 {
        for pick in study.ask(1)?.picks {
            let value = strength(&pick.design);
            let total: f64 = PARTS.iter().filter_map(|part| pick.design.number(part)).sum();
            println!("{:<6} {:<62} sum {total}  strength {value:.2}", pick.id, pick.design.to_string());
            let outcome = Outcome::Valid(BTreeMap::from([("strength".to_owned(), Reading::from(value))]));
            study.tell(Told { id: pick.id, design: pick.design, outcome, fidelity: None })?;
        }
    }
    if let Some(best) = study.best()?.first() {
        println!("best: {} with {:.2}", best.design, strength(&best.design));
    }
    Ok(())
}
