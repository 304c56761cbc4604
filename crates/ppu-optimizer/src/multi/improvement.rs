//! Expected improvement of the hypervolume under noise, in logarithms: qLogNEHVI (Daulton et al., NeurIPS 2021; Ament et
//! al., NeurIPS 2023). With one objective it is noisy expected improvement (Letham et al. 2019).
//!
//! The values at measured and pending points are drawn jointly; each draw has its own front and its own boxes. Given a draw
//! the function at a new point is normal, and objectives are independent, so that the expectation over the new point is a
//! closed form in every box: no sampling of it, no noise in the acquisition.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use crate::belief::Belief;
use crate::multi::aim::{Utility, log_difference, log_sum};
use crate::multi::boxes::{front, non_dominated};
use crate::normal::quantile;

/// Diagonal that is first added to the joint covariance, relative to the prior's largest entry. Its root is how finely
/// draws of a function without noise know the best value: with 1e-6 no improvement below a thousandth of the range of the
/// values could be seen.
const JITTER: f64 = 1e-12;

/// One objective: what is wanted, and what is believed of it. `None` for an observable that is a known function of the
/// design: its values are handed in.
pub(crate) struct Goal<'a> {
    pub(crate) utility: Utility,
    pub(crate) belief: Option<&'a dyn Belief>,
}

/// The belief at the baseline points, ready for conditioning on draws of it.
struct Joint {
    /// Baseline points.
    points: Vec<Vec<f64>>,
    whitened: Vec<Vec<f64>>,
    root: Cholesky<f64, Dyn>,
    /// Standard normal vectors, one a draw.
    normals: Vec<DVector<f64>>,
}

/// Boxes of one draw; corners are indices into the levels of their objective.
struct Draw {
    /// Levels of utility, an objective each, ascending.
    levels: Vec<Vec<f64>>,
    boxes: Vec<Vec<(u32, u32)>>,
}

/// The acquisition, prepared for many points.
pub(crate) struct HypervolumeImprovement<'a> {
    goals: Vec<Goal<'a>>,
    joints: Vec<Option<Joint>>,
    draws: Vec<Draw>,
}

/// A baseline point: measured or pending, with the values of known observables.
#[derive(Debug, Clone)]
pub(crate) struct Baseline {
    pub(crate) point: Vec<f64>,
    pub(crate) known: Vec<Option<f64>>,
    /// Whether it counts for the front: what fails a constraint does not.
    pub(crate) counts: bool,
}

