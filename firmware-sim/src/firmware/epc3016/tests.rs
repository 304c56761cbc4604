use super::*;
use crate::fault::FaultParameters;
use crate::firmware::testing::Rig;
use crate::modbus::crc16;

fn rig(decimals: u8) -> Rig {
    let config = Config { decimals, ..Config::default() };
    Rig::new("furnace_b", Box::new(Epc3016::new(config, Framing::Rtu)))
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = bytes.to_vec();
    frame.extend(crc16(bytes).to_le_bytes());
    frame
}

fn read(rig: &mut Rig, address: u16) -> u16 {
    let [high, low] = address.to_be_bytes();
    let reply = rig.send(&frame(&[1, 3, high, low, 0, 1]));
    assert_eq!(reply[..3], [1, 3, 2], "{reply:x?}");
    u16::from_be_bytes([reply[3], reply[4]])
}

fn write(rig: &mut Rig, address: u16, value: u16) -> Vec<u8> {
    let [high, low] = address.to_be_bytes();
    let [value_high, value_low] = value.to_be_bytes();
    rig.send(&frame(&[1, 6, high, low, value_high, value_low]))
}

#[test]
fn the_frames_of_the_reference() {
    let mut rig = rig(0);
    let reply = rig.send(&[0x01, 0x03, 0x00, 0x01, 0x00, 0x01, 0xd5, 0xca]);
    assert_eq!(reply.len(), 7);
    let pv = u16::from_be_bytes([reply[3], reply[4]]);
    assert!((15..=40).contains(&pv), "{pv} °C at the start");
    let reply = rig.send(&[0x01, 0x10, 0x00, 0x02, 0x00, 0x01, 0x02, 0x03, 0x20, 0xa6, 0x9a]);
    assert_eq!(reply, [0x01, 0x10, 0x00, 0x02, 0x00, 0x01, 0xa0, 0x09]);
    assert_eq!(read(&mut rig, 2), 800);
}

#[test]
fn the_resolution_scales_temperatures() {
    let mut rig = rig(1);
    write(&mut rig, 2, 1500);
    assert_eq!(read(&mut rig, 5), 1500);
    assert_eq!(rig.state()["working_setpoint_c"], 150.0);
    assert_eq!(read(&mut rig, 525), 1);
}

#[test]
fn the_inverted_status_word_is_the_inverse() {
    let mut rig = rig(1);
    assert_eq!(read(&mut rig, 75), !read(&mut rig, 76));
    assert_eq!(read(&mut rig, 107), 0x5349);
    assert_eq!(read(&mut rig, 122), 0x3016);
}

#[test]
fn another_station_is_not_answered_and_unknown_registers_are_refused() {
    let mut rig = rig(1);
    assert!(rig.send(&frame(&[2, 3, 0, 1, 0, 1])).is_empty());
    assert_eq!(rig.send(&frame(&[1, 3, 0x70, 0, 0, 1])), frame(&[1, 0x83, 2]));
    assert_eq!(rig.send(&frame(&[1, 7, 0, 0, 0, 0])), frame(&[1, 0x87, 1]));
    assert_eq!(write(&mut rig, 2, 20_000), frame(&[1, 0x86, 3]), "beyond the range");
}

/// Ramp at 12 K/min to 145 °C, then ten minutes of dwell; type first, then the shared register.
fn write_program(rig: &mut Rig) {
    for (address, value) in
        [(8330, 1), (8331, 1), (8334, 0), (8336, 1), (8337, 1450), (8338, 120), (8344, 3), (8346, 10), (8352, 0)]
    {
        let acknowledged = write(rig, address, value);
        assert_eq!(acknowledged[1], 6, "{address}: {acknowledged:x?}");
    }
}

#[test]
fn the_shared_register_means_what_the_type_says() {
    let mut rig = rig(1);
    write(&mut rig, 8338, 77);
    assert_eq!(read(&mut rig, 8338), 0, "without a type the value is lost");
    write(&mut rig, 8336, 1);
    write(&mut rig, 8338, 120);
    write(&mut rig, 8336, 3);
    assert_eq!(read(&mut rig, 8338), 0, "a dwell is not the rate");
    write(&mut rig, 8336, 1);
    assert_eq!(read(&mut rig, 8338), 120);
}

