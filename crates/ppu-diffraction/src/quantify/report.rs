//! From a fit to fractions, uncertainties, verdict and flags.

use nalgebra::DMatrix;

use super::fit::Fitted;
use super::model::{Kind, LIMIT_SIGMAS, Model};
use super::{Estimate, Flag, PhaseResult, Quantification, Verdict};
use crate::profile::{SCHERRER_K, film_factor};
use crate::structure::Element;

/// Relative systematic uncertainty of one scale: displacement parameters, table of f', pattern of texture.
const SCALE_SYSTEMATIC: f64 = 0.05;
/// Cells without a calibrated zero err by 2e-4 to 3e-4.
const CELL_SYSTEMATIC: f64 = 2.5e-4;
/// A phase counts as detected above this many standard uncertainties.
const DETECTED_SIGMAS: f64 = 3.0;
/// Something is there when one phase stands out this far; a search over cells and displacements makes chance peaks
/// of three or four sigma common.
const PRESENT_SIGMAS: f64 = 6.0;
/// A fit this bad describes another specimen.
const WORST_REDUCED_CHI_SQUARED: f64 = 50.0;
/// Unexplained share of the line intensity above which the fractions mean little.
const MOST_UNEXPLAINED: f64 = 0.3;
/// Unexplained lines must exceed this many standard deviations of their window.
const UNEXPLAINED_SIGMAS: f64 = 7.0;
/// Width of the window for unexplained lines in degrees: a line of ordinary width fits into it.
const UNEXPLAINED_WINDOW_DEG: f64 = 0.3;
/// Residuals below this share of the modelled lines in a window are profile misfit, not another phase.
const MISFIT_SHARE: f64 = 0.35;

pub(super) fn report(model: &Model<'_>, fitted: &Fitted, rival: Option<(String, f64)>) -> Quantification {
    let points = model.x.len();
    let freedom = (points - model.linear_count() - model.parameters.len()).max(1) as f64;
    let reduced = fitted.chi_squared / freedom;
    let inflation = reduced.max(1.0) * correlation_factor(model, fitted).powi(2);
    let scale_covariance = fitted.covariance.view((0, 0), (model.phases.len(), model.phases.len())) * inflation;
    let background = background(model, fitted);
    let sigmas: Vec<f64> =
        (0..model.phases.len()).map(|phase| fitted.c[phase] / scale_covariance[(phase, phase)].sqrt()).collect();
    let present = sigmas.iter().any(|sigma| *sigma > PRESENT_SIGMAS);

    let lead = fractions(model, fitted, &scale_covariance, |phase| {
        let phase = &model.phases[phase].0.phase;
        phase.atoms_per_cell(Element::Pb) + phase.atoms_per_cell(Element::Sn)
    });
    let mass = fractions(model, fitted, &scale_covariance, |phase| model.phases[phase].0.phase.cell_mass_g_per_mol());
    let phases = if present { phase_results(model, fitted, &sigmas, &mass, &lead) } else { Vec::new() };
    let (unexplained, share) = unexplained(model, fitted, &background, reduced);
    let mut flags = flags(model, fitted, rival, reduced);
    if !unexplained.is_empty() {
        flags.push(Flag::UnexplainedIntensity { positions_deg: unexplained, share });
    }
    let verdict = verdict(model, fitted, present, reduced, share, &sigmas);
    let detected = present && sigmas[0] > DETECTED_SIGMAS;
    Quantification {
        alpha_lead_fraction: present.then(|| lead[0]),
        pseudo_cubic_a: detected.then(|| edge(model, fitted, inflation)),
        verdict,
        phases,
        displacement_mm: value(model, fitted, Kind::Displacement).unwrap_or(0.0),
        reduced_chi_squared: reduced,
        flags,
        iterations: fitted.iterations,
        two_theta: model.x.to_vec(),
        calculated: fitted.calculated.clone(),
        background,
    }
}

fn value(model: &Model<'_>, fitted: &Fitted, kind: Kind) -> Option<f64> {
    model.parameters.iter().position(|parameter| parameter.kind == kind).map(|index| fitted.p[index])
}

/// Bérar and Lelann's factor for correlated residuals (J. Appl. Cryst. 24, 1, 1991), simple form: runs of equal sign
/// count as one deviation. White noise has a factor of its own, which is divided out.
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
    // Runs of independent Gaussian residuals have L members with E[L] = 2 and E[L(L-1)] = 4, so that
    // E[run²]/E[Σ r²] = (2 + 4 · 2/π)/2.
    let white = 1.0 + 4.0 / std::f64::consts::PI;
    (runs / squares / white).sqrt().max(1.0)
}

