use super::*;
use crate::fault::FaultParameters;
use crate::firmware::testing::Rig;

fn rig() -> Rig {
    Rig::new("spectrometer", Box::new(OceanObp::new(Config::default())))
}

fn request(kind: u32, flags: u16, data: &[u8]) -> Vec<u8> {
    Message { version: 0x1100, flags, kind, regarding: 99, checksum_type: 1, data: data.to_vec() }.wrap(0)
}

/// Sends a request and takes the single answer apart: flags, error, data.
fn ask(rig: &mut Rig, kind: u32, flags: u16, data: &[u8]) -> (u16, u16, Vec<u8>) {
    let reply = rig.send(&request(kind, flags, data));
    let message = Message::parse(&reply).unwrap_or_else(|(message, _)| message);
    assert_eq!((message.kind, message.regarding), (kind, 99));
    (message.flags, u16::from_le_bytes([reply[6], reply[7]]), message.data)
}

#[test]
fn queries() {
    let mut rig = rig();
    assert_eq!(ask(&mut rig, 0x100, 0, &[]), (1, 0, b"SIM-OBP-0001".to_vec()));
    assert_eq!(ask(&mut rig, 0xe11, 0, &[]).2, b"SIM Ocean HDX");
    assert_eq!(ask(&mut rig, 0x18_0100, 0, &[]).2, [4]);
    let first = ask(&mut rig, 0x18_0101, 0, &[0]).2;
    let nanometres = f32::from_le_bytes(first.try_into().unwrap());
    assert!((200.0..600.0).contains(&nanometres), "{nanometres}");
    assert_eq!(ask(&mut rig, 0x18_1101, 0, &[0]).2, 1.0_f32.to_le_bytes());
}

#[test]
fn sets_answer_only_when_an_acknowledgement_is_wanted() {
    let mut rig = rig();
    let time = 200_000_u32.to_le_bytes();
    assert!(rig.send(&request(0x11_0010, 0, &time)).is_empty());
    assert_eq!(ask(&mut rig, 0x11_0010, flag::REQUEST_ACK, &time), (3, 0, vec![]));
    assert_eq!(ask(&mut rig, 0x11_0000, 0, &[]).2, time);
    assert_eq!(ask(&mut rig, 0x11_0010, flag::REQUEST_ACK, &[1, 0, 0, 0]), (9, 6, vec![]));
    assert_eq!(ask(&mut rig, 0x11_0010, flag::REQUEST_ACK, &[1]), (9, 5, vec![]));
    assert_eq!(ask(&mut rig, 0x77_0000, 0, &[]), (9, 2, vec![]));
}

#[test]
fn a_spectrum_takes_its_integration_time_and_the_rest_waits() {
    let mut rig = rig();
    rig.send(&request(0x11_0010, 0, &500_000_u32.to_le_bytes()));
    assert!(rig.send(&request(0x10_1100, 0, &[])).is_empty());
    assert!(rig.send(&request(0x100, 0, &[])).is_empty(), "one message after the other");
    rig.step(0.6);
    let heard = rig.heard();
    assert_eq!(heard.len(), 64 + 4096 + 64);
    let spectrum = Message::parse(&heard[..64 + 4096]).unwrap();
    assert_eq!(spectrum.data.len(), 4096);
    assert_eq!(Message::parse(&heard[64 + 4096..]).unwrap().data, b"SIM-OBP-0001");
    assert_eq!(rig.executions("exposure"), 1);
}

#[test]
fn lamp_and_laser_are_switched() {
    let mut rig = rig();
    assert_eq!(ask(&mut rig, 0x11_0410, flag::REQUEST_ACK, &[1]).0, 3);
    assert_eq!(rig.state()["lamp"], true);
    rig.send(&request(0x20_0110, 0, &1_u32.to_le_bytes()));
    assert_eq!(rig.state()["laser"], false, "the pin is not yet an output");
    rig.send(&request(0x20_0010, 0, &[1, 0, 0, 0, 1, 0, 0, 0]));
    assert_eq!(rig.state()["laser"], true);
    rig.inject("power_cycle", FaultParameters::default());
    assert_eq!((&rig.state()["laser"], &rig.state()["lamp"]), (&json!(false), &json!(false)));
}

#[test]
fn a_request_with_a_bad_checksum_is_refused() {
    let mut rig = rig();
    let mut bytes = request(0x100, 0, &[]);
    bytes[44] ^= 1;
    let reply = rig.send(&bytes);
    assert_eq!((reply[4], reply[6]), (9, 3));
}

#[test]
fn a_spoiled_answer_can_be_told() {
    let mut rig = rig();
    rig.inject("bad_checksum", FaultParameters::default());
    let reply = rig.send(&request(0x100, 0, &[]));
    assert_eq!(Message::parse(&reply).unwrap_err().1, ObpError::BadChecksum);
}

#[test]
fn a_trigger_that_never_comes_blocks_until_the_client_leaves() {
    let mut rig = rig();
    rig.send(&request(0x11_0110, 0, &[1]));
    rig.send(&request(0x10_1100, 0, &[]));
    rig.step(100.0);
    assert!(rig.heard().is_empty());
    rig.lab.disconnect(rig.session);
    assert_eq!(rig.state()["exposing"], false);
}
