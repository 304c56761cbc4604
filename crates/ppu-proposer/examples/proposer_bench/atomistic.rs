//! Level F2 for the replay: heats of formation by the universal potential, from nothing that the replay knows. Ideal sites,
//! edges that the potential prefers, element references and competing phases from known compounds of MP-20.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use ppu_atoms::hull::{Hull, Phase};
use ppu_atoms::references::{FitSettings, References, Sample};
use ppu_atoms::wheel::{Head, weights};
use ppu_atoms::{Chgnet, Composition, Element, Weights};
use ppu_proposer::crystal::{HeatLevel, Perovskite, ReplayLab};
use ppu_twin::{AtomisticTwin, IdealPerovskite, SpeciesModel};

use crate::data::{self, Compound};
use crate::{Problem, Settings};

/// Known compounds that show an element, at least, where there are so many; more would cost time and hardly change a
/// reference.
const COMPOUNDS_AN_ELEMENT: usize = 16;
/// Larger cells cost more than they teach.
const MOST_ATOMS: usize = 12;
/// Candidates that show an element on its site, whose edge is searched.
const EDGES_AN_ELEMENT: usize = 4;

/// Errors that are declared before anything is measured, eV/atom: sd after correction, sd of the offset (the set of known
/// phases has gaps); and the correlation with the laboratory. F2 from what is known of the potential at guessed geometries,
/// F1 from what elements alone explain.
const F2_ERRORS: (f64, f64) = (0.25, 0.3);
const F2_CORRELATION: f64 = 0.7;
const F1_ERRORS: (f64, f64) = (0.45, 0.3);
const F1_CORRELATION: f64 = 0.5;

/// What the levels say of every row, and what they cost.
pub(crate) struct Levels {
    /// A sum over species, learnt from F2 where edges were searched.
    pub(crate) f1: HeatLevel,
    /// Height above the known phases by the potential.
    pub(crate) f2: HeatLevel,
    /// Evaluations of the potential for F1, and for all rows at F2.
    pub(crate) evaluations: (usize, usize),
    /// Seconds for all of it.
    pub(crate) seconds: f64,
}

/// The levels for all rows, or `None` with a line that says why there is none.
pub(crate) fn levels(lab: &ReplayLab, settings: &Settings) -> Result<Option<Levels>, Problem> {
    let Some(path) = &settings.weights else {
        eprintln!("without --weights there is no level F2: `ppu twin fetch` gets them");
        return Ok(None);
    };
    let Some(compounds) = data::mp20(&settings.data)? else {
        eprintln!("{} has no mp20: there is no level F2", settings.data.display());
        return Ok(None);
    };
    let started = Instant::now();
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let weights = if bytes.starts_with(b"PK") {
        weights(&bytes, Head::Pbe).map_err(|error| error.to_string())?
    } else {
        Weights::from_safetensors(&bytes).map_err(|error| error.to_string())?
    };
    let (references, fitted) = references(&Chgnet::new(&weights), lab, &compounds)?;
    let twin = AtomisticTwin::new(&weights).with_references(references).with_hull(hull(&compounds)?);
    let candidates: Vec<IdealPerovskite> = lab.rows.iter().map(ideal).collect::<Result<_, _>>()?;
    let screened = twin.screen_perovskites(&candidates, EDGES_AN_ELEMENT).map_err(|error| error.to_string())?;
    let heat: Vec<Option<f64>> =
        screened.answers.iter().map(|answer| Some(answer.as_ref().ok()?.above_hull?.distance.mean)).collect();
    let taught: Vec<(IdealPerovskite, f64)> =
        screened.searched.iter().filter_map(|at| Some((candidates[*at], heat[*at]?))).collect();
    let additive = SpeciesModel::fit(&taught).ok_or("F2 taught F1 nothing")?;
    let sums = candidates.iter().map(|one| Some(additive.predict(one))).collect();
    let searches = screened.evaluations - candidates.len();
    let evaluations = (fitted + searches + taught.len(), fitted + screened.evaluations);
    let seconds = started.elapsed().as_secs_f64();
    eprintln!(
        "level F2: {} evaluations of the potential in {seconds:.0} s ({fitted} compounds for references, {} edges with sd \
         {:.3} Å), {} rows refused; level F1: {} evaluations",
        evaluations.1,
        screened.searched.len(),
        screened.edges.sd(),
        heat.iter().filter(|one| one.is_none()).count(),
        evaluations.0
    );
    let f1 = HeatLevel::new("F1, a sum over species", sums, F1_ERRORS, F1_CORRELATION);
    let f2 = HeatLevel::new("F2, CHGNet above known phases", heat, F2_ERRORS, F2_CORRELATION);
    Ok(Some(Levels { f1, f2, evaluations, seconds }))
}

