//! Evaluations of different cost: a chain of fidelities, each a multiple of the one below plus a difference (Kennedy and
//! O'Hagan, Biometrika 87, 2000), and the choice of the one that teaches most for its cost.
//!
//! A link is fitted to the results of its fidelity given those below (the recursive likelihood of Le Gratiet and Garnier,
//! Int. J. Uncertain. Quantif. 4, 2014, which is exact wherever the results lie); predictions use all results jointly. The
//! correlation of a fidelity with the last one is fitted anew with every result.

use nalgebra::DMatrix;

use crate::belief::{Belief, Look};
use crate::gp::{
    Below, GaussianProcess, Kernel, LeaveOneOut, Readings, Sloped, difference_mode, factor_with_jitter, lowest_mode,
    spread,
};
use crate::linear::{Factor, dot};

/// Results at a fidelity before a link with others can be judged.
const LEAST_RESULTS: usize = 4;
/// Share of the variance at a point that a cheap evaluation must take away to be worth it.
const LEAST_GAIN: f64 = 0.1;
/// Points that are predicted at once: covariances of a block stay in the cache of the processor.
const PREDICTED: usize = 128;
/// Half of the difference by which slopes are taken.
const STEP: f64 = 1e-5;

/// Rows, values and variances at one fidelity.
pub(crate) type Level<'a> = (&'a [Vec<f64>], &'a [f64], &'a [f64]);

#[derive(Debug, Clone)]
struct Link {
    /// Factor on the fidelity below; 0 for the lowest.
    rho: f64,
    /// Of the difference.
    kernel: Kernel,
    noise: f64,
    /// Mean and sd by which the values are standardised.
    moments: (f64, f64),
}

/// A joint Gaussian process over all fidelities; it believes something of the last one.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    links: Vec<Link>,
    /// Level and coordinates of each result, the lowest level first.
    rows: Vec<(usize, Vec<f64>)>,
    /// Standardised.
    values: Vec<f64>,
    /// Variance of a value around the function, standardised.
    scatter: Vec<f64>,
    factor: Factor,
    weights: Vec<f64>,
}

impl Chain {
    /// A chain over the levels, cheapest first; `None` where a level has too few results or cannot be modelled.
    pub(crate) fn fit(levels: &[Level<'_>]) -> Option<Chain> {
        if levels.len() < 2 || levels.iter().any(|level| level.0.len() < LEAST_RESULTS) {
            return None;
        }
        let standardised = |(rows, values, variances): &Level<'_>| {
            let readings = Readings::new(rows, values, variances, true).ok()?;
            let moments = readings.moments();
            Some((readings.standardised(moments.0, moments.1), moments))
        };
        let (readings, moments) = standardised(&levels[0])?;
        let lowest = lowest_mode(&readings)?;
        let link = Link { rho: 0.0, kernel: lowest.kernel(), noise: lowest.noise(), moments };
        let mut chain = Chain {
            links: Vec::new(),
            rows: Vec::new(),
            values: Vec::new(),
            scatter: Vec::new(),
            factor: Factor::new(DMatrix::zeros(0, 0))?,
            weights: Vec::new(),
        };
        chain.extend(link, &readings)?;
        for level in &levels[1..] {
            let (readings, moments) = standardised(level)?;
            let subset = spread(&readings);
            let fitted = subset.as_ref().unwrap_or(&readings);
            let (hyper, rho) = difference_mode(fitted, &chain.below(fitted), &lowest.log_length)?;
            let link = Link { rho, kernel: hyper.kernel(), noise: hyper.noise(), moments };
            chain.extend(link, &readings)?;
        }
        Some(chain)
    }

