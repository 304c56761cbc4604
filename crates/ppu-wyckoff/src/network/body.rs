//! From tokens to states: embedding, blocks of attention and feed-forward layers, and the way back.

use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;

use super::linear::{normalise, normalise_back, real, silu, silu_slope};
use super::{Block, HEADS, Network, Real, WIDTH, embed_back};
use crate::rows::Token;

const HEAD: usize = WIDTH / HEADS;

/// Sequences one after the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batch {
    /// Tokens of all sequences.
    pub(crate) tokens: Vec<Token>,
    /// How many tokens each sequence has.
    pub(crate) lengths: Vec<usize>,
}

/// Which share of the numbers is dropped in training, and by which generator.
#[derive(Debug)]
pub(crate) struct Dropout<'a> {
    /// Share that is set to zero, below 1.
    pub(crate) share: f64,
    /// Where the draws come from.
    pub(crate) rng: &'a mut ChaCha12Rng,
}

/// What the way back needs of one block.
struct BlockTrace<T> {
    first: Vec<T>,
    first_factors: Vec<T>,
    attended: Vec<T>,
    /// Attention of every sequence, head and token to the tokens up to it, one after the other.
    attention: Vec<T>,
    mixed: Vec<T>,
    mixed_kept: Vec<T>,
    second: Vec<T>,
    second_factors: Vec<T>,
    inner: Vec<T>,
    active: Vec<T>,
    down_kept: Vec<T>,
}

/// Everything that the way back needs; `states` is the result, [`WIDTH`] numbers a token.
pub(crate) struct Trace<T> {
    pub(crate) states: Vec<T>,
    factors: Vec<T>,
    embedded_kept: Vec<T>,
    blocks: Vec<BlockTrace<T>>,
}

impl<T: Real> Network<T> {
    /// The states of all tokens; each depends on the tokens up to it alone.
    pub(crate) fn states(&self, batch: &Batch, mut dropout: Option<&mut Dropout<'_>>) -> Trace<T> {
        let mut stream = vec![T::zero(); batch.tokens.len() * WIDTH];
        for (token, row) in batch.tokens.iter().zip(stream.chunks_exact_mut(WIDTH)) {
            self.embed(token, row);
        }
        let embedded_kept = drop(&mut stream, dropout.as_deref_mut());
        let mut blocks = Vec::with_capacity(self.layout.blocks.len());
        for block in self.layout.blocks {
            blocks.push(self.block(&block, batch, &mut stream, dropout.as_deref_mut()));
        }
        let factors = normalise(&mut stream, WIDTH);
        Trace { states: stream, factors, embedded_kept, blocks }
    }

    fn block(
        &self,
        block: &Block,
        batch: &Batch,
        stream: &mut [T],
        mut dropout: Option<&mut Dropout<'_>>,
    ) -> BlockTrace<T> {
        let mut first = stream.to_vec();
        let first_factors = normalise(&mut first, WIDTH);
        let attended = block.attend.forward(&self.parameters, &first);
        let (mixed, attention) = attend(batch, &attended);
        let mut added = block.mix.forward(&self.parameters, &mixed);
        let mixed_kept = drop(&mut added, dropout.as_deref_mut());
        stream.iter_mut().zip(&added).for_each(|(sum, value)| *sum += *value);

        let mut second = stream.to_vec();
        let second_factors = normalise(&mut second, WIDTH);
        let inner = block.up.forward(&self.parameters, &second);
        let active: Vec<T> = inner.iter().map(|value| silu(*value)).collect();
        let mut added = block.down.forward(&self.parameters, &active);
        let down_kept = drop(&mut added, dropout);
        stream.iter_mut().zip(&added).for_each(|(sum, value)| *sum += *value);
        BlockTrace {
            first,
            first_factors,
            attended,
            attention,
            mixed,
            mixed_kept,
            second,
            second_factors,
            inner,
            active,
            down_kept,
        }
    }

    /// Adds the derivatives by all parameters, given those by the states.
    pub(crate) fn states_back(&self, batch: &Batch, trace: &Trace<T>, mut down: Vec<T>, gradient: &mut [T]) {
        normalise_back(&mut down, &trace.states, &trace.factors, WIDTH);
        for (block, trace) in self.layout.blocks.iter().zip(&trace.blocks).rev() {
            self.block_back(block, batch, trace, &mut down, gradient);
        }
        keep(&mut down, &trace.embedded_kept);
        for (token, row) in batch.tokens.iter().zip(down.chunks_exact(WIDTH)) {
            embed_back(gradient, token, row);
        }
    }

