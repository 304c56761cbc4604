use super::*;
use crate::fault::FaultParameters;
use crate::firmware::testing::Rig;

const ZR: [u8; 7] = [0x02, 0x31, 0x31, 0x5a, 0x52, 0x03, 0x09];
const ZR_AGAIN: [u8; 7] = [0x02, 0x31, 0x39, 0x5a, 0x52, 0x03, 0x01];
const Q: [u8; 6] = [0x02, 0x31, 0x32, 0x51, 0x03, 0x53];
const A1500R: [u8; 11] = [0x02, 0x31, 0x33, 0x41, 0x31, 0x35, 0x30, 0x30, 0x52, 0x03, 0x14];
const BUSY: [u8; 5] = [0x02, 0x30, 0x40, 0x03, 0x71];
const READY: [u8; 5] = [0x02, 0x30, 0x60, 0x03, 0x51];
const NOT_INITIALISED: [u8; 5] = [0x02, 0x30, 0x67, 0x03, 0x56];
const OVERLOADED: [u8; 5] = [0x02, 0x30, 0x69, 0x03, 0x58];

fn rig() -> Rig {
    Rig::new("pump", Box::new(CavroXlp::new(Config::default())))
}

fn oem(sequence: u8, text: &str) -> Vec<u8> {
    let mut bytes = vec![0x02, 0x31, 0x30 | sequence];
    bytes.extend(text.as_bytes());
    bytes.push(0x03);
    bytes.push(frame::checksum(&bytes));
    bytes
}

/// Sends a command and returns status byte and data of the answer.
fn ask(rig: &mut Rig, sequence: u8, text: &str) -> (u8, String) {
    let answer = rig.send(&oem(sequence, text));
    assert!(answer.len() >= 5 && answer[..2] == [0x02, 0x30], "{text}: {answer:x?}");
    (answer[2], String::from_utf8(answer[3..answer.len() - 2].to_vec()).unwrap())
}

/// An initialised pump that is at rest.
fn ready() -> Rig {
    let mut rig = rig();
    assert_eq!(rig.send(&ZR), BUSY);
    rig.step(3.0);
    assert_eq!(rig.send(&Q), READY);
    rig
}

#[test]
fn the_frames_of_the_reference() {
    let mut rig = rig();
    assert_eq!(rig.send(&A1500R), NOT_INITIALISED);
    assert_eq!(rig.send(&Q), NOT_INITIALISED, "Q reports the error once more and clears it");
    assert_eq!(rig.send(&Q), READY);
    assert_eq!(rig.send(&ZR), BUSY);
    rig.step(3.0);
    assert_eq!(rig.send(&Q), READY);
    assert_eq!(rig.send(&A1500R), BUSY);
    rig.step(5.0);
    assert_eq!(rig.send(&oem(4, "?")), [0x02, 0x30, 0x60, 0x31, 0x35, 0x30, 0x30, 0x03, 0x55]);
}

#[test]
fn a_repeated_frame_is_answered_but_not_executed_again() {
    let mut rig = rig();
    assert_eq!(rig.send(&ZR), BUSY);
    assert_eq!(rig.send(&ZR_AGAIN), BUSY);
    assert_eq!(rig.executions("Z"), 1);
    rig.step(3.0);
    ask(&mut rig, 2, "P600R");
    rig.step(5.0);
    // The frame of another sequence number was lost on its way, so its repetition is the first to arrive.
    let mut repeated = oem(3 | 8, "P600R");
    assert_eq!(rig.send(&repeated), BUSY);
    rig.step(5.0);
    assert_eq!(rig.send(&repeated), BUSY, "the stored answer");
    repeated = oem(4, "?");
    assert_eq!(&rig.send(&repeated)[3..7], b"1200");
    assert_eq!(rig.executions("P"), 2);
}

#[test]
fn a_bad_checksum_and_another_address_are_not_answered() {
    let mut rig = rig();
    let mut bad = Q;
    bad[5] ^= 1;
    assert!(rig.send(&bad).is_empty());
    assert!(rig.send(&[0x02, 0x32, 0x32, 0x51, 0x03, 0x50]).is_empty());
    assert_eq!(rig.send(&Q), READY);
}

#[test]
fn the_first_framing_wins_until_power_is_cycled() {
    let mut rig = rig();
    assert_eq!(rig.send(b"/1?6\r"), b"/0`1\x03\r\n");
    assert!(rig.send(&Q).is_empty(), "locked to terminal framing");
    rig.inject("power_cycle", FaultParameters::default());
    assert_eq!(rig.send(&Q), READY);
    assert!(rig.send(b"/1?6\r").is_empty());
    rig.inject("wrong_framing_mode", FaultParameters::default());
    assert!(rig.send(&Q).is_empty());
}

#[test]
fn liquid_moves_when_the_plunger_has_arrived() {
    let mut rig = ready();
    ask(&mut rig, 2, "I9P600R");
    assert!(rig.ledger_lines("aspirate").is_empty());
    rig.step(2.0);
    let lines = rig.ledger_lines("aspirate");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].to_string().contains("25.0"), "600 of 6000 steps of 250 µL: {}", lines[0]);
    ask(&mut rig, 3, "I10D600R");
    rig.step(2.0);
    assert_eq!(rig.ledger_lines("dispense").len(), 1);
    assert_eq!(ask(&mut rig, 4, "?6").1, "10");
}