impl<'a> HypervolumeImprovement<'a> {
    /// Draws `count` joint values at the baseline. `reference` is in utilities. `None` where a covariance cannot be
    /// factored, which its jitter rules out for finite numbers.
    pub(crate) fn new(
        goals: Vec<Goal<'a>>,
        baseline: &[Baseline],
        reference: &[f64],
        count: usize,
        rng: &mut ChaCha12Rng,
    ) -> Option<HypervolumeImprovement<'a>> {
        let mut joints = Vec::new();
        // utilities[draw][point][objective]
        let mut utilities = vec![vec![vec![0.0; goals.len()]; baseline.len()]; count];
        for (m, goal) in goals.iter().enumerate() {
            let Some(belief) = goal.belief else {
                for values in &mut utilities {
                    for (row, point) in values.iter_mut().zip(baseline) {
                        row[m] = goal.utility.of(point.known[m].unwrap_or(f64::NAN));
                    }
                }
                joints.push(None);
                continue;
            };
            let (joint, drawn) = join(belief, baseline, count, rng)?;
            for (values, drawn) in utilities.iter_mut().zip(drawn) {
                for (row, value) in values.iter_mut().zip(drawn) {
                    row[m] = goal.utility.of(value);
                }
            }
            joints.push(Some(joint));
        }
        let draws = utilities.into_iter().map(|values| {
            let counted = values.into_iter().zip(baseline).filter(|(_, point)| point.counts).map(|(value, _)| value);
            draw_of(&counted.collect::<Vec<_>>(), reference)
        });
        let draws = draws.collect();
        Some(HypervolumeImprovement { goals, joints, draws })
    }

    /// ln of the expected improvement at a point from the first `draws` draws. `known` are the values of known
    /// observables; `widen` multiplies every sd (1 for the acquisition itself).
    pub(crate) fn value(&self, point: &[f64], known: &[Option<f64>], draws: usize, widen: f64) -> f64 {
        let draws = draws.min(self.draws.len());
        let mut means = vec![vec![0.0; draws]; self.goals.len()];
        let mut sds = vec![0.0; self.goals.len()];
        for (m, goal) in self.goals.iter().enumerate() {
            match (goal.belief, &self.joints[m]) {
                (Some(belief), Some(joint)) => {
                    sds[m] = widen * joint.condition(belief, point, &mut means[m]);
                }
                _ => means[m].fill(known[m].unwrap_or(f64::NAN)),
            }
        }
        let mut terms = Vec::with_capacity(draws);
        let mut gains: Vec<Vec<f64>> = vec![Vec::new(); self.goals.len()];
        let mut inner = Vec::new();
        for (s, draw) in self.draws[..draws].iter().enumerate() {
            for (m, goal) in self.goals.iter().enumerate() {
                gains[m].clear();
                gains[m].extend(draw.levels[m].iter().map(|level| goal.utility.log_gain(*level, means[m][s], sds[m])));
            }
            inner.clear();
            inner.extend(draw.boxes.iter().map(|corners| {
                let sides = corners.iter().zip(&gains);
                sides
                    .map(|((low, high), gains)| {
                        let beyond = gains.get(*high as usize).copied().unwrap_or(f64::NEG_INFINITY);
                        log_difference(gains[*low as usize], beyond)
                    })
                    .sum::<f64>()
            }));
            terms.push(log_sum(&inner));
        }
        log_sum(&terms) - (draws as f64).ln()
    }
}

/// The joint belief at the baseline and `count` draws of it.
fn join(
    belief: &dyn Belief,
    baseline: &[Baseline],
    count: usize,
    rng: &mut ChaCha12Rng,
) -> Option<(Joint, Vec<Vec<f64>>)> {
    let size = baseline.len();
    let looks: Vec<_> = baseline.iter().map(|one| belief.look(&one.point)).collect();
    let prior = |i: usize, j: usize| belief.prior(&baseline[i].point, &baseline[j].point);
    let mut covariance = DMatrix::from_fn(size, size, |i, j| {
        if i < j { 0.0 } else { prior(i, j) - dot(&looks[i].whitened, &looks[j].whitened) }
    });
    let scale = (0..size).map(|i| prior(i, i)).fold(1e-300, f64::max);
    let mut jitter = JITTER * scale;
    for i in 0..size {
        covariance[(i, i)] = covariance[(i, i)].max(0.0) + jitter;
    }
    let root = loop {
        if let Some(root) = Cholesky::new(covariance.clone()) {
            break root;
        }
        if jitter > scale {
            return None;
        }
        for i in 0..size {
            covariance[(i, i)] += 9.0 * jitter;
        }
        jitter *= 10.0;
    };
    let mut normals: Vec<DVector<f64>> = Vec::with_capacity(count);
    for draw in 0..count {
        // Mirrored pairs: the mean of the draws is exact.
        normals.push(match draw % 2 {
            1 => -&normals[draw - 1],
            _ => DVector::from_fn(size, |_, _| quantile(rng.random::<f64>().clamp(1e-12, 1.0 - 1e-12))),
        });
    }
    let lower = root.l();
    let drawn = normals.iter().map(|normal| {
        let offsets = &lower * normal;
        looks.iter().zip(offsets.iter()).map(|(look, offset)| look.mean + offset).collect()
    });
    let drawn = drawn.collect();
    let points = baseline.iter().map(|one| one.point.clone()).collect();
    let whitened = looks.into_iter().map(|look| look.whitened).collect();
    Some((Joint { points, whitened, root, normals }, drawn))
}

