//! Random stories, and that a seed tells the same story twice.

use std::time::Duration;

use ppu_simulation::story::{Script, tell};

const SIX_HOURS: Duration = Duration::from_secs(6 * 3600);
/// Stories of one change; the long run is `cargo xtask torture simulation --long`.
const STORIES: u64 = 300;
/// Parts, so that a test runner can tell them side by side.
const PARTS: u64 = 4;

fn tell_part(part: u64) {
    let mut bad = Vec::new();
    for seed in (1..=STORIES).filter(|seed| seed % PARTS == part) {
        let ending = tell(&Script::random(seed, SIX_HOURS)).expect("the simulation itself works");
        if !ending.violations.is_empty() {
            bad.push(format!("seed {seed}: {}", ending.violations.join("; ")));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn nothing_is_lost_or_repeated_first_part() {
    tell_part(0);
}

#[test]
fn nothing_is_lost_or_repeated_second_part() {
    tell_part(1);
}

#[test]
fn nothing_is_lost_or_repeated_third_part() {
    tell_part(2);
}

#[test]
fn nothing_is_lost_or_repeated_fourth_part() {
    tell_part(3);
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    for seed in 1..=10 {
        let script = Script::random(seed, SIX_HOURS);
        let first = tell(&script).expect("the simulation itself works");
        let second = tell(&script).expect("the simulation itself works");
        assert_eq!(first, second, "seed {seed}");
    }
}
