//! From a fit to fractions, cells, uncertainties, verdict and flags.

use nalgebra::DMatrix;

use super::Estimate;
use super::model::{Kind, LIMIT_SIGMAS, Model};
use super::solve::{End, Fitted};
use super::systematic::{self, Absorption};
use crate::profile::SCHERRER_K;
use crate::quantify::linear;
use crate::structure::Cell;

/// A phase counts as detected above this many standard uncertainties.
const DETECTED_SIGMAS: f64 = 3.0;
/// Relative uncertainty of a cell edge whose zero is not calibrated here.
const CELL_UNCALIBRATED: f64 = 2.5e-4;
/// And of one that is: the shape of lines and the spectrum as the monochromator leaves it.
const CELL_CALIBRATED: f64 = 1.5e-5;
/// A weighted residual this bad describes another specimen.
const WORST_R_WP: f64 = 0.5;
/// B below this many standard uncertainties under zero is not thermal motion.
const NEGATIVE_B_SIGMAS: f64 = 4.0;

/// A weight fraction and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fraction {
    /// Of the crystalline mass of the candidates.
    pub weight: Estimate,
    /// Brindley's factor by which it was divided.
    pub tau: f64,
}

/// What was found of one phase.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseFit {
    /// Name of the phase.
    pub name: String,
    /// True when its scale exceeds three times its uncertainty.
    pub detected: bool,
    /// Its share.
    pub fraction: Fraction,
    /// Cell at the end.
    pub cell: Cell,
    /// Edges a, b, c in Å.
    pub edges: [Estimate; 3],
    /// March coefficient and its standard uncertainty, where a texture axis was given.
    pub march: Option<(f64, f64)>,
    /// Isotropic B of each site in Å²; for an anisotropic site the change.
    pub b_iso: Vec<f64>,
    /// Volume-weighted crystallite size in nm from the Lorentzian width; an upper bound where the line shows none.
    pub crystallite_size_nm: f64,
    /// Stokes-Wilson microstrain as a fraction, instrument and specimen together.
    pub microstrain: f64,
    /// Scale after Hill and Howard.
    pub scale: f64,
}

/// How far the numbers may be trusted.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The fit ended at a minimum within every range.
    Converged,
    /// Iterations or time ran out; the best state is returned.
    BudgetHit {
        /// Iterations that were made.
        iterations: usize,
    },
    /// Parameters that matter ended at the end of their range.
    AtLimit {
        /// Their names.
        parameters: Vec<String>,
    },
    /// The fit ended, but its result cannot be a measurement of these phases.
    Implausible {
        /// Why.
        reasons: Vec<String>,
    },
    /// No phase stands out from the background.
    NothingThere,
}

/// What a reader of the numbers should know.
#[derive(Debug, Clone, PartialEq)]
pub enum Flag {
    /// Grains of this phase may absorb so much more or less than the specimen that its fraction is not claimed to be
    /// accurate.
    Microabsorption {
        /// Name of the phase.
        phase: String,
        /// |μ - μ̄| R at the largest radius that its prior allows.
        contrast: f64,
    },
    /// The zero of the goniometer is not calibrated here, so the cells err by up to some 3e-4.
    CellUncalibrated,
}

impl std::fmt::Display for Flag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Flag::Microabsorption { phase, contrast } => {
                write!(
                    f,
                    "grains of {phase} absorb unlike the rest (|μ-μ̄|R up to {contrast:.2}): no accuracy is claimed"
                )
            }
            Flag::CellUncalibrated => write!(f, "the cells are uncalibrated to some 3e-4"),
        }
    }
}

