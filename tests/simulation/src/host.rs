//! The simulated computer under one process: clocks, randomness, and the points at which it dies.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use ppu_host::{CrashPoint, Host};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// 2026-01-01 in nanoseconds since 1970: a wall clock has to show something.
const WALL_AT_START_NS: i64 = 1_767_225_600_000_000_000;

/// What a host does at crash points.
#[derive(Debug)]
pub struct Habits {
    random: StdRng,
    /// Probability of a wait at a point, as when the computer is busy.
    pub dawdling: f64,
    /// The process is held where it passes this point for the nth time.
    pub held_at: Option<(CrashPoint, u32)>,
    /// It is held, and waits for what is to happen there.
    pub is_held: bool,
    /// The process ended by itself and is to be started again.
    pub has_exited: bool,
    /// Points passed.
    pub passed: u64,
}

/// A simulated computer; clones share it.
#[derive(Clone)]
pub struct SimHost {
    name: Arc<str>,
    boot: Arc<AtomicU64>,
    booted_at_ns: Arc<AtomicU64>,
    wall_jump_ns: Arc<AtomicI64>,
    habits: Arc<Mutex<Habits>>,
}

impl fmt::Debug for SimHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimHost").field(&self.name).finish()
    }
}

/// Simulated time since the beginning, in nanoseconds.
pub fn now_ns() -> u64 {
    turmoil::sim_elapsed().map_or(0, |elapsed| elapsed.as_nanos() as u64)
}

impl SimHost {
    /// A computer of that name; all that it draws comes from the seed.
    pub fn new(name: &str, seed: u64) -> Self {
        let digest = blake3::hash(format!("{name} {seed}").as_bytes());
        let random = StdRng::from_seed(*digest.as_bytes());
        let habits = Habits { random, dawdling: 0.0, held_at: None, is_held: false, has_exited: false, passed: 0 };
        Self {
            name: name.into(),
            boot: Arc::default(),
            booted_at_ns: Arc::default(),
            wall_jump_ns: Arc::default(),
            habits: Arc::new(Mutex::new(habits)),
        }
    }

    /// Its habits.
    pub fn habits(&self) -> MutexGuard<'_, Habits> {
        self.habits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The computer, not only the process, starts anew: CLOCK_BOOTTIME begins again.
    pub fn reboot(&self, now_ns: u64) {
        self.boot.fetch_add(1, Ordering::Relaxed);
        self.booted_at_ns.store(now_ns, Ordering::Relaxed);
    }

    async fn wait_until_released(self) {
        while self.habits().is_held {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Somebody sets the wall clock.
    pub fn jump(&self, by: i64) {
        self.wall_jump_ns.fetch_add(by, Ordering::Relaxed);
    }
}

impl Host for SimHost {
    fn boot_ns(&self) -> u64 {
        // One second in: a clock that shows zero looks like a deadline that was never set.
        now_ns().saturating_sub(self.booted_at_ns.load(Ordering::Relaxed)) + 1_000_000_000
    }

    fn wall_ns(&self) -> i64 {
        WALL_AT_START_NS + now_ns() as i64 + self.wall_jump_ns.load(Ordering::Relaxed)
    }

    fn machine_boot(&self) -> String {
        let digest = blake3::hash(format!("{} {}", self.name, self.boot.load(Ordering::Relaxed)).as_bytes());
        digest.to_hex()[..32].to_owned()
    }

    fn random(&self) -> [u8; 16] {
        self.habits().random.random()
    }

    fn has_threads(&self) -> bool {
        false
    }

    fn pass(&self, point: CrashPoint) -> Option<BoxFuture<'static, ()>> {
        let mut habits = self.habits();
        habits.passed += 1;
        if let Some((at, times)) = &mut habits.held_at
            && *at == point
        {
            *times -= 1;
            if *times == 0 {
                habits.held_at = None;
                habits.is_held = true;
                drop(habits);
                return Some(Box::pin(self.clone().wait_until_released()));
            }
        }
        let dawdling = habits.dawdling;
        if dawdling > 0.0 && habits.random.random_bool(dawdling) {
            let wait = Duration::from_millis(habits.random.random_range(1..400));
            return Some(Box::pin(tokio::time::sleep(wait)));
        }
        None
    }
}
