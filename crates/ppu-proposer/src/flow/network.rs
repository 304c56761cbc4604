//! A small dense network with its derivatives written out: no tensor crate, the same bits on every run.

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

use ppu_optimizer::normal::quantile;

/// Layers of sizes\[0\] inputs to the last size's outputs, SiLU between them, none after the last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    sizes: Vec<usize>,
    /// For every layer its weights (a row an output), then its biases.
    parameters: Vec<f64>,
}

/// Activations of one forward pass, for the pass back.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// Inputs of every layer; the last entry is the output.
    inputs: Vec<Vec<f64>>,
    /// Slopes of the SiLU of every hidden layer.
    slopes: Vec<Vec<f64>>,
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

/// SiLU and its derivative.
fn silu(x: f64) -> (f64, f64) {
    let s = sigmoid(x);
    (x * s, s * (1.0 + x * (1.0 - s)))
}

/// In four lanes of a fixed order, which a processor adds at once.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (fours, other) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = fours.remainder().iter().zip(other.remainder()).map(|(a, b)| a * b).sum();
    let mut lanes = [0.0; 4];
    for (a, b) in fours.zip(other) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest
}

impl Network {
    /// Normal weights of variance 1/inputs; the last layer starts at 0, so that the first output is 0.
    pub fn new(sizes: &[usize], rng: &mut ChaCha12Rng) -> Network {
        let mut parameters = Vec::new();
        for (layer, pair) in sizes.windows(2).enumerate() {
            let scale = if layer + 2 == sizes.len() { 0.0 } else { (pair[0] as f64).sqrt().recip() };
            let normal = |rng: &mut ChaCha12Rng| quantile(rng.random::<f64>().clamp(1e-12, 1.0 - 1e-12));
            parameters.extend((0..pair[0] * pair[1]).map(|_| scale * normal(rng)));
            parameters.extend(std::iter::repeat_n(0.0, pair[1]));
        }
        Network { sizes: sizes.to_vec(), parameters }
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// Parameters.
    pub fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    /// Parameters, to be changed by an optimizer.
    pub fn parameters_mut(&mut self) -> &mut [f64] {
        &mut self.parameters
    }

    fn layers(&self) -> impl DoubleEndedIterator<Item = (usize, usize, usize)> + ExactSizeIterator + use<> {
        let mut start = 0;
        let layers: Vec<_> = self
            .sizes
            .windows(2)
            .map(|pair| {
                let layer = (start, pair[0], pair[1]);
                start += (pair[0] + 1) * pair[1];
                layer
            })
            .collect();
        layers.into_iter()
    }

    /// The output; `trace` keeps what the pass back needs.
    pub fn forward<'a>(&self, input: &[f64], trace: &'a mut Trace) -> &'a [f64] {
        trace.inputs.clear();
        trace.slopes.clear();
        trace.inputs.push(input.to_vec());
        let last = self.sizes.len() - 2;
        for (layer, (start, inputs, outputs)) in self.layers().enumerate() {
            let value = self.affine(start, inputs, outputs, &trace.inputs[layer], true);
            if layer == last {
                trace.inputs.push(value);
            } else {
                let (value, slopes) = value.into_iter().map(silu).unzip();
                trace.inputs.push(value);
                trace.slopes.push(slopes);
            }
        }
        &trace.inputs[last + 1]
    }

    fn affine(&self, start: usize, inputs: usize, outputs: usize, x: &[f64], biased: bool) -> Vec<f64> {
        let bias = &self.parameters[start + inputs * outputs..start + (inputs + 1) * outputs];
        let weights = self.parameters[start..start + inputs * outputs].chunks_exact(inputs);
        let row = |(row, bias): (&[f64], &f64)| dot(row, x) + if biased { *bias } else { 0.0 };
        weights.zip(bias).map(row).collect()
    }

    /// Adds the gradient of the parameters for a gradient of the output of the traced pass.
    pub fn backward(&self, trace: &Trace, output: &[f64], gradient: &mut [f64]) {
        let mut down = output.to_vec();
        for (layer, (start, inputs, outputs)) in self.layers().enumerate().rev() {
            if layer + 2 < self.sizes.len() {
                down.iter_mut().zip(&trace.slopes[layer]).for_each(|(g, slope)| *g *= slope);
            }
            let mut up = vec![0.0; inputs];
            for (at, g) in down.iter().enumerate() {
                let from = start + at * inputs;
                let weights = &self.parameters[from..from + inputs];
                for (((slot, x), w), u) in
                    gradient[from..from + inputs].iter_mut().zip(&trace.inputs[layer]).zip(weights).zip(&mut up)
                {
                    *slot += g * x;
                    *u += g * w;
                }
                gradient[start + inputs * outputs + at] += g;
            }
            down = up;
        }
    }

    /// The change of the output for a change of the input at the traced pass.
    pub fn tangent(&self, trace: &Trace, input: &[f64]) -> Vec<f64> {
        let mut change = input.to_vec();
        for (layer, (start, inputs, outputs)) in self.layers().enumerate() {
            change = self.affine(start, inputs, outputs, &change, false);
            if layer + 2 < self.sizes.len() {
                change.iter_mut().zip(&trace.slopes[layer]).for_each(|(d, slope)| *d *= slope);
            }
        }
        change
    }
}

