//! What is done to the lab, and when: drawn from a seed, so that the same seed draws the same blows.

use std::time::Duration;

use rand::seq::SliceRandom as _;
use rand::{Rng, RngExt as _};

/// The devices of the demo's lab.
pub(super) const DEVICES: [&str; 8] =
    ["pump", "mixer", "balance", "furnace_a", "furnace_b", "arm", "aeris", "spectrometer"];
/// At most so many processes are hit together, short of a power loss.
const MOST_TOGETHER: usize = 4;
/// Within this time the strikes of one blow follow each other, in an order that is drawn: so restarts are shuffled too.
const BLOW: Duration = Duration::from_millis(400);

/// How much is done, and how fast.
#[derive(Debug, Clone, PartialEq)]
pub struct Sizes {
    /// kill -9 of the scheduler.
    pub scheduler: u32,
    /// kill -9 of drivers, each drawn from the eight.
    pub drivers: u32,
    /// kill -9 of the broker.
    pub broker: u32,
    /// SIGSTOP of one of them, SIGCONT after a while.
    pub pauses: u32,
    /// Shortest and longest pause.
    pub pause: (Duration, Duration),
    /// kill -9 of everything but the instruments at one moment.
    pub power_losses: u32,
    /// Mean wait between two blows.
    pub gap: Duration,
    /// Simulated seconds a second.
    pub speed: f64,
}

impl Sizes {
    /// What runs on each change.
    pub fn ci() -> Sizes {
        Sizes {
            scheduler: 50,
            drivers: 50,
            broker: 10,
            pauses: 10,
            // Both sides of the watchdog of 3 s.
            pause: (Duration::from_millis(300), Duration::from_secs(5)),
            power_losses: 3,
            gap: Duration::from_millis(700),
            speed: 1500.0,
        }
    }

    /// What runs before a release.
    pub fn long() -> Sizes {
        Sizes {
            scheduler: 1000,
            drivers: 1000,
            broker: 100,
            pauses: 100,
            pause: (Duration::from_secs(3), Duration::from_secs(60)),
            power_losses: 40,
            gap: Duration::from_millis(1500),
            ..Sizes::ci()
        }
    }

    /// The same in proportion to another number of scheduler kills.
    pub fn scaled_to(self, count: u32) -> Sizes {
        let share = |part: u32| (u64::from(part) * u64::from(count)).div_ceil(u64::from(self.scheduler.max(1))) as u32;
        Sizes {
            drivers: share(self.drivers),
            broker: share(self.broker),
            pauses: share(self.pauses),
            power_losses: share(self.power_losses),
            scheduler: count,
            ..self
        }
    }
}

/// What is done to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// kill -9.
    Kill,
    /// SIGSTOP, and SIGCONT after this time.
    Pause(Duration),
}

/// One process hit once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Strike {
    /// Name of the process, as the supervisor lists it.
    pub(super) victim: String,
    pub(super) act: Act,
    /// Time since the blow began.
    pub(super) at: Duration,
}

/// What is done at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Blow {
    /// One process or several.
    Strikes(Vec<Strike>),
    /// Everything but the instruments.
    PowerLoss,
}

/// All blows in order, each with the wait before it.
pub(super) fn schedule(sizes: &Sizes, random: &mut impl Rng) -> Vec<(Duration, Blow)> {
    let driver = |random: &mut dyn Rng| format!("driver-{}", DEVICES[random.random_range(0..DEVICES.len())]);
    let mut deck: Vec<(String, Act)> = Vec::new();
    deck.extend((0..sizes.scheduler).map(|_| ("scheduler".to_owned(), Act::Kill)));
    deck.extend((0..sizes.drivers).map(|_| (driver(random), Act::Kill)));
    deck.extend((0..sizes.broker).map(|_| ("broker".to_owned(), Act::Kill)));
    for _ in 0..sizes.pauses {
        let victim = match random.random_range(0..4) {
            0 => "scheduler".to_owned(),
            1 => "broker".to_owned(),
            _ => driver(random),
        };
        deck.push((victim, Act::Pause(random.random_range(sizes.pause.0..=sizes.pause.1))));
    }
    deck.shuffle(random);
    let mut blows = Vec::new();
    while let Some(first) = deck.pop() {
        let mut together = vec![first];
        // Half of all blows hit one process, the others two to four.
        while together.len() < MOST_TOGETHER && random.random_bool(0.5) {
            let other = deck.iter().rposition(|(victim, _)| together.iter().all(|(hit, _)| hit != victim));
            match other {
                Some(at) => together.push(deck.remove(at)),
                None => break,
            }
        }
        let mut strikes: Vec<Strike> = together
            .into_iter()
            .map(|(victim, act)| Strike { victim, act, at: random.random_range(Duration::ZERO..BLOW) })
            .collect();
        strikes.sort_by_key(|strike| strike.at);
        blows.push(Blow::Strikes(strikes));
    }
    for _ in 0..sizes.power_losses {
        blows.insert(random.random_range(0..=blows.len()), Blow::PowerLoss);
    }
    blows.into_iter().map(|blow| (wait(sizes.gap, random), blow)).collect()
}

/// A wait without memory, so that no phase of a step is met more often than its length deserves; cut at four times the
/// mean, so that the whole has a bound.
fn wait(mean: Duration, random: &mut impl Rng) -> Duration {
    let uniform: f64 = random.random_range(f64::EPSILON..1.0);
    mean.mul_f64((-uniform.ln()).min(4.0))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn every_strike_is_dealt_and_the_seed_decides() {
        let deal = |seed| schedule(&Sizes::ci(), &mut ChaCha8Rng::seed_from_u64(seed));
        let blows = deal(1);
        assert_eq!(blows, deal(1));
        assert_ne!(blows, deal(2));
        let strikes: Vec<&Strike> = blows
            .iter()
            .filter_map(|(_, blow)| match blow {
                Blow::Strikes(strikes) => Some(strikes),
                Blow::PowerLoss => None,
            })
            .flatten()
            .collect();
        let kills = |name: &str| strikes.iter().filter(|s| s.act == Act::Kill && s.victim.starts_with(name)).count();
        assert_eq!((kills("scheduler"), kills("driver-"), kills("broker")), (50, 50, 10));
        assert_eq!(strikes.len(), 120);
        assert_eq!(blows.iter().filter(|(_, blow)| *blow == Blow::PowerLoss).count(), 3);
        for (_, blow) in &blows {
            let Blow::Strikes(strikes) = blow else { continue };
            let victims: BTreeSet<&String> = strikes.iter().map(|strike| &strike.victim).collect();
            assert_eq!(victims.len(), strikes.len(), "one process is hit once in a blow: {strikes:?}");
        }
        assert!(blows.iter().any(|(_, blow)| matches!(blow, Blow::Strikes(strikes) if strikes.len() > 2)));
    }

    #[test]
    fn a_smaller_torture_keeps_its_proportions() {
        let small = Sizes::ci().scaled_to(5);
        assert_eq!((small.scheduler, small.drivers, small.broker, small.pauses, small.power_losses), (5, 5, 1, 1, 1));
    }
}