fn ideal(row: &Perovskite) -> Result<IdealPerovskite, Problem> {
    let element = |one: ppu_twin::rules::Element| {
        one.symbol().parse::<Element>().map_err(|error| format!("{}: {error}", row.formula()))
    };
    let [x, y, z] = row.x;
    Ok(IdealPerovskite { a: element(row.a)?, b: element(row.b)?, x: [element(x)?, element(y)?, element(z)?] })
}

/// References from known compounds of the elements of the table. The functional is that of the potential: the slope is 1.
fn references(model: &Chgnet, lab: &ReplayLab, compounds: &[Compound]) -> Result<(References, usize), Problem> {
    let wanted: BTreeSet<&str> = lab.rows.iter().flat_map(|row| row.sites().map(|element| element.symbol())).collect();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut samples = Vec::new();
    for compound in compounds {
        let elements: BTreeSet<&str> = compound.sites.iter().map(|(symbol, _)| symbol.as_str()).collect();
        let rare = elements.iter().any(|one| seen.get(one).copied().unwrap_or(0) < COMPOUNDS_AN_ELEMENT);
        if !rare || !elements.is_subset(&wanted) || compound.frac.len() > 3 * MOST_ATOMS {
            continue;
        }
        let structure = compound.structure()?;
        let Ok(found) = model.energy(&structure) else { continue };
        elements.into_iter().for_each(|element| *seen.entry(element).or_insert(0) += 1);
        let composition = Composition::of(structure.species()).map_err(|error| error.to_string())?;
        samples.push(Sample { composition, energy: found.per_atom(), target: compound.e_form });
    }
    let fit = FitSettings { fit_slope: false, ..FitSettings::default() };
    let references = References::fit(&samples, &fit).map_err(|error| error.to_string())?;
    eprintln!("element references: left-out sd {:.3} eV/atom", references.left_out_sd());
    Ok((references, samples.len()))
}

/// Known phases by their energy of formation, with the elements at 0.
fn hull(compounds: &[Compound]) -> Result<Hull, Problem> {
    let mut phases = Vec::new();
    for compound in compounds {
        let composition = Composition::of(&compound.species()?).map_err(|error| error.to_string())?;
        phases.push(Phase { composition, energy: compound.e_form });
    }
    for number in 1..=Element::COUNT as u32 {
        let element = Element::from_number(number).map_err(|error| error.to_string())?;
        let composition = Composition::of(&[element]).map_err(|error| error.to_string())?;
        phases.push(Phase { composition, energy: 0.0 });
    }
    Hull::new(phases).map_err(|error| error.to_string())
}

/// The same level made to lie: what it finds low it calls high, and the other way round.
pub(crate) fn lying(level: &HeatLevel) -> HeatLevel {
    let known = || level.heat.iter().flatten();
    let twice_middle = 2.0 * known().sum::<f64>() / known().count().max(1) as f64;
    let heat = level.heat.iter().map(|heat| heat.map(|heat| twice_middle - heat)).collect();
    HeatLevel { name: format!("{}, reversed", level.name), heat, ..level.clone() }
}