    fn block_back(&self, block: &Block, batch: &Batch, trace: &BlockTrace<T>, down: &mut [T], gradient: &mut [T]) {
        let mut added = down.to_vec();
        keep(&mut added, &trace.down_kept);
        let mut inner = block.down.backward(&self.parameters, &trace.active, &added, gradient);
        inner.iter_mut().zip(&trace.inner).for_each(|(d, value)| *d *= silu_slope(*value));
        let mut second = block.up.backward(&self.parameters, &trace.second, &inner, gradient);
        normalise_back(&mut second, &trace.second, &trace.second_factors, WIDTH);
        down.iter_mut().zip(&second).for_each(|(sum, value)| *sum += *value);

        let mut added = down.to_vec();
        keep(&mut added, &trace.mixed_kept);
        let mixed = block.mix.backward(&self.parameters, &trace.mixed, &added, gradient);
        let attended = attend_back(batch, &trace.attended, &trace.attention, &mixed);
        let mut first = block.attend.backward(&self.parameters, &trace.first, &attended, gradient);
        normalise_back(&mut first, &trace.first, &trace.first_factors, WIDTH);
        down.iter_mut().zip(&first).for_each(|(sum, value)| *sum += *value);
    }
}

/// Drops a share of the numbers and scales the others; what each was multiplied by, or nothing without dropout.
fn drop<T: Real>(values: &mut [T], dropout: Option<&mut Dropout<'_>>) -> Vec<T> {
    let Some(Dropout { share, rng }) = dropout else { return Vec::new() };
    let (scale, limit): (T, u32) = (real(1.0 / (1.0 - *share)), (*share * f64::from(u32::MAX)) as u32);
    let kept: Vec<T> = values.iter().map(|_| if rng.random::<u32>() < limit { T::zero() } else { scale }).collect();
    keep(values, &kept);
    kept
}

fn keep<T: Real>(values: &mut [T], kept: &[T]) {
    values.iter_mut().zip(kept).for_each(|(value, kept)| *value *= *kept);
}

fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    a.iter().zip(b).fold(T::zero(), |sum, (a, b)| sum + *a * *b)
}

/// Turns scores into shares that sum to one.
pub(super) fn softmax<T: Real>(scores: &mut [T]) {
    let most = scores.iter().copied().fold(real(f64::NEG_INFINITY), |a: T, b| a.max(b));
    scores.iter_mut().for_each(|score| *score = (*score - most).exp());
    let total = scores.iter().fold(T::zero(), |sum, score| sum + *score);
    scores.iter_mut().for_each(|score| *score /= total);
}

/// The attention of one query to the keys of tokens 0 to `last` of a sequence that begins at `keys`.
pub(super) fn shares<T: Real>(query: &[T], keys: &[T], stride: usize, last: usize, to: &mut Vec<T>) {
    let scale: T = real((HEAD as f64).sqrt().recip());
    let from = to.len();
    to.extend((0..=last).map(|token| scale * dot(query, &keys[token * stride..token * stride + HEAD])));
    softmax(&mut to[from..]);
}

/// Mixed values (a row a token) and the attention.
fn attend<T: Real>(batch: &Batch, attended: &[T]) -> (Vec<T>, Vec<T>) {
    let stride = 3 * WIDTH;
    let mut mixed = vec![T::zero(); batch.tokens.len() * WIDTH];
    let mut attention = Vec::new();
    let mut start = 0;
    for length in &batch.lengths {
        let rows = &attended[start * stride..(start + length) * stride];
        for at in (0..WIDTH).step_by(HEAD) {
            for token in 0..*length {
                let from = attention.len();
                shares(&rows[token * stride + at..][..HEAD], &rows[WIDTH + at..], stride, token, &mut attention);
                let to = &mut mixed[(start + token) * WIDTH + at..][..HEAD];
                for (other, share) in attention[from..].iter().enumerate() {
                    let value = &rows[other * stride + 2 * WIDTH + at..][..HEAD];
                    to.iter_mut().zip(value).for_each(|(sum, value)| *sum += *share * *value);
                }
            }
        }
        start += length;
    }
    (mixed, attention)
}

fn attend_back<T: Real>(batch: &Batch, attended: &[T], attention: &[T], mixed: &[T]) -> Vec<T> {
    let stride = 3 * WIDTH;
    let scale: T = real((HEAD as f64).sqrt().recip());
    let mut down = vec![T::zero(); attended.len()];
    let (mut start, mut from) = (0, 0);
    for length in &batch.lengths {
        let rows = &attended[start * stride..(start + length) * stride];
        let down = &mut down[start * stride..(start + length) * stride];
        for at in (0..WIDTH).step_by(HEAD) {
            for token in 0..*length {
                let shares = &attention[from..=from + token];
                from += token + 1;
                let above = &mixed[(start + token) * WIDTH + at..][..HEAD];
                let value = |other: usize| &rows[other * stride + 2 * WIDTH + at..][..HEAD];
                let slopes: Vec<T> = (0..=token).map(|other| dot(above, value(other))).collect();
                let mean = dot(shares, &slopes);
                for (other, share) in shares.iter().enumerate() {
                    let score = *share * (slopes[other] - mean) * scale;
                    for k in at..at + HEAD {
                        down[other * stride + 2 * WIDTH + k] += *share * above[k - at];
                        down[token * stride + k] += score * rows[other * stride + WIDTH + k];
                        down[other * stride + WIDTH + k] += score * rows[token * stride + k];
                    }
                }
            }
        }
        start += length;
    }
    down
}
