//! Stories through the seam of the world: one sample from ink to spectrum, reproducibility, mishaps and conservation.

use firmware_sim::world::{Cause, LedgerReader, LedgerWriter, Outcome, ScanRequest, World, WorldConfig};
use serde_json::Value;

const WORLD_FILE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/worlds/perovskite.toml"));
const CS_I: u8 = 1;
const FA_I: u8 = 2;
const FA_BR: u8 = 5;
const VIAL: u8 = 7;
const NOZZLE: u8 = 8;
const SOLVENT: u8 = 9;
const WASTE: u8 = 10;

fn config() -> WorldConfig {
    let file: toml::Table = WORLD_FILE.parse().expect("the world file is TOML");
    file["world"].clone().try_into().expect("the world table is a world")
}

fn world_of(config: &WorldConfig, seed: u64) -> (World, LedgerReader) {
    let (ledger, reader) = LedgerWriter::to_memory();
    (World::new(config, seed, ledger).expect("the world can be built"), reader)
}

fn by(device: &str) -> Cause {
    Cause { device: device.to_owned(), frame: "0123456789abcdef".to_owned(), command_id: Some("7".to_owned()) }
}

fn wait(world: &mut World, seconds: f64) {
    world.advance_to(world.now_s() + seconds);
    world.check_invariants().expect("no law is broken");
}

fn carry(world: &mut World, from: &str, to: &str) {
    assert_eq!(world.pick(&by("arm"), from).outcome, Outcome::Done, "pick from {from}");
    world.check_invariants().expect("no law is broken");
    wait(world, 6.0);
    assert_eq!(world.place(&by("arm"), to).outcome, Outcome::Done, "place at {to}");
    wait(world, 6.0);
}

fn draw(world: &mut World, port: u8, volume_ul: f64) {
    wait(world, 3.0);
    assert_eq!(world.aspirate(&by("pump"), port, volume_ul).outcome, Outcome::Done, "aspirate from {port}");
    world.check_invariants().expect("no law is broken");
}

fn push(world: &mut World, port: u8, volume_ul: f64) {
    wait(world, 3.0);
    assert_eq!(world.dispense(&by("pump"), port, volume_ul).outcome, Outcome::Done, "dispense to {port}");
    world.check_invariants().expect("no law is broken");
}

/// Mixes Cs0.2 FA0.8 Pb(I0.75 Br0.25)3 and casts it on the sample of a rack slot; the film dries for an hour and a half.
fn mix_and_cast(world: &mut World, slot: &str) {
    carry(world, slot, "coat.stage");
    for (port, volume_ul) in [(CS_I, 40.0), (FA_I, 110.0), (FA_BR, 50.0)] {
        draw(world, port, volume_ul);
    }
    push(world, VIAL, 200.0);
    world.set_stirrer(&by("mixer"), Some(500.0));
    wait(world, 60.0);
    world.set_stirrer(&by("mixer"), None);
    draw(world, VIAL, 16.0);
    push(world, NOZZLE, 16.0);
    wait(world, 5400.0);
}

/// Heats furnace A in ramps of 10 K/min as a programmer would, and cools.
fn anneal(world: &mut World, celsius: f64, minutes: f64) {
    world.furnace_event(&by("furnace_a"), "heat_start", serde_json::json!({"target_c": celsius}));
    let mut setpoint = 25.0;
    while setpoint < celsius {
        setpoint = (setpoint + 10.0 / 60.0).min(celsius);
        world.set_furnace("furnace_a", Some(setpoint));
        world.advance_to(world.now_s() + 1.0);
    }
    wait(world, 60.0 * minutes);
    world.set_furnace("furnace_a", None);
    world.furnace_event(&by("furnace_a"), "heat_end", Value::Null);
    wait(world, 7200.0);
}

fn scan(world: &World) -> ScanRequest {
    ScanRequest { start_deg: 8.0, step_deg: 0.02, points: 1600, dwell_s: 1.0, start_s: world.now_s() - 120.0 }
}

fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} in {value}"))
}

#[test]
fn a_sample_from_ink_to_spectrum() {
    let (mut world, ledger) = world_of(&config(), 3);
    carry(&mut world, "rack.1", "balance.pan");
    let bare = world.weigh_g(&by("balance"));
    carry(&mut world, "balance.pan", "rack.1");
    carry(&mut world, "rack.1", "coat.stage");
    carry(&mut world, "coat.stage", "rack.1");
    mix_and_cast(&mut world, "rack.1");
    carry(&mut world, "coat.stage", "balance.pan");
    let coated = world.weigh_g(&by("balance"));
    let film_mg = 1e3 * (coated - bare);
    assert!((0.3..0.8).contains(&film_mg), "film of {film_mg} mg");
    carry(&mut world, "balance.pan", "furnace_a.boat");
    anneal(&mut world, 130.0, 15.0);
    let truth = world.truth("S01");
    assert!(number(&truth, "/lead_fractions/alpha") > 0.9, "{truth}");
    assert!((1.6..1.75).contains(&number(&truth, "/gap_ev")), "{truth}");
    assert!((300.0..800.0).contains(&number(&truth, "/thickness_nm")), "{truth}");
    assert!((0.17..0.23).contains(&number(&truth, "/composition/cs")), "{truth}");

    carry(&mut world, "furnace_a.boat", "aeris.slot1");
    assert!(world.occupied("aeris.slot1") && !world.occupied("furnace_a.boat"));
    let request = scan(&world);
    let counts = world.diffract(&by("aeris"), "aeris.slot1", &request);
    let empty = world.diffract(&by("aeris"), "aeris.slot2", &request);
    let top = |from: f64, to: f64| {
        let range = ((from - 8.0) / 0.02) as usize..((to - 8.0) / 0.02) as usize;
        counts[range].iter().copied().max().unwrap()
    };
    let height = top(13.5, 14.8);
    assert!(height > 1000, "the (100) line has {height} counts");
    assert!(*empty.iter().max().unwrap() < 80, "an empty slot shows air and holder only");

    carry(&mut world, "aeris.slot1", "spectrometer.stage");
    let light = by("spectrometer");
    let dark = world.expose(&light, 10_000);
    world.set_laser(&light, true);
    let glow = world.expose(&light, 300_000);
    world.set_laser(&light, false);
    world.set_lamp(&light, true);
    wait(&mut world, 1800.0);
    let sample = world.expose(&light, 8_000);
    carry(&mut world, "spectrometer.stage", "rack.1");
    let open = world.expose(&light, 8_000);
    let pixel = |nm: f64| ((nm - 350.0) / 700.0 * 2048.0) as usize;
    let mean = |counts: &[u16], nm: f64| {
        let around = pixel(nm) - 10..pixel(nm) + 10;
        counts[around].iter().map(|c| f64::from(*c)).sum::<f64>() / 20.0 - 1500.0
    };
    assert!((mean(&dark, 700.0) - 70.0).abs() < 15.0, "dark of 10 ms: {}", mean(&dark, 700.0));
    let peak = (350..2000).max_by_key(|i| glow[*i - 3..*i + 4].iter().map(|c| u32::from(*c)).sum::<u32>()).unwrap();
    let peak_ev = 1239.84 / (350.0 + 700.0 * peak as f64 / 2048.0);
    assert!((peak_ev - number(&truth, "/gap_ev") + 0.015).abs() < 0.02, "emission at {peak_ev} eV");
    assert!(*open.iter().max().unwrap() > 30_000 && *open.iter().max().unwrap() < 65_535, "open beam fills the range");
    let absorbance = |nm: f64| -(mean(&sample, nm) / mean(&open, nm)).log10();
    assert!(absorbance(550.0) > absorbance(850.0) + 0.3, "{} and {}", absorbance(550.0), absorbance(850.0));

    assert_eq!(world.where_is("S01"), "rack.1");
    assert_eq!(world.executions("pump", "dispense"), 2);
    let entries = ledger.entries();
    assert!(entries[0]["hidden_truth"].is_object() && entries[0]["seed"] == 3);
    assert!(entries[1..].iter().enumerate().all(|(i, line)| line["n"] == i as u64 + 1), "lines are numbered");
    let heat_end = entries.iter().find(|line| line["action"] == "heat_end").unwrap();
    assert!((110.0..140.0).contains(&number(heat_end, "/realised/film_max_c")), "{heat_end}");
    assert!(entries.iter().any(|line| line["realised"]["milestone"] == "half_alpha"));
}