fn background(model: &Model<'_>, fitted: &Fitted) -> Vec<f64> {
    let mut only = fitted.c.clone();
    for phase in 0..model.phases.len() {
        only[phase] = 0.0;
    }
    let empty: Vec<Vec<f64>> = model.phases.iter().map(|_| Vec::new()).collect();
    model.calculated(empty.iter().map(Vec::as_slice), &only)
}

/// Fractions of an amount for each cell: S V × amount, normalised, with uncertainty.
fn fractions(
    model: &Model<'_>,
    fitted: &Fitted,
    scale_covariance: &DMatrix<f64>,
    per_cell: impl Fn(usize) -> f64,
) -> Vec<Estimate> {
    let count = model.phases.len();
    let factor: Vec<f64> = (0..count)
        .map(|phase| {
            let edge = value(model, fitted, Kind::Cell(phase)).unwrap_or(0.0).exp();
            per_cell(phase) * model.phases[phase].0.phase.cell_volume_a3() * edge.powi(3)
        })
        .collect();
    let amounts: Vec<f64> = (0..count).map(|phase| factor[phase] * fitted.c[phase]).collect();
    let total: f64 = amounts.iter().sum();
    let estimate = |phase: usize| {
        if total <= 0.0 {
            // Nothing at all: any fraction is as good as another, and the uncertainty says so.
            return Estimate { value: 0.5, u_stat: 0.5, u_total: 0.5 };
        }
        let fraction = amounts[phase] / total;
        let gradient = |other: usize| (f64::from(u8::from(other == phase)) - fraction) / total * factor[other];
        let mut variance = 0.0;
        let mut systematic = 0.0;
        for i in 0..count {
            for j in 0..count {
                variance += gradient(i) * gradient(j) * scale_covariance[(i, j)];
            }
            systematic += (gradient(i) * SCALE_SYSTEMATIC * fitted.c[i]).powi(2);
        }
        let u_stat = variance.max(0.0).sqrt();
        Estimate { value: fraction, u_stat, u_total: (u_stat * u_stat + systematic).sqrt() }
    };
    (0..count).map(estimate).collect()
}

fn phase_results(
    model: &Model<'_>,
    fitted: &Fitted,
    sigmas: &[f64],
    mass: &[Estimate],
    lead: &[Estimate],
) -> Vec<PhaseResult> {
    let wavelength = model.instrument.lines[0].wavelength_a;
    let one = |phase: usize| {
        let candidate = model.phases[phase].0;
        let number = |kind: Kind| value(model, fitted, kind).unwrap_or(0.0).exp();
        PhaseResult {
            name: candidate.phase.name().to_owned(),
            role: candidate.role,
            detected: sigmas[phase] > DETECTED_SIGMAS,
            weight_fraction: mass[phase],
            lead_fraction: lead[phase],
            cell: candidate.phase.cell().scaled(number(Kind::Cell(phase))),
            texture_r: number(Kind::March(phase)),
            crystallite_size_nm: 18.0 * SCHERRER_K * wavelength / (std::f64::consts::PI * number(Kind::Size(phase))),
            scale: fitted.c[phase],
        }
    };
    (0..model.phases.len()).map(one).collect()
}

/// Edge of the perovskite with its uncertainty.
fn edge(model: &Model<'_>, fitted: &Fitted, inflation: f64) -> Estimate {
    let phase = &model.phases[0].0.phase;
    let units = phase.atoms_per_cell(Element::Pb) + phase.atoms_per_cell(Element::Sn);
    let factor = value(model, fitted, Kind::Cell(0)).unwrap_or(0.0).exp();
    let edge = (phase.cell_volume_a3() / units).cbrt() * factor;
    let place = model.parameters.iter().position(|parameter| parameter.kind == Kind::Cell(0));
    let variance = place.map_or(0.0, |index| {
        let row = model.linear_count() + index;
        fitted.covariance[(row, row)]
    });
    let u_stat = edge * (variance * inflation).sqrt();
    Estimate { value: edge, u_stat, u_total: u_stat.hypot(edge * CELL_SYSTEMATIC) }
}

