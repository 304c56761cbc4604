//! Low-discrepancy points: an additive recurrence on the generalised golden ratio (M. Roberts, 2018) with a random shift.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::normal::quantile;

/// What random numbers are for. Every purpose has its own stream, so that one use never shifts another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Start = 1,
    Space = 2,
    Normals = 3,
    Local = 4,
    Forest = 5,
    Weights = 6,
    Paths = 7,
}

/// The generator of one purpose at one step.
pub(crate) fn stream(seed: u64, step: u64, purpose: Purpose) -> ChaCha12Rng {
    let mut key = [0_u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&step.to_le_bytes());
    key[16] = purpose as u8;
    ChaCha12Rng::from_seed(key)
}

/// Points that fill the unit cube evenly however many are taken.
#[derive(Debug, Clone)]
pub struct Recurrence {
    step: Vec<f64>,
    shift: Vec<f64>,
}

impl Recurrence {
    /// A sequence in `dimensions` dimensions, shifted at random.
    pub fn new(dimensions: usize, rng: &mut ChaCha12Rng) -> Recurrence {
        // The root of g^(d+1) = g + 1; the iteration contracts quickly.
        let power = 1.0 / (dimensions as f64 + 1.0);
        let ratio = (0..64).fold(1.5_f64, |g, _| (1.0 + g).powf(power));
        let step = (1..=dimensions).map(|at| ratio.powi(-(at as i32))).collect();
        let shift = (0..dimensions).map(|_| rng.random::<f64>()).collect();
        Recurrence { step, shift }
    }

    /// Point number `index`, each coordinate in [0, 1).
    pub fn point(&self, index: usize) -> Vec<f64> {
        let at = index as f64 + 1.0;
        self.step.iter().zip(&self.shift).map(|(step, shift)| (shift + at * step).fract()).collect()
    }
}

/// `count` quasi-random standard normal vectors in mirrored pairs, so that their mean is 0 (an odd one is left unpaired).
pub(crate) fn normals(dimensions: usize, count: usize, rng: &mut ChaCha12Rng) -> Vec<Vec<f64>> {
    let sequence = Recurrence::new(dimensions, rng);
    let draw = |at: usize| -> Vec<f64> {
        let sign = if at.is_multiple_of(2) { 1.0 } else { -1.0 };
        sequence.point(at / 2).into_iter().map(|u| sign * quantile(u.clamp(1e-9, 1.0 - 1e-9))).collect()
    };
    (0..count).map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_points_fill_the_square_more_evenly_than_chance() {
        let sequence = Recurrence::new(2, &mut stream(3, 0, Purpose::Start));
        let mut cells = [0; 16];
        for at in 0..160 {
            let point = sequence.point(at);
            cells[(point[0] * 4.0) as usize * 4 + (point[1] * 4.0) as usize] += 1;
        }
        assert!(cells.iter().all(|count| (7..=13).contains(count)), "{cells:?}");
    }

    #[test]
    fn quasi_random_normals_have_unit_moments() {
        let draws = normals(3, 256, &mut stream(3, 0, Purpose::Normals));
        for at in 0..3 {
            let mean = draws.iter().map(|draw| draw[at]).sum::<f64>() / 256.0;
            let square = draws.iter().map(|draw| draw[at] * draw[at]).sum::<f64>() / 256.0;
            assert!(mean.abs() < 1e-12 && (square - 1.0).abs() < 0.05, "{mean} {square}");
        }
    }
}
