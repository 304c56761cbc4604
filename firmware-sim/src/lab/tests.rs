use serde_json::json;

use crate::clock::Clock;
use crate::device::Port;
use crate::fault::FaultParameters;
use crate::firmware::testing::{Rig, world};
use crate::firmware::{ika_cmag, mettler_sics, ur5e};
use crate::lab::{Lab, LinkKind, Transmission};

const NAME: &str = "IN_NAME \r\n";
const ANSWER: &str = "C-MAG HS7 SIM\r\n";

fn rig() -> Rig {
    Rig::new("mixer", Box::new(ika_cmag::IkaCmag::new(ika_cmag::Config::default())))
}

fn once() -> FaultParameters {
    FaultParameters::default()
}

#[test]
fn a_lost_request_is_not_executed_and_a_lost_reply_is() {
    let mut rig = rig();
    rig.inject("lost_request", once());
    assert_eq!(rig.ask(NAME), "");
    assert_eq!(rig.executions("IN_NAME"), 0);
    rig.inject("lost_reply", once());
    assert_eq!(rig.ask(NAME), "");
    assert_eq!(rig.executions("IN_NAME"), 1);
    assert_eq!(rig.ask(NAME), ANSWER);
}

#[test]
fn duplicate_and_stale_replies() {
    let mut rig = rig();
    rig.inject("duplicate_reply", once());
    assert_eq!(rig.ask(NAME), ANSWER.repeat(2));
    rig.inject("stale_reply", once());
    assert_eq!(rig.ask("IN_SP_4 \r\n"), ANSWER, "the reply of the request before");
    assert_eq!(rig.ask("IN_SP_4 \r\n"), "0.0 4\r\n");
}

#[test]
fn truncated_dribbled_and_late_replies() {
    let mut rig = rig();
    rig.inject("truncated_reply", once());
    assert_eq!(rig.ask(NAME), &ANSWER[..ANSWER.len() / 2]);
    rig.inject("byte_dribble", FaultParameters { delay_ms: Some(5), ..once() });
    rig.lab.receive(rig.session, NAME.as_bytes());
    let chunks = rig.chunks();
    assert!(chunks.len() == ANSWER.len() && chunks.iter().all(|(delay_ms, bytes)| *delay_ms == 5 && bytes.len() == 1));
    rig.inject("late_reply", once());
    rig.lab.receive(rig.session, NAME.as_bytes());
    assert_eq!(rig.chunks(), [(400, ANSWER.as_bytes().to_vec())]);
}

#[test]
fn corruption_is_the_same_for_the_same_seed() {
    let corrupted = || {
        let mut rig = rig();
        rig.inject("bit_flip", once());
        rig.inject("garbage_prefix", FaultParameters { nth: 2, ..once() });
        (rig.send(NAME.as_bytes()), rig.send(NAME.as_bytes()))
    };
    let (flipped, prefixed) = corrupted();
    let changed: u32 = flipped.iter().zip(ANSWER.as_bytes()).map(|(left, right)| (left ^ right).count_ones()).sum();
    assert_eq!((flipped.len(), changed), (ANSWER.len(), 1));
    assert!(prefixed.ends_with(ANSWER.as_bytes()) && prefixed.len() >= ANSWER.len() + 3);
    assert_eq!(corrupted(), (flipped, prefixed));
}

#[test]
fn wrong_line_settings_make_both_directions_unreadable_until_cleared() {
    let mut rig = rig();
    rig.inject("wrong_line_settings", once());
    assert!(rig.send(NAME.as_bytes()).is_empty());
    assert_eq!(rig.executions("IN_NAME"), 0);
    rig.clear();
    rig.send(b"\r\n");
    assert_eq!(rig.ask(NAME), ANSWER);
}

#[test]
fn an_offline_device_hears_nothing_and_its_link_is_told() {
    let mut rig = rig();
    let link = rig.lab.link_state(0);
    rig.inject("offline", once());
    assert!(link.borrow().offline);
    assert_eq!(rig.ask(NAME), "");
    rig.clear();
    assert!(!link.borrow().offline);
    assert_eq!(rig.ask(NAME), ANSWER);
}

#[test]
fn vanishing_cuts_the_line_and_every_fault_is_in_the_ledger() {
    let mut rig = rig();
    let link = rig.lab.link_state(0);
    rig.inject("vanish", FaultParameters { delay_ms: Some(70), ..once() });
    assert_eq!((link.borrow().generation, link.borrow().reopen_after_ms), (1, 70));
    let lines: Vec<String> = rig.ledger.lines().into_iter().filter(|line| line.contains("vanish")).collect();
    assert_eq!(lines.len(), 2, "armed and struck");
    assert!(lines[0].contains("armed") && lines[1].contains("struck"), "{lines:?}");
}

#[test]
fn events_of_different_devices_happen_in_the_order_of_time() {
    let (world, ledger) = world();
    let positions = world.positions();
    let mut lab = Lab::new(world, Clock::manual(), 1);
    let arm = lab.add_device("arm", LinkKind::Tcp, Box::new(ur5e::Ur5e::new(ur5e::Config::default(), &positions)));
    let scales = mettler_sics::MettlerSics::new(mettler_sics::Config::default());
    let balance = lab.add_device("balance", LinkKind::Serial, Box::new(scales));
    let (robot, _heard) = lab.connect(arm, Port::Main);
    let (weigher, mut output) = lab.connect(balance, Port::Main);
    lab.receive(robot, b"load pick_rack_1.urp\nplay\n");
    lab.clock().step(13.0);
    lab.receive(robot, b"load place_balance_pan.urp\nplay\n");
    // The sample comes down on the pan 12 s after the start; nobody asks before 14 s, when it has not settled yet.
    lab.clock().step(14.0);
    lab.receive(weigher, b"S\r\n");
    assert!(output.try_recv().is_err(), "the load changed two seconds ago");
    lab.clock().step(3.0);
    lab.settle();
    let Ok(Transmission::Write(chunk)) = output.try_recv() else { panic!("a weight") };
    let text = String::from_utf8(chunk.bytes).unwrap();
    let grams: f64 = text[4..14].trim().parse().unwrap();
    assert!(text.starts_with("S S ") && (0.3..1.5).contains(&grams), "a glass of 15 × 15 × 1.1 mm³: {text}");
    let lines = ledger.entries();
    let moment = |action: &str| lines.iter().find(|line| line["action"] == action).unwrap()["end_s"].as_f64().unwrap();
    assert!((moment("place") - 25.0).abs() < 1e-6 && (moment("weigh") - 29.0).abs() < 1e-6);
    assert_eq!(lab.executions()["arm"], json!({ "load": 2, "play": 2, "finished": 2 }));
}