/// The result of a fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Refinement {
    /// How far to trust it.
    pub verdict: Verdict,
    /// Every candidate in the order it was given.
    pub phases: Vec<PhaseFit>,
    /// Every nonlinear parameter: name, value in its natural unit, statistical uncertainty.
    pub parameters: Vec<(String, f64, f64)>,
    /// Displacement of the specimen in mm.
    pub displacement_mm: f64,
    /// Σ w (y - f)² over degrees of freedom.
    pub reduced_chi_squared: f64,
    /// √(Σ w (y - f)² / Σ w y²).
    pub r_wp: f64,
    /// Factor by which correlated residuals widen uncertainties (Bérar and Lelann, J. Appl. Cryst. 24, 1, 1991).
    pub correlation_factor: f64,
    /// Twice the negative log likelihood up to a constant: Poisson deviance, or χ² where uncertainties are given.
    pub deviance: f64,
    /// Twice the negative log of the priors at the end, up to a constant.
    pub penalty: f64,
    /// What else to know.
    pub flags: Vec<Flag>,
    /// Iterations of the fit.
    pub iterations: usize,
    /// Angles of the points used, in degrees.
    pub two_theta: Vec<f64>,
    /// Calculated intensity at each of them.
    pub calculated: Vec<f64>,
    /// Calculated background at each of them.
    pub background: Vec<f64>,
}

/// Nothing when the covariance cannot be had.
pub(super) fn report(model: &Model<'_>, fitted: &Fitted) -> Option<Refinement> {
    let (phases, offset) = (model.crystals.len(), model.linear_count());
    let freedom = (model.x.len() as f64 - offset as f64 - model.parameters.len() as f64).max(1.0);
    let reduced = fitted.chi_squared / freedom;
    let factor = correlation_factor(model, fitted);
    let mut information = &fitted.information / (reduced.max(1.0) * factor * factor);
    for (index, parameter) in model.parameters.iter().enumerate() {
        information[(offset + index, offset + index)] += 1.0 / (parameter.prior.sigma * parameter.prior.sigma);
    }
    let covariance = linear::inverse(&information)?;
    let u = |index: usize| covariance[(index, index)].max(0.0).sqrt();
    let detected: Vec<bool> = (0..phases).map(|phase| fitted.linear[phase] > DETECTED_SIGMAS * u(phase)).collect();
    let mut absorptions = absorptions(model, fitted);
    systematic::widen(&mut absorptions, &detected);
    let fractions = fractions(model, fitted, &covariance, &absorptions);
    let results: Vec<PhaseFit> = (0..phases)
        .map(|phase| phase_fit(model, fitted, &covariance, phase, detected[phase], fractions[phase]))
        .collect();
    let weighted: f64 = model.y.iter().zip(&fitted.weights).map(|(y, w)| w * y * y).sum();
    let r_wp = if weighted > 0.0 { (fitted.chi_squared / weighted).sqrt() } else { 0.0 };
    let parameters = model
        .parameters
        .iter()
        .enumerate()
        .map(|(index, parameter)| {
            let (value, slope) = natural(parameter.kind, fitted.p[index]);
            (name(model, parameter.kind), value, slope * u(offset + index))
        })
        .collect();
    let background: Vec<f64> =
        std::iter::repeat_n(0.0, phases).chain(fitted.linear[phases..].iter().copied()).collect();
    let empty = vec![Vec::new(); phases];
    Some(Refinement {
        verdict: verdict(model, fitted, &results, r_wp, &u),
        flags: flags(model, &results, &absorptions),
        phases: results,
        parameters,
        displacement_mm: model.value(&fitted.p, Kind::Displacement).unwrap_or(model.settings.displacement_mm.mean),
        reduced_chi_squared: reduced,
        r_wp,
        correlation_factor: factor,
        deviance: fitted.deviance,
        penalty: fitted.penalty,
        iterations: fitted.iterations,
        two_theta: model.x.to_vec(),
        calculated: fitted.calculated.clone(),
        background: model.calculated(&empty, &background),
    })
}

