//! The one protocol with which every sample of the round robin and every standard is analysed. Nothing in it depends on
//! the sample: instrument, range and priors are those of the laboratory, structures those of the literature.

use std::path::Path;
use std::time::Duration;

use ppu_diffraction::formats::xy;
use ppu_diffraction::pattern::Pattern;
use ppu_diffraction::refine::{Candidate, InstrumentPriors, Prior, Refinement, Settings, refine};

use super::structures;

/// Radius in mm and K of the diffracted-beam graphite monochromator (2θ_m = 26.6°) of the round robin's instrument.
const RADIUS_MM: f64 = 173.0;
const GRAPHITE_K: f64 = 0.80;
/// Range that every sample is fitted in: 6751 points of 0.02°.
const RANGE_DEG: (f64, f64) = (15.0, 150.0);
/// Radius in mm of the diffractometer that certified SRM 660c.
const NIST_RADIUS_MM: f64 = 217.5;
/// a of SRM 660c at the temperature of the scan, 20.85 °C.
pub(crate) const LAB6_A: f64 = 4.156_780;

/// A mixture with what was weighed in, in percent.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) weighed: Vec<(String, f64)>,
    pub(crate) pattern: Pattern,
}

/// Settings of the round robin, with or without axial divergence.
pub(crate) fn settings(axial: bool) -> Settings {
    let instrument = InstrumentPriors::laboratory(RADIUS_MM, GRAPHITE_K);
    let instrument = if axial { instrument } else { instrument.without_axial() };
    Settings { range_deg: Some(RANGE_DEG), ..Settings::new(instrument) }
}

/// Every sample that `weighed.json` names and whose pattern is there, in the order of names.
pub(crate) fn samples(data: &Path) -> Result<Vec<Sample>, String> {
    let folder = data.join("round_robin");
    let read = |name: &str| std::fs::read(folder.join(name)).map_err(|error| format!("{name}: {error}"));
    let weighed: serde_json::Value =
        serde_json::from_slice(&read("weighed.json")?).map_err(|error| format!("weighed.json: {error}"))?;
    let mut samples = Vec::new();
    for (name, phases) in weighed.as_object().into_iter().flatten() {
        let Some(phases) = phases.as_object() else { continue };
        let amount = |(phase, value): (&String, &serde_json::Value)| Some((phase.clone(), value.as_f64()?));
        let pattern = pattern(&read(&format!("{name}.prn"))?).map_err(|error| format!("{name}: {error}"))?;
        samples.push(Sample { name: name.clone(), weighed: phases.iter().filter_map(amount).collect(), pattern });
    }
    Ok(samples)
}

fn pattern(bytes: &[u8]) -> Result<Pattern, String> {
    let read = xy::read(bytes, xy::ThirdColumn::Ignore).map_err(|error| error.to_string())?;
    Pattern::from_counts(read.two_theta().to_vec(), read.intensity().to_vec()).map_err(|error| error.to_string())
}

/// The candidates of a sample.
pub(crate) fn candidates(sample: &Sample) -> Result<Vec<Candidate>, String> {
    let of = |(name, _): &(String, f64)| {
        let phase = structures::phase(name).ok_or_else(|| format!("no structure of `{name}` is known here"))?;
        Ok(Candidate { texture_axis: structures::plate(name), ..Candidate::new(phase) })
    };
    sample.weighed.iter().map(of).collect()
}

/// The fit of one sample.
pub(crate) fn fit(sample: &Sample, settings: &Settings) -> Result<Refinement, String> {
    refine(&sample.pattern, &candidates(sample)?, settings, &|| Duration::ZERO).map_err(|error| error.to_string())
}

/// The certification scan of SRM 660c, fitted with the zero held and the NIST weights.
pub(crate) fn standard(data: &Path) -> Result<Refinement, String> {
    let text =
        std::fs::read_to_string(data.join("standards/nist_srm660c_100a.cif")).map_err(|error| error.to_string())?;
    let pattern = measured_block(&text)?;
    let instrument =
        InstrumentPriors { zero_deg: Prior::fixed(0.0), ..InstrumentPriors::laboratory(NIST_RADIUS_MM, GRAPHITE_K) };
    let settings = Settings { calibrated: true, ..Settings::new(instrument) };
    let phase = structures::phase("LaB6").ok_or("no structure of LaB6")?;
    refine(&pattern, &[Candidate::new(phase)], &settings, &|| Duration::ZERO).map_err(|error| error.to_string())
}

/// Angle, intensity and weight of the block named `_meas`; the one after it holds calculated values.
fn measured_block(text: &str) -> Result<Pattern, String> {
    let mut lines =
        text.lines().skip_while(|line| !(line.starts_with("data_pd_proc") && line.trim_end().ends_with("_meas")));
    lines.next().ok_or("no measured block")?;
    let rows = lines.take_while(|line| !line.starts_with("data_")).filter_map(|line| {
        let numbers: Vec<f64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        (numbers.len() == 3 && numbers[2] > 0.0).then(|| (numbers[0], numbers[1], 1.0 / numbers[2].sqrt()))
    });
    let (mut x, mut y, mut sigma) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        x.push(row.0);
        y.push(row.1);
        sigma.push(row.2);
    }
    Pattern::with_sigma(x, y, sigma).map_err(|error| error.to_string())
}
