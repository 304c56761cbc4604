//! Flow matching in a few dimensions, with exact densities: Lipman et al., ICLR 2023; Chen et al., NeurIPS 2018.

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

use ppu_core::ArtifactHash;
use ppu_optimizer::normal::quantile;

use super::network::{AdamW, Network, Trace};

/// Frequencies of the time features: sin and cos of 2π f t.
const FREQUENCIES: [f64; 3] = [0.5, 1.0, 2.0];
/// Steps of the Runge-Kutta integration of order 4 over t from 0 to 1.
const STEPS: usize = 32;

/// How a flow is trained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FlowSettings {
    /// Width of the three hidden layers.
    pub width: usize,
    /// Optimizer steps.
    pub steps: usize,
    /// Points of one step.
    pub batch: usize,
    /// First learning rate; it falls to 0 along a cosine.
    pub rate: f64,
}

impl Default for FlowSettings {
    fn default() -> Self {
        FlowSettings { width: 64, steps: 2000, batch: 64, rate: 3e-3 }
    }
}

/// A normal distribution carried along a learnt velocity field; coordinates are whitened one by one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    dimensions: usize,
    centre: Vec<f64>,
    scale: Vec<f64>,
    velocity: Network,
    /// Training loss averaged over the last tenth of the steps.
    pub loss: f64,
}

/// Why there is no flow.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FlowError {
    /// Fewer points than could be told from noise.
    #[error("{found} points are too few for a flow; {least} are the least")]
    TooFew {
        /// Points given.
        found: usize,
        /// Fewest allowed.
        least: usize,
    },
    /// Points of different dimension, weights that are not positive, or numbers that are not finite.
    #[error("point {0} has another dimension, a weight that is not positive, or a number that is not finite")]
    Point(usize),
}

/// A flow on ten points memorises them.
pub const LEAST_POINTS: usize = 50;

impl Flow {
    /// Trains on weighted points of R^d. The same arguments and generator give the same bits.
    pub fn train(
        points: &[(Vec<f64>, f64)],
        settings: &FlowSettings,
        rng: &mut ChaCha12Rng,
    ) -> Result<Flow, FlowError> {
        if points.len() < LEAST_POINTS {
            return Err(FlowError::TooFew { found: points.len(), least: LEAST_POINTS });
        }
        let dimensions = points[0].0.len();
        let sound = |(point, weight): &(Vec<f64>, f64)| {
            point.len() == dimensions && *weight > 0.0 && weight.is_finite() && point.iter().all(|x| x.is_finite())
        };
        if let Some(at) = points.iter().position(|one| !sound(one)) {
            return Err(FlowError::Point(at));
        }
        let total: f64 = points.iter().map(|(_, weight)| weight).sum();
        let mean = |of: &dyn Fn(&[f64]) -> f64| points.iter().map(|(x, w)| w / total * of(x)).sum::<f64>();
        let centre: Vec<f64> = (0..dimensions).map(|k| mean(&|x| x[k])).collect();
        let deviation = |k: usize| mean(&|x| (x[k] - centre[k]).powi(2)).sqrt().max(1e-3);
        let scale: Vec<f64> = (0..dimensions).map(deviation).collect();
        let inputs = dimensions + 2 * FREQUENCIES.len();
        let width = settings.width;
        let velocity = Network::new(&[inputs, width, width, width, dimensions], rng);
        let mut flow = Flow { dimensions, centre, scale, velocity, loss: f64::NAN };
        flow.descend(points, total, settings, rng);
        Ok(flow)
    }