    /// A chain over the levels if it predicts the last one at least as well as `single`, a model of that alone; and a remark
    /// for people where it does not.
    pub(crate) fn better_than(single: &GaussianProcess, levels: &[Level<'_>]) -> (Option<Chain>, Option<String>) {
        let Some(chain) = Self::fit(levels) else { return (None, None) };
        let (alone, together) = (log_density(&single.leave_one_out()), log_density(&chain.leave_one_out()));
        if together >= alone {
            return (Some(chain), None);
        }
        let remark = format!(
            "cheap fidelities are left out: with them held-out results are predicted worse ({together:.2} against {alone:.2} nats)"
        );
        (None, Some(remark))
    }

    /// Adds a level with its standardised readings.
    fn extend(&mut self, link: Link, readings: &Readings) -> Option<()> {
        let level = self.links.len();
        for at in 0..readings.len() {
            self.rows.push((level, readings.point(at).to_vec()));
            self.values.push(readings.value[at]);
            self.scatter.push((link.noise + readings.variance[at]) / readings.count[at]);
        }
        self.links.push(link);
        let count = self.rows.len();
        let covariance = DMatrix::from_fn(count, count, |i, j| if i > j { self.between(i, j) } else { 0.0 });
        // Values are standardised: jitter is a share of 1.
        let rest: Vec<f64> = (0..count).map(|i| self.between(i, i) + self.scatter[i] - 1.0).collect();
        self.factor = factor_with_jitter(covariance, 1.0, &rest)?;
        self.weights = self.factor.solve(&self.values);
        Some(())
    }

    /// Number of coordinates.
    pub(crate) fn dimensions(&self) -> usize {
        self.rows[0].1.len()
    }

    /// Prior covariance of two results, without scatter.
    fn between(&self, i: usize, j: usize) -> f64 {
        self.covariance((self.rows[i].0, &self.rows[i].1), (self.rows[j].0, &self.rows[j].1))
    }

    fn covariance(&self, (m, a): (usize, &[f64]), (n, b): (usize, &[f64])) -> f64 {
        (0..=m.min(n)).map(|at| self.reach(at, m) * self.reach(at, n) * self.links[at].kernel.covariance(a, b)).sum()
    }

    /// Product of the factors that lead from one fidelity up to another.
    fn reach(&self, from: usize, to: usize) -> f64 {
        self.links[from + 1..=to].iter().map(|link| link.rho).product()
    }

    fn variance(&self, level: usize) -> f64 {
        (0..=level).map(|at| self.reach(at, level).powi(2) * self.links[at].kernel.signal).sum()
    }

    fn target(&self) -> usize {
        self.links.len() - 1
    }

    /// Correlation of the last fidelity with the one below it, by the prior variances that were fitted.
    pub(crate) fn correlation(&self) -> f64 {
        let target = self.target();
        self.links[target].rho.abs() * (self.variance(target - 1) / self.variance(target)).sqrt()
    }

    fn cross(&self, level: usize, point: &[f64]) -> Vec<f64> {
        self.rows.iter().map(|(other, row)| self.covariance((level, point), (*other, row))).collect()
    }

    /// Standardised mean at a level, and the whitened covariance with the results.
    fn at(&self, level: usize, point: &[f64]) -> (f64, Vec<f64>) {
        let mut cross = self.cross(level, point);
        let mean = dot(&cross, &self.weights);
        self.factor.forward(&mut cross);
        (mean, cross)
    }

    /// What the chain so far says of its last level at readings of the next one.
    fn below(&self, readings: &Readings) -> Below {
        let (level, count) = (self.target(), readings.len());
        let seen: Vec<(f64, Vec<f64>)> = (0..count).map(|at| self.at(level, readings.point(at))).collect();
        let covariance = DMatrix::from_fn(count, count, |i, j| {
            let prior = self.covariance((level, readings.point(i)), (level, readings.point(j)));
            let left = prior - dot(&seen[i].1, &seen[j].1);
            if i == j { left.max(0.0) } else { left }
        });
        Below { mean: seen.into_iter().map(|(mean, _)| mean).collect(), covariance }
    }

    /// Each result at the last fidelity predicted from all others, in their unit.
    pub(crate) fn leave_one_out(&self) -> Vec<LeaveOneOut> {
        let target = self.target();
        let (centre, scale) = self.links[target].moments;
        let precision = self.factor.inverse_diagonal();
        let one = |at: usize| {
            let mean = self.values[at] - self.weights[at] / precision[at];
            let sd = scale / precision[at].sqrt();
            LeaveOneOut { value: centre + scale * self.values[at], mean: centre + scale * mean, sd }
        };
        (0..self.rows.len()).filter(|at| self.rows[*at].0 == target).map(one).collect()
    }

    /// Fitted noise of the last fidelity, standard deviation in the unit of its values.
    pub(crate) fn noise_sd(&self) -> f64 {
        let last = &self.links[self.target()];
        last.moments.1 * last.noise.sqrt()
    }

    /// The chain after believing a point: what it expects of the last fidelity there enters as a result. Unchanged where
    /// the point is known already.
    pub(crate) fn believe(&self, point: &[f64]) -> Chain {
        let target = self.target();
        let cross = self.cross(target, point);
        let Some(factor) = self.factor.appended(&cross, self.variance(target) + 1e-12) else { return self.clone() };
        let mut chain = self.clone();
        chain.rows.push((target, point.to_vec()));
        chain.values.push(dot(&cross, &self.weights));
        chain.scatter.push(0.0);
        chain.weights = factor.solve(&chain.values);
        chain.factor = factor;
        chain
    }

    /// Mean and standard deviation of the last fidelity with their slopes, by differences: the step is far below any length
    /// scale.
    pub(crate) fn predict_with_slopes(&self, point: &[f64]) -> Sloped {
        let predict = |point: &[f64]| {
            let look = self.look(point);
            (look.mean, look.variance.sqrt())
        };
        let (mean, sd) = predict(point);
        let mut moved = point.to_vec();
        let (mut mean_slope, mut sd_slope) = (Vec::new(), Vec::new());
        for (at, x) in point.iter().enumerate() {
            moved[at] = x + STEP;
            let above = predict(&moved);
            moved[at] = x - STEP;
            let below = predict(&moved);
            moved[at] = *x;
            mean_slope.push((above.0 - below.0) / (2.0 * STEP));
            sd_slope.push((above.1 - below.1) / (2.0 * STEP));
        }
        Sloped { mean, sd, mean_slope, sd_slope }
    }

    /// The fidelity to evaluate a point at: the one that takes most variance from the last fidelity for its cost, and a
    /// cheap one only where that is a fair part of it.
    pub(crate) fn choose(&self, point: &[f64], costs: &[f64]) -> usize {
        let target = self.target();
        let (_, own) = self.at(target, point);
        let left = (self.variance(target) - dot(&own, &own)).max(1e-12);
        let gain = |level: usize| {
            let (_, other) = self.at(level, point);
            let shared = self.covariance((level, point), (target, point)) - dot(&own, &other);
            let variance = (self.variance(level) - dot(&other, &other)).max(1e-12);
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
        let (centre, scale) = self.links[target].moments;
        let (mean, mut whitened) = self.at(target, point);
        let prior = self.variance(target);
        let variance = (prior - dot(&whitened, &whitened)).max(1e-12 * prior);
        whitened.iter_mut().for_each(|v| *v *= scale);
        Look { mean: centre + scale * mean, variance: scale * scale * variance, whitened }
    }

    fn prior(&self, a: &[f64], b: &[f64]) -> f64 {
        let target = self.target();
        self.links[target].moments.1.powi(2) * self.covariance((target, a), (target, b))
    }

    fn look_many(&self, rows: &[f64], width: usize, out: &mut Vec<(f64, f64)>) {
        out.clear();
        let target = self.target();
        let ((centre, scale), prior) = (self.links[target].moments, self.variance(target));
        for block in rows.chunks(PREDICTED * width) {
            let crosses: Vec<f64> = block.chunks_exact(width).flat_map(|row| self.cross(target, row)).collect();
            let cross = DMatrix::from_vec(self.rows.len(), block.len() / width, crosses);
            let explained = self.factor.explained(&cross);
            for (column, explained) in cross.column_iter().zip(explained) {
                let mean = dot(column.as_slice(), &self.weights);
                let variance = (prior - explained).max(1e-12 * prior);
                out.push((centre + scale * mean, scale * variance.sqrt()));
            }
        }
    }
}

/// Mean log density of predictions.
fn log_density(predictions: &[LeaveOneOut]) -> f64 {
    predictions.iter().map(LeaveOneOut::log_density).sum::<f64>() / predictions.len() as f64
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
        let (chain, remark) = Chain::better_than(&single, &[(&many, &low, &[0.0; 16]), (&few, &high, &[0.0; 5])]);
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
        let chain = Chain::fit(&[(&many, &cheap, &[0.0; 16]), (&few, &dear, &[0.0; 7])]).unwrap();
        for (row, value) in few.iter().zip(&dear) {
            let look = chain.look(row);
            assert!((look.mean - value).abs() < 3e-3 && look.variance.sqrt() < 3e-3, "{look:?} {value}");
        }
    }

    #[test]
    fn three_fidelities_of_which_each_says_something_of_the_next() {
        let (many, some, few) = (rows(18), rows(9), rows(4));
        let column = |rows: &[Vec<f64>], value: &dyn Fn(f64) -> f64| -> Vec<f64> {
            rows.iter().map(|row| value(row[0])).collect()
        };
        let middle = |x: f64| 1.3 * low(x) - 0.2 * x;
        let (y0, y1, y2) = (column(&many, &low), column(&some, &middle), column(&few, &high));
        let levels: [Level<'_>; 3] = [(&many, &y0, &[0.0; 18]), (&some, &y1, &[0.0; 9]), (&few, &y2, &[0.0; 4])];
        let chain = Chain::fit(&levels).unwrap();
        let single = GaussianProcess::fit(&few, &y2, &[0.0; 4]).unwrap();
        let error = |predict: &dyn Fn(&[f64]) -> f64| {
            rows(40).iter().map(|row| (predict(row) - high(row[0])).abs()).sum::<f64>() / 40.0
        };
        let (with, without) = (error(&|row| chain.look(row).mean), error(&|row| single.predict(row).0));
        assert!(with < 0.5 * without, "{with} {without}");
        assert_eq!(chain.leave_one_out().len(), 4);
    }

    #[test]
    fn what_is_left_out_is_predicted_as_if_it_were_not_there() {
        let (many, few) = (rows(12), rows(5));
        let cheap: Vec<f64> = many.iter().map(|row| low(row[0])).collect();
        let dear: Vec<f64> = few.iter().map(|row| high(row[0])).collect();
        let chain = Chain::fit(&[(&many, &cheap, &[1e-3; 12]), (&few, &dear, &[1e-3; 5])]).unwrap();
        // The same chain without its last result.
        let mut shorter = chain.clone();
        for list in [&mut shorter.values, &mut shorter.scatter] {
            list.pop();
        }
        let (level, point) = shorter.rows.pop().unwrap();
        let count = shorter.rows.len();
        let covariance = DMatrix::from_fn(count, count, |i, j| {
            shorter.between(i, j) + if i == j { shorter.scatter[i] } else { 0.0 }
        });
        shorter.factor = Factor::new(covariance).unwrap();
        shorter.weights = shorter.factor.solve(&shorter.values);
        assert_eq!(level, 1);
        let (look, left_out) = (shorter.look(&point), chain.leave_one_out()[4]);
        assert!((look.mean - left_out.mean).abs() < 1e-6, "{look:?} {left_out:?}");
        let scatter = chain.scatter[count] * chain.links[1].moments.1.powi(2);
        assert!((look.variance + scatter - left_out.sd.powi(2)).abs() < 1e-6, "{look:?} {left_out:?}");
    }

    #[test]
    fn slopes_and_beliefs() {
        let (chain, ..) = fit(low);
        let chain = chain.unwrap();
        let at = [0.43];
        let sloped = chain.predict_with_slopes(&at);
        let further = chain.look(&[0.4301]);
        assert!((sloped.mean_slope[0] - (further.mean - sloped.mean) / 1e-4).abs() < 1e-2, "{sloped:?}");
        let mut many = Vec::new();
        chain.look_many(&[0.2, 0.43, 1.3], 1, &mut many);
        assert!((many[1].0 - sloped.mean).abs() < 1e-9 && (many[1].1 - sloped.sd).abs() < 1e-6, "{many:?} {sloped:?}");
        let sure = chain.believe(&at).look(&at);
        assert!((sure.mean - sloped.mean).abs() < 1e-6 && sure.variance.sqrt() < 1e-3, "{sure:?}");
    }

    #[test]
    fn a_misleading_cheap_fidelity_is_dropped_with_a_remark() {
        let (chain, remark, _) = fit(|x| (37.0 * x).cos() + (91.0 * x).sin());
        assert!(chain.is_none() && remark.unwrap().contains("left out"));
    }
}
