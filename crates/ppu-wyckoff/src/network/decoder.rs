//! One crystal after the other, token by token: keys and values of earlier tokens are kept.

use super::body::shares;
use super::linear::{normalise, silu};
use super::{BLOCKS, HEADS, INNER, Network, Real, WIDTH};
use crate::grammar::Question;
use crate::rows::Answer;

const HEAD: usize = WIDTH / HEADS;

/// What is kept of the tokens of one sequence.
#[derive(Debug, Clone)]
pub(crate) struct Decoder<T> {
    /// Keys and values of each block, 2 · [`WIDTH`] numbers a token.
    kept: [Vec<T>; BLOCKS],
    state: Vec<T>,
    tokens: usize,
}

impl<T: Real> Decoder<T> {
    /// Without any token.
    pub(crate) fn new() -> Decoder<T> {
        Decoder { kept: std::array::from_fn(|_| Vec::new()), state: vec![T::zero(); WIDTH], tokens: 0 }
    }

    /// Tokens so far.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Takes the next token in.
    pub(crate) fn feed(&mut self, network: &Network<T>, rows: &[u16]) {
        let parameters = &network.parameters;
        let mut stream = [T::zero(); WIDTH];
        network.embed(rows, &mut stream);
        let mut wide = [T::zero(); INNER];
        let mut attention = Vec::with_capacity(self.tokens + 1);
        for (block, kept) in network.layout.blocks.iter().zip(&mut self.kept) {
            let mut normed = stream;
            normalise(&mut normed, WIDTH);
            let attended = &mut wide[..3 * WIDTH];
            block.attend.single(parameters, &normed, attended);
            kept.extend_from_slice(&attended[WIDTH..]);
            let mut mixed = [T::zero(); WIDTH];
            for at in (0..WIDTH).step_by(HEAD) {
                attention.clear();
                shares(&attended[at..at + HEAD], &kept[at..], 2 * WIDTH, self.tokens, &mut attention);
                let to = &mut mixed[at..at + HEAD];
                for (other, share) in attention.iter().enumerate() {
                    let value = &kept[other * 2 * WIDTH + WIDTH + at..][..HEAD];
                    to.iter_mut().zip(value).for_each(|(sum, value)| *sum += *share * *value);
                }
            }
            let mut added = [T::zero(); WIDTH];
            block.mix.single(parameters, &mixed, &mut added);
            stream.iter_mut().zip(&added).for_each(|(sum, value)| *sum += *value);
            normed = stream;
            normalise(&mut normed, WIDTH);
            block.up.single(parameters, &normed, &mut wide);
            wide.iter_mut().for_each(|value| *value = silu(*value));
            block.down.single(parameters, &wide, &mut added);
            stream.iter_mut().zip(&added).for_each(|(sum, value)| *sum += *value);
        }
        normalise(&mut stream, WIDTH);
        self.state.copy_from_slice(&stream);
        self.tokens += 1;
    }

    /// The score of every allowed answer to a question; `open` is the position that waits for its occupant.
    pub(crate) fn scores(
        &self,
        network: &Network<T>,
        question: Question,
        open: Option<Answer>,
        options: &[Answer],
    ) -> Vec<T> {
        let parameters = &network.parameters;
        let mut query = [T::zero(); WIDTH];
        match open {
            None => network.query(question).single(parameters, &self.state, &mut query),
            Some(position) => {
                let (mut embedded, mut inner, mut more) = ([T::zero(); WIDTH], [T::zero(); WIDTH], [T::zero(); WIDTH]);
                network.embed(position.rows(), &mut embedded);
                network.layout.occupant_state.single(parameters, &self.state, &mut inner);
                network.layout.occupant_position.single(parameters, &embedded, &mut more);
                inner.iter_mut().zip(&more).for_each(|(sum, value)| *sum = silu(*sum + *value));
                network.query(question).single(parameters, &inner, &mut query);
            }
        }
        network.scores(&query, options)
    }
}
