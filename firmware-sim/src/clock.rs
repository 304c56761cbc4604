//! Simulated time.
//!
//! Physics runs on simulated seconds since start. A running clock multiplies wall time by a speed; a manual clock moves
//! only when a test says so. Deadlines that belong to the *line* (communication watchdogs, streaming intervals) are kept
//! in wall seconds by multiplying them with the speed: a controller's heartbeat does not get faster because the
//! simulation does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where the simulation takes its time from. Cloning gives another handle on the same clock.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    Running(Arc<Mutex<Running>>),
    Manual(Arc<AtomicU64>),
}

#[derive(Debug)]
struct Running {
    speed: f64,
    anchor_wall: Instant,
    anchor_s: f64,
    paused: bool,
}

impl Running {
    fn now_s(&self) -> f64 {
        if self.paused { self.anchor_s } else { self.anchor_s + self.anchor_wall.elapsed().as_secs_f64() * self.speed }
    }
}

/// A speed that is not a positive finite number.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("a simulation speed must be a positive number, and {0} is not")]
pub struct BadSpeed(pub f64);

impl Clock {
    /// A clock that starts at 0 s now and runs `speed` simulated seconds a wall second.
    ///
    /// # Errors
    /// [`BadSpeed`] when `speed` is not finite and positive.
    pub fn running(speed: f64) -> Result<Self, BadSpeed> {
        if !(speed.is_finite() && speed > 0.0) {
            return Err(BadSpeed(speed));
        }
        let running = Running { speed, anchor_wall: Instant::now(), anchor_s: 0.0, paused: false };
        Ok(Self(Source::Running(Arc::new(Mutex::new(running)))))
    }

    /// A clock at 0 s that moves only by [`Clock::step`]; its speed counts as 1.
    pub fn manual() -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(0.0_f64.to_bits()))))
    }

    /// Simulated seconds since start.
    pub fn now_s(&self) -> f64 {
        match &self.0 {
            Source::Running(running) => running.lock().unwrap_or_else(PoisonError::into_inner).now_s(),
            Source::Manual(bits) => f64::from_bits(bits.load(Ordering::SeqCst)),
        }
    }

    /// Simulated seconds a wall second.
    pub fn speed(&self) -> f64 {
        match &self.0 {
            Source::Running(running) => running.lock().unwrap_or_else(PoisonError::into_inner).speed,
            Source::Manual(_) => 1.0,
        }
    }

    /// Moves a manual clock on by `seconds`, or a paused one; a clock that runs by itself is left alone.
    pub fn step(&self, seconds: f64) {
        let seconds = seconds.max(0.0);
        match &self.0 {
            Source::Running(running) => {
                let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
                if running.paused {
                    running.anchor_s += seconds;
                }
            }
            Source::Manual(bits) => {
                let now_s = f64::from_bits(bits.load(Ordering::SeqCst));
                bits.store((now_s + seconds).to_bits(), Ordering::SeqCst);
            }
        }
    }

    /// Stops or restarts a running clock without a jump; a manual clock is always stopped.
    pub fn pause(&self, paused: bool) {
        if let Source::Running(running) = &self.0 {
            let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
            running.anchor_s = running.now_s();
            running.anchor_wall = Instant::now();
            running.paused = paused;
        }
    }

    /// True while the clock does not move by itself.
    pub fn is_stopped(&self) -> bool {
        match &self.0 {
            Source::Running(running) => running.lock().unwrap_or_else(PoisonError::into_inner).paused,
            Source::Manual(_) => true,
        }
    }

    /// Wall time until the simulated instant `due_s`: zero when it has passed, `None` when the clock stands still.
    pub fn wall_until(&self, due_s: f64) -> Option<Duration> {
        if self.is_stopped() {
            return None;
        }
        let wait_s = ((due_s - self.now_s()) / self.speed()).max(0.0);
        // A year is "never" for a process and stays far from the limits of Duration.
        Some(Duration::from_secs_f64(wait_s.min(3.2e7)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_time_moves_only_when_stepped() {
        let clock = Clock::manual();
        assert_eq!(clock.now_s(), 0.0);
        clock.step(12.5);
        assert_eq!(clock.now_s(), 12.5);
        assert_eq!(clock.wall_until(20.0), None);
    }

    #[test]
    fn running_time_is_speed_times_wall_time_and_can_be_paused() {
        let clock = Clock::running(1000.0).unwrap();
        let wait = clock.wall_until(1.0e6).unwrap();
        assert!(wait <= Duration::from_secs(1000) && wait > Duration::from_secs(900), "{wait:?}");
        clock.pause(true);
        let stopped_s = clock.now_s();
        clock.step(5.0);
        assert!((clock.now_s() - stopped_s - 5.0).abs() < 1e-9);
        clock.pause(false);
        assert!(clock.now_s() >= stopped_s + 5.0);
    }

    #[test]
    fn a_speed_must_be_positive() {
        assert_eq!(Clock::running(0.0).unwrap_err(), BadSpeed(0.0));
        assert!(Clock::running(f64::NAN).is_err());
    }
}