#[test]
fn the_balance_sees_the_film_dry() {
    let (mut world, _) = world_of(&config(), 5);
    carry(&mut world, "rack.2", "coat.stage");
    draw(&mut world, FA_I, 16.0);
    push(&mut world, NOZZLE, 16.0);
    carry(&mut world, "coat.stage", "balance.pan");
    let mut previous = world.weigh_g(&by("balance"));
    for _ in 0..5 {
        wait(&mut world, 300.0);
        let now = world.weigh_g(&by("balance"));
        assert!(previous - now > 2e-4, "lost {} g in 5 min", previous - now);
        previous = now;
    }
}

#[test]
fn the_same_seed_gives_the_same_world_and_another_does_not() {
    let run = |seed: u64| {
        let (mut world, ledger) = world_of(&config(), seed);
        mix_and_cast(&mut world, "rack.1");
        carry(&mut world, "coat.stage", "furnace_a.boat");
        anneal(&mut world, 120.0, 5.0);
        (ledger.lines(), world.state_hash())
    };
    let (first, again, other) = (run(1), run(1), run(2));
    assert_eq!(first.0, again.0, "W-2: bit by bit");
    assert_eq!(first.1, again.1);
    assert_ne!(first.1, other.1);
}

#[test]
fn a_thousand_readings_change_nothing() {
    let run = |reads: bool| {
        let (mut world, _) = world_of(&config(), 9);
        let look = |world: &mut World, position: &str, n: usize| {
            for k in 0..if reads { n } else { 0 } {
                world.advance_to(world.now_s() + 0.37);
                world.weigh_g(&by("balance"));
                world.truth("S01");
                if k % 25 == 0 {
                    let mut request = scan(world);
                    request.points = 200;
                    world.diffract(&by("aeris"), position, &request);
                    world.expose(&by("spectrometer"), 1000);
                }
                world.plate_c("mixer");
                world.furnace_pv_c("furnace_a");
            }
        };
        mix_and_cast(&mut world, "rack.1");
        carry(&mut world, "coat.stage", "balance.pan");
        look(&mut world, "coat.stage", 400);
        world.advance_to(12_000.0);
        carry(&mut world, "balance.pan", "furnace_a.boat");
        anneal(&mut world, 110.0, 10.0);
        look(&mut world, "furnace_a.boat", 300);
        world.advance_to(30_000.0);
        carry(&mut world, "furnace_a.boat", "spectrometer.stage");
        world.set_laser(&by("spectrometer"), true);
        look(&mut world, "spectrometer.stage", 300);
        world.advance_to(33_000.0);
        carry(&mut world, "spectrometer.stage", "rack.1");
        (world.state_hash(), world.truth("S01").to_string())
    };
    assert_eq!(run(false), run(true), "row 26");
}

