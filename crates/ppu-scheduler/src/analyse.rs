//! From raw data to an observation. Works on the instruments' files and counts and on what the plan says was made;
//! nothing else is known here.

use std::collections::BTreeMap;

use ppu_core::{Measured, Observation, StepAction, TrialId, Unit};
use ppu_diffraction::formats::xrdml;
use ppu_diffraction::library::{Composition, halide_perovskite};
use ppu_diffraction::quantify::{self, Flag, Quantification, Verdict, quantify};
use ppu_engine::State;
use ppu_engine::event::ArtifactRef;
use ppu_engine::state::Run;
use ppu_journal::Journal;
use ppu_spectra::absorbance::{Excluded, absorbance};
use ppu_spectra::gap::{GapFlag, GapSettings, band_gap};
use ppu_spectra::photoluminescence::{Photoluminescence, PlSettings, photoluminescence};
use ppu_spectra::raw::{Detector, Exposure};
use serde::Deserialize;

/// The analysis that this version knows, with its version, which goes into every observation.
const HALIDE_PEROVSKITE_FILM: &str = "halide_perovskite_film";
const VERSION: &str = concat!("halide_perovskite_film ", env!("CARGO_PKG_VERSION"));

/// Density of the dilute ink in mg/µL (DMF:DMSO 4:1 v/v, from the densities 0.944 and 1.10 of the solvents).
const INK_DENSITY_MG_PER_UL: f64 = 0.975;
/// Lead in the ink, mol/L: the stocks of this protocol.
const INK_LEAD_MOL_PER_L: f64 = 0.05;
/// Area of a substrate, cm².
const SUBSTRATE_CM2: f64 = 2.25;
/// Share by which thickness varies over a drop-cast film (coffee ring): one standard deviation.
const THICKNESS_U: f64 = 0.3;

/// Line intensity of no candidate above this share asks for a person: fractions of the known phases then say little about
/// the film. Half of it is what chance and misfit of ordinary films reach.
const REVIEW_SHARE: f64 = 0.05;

/// The reason of a value that only a person should decide on. The optimizer is told that there is no value, so that a
/// contaminated film neither counts as a bad one nor as a good one.
fn review(why: impl std::fmt::Display) -> String {
    format!("review: {why}")
}

/// Turns the raw data of a trial into an observation; an error where nothing at all could be analysed.
pub(crate) fn analyse(state: &State, journal: &Journal, id: &TrialId) -> Result<Observation, String> {
    let trial = state.trials.get(id).ok_or_else(|| format!("there is no trial {id}"))?;
    let campaign = state.campaigns.get(&trial.campaign).ok_or("the campaign is gone")?;
    if campaign.spec.analysis != HALIDE_PEROVSKITE_FILM {
        return Err(format!(
            "the analysis `{}` is not supported; this version has `{HALIDE_PEROVSKITE_FILM}`",
            campaign.spec.analysis
        ));
    }
    let run = trial.run.as_ref().and_then(|run| state.runs.get(run)).ok_or("the trial has no run")?;
    let film = Film { run, journal, parameters: &run.plan.parameters };
    let mut observation = Observation { analysis: VERSION.to_owned(), ..Default::default() };
    for (name, result) in [
        ("alpha_fraction", film.alpha_fraction()),
        ("band_gap", film.band_gap()),
        ("pl_intensity", film.pl_intensity()),
    ] {
        match result {
            Ok(measured) => {
                observation.values.insert(name.to_owned(), measured);
            }
            Err(reason) => {
                observation.invalid.insert(name.to_owned(), reason);
            }
        }
    }
    observation.raw = run.steps.iter().flat_map(|step| &step.artifacts).map(|artifact| artifact.hash).collect();
    Ok(observation)
}

/// A spectrum as the spectrometer's driver stores it.
#[derive(Deserialize)]
struct SpectrumFile {
    integration_us: f64,
    averages: u32,
    wavelength_nm: Vec<f64>,
    counts: Vec<f64>,
    dark: Vec<f64>,
}

struct Film<'a> {
    run: &'a Run,
    journal: &'a Journal,
    parameters: &'a BTreeMap<String, f64>,
}