#[test]
fn a_move_goes_on_when_the_client_vanishes() {
    let mut rig = ready();
    ask(&mut rig, 2, "I9P600R");
    rig.lab.disconnect(rig.session);
    rig.step(5.0);
    assert_eq!(rig.ledger_lines("aspirate").len(), 1);
}

#[test]
fn while_moving_only_reports_and_control_are_accepted() {
    let mut rig = ready();
    ask(&mut rig, 2, "P6000R");
    assert_eq!(ask(&mut rig, 3, "I3R").0, 0x4f);
    assert_eq!(ask(&mut rig, 4, "V500").0, 0x40);
    rig.step(2.0);
    let underway: u32 = ask(&mut rig, 5, "?").1.parse().unwrap();
    assert!((500..5500).contains(&underway), "{underway}");
    assert_eq!(ask(&mut rig, 6, "T").0, 0x60);
    rig.step(20.0);
    let stopped: u32 = ask(&mut rig, 7, "?").1.parse().unwrap();
    assert_eq!(stopped, underway);
    let lines = rig.ledger_lines("aspirate");
    assert_eq!(lines.len(), 1, "what was moved until the stop is moved");
}

#[test]
fn an_operand_out_of_range_stops_the_string_there() {
    let mut rig = ready();
    ask(&mut rig, 2, "P1000A7000R");
    rig.step(5.0);
    assert_eq!(ask(&mut rig, 3, "Q").0, 0x63);
    assert_eq!(ask(&mut rig, 4, "?").1, "1000");
    assert_eq!(ask(&mut rig, 5, "D1001R").0, 0x63);
    assert_eq!(ask(&mut rig, 6, "B1R").0, 0x62);
    assert_eq!(ask(&mut rig, 7, "I13R").0, 0x63);
}

#[test]
fn a_string_without_r_waits_in_the_buffer() {
    let mut rig = ready();
    assert_eq!(ask(&mut rig, 2, "A300"), (0x60, String::new()));
    assert_eq!(ask(&mut rig, 3, "?10").1, "1");
    assert_eq!(ask(&mut rig, 4, "R").0, 0x40);
    rig.step(5.0);
    assert_eq!(ask(&mut rig, 5, "?10").1, "0");
    assert_eq!(ask(&mut rig, 6, "?").1, "300");
}

#[test]
fn loops_and_repeats() {
    let mut rig = ready();
    ask(&mut rig, 2, "gP100D50G4R");
    rig.step(20.0);
    assert_eq!(ask(&mut rig, 3, "?").1, "200");
    ask(&mut rig, 4, "X");
    rig.step(20.0);
    assert_eq!(ask(&mut rig, 5, "?").1, "400");
    assert_eq!(ask(&mut rig, 6, "gM0G0R").0, 0x40, "an endless loop of delays can be terminated");
    rig.step(1.0);
    assert_eq!(ask(&mut rig, 7, "T").0, 0x60);
}

#[test]
fn an_overload_is_latched_until_the_pump_is_initialised() {
    let mut rig = ready();
    rig.inject("overload", FaultParameters::default());
    ask(&mut rig, 2, "P1000R");
    rig.step(5.0);
    assert_eq!(rig.send(&Q), OVERLOADED);
    assert_eq!(ask(&mut rig, 3, "?").1, "500", "half of the way");
    assert_eq!(ask(&mut rig, 4, "A0R").0, 0x69);
    ask(&mut rig, 5, "Z1,1,10R");
    rig.step(10.0);
    assert_eq!(ask(&mut rig, 6, "P10R").0, 0x40);
}

#[test]
fn quiet_moves_report_ready() {
    let mut rig = ready();
    assert_eq!(ask(&mut rig, 2, "p3000R").0, 0x60);
    assert_eq!(ask(&mut rig, 3, "A0R").0, 0x6f, "and still refuse another move");
}

#[test]
fn faults_of_initialisation_and_overflow() {
    let mut rig = ready();
    rig.inject("command_overflow", FaultParameters::default());
    assert_eq!(ask(&mut rig, 2, "P10R").0, 0x6f);
    rig.inject("not_initialised", FaultParameters::default());
    assert_eq!(ask(&mut rig, 3, "P10R").0, 0x67);
    assert_eq!(rig.executions("P"), 1, "the refused one was reached, the overflowed one was not");
}

#[test]
fn a_stuck_move_is_ended_by_terminate() {
    let mut rig = ready();
    rig.inject("stuck", FaultParameters::default());
    ask(&mut rig, 2, "P1000R");
    rig.step(1000.0);
    assert_eq!(ask(&mut rig, 3, "Q").0, 0x40);
    assert_eq!(ask(&mut rig, 4, "T").0, 0x60);
    assert_eq!(ask(&mut rig, 5, "?").1, "0");
}

#[test]
fn identity_and_configuration_name_the_simulator() {
    let mut rig = rig();
    assert!(ask(&mut rig, 1, "&").1.contains("SIM-XLP-0001"));
    assert!(ask(&mut rig, 2, "?76").1.starts_with("SIM"));
}

#[test]
fn without_deduplication_a_repeated_frame_moves_twice() {
    let mut rig = ready();
    ask(&mut rig, 2, "P600R");
    rig.step(5.0);
    rig.inject("no_dedup", FaultParameters::default());
    rig.send(&oem(2 | 8, "P600R"));
    rig.step(5.0);
    assert_eq!(ask(&mut rig, 3, "?").1, "1200");
    assert_eq!(rig.executions("P"), 2);
}