#[test]
fn films_of_one_recipe_scatter_by_millielectronvolts() {
    let gap_of = |world: &mut World, slot: u32| {
        mix_and_cast(world, &format!("rack.{slot}"));
        carry(world, "coat.stage", &format!("rack.{slot}"));
        world.aspirate(&by("pump"), VIAL, 250.0);
        push(world, WASTE, 250.0);
        for _ in 0..2 {
            draw(world, SOLVENT, 200.0);
            push(world, VIAL, 200.0);
            world.aspirate(&by("pump"), VIAL, 250.0);
            push(world, WASTE, 250.0);
        }
        number(&world.truth(&format!("S{slot:02}")), "/gap_ev")
    };
    let sigma = |gaps: &[f64]| {
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        1e3 * (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / (gaps.len() - 1) as f64).sqrt()
    };
    let (mut world, _) = world_of(&config(), 21);
    let within: Vec<f64> = (1..=10).map(|slot| gap_of(&mut world, slot)).collect();
    assert!((0.2..5.0).contains(&sigma(&within)), "row 29 within a seed: {} meV", sigma(&within));
    let across: Vec<f64> = (0..30).map(|seed| gap_of(&mut world_of(&config(), seed).0, 1)).collect();
    assert!((7.0..15.0).contains(&sigma(&across)), "row 29 across seeds: {} meV", sigma(&across));
}

#[test]
fn nothing_that_contradicts_itself_becomes_a_world() {
    let refused = |change: &dyn Fn(&mut WorldConfig)| {
        let mut config = config();
        change(&mut config);
        World::new(&config, 1, LedgerWriter::discard()).map(|_| ()).unwrap_err().to_string()
    };
    assert!(refused(&|c| c.pump.device = "nobody".into()).contains("nobody"));
    assert!(refused(&|c| c.port[0].stock = None).contains("port 1"));
    assert!(refused(&|c| c.samples.count = 33).contains("rack.33"));
    assert!(refused(&|c| c.ambient.relative_humidity = f64::NAN).contains("relative_humidity"));
    assert!(refused(&|c| c.position[3].device = Some("arm".into())).contains("furnace_a.boat"));
}

#[test]
fn collisions_empty_picks_and_unknown_places() {
    let (mut world, ledger) = world_of(&config(), 4);
    assert_eq!(world.pick(&by("arm"), "nowhere").outcome, Outcome::Refused);
    let nothing = world.pick(&by("arm"), "coat.stage");
    assert_eq!((nothing.object, nothing.outcome), (None, Outcome::Failed));
    assert_eq!(ledger.entries().last().unwrap()["realised"]["note"], "moved nothing");
    assert_eq!(world.pick(&by("arm"), "rack.3").object.as_deref(), Some("S03"));
    let crash = world.place(&by("arm"), "rack.4");
    assert!(crash.protective_stop && crash.outcome == Outcome::Failed);
    assert_eq!(world.where_is("S03"), "gripper");
    assert_eq!(world.truth("S04")["suspect"], true);
    assert_eq!(world.place(&by("arm"), "nowhere").outcome, Outcome::Refused);
    assert_eq!(world.place(&by("arm"), "rack.3").outcome, Outcome::Done);
    assert_eq!(world.where_is("S03"), "rack.3");
    assert_eq!(world.aspirate(&by("pump"), 12, 10.0).outcome, Outcome::Refused);
    assert_eq!(world.aspirate(&by("pump"), NOZZLE, 10.0).outcome, Outcome::Failed);
    world.check_invariants().unwrap();
}

#[test]
fn an_emptied_and_rinsed_vial_carries_little_over() {
    let (mut world, _) = world_of(&config(), 6);
    draw(&mut world, CS_I, 200.0);
    push(&mut world, VIAL, 200.0);
    let lead = |world: &World| world.moles("Pb", "mixer.vial").unwrap();
    let full = lead(&world);
    for round in 0..3 {
        let emptied = world.aspirate(&by("pump"), VIAL, 250.0);
        assert_eq!(emptied.outcome, Outcome::Partial, "the tube meets air");
        push(&mut world, WASTE, 250.0);
        if round < 2 {
            draw(&mut world, SOLVENT, 200.0);
            push(&mut world, VIAL, 200.0);
            wait(&mut world, 300.0);
        }
    }
    assert!(lead(&world) < 1e-4 * full, "{} of {full} mol are left", lead(&world));
}