impl Film<'_> {
    /// The raw data of the step with this command.
    fn raw(&self, capability: &str, command: &str) -> Result<Vec<u8>, String> {
        let is_it = |action: &StepAction| matches!(action, StepAction::Command { capability: c, command: v, .. } if c == capability && v == command);
        let step = self.run.plan.steps.iter().zip(&self.run.steps).find(|(plan, _)| is_it(&plan.action));
        let artifact: &ArtifactRef = step
            .and_then(|(_, step)| step.artifacts.first())
            .ok_or_else(|| format!("the plan left no raw data of {capability}.{command}"))?;
        self.journal.artifact(&artifact.hash).map_err(|error| error.to_string())
    }

    fn parameter(&self, name: &str) -> Result<f64, String> {
        self.parameters.get(name).copied().ok_or_else(|| format!("the protocol has no parameter `{name}`"))
    }

    /// Film thickness in nm from the weighed drop, with its standard uncertainty.
    fn thickness_nm(&self, lead_mass_g_per_mol: f64, density_g_per_cm3: f64) -> Option<(f64, f64)> {
        let mass_of = |name: &str| {
            let index = self.run.index(name)?;
            self.run.steps[index].results.get("mass")?.in_unit(Unit::Milligram)
        };
        let drop_mg = mass_of("weigh_wet_film")? - mass_of("weigh_substrate")?;
        let litres = drop_mg / INK_DENSITY_MG_PER_UL * 1e-6;
        let thickness = litres * INK_LEAD_MOL_PER_L * lead_mass_g_per_mol / density_g_per_cm3 / SUBSTRATE_CM2 * 1e7;
        (thickness > 0.0).then_some((thickness, THICKNESS_U * thickness))
    }

    fn alpha_fraction(&self) -> Result<Measured, String> {
        let bytes = self.raw("diffraction", "scan")?;
        let file = xrdml::read(&bytes).map_err(|error| error.to_string())?;
        let scan = file.scans.first().ok_or("the file holds no scan")?;
        let part = |name| self.parameter(name);
        let composition =
            Composition::new(part("cs")?, part("fa")?, part("ma")?, part("br")?, 0.0).map_err(|e| e.to_string())?;
        let library = halide_perovskite(&composition).map_err(|error| error.to_string())?;
        // One formula unit of APbX3 weighs 460 to 720 g/mol; lead, halides and the A site by the plan's composition.
        let formula_mass = 207.2
            + 3.0 * ((1.0 - part("br")?) * 126.90 + part("br")? * 79.90)
            + part("cs")? * 132.91
            + part("fa")? * 45.07
            + part("ma")? * 32.07;
        let settings =
            quantify::Settings { film_thickness_nm: self.thickness_nm(formula_mass, 4.2), ..Default::default() };
        let result = quantify(&scan.pattern, &library, &settings).map_err(|error| error.to_string())?;
        alpha_fraction(&result)
    }

    fn spectrum(&self, command: &str) -> Result<SpectrumFile, String> {
        let bytes = self.raw("spectroscopy", command)?;
        serde_json::from_slice(&bytes).map_err(|error| format!("the raw data of {command} cannot be read: {error}"))
    }

    fn band_gap(&self) -> Result<Measured, String> {
        let (sample, reference) = (self.spectrum("absorbance")?, self.spectrum("reference")?);
        let dark = Exposure { counts: sample.dark.clone(), ..sample.exposure() };
        let detector = Detector::ocean_like();
        let curve = absorbance(&sample.wavelength_nm, &sample.exposure(), &reference.exposure(), &dark, &detector)
            .map_err(|error| error.to_string())?;
        // An edge behind saturated pixels would be missed and another one taken for it.
        let saturated = curve.excluded().iter().filter(|(_, why)| *why == Excluded::Saturated).count();
        if saturated > 0 {
            return Err(format!("{saturated} pixels are saturated: shorten the integration time"));
        }
        let gap = band_gap(&curve, &GapSettings::default()).map_err(|error| error.to_string())?;
        // Models that disagree by more than the flag's limit leave the value to a person.
        if let Some(flag) = gap.flags.iter().find(|flag| matches!(flag, GapFlag::Ambiguous { .. })) {
            return Err(review(flag));
        }
        let flags = gap.flags.iter().map(ToString::to_string).collect();
        Ok(Measured { value: gap.gap_ev.value, sd: gap.gap_ev.u_total, flags })
    }

    /// log10 of the collected electrons a second, so that orders of magnitude count alike. A film that does not shine is
    /// reported at its upper limit and says so.
    fn pl_intensity(&self) -> Result<Measured, String> {
        let sample = self.spectrum("photoluminescence")?;
        let dark = Exposure { counts: sample.dark.clone(), ..sample.exposure() };
        let result = photoluminescence(
            &sample.wavelength_nm,
            &sample.exposure(),
            &dark,
            &Detector::ocean_like(),
            &PlSettings::default(),
        )
        .map_err(|error| error.to_string())?;
        match result {
            Photoluminescence::Emission(peak) => {
                let electrons = peak.electrons_per_s;
                let flags = peak.flags.iter().map(ToString::to_string).collect();
                let sd = electrons.u_total / electrons.value / std::f64::consts::LN_10;
                Ok(Measured { value: electrons.value.log10(), sd, flags })
            }
            Photoluminescence::NoEmission { upper_limit_electrons_per_s, .. } => {
                let value = upper_limit_electrons_per_s.max(1.0).log10();
                Ok(Measured { value, sd: 0.5, flags: vec!["no emission: the value is an upper limit".to_owned()] })
            }
        }
    }
}