#[test]
fn a_programme_runs_and_completes() {
    let mut rig = rig(1);
    write_program(&mut rig);
    write(&mut rig, 23, 2);
    assert_eq!((read(&mut rig, 23), read(&mut rig, 56)), (2, 1));
    assert_ne!(read(&mut rig, 75) & (1 << 13), 0);
    assert_eq!(write(&mut rig, 8337, 900), frame(&[1, 0x86, 2]), "a running programme cannot be edited");
    rig.step(300.0);
    let setpoint = read(&mut rig, 163);
    assert!((700..=1000).contains(&setpoint), "{setpoint}");
    rig.step(1500.0);
    assert_eq!(read(&mut rig, 23), 16);
    assert_ne!(read(&mut rig, 75) & (1 << 9), 0);
    assert_eq!(read(&mut rig, 5), 1450, "end type dwell keeps the set point");
    assert_eq!(rig.executions("run"), 1);
    write(&mut rig, 23, 1);
    assert_eq!((read(&mut rig, 23), read(&mut rig, 5)), (1, 0));
}

#[test]
fn hold_and_the_run_registers() {
    let mut rig = rig(1);
    write_program(&mut rig);
    write(&mut rig, 10_573, 1);
    rig.step(60.0);
    write(&mut rig, 10_574, 1);
    let held = read(&mut rig, 163);
    rig.step(600.0);
    assert_eq!(read(&mut rig, 163), held);
    assert_eq!(read(&mut rig, 23), 4);
    write(&mut rig, 10_575, 1);
    assert_eq!(read(&mut rig, 23), 1);
}

#[test]
fn a_broken_sensor_switches_the_heater_off_and_raises_an_alarm() {
    let mut rig = rig(1);
    write(&mut rig, 2, 1000);
    rig.inject("sensor_break", FaultParameters::default());
    assert_eq!(read(&mut rig, 258), 1);
    assert_ne!(read(&mut rig, 75) & (1 << 5 | 1 << 12), 0);
    rig.clear();
    assert_eq!(read(&mut rig, 258), 0);
    assert_eq!(read(&mut rig, 260), 1, "the alarm stays new until it is acknowledged");
    write(&mut rig, 274, 1);
    assert_eq!(read(&mut rig, 260), 0);
}

#[test]
fn the_network_watchdog_expires_without_requests() {
    let mut rig = rig(1);
    write(&mut rig, 1169, 10);
    rig.step(9.0);
    assert_eq!(read(&mut rig, 1172), 0);
    rig.step(11.0);
    assert_eq!(read(&mut rig, 1172), 1);
    assert_eq!(read(&mut rig, 1172), 1, "cleared by hand");
    write(&mut rig, 1172, 0);
    assert_eq!(read(&mut rig, 1172), 0);
}

#[test]
fn byte_level_faults_of_modbus() {
    let mut rig = rig(1);
    let request = frame(&[1, 3, 0, 1, 0, 2]);
    rig.inject("wrong_slave", FaultParameters::default());
    let reply = rig.send(&request);
    assert!(reply[0] == 2 && reply == frame(&reply[..reply.len() - 2]));
    rig.inject("short_count", FaultParameters::default());
    let reply = rig.send(&request);
    assert!(reply[2] == 2 && reply == frame(&reply[..reply.len() - 2]));
    rig.inject("bad_checksum", FaultParameters::default());
    let reply = rig.send(&request);
    assert_ne!(reply, frame(&reply[..reply.len() - 2]));
    rig.inject("exception_reply", FaultParameters::default());
    assert_eq!(rig.send(&request), frame(&[1, 0x83, 6]));
    assert_eq!(rig.send(&request)[2], 4, "afterwards all is well");
}

#[test]
fn a_late_reply_is_correct_but_late() {
    let mut rig = rig(1);
    rig.inject("late_reply", FaultParameters { delay_ms: Some(350), ..FaultParameters::default() });
    rig.lab.receive(rig.session, &frame(&[1, 3, 0, 122, 0, 1]));
    let chunks = rig.chunks();
    assert_eq!(chunks, [(350, frame(&[1, 3, 2, 0x30, 0x16]))]);
}

#[test]
fn modbus_tcp_speaks_the_same_registers() {
    let controller = Epc3016::new(Config::default(), Framing::Tcp);
    let mut rig = Rig::new("furnace_a", Box::new(controller));
    let reply = rig.send(&[0, 9, 0, 0, 0, 6, 1, 3, 0, 122, 0, 1]);
    assert_eq!(reply, [0, 9, 0, 0, 0, 5, 1, 3, 2, 0x30, 0x16]);
}
