//! The model of crystals: a network under the rules of a condition, with exact probabilities.

use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;

use crate::crystal::Crystal;
use crate::grammar::{Condition, ConditionError, Grammar, Partial, Question};
use crate::network::{Asked, Batch, Decoder, Network, Real};
use crate::rows::{Answer, LONGEST, ROWS};

/// A crystal with its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// The crystal. Its orbits may be a relabelling of the canonical ones.
    pub crystal: Crystal,
    /// ln of its probability under the condition and the temperature, in nats; counting measure over lists of orbits.
    pub log_q: f64,
}

/// A crystal in the making: what is known, and what the network keeps of it.
#[derive(Debug, Clone)]
pub struct Draft {
    partial: Partial,
    decoder: Decoder<f32>,
    log_q: f64,
}

/// How often a training example has the space group as a condition. Half of the examples teach the model without it.
const GROUP_GIVEN: f64 = 0.5;

/// A crystal as the network sees it in training.
pub(crate) struct Example {
    crystal: Crystal,
    tokens: Vec<Vec<u16>>,
    asked: Vec<Asked>,
}

impl Draft {
    /// The empty crystal under a condition.
    #[must_use]
    pub fn new(network: &Network<f32>, grammar: &Grammar) -> Draft {
        let mut decoder = Decoder::new();
        decoder.feed(network, &ROWS.start(grammar.condition().group));
        Draft { partial: grammar.start(), decoder, log_q: 0.0 }
    }

    /// What is known of the crystal.
    #[must_use]
    pub fn partial(&self) -> &Partial {
        &self.partial
    }

    /// ln of the probability of all answers so far, in nats.
    #[must_use]
    pub fn log_q(&self) -> f64 {
        self.log_q
    }

    /// The next question with the allowed answers and their ln p; nothing when the crystal is complete.
    #[must_use]
    pub fn next(&self, network: &Network<f32>, grammar: &Grammar, temperature: f64) -> Option<Next> {
        let (question, options) = grammar.options(&self.partial)?;
        if options.len() < 2 {
            let log_p = vec![0.0; options.len()];
            return Some(Next { question, options, log_p });
        }
        let (open, answers) = answers(&self.partial, question, &options);
        let scores = self.decoder.scores(network, question, open, &answers);
        let scores: Vec<f64> = scores.iter().map(|score| f64::from(*score) / temperature).collect();
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total = most + scores.iter().map(|score| (score - most).exp()).sum::<f64>().ln();
        Some(Next { question, options, log_p: scores.iter().map(|score| score - total).collect() })
    }

    /// Takes the answer with that place among the options in.
    pub fn take(&mut self, network: &Network<f32>, grammar: &Grammar, next: &Next, chosen: usize) {
        let option = next.options[chosen];
        self.log_q += next.log_p[chosen];
        grammar.answer(&mut self.partial, next.question, option);
        if let Some(token) = ROWS.token(self.decoder.tokens(), next.question, option, &self.partial) {
            self.decoder.feed(network, &token);
        }
    }
}

/// A question, its allowed answers, and their probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct Next {
    /// Which question.
    pub question: Question,
    /// Allowed answers.
    pub options: Vec<u8>,
    /// ln p of each.
    pub log_p: Vec<f64>,
}

impl Next {
    /// One of the options by its probability.
    pub fn draw(&self, rng: &mut ChaCha12Rng) -> usize {
        let mut left: f64 = rng.random();
        for (at, log_p) in self.log_p.iter().enumerate() {
            left -= log_p.exp();
            if left < 0.0 {
                return at;
            }
        }
        // The probabilities sum to one up to rounding.
        self.log_p.len() - 1
    }
}

/// Draws one crystal; 1 is the model's own temperature, less makes likely crystals likelier.
///
/// `None` only if the network has become not-a-number.
pub fn sample(network: &Network<f32>, grammar: &Grammar, temperature: f64, rng: &mut ChaCha12Rng) -> Option<Sampled> {
    let mut draft = Draft::new(network, grammar);
    while let Some(next) = draft.next(network, grammar, temperature) {
        if next.options.is_empty() || next.log_p.iter().any(|log_p| log_p.is_nan()) {
            return None;
        }
        let chosen = next.draw(rng);
        draft.take(network, grammar, &next, chosen);
    }
    Some(Sampled { crystal: draft.partial.crystal()?, log_q: draft.log_q })
}

/// ln of the probability with which [`sample`] draws a crystal, in nats; −∞ where the condition excludes it.
#[must_use]
pub fn log_q(network: &Network<f32>, grammar: &Grammar, temperature: f64, crystal: &Crystal) -> f64 {
    let Some(given) = grammar.answers(crystal) else { return f64::NEG_INFINITY };
    let mut draft = Draft::new(network, grammar);
    for (_, option) in given {
        let Some(next) = draft.next(network, grammar, temperature) else { return f64::NEG_INFINITY };
        let Some(chosen) = next.options.iter().position(|other| *other == option) else { return f64::NEG_INFINITY };
        draft.take(network, grammar, &next, chosen);
    }
    draft.log_q
}

