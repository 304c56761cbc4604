//! Where annealing takes place: draws from the prior, an energy, and moves that leave the prior invariant.

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};

use crate::smc::Energy;

/// Attempts at one particle that the twin accepts.
const ATTEMPTS: usize = 200;

/// A prior q(x) with an energy U(x), over any kind of state.
pub trait Annealable {
    /// A point of the space.
    type State: Clone;
    /// What local moves learn from the population, such as their widths. Moves of one level share it.
    type Kernel;

    /// A draw from q, or `None` where q has no support.
    fn draw(&self, rng: &mut ChaCha12Rng) -> Option<Self::State>;

    /// U at a state. A value that is not finite counts as a refusal.
    fn energy(&self, state: &Self::State) -> Energy;

    /// The kernel for a population.
    fn kernel(&self, population: &[Self::State]) -> Self::Kernel;

    /// A step from `state`; `None` where there is none to go to.
    fn propose(
        &self,
        kernel: &Self::Kernel,
        state: &Self::State,
        rng: &mut ChaCha12Rng,
    ) -> Option<Proposed<Self::State>>;
}

/// A proposed step from x to y by a kernel r.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposed<S> {
    /// y.
    pub state: S,
    /// ln [q(y) r(x|y)] − ln [q(x) r(y|x)]; 0 for draws from q and for symmetric steps under a uniform q.
    pub log_ratio: f64,
}

/// What moves and draws have cost and brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Moves proposed.
    pub tried: u64,
    /// Moves accepted.
    pub accepted: u64,
    /// Evaluations of U.
    pub calls: u64,
    /// Draws from q.
    pub drawn: u64,
    /// Draws from q that the twin refused.
    pub refused: u64,
}

impl Tally {
    /// Share of moves accepted; 0 without moves.
    pub fn acceptance(&self) -> f64 {
        self.accepted as f64 / self.tried.max(1) as f64
    }

    /// Adds another count.
    pub fn add(&mut self, other: &Tally) {
        self.tried += other.tried;
        self.accepted += other.accepted;
        self.calls += other.calls;
        self.drawn += other.drawn;
        self.refused += other.refused;
    }
}

/// Particles drawn from q that the twin accepts.
#[derive(Debug, Clone, PartialEq)]
pub struct Draws<S> {
    /// States.
    pub states: Vec<S>,
    /// U of every state.
    pub energies: Vec<f64>,
    /// Draws and refusals.
    pub tally: Tally,
    /// Reason of the last refusal.
    pub refusal: Option<String>,
}

/// Draws `count` particles from q; `None` where the twin refuses nearly everything or q has no support. Z is then relative to
/// the part of q that the twin accepts.
pub fn draws<L: Annealable>(space: &L, count: usize, rng: &mut ChaCha12Rng) -> Option<Draws<L::State>> {
    let mut found = Draws { states: Vec::new(), energies: Vec::new(), tally: Tally::default(), refusal: None };
    while found.states.len() < count {
        if found.tally.drawn as usize > ATTEMPTS * count {
            return None;
        }
        let state = space.draw(rng)?;
        found.tally.drawn += 1;
        found.tally.calls += 1;
        match space.energy(&state) {
            Energy::Value(energy) if energy.is_finite() => {
                found.states.push(state);
                found.energies.push(energy);
            }
            Energy::Value(_) => {
                found.tally.refused += 1;
                found.refusal = Some("not finite".into());
            }
            Energy::Refused(reason) => {
                found.tally.refused += 1;
                found.refusal = Some(reason);
            }
            Energy::Outside => {}
        }
    }
    Some(found)
}

/// `moves` Metropolis moves of every particle, which leave q(x) exp(−β U(x)) invariant. A refused state has probability 0.
pub fn relax<L: Annealable>(
    space: &L,
    kernel: &L::Kernel,
    particles: (&mut [L::State], &mut [f64]),
    beta: f64,
    moves: usize,
    rng: &mut ChaCha12Rng,
) -> Tally {
    let (states, energies) = particles;
    let mut tally = Tally::default();
    for _ in 0..moves {
        for (state, energy) in states.iter_mut().zip(energies.iter_mut()) {
            let Some(next) = space.propose(kernel, state, rng) else { continue };
            tally.tried += 1;
            let threshold = rng.random::<f64>();
            let found = space.energy(&next.state);
            tally.calls += u64::from(found != Energy::Outside);
            if let Energy::Value(value) = found
                && value.is_finite()
                && threshold < (next.log_ratio - beta * (value - *energy)).exp()
            {
                *state = next.state;
                *energy = value;
                tally.accepted += 1;
            }
        }
    }
    tally
}
