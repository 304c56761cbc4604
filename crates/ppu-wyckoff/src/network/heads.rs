//! From states to probabilities of answers: a query of the state against the embeddings of the allowed answers.

use super::body::softmax;
use super::linear::{Linear, silu, silu_slope};
use super::{Network, Real, WIDTH, embed_back};
use crate::grammar::Question;
use crate::rows::Answer;

/// A question with the answer that was given.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Which question.
    pub(crate) question: Question,
    /// The last token that is known when it is asked.
    pub(crate) token: usize,
    /// The position that waits, where the occupant is asked for.
    pub(crate) open: Option<Answer>,
    /// Allowed answers.
    pub(crate) options: Vec<Answer>,
    /// Which one was given.
    pub(crate) chosen: usize,
}

const SIMPLE: [Question; 4] = [Question::Arity, Question::System, Question::Group, Question::Position];

impl<T: Real> Network<T> {
    /// The layer of a question; the occupant's takes the state with the position in mind.
    pub(super) fn query(&self, question: Question) -> Linear {
        match SIMPLE.iter().position(|simple| *simple == question) {
            Some(index) => self.layout.queries[index],
            None => self.layout.occupant,
        }
    }

    /// The score of every answer.
    pub(super) fn scores(&self, query: &[T], options: &[Answer]) -> Vec<T> {
        let row = |row: &u16| {
            let from = usize::from(*row) * WIDTH;
            let embedding = &self.parameters[from..from + WIDTH];
            query.iter().zip(embedding).fold(T::zero(), |sum, (a, b)| sum + *a * *b)
        };
        options.iter().map(|option| option.rows().iter().map(row).fold(T::zero(), |sum, part| sum + part)).collect()
    }

    /// Sum of −ln p of all given answers; adds its derivatives by the parameters, and by the states to `down`.
    pub(crate) fn surprise(&self, states: &[T], asked: &[Asked], down: &mut [T], gradient: &mut [T]) -> T {
        let mut total = T::zero();
        for question in SIMPLE {
            let asked: Vec<&Asked> = asked.iter().filter(|asked| asked.question == question).collect();
            let layer = self.query(question);
            let input = gather(states, &asked);
            let queries = layer.forward(&self.parameters, &input);
            let (loss, by_query) = self.answers(&queries, &asked, gradient);
            total += loss;
            let by_state = layer.backward(&self.parameters, &input, &by_query, gradient);
            scatter(down, &asked, &by_state);
        }
        let asked: Vec<&Asked> = asked.iter().filter(|asked| asked.question == Question::Occupant).collect();
        total + self.occupants(states, &asked, down, gradient)
    }

    fn occupants(&self, states: &[T], asked: &[&Asked], down: &mut [T], gradient: &mut [T]) -> T {
        let layout = &self.layout;
        let input = gather(states, asked);
        let mut positions = vec![T::zero(); asked.len() * WIDTH];
        for (asked, row) in asked.iter().zip(positions.chunks_exact_mut(WIDTH)) {
            self.embed(asked.open.as_ref().map_or(&[], Answer::rows), row);
        }
        let mut inner = layout.occupant_state.forward(&self.parameters, &input);
        let more = layout.occupant_position.forward(&self.parameters, &positions);
        inner.iter_mut().zip(&more).for_each(|(sum, value)| *sum += *value);
        let active: Vec<T> = inner.iter().map(|value| silu(*value)).collect();
        let queries = layout.occupant.forward(&self.parameters, &active);
        let (loss, by_query) = self.answers(&queries, asked, gradient);
        let mut by_inner = layout.occupant.backward(&self.parameters, &active, &by_query, gradient);
        by_inner.iter_mut().zip(&inner).for_each(|(d, value)| *d *= silu_slope(*value));
        let by_state = layout.occupant_state.backward(&self.parameters, &input, &by_inner, gradient);
        scatter(down, asked, &by_state);
        let by_position = layout.occupant_position.backward(&self.parameters, &positions, &by_inner, gradient);
        for (asked, row) in asked.iter().zip(by_position.chunks_exact(WIDTH)) {
            embed_back(gradient, asked.open.as_ref().map_or(&[], Answer::rows), row);
        }
        loss
    }

    /// Sum of −ln p and its derivatives by the queries; adds those by the embeddings of the answers.
    fn answers(&self, queries: &[T], asked: &[&Asked], gradient: &mut [T]) -> (T, Vec<T>) {
        let mut loss = T::zero();
        let mut down = vec![T::zero(); queries.len()];
        for ((query, down), asked) in queries.chunks_exact(WIDTH).zip(down.chunks_exact_mut(WIDTH)).zip(asked) {
            let mut shares = self.scores(query, &asked.options);
            softmax(&mut shares);
            loss -= shares[asked.chosen].ln();
            shares[asked.chosen] -= T::one();
            for (option, slope) in asked.options.iter().zip(&shares) {
                let part: Vec<T> = query.iter().map(|value| *value * *slope).collect();
                embed_back(gradient, option.rows(), &part);
                for row in option.rows() {
                    let from = usize::from(*row) * WIDTH;
                    let embedding = &self.parameters[from..from + WIDTH];
                    down.iter_mut().zip(embedding).for_each(|(sum, value)| *sum += *slope * *value);
                }
            }
        }
        (loss, down)
    }
}

fn gather<T: Real>(states: &[T], asked: &[&Asked]) -> Vec<T> {
    asked.iter().flat_map(|asked| &states[asked.token * WIDTH..(asked.token + 1) * WIDTH]).copied().collect()
}

fn scatter<T: Real>(down: &mut [T], asked: &[&Asked], rows: &[T]) {
    for (asked, row) in asked.iter().zip(rows.chunks_exact(WIDTH)) {
        let to = &mut down[asked.token * WIDTH..(asked.token + 1) * WIDTH];
        to.iter_mut().zip(row).for_each(|(sum, value)| *sum += *value);
    }
}
