//! Quantities, cells, structure factors and speed against the reference data: one JSON object a line and bar.
//!
//! `diffraction_bench DIR [--verbose]`, DIR in the layout of the reference data: `round_robin/`, `standards/`,
//! `reference/`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its table and what it leaves out")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads files and measures time")]

#[path = "../tests/support/gemmi.rs"]
mod gemmi;
#[path = "../tests/support/it92.rs"]
mod it92;
#[path = "../tests/support/round_robin.rs"]
mod round_robin;
#[path = "../tests/support/structures.rs"]
mod structures;

use std::path::{Path, PathBuf};
use std::time::Instant;

use ppu_diffraction::refine::{Flag, Refinement};
use ppu_diffraction::sticks::{StickSettings, sticks};
use ppu_diffraction::structure::Phase;
use round_robin::Sample;

/// Each time is the shortest of this many.
const REPEATS: usize = 5;

fn main() -> Result<(), String> {
    let mut arguments = std::env::args_os().skip(1);
    let data = PathBuf::from(arguments.next().ok_or("usage: diffraction_bench DIR [--verbose]")?);
    let verbose = arguments.next().is_some();
    if data.join("round_robin").is_dir() {
        let samples = samples(&data)?;
        quantities(&samples, verbose)?;
        speed(&samples)?;
    }
    if data.join("standards").is_dir() {
        for standard in round_robin::standards(&data)? {
            let (name, verdict) = (&standard.name, &standard.result.verdict);
            let a = standard.result.phases[0].edges[0];
            if verbose {
                println!(
                    "# {name}: a = {:.6} ± {:.6} Å (statistical {:.6}), {verdict:?}",
                    a.value, a.u_total, a.u_stat
                );
            }
            let error = (a.value - standard.stated_a).abs();
            row(&format!("NIST SRM 660c ({name}), error of a"), error, "Å", "at most 1e-4", error <= 1e-4);
        }
    }
    if data.join("reference").is_dir() { factors(&data, verbose) } else { Ok(()) }
}

/// The samples whose phases all have a structure here.
fn samples(data: &Path) -> Result<Vec<Sample>, String> {
    let (known, strange): (Vec<Sample>, Vec<Sample>) =
        round_robin::samples(data)?.into_iter().partition(|sample| round_robin::unknown(sample).is_none());
    for sample in &strange {
        eprintln!(
            "{} holds {:?}, of which no structure is known here: left out",
            sample.name,
            round_robin::unknown(sample)
        );
    }
    Ok(known)
}

fn row(bar: &str, value: f64, unit: &str, target: &str, holds: bool) {
    println!("{}", serde_json::json!({ "bar": bar, "value": value, "unit": unit, "target": target, "holds": holds }));
}

fn errors<'a>(sample: &'a Sample, result: &'a Refinement) -> impl Iterator<Item = (f64, f64)> + 'a {
    sample.weighed.iter().zip(&result.phases).map(|((_, weighed), phase)| {
        let weight = phase.fraction.weight;
        (100.0 * weight.value - weighed, 100.0 * weight.u_total)
    })
}

fn quantities(samples: &[Sample], verbose: bool) -> Result<(), String> {
    let settings = round_robin::settings(true);
    let (mut plain, mut all, mut statistical, mut mixtures) = (Vec::new(), Vec::new(), 0, 0);
    for sample in samples {
        let result = round_robin::fit(sample, &settings)?;
        if verbose {
            print_sample(sample, &result);
        }
        for ((error, u), phase) in errors(sample, &result).zip(&result.phases) {
            all.push(error.abs() <= 2.0 * u);
            statistical += usize::from(error.abs() <= 200.0 * phase.fraction.weight.u_stat);
        }
        match sample.name.as_str() {
            name if name.starts_with("cpd-1") => {
                mixtures += 1;
                plain.extend(errors(sample, &result).map(|(error, _)| error));
            }
            "cpd-2" => {
                let worst = errors(sample, &result).map(|(error, _)| error.abs()).fold(0.0, f64::max);
                row("CPD sample 2 (textured), largest error", worst, "wt%", "at most 3", worst <= 3.0);
            }
            "cpd-4" => {
                let flags = result.flags.iter().filter(|flag| matches!(flag, Flag::Microabsorption { .. })).count();
                row("CPD sample 4, microabsorption flags", flags as f64, "1", "at least 1", flags > 0);
            }
            _ => {}
        }
    }
    if !plain.is_empty() {
        let rms = (plain.iter().map(|error| error * error).sum::<f64>() / plain.len() as f64).sqrt();
        let largest = plain.iter().fold(0.0_f64, |most, error| most.max(error.abs()));
        let (bar, target) = (format!("CPD samples 1, RMS error, {mixtures} mixtures"), "at most 0.6 (rietx 0.70)");
        row(&bar, rms, "wt%", target, rms <= 0.6);
        let (bar, target) = (format!("CPD samples 1, largest error, {mixtures} mixtures"), "at most 1.3 (rietx 1.37)");
        row(&bar, largest, "wt%", target, largest <= 1.3);
    }
    if all.is_empty() {
        return Ok(());
    }
    let covered = all.iter().filter(|inside| **inside).count() as f64 / all.len() as f64;
    let bar = format!("CPD phases within 2 u total, of {} (2 u statistical: {statistical})", all.len());
    row(&bar, covered, "1", "at least 0.9", covered >= 0.9);
    Ok(())
}

