//! The gated unit of CHGNet, `silu(norm(core(x))) · logistic(norm(gate(x)))`, on rows that hold core and gate side by
//! side, and its reverse pass with respect to the input.

use super::kernels::{DOUBLE, Panels, WIDTH, normalise, normalise_back, row, row_mut};
use super::pool::Pool;
use super::real::Real;
use crate::weights::Weights;

/// Rows that are worked on together: their intermediate values (64 · 128 · 4 bytes) fit the nearest cache.
pub(super) const TILE: usize = 64;

/// The second linear layer of core and of gate.
#[derive(Debug, Clone)]
struct Hidden<T> {
    forward: [Panels<T>; 2],
    reverse: [Panels<T>; 2],
    bias: Vec<T>,
}

/// The part of a gated unit behind its first linear layer, which the convolutions split by operand.
#[derive(Debug, Clone)]
pub(super) struct Gated<T> {
    hidden: Option<Hidden<T>>,
    norm_scale: Vec<T>,
    norm_shift: Vec<T>,
}

/// What the reverse pass needs of the forward pass, a row for each edge or angle. Without `keep` it holds one tile.
#[derive(Debug, Clone)]
pub(super) struct Tape<T> {
    keep: bool,
    /// Derivative of the activation of the hidden layer.
    activation: Vec<T>,
    /// Normalised core and gate.
    normed: Vec<T>,
    /// What normalisation multiplied core and gate by.
    inverse_sd: Vec<T>,
    /// Derivative of the message by normalised core and gate.
    slopes: Vec<T>,
    /// The message.
    pub(super) messages: Vec<T>,
}

impl<T: Real> Tape<T> {
    /// Room for so many rows. Every row is written by the forward pass before the reverse pass reads it.
    pub(super) fn new(rows: usize, keep: bool, pool: &Pool<T>) -> Self {
        let rows = if keep { rows } else { TILE.min(rows) };
        Self {
            keep,
            activation: pool.take(rows * DOUBLE),
            normed: pool.take(rows * DOUBLE),
            inverse_sd: pool.take(rows * 2),
            slopes: pool.take(rows * DOUBLE),
            messages: pool.take(rows * WIDTH),
        }
    }

    /// Gives the room back.
    pub(super) fn release(self, pool: &Pool<T>) {
        pool.give([self.activation, self.normed, self.inverse_sd, self.slopes, self.messages]);
    }

    /// Where the row of an edge or angle stands.
    pub(super) fn place(&self, index: usize) -> usize {
        if self.keep { index } else { index % TILE }
    }
}

impl<T: Real> Gated<T> {
    /// Reads the unit below `name`; `hidden` is the number of its second linear layer, where it has one.
    pub(super) fn new(weights: &Weights, name: &str, hidden: Option<usize>) -> Self {
        let both = |core: String, gate: String| -> Vec<T> {
            let values = weights.values(&core).iter().chain(weights.values(&gate));
            values.map(|&value| T::from_f64(f64::from(value))).collect()
        };
        let hidden = hidden.map(|layer| {
            let matrix = |branch: &str| weights.values(&format!("{name}.mlp_{branch}.layers.{layer}.weight"));
            let forward = |matrix: &[f32]| Panels::new(WIDTH, WIDTH, |inner, column| matrix[column * WIDTH + inner]);
            let reverse = |matrix: &[f32]| Panels::new(WIDTH, WIDTH, |inner, column| matrix[inner * WIDTH + column]);
            let (core, gate) = (matrix("core"), matrix("gate"));
            let bias = |branch: &str| format!("{name}.mlp_{branch}.layers.{layer}.bias");
            Hidden {
                forward: [forward(core), forward(gate)],
                reverse: [reverse(core), reverse(gate)],
                bias: both(bias("core"), bias("gate")),
            }
        });
        let norm = |part: &str| both(format!("{name}.bn1.{part}"), format!("{name}.bn2.{part}"));
        Self { hidden, norm_scale: norm("weight"), norm_shift: norm("bias") }
    }

