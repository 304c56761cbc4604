//! Evaluations of different cost: a chain of fidelities, each a multiple of the one below plus a difference (Kennedy and
//! O'Hagan, Biometrika 87, 2000), and the choice of the one that teaches most for its cost.
//!
//! The correlation of a fidelity with the last one is fitted anew with every result. A cheap fidelity that is hardly
//! correlated, or that makes the predictions of held-out results worse, is dropped: it would do harm (Sabanza-Gil 2024).

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

use crate::belief::{Belief, Look, best_process};
use crate::gp::{GaussianProcess, matern};

/// Correlation with the last fidelity below which a chain is not used.
const LEAST_CORRELATION: f64 = 0.5;
/// Results at the last fidelity before its correlation with the others can be judged.
const LEAST_TARGETS: usize = 4;
/// Share of the variance at a point that a cheap evaluation must take away to be worth it.
const LEAST_GAIN: f64 = 0.1;
/// Evaluations of the likelihood in the search for the four numbers of a link.
const EVALUATIONS: usize = 160;

/// Rows, values and variances at one fidelity.
pub(crate) type Level<'a> = (&'a [Vec<f64>], &'a [f64], &'a [f64]);

#[derive(Debug, Clone)]
struct Link {
    /// Factor on the fidelity below; 0 for the lowest.
    rho: f64,
    signal: f64,
    inverse_square: Vec<f64>,
    noise: f64,
}

impl Link {
    fn covariance(&self, a: &[f64], b: &[f64]) -> f64 {
        let square: f64 =
            a.iter().zip(b).zip(&self.inverse_square).map(|((a, b), weight)| (a - b).powi(2) * weight).sum();
        self.signal * matern(square)
    }
}

/// A joint Gaussian process over all fidelities. Values of each are standardised by their own mean and sd.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    links: Vec<Link>,
    rows: Vec<(usize, Vec<f64>)>,
    root: Cholesky<f64, Dyn>,
    weights: DVector<f64>,
    moments: Vec<(f64, f64)>,
    values: DVector<f64>,
}