/// Bérar and Lelann's factor for correlated residuals, simple form: runs of equal sign count as one deviation. White
/// noise has a factor of its own, which is divided out.
fn correlation_factor(model: &Model<'_>, fitted: &Fitted) -> f64 {
    let residuals = model.y.iter().zip(&fitted.calculated).zip(&fitted.weights).map(|((y, f), w)| (y - f) * w.sqrt());
    let (mut runs, mut squares, mut run) = (0.0, 0.0, 0.0_f64);
    for residual in residuals {
        if run * residual < 0.0 {
            runs += run * run;
            run = 0.0;
        }
        run += residual;
        squares += residual * residual;
    }
    runs += run * run;
    if squares <= 0.0 {
        return 1.0;
    }
    // Runs of independent Gaussian residuals have L members with E[L] = 2 and E[L(L-1)] = 4, so that
    // E[run²]/E[Σ r²] = (2 + 4 · 2/π)/2.
    let white = 1.0 + 4.0 / std::f64::consts::PI;
    (runs / squares / white).sqrt().max(1.0)
}

/// Mass of each phase for each unit of its scale, absorption left out: Z M V.
fn mass_factors(model: &Model<'_>, fitted: &Fitted) -> Vec<f64> {
    let one = |phase: usize| {
        let volume = model.crystals[phase].cell_at(&model.crystal_state(phase, &fitted.p)).volume_a3();
        model.candidates[phase].phase.cell_mass_g_per_mol() * volume
    };
    (0..model.crystals.len()).map(one).collect()
}

/// Brindley's correction: the mean attenuation depends on the fractions, which depend on the correction.
fn absorptions(model: &Model<'_>, fitted: &Fitted) -> Vec<Absorption> {
    let tube = model.settings.instrument.radiation.tube;
    let factors = mass_factors(model, fitted);
    let attenuation: Vec<f64> =
        model.candidates.iter().map(|candidate| candidate.phase.linear_attenuation_at(tube)).collect();
    let mut absorptions = vec![Absorption::NONE; factors.len()];
    for _ in 0..4 {
        let volume = |phase: usize| {
            let mass = factors[phase] * fitted.linear[phase] / absorptions[phase].tau;
            mass / model.candidates[phase].phase.density_g_per_cm3()
        };
        let volumes: Vec<f64> = (0..factors.len()).map(volume).collect();
        let total: f64 = volumes.iter().sum();
        if total <= 0.0 {
            break;
        }
        let mean = volumes.iter().zip(&attenuation).map(|(v, mu)| v * mu).sum::<f64>() / total;
        for (phase, absorption) in absorptions.iter_mut().enumerate() {
            let candidate = &model.candidates[phase];
            let contrast = attenuation[phase] - mean;
            *absorption =
                systematic::absorption(contrast, candidate.particle_radius_um, candidate.particle_radius_spread);
        }
    }
    absorptions
}

fn fractions(
    model: &Model<'_>,
    fitted: &Fitted,
    covariance: &DMatrix<f64>,
    absorptions: &[Absorption],
) -> Vec<Fraction> {
    let count = model.crystals.len();
    let tube = model.settings.instrument.radiation.tube;
    let factor: Vec<f64> = mass_factors(model, fitted)
        .iter()
        .zip(absorptions)
        .map(|(factor, absorption)| factor / absorption.tau)
        .collect();
    let amounts: Vec<f64> = (0..count).map(|phase| factor[phase] * fitted.linear[phase]).collect();
    let total: f64 = amounts.iter().sum();
    let relative = |phase: usize| {
        let ln_march = model.value(&fitted.p, Kind::March(phase)).unwrap_or(0.0);
        let power = systematic::scattering_power(&model.candidates[phase].phase, tube, ln_march);
        power.hypot(absorptions[phase].u)
    };
    let estimate = |phase: usize| {
        let tau = absorptions[phase].tau;
        if total <= 0.0 {
            // Nothing at all: any fraction is as good as another, and the uncertainty says so.
            return Fraction { weight: Estimate { value: 0.5, u_stat: 0.5, u_total: 0.5 }, tau };
        }
        let value = amounts[phase] / total;
        let gradient = |other: usize| (f64::from(u8::from(other == phase)) - value) / total * factor[other];
        let (mut variance, mut systematic) = (0.0, 0.0);
        for i in 0..count {
            for j in 0..count {
                variance += gradient(i) * gradient(j) * covariance[(i, j)];
            }
            systematic += (gradient(i) * relative(i) * fitted.linear[i]).powi(2);
        }
        let u_stat = variance.max(0.0).sqrt();
        // A phase that is alone is all there is.
        let trace = if count > 1 { systematic::TRACE } else { 0.0 };
        let systematic = systematic + trace * trace;
        Fraction { weight: Estimate { value, u_stat, u_total: (u_stat * u_stat + systematic).sqrt() }, tau }
    };
    (0..count).map(estimate).collect()
}

