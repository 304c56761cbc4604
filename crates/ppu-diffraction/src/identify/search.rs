//! The search over sets of phases: screening, best-first growth, and taking away what earlier guesses brought in.

use super::data::Data;
use super::fit::{Node, Problem, dot, gram, project};
use super::model::{self, PhaseState, Shared};
use super::sticks::StickLibrary;

/// Strains of q that are screened: ± 1.5 %, which is ± 0.75 % of a cell edge, in steps finer than a line is wide.
const SCREEN_REACH: f64 = 0.015;
const SCREEN_STEPS: i32 = 5;
/// Lines are broadened in the screening so that a near miss still overlaps; ln of degrees.
const SCREEN_LN_WIDTH: f64 = -1.6;
/// A candidate must promise this many nats at the present over-dispersion to be fitted.
const PROMISE: f64 = 4.0;
/// Candidates that are fitted at each growth.
const CHILDREN: usize = 3;
/// Iterations of the fit of a child, and of the last polish.
const SHORT: usize = 5;
const POLISH: usize = 8;
/// Fits of one search; the budget that no pattern exceeds.
const MOST_FITS: usize = 24;

pub(super) struct Search<'a> {
    problem: &'a Problem<'a>,
    screen: Vec<Vec<Screened>>,
    pub(super) nodes: Vec<Node>,
    fits: usize,
    most_phases: usize,
    ln_odds: f64,
}

/// A broadened pattern of a candidate at one strain, of area 1 in the data's units.
struct Screened {
    strain: f64,
    ln_scale: f64,
    value: Vec<f64>,
    /// Weighted norm after taking out the background.
    norm: f64,
}

impl<'a> Search<'a> {
    pub(super) fn new(problem: &'a Problem<'a>, most_phases: usize, ln_odds: f64) -> Self {
        let screen = (0..problem.library.candidates.len()).map(|candidate| screened(problem, candidate)).collect();
        Self { problem, screen, nodes: Vec::new(), fits: 0, most_phases, ln_odds }
    }

    /// Over-dispersion κ: reduced χ² of the best node, at least 1, times the square of the factor for correlated
    /// residuals after Bérar and Lelann (J. Appl. Cryst. 24, 1, 1991).
    pub(super) fn kappa(&self) -> f64 {
        let best =
            self.nodes.iter().map(|node| (node.chi_squared / node.freedom(), node)).min_by(|a, b| a.0.total_cmp(&b.0));
        best.map_or(1.0, |(reduced, node)| reduced.max(1.0) * correlation(self.problem.data, &node.calculated))
    }

    /// Evidence with the prior odds of its number of phases.
    pub(super) fn score(&self, node: &Node, kappa: f64) -> f64 {
        node.ln_evidence(kappa) + self.ln_odds * node.set.len() as f64
    }

    pub(super) fn fits(&self) -> usize {
        self.fits
    }