impl Chain {
    /// A chain over the levels, cheapest first, if it predicts the last one better than `single`, a model of that alone;
    /// and a remark for people where it does not.
    pub(crate) fn fit(levels: &[Level<'_>], single: &GaussianProcess) -> (Option<Chain>, Option<String>) {
        let target = levels.len() - 1;
        if levels[target].0.len() < LEAST_TARGETS || levels[..target].iter().any(|level| level.0.len() < LEAST_TARGETS)
        {
            return (None, None);
        }
        let Some(chain) = Self::assemble(levels) else {
            return (
                None,
                Some("the fidelities could not be modelled together; the last one is modelled alone".to_owned()),
            );
        };
        let correlation = chain.correlation();
        if correlation < LEAST_CORRELATION {
            let remark =
                format!("cheap fidelities are left out: their correlation with the last one is {correlation:.2}");
            return (None, Some(remark));
        }
        let own = single.leave_one_out();
        let alone: f64 = own.iter().map(|one| log_normal(one.value, one.mean, one.sd)).sum::<f64>() / own.len() as f64;
        let together = chain.held_out_density();
        if together < alone {
            let remark = format!(
                "cheap fidelities are left out: with them held-out results are predicted worse ({together:.2} against {alone:.2} nats)"
            );
            return (None, Some(remark));
        }
        (Some(chain), None)
    }

    fn assemble(levels: &[Level<'_>]) -> Option<Chain> {
        let moments: Vec<(f64, f64)> = levels.iter().map(|level| moments(level.1)).collect();
        let standard = |level: usize| -> Vec<f64> {
            levels[level].1.iter().map(|value| (value - moments[level].0) / moments[level].1).collect()
        };
        let known = |level: usize| -> Vec<f64> {
            levels[level].2.iter().map(|variance| variance / moments[level].1.powi(2)).collect()
        };
        let lowest = best_process(levels[0].0, &standard(0), &known(0)).ok()?;
        let row = &levels[0].0[0];
        let inverse_square: Vec<f64> =
            lowest.hyperparameters().log_length.iter().map(|log| (-2.0 * log).exp()).collect();
        let signal = lowest.prior(row, row);
        let mut links = vec![Link { rho: 0.0, signal, inverse_square, noise: lowest.noise_sd().powi(2) }];
        let (mut rows, mut values, mut variances) = (Vec::new(), Vec::new(), Vec::new());
        for (level, (known_rows, ..)) in levels.iter().enumerate() {
            rows.extend(known_rows.iter().map(|row| (level, row.clone())));
            values.extend(standard(level));
            variances.extend(known(level));
            if level > 0 {
                links.push(best_link(&links, &rows, &values, &variances)?);
            }
        }
        let root = joint(&links, &rows, &variances)?;
        let values = DVector::from_vec(values);
        let weights = root.solve(&values);
        Some(Chain { links, rows, root, weights, moments, values })
    }

    fn target(&self) -> usize {
        self.links.len() - 1
    }

    /// Correlation of the last fidelity with the one below it, by the prior variances that were fitted.
    pub(crate) fn correlation(&self) -> f64 {
        let target = self.target();
        let (own, below) = (self.variance(target), self.variance(target - 1));
        self.links[target].rho.abs() * (below / own).sqrt()
    }

    fn variance(&self, level: usize) -> f64 {
        (0..=level).map(|at| reach(&self.links, at, level).powi(2) * self.links[at].signal).sum()
    }

    /// Mean log density of the results at the last fidelity, each predicted from all others, in their unit.
    fn held_out_density(&self) -> f64 {
        let inverse = self.root.inverse();
        let (centre, scale) = self.moments[self.target()];
        let own = (0..self.rows.len()).filter(|at| self.rows[*at].0 == self.target());
        let densities: Vec<f64> = own
            .map(|at| {
                let mean = self.values[at] - self.weights[at] / inverse[(at, at)];
                let sd = inverse[(at, at)].sqrt().recip();
                log_normal(centre + scale * self.values[at], centre + scale * mean, scale * sd)
            })
            .collect();
        densities.iter().sum::<f64>() / densities.len() as f64
    }

    /// The fidelity to evaluate a point at: the one that takes most variance from the last fidelity for its cost, and a
    /// cheap one only where that is a fair part of it.
    pub(crate) fn choose(&self, point: &[f64], costs: &[f64]) -> usize {
        let target = self.target();
        let cross = |level: usize| -> DVector<f64> {
            let k = self.rows.iter().map(|(other, row)| covariance(&self.links, (level, point), (*other, row)));
            let k = DVector::from_iterator(self.rows.len(), k);
            self.root.l_dirty().solve_lower_triangular(&k).unwrap_or(k)
        };
        let own = cross(target);
        let left = (self.variance(target) - own.norm_squared()).max(1e-12);
        let gain = |level: usize| {
            let other = cross(level);
            let shared = covariance(&self.links, (level, point), (target, point)) - own.dot(&other);
            let variance = (self.variance(level) - other.norm_squared()).max(1e-12);
            shared * shared / (variance + self.links[level].noise)
        };
        let worth = |level: usize| gain(level) / costs[level];
        let cheap = (0..target).filter(|level| gain(*level) >= LEAST_GAIN * left && worth(*level) > worth(target));
        cheap.reduce(|best, next| if worth(next) > worth(best) { next } else { best }).unwrap_or(target)
    }
}

impl Belief for Chain {
    fn look(&self, point: &[f64]) -> Look {
        let target = self.target();
        let (centre, scale) = self.moments[target];
        let k = self.rows.iter().map(|(level, row)| covariance(&self.links, (target, point), (*level, row)));
        let k = DVector::from_iterator(self.rows.len(), k);
        let mean = k.dot(&self.weights);
        let whitened = self.root.l_dirty().solve_lower_triangular(&k).unwrap_or(k);
        let prior = self.variance(target);
        let variance = (prior - whitened.norm_squared()).max(1e-12 * prior);
        Look {
            mean: centre + scale * mean,
            variance: scale * scale * variance,
            whitened: whitened.iter().map(|v| scale * v).collect(),
        }
    }

    fn prior(&self, a: &[f64], b: &[f64]) -> f64 {
        let target = self.target();
        self.moments[target].1.powi(2) * covariance(&self.links, (target, a), (target, b))
    }
}

/// Product of the factors that lead from one fidelity up to another.
fn reach(links: &[Link], from: usize, to: usize) -> f64 {
    links[from + 1..=to].iter().map(|link| link.rho).product()
}

fn covariance(links: &[Link], (m, a): (usize, &[f64]), (n, b): (usize, &[f64])) -> f64 {
    (0..=m.min(n)).map(|at| reach(links, at, m) * reach(links, at, n) * links[at].covariance(a, b)).sum()
}

fn joint(links: &[Link], rows: &[(usize, Vec<f64>)], variances: &[f64]) -> Option<Cholesky<f64, Dyn>> {
    let count = rows.len();
    let covariance = DMatrix::from_fn(count, count, |i, j| {
        if i < j {
            return 0.0;
        }
        let value = covariance(links, (rows[i].0, &rows[i].1), (rows[j].0, &rows[j].1));
        if i == j { value * (1.0 + 1e-8) + links[rows[i].0].noise + variances[i] } else { value }
    });
    Cholesky::new(covariance)
}

/// The link from the levels so far to the next one: factor, length scales relative to those of the lowest level, variance
/// of the difference and noise, by the mode of their posterior.
fn best_link(links: &[Link], rows: &[(usize, Vec<f64>)], values: &[f64], variances: &[f64]) -> Option<Link> {
    let link = |theta: &[f64]| Link {
        rho: theta[0],
        inverse_square: links[0].inverse_square.iter().map(|weight| weight * (-2.0 * theta[1]).exp()).collect(),
        signal: theta[2].exp(),
        noise: theta[3].exp(),
    };
    let values = DVector::from_column_slice(values);
    let cost = |theta: &[f64]| -> f64 {
        if theta[0].abs() > 5.0
            || theta[1].abs() > 3.0
            || !(-16.0..=3.0).contains(&theta[2])
            || !(-24.0..=1.0).contains(&theta[3])
        {
            return f64::INFINITY;
        }
        let mut all = links.to_vec();
        all.push(link(theta));
        let Some(root) = joint(&all, rows, variances) else { return f64::INFINITY };
        let fit = values.dot(&root.solve(&values));
        let log_determinant: f64 = root.l_dirty().diagonal().iter().map(|x| x.ln()).sum();
        // Standardised values of useful fidelities have a factor near 1; a difference is smaller and no rougher. Noise may be
        // anything from none to all of the values: a prior that insists on some hides an optimum that none of it blurs.
        let square = |x: f64, centre: f64, sd: f64| ((x - centre) / sd).powi(2);
        let prior = square(theta[0], 1.0, 0.7)
            + square(theta[1], 0.3, 0.7)
            + square(theta[2], -2.0, 3.0)
            + square(theta[3], -10.0, 6.0);
        0.5 * fit + log_determinant + 0.5 * prior
    };
    let starts = [[1.0, 0.3, -2.0, -5.0], [1.0, 0.3, -3.0, -14.0], [0.2, 0.0, -0.2, -3.0]];
    let found = starts.into_iter().map(|start| nelder_mead(cost, &start, EVALUATIONS));
    let (value, theta) = found.reduce(|best, next| if next.0 < best.0 { next } else { best })?;
    value.is_finite().then(|| link(&theta))
}

/// Nelder and Mead's simplex with their usual coefficients: four numbers and a cheap function need nothing better.
fn nelder_mead(cost: impl Fn(&[f64]) -> f64, start: &[f64], evaluations: usize) -> (f64, Vec<f64>) {
    let mut simplex: Vec<(f64, Vec<f64>)> = vec![(cost(start), start.to_vec())];
    for at in 0..start.len() {
        let mut corner = start.to_vec();
        corner[at] += 0.6;
        simplex.push((cost(&corner), corner));
    }
    let mut spent = simplex.len();
    while spent < evaluations {
        simplex.sort_by(|a, b| a.0.total_cmp(&b.0));
        let last = simplex.len() - 1;
        let centre: Vec<f64> = (0..start.len())
            .map(|k| simplex[..last].iter().map(|(_, corner)| corner[k]).sum::<f64>() / last as f64)
            .collect();
        let along = |t: f64| -> Vec<f64> {
            centre.iter().zip(&simplex[last].1).map(|(centre, worst)| centre + t * (worst - centre)).collect()
        };
        let tried = |t: f64| {
            let corner = along(t);
            (cost(&corner), corner)
        };
        let reflected = tried(-1.0);
        spent += 1;
        let replaced = if reflected.0 < simplex[0].0 {
            let expanded = tried(-2.0);
            spent += 1;
            Some(if expanded.0 < reflected.0 { expanded } else { reflected })
        } else if reflected.0 < simplex[last - 1].0 {
            Some(reflected)
        } else {
            let inside = tried(if reflected.0 < simplex[last].0 { -0.5 } else { 0.5 });
            spent += 1;
            (inside.0 < simplex[last].0.min(reflected.0)).then_some(inside)
        };
        match replaced {
            Some(corner) => simplex[last] = corner,
            None => {
                let best = simplex[0].1.clone();
                for (value, corner) in &mut simplex[1..] {
                    corner.iter_mut().zip(&best).for_each(|(x, best)| *x = 0.5 * (*x + best));
                    *value = cost(corner);
                    spent += 1;
                }
            }
        }
    }
    simplex.sort_by(|a, b| a.0.total_cmp(&b.0));
    simplex.swap_remove(0)
}

fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let sd = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0)).sqrt();
    (mean, if sd > 1e-12 * (f64::MIN_POSITIVE + mean.abs()) { sd } else { 1.0 })
}