    fn descend(&mut self, points: &[(Vec<f64>, f64)], total: f64, settings: &FlowSettings, rng: &mut ChaCha12Rng) {
        let mut sum = 0.0;
        let sums: Vec<f64> = points
            .iter()
            .map(|(_, weight)| {
                sum += weight / total;
                sum
            })
            .collect();
        let mut optimizer = AdamW::new(self.velocity.len(), 1e-4);
        let (mut gradient, mut trace) = (vec![0.0; self.velocity.len()], Trace::default());
        let (mut late, mut counted) = (0.0, 0);
        for step in 0..settings.steps {
            gradient.fill(0.0);
            let mut loss = 0.0;
            for _ in 0..settings.batch {
                let u = rng.random::<f64>();
                let at = sums.partition_point(|sum| *sum <= u).min(points.len() - 1);
                let target: Vec<f64> = self.whitened(&points[at].0);
                let start = normals(self.dimensions, rng);
                let time = rng.random::<f64>();
                let between: Vec<f64> = start.iter().zip(&target).map(|(a, b)| a + time * (b - a)).collect();
                let found = self.velocity.forward(&features(&between, time), &mut trace).to_vec();
                let wrong: Vec<f64> =
                    found.iter().zip(start.iter().zip(&target)).map(|(v, (a, b))| v - (b - a)).collect();
                loss += wrong.iter().map(|w| w * w).sum::<f64>();
                let share: Vec<f64> = wrong.iter().map(|w| 2.0 * w / settings.batch as f64).collect();
                self.velocity.backward(&trace, &share, &mut gradient);
            }
            let rate = 0.5 * settings.rate * (1.0 + (std::f64::consts::PI * step as f64 / settings.steps as f64).cos());
            optimizer.step(self.velocity.parameters_mut(), &gradient, rate);
            if 10 * step >= 9 * settings.steps {
                late += loss / settings.batch as f64;
                counted += 1;
            }
        }
        self.loss = late / f64::from(counted.max(1));
    }

    fn whitened(&self, point: &[f64]) -> Vec<f64> {
        point.iter().zip(self.centre.iter().zip(&self.scale)).map(|(x, (c, s))| (x - c) / s).collect()
    }

    fn unwhitened(&self, point: &[f64]) -> Vec<f64> {
        point.iter().zip(self.centre.iter().zip(&self.scale)).map(|(x, (c, s))| c + s * x).collect()
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.velocity.len()
    }