fn phase_fit(
    model: &Model<'_>,
    fitted: &Fitted,
    covariance: &DMatrix<f64>,
    phase: usize,
    detected: bool,
    fraction: Fraction,
) -> PhaseFit {
    let (candidate, crystal) = (&model.candidates[phase], &model.crystals[phase]);
    let state = model.crystal_state(phase, &fitted.p);
    let cell = crystal.cell_at(&state);
    let offset = model.linear_count();
    let number = |kind: Kind| model.value(&fitted.p, kind).map_or(0.0, f64::exp);
    let lengths = [cell.a, cell.b, cell.c];
    let systematic = if model.settings.calibrated { CELL_CALIBRATED } else { CELL_UNCALIBRATED };
    let places: Vec<Option<usize>> =
        (0..crystal.cell_basis.len()).map(|index| model.place_of(Kind::Cell(phase, index))).collect();
    let edge = |axis: usize| {
        let value = lengths[axis];
        // The diagonal of the metric is the square of the edge.
        let slope = |index: usize| crystal.cell_basis[index][(axis, axis)] / (2.0 * value);
        let mut variance = 0.0;
        for (i, row) in places.iter().enumerate() {
            for (j, column) in places.iter().enumerate() {
                if let (Some(row), Some(column)) = (row, column) {
                    variance += slope(i) * slope(j) * covariance[(offset + row, offset + column)];
                }
            }
        }
        let u_stat = variance.max(0.0).sqrt();
        Estimate { value, u_stat, u_total: u_stat.hypot(systematic * value) }
    };
    let march = model.place_of(Kind::March(phase)).map(|index| {
        let r = fitted.p[index].exp();
        (r, r * covariance[(offset + index, offset + index)].max(0.0).sqrt())
    });
    let b_iso = candidate
        .phase
        .sites()
        .iter()
        .zip(&state.b)
        .map(|(site, change)| if site.u_aniso.is_some() { *change } else { site.b_iso + change });
    let wavelength = model.settings.instrument.radiation.lines[0].wavelength_a;
    PhaseFit {
        name: candidate.phase.name().to_owned(),
        detected,
        fraction,
        edges: [0, 1, 2].map(edge),
        cell,
        march,
        b_iso: b_iso.collect(),
        crystallite_size_nm: 18.0 * SCHERRER_K * wavelength / (std::f64::consts::PI * number(Kind::Size(phase))),
        microstrain: number(Kind::Strain(phase)) * std::f64::consts::PI / 720.0,
        scale: fitted.linear[phase],
    }
}

fn flags(model: &Model<'_>, phases: &[PhaseFit], absorptions: &[Absorption]) -> Vec<Flag> {
    let of = |(phase, absorption): (&PhaseFit, &Absorption)| {
        let flagged = phase.detected && absorption.is_beyond();
        flagged.then(|| Flag::Microabsorption { phase: phase.name.clone(), contrast: absorption.worst })
    };
    let mut flags: Vec<Flag> = phases.iter().zip(absorptions).filter_map(of).collect();
    if !model.settings.calibrated {
        flags.push(Flag::CellUncalibrated);
    }
    flags
}