fn print_sample(sample: &Sample, result: &Refinement) {
    let flags: Vec<String> = result.flags.iter().map(ToString::to_string).collect();
    println!(
        "# {}: {:?} after {}, χ² {:.2}, R_wp {:.3}; {}",
        sample.name,
        result.verdict,
        result.iterations,
        result.reduced_chi_squared,
        result.r_wp,
        flags.join("; ")
    );
    for ((_, weighed), phase) in sample.weighed.iter().zip(&result.phases) {
        let weight = phase.fraction.weight;
        println!(
            "#   {:<10} {:6.2} weighed {weighed:6.2} error {:+.2}, u {:.2} (statistical {:.2}), tau {:.4}, a {:.5}, March {:?}",
            phase.name,
            100.0 * weight.value,
            100.0 * weight.value - weighed,
            100.0 * weight.u_total,
            100.0 * weight.u_stat,
            phase.fraction.tau,
            phase.edges[0].value,
            phase.march.map(|march| march.0)
        );
    }
}

fn speed(samples: &[Sample]) -> Result<(), String> {
    let samples: Vec<&Sample> =
        samples.iter().filter(|sample| sample.name.starts_with("cpd-1") && sample.weighed.len() == 3).collect();
    if samples.is_empty() {
        return Ok(());
    }
    for (axial, least, what) in [(false, 20.0, "without"), (true, 8.0, "with")] {
        let settings = round_robin::settings(axial);
        let (mut seconds, mut count, mut points) = (0.0, 0, 0);
        for sample in &samples {
            points = round_robin::fit(sample, &settings)?.two_theta.len();
            seconds += shortest(|| round_robin::fit(sample, &settings).map(drop))?;
            count += 1;
        }
        let rate = f64::from(count) / seconds;
        let bar = format!("3-phase fits of {points} points, one core, {what} axial divergence");
        row(&bar, rate, "1/s", &format!("at least {least} (rietx 0.17, BGMN 0.9)"), rate >= least);
    }
    Ok(())
}

/// The shortest time of several runs in seconds of a core.
fn shortest(mut work: impl FnMut() -> Result<(), String>) -> Result<f64, String> {
    let mut best = f64::INFINITY;
    let start = Instant::now();
    for _ in 0..REPEATS {
        let before = clock(start);
        work()?;
        best = best.min(clock(start) - before);
    }
    Ok(best)
}

/// Seconds of a core that this process has used, or of the wall clock where the system does not say.
fn clock(start: Instant) -> f64 {
    let used = std::fs::read_to_string("/proc/self/schedstat").ok();
    let nanoseconds = used.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| start.elapsed().as_secs_f64(), |nanoseconds| 1e-9 * nanoseconds)
}

fn factors(data: &Path, verbose: bool) -> Result<(), String> {
    let all = gemmi::compare_all(data)?;
    if verbose {
        for comparison in &all {
            let gemmi::Comparison { name, reflections, f_squared, spacing } = comparison;
            println!("# {name}: {reflections} reflections, |F|² within {f_squared:.1e}, d within {spacing:.1e}");
        }
    }
    let worst = all.iter().map(|comparison| comparison.f_squared).fold(0.0, f64::max);
    let reflections: usize = all.iter().map(|comparison| comparison.reflections).sum();
    let bar = format!("|F|² against gemmi, {} structures, {reflections} reflections, relative", all.len());
    if !all.is_empty() {
        row(&bar, worst, "1", "at most 1e-6", worst <= 1e-6);
    }
    let wide = StickSettings { wavelength_a: 1.540_592_9, from_deg: 10.0, to_deg: 90.0, polarisation_k: 1.0 };
    for (name, what, most) in
        [("CsPbI3_Pnma_gamma", "orthorhombic 20-atom perovskite", 0.4), ("CsPbI3_P1_40atoms", "40-atom P1", 1.0)]
    {
        if !data.join("reference/cif").join(format!("{name}.cif")).is_file() {
            continue;
        }
        let phase: Phase = gemmi::structure(data, name)?;
        // A core settles after some runs.
        let many = || (0..20).for_each(|_| drop(std::hint::black_box(sticks(&phase, &wide))));
        let milliseconds = 1e3 / 20.0
            * shortest(|| {
                many();
                Ok(())
            })?;
        let bar = format!("stick pattern, {what}, 10-90°, {} sticks", sticks(&phase, &wide).len());
        let peers = if most < 0.5 { "pymatgen 21" } else { "pymatgen 43" };
        row(&bar, milliseconds, "ms", &format!("at most {most} ({peers})"), milliseconds <= most);
    }
    Ok(())
}
