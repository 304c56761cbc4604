//! What a campaign has learnt of heat and gap: levels of the twin, corrected, with Gaussian processes on what they leave over.

use std::collections::BTreeSet;

use ppu_core::Unit;
use ppu_optimizer::gp::{FitOptions, GaussianProcess, GpError, Hyperparameters};
use ppu_twin::{Correction, ObservableDescription, Pair, Tracking};

use super::listed::Listed;
use super::replay::{ReplayLab, Target};
use super::steer::Beliefs;

/// Observations that a process is conditioned on; a factorisation costs O(n³).
const REMEMBERED: usize = 120;
/// Observations before a process is asked at all.
pub(super) const LEAST_OBSERVED: usize = 10;
/// Gaps above this are all alike to the search, eV.
const WIDE_GAP: f64 = 4.5;
/// What is believed of a gap before any is known, eV: anything between a metal and a wide gap.
const UNKNOWN_GAP: (f64, f64) = (1.5, 2.0);

/// What a level of the twin predicts of the heats of a whole list, before any of them is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatLevel {
    /// Its name.
    pub name: String,
    /// The error that is declared for it.
    pub declared: ObservableDescription,
    /// Heat of every candidate, eV/atom; `None` where the level refuses.
    pub heat: Vec<Option<f64>>,
}

impl HeatLevel {
    /// A level with a declared error (sd after correction, sd of the offset, eV/atom) and correlation with the laboratory.
    #[must_use]
    pub fn new(name: &str, heat: Vec<Option<f64>>, (residual_sd, offset_sd): (f64, f64), correlation: f64) -> Self {
        let declared = ObservableDescription {
            name: "heat".into(),
            unit: Unit::Electronvolt,
            residual_sd,
            offset_sd,
            prior_correlation: correlation,
        };
        HeatLevel { name: name.into(), declared, heat }
    }
}

/// What a search knows before it starts.
#[derive(Debug, Clone, Copy)]
pub struct Guide<'a> {
    /// The prior.
    pub prior: &'a Listed,
    /// Features, a row a candidate, 0 to 1.
    pub features: &'a [Vec<f64>],
    /// Levels of the twin, the cheapest first. The dearest one that is still informative carries the mean of the heat.
    pub levels: &'a [HeatLevel],
}

/// A level in one round: its record, and its correction where it is in use.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standing {
    pub(super) tracking: Tracking,
    pub(super) correction: Correction,
}

/// Gaussian processes for heat and gap on the features; hyperparameters are found anew when the data have grown by half.
pub(super) struct Surrogate<'a> {
    guide: Guide<'a>,
    flat: Vec<f64>,
    /// Spread of the predictions of every level over the prior.
    spreads: Vec<f64>,
    hyper: Option<(Hyperparameters, Hyperparameters)>,
    fitted_at: usize,
    /// The level that carried the mean when the hyperparameters were found.
    carried_by: Option<usize>,
}