/// The fraction of a fit as an observation; an error where it means nothing or a person should look first.
fn alpha_fraction(result: &Quantification) -> Result<Measured, String> {
    let mut flags: Vec<String> = result.flags.iter().map(ToString::to_string).collect();
    match &result.verdict {
        Verdict::Converged => {}
        Verdict::IterationLimit => flags.push("the fit used up its steps".to_owned()),
        Verdict::AtLimit { parameters } => flags.push(format!("at the limit: {}", parameters.join(", "))),
        Verdict::Implausible { reasons } => return Err(review(format!("implausible: {}", reasons.join("; ")))),
        Verdict::NothingThere => return Err("no phase stands out from the background".to_owned()),
    }
    for flag in &result.flags {
        if let Flag::UnexplainedIntensity { positions_deg, share } = flag
            && *share > REVIEW_SHARE
        {
            let places: Vec<String> = positions_deg.iter().take(6).map(|place| format!("{place:.2}°")).collect();
            let share = 100.0 * share;
            return Err(review(format!(
                "{share:.0} % of the line intensity belongs to no candidate ({})",
                places.join(", ")
            )));
        }
    }
    let alpha = result.alpha_lead_fraction.ok_or("the fit gives no phase fraction")?;
    Ok(Measured { value: alpha.value, sd: alpha.u_total, flags })
}

impl SpectrumFile {
    fn exposure(&self) -> Exposure {
        Exposure { counts: self.counts.clone(), integration_s: self.integration_us * 1e-6, averages: self.averages }
    }
}

#[cfg(test)]
mod tests {
    use ppu_diffraction::forward::{Component, Grid, PreparedPhase, expected_counts};
    use ppu_diffraction::library::{AlphaForm, alpha, pseudo_cubic_edge};
    use ppu_diffraction::pattern::Pattern;
    use ppu_diffraction::profile::{Condition, Instrument, Specimen};
    use ppu_diffraction::structure::{Cell, Element, Phase, Site, SpaceGroup};

    use super::*;

    /// The analysis of a film whose strongest foreign line has `foreign` times the height of the strongest of the film.
    fn film_with(foreign: f64) -> Result<Measured, String> {
        let composition = Composition::new(0.2, 0.8, 0.0, 0.2, 0.0).unwrap();
        let film = alpha(AlphaForm::Cubic, &composition, pseudo_cubic_edge(&composition)).unwrap();
        // Rock salt of NiO: a powder that has no place in a perovskite lab.
        let sites = vec![
            Site::new("Ni", [0.0; 3], &[(Element::Ni, 1.0)], 0.5),
            Site::new("O", [0.5; 3], &[(Element::O, 1.0)], 0.5),
        ];
        let dirt = Phase::new("NiO", Cell::cubic(4.177), SpaceGroup::fm3m(), sites).unwrap();
        let (instrument, grid) = (Instrument::aeris(), Grid { start_deg: 10.0, step_deg: 0.04, points: 1250 });
        let (specimen, condition) =
            (Specimen::default(), Condition { crystallite_size_nm: 60.0, microstrain: 0.001, texture: None });
        let prepared = [&film, &dirt].map(|phase| PreparedPhase::new(phase, &instrument, &grid).unwrap());
        let unit = |phase| {
            let one = Component { phase, condition, scale: 1.0 };
            let pattern = expected_counts(&[one], &[0.0; 1250], &instrument, &specimen, &grid).unwrap();
            pattern.iter().copied().fold(0.0, f64::max)
        };
        let components = [
            Component { phase: &prepared[0], condition, scale: 4000.0 / unit(&prepared[0]) },
            Component { phase: &prepared[1], condition, scale: foreign * 4000.0 / unit(&prepared[1]) },
        ];
        let background = vec![200.0; 1250];
        let counts = expected_counts(&components, &background, &instrument, &specimen, &grid).unwrap();
        let pattern = Pattern::from_counts(grid.angles(), counts.iter().map(|count| count.round()).collect()).unwrap();
        let library = halide_perovskite(&composition).unwrap();
        alpha_fraction(&quantify(&pattern, &library, &quantify::Settings::default()).unwrap())
    }

    #[test]
    fn a_contaminated_sample_asks_for_a_person_instead_of_feeding_the_optimizer() {
        let clean = film_with(0.0).unwrap();
        assert!(clean.value > 0.9, "{clean:?}");
        for foreign in [0.3, 0.6] {
            let reason = film_with(foreign).unwrap_err();
            assert!(reason.starts_with("review: "), "{reason}");
        }
        assert!(film_with(0.3).unwrap_err().contains("belongs to no candidate"));
    }
}
