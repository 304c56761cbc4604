//! Counter-based noise (W-2): each source has its own stream keyed by seed, source and action number, so that an extra
//! reading of one instrument changes nothing that another source draws later.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The seed of a world, from which streams are opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streams {
    seed: u64,
}

impl Streams {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Opens the stream of one action of one source.
    pub(crate) fn open(&self, source: &str, action: u64) -> Stream {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&action.to_le_bytes());
        hasher.update(source.as_bytes());
        Stream { random: ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()), spare: None }
    }
}

/// One stream of random numbers.
#[derive(Debug)]
pub(crate) struct Stream {
    random: ChaCha8Rng,
    spare: Option<f64>,
}

impl Stream {
    /// Uniform in the open interval (0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.random.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal by Box and Muller, both values used.
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(value) = self.spare.take() {
            return value;
        }
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let angle = std::f64::consts::TAU * self.uniform();
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }

    /// Normal with mean and standard deviation.
    pub(crate) fn gauss(&mut self, mean: f64, sigma: f64) -> f64 {
        mean + sigma * self.normal()
    }

    /// True with probability `p`. Always draws, so that probabilities do not shift the stream.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Poisson count: inversion below 10, Hörmann's transformed rejection (PTRS, 1993) above.
    pub(crate) fn poisson(&mut self, mean: f64) -> u64 {
        if mean.is_nan() || mean <= 0.0 {
            return 0;
        }
        if mean < 10.0 { self.poisson_inversion(mean) } else { self.poisson_rejection(mean) }
    }

    fn poisson_inversion(&mut self, mean: f64) -> u64 {
        let limit = (-mean).exp();
        let mut product = self.uniform();
        let mut count = 0;
        while product > limit {
            product *= self.uniform();
            count += 1;
        }
        count
    }

    fn poisson_rejection(&mut self, mean: f64) -> u64 {
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.02483 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        let v_r = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let u = self.uniform() - 0.5;
            let v = self.uniform();
            let us = 0.5 - u.abs();
            let k = ((2.0 * a / us + b) * u + mean + 0.43).floor();
            if us >= 0.07 && v <= v_r {
                return k as u64;
            }
            if k < 0.0 || (us < 0.013 && v > us) {
                continue;
            }
            let left = (v * inverse_alpha / (a / (us * us) + b)).ln();
            if left <= k * mean.ln() - mean - ln_factorial(k) {
                return k as u64;
            }
        }
    }
}

/// ln k! by Stirling's series, exact to 1e-10 for k ≥ 10 and by product below.
fn ln_factorial(k: f64) -> f64 {
    if k < 10.0 {
        return (2..=k as u32).map(|i| f64::from(i).ln()).sum();
    }
    (k + 0.5) * k.ln() - k + 0.918_938_533_204_672_7 + 1.0 / (12.0 * k) - 1.0 / (360.0 * k * k * k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_reproducible_and_independent() {
        let streams = Streams::new(7);
        let first: Vec<f64> = (0..4)
            .map({
                let mut s = streams.open("a", 1);
                move |_| s.uniform()
            })
            .collect();
        let again: Vec<f64> = (0..4)
            .map({
                let mut s = streams.open("a", 1);
                move |_| s.uniform()
            })
            .collect();
        let other: Vec<f64> = (0..4)
            .map({
                let mut s = streams.open("a", 2);
                move |_| s.uniform()
            })
            .collect();
        assert_eq!(first, again);
        assert_ne!(first, other);
    }

    #[test]
    fn moments_of_normal_and_poisson() {
        let mut stream = Streams::new(3).open("moments", 0);
        let n = 20_000;
        let normals: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(n);
        let variance = normals.iter().map(|v| v * v).sum::<f64>() / f64::from(n) - mean * mean;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "mean {mean}, variance {variance}");
        for expected in [0.3, 4.0, 12.0, 300.0, 2.0e5] {
            let counts: Vec<f64> = (0..n).map(|_| stream.poisson(expected) as f64).collect();
            let mean = counts.iter().sum::<f64>() / f64::from(n);
            let variance = counts.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(n);
            assert!(
                (mean / expected - 1.0).abs() < 5.0 / (expected * f64::from(n)).sqrt(),
                "mean {mean} of {expected}"
            );
            assert!((variance / expected - 1.0).abs() < 0.06, "variance {variance} of {expected}");
        }
    }
}
