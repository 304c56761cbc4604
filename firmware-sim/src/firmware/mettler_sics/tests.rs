use crate::fault::FaultParameters;
use crate::firmware::testing::Rig;

use super::*;

fn rig() -> Rig {
    Rig::new("balance", Box::new(MettlerSics::new(Config::default())))
}

#[test]
fn identity_shows_a_simulator() {
    let mut rig = rig();
    assert_eq!(rig.ask("I4\r\n"), "I4 A \"SIM-XPE206-0001\"\r\n");
    assert_eq!(rig.ask("@\r\n"), "I4 A \"SIM-XPE206-0001\"\r\n");
    assert!(rig.ask("I0\r\n").ends_with("I0 A 0 \"SR\"\r\n"));
}

#[test]
fn a_weight_is_right_aligned_in_ten_characters() {
    let mut rig = rig();
    let answer = rig.ask("SI\r\n");
    assert!(answer.starts_with("S S ") && answer.ends_with(" g\r\n"), "{answer:?}");
    assert_eq!(answer.len(), "S S     100.00 g\r\n".len());
    assert_eq!(MettlerSics::new(Config { decimals: 2, ..Config::default() }).value(100.0), "    100.00 g");
    assert_eq!(MettlerSics::new(Config::default()).value(-0.000_001), "   0.00000 g");
}

#[test]
fn tare_takes_the_load_off_the_reading() {
    let mut rig = rig();
    assert_eq!(rig.ask("Z\r\n"), "Z A\r\n");
    assert!(rig.ask("T\r\n").starts_with("T S "));
    let grams: f64 = rig.ask("S\r\n")[4..14].trim().parse().unwrap();
    assert!(grams.abs() < 0.001, "{grams}");
    assert_eq!(rig.ask("TA 1.5 g\r\n"), "TA A    1.50000 g\r\n");
    let grams: f64 = rig.ask("S\r\n")[4..14].trim().parse().unwrap();
    assert!((grams + 1.5).abs() < 0.001, "{grams}");
    assert_eq!(rig.ask("TAC\r\n"), "TAC A\r\n");
}

#[test]
fn an_unsettled_balance_answers_later_and_drops_what_comes_meanwhile() {
    let mut rig = rig();
    assert_eq!(rig.ask("WS 0\r\n"), "WS A\r\n");
    assert!(rig.ask("SI\r\n").starts_with("S D "));
    assert_eq!(rig.ask("S\r\n"), "");
    assert_eq!(rig.ask("SI\r\n"), "", "one command at a time");
    rig.step(4.1);
    assert!(rig.heard_text().starts_with("S S "));
    assert_eq!(rig.executions("S"), 1);
}

#[test]
fn a_balance_that_never_settles_gives_up() {
    let mut rig = rig();
    rig.inject("stuck", FaultParameters::default());
    assert_eq!(rig.ask("S\r\n"), "");
    rig.step(31.0);
    assert_eq!(rig.heard_text(), "S I\r\n");
}

#[test]
fn errors_have_their_bare_replies() {
    let mut rig = rig();
    assert_eq!(rig.ask("HELLO\r\n"), "ES\r\n");
    assert_eq!(rig.send(&[0xff, 0xfe, b'\r', b'\n']), b"ET\r\n");
    assert_eq!(rig.ask("D text\r\n"), "D L\r\n");
    rig.inject("overload", FaultParameters::default());
    assert_eq!(rig.ask("SI\r\n"), "S +\r\n");
}

#[test]
fn power_up_announces_itself_unasked() {
    let mut rig = rig();
    rig.inject("power_cycle", FaultParameters::default());
    assert_eq!(rig.heard_text(), "I4 A \"SIM-XPE206-0001\"\r\n");
}

#[test]
fn an_event_may_come_between_request_and_reply() {
    let mut rig = rig();
    rig.inject("unsolicited", FaultParameters::default());
    let heard = rig.ask("TAC\r\n");
    assert_eq!(heard, "I4 A \"SIM-XPE206-0001\"\r\nTAC A\r\n");
}

#[test]
fn repeated_values_end_with_the_next_command() {
    let mut rig = rig();
    rig.ask("SIR\r\n");
    rig.step(0.35);
    assert_eq!(rig.heard_text().lines().count(), 3);
    rig.ask("DW\r\n");
    rig.step(1.0);
    assert_eq!(rig.heard_text(), "");
}
