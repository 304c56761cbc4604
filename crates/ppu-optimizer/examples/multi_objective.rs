//! Two objectives, one of them known beforehand: yield, which is measured, against the price of the reagents, which is not.
//! A third observable is a condition.
//!
//! `cargo run -p ppu-optimizer --example multi_objective`
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;
use std::error::Error;

use ppu_optimizer::Study;
use ppu_optimizer::multi::hypervolume;
use ppu_optimizer::space::{Design, Parameter, Space};
use ppu_optimizer::study::{Aim, Definition, Known, Outcome, Reading, Told, Wanted};

fn measure(design: &Design) -> (f64, f64) {
    let catalyst = design.number("catalyst").unwrap_or(0.0);
    let temperature = design.number("temperature").unwrap_or(0.0);
    let factor = match design.level("base") {
        Some("phosphate") => 1.0,
        Some("carbonate") => 0.85,
        _ => 0.6,
    };
    let rate = catalyst.sqrt() * ((temperature - 60.0) / 60.0).clamp(0.0, 1.0);
    (100.0 * factor * (1.0 - (-3.0 * rate).exp()), 0.02 * (temperature - 40.0) + 0.5 * catalyst)
}

fn main() -> Result<(), Box<dyn Error>> {
    let bases = ["phosphate", "carbonate", "acetate"];
    let space = Space {
        parameters: vec![
            Parameter::continuous("catalyst", 0.05, 2.0),
            Parameter::stepped("temperature", 60.0, 140.0, 1.0),
            Parameter::categorical("base", &bases),
        ],
        constraints: Vec::new(),
    };
    let amounts = bases.iter().zip([2.0, 0.7, 0.3]).map(|(base, price)| ((*base).to_owned(), price)).collect();
    let price = Known {
        offset: 1.0,
        factors: BTreeMap::from([("catalyst".to_owned(), 6.0)]),
        levels: BTreeMap::from([("base".to_owned(), amounts)]),
    };
    let objectives = vec![
        Wanted { name: "yield".to_owned(), aim: Aim::Maximize, reference: Some(0.0), known: None },
        Wanted { name: "price".to_owned(), aim: Aim::Minimize, reference: Some(15.0), known: Some(price.clone()) },
        Wanted { name: "impurity".to_owned(), aim: Aim::AtMost(1.8), reference: None, known: None },
    ];
    let definition = Definition { space, objectives, fidelities: Vec::new(), pool: Vec::new(), seed: 1, start: None };
    let mut study = Study::new(definition)?;
    let mut points = Vec::new();
    for round in 0..10 {
        for pick in study.ask(2)?.picks {
            let (product, impurity) = measure(&pick.design);
            if impurity <= 1.8 {
                points.push(vec![product, -price.value(&pick.design)]);
            }
            let readings = [("yield", product), ("impurity", impurity)];
            let readings = readings.map(|(name, value)| (name.to_owned(), Reading::from(value)));
            let outcome = Outcome::Valid(BTreeMap::from(readings));
            study.tell(Told { id: pick.id, design: pick.design, outcome, fidelity: None })?;
        }
        println!("after {:>2} experiments: hypervolume {:.0}", 2 * round + 2, hypervolume(&points, &[0.0, -15.0]));
    }
    println!("the front:");
    for best in study.best()? {
        let (product, cost) = (best.predicted["yield"], best.predicted["price"]);
        println!(
            "  {:<52} yield {:.1} ± {:.1}, price {:.2}",
            best.design.to_string(),
            product.mean,
            product.sd,
            cost.mean
        );
    }
    Ok(())
}