/// Adam with decoupled weight decay: Loshchilov and Hutter, ICLR 2019.
#[derive(Debug, Clone)]
pub struct AdamW {
    first: Vec<f64>,
    second: Vec<f64>,
    steps: i32,
    decay: f64,
}

impl AdamW {
    /// For so many parameters.
    pub fn new(count: usize, decay: f64) -> AdamW {
        AdamW { first: vec![0.0; count], second: vec![0.0; count], steps: 0, decay }
    }

    /// One step of size `rate` against `gradient`.
    pub fn step(&mut self, parameters: &mut [f64], gradient: &[f64], rate: f64) {
        const B1: f64 = 0.9;
        const B2: f64 = 0.999;
        self.steps += 1;
        let (c1, c2) = (1.0 - B1.powi(self.steps), 1.0 - B2.powi(self.steps));
        for (((p, g), m), v) in parameters.iter_mut().zip(gradient).zip(&mut self.first).zip(&mut self.second) {
            *m = B1 * *m + (1.0 - B1) * g;
            *v = B2 * *v + (1.0 - B2) * g * g;
            *p -= rate * (*m / c1 / ((*v / c2).sqrt() + 1e-8) + self.decay * *p);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn derivatives_agree_with_finite_differences() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let mut network = Network::new(&[3, 5, 4, 2], &mut rng);
        // The last layer starts at 0; derivatives are to be tested away from there.
        network.parameters_mut().iter_mut().for_each(|p| *p += rng.random::<f64>() - 0.5);
        let (x, g) = ([0.3, -0.8, 1.1], [0.7, -1.3]);
        let mut trace = Trace::default();
        let value = |network: &Network, x: &[f64]| {
            let mut trace = Trace::default();
            network.forward(x, &mut trace).iter().zip(&g).map(|(y, g)| y * g).sum::<f64>()
        };
        network.forward(&x, &mut trace);
        let mut gradient = vec![0.0; network.len()];
        network.backward(&trace, &g, &mut gradient);
        let h = 1e-6;
        for (at, slope) in gradient.iter().enumerate() {
            let mut other = network.clone();
            other.parameters_mut()[at] += h;
            let up = value(&other, &x);
            other.parameters_mut()[at] -= 2.0 * h;
            assert!((slope - (up - value(&other, &x)) / (2.0 * h)).abs() < 1e-7, "{at}");
        }
        let direction = [0.2, 0.5, -0.4];
        let moved = |sign: f64| [0, 1, 2].map(|k| x[k] + sign * h * direction[k]);
        let exact: f64 = network.tangent(&trace, &direction).iter().zip(&g).map(|(d, g)| d * g).sum();
        assert!((exact - (value(&network, &moved(1.0)) - value(&network, &moved(-1.0))) / (2.0 * h)).abs() < 1e-7);
    }
}
