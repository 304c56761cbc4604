//! Growing waits between attempts.

use std::time::Duration;

/// Waits that double from a first to a longest one, with jitter, so that drivers that lost the same power do not come
/// back in step.
#[derive(Debug, Clone)]
pub struct BackOff {
    first: Duration,
    longest: Duration,
    current: Duration,
}

impl BackOff {
    /// Waits from `first` to `longest`, before jitter.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, current: first }
    }

    /// The next wait: between half of and the whole of the current span, which then doubles.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.current.mul_f64(rand::random_range(0.5..=1.0));
        self.current = (self.current * 2).min(self.longest);
        wait
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