impl Joint {
    /// Means at a point given each draw; the sd, which is the same for all of them. With covariance LLᵀ of the baseline
    /// and draws m + L z the conditional mean is m(x) + (L⁻¹ c)·z and the variance falls by |L⁻¹ c|².
    fn condition(&self, belief: &dyn Belief, point: &[f64], means: &mut [f64]) -> f64 {
        let look = belief.look(point);
        let mut cross: Vec<f64> = self
            .points
            .iter()
            .zip(&self.whitened)
            .map(|(other, whitened)| belief.prior(point, other) - dot(&look.whitened, whitened))
            .collect();
        // Forward substitution in place, column by column as the factor is stored.
        let lower = self.root.l_dirty();
        for j in 0..cross.len() {
            let column = lower.column(j);
            let column = column.as_slice();
            cross[j] /= column[j];
            let value = cross[j];
            for (c, l) in cross[j + 1..].iter_mut().zip(&column[j + 1..]) {
                *c -= value * l;
            }
        }
        for (mean, normal) in means.iter_mut().zip(&self.normals) {
            *mean = look.mean + dot(&cross, normal.as_slice());
        }
        (look.variance - dot(&cross, &cross)).max(1e-12 * look.variance).sqrt()
    }
}

fn draw_of(values: &[Vec<f64>], reference: &[f64]) -> Draw {
    let best: Vec<Vec<f64>> = front(values).into_iter().map(|at| values[at].clone()).collect();
    let cells = non_dominated(&best, reference);
    let levels: Vec<Vec<f64>> = (0..reference.len())
        .map(|m| {
            let corners = cells.iter().flat_map(|cell| [cell.lower[m], cell.upper[m]]);
            let mut levels: Vec<f64> = corners.filter(|level| level.is_finite()).collect();
            levels.sort_by(f64::total_cmp);
            levels.dedup();
            levels
        })
        .collect();
    let place = |m: usize, level: f64| levels[m].partition_point(|other| *other < level) as u32;
    let boxes = cells
        .iter()
        .map(|cell| (0..reference.len()).map(|m| (place(m, cell.lower[m]), place(m, cell.upper[m]))).collect());
    let boxes = boxes.collect();
    Draw { levels, boxes }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::belief::Look;
    use crate::multi::boxes::hypervolume;

    /// Independent values at every point but the few that are known exactly.
    struct Islands {
        known: Vec<(Vec<f64>, f64)>,
        mean: f64,
        sd: f64,
    }

    impl Belief for Islands {
        fn look(&self, point: &[f64]) -> Look {
            let place = self.known.iter().position(|(other, _)| other == point);
            let whitened = (0..self.known.len()).map(|at| if place == Some(at) { self.sd } else { 0.0 }).collect();
            match place {
                Some(at) => Look { mean: self.known[at].1, variance: 0.0, whitened },
                None => Look { mean: self.mean, variance: self.sd * self.sd, whitened },
            }
        }

        fn prior(&self, a: &[f64], b: &[f64]) -> f64 {
            if a == b { self.sd * self.sd } else { 0.0 }
        }
    }

    fn islands(values: &[Vec<f64>], m: usize, mean: f64, sd: f64) -> Islands {
        let known = values.iter().enumerate().map(|(at, value)| (vec![at as f64], value[m])).collect();
        Islands { known, mean, sd }
    }

    #[test]
    fn it_equals_exact_hypervolume_improvement_where_nothing_is_uncertain() {
        let values = vec![vec![0.2, 0.9], vec![0.5, 0.6], vec![0.8, 0.3]];
        let baseline: Vec<Baseline> =
            (0..3).map(|at| Baseline { point: vec![at as f64], known: vec![None, None], counts: true }).collect();
        let reference = [0.0, 0.1];
        for candidate in [[0.6, 0.7], [0.9, 0.95], [0.1, 0.2], [0.3, 0.65]] {
            let beliefs: Vec<Islands> = (0..2).map(|m| islands(&values, m, candidate[m], 1e-7)).collect();
            let goals = beliefs.iter().map(|belief| Goal { utility: Utility::More, belief: Some(belief) }).collect();
            let mut rng = ChaCha12Rng::seed_from_u64(1);
            let acquisition = HypervolumeImprovement::new(goals, &baseline, &reference, 8, &mut rng).unwrap();
            let found = acquisition.value(&[9.0], &[None, None], 8, 1.0).exp();
            let mut with = values.clone();
            with.push(candidate.to_vec());
            let exact = hypervolume(&with, &reference) - hypervolume(&values, &reference);
            assert!((found - exact).abs() < 1e-5, "{candidate:?} {found} {exact}");
        }
    }

    #[test]
    fn it_equals_the_average_of_exact_improvements_over_draws_of_the_new_point() {
        for objectives in 1..=4_usize {
            let mut rng = ChaCha12Rng::seed_from_u64(7);
            let values: Vec<Vec<f64>> =
                (0..6).map(|_| (0..objectives).map(|_| rng.random::<f64>()).collect()).collect();
            let baseline: Vec<Baseline> = (0..6)
                .map(|at| Baseline { point: vec![at as f64], known: vec![None; objectives], counts: true })
                .collect();
            let reference = vec![-0.1; objectives];
            let beliefs: Vec<Islands> = (0..objectives).map(|m| islands(&values, m, 0.7, 0.3)).collect();
            let goals = beliefs.iter().map(|belief| Goal { utility: Utility::More, belief: Some(belief) }).collect();
            let acquisition = HypervolumeImprovement::new(goals, &baseline, &reference, 64, &mut rng).unwrap();
            let found = acquisition.value(&[9.0], &vec![None; objectives], 64, 1.0).exp();
            let before = hypervolume(&values, &reference);
            let draws = 20_000;
            let mut sum = 0.0;
            for _ in 0..draws {
                let new = (0..objectives).map(|_| 0.7 + 0.3 * quantile(rng.random::<f64>().clamp(1e-9, 1.0 - 1e-9)));
                let mut with = values.clone();
                with.push(new.collect());
                sum += hypervolume(&with, &reference) - before;
            }
            let exact = sum / f64::from(draws);
            assert!((found / exact - 1.0).abs() < 0.04, "{objectives}: {found} {exact}");
        }
    }

    #[test]
    fn draws_of_what_is_known_exactly_do_not_blur_it() {
        let values = vec![vec![0.2], vec![0.9]];
        let belief = islands(&values, 0, 0.5, 1.0);
        let goals = vec![Goal { utility: Utility::More, belief: Some(&belief) }];
        let baseline: Vec<Baseline> =
            (0..2).map(|at| Baseline { point: vec![at as f64], known: vec![None], counts: true }).collect();
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let acquisition = HypervolumeImprovement::new(goals, &baseline, &[f64::MIN], 64, &mut rng).unwrap();
        let best = acquisition.draws.iter().map(|draw| draw.levels[0].last().copied().unwrap());
        assert!(best.into_iter().all(|best| (best - 0.9).abs() < 1e-5));
    }

    #[test]
    fn a_hopeless_point_has_a_finite_value_and_a_known_objective_has_no_spread() {
        let values = vec![vec![0.2, 0.9], vec![0.5, 0.6]];
        let belief = islands(&values, 0, -30.0, 0.5);
        let goals =
            vec![Goal { utility: Utility::More, belief: Some(&belief) }, Goal { utility: Utility::Less, belief: None }];
        let baseline: Vec<Baseline> = (0..2)
            .map(|at| Baseline { point: vec![at as f64], known: vec![None, Some(-values[at][1])], counts: true })
            .collect();
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let acquisition = HypervolumeImprovement::new(goals, &baseline, &[0.0, 0.0], 8, &mut rng).unwrap();
        let value = |cost: f64| acquisition.value(&[9.0], &[None, Some(cost)], 8, 1.0);
        assert!(value(-0.7).is_finite() && value(-0.7) < -1000.0 && value(-0.8) > value(-0.7));
        assert_eq!(value(0.1), f64::NEG_INFINITY);
    }
}