impl<'a> Surrogate<'a> {
    pub(super) fn new(guide: Guide<'a>) -> Surrogate<'a> {
        let spreads = guide.levels.iter().map(|level| weighted_spread(guide.prior, &level.heat)).collect();
        let flat = guide.features.concat();
        Surrogate { guide, flat, spreads, hyper: None, fitted_at: 0, carried_by: None }
    }

    /// The record and the correction of every level, from what was predicted and found.
    pub(super) fn standings(&self, lab: &ReplayLab, order: &[usize]) -> Vec<Standing> {
        let one = |(level, spread): (&HeatLevel, &f64)| {
            let met: Vec<(f64, f64)> =
                order.iter().filter_map(|row| Some((level.heat[*row]?, lab.heat[*row]))).collect();
            let pairs: Vec<Pair> =
                met.iter().map(|(twin, measured)| Pair { twin: *twin, measured: *measured, sd: 0.0 }).collect();
            Standing {
                tracking: Tracking::of(level.declared.prior_correlation, &met, *spread),
                correction: Correction::learn(&level.declared, &pairs),
            }
        };
        self.guide.levels.iter().zip(&self.spreads).map(one).collect()
    }

    /// Beliefs about every candidate after these evaluations.
    pub(super) fn learn(
        &mut self,
        lab: &ReplayLab,
        order: &[usize],
        standings: &[Standing],
        target: &Target,
    ) -> Result<Beliefs, GpError> {
        let used = standings.iter().rposition(|standing| standing.tracking.informative());
        let expected = |row: usize| {
            let used = used?;
            Some(standings[used].correction.apply(self.guide.levels[used].heat[row]?))
        };
        let count = lab.rows.len();
        let mut beliefs = Beliefs {
            heat: Vec::new(),
            gap: vec![UNKNOWN_GAP; count],
            frequency: frequencies(lab, order, target),
            correlation: used.map_or(0.0, |used| standings[used].tracking.correlation),
        };
        let seen = order.len().max(1) as f64;
        let mean = order.iter().map(|row| lab.heat[*row]).sum::<f64>() / seen;
        let alike = |row| expected(row).map_or((mean, 1.0), |level| (level.mean, level.sd));
        beliefs.heat = (0..count).map(alike).collect();
        if order.len() < LEAST_OBSERVED {
            return Ok(beliefs);
        }
        let rows = remembered(lab, order);
        // Where no level speaks, the process has to start from the mean of what was found.
        let base: Vec<f64> = beliefs.heat.iter().map(|belief| belief.0).collect();
        let heat: Vec<f64> = rows.iter().map(|row| lab.heat[*row] - base[*row]).collect();
        let gap: Vec<f64> = rows.iter().map(|row| lab.gap[*row].min(WIDE_GAP)).collect();
        let (heat, gap) = self.fit(&rows, &heat, &gap, used)?;
        let predict = |model: &GaussianProcess| {
            let mut out = Vec::with_capacity(count);
            model.predict_rows(&self.flat, &mut out);
            out
        };
        let left_out: Vec<(f64, f64)> = heat
            .leave_one_out()
            .iter()
            .zip(&rows)
            .map(|(one, row)| (one.value + base[*row], one.mean + base[*row]))
            .collect();
        beliefs.correlation = Tracking::of(0.0, &left_out, 0.0).observed;
        beliefs.heat = predict(&heat).into_iter().zip(base).map(|((mean, sd), base)| (base + mean, sd)).collect();
        beliefs.gap = predict(&gap);
        Ok(beliefs)
    }

    fn fit(
        &mut self,
        rows: &[usize],
        heat: &[f64],
        gap: &[f64],
        carried_by: Option<usize>,
    ) -> Result<(GaussianProcess, GaussianProcess), GpError> {
        let points: Vec<Vec<f64>> = rows.iter().map(|row| self.guide.features[*row].clone()).collect();
        let none = vec![0.0; rows.len()];
        let known = self.hyper.take();
        let anew = rows.len() * 2 > self.fitted_at * 3 || carried_by != self.carried_by;
        let fit = |values: &[f64], known: Option<&Hyperparameters>| match known {
            Some(hyper) if !anew => GaussianProcess::with_hyperparameters(&points, values, &none, hyper.clone()),
            warm => {
                let options = FitOptions { warm, starts: 1, ..FitOptions::default() };
                GaussianProcess::fit_with(&points, values, &none, options)
            }
        };
        let heat = fit(heat, known.as_ref().map(|pair| &pair.0))?;
        let gap = fit(gap, known.as_ref().map(|pair| &pair.1))?;
        if anew {
            (self.fitted_at, self.carried_by) = (rows.len(), carried_by);
        }
        self.hyper = Some((heat.hyperparameters().clone(), gap.hyperparameters().clone()));
        Ok((heat, gap))
    }
}

/// How often heat and gap were met. Half a success is added to each, so that what was never met is not impossible.
fn frequencies(lab: &ReplayLab, order: &[usize], target: &Target) -> (f64, f64) {
    let share = |met: &dyn Fn(usize) -> bool| {
        (0.5 + order.iter().filter(|row| met(**row)).count() as f64) / (1.0 + order.len() as f64)
    };
    let gap_met = |row: usize| (target.gap.0..=target.gap.1).contains(&lab.gap[row]);
    (share(&|row| lab.heat[row] < target.heat_below), share(&gap_met))
}

/// Standard deviation of predictions over a prior.
fn weighted_spread(prior: &Listed, heat: &[Option<f64>]) -> f64 {
    let all = || prior.log_q.iter().zip(heat).filter_map(|(log_q, heat)| Some((log_q.exp(), (*heat)?)));
    let total: f64 = all().map(|(weight, _)| weight).sum();
    if total.is_nan() || total <= 0.0 {
        return 0.0;
    }
    let mean = all().map(|(weight, heat)| weight * heat).sum::<f64>() / total;
    (all().map(|(weight, heat)| weight * (heat - mean).powi(2)).sum::<f64>() / total).sqrt()
}

/// The observations that count: all while they are few, then the half with the lowest heat and the latest others.
fn remembered(lab: &ReplayLab, order: &[usize]) -> Vec<usize> {
    if order.len() <= REMEMBERED {
        return order.to_vec();
    }
    let mut by_heat: Vec<usize> = (0..order.len()).collect();
    by_heat.sort_by(|a, b| lab.heat[order[*a]].total_cmp(&lab.heat[order[*b]]));
    let mut kept: BTreeSet<usize> = by_heat[..REMEMBERED / 2].iter().copied().collect();
    for at in (0..order.len()).rev() {
        if kept.len() == REMEMBERED {
            break;
        }
        kept.insert(at);
    }
    kept.into_iter().map(|at| order[at]).collect()
}
