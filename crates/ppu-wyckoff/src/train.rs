//! Training: maximum likelihood under the rules, by AdamW on small batches, stopped by the validation part.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

use crate::crystal::Crystal;
use crate::grammar::{Condition, ConditionError, Grammar};
use crate::model::{Example, Surprise, batch, mean_surprise};
use crate::network::{Dropout, Network, Real};

/// How training is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainSettings {
    /// Passes over the data at most.
    pub epochs: usize,
    /// Crystals in one step.
    pub batch: usize,
    /// Largest step size, reached after the warm-up and lowered to a hundredth along a cosine.
    pub rate: f64,
    /// Steps until the largest step size.
    pub warm_up: usize,
    /// Decoupled decay of the weights (Loshchilov and Hutter, ICLR 2019).
    pub decay: f64,
    /// Share of the numbers that is dropped after the embedding and after every layer.
    pub dropout: f64,
    /// Length to which longer gradients are cut.
    pub longest_gradient: f64,
    /// Epochs without a better validation after which training ends.
    pub patience: usize,
    /// Seed of start, order, conditions and dropout.
    pub seed: u64,
}

impl Default for TrainSettings {
    fn default() -> TrainSettings {
        TrainSettings {
            epochs: 60,
            batch: 48,
            rate: 2e-3,
            warm_up: 200,
            decay: 0.05,
            dropout: 0.1,
            longest_gradient: 1.0,
            patience: 8,
            seed: 1,
        }
    }
}

/// Training between two epochs.
pub struct Training {
    settings: TrainSettings,
    examples: Vec<Example>,
    validation: Vec<Example>,
    network: Network<f32>,
    optimizer: AdamW,
    rng: ChaCha12Rng,
    epoch: usize,
    best: Option<(f64, usize, Network<f32>)>,
}

/// How an epoch went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// Its number, from 1.
    pub number: usize,
    /// Mean −ln p of the training crystals, with dropout and conditions, nats a crystal.
    pub training: f64,
    /// On the validation part, without either.
    pub validation: Surprise,
    /// Whether the validation is the best so far.
    pub best: bool,
    /// Whether training is over.
    pub over: bool,
}

impl Training {
    /// Training from a random start. Crystals that the rules exclude are left out; [`Training::crystals`] tells how many remain.
    ///
    /// # Errors
    /// [`ConditionError`] never in practice: the rules without a condition are always met.
    pub fn new(train: &[Crystal], validation: &[Crystal], settings: TrainSettings) -> Result<Training, ConditionError> {
        let grammar = Grammar::new(&Condition::default())?;
        let read = |crystals: &[Crystal]| -> Vec<Example> {
            crystals.iter().filter_map(|crystal| Example::new(&grammar, crystal)).collect()
        };
        let mut rng = ChaCha12Rng::seed_from_u64(settings.seed);
        let network = Network::random(&mut rng);
        let optimizer = AdamW::new(network.parameters().len(), settings.decay);
        let (examples, validation) = (read(train), read(validation));
        Ok(Training { settings, examples, validation, network, optimizer, rng, epoch: 0, best: None })
    }

    /// Crystals to learn from, and to validate with.
    #[must_use]
    pub fn crystals(&self) -> (usize, usize) {
        (self.examples.len(), self.validation.len())
    }

    /// The network with the best validation so far.
    #[must_use]
    pub fn network(&self) -> &Network<f32> {
        self.best.as_ref().map_or(&self.network, |(_, _, network)| network)
    }

    /// One pass over the data.
    pub fn epoch(&mut self) -> Epoch {
        let mut order: Vec<usize> = (0..self.examples.len()).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, self.rng.random_range(0..=at));
        }
        let mut gradient = vec![0.0; self.network.parameters().len()];
        let mut total = 0.0;
        let steps = order.len().div_ceil(self.settings.batch.max(1));
        for (at, part) in order.chunks(self.settings.batch.max(1)).enumerate() {
            gradient.fill(0.0);
            let (batch, asked) = batch(part.iter().map(|index| &self.examples[*index]), Some(&mut self.rng));
            let mut dropout = Dropout { share: self.settings.dropout, rng: &mut self.rng };
            total += f64::from(step(&self.network, &batch, &asked, Some(&mut dropout), &mut gradient));
            let length = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt() / part.len() as f64;
            let cut = (self.settings.longest_gradient / length.max(1e-12)).min(1.0) / part.len() as f64;
            gradient.iter_mut().for_each(|g| *g *= cut as f32);
            let rate = self.rate(self.epoch * steps + at, self.settings.epochs * steps);
            self.optimizer.step(self.network.parameters_mut(), &gradient, rate);
        }
        self.epoch += 1;
        let validation = mean_surprise(&self.network, &self.validation);
        let best = self.best.as_ref().is_none_or(|(least, ..)| validation.per_crystal < *least);
        if best {
            self.best = Some((validation.per_crystal, self.epoch, self.network.clone()));
        }
        let since = self.best.as_ref().map_or(0, |(_, epoch, _)| self.epoch - epoch);
        Epoch {
            number: self.epoch,
            training: total / self.examples.len().max(1) as f64,
            validation,
            best,
            over: self.epoch >= self.settings.epochs || since >= self.settings.patience,
        }
    }

    fn rate(&self, step: usize, steps: usize) -> f64 {
        let warm = ((step + 1) as f64 / self.settings.warm_up.max(1) as f64).min(1.0);
        let along = std::f64::consts::PI * step as f64 / steps.max(1) as f64;
        self.settings.rate * warm * (0.01 + 0.99 * 0.5 * (1.0 + along.cos()))
    }
}