/// Windows in which the data exceed the model by more than noise, misfit and the neighbourhood explain.
fn unexplained(model: &Model<'_>, fitted: &Fitted, background: &[f64], reduced: f64) -> (Vec<f64>, f64) {
    let points = model.x.len();
    let step = (model.x[points - 1] - model.x[0]) / (points - 1) as f64;
    let half = ((0.5 * UNEXPLAINED_WINDOW_DEG / step).round() as usize).max(1);
    let sums = |values: &dyn Fn(usize) -> f64| {
        let mut total = vec![0.0; points + 1];
        for index in 0..points {
            total[index + 1] = total[index] + values(index);
        }
        total
    };
    let excess = sums(&|i| model.y[i] - fitted.calculated[i]);
    let lines = sums(&|i| fitted.calculated[i] - background[i]);
    let variance = sums(&|i| 1.0 / fitted.weights[i]);
    let over = |total: &[f64], from: usize, to: usize| total[to] - total[from];
    let width = 2 * half + 1;
    let mut found: Vec<(f64, f64, f64)> = Vec::new();
    for centre in half + width..points.saturating_sub(half + width) {
        let (from, to) = (centre - half, centre + half + 1);
        // Both neighbours tell how far the background is off here.
        let level = 0.5 * (over(&excess, from - width, from) + over(&excess, to, to + width));
        let sum = over(&excess, from, to) - level.max(0.0);
        let noise = (1.5 * over(&variance, from, to) * reduced.clamp(1.0, 4.0)).sqrt();
        if sum > UNEXPLAINED_SIGMAS * noise && sum > MISFIT_SHARE * over(&lines, from, to) {
            let place = (model.x[centre], sum, sum / noise);
            match found.last_mut() {
                Some(last) if place.0 - last.0 < 1.5 * UNEXPLAINED_WINDOW_DEG => {
                    if place.2 > last.2 {
                        *last = place;
                    }
                }
                _ => found.push(place),
            }
        }
    }
    let explained = lines[points].max(0.0);
    let strange: f64 = found.iter().map(|place| place.1).sum();
    let share = if strange > 0.0 { strange / (strange + explained) } else { 0.0 };
    (found.into_iter().map(|place| place.0).collect(), share)
}

fn flags(model: &Model<'_>, fitted: &Fitted, rival: Option<(String, f64)>, reduced: f64) -> Vec<Flag> {
    let mut flags = vec![Flag::CellUncalibrated];
    if let Some(ln) = value(model, fitted, Kind::OpticalThickness) {
        let first = model.phases[0].1.reflections().first();
        let sin = first.map_or(0.12, |reflection| model.instrument.lines[0].wavelength_a / (2.0 * reflection.d));
        let factor_at_first_line = film_factor(ln.exp(), sin);
        flags.push(Flag::FilmCorrection { optical_thickness: ln.exp(), factor_at_first_line });
    }
    if let Some((other, chi_squared)) = rival
        && chi_squared - fitted.chi_squared < 9.0 * reduced.max(1.0)
    {
        flags.push(Flag::FormsAlike { other });
    }
    flags
}

fn verdict(
    model: &Model<'_>,
    fitted: &Fitted,
    present: bool,
    reduced: f64,
    unexplained: f64,
    sigmas: &[f64],
) -> Verdict {
    if !present {
        return Verdict::NothingThere;
    }
    let mut reasons = Vec::new();
    if reduced > WORST_REDUCED_CHI_SQUARED {
        reasons.push(format!("reduced chi squared is {reduced:.0}"));
    }
    if unexplained > MOST_UNEXPLAINED {
        reasons.push(format!("{:.0} % of the line intensity belongs to no candidate", 100.0 * unexplained));
    }
    if !reasons.is_empty() {
        return Verdict::Implausible { reasons };
    }
    let matters = |kind: Kind| match kind {
        Kind::Cell(phase) | Kind::Size(phase) | Kind::March(phase) => sigmas[phase] > PRESENT_SIGMAS,
        _ => true,
    };
    let parameters: Vec<String> = model
        .parameters
        .iter()
        .zip(&fitted.p)
        .filter(|(parameter, value)| {
            let reach = LIMIT_SIGMAS * parameter.sigma;
            matters(parameter.kind) && (**value - parameter.mean).abs() > 0.999 * reach
        })
        .map(|(parameter, _)| name(model, parameter.kind))
        .collect();
    if !parameters.is_empty() {
        return Verdict::AtLimit { parameters };
    }
    if fitted.converged { Verdict::Converged } else { Verdict::IterationLimit }
}

fn name(model: &Model<'_>, kind: Kind) -> String {
    let of = |what: &str, phase: usize| format!("{what} of {}", model.phases[phase].0.phase.name());
    match kind {
        Kind::Displacement => "specimen displacement".to_owned(),
        Kind::GaussianFactor => "Gaussian width of the instrument".to_owned(),
        Kind::OpticalThickness => "optical thickness of the film".to_owned(),
        Kind::Strain => "microstrain".to_owned(),
        Kind::Cell(phase) => of("cell", phase),
        Kind::Size(phase) => of("crystallite size", phase),
        Kind::March(phase) => of("texture", phase),
    }
}