#[test]
fn dispensed_volumes_scatter_as_specified() {
    let (mut world, _) = world_of(&config(), 8);
    let mut volumes = Vec::new();
    for _ in 0..200 {
        volumes.push(world.aspirate(&by("pump"), SOLVENT, 50.0).realised_ul);
        world.dispense(&by("pump"), WASTE, 50.0);
    }
    let mean = volumes.iter().sum::<f64>() / 200.0;
    let sigma = (volumes.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 199.0).sqrt();
    assert!((mean - 50.0).abs() < 1.5, "mean {mean} µL");
    assert!((0.17..0.26).contains(&sigma), "sigma {sigma} µL, expected 0.21");
    world.check_invariants().unwrap();
}

#[test]
fn random_actions_keep_every_law() {
    let mut config = config();
    config.mishaps.scale = 30.0;
    let (mut world, _) = world_of(&config, 12);
    let places = world.positions();
    let mut state = 12_345_u64;
    let mut next = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % n
    };
    for step in 0..1500 {
        let volume_ul = next(26) as f64 * 10.0;
        match next(9) {
            0 => drop(world.aspirate(&by("pump"), next(12) as u8, volume_ul)),
            1 => drop(world.dispense(&by("pump"), next(12) as u8, volume_ul)),
            2 | 3 => drop(world.pick(&by("arm"), &places[next(places.len())])),
            4 | 5 => drop(world.place(&by("arm"), &places[next(places.len())])),
            6 => world.set_furnace("furnace_a", (next(3) > 0).then_some(60.0 + volume_ul)),
            7 => world.set_plate(&by("mixer"), (next(3) > 0).then_some(30.0 + volume_ul / 2.0)),
            _ => drop(world.weigh_g(&by("balance"))),
        }
        world.advance_to(world.now_s() + next(60) as f64);
        world.check_invariants().unwrap_or_else(|error| panic!("step {step}: {error}"));
    }
}

#[test]
fn counting_noise_is_that_of_counting() {
    let (mut world, _) = world_of(&config(), 2);
    let request = ScanRequest { start_deg: 40.0, step_deg: 1e-4, points: 1000, dwell_s: 20.0, start_s: 0.0 };
    let counts = world.diffract(&by("aeris"), "aeris.slot1", &request);
    let moments = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64)
    };
    let (mean, variance) = moments(&counts.iter().map(|c| *c as f64).collect::<Vec<_>>());
    assert!((variance / mean - 1.0).abs() < 0.12, "row 23: variance/mean {}", variance / mean);
    let dark: Vec<f64> = (0..20)
        .flat_map(|_| world.expose(&by("spectrometer"), 500_000))
        .map(|counts| (f64::from(counts) - 1500.0) / 0.35)
        .collect();
    let (mean, variance) = moments(&dark);
    let ratio = (variance - 144.0) / mean;
    assert!((0.95..1.05).contains(&ratio), "row 23: dark variance/mean {ratio}");
}

#[test]
fn a_second_of_the_world_costs_far_less_than_100_microseconds() {
    let (mut world, _) = world_of(&config(), 1);
    mix_and_cast(&mut world, "rack.1");
    carry(&mut world, "coat.stage", "furnace_a.boat");
    mix_and_cast(&mut world, "rack.2");
    carry(&mut world, "coat.stage", "furnace_b.boat");
    world.set_furnace("furnace_a", Some(150.0));
    world.set_furnace("furnace_b", Some(100.0));
    world.set_plate(&by("mixer"), Some(60.0));
    let start = std::time::Instant::now();
    for _ in 0..7200 {
        world.advance_to(world.now_s() + 1.0);
    }
    let micros = start.elapsed().as_secs_f64() * 1e6 / 7200.0;
    println!("one simulated second with two films annealing and the plate on: {micros:.2} µs");
    assert!(micros < 100.0, "{micros} µs");
}
