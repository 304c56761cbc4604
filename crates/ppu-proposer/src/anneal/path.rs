//! Annealed importance sampling in both directions along a fixed path: Neal, Stat. Comput. 11, 125 (2001); Grosse et al.,
//! arXiv:1511.02543 (2015).

use rand_chacha::ChaCha12Rng;

use super::landscape::{Annealable, Draws, Tally, relax};

/// Trajectories that have reached the end of their path.
#[derive(Debug, Clone, PartialEq)]
pub struct Trajectories<S> {
    /// States at the end.
    pub states: Vec<S>,
    /// U at the end.
    pub energies: Vec<f64>,
    /// Work of every trajectory; its log weight is −W.
    pub works: Vec<f64>,
    /// Moves and calls.
    pub tally: Tally,
    /// Share of moves accepted at the last level.
    pub acceptance: f64,
}

/// Forward: from draws of q at β = 0 up the path, which ascends from 0. W_F = Σ (β_{k+1} − β_k) U(x_k), then moves at β_{k+1}.
pub fn forward<L: Annealable>(
    space: &L,
    draws: Draws<L::State>,
    path: &[f64],
    moves: usize,
    rng: &mut ChaCha12Rng,
) -> Trajectories<L::State> {
    let works = vec![0.0; draws.states.len()];
    let mut all =
        Trajectories { states: draws.states, energies: draws.energies, works, tally: draws.tally, acceptance: 1.0 };
    for pair in path.windows(2) {
        add_work(&mut all, pair[1] - pair[0]);
        step(space, &mut all, pair[1], moves, rng);
    }
    all
}

/// Reverse: from particles at the end of the path, which ascends all the same, down to 0. Moves at β_k, then
/// W_R += (β_{k−1} − β_k) U(x). The mean of exp(−W_R) is 1/Z for particles that start in equilibrium.
pub fn reverse<L: Annealable>(
    space: &L,
    particles: (Vec<L::State>, Vec<f64>),
    path: &[f64],
    moves: usize,
    rng: &mut ChaCha12Rng,
) -> Trajectories<L::State> {
    let (states, energies) = particles;
    let works = vec![0.0; states.len()];
    let mut all = Trajectories { states, energies, works, tally: Tally::default(), acceptance: 1.0 };
    for pair in path.windows(2).rev() {
        step(space, &mut all, pair[1], moves, rng);
        add_work(&mut all, pair[0] - pair[1]);
    }
    all
}

fn add_work<S>(all: &mut Trajectories<S>, step: f64) {
    for (work, energy) in all.works.iter_mut().zip(&all.energies) {
        *work += step * energy;
    }
}

fn step<L: Annealable>(space: &L, all: &mut Trajectories<L::State>, beta: f64, moves: usize, rng: &mut ChaCha12Rng) {
    let kernel = space.kernel(&all.states);
    let tally = relax(space, &kernel, (&mut all.states, &mut all.energies), beta, moves, rng);
    all.tally.add(&tally);
    all.acceptance = tally.acceptance();
}

/// `steps` equal steps from 0 to β.
pub fn linear_path(beta: f64, steps: usize) -> Vec<f64> {
    (0..=steps).map(|k| beta * k as f64 / steps.max(1) as f64).collect()
}
