//! Growing waits between attempts.

use std::time::Duration;

/// Waits that double from a first to a longest one, with jitter, so that drivers that lost the same power do not come
/// back in step.
#[derive(Debug, Clone)]
pub struct BackOff {
    first: Duration,
    longest: Duration,
    current: Duration,
    /// State of the generator of the jitter.
    jitter: u64,
}

impl BackOff {
    /// Waits from `first` to `longest`, before jitter.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, current: first, jitter: rand::random() }
    }

    /// The same with this randomness for the jitter.
    pub fn seeded(mut self, random: [u8; 16]) -> Self {
        self.jitter = u128::from_le_bytes(random) as u64;
        self
    }

    /// The next wait: between half of and the whole of the current span, which then doubles.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.current.mul_f64(0.5 + 0.5 * self.draw());
        self.current = (self.current * 2).min(self.longest);
        wait
    }

    /// A number from 0 to 1 (SplitMix64: Steele, Lea and Flood, OOPSLA 2014).
    fn draw(&mut self) -> f64 {
        self.jitter = self.jitter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.jitter;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Begins again with the first wait, after a success.
    pub fn reset(&mut self) {
        self.current = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_begin_again_after_a_success() {
        let mut back_off = BackOff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<Duration> = (0..8).map(|_| back_off.next_wait()).collect();
        assert!(waits[0] >= Duration::from_millis(50) && waits[0] <= Duration::from_millis(100));
        assert!(waits[7] >= Duration::from_millis(500) && waits[7] <= Duration::from_secs(1));
        back_off.reset();
        assert!(back_off.next_wait() <= Duration::from_millis(100));
    }
}