    /// Runs the unit on at most [`TILE`] rows that hold the first linear layer's output, and leaves their messages in
    /// the tape. `first` is the number of the first row.
    pub(super) fn forward(&self, input: &mut [T], first: usize, tape: &mut Tape<T>) {
        let place = tape.place(first);
        let rows = input.len() / DOUBLE;
        let mut buffer = [T::ZERO; TILE * DOUBLE];
        let output = match &self.hidden {
            None => input,
            Some(hidden) => {
                let derivative = &mut tape.activation[place * DOUBLE..][..rows * DOUBLE];
                for (value, derivative) in input.iter_mut().zip(derivative) {
                    let gate = value.logistic();
                    *derivative = gate * (T::ONE + *value * (T::ONE - gate));
                    *value *= gate;
                }
                let output = &mut buffer[..rows * DOUBLE];
                for row in output.chunks_exact_mut(DOUBLE) {
                    row.copy_from_slice(&hidden.bias);
                }
                for (branch, panels) in hidden.forward.iter().enumerate() {
                    let at = branch * WIDTH;
                    panels.add_product_within(&input[at..], DOUBLE, &mut output[at..], DOUBLE);
                }
                output
            }
        };
        for (index, output) in output.chunks_exact_mut(DOUBLE).enumerate() {
            self.close(output, place + index, tape);
        }
    }

    /// Normalises, activates and multiplies one row.
    #[inline]
    fn close(&self, output: &mut [T], place: usize, tape: &mut Tape<T>) {
        for (branch, values) in output.as_chunks_mut::<WIDTH>().0.iter_mut().enumerate() {
            tape.inverse_sd[2 * place + branch] = normalise(values);
        }
        row_mut(&mut tape.normed, place, DOUBLE).copy_from_slice(output);
        let (core, gate) = output.split_at(WIDTH);
        let (core_scale, gate_scale) = self.norm_scale.split_at(WIDTH);
        let (core_shift, gate_shift) = self.norm_shift.split_at(WIDTH);
        let (core_slope, gate_slope) = row_mut(&mut tape.slopes, place, DOUBLE).split_at_mut(WIDTH);
        let messages = row_mut(&mut tape.messages, place, WIDTH);
        for k in 0..WIDTH {
            let scaled = core[k] * core_scale[k] + core_shift[k];
            let own = scaled.logistic();
            let gate = (gate[k] * gate_scale[k] + gate_shift[k]).logistic();
            let message = scaled * own * gate;
            messages[k] = message;
            core_slope[k] = gate * own * (T::ONE + scaled * (T::ONE - own)) * core_scale[k];
            gate_slope[k] = message * (T::ONE - gate) * gate_scale[k];
        }
    }

    /// Turns derivatives by the messages of at most [`TILE`] rows into derivatives by the output of the first linear
    /// layer, which it writes over `derivative`.
    pub(super) fn reverse(&self, by_message: &[T], first: usize, tape: &Tape<T>, derivative: &mut [T]) {
        let place = tape.place(first);
        let mut buffer = [T::ZERO; TILE * DOUBLE];
        let before_norm = if self.hidden.is_some() { &mut buffer[..derivative.len()] } else { &mut *derivative };
        for (index, values) in before_norm.chunks_exact_mut(DOUBLE).enumerate() {
            let by_message = row(by_message, index, WIDTH);
            let slopes = row(&tape.slopes, place + index, DOUBLE);
            let normed = row(&tape.normed, place + index, DOUBLE).as_chunks::<WIDTH>().0;
            for (branch, values) in values.as_chunks_mut::<WIDTH>().0.iter_mut().enumerate() {
                for k in 0..WIDTH {
                    values[k] = by_message[k] * slopes[branch * WIDTH + k];
                }
                normalise_back(values, &normed[branch], tape.inverse_sd[2 * (place + index) + branch]);
            }
        }
        let Some(hidden) = &self.hidden else { return };
        let rows = derivative.len() / DOUBLE;
        derivative.fill(T::ZERO);
        for (branch, panels) in hidden.reverse.iter().enumerate() {
            let at = branch * WIDTH;
            panels.add_product_within(&buffer[at..rows * DOUBLE], DOUBLE, &mut derivative[at..], DOUBLE);
        }
        for (value, &slope) in derivative.iter_mut().zip(&tape.activation[place * DOUBLE..]) {
            *value *= slope;
        }
    }
}
