//! Benchmarks of studies: mixed levels, mixtures, noise that differs by point, several objectives, failures, fidelities, and
//! a pool of a million. One line a row; `--json` gives one JSON object a line.
//!
//! `cargo run --release -p ppu-optimizer --example bench_studies -- [--seeds N] [--only NAME] [--json]`
#![allow(clippy::print_stdout, reason = "the figures are the data that were asked for")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock and its arguments")]

mod problems;
mod replay;
mod rows;

use std::time::Instant;

use rows::{Figure, ROWS};

struct Arguments {
    seeds: u64,
    only: Option<String>,
    json: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut found = Arguments { seeds: 20, only: None, json: false };
    let mut given = std::env::args().skip(1);
    while let Some(one) = given.next() {
        match one.as_str() {
            "--seeds" => {
                let count = given.next().and_then(|count| count.parse().ok());
                found.seeds = count.ok_or("--seeds needs a number")?;
            }
            "--only" => found.only = Some(given.next().ok_or("--only needs a name")?),
            "--json" => found.json = true,
            other => return Err(format!("`{other}` is not an argument; there are --seeds, --only and --json")),
        }
    }
    Ok(found)
}

/// Quartiles by linear interpolation.
fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [0.25, 0.5, 0.75].map(|q| {
        let place = q * (sorted.len() - 1) as f64;
        let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        low + (place - place.floor()) * (high - low)
    })
}

fn main() -> Result<(), String> {
    let arguments = arguments()?;
    for row in ROWS {
        if arguments.only.as_ref().is_some_and(|only| !row.name.contains(only.as_str())) {
            continue;
        }
        let began = Instant::now();
        let figures: Vec<Figure> = (0..arguments.seeds).map(|seed| (row.run)(seed)).collect();
        let seconds = began.elapsed().as_secs_f64();
        for (at, measure) in row.measures.iter().enumerate() {
            let values: Vec<f64> = figures.iter().map(|figure| figure[at]).collect();
            let [low, median, high] = quartiles(&values);
            if arguments.json {
                println!(
                    "{{\"row\":\"{}\",\"measure\":\"{measure}\",\"seeds\":{},\"median\":{median},\"low\":{low},\"high\":{high}}}",
                    row.name, arguments.seeds
                );
            } else {
                println!("{:<28} {measure:<34} median {median:>10.4}   quartiles {low:.4} … {high:.4}", row.name);
            }
        }
        if !arguments.json {
            println!("{:<28} {} seeds in {seconds:.1} s", row.name, arguments.seeds);
        }
    }
    Ok(())
}