fn verdict(model: &Model<'_>, fitted: &Fitted, phases: &[PhaseFit], r_wp: f64, u: &dyn Fn(usize) -> f64) -> Verdict {
    if phases.iter().all(|phase| !phase.detected) {
        return Verdict::NothingThere;
    }
    // A fit that was cut short says nothing of what it would have found.
    match fitted.end {
        End::Converged => {}
        End::Iterations | End::Time => return Verdict::BudgetHit { iterations: fitted.iterations },
    }
    let mut reasons = Vec::new();
    if r_wp > WORST_R_WP {
        reasons.push(format!("the weighted residual is {:.0} %", 100.0 * r_wp));
    }
    for (index, parameter) in model.parameters.iter().enumerate() {
        if let Kind::B(phase, site) = parameter.kind
            && phases[phase].detected
            && phases[phase].b_iso[site] < -NEGATIVE_B_SIGMAS * u(model.linear_count() + index)
        {
            reasons.push(format!("{} is {:.2} Å²", name(model, parameter.kind), phases[phase].b_iso[site]));
        }
    }
    if !reasons.is_empty() {
        return Verdict::Implausible { reasons };
    }
    let matters = |kind: Kind| match kind {
        Kind::Cell(phase, _) | Kind::March(phase) | Kind::B(phase, _) => phases[phase].detected,
        // A width that is too small to show ends at the lower end of its range, which says just that.
        Kind::Size(_) | Kind::Strain(_) | Kind::Gamma | Kind::Axial => false,
        _ => true,
    };
    let parameters: Vec<String> = model
        .parameters
        .iter()
        .zip(&fitted.p)
        .filter(|(parameter, value)| {
            let reach = LIMIT_SIGMAS * parameter.prior.sigma;
            matters(parameter.kind) && (**value - parameter.prior.mean).abs() > 0.999 * reach
        })
        .map(|(parameter, _)| name(model, parameter.kind))
        .collect();
    if parameters.is_empty() { Verdict::Converged } else { Verdict::AtLimit { parameters } }
}

/// Value in the natural unit, and the derivative of it by the parameter.
fn natural(kind: Kind, p: f64) -> (f64, f64) {
    match kind {
        Kind::Zero | Kind::Displacement | Kind::Beta | Kind::Cell(..) | Kind::B(..) => (p, 1.0),
        Kind::Alpha | Kind::Gamma | Kind::Ratio | Kind::Axial | Kind::Size(_) | Kind::Strain(_) | Kind::March(_) => {
            (p.exp(), p.exp())
        }
    }
}

fn name(model: &Model<'_>, kind: Kind) -> String {
    let of = |what: &str, phase: usize| format!("{what} of {}", model.candidates[phase].phase.name());
    match kind {
        Kind::Zero => "zero (deg)".to_owned(),
        Kind::Displacement => "displacement (mm)".to_owned(),
        Kind::Alpha => "Gaussian width alpha (deg)".to_owned(),
        Kind::Beta => "Gaussian width beta (deg)".to_owned(),
        Kind::Gamma => "Gaussian width gamma (deg)".to_owned(),
        Kind::Ratio => "ratio of the second line to the first".to_owned(),
        Kind::Axial => "axial divergence S/L".to_owned(),
        Kind::Cell(phase, index) => of(&format!("cell parameter {}", index + 1), phase),
        Kind::Size(phase) => of("Lorentzian size width (deg)", phase),
        Kind::Strain(phase) => of("Lorentzian strain width (deg)", phase),
        Kind::March(phase) => of("March coefficient", phase),
        Kind::B(phase, site) => {
            of(&format!("change of B at {} (Å²)", model.candidates[phase].phase.sites()[site].label), phase)
        }
    }
}