/// −ln p of a batch; adds its derivatives to `gradient`.
fn step<T: Real>(
    network: &Network<T>,
    batch: &crate::network::Batch,
    asked: &[crate::network::Asked],
    dropout: Option<&mut Dropout<'_>>,
    gradient: &mut [T],
) -> T {
    let trace = network.states(batch, dropout);
    let mut down = vec![T::zero(); trace.states.len()];
    let loss = network.surprise(&trace.states, asked, &mut down, gradient);
    network.states_back(batch, &trace, down, gradient);
    loss
}

/// Adam with decoupled weight decay.
struct AdamW {
    first: Vec<f32>,
    second: Vec<f32>,
    steps: i32,
    decay: f64,
}

impl AdamW {
    fn new(count: usize, decay: f64) -> AdamW {
        AdamW { first: vec![0.0; count], second: vec![0.0; count], steps: 0, decay }
    }

    fn step(&mut self, parameters: &mut [f32], gradient: &[f32], rate: f64) {
        const B1: f32 = 0.9;
        const B2: f32 = 0.98;
        self.steps += 1;
        let (c1, c2) = (1.0 - f64::from(B1).powi(self.steps), 1.0 - f64::from(B2).powi(self.steps));
        let (scale, root, shrink) = ((rate / c1) as f32, c2.sqrt() as f32, (1.0 - rate * self.decay) as f32);
        for (((p, g), m), v) in parameters.iter_mut().zip(gradient).zip(&mut self.first).zip(&mut self.second) {
            *m = B1 * *m + (1.0 - B1) * g;
            *v = B2 * *v + (1.0 - B2) * g * g;
            *p = *p * shrink - scale * *m / (v.sqrt() / root + 1e-8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crystal::Orbit;
    use crate::model::log_q;

    fn crystal(group: u8, orbits: &[(u8, &str)]) -> Crystal {
        let orbit = |(position, symbol): &(u8, &str)| Orbit { position: *position, element: symbol.parse().unwrap() };
        Crystal::new(group, orbits.iter().map(orbit).collect()).unwrap()
    }

    fn few() -> Vec<Crystal> {
        vec![
            crystal(225, &[(0, "Na"), (1, "Cl")]),
            crystal(221, &[(0, "Ti"), (1, "Ba"), (3, "O")]),
            crystal(62, &[(2, "Fe"), (2, "S"), (2, "S")]),
        ]
    }

    #[test]
    fn derivatives_agree_with_finite_differences() {
        let mut rng = ChaCha12Rng::seed_from_u64(3);
        let mut network: Network<f64> = Network::random(&mut rng);
        let grammar = Grammar::new(&Condition::default()).unwrap();
        let examples: Vec<Example> = few().iter().map(|crystal| Example::new(&grammar, crystal).unwrap()).collect();
        let (batch, asked) = batch(examples.iter(), None);
        let mut gradient = vec![0.0; network.parameters().len()];
        step(&network, &batch, &asked, None, &mut gradient);
        let places = network.tensors();
        // The steepest number of every tensor, and a few others.
        for (name, _, range) in places {
            let steepest = range.clone().max_by(|a, b| gradient[*a].abs().total_cmp(&gradient[*b].abs())).unwrap();
            for at in [steepest, range.start, range.end - 1] {
                let mut moved = |by: f64| {
                    let before = network.parameters()[at];
                    network.parameters_mut()[at] = before + by;
                    let loss = step(&network, &batch, &asked, None, &mut vec![0.0; gradient.len()]);
                    network.parameters_mut()[at] = before;
                    loss
                };
                let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!(
                    (gradient[at] - numeric).abs() < 1e-7 * (1.0 + numeric.abs()),
                    "{name}: {} {numeric}",
                    gradient[at]
                );
            }
        }
    }

    #[test]
    fn a_few_crystals_are_learnt_and_the_two_ways_of_reckoning_agree() {
        let settings =
            TrainSettings { epochs: 25, batch: 3, rate: 5e-3, warm_up: 5, dropout: 0.0, ..TrainSettings::default() };
        let mut training = Training::new(&few(), &few(), settings).unwrap();
        assert_eq!(training.crystals(), (3, 3));
        let first = training.epoch();
        let last = std::iter::from_fn(|| Some(training.epoch())).find(|epoch| epoch.over).unwrap();
        assert!(first.validation.per_crystal > 8.0, "{first:?}");
        assert!(last.validation.per_crystal < 2.0, "three crystals have ln 3 = 1.1 nats: {last:?}");
        let grammar = Grammar::new(&Condition::default()).unwrap();
        let one_by_one: f64 = few().iter().map(|crystal| -log_q(training.network(), &grammar, 1.0, crystal)).sum();
        let at_once = mean_surprise(training.network(), &training_examples(&grammar)).per_crystal;
        assert!((one_by_one / 3.0 - at_once).abs() < 1e-4, "{one_by_one} {at_once}");
    }

    fn training_examples(grammar: &Grammar) -> Vec<Example> {
        few().iter().map(|crystal| Example::new(grammar, crystal).unwrap()).collect()
    }
}
