//! The network: a causal transformer over the tokens of a crystal (Vaswani et al., arXiv 1706.03762; normalisation before
//! each layer, Xiong et al., arXiv 2002.04745), forward and backward written out.

mod body;
mod decoder;
mod heads;
mod linear;

use std::ops::Range;

use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;

pub(crate) use body::{Batch, Dropout};
pub(crate) use decoder::Decoder;
pub(crate) use heads::Asked;
use linear::Linear;
pub use linear::Real;

use crate::rows::ROWS;

/// Numbers that describe a token.
pub(crate) const WIDTH: usize = 64;
/// Heads of an attention layer.
pub(crate) const HEADS: usize = 4;
/// Blocks of attention and feed-forward layer.
pub(crate) const BLOCKS: usize = 3;
/// Width inside a feed-forward layer.
const INNER: usize = 256;

/// Where one block's layers stand among the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    /// To queries, keys and values.
    attend: Linear,
    mix: Linear,
    up: Linear,
    down: Linear,
}

/// Where everything stands among the parameters; the table of embeddings comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layout {
    blocks: [Block; BLOCKS],
    /// For arity, system, group and position.
    queries: [Linear; 4],
    /// The occupant is asked with the position in mind.
    occupant_state: Linear,
    occupant_position: Linear,
    occupant: Linear,
    count: usize,
}

/// A network with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Network<T> {
    layout: Layout,
    parameters: Vec<T>,
}

impl Layout {
    fn new() -> Layout {
        let mut at = ROWS.count * WIDTH;
        let mut linear = |inputs: usize, outputs: usize| {
            let start = at;
            at += (inputs + 1) * outputs;
            Linear { start, inputs, outputs }
        };
        let blocks = std::array::from_fn(|_| Block {
            attend: linear(WIDTH, 3 * WIDTH),
            mix: linear(WIDTH, WIDTH),
            up: linear(WIDTH, INNER),
            down: linear(INNER, WIDTH),
        });
        let queries = std::array::from_fn(|_| linear(WIDTH, WIDTH));
        let (occupant_state, occupant_position) = (linear(WIDTH, WIDTH), linear(WIDTH, WIDTH));
        let occupant = linear(WIDTH, WIDTH);
        Layout { blocks, queries, occupant_state, occupant_position, occupant, count: at }
    }

    fn linears(&self) -> Vec<(String, Linear)> {
        let mut all = Vec::new();
        for (index, block) in self.blocks.iter().enumerate() {
            let parts = [("attend", block.attend), ("mix", block.mix), ("up", block.up), ("down", block.down)];
            all.extend(parts.map(|(name, linear)| (format!("blocks.{index}.{name}"), linear)));
        }
        let queries = ["arity", "system", "group", "position"].iter().zip(self.queries);
        all.extend(queries.map(|(name, linear)| (format!("queries.{name}"), linear)));
        all.push(("occupant.state".to_owned(), self.occupant_state));
        all.push(("occupant.position".to_owned(), self.occupant_position));
        all.push(("occupant.query".to_owned(), self.occupant));
        all
    }
}

impl<T: Real> Network<T> {
    /// Normal weights: 0.1 for embeddings, 1/√inputs for layers, less for those that add to the residual stream.
    #[must_use]
    pub fn random(rng: &mut ChaCha12Rng) -> Network<T> {
        let Network { layout, mut parameters } = Network::zero();
        let mut fill = |range: Range<usize>, scale: f64| {
            for value in &mut parameters[range] {
                // Box and Muller: two uniform numbers make a normal one.
                let (a, b): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
                *value = linear::real(scale * (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos());
            }
        };
        fill(0..ROWS.count * WIDTH, 0.1);
        for (name, linear) in layout.linears() {
            let residual = name.ends_with("mix") || name.ends_with("down");
            let damping = if residual { (2.0 * BLOCKS as f64).sqrt().recip() } else { 1.0 };
            fill(linear.weights(), damping / (linear.inputs as f64).sqrt());
        }
        Network { layout, parameters }
    }

    /// A network whose parameters are all zero: every allowed answer has the same chance.
    #[must_use]
    pub fn zero() -> Network<T> {
        let layout = Layout::new();
        let parameters = vec![T::zero(); layout.count];
        Network { layout, parameters }
    }

    /// All parameters.
    #[must_use]
    pub fn parameters(&self) -> &[T] {
        &self.parameters
    }

    /// All parameters, to be changed by an optimizer.
    pub fn parameters_mut(&mut self) -> &mut [T] {
        &mut self.parameters
    }

    /// Names, shapes and places of the tensors, in order and without gaps.
    #[must_use]
    pub fn tensors(&self) -> Vec<(String, Vec<usize>, Range<usize>)> {
        let table = 0..ROWS.count * WIDTH;
        let mut all = vec![("embedding".to_owned(), vec![ROWS.count, WIDTH], table)];
        for (name, linear) in self.layout.linears() {
            all.push((format!("{name}.weight"), vec![linear.inputs, linear.outputs], linear.weights()));
            all.push((format!("{name}.bias"), vec![linear.outputs], linear.biases()));
        }
        all
    }

    /// The sum of rows of the table of embeddings.
    fn embed(&self, rows: &[u16], to: &mut [T]) {
        to.fill(T::zero());
        for row in rows {
            let from = usize::from(*row) * WIDTH;
            to.iter_mut().zip(&self.parameters[from..from + WIDTH]).for_each(|(sum, value)| *sum += *value);
        }
    }
}

/// Adds a derivative to that of every row that was added up.
fn embed_back<T: Real>(gradient: &mut [T], rows: &[u16], derivative: &[T]) {
    for row in rows {
        let from = usize::from(*row) * WIDTH;
        gradient[from..from + WIDTH].iter_mut().zip(derivative).for_each(|(sum, value)| *sum += *value);
    }
}