/// The rows of the answers, and those of the position that waits.
fn answers(partial: &Partial, question: Question, options: &[u8]) -> (Option<Answer>, Vec<Answer>) {
    let group = partial.group().map_or(0, |group| usize::from(group.number) - 1);
    let open = partial.open().map(|position| ROWS.position(group, position));
    (open, options.iter().map(|option| ROWS.option(question, group, *option)).collect())
}

impl Example {
    /// A crystal with every question that it answers under the rules without a condition; `None` if they exclude it.
    pub(crate) fn new(grammar: &Grammar, crystal: &Crystal) -> Option<Example> {
        let mut tokens = vec![ROWS.start(None)];
        let mut asked = Vec::new();
        let mut partial = grammar.start();
        for (question, given) in grammar.answers(crystal)? {
            let (_, options) = grammar.options(&partial)?;
            let chosen = options.iter().position(|option| *option == given)?;
            let (open, options) = answers(&partial, question, &options);
            if options.len() > 1 {
                asked.push(Asked { question, token: tokens.len() - 1, open, options, chosen });
            }
            grammar.answer(&mut partial, question, given);
            tokens.extend(ROWS.token(tokens.len(), question, given, &partial));
        }
        (tokens.len() <= LONGEST).then(|| Example { crystal: crystal.clone(), tokens, asked })
    }

    /// Number of orbits.
    pub(crate) fn orbits(&self) -> usize {
        self.crystal.orbits().len()
    }
}

/// Puts examples one after the other; with a generator, some get their space group as a condition.
pub(crate) fn batch<'a>(
    examples: impl Iterator<Item = &'a Example>,
    mut conditions: Option<&mut ChaCha12Rng>,
) -> (Batch, Vec<Asked>) {
    let (mut batch, mut asked) = (Batch::default(), Vec::new());
    for example in examples {
        let start = batch.tokens.len();
        let given = conditions.as_mut().is_some_and(|rng| rng.random::<f64>() < GROUP_GIVEN);
        batch.tokens.extend(example.tokens.iter().cloned());
        if given {
            batch.tokens[start] = ROWS.start(Some(example.crystal.group()));
        }
        batch.lengths.push(example.tokens.len());
        let open = example.asked.iter().filter(|asked| !given || asked.question != Question::Group);
        asked.extend(open.map(|asked| Asked { token: start + asked.token, ..asked.clone() }));
    }
    (batch, asked)
}

/// Mean of −ln q over examples, in nats a crystal, and what part of it the system and the group have.
pub(crate) fn mean_surprise<T: Real>(network: &Network<T>, examples: &[Example]) -> Surprise {
    let mut unused = vec![T::zero(); network.parameters().len()];
    let (mut crystal, mut orbits, mut count) = (0.0, 0.0, 0);
    for part in examples.chunks(64) {
        let (batch, asked) = batch(part.iter(), None);
        let states = network.states(&batch, None).states;
        let mut down = vec![T::zero(); states.len()];
        let mut sum = |asked: &[Asked]| -> f64 {
            network.surprise(&states, asked, &mut down, &mut unused).to_subset().unwrap_or(f64::NAN)
        };
        let (of_orbits, before): (Vec<Asked>, Vec<Asked>) =
            asked.into_iter().partition(|asked| matches!(asked.question, Question::Position | Question::Occupant));
        let inner = sum(&of_orbits);
        orbits += inner;
        crystal += inner + sum(&before);
        count += part.iter().map(Example::orbits).sum::<usize>();
    }
    let examples = examples.len().max(1) as f64;
    Surprise {
        per_crystal: crystal / examples,
        per_orbit: crystal / count.max(1) as f64,
        of_orbits: orbits / count.max(1) as f64,
    }
}

impl Surprise {
    /// The surprise of a model by crystals, without a condition. Those that the rules exclude are left out.
    ///
    /// # Errors
    /// [`ConditionError`] never in practice: the rules without a condition are always met.
    pub fn of(network: &Network<f32>, crystals: &[Crystal]) -> Result<Surprise, ConditionError> {
        let grammar = Grammar::new(&Condition::default())?;
        let examples: Vec<Example> = crystals.iter().filter_map(|crystal| Example::new(&grammar, crystal)).collect();
        Ok(mean_surprise(network, &examples))
    }
}

/// How much a model is surprised by crystals that it has not seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Surprise {
    /// Mean of −ln q, nats a crystal.
    pub per_crystal: f64,
    /// The same divided by the mean number of orbits.
    pub per_orbit: f64,
    /// The part of the orbits and the stop alone, given chemical system and group; nats an orbit.
    pub of_orbits: f64,
}