    /// Hash of everything that a draw depends on besides the generator: equal hashes are equal flows.
    pub fn hash(&self) -> ArtifactHash {
        let numbers = self.centre.iter().chain(&self.scale).chain(self.velocity.parameters());
        ArtifactHash::of(&numbers.flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// The point of [`Flow::sample`] alone, in a fraction of the time.
    pub fn draw(&self, rng: &mut ChaCha12Rng) -> Vec<f64> {
        let (end, _) = self.carry(normals(self.dimensions, rng), 1.0, false);
        self.unwhitened(&end)
    }

    /// A draw with its log density with respect to Lebesgue measure, nats.
    pub fn sample(&self, rng: &mut ChaCha12Rng) -> (Vec<f64>, f64) {
        let start = normals(self.dimensions, rng);
        let log_start = log_normal(&start);
        let (end, divergence) = self.carry(start, 1.0, true);
        (self.unwhitened(&end), log_start - divergence - self.log_scale())
    }

    /// Log density of a point with respect to Lebesgue measure, nats.
    pub fn log_density(&self, point: &[f64]) -> f64 {
        let (start, divergence) = self.carry(self.whitened(point), -1.0, true);
        log_normal(&start) - divergence - self.log_scale()
    }

    fn log_scale(&self) -> f64 {
        self.scale.iter().map(|scale| scale.ln()).sum()
    }

    /// Integrates forward (+1) from t = 0 or backward (−1) from t = 1: the end, and the integral of the divergence on the way,
    /// 0 where it is not wanted.
    fn carry(&self, mut x: Vec<f64>, direction: f64, wanted: bool) -> (Vec<f64>, f64) {
        let h = direction / STEPS as f64;
        let mut trace = Trace::default();
        let mut integral = 0.0;
        for step in 0..STEPS {
            let t = if direction > 0.0 { step as f64 * h } else { 1.0 + step as f64 * h };
            let moved =
                |x: &[f64], k: &[f64], f: f64| x.iter().zip(k).map(|(x, k)| x + f * h * k).collect::<Vec<f64>>();
            let (k1, d1) = self.slope(&x, t, wanted, &mut trace);
            let (k2, d2) = self.slope(&moved(&x, &k1, 0.5), t + 0.5 * h, wanted, &mut trace);
            let (k3, d3) = self.slope(&moved(&x, &k2, 0.5), t + 0.5 * h, wanted, &mut trace);
            let (k4, d4) = self.slope(&moved(&x, &k3, 1.0), t + h, wanted, &mut trace);
            for (k, value) in x.iter_mut().enumerate() {
                *value += h / 6.0 * (k1[k] + 2.0 * k2[k] + 2.0 * k3[k] + k4[k]);
            }
            integral += h / 6.0 * (d1 + 2.0 * d2 + 2.0 * d3 + d4);
        }
        (x, integral * direction)
    }

    /// Velocity and, where it is wanted, its exact divergence.
    fn slope(&self, x: &[f64], t: f64, wanted: bool, trace: &mut Trace) -> (Vec<f64>, f64) {
        let input = features(x, t);
        let velocity = self.velocity.forward(&input, trace).to_vec();
        let mut direction = vec![0.0; input.len()];
        let mut divergence = 0.0;
        for k in 0..if wanted { self.dimensions } else { 0 } {
            direction[k] = 1.0;
            divergence += self.velocity.tangent(trace, &direction)[k];
            direction[k] = 0.0;
        }
        (velocity, divergence)
    }
}

fn features(x: &[f64], t: f64) -> Vec<f64> {
    let times = FREQUENCIES.iter().flat_map(|f| {
        let angle = std::f64::consts::TAU * f * t;
        [angle.sin(), angle.cos()]
    });
    x.iter().copied().chain(times).collect()
}

fn normals(count: usize, rng: &mut ChaCha12Rng) -> Vec<f64> {
    (0..count).map(|_| quantile(rng.random::<f64>().clamp(1e-12, 1.0 - 1e-12))).collect()
}

fn log_normal(x: &[f64]) -> f64 {
    -0.5 * (x.iter().map(|x| x * x).sum::<f64>() + x.len() as f64 * std::f64::consts::TAU.ln())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn two_moons() -> Vec<(Vec<f64>, f64)> {
        let mut rng = ChaCha12Rng::seed_from_u64(5);
        (0..400)
            .map(|at| {
                let side = if at % 2 == 0 { 1.0 } else { -1.0 };
                let noise = normals(2, &mut rng);
                (vec![2.0 * side + 0.4 * noise[0], 0.5 * side + 0.3 * noise[1] + 1.0], 1.0)
            })
            .collect()
    }

    #[test]
    fn the_density_is_normalised_and_agrees_with_the_samples() {
        let settings = FlowSettings { width: 20, steps: 400, batch: 32, rate: 1e-2 };
        let points = two_moons();
        let flow = Flow::train(&points, &settings, &mut ChaCha12Rng::seed_from_u64(1)).unwrap();
        // Quadrature over a box that holds all but a sliver of the mass.
        let (cells, low, high) = (60, -6.0, 6.0);
        let width = (high - low) / f64::from(cells);
        let middle = |k: i32| low + (f64::from(k) + 0.5) * width;
        let mass: f64 = (0..cells)
            .flat_map(|i| (0..cells).map(move |j| (i, j)))
            .map(|(i, j)| flow.log_density(&[middle(i), middle(j)]).exp() * width * width)
            .sum();
        assert!((mass - 1.0).abs() < 0.01, "{mass}");
        let mut rng = ChaCha12Rng::seed_from_u64(2);
        let mut right = 0;
        for _ in 0..300 {
            let (point, log_q) = flow.sample(&mut rng);
            assert!((flow.log_density(&point) - log_q).abs() < 1e-3, "{point:?} {log_q}");
            right += i32::from(point[0] > 0.0);
        }
        assert!((100..200).contains(&right), "{right}");
        // Better than one normal distribution on the same data.
        let normal_entropy = |k: usize| {
            let mean = points.iter().map(|(x, _)| x[k]).sum::<f64>() / 400.0;
            let variance = points.iter().map(|(x, _)| (x[k] - mean).powi(2)).sum::<f64>() / 400.0;
            0.5 * (std::f64::consts::TAU * std::f64::consts::E * variance).ln()
        };
        let found = -points.iter().map(|(x, _)| flow.log_density(x)).sum::<f64>() / 400.0;
        assert!(found < normal_entropy(0) + normal_entropy(1) - 0.3, "{found}");
        let again = Flow::train(&points, &settings, &mut ChaCha12Rng::seed_from_u64(1)).unwrap();
        assert_eq!(again, flow);
    }

    #[test]
    fn too_few_or_broken_points_are_refused() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let few = vec![(vec![0.0, 1.0], 1.0); 10];
        let settings = FlowSettings::default();
        assert_eq!(Flow::train(&few, &settings, &mut rng), Err(FlowError::TooFew { found: 10, least: 50 }));
        let mut broken = vec![(vec![0.0, 1.0], 1.0); 60];
        broken[7].0[1] = f64::NAN;
        assert_eq!(Flow::train(&broken, &settings, &mut rng), Err(FlowError::Point(7)));
    }
}