fn log_normal(value: f64, mean: f64, sd: f64) -> f64 {
    -0.5 * ((value - mean) / sd).powi(2) - sd.ln() - 0.5 * (2.0 * std::f64::consts::PI).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn low(x: f64) -> f64 {
        (6.0 * x).sin() + 0.3 * x
    }

    fn high(x: f64) -> f64 {
        1.8 * low(x) + 0.4 * x * x + 1.0
    }

    fn rows(count: usize) -> Vec<Vec<f64>> {
        (0..count).map(|at| vec![(at as f64 + 0.5) / count as f64]).collect()
    }

    fn fit(cheap: impl Fn(f64) -> f64) -> (Option<Chain>, Option<String>, GaussianProcess) {
        let (many, few) = (rows(16), rows(5));
        let low: Vec<f64> = many.iter().map(|row| cheap(row[0])).collect();
        let high: Vec<f64> = few.iter().map(|row| high(row[0])).collect();
        let single = GaussianProcess::fit(&few, &high, &[0.0; 5]).unwrap();
        let (chain, remark) = Chain::fit(&[(&many, &low, &[0.0; 16]), (&few, &high, &[0.0; 5])], &single);
        (chain, remark, single)
    }

    #[test]
    fn a_good_cheap_fidelity_sharpens_the_last_one() {
        let (chain, _, single) = fit(low);
        let chain = chain.unwrap();
        assert!(chain.correlation() > 0.9, "{}", chain.correlation());
        let grid = rows(40);
        let error = |predict: &dyn Fn(&[f64]) -> f64| {
            grid.iter().map(|row| (predict(row) - high(row[0])).powi(2)).sum::<f64>().sqrt()
        };
        let (with, without) = (error(&|row| chain.look(row).mean), error(&|row| single.predict(row).0));
        assert!(with < 0.5 * without, "{with} {without}");
        // A cheap look is worth it where nothing was measured, and not when it costs as much as the real thing.
        let far = vec![1.4];
        assert_eq!(chain.choose(&far, &[0.01, 1.0]), 0);
        assert_eq!(chain.choose(&far, &[1.0, 1.0]), 1);
    }

    #[test]
    fn results_without_noise_are_not_believed_to_have_some() {
        let (many, few) = (rows(16), rows(7));
        let cheap: Vec<f64> = many.iter().map(|row| low(row[0])).collect();
        let dear: Vec<f64> = few.iter().map(|row| high(row[0])).collect();
        let chain = Chain::assemble(&[(&many, &cheap, &[0.0; 16]), (&few, &dear, &[0.0; 7])]).unwrap();
        for (row, value) in few.iter().zip(&dear) {
            let look = chain.look(row);
            assert!((look.mean - value).abs() < 3e-3 && look.variance.sqrt() < 3e-3, "{look:?} {value}");
        }
    }

    #[test]
    fn a_misleading_cheap_fidelity_is_dropped_with_a_remark() {
        let (chain, remark, _) = fit(|x| (37.0 * x).cos() + (91.0 * x).sin());
        assert!(chain.is_none() && remark.unwrap().contains("left out"));
    }
}