    /// Index of the best node at the present κ.
    pub(super) fn best(&self) -> usize {
        let kappa = self.kappa();
        let scores: Vec<f64> = self.nodes.iter().map(|node| self.score(node, kappa)).collect();
        (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap_or(0)
    }

    /// Grows sets from nothing until no growth pays, then tries to take phases away and to put others in their place.
    pub(super) fn run(&mut self) -> Option<()> {
        let empty = self.problem.fit(Vec::new(), Shared { displacement_mm: 0.0, ln_gaussian: 0.0 }, 0)?;
        self.nodes.push(empty);
        let mut grown = vec![false];
        while self.fits < MOST_FITS {
            grown.resize(self.nodes.len(), false);
            let kappa = self.kappa();
            // Best-first: the best node that has not been grown, as long as it is near the best of all.
            let best = self.score(&self.nodes[self.best()], kappa);
            let open = (0..self.nodes.len())
                .filter(|i| !grown[*i] && self.nodes[*i].set.len() < self.most_phases)
                .max_by(|a, b| self.score(&self.nodes[*a], kappa).total_cmp(&self.score(&self.nodes[*b], kappa)));
            let Some(next) = open else { break };
            if self.score(&self.nodes[next], kappa) < best - 10.0 {
                break;
            }
            grown[next] = true;
            self.grow(next, kappa);
        }
        self.prune();
        Some(())
    }

    fn grow(&mut self, parent: usize, kappa: f64) {
        let parent = self.nodes[parent].clone();
        let promises = self.promises(&parent, kappa);
        for (candidate, strain, ln_scale, _) in promises.into_iter().take(CHILDREN) {
            let mut set = parent.set.clone();
            set.push(candidate);
            set.sort_unstable();
            if self.fits >= MOST_FITS || self.nodes.iter().any(|node| node.set == set) {
                continue;
            }
            let mut phases = parent.phases.clone();
            phases.push(model::start(self.problem.library, candidate, self.strains(candidate, strain), ln_scale));
            self.fit(phases, parent.shared, SHORT);
        }
    }

    /// Strain parameters that move every q by the same share.
    fn strains(&self, candidate: usize, strain: f64) -> Vec<f64> {
        isotropic(self.problem.library, candidate).into_iter().map(|part| part * strain).collect()
    }

    fn fit(&mut self, phases: Vec<PhaseState>, shared: Shared, iterations: usize) -> bool {
        self.fits += 1;
        let Some(first) = self.problem.fit(phases, shared, iterations) else { return false };
        self.nodes.push(first);
        true
    }

    /// Candidates by the gain in nats that they promise on the residual of a node.
    fn promises(&self, node: &Node, kappa: f64) -> Vec<(usize, f64, f64, f64)> {
        let data = self.problem.data;
        let residual: Vec<f64> = data.y.iter().zip(&node.calculated).map(|(y, f)| y - f).collect();
        let weighted: Vec<f64> = residual.iter().zip(&data.weight).map(|(r, w)| r * w).collect();
        let mut found = Vec::new();
        for (candidate, patterns) in self.screen.iter().enumerate() {
            if node.set.contains(&candidate) {
                continue;
            }
            let gain = |screened: &Screened| {
                let top = dot(&screened.value, &weighted);
                if top > 0.0 { top * top / screened.norm } else { 0.0 }
            };
            let best = patterns.iter().max_by(|a, b| gain(a).total_cmp(&gain(b)));
            if let Some(best) = best {
                let nats = 0.5 * gain(best) / kappa;
                let amplitude = dot(&best.value, &weighted) / best.norm;
                if nats > PROMISE && amplitude > 0.0 {
                    found.push((candidate, best.strain, best.ln_scale + amplitude.ln(), nats));
                }
            }
        }
        found.sort_by(|a, b| b.3.total_cmp(&a.3));
        found
    }

    /// Polishes the best node with texture, then refits it without each of its phases; a better set starts over.
    fn prune(&mut self) {
        let mut polished: Vec<Vec<usize>> = Vec::new();
        for _ in 0..3 {
            let best = self.nodes[self.best()].clone();
            if polished.contains(&best.set) || best.set.is_empty() {
                return;
            }
            polished.push(best.set.clone());
            let mut phases = best.phases.clone();
            for (index, phase) in phases.iter_mut().enumerate() {
                if phase.rho == 0.0 || phase.axis == 0 {
                    let axis = self.problem.best_axis(&best, index);
                    if axis != phase.axis {
                        (phase.axis, phase.rho) = (axis, 0.0);
                    }
                }
            }
            let before = self.nodes.len();
            if self.fit(phases, best.shared, POLISH) && self.nodes[before].chi_squared <= best.chi_squared {
                let polished = self.nodes.swap_remove(before);
                if let Some(place) = self.nodes.iter().position(|node| node.set == best.set) {
                    self.nodes[place] = polished;
                }
            } else {
                self.nodes.truncate(before);
            }
            let best = self.nodes[self.best()].clone();
            if best.set.len() > 1 {
                for leave in 0..best.phases.len() {
                    let mut phases = best.phases.clone();
                    let gone = phases.remove(leave).candidate;
                    let set: Vec<usize> = best.set.iter().copied().filter(|candidate| *candidate != gone).collect();
                    let before = self.nodes.len();
                    if self.fit(phases, best.shared, SHORT) {
                        // The refit replaces an older fit of the same set when it is better.
                        let fresh = self.nodes.swap_remove(before);
                        match self.nodes.iter().position(|node| node.set == set) {
                            Some(place) if self.nodes[place].chi_squared <= fresh.chi_squared => {}
                            Some(place) => self.nodes[place] = fresh,
                            None => self.nodes.push(fresh),
                        }
                    }
                }
            }
        }
    }
}

fn screened(problem: &Problem<'_>, candidate: usize) -> Vec<Screened> {
    let data = problem.data;
    let shared = Shared { displacement_mm: 0.0, ln_gaussian: 0.0 };
    let plain = crate::profile::Instrument { axial: 0.0, ..problem.library.instrument.clone() };
    let background: Vec<&[f64]> = problem.background.iter().map(Vec::as_slice).collect();
    let h = gram(&background, &data.weight).cholesky();
    let iso = isotropic(problem.library, candidate);
    (-SCREEN_STEPS..=SCREEN_STEPS)
        .filter_map(|step| {
            let strain = SCREEN_REACH * f64::from(step) / f64::from(SCREEN_STEPS);
            let mut state =
                model::start(problem.library, candidate, iso.iter().map(|part| part * strain).collect(), 0.0);
            state.ln_width = SCREEN_LN_WIDTH;
            let mut value =
                model::columns::<false>(&problem.library.candidates[candidate], &state, &shared, &plain, data).value;
            let area: f64 = value.iter().sum();
            if area <= 0.0 {
                return None;
            }
            value.iter_mut().for_each(|v| *v /= area);
            // What a smooth background takes of the pattern is no sign of the phase.
            if let Some(h) = &h {
                let c = h.solve(&project(&background, &data.weight, &value));
                for (column, c) in background.iter().zip(c.iter()) {
                    value.iter_mut().zip(*column).for_each(|(v, b)| *v -= c * b);
                }
            }
            let norm = value.iter().zip(&data.weight).map(|(v, w)| w * v * v).sum::<f64>().max(f64::MIN_POSITIVE);
            Some(Screened { strain, ln_scale: -area.ln(), value, norm })
        })
        .collect()
}

/// The combination of strain parameters that moves every q by its own share, by least squares over the lines.
fn isotropic(library: &StickLibrary, candidate: usize) -> Vec<f64> {
    let candidate = &library.candidates[candidate];
    let k = candidate.basis.len();
    let mut h = nalgebra::DMatrix::<f64>::zeros(k, k);
    let mut g = nalgebra::DVector::<f64>::zeros(k);
    for stick in candidate.sticks.iter().take(60) {
        for i in 0..k {
            g[i] += stick.strain[i];
            for j in 0..k {
                h[(i, j)] += stick.strain[i] * stick.strain[j];
            }
        }
    }
    for i in 0..k {
        h[(i, i)] *= 1.0 + 1e-9;
        h[(i, i)] += 1e-12;
    }
    h.cholesky().map_or_else(|| vec![0.0; k], |c| c.solve(&g).iter().copied().collect())
}

/// Square of the factor for correlated residuals; white noise has a factor of its own, which is divided out.
pub(super) fn correlation(data: &Data, calculated: &[f64]) -> f64 {
    let (mut runs, mut squares, mut run) = (0.0, 0.0, 0.0_f64);
    for ((y, f), w) in data.y.iter().zip(calculated).zip(&data.weight) {
        let residual = (y - f) * w.sqrt();
        if run * residual < 0.0 {
            runs += run * run;
            run = 0.0;
        }
        run += residual;
        squares += residual * residual;
    }
    runs += run * run;
    let white = 1.0 + 4.0 / std::f64::consts::PI;
    if squares > 0.0 { (runs / squares / white).max(1.0) } else { 1.0 }
}
