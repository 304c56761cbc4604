//! Phase identification of a folder of weighed mixtures against a library of CIF files: exact sets, calls of an unknown
//! phase when one true structure is taken out, and time.
//!
//! `identify_bench DIR [--verbose]`, DIR in the layout of the reference data: patterns and `weights.json` in `mixtures/`,
//! structures in `phases/`. What belongs to a mixture and what it is called in the library stands in `weights.json`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its table and what it leaves out")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads files and measures time")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use ppu_diffraction::cif;
use ppu_diffraction::formats;
use ppu_diffraction::identify::{Identification, Review, Settings, StickLibrary, identify};
use ppu_diffraction::pattern::Pattern;
use ppu_diffraction::profile::Instrument;
use ppu_diffraction::structure::Phase;

type Failure = Box<dyn std::error::Error>;

struct Mixture {
    name: String,
    pattern: Pattern,
    truth: Vec<String>,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: identify_bench DIR [--verbose]")?);
    let verbose = arguments.next().is_some();
    let instrument = Instrument::aeris();
    let structures = structures(&folder.join("phases"))?;
    let mixtures = mixtures(&folder.join("mixtures"), &structures)?;
    let largest = mixtures.iter().filter_map(|mixture| mixture.pattern.two_theta().last()).copied().fold(0.0, f64::max);
    let library = StickLibrary::new(&structures, &instrument, largest)?;
    let settings = Settings::default();
    let (mut exact, mut confident, mut confident_right, mut false_flags, mut slowest, mut whole) =
        (0, 0, 0, 0, 0.0f64, 0.0);
    let (mut removed, mut flagged) = (0, 0);
    for mixture in &mixtures {
        let start = clock();
        let found = identify(&mixture.pattern, &library, &settings)?;
        let seconds = clock() - start;
        (slowest, whole) = (slowest.max(seconds), whole + seconds);
        let right = names(&found) == mixture.truth;
        let best = found.sets[0].probability;
        exact += usize::from(right);
        confident += usize::from(best >= 0.9);
        confident_right += usize::from(best >= 0.9 && right);
        false_flags += usize::from(flags(&found));
        if verbose || !right || flags(&found) {
            show("all candidates", mixture, &found, seconds);
        }
        for name in &mixture.truth {
            let index = library.names().position(|known| known == name).ok_or("a true phase is not in the library")?;
            let found = identify(&mixture.pattern, &library.without(index), &settings)?;
            removed += 1;
            flagged += usize::from(flags(&found));
            if verbose || !flags(&found) {
                show(&format!("without {name}"), mixture, &found, 0.0);
            }
        }
    }
    let count = mixtures.len();
    println!("patterns                       {count}");
    println!("exact sets                     {exact} of {count}");
    println!("stated with 90 %               {confident}, right {confident_right}");
    println!("false flags of unknown phase   {false_flags} of {count}");
    println!("flagged with one CIF removed   {flagged} of {removed}");
    println!("seconds of a core a pattern    mean {:.2}, most {slowest:.2}", whole / count as f64);
    Ok(())
}

/// Seconds of processor time of this thread where the system tells, else of the clock on the wall: the bar is time on a
/// core, and other work on the machine must not enter it.
fn clock() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let start = START.get_or_init(Instant::now);
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = spent.and_then(|text| text.split_ascii_whitespace().next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| start.elapsed().as_secs_f64(), |nanoseconds| 1e-9 * nanoseconds)
}

fn flags(found: &Identification) -> bool {
    found.review.iter().any(|reason| matches!(reason, Review::UnknownPhase { .. } | Review::NothingFound))
}

fn names(found: &Identification) -> Vec<String> {
    let mut names: Vec<String> = found.sets[0].phases.iter().map(|phase| phase.name.clone()).collect();
    names.sort();
    names
}

fn show(what: &str, mixture: &Mixture, found: &Identification, seconds: f64) {
    println!("{} ({what}): truth {:?}", mixture.name, mixture.truth);
    for set in found.sets.iter().take(3) {
        let phases: Vec<String> =
            set.phases.iter().map(|phase| format!("{} {:.3}", phase.name, phase.weight_fraction)).collect();
        println!(
            "    p {:.3} ln {:8.1} chi2 {:7.2}  {}",
            set.probability,
            set.ln_evidence,
            set.reduced_chi_squared,
            phases.join(", ")
        );
    }
    let peaks: Vec<String> = found
        .unexplained
        .iter()
        .take(12)
        .map(|peak| format!("{:.2} ({:.0}σ)", peak.two_theta_deg, peak.significance))
        .collect();
    println!(
        "    κ {:.1}, {} fits, misfit {:.3}, {seconds:.2} s, unknown {:.2}, share {:.4}: {}",
        found.over_dispersion,
        found.fits,
        found.misfit,
        found.unknown_probability,
        found.unexplained_share,
        peaks.join(" ")
    );
}

fn structures(folder: &Path) -> Result<Vec<(String, Phase)>, Failure> {
    let mut found = Vec::new();
    for path in files(folder)? {
        if path.extension().is_some_and(|extension| extension == "cif") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            match cif::read_structure(&std::fs::read_to_string(&path)?) {
                Ok(structure) => found.push((name, structure.phase)),
                Err(error) => eprintln!("{name} is left out of the library: {error}"),
            }
        }
    }
    Ok(found)
}

/// The files of a folder in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Patterns whose phases are known and in the library; what is left out is said.
fn mixtures(folder: &Path, library: &[(String, Phase)]) -> Result<Vec<Mixture>, Failure> {
    let weights: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(folder.join("weights.json"))?)?;
    let mut found = Vec::new();
    for path in files(folder)? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // `mixture--2min.xrdml`; licences and tables have other names.
        let Some((mixture, _)) = name.split_once("--") else { continue };
        let Some(components) = weights["mixtures"][mixture].as_array() else {
            eprintln!("weights.json does not have {mixture}: left out");
            continue;
        };
        let stem = |text: &str| Path::new(text).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut truth: Vec<String> = components.iter().map(|part| stem(part["cif"].as_str().unwrap_or(""))).collect();
        truth.sort();
        truth.dedup();
        if let Some(strange) = truth.iter().find(|name| !library.iter().any(|(known, _)| known == *name)) {
            eprintln!("{mixture} holds `{strange}`, which is not in the library: left out");
            continue;
        }
        let scan = formats::read(&std::fs::read(&path)?, &path.to_string_lossy())?.swap_remove(0);
        found.push(Mixture { name, pattern: scan.pattern, truth });
    }
    Ok(found)
}
