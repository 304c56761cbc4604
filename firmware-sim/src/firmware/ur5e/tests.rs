use super::*;
use crate::fault::FaultParameters;
use crate::firmware::testing::{Rig, world};
use crate::lab::Transmission;

const GREETING: &str = "Connected: Universal Robots Dashboard Server\n";

fn rig() -> Rig {
    let (world, _) = world();
    let mut rig = Rig::new("arm", Box::new(Ur5e::new(Config::default(), &world.positions())));
    assert_eq!(rig.heard_text(), GREETING);
    rig
}

fn run(rig: &mut Rig, program: &str) {
    assert_eq!(rig.ask(&format!("load {program}\n")), format!("Loading program: {program}\n"));
    assert_eq!(rig.ask("play\n"), "Starting program\n");
    rig.step(12.5);
    assert_eq!(rig.ask("running\n"), "Program running: false\n");
}

#[test]
fn a_transfer_moves_a_sample_and_is_counted() {
    let mut rig = rig();
    assert!(rig.lab.world().occupied("rack.1"));
    run(&mut rig, "pick_rack_1.urp");
    run(&mut rig, "place_coat_stage.urp");
    assert_eq!(rig.lab.world().where_is("S01"), "coat.stage");
    let state = rig.state();
    assert_eq!((&state["started"], &state["finished"]), (&json!(2), &json!(2)));
    assert_eq!(rig.executions("play"), 2);
}

#[test]
fn nothing_has_moved_before_the_programme_ends() {
    let mut rig = rig();
    rig.ask("load pick_rack_2.urp\nplay\n");
    assert_eq!(rig.ask("programState\n"), "PLAYING pick_rack_2.urp\n");
    rig.step(6.0);
    assert!(rig.lab.world().occupied("rack.2"));
    assert_eq!(rig.ask("pause\n"), "Pausing program\n");
    rig.step(60.0);
    assert_eq!(rig.ask("programState\n"), "PAUSED pick_rack_2.urp\n");
    assert_eq!(rig.ask("play\n"), "Starting program\n");
    rig.step(5.0);
    assert_eq!(rig.ask("running\n"), "Program running: true\n");
    assert_eq!(rig.ask("stop\n"), "Stopped\n");
    rig.step(60.0);
    assert!(rig.lab.world().occupied("rack.2"));
    assert_eq!(rig.state()["finished"], 0);
}

#[test]
fn refusals_of_the_dashboard() {
    let mut rig = rig();
    assert_eq!(rig.ask("play\n"), "Failed to execute: play\n");
    assert_eq!(rig.ask("load nonsense.urp\n"), "File not found: nonsense.urp\n");
    assert_eq!(rig.ask("get loaded program\n"), "No program loaded\n");
    assert_eq!(rig.ask("dance\n"), "could not understand: 'dance'\n");
    rig.ask("load pick_rack_1.urp\nplay\n");
    assert_eq!(rig.ask("load pick_rack_2.urp\n"), "Error while loading program: pick_rack_2.urp\n");
    assert_eq!(rig.ask("PolyscopeVersion\n"), "URSoftware 5.15.0.0 (SIM)\n");
}

#[test]
fn a_popup_makes_play_succeed_without_anything_running() {
    let mut rig = rig();
    rig.inject("popup", FaultParameters::default());
    rig.ask("load pick_rack_1.urp\n");
    assert_eq!(rig.ask("play\n"), "Starting program\n");
    assert_eq!(rig.ask("running\n"), "Program running: false\n");
    assert_eq!(rig.state()["started"], 0);
    assert_eq!(rig.ask("play\n"), "Failed to execute: play\n");
    assert_eq!(rig.ask("close popup\n"), "closing popup\n");
    assert_eq!(rig.ask("play\n"), "Starting program\n");
    assert_eq!(rig.ask("running\n"), "Program running: true\n");
}

#[test]
fn a_protective_stop_pauses_half_way_and_can_be_released_after_five_seconds() {
    let mut rig = rig();
    rig.inject("protective_stop", FaultParameters::default());
    rig.ask("load pick_rack_3.urp\nplay\n");
    rig.step(7.0);
    assert_eq!(rig.ask("safetystatus\n"), "Safetystatus: PROTECTIVE_STOP\n");
    assert_eq!(rig.ask("programState\n"), "PAUSED pick_rack_3.urp\n");
    assert!(rig.lab.world().occupied("rack.3"));
    assert_eq!(rig.ask("play\n"), "Failed to execute: play\n");
    assert!(rig.ask("unlock protective stop\n").starts_with("Cannot unlock"));
    rig.step(5.0);
    assert_eq!(rig.ask("unlock protective stop\n"), "Protective stop releasing\n");
    assert_eq!(rig.ask("play\n"), "Starting program\n");
    rig.step(6.5);
    assert_eq!(rig.state()["finished"], 1);
}

#[test]
fn a_failed_programme_stops_without_having_finished() {
    let mut rig = rig();
    rig.inject("fail", FaultParameters::default());
    rig.ask("load pick_rack_1.urp\nplay\n");
    rig.step(13.0);
    assert_eq!(rig.ask("programState\n"), "STOPPED pick_rack_1.urp\n");
    assert!(rig.lab.world().occupied("rack.1"));
    let state = rig.state();
    assert_eq!((&state["started"], &state["finished"]), (&json!(1), &json!(0)));
}

#[test]
fn local_mode_refuses_play() {
    let mut rig = rig();
    rig.ask("load pick_rack_1.urp\n");
    rig.inject("local_mode", FaultParameters::default());
    assert_eq!(rig.ask("is in remote control\n"), "false\n");
    assert_eq!(rig.ask("play\n"), "Failed to execute: play\n");
    rig.clear();
    assert_eq!(rig.ask("is in remote control\nplay\n"), "true\nStarting program\n");
}

#[test]
fn a_power_cut_leaves_the_arm_off() {
    let mut rig = rig();
    rig.ask("load pick_rack_1.urp\nplay\n");
    rig.inject("power_cycle", FaultParameters::default());
    assert_eq!(rig.ask("robotmode\n"), "Robotmode: POWER_OFF\n");
    assert_eq!(rig.ask("brake release\n"), "Failed to execute: brake release\n");
    assert_eq!(rig.ask("power on\nrobotmode\n"), "Powering on\nRobotmode: IDLE\n");
    assert_eq!(rig.ask("brake release\nrobotmode\n"), "Brake releasing\nRobotmode: RUNNING\n");
}

#[test]
fn commands_may_arrive_in_pieces() {
    let mut rig = rig();
    assert_eq!(rig.ask("robot"), "");
    assert_eq!(rig.ask("mode\nruni"), "Robotmode: RUNNING\n");
}

#[test]
fn rtde_streams_the_counters() {
    let mut rig = rig();
    let (session, mut output) = rig.connect(Port::RealTime);
    let mut ask = |rig: &mut Rig, packet: Vec<u8>| {
        rig.lab.receive(session, &packet);
        let mut heard = Vec::new();
        while let Ok(Transmission::Write(chunk)) = output.try_recv() {
            heard.push(chunk.bytes);
        }
        heard
    };
    assert_eq!(ask(&mut rig, rtde::packet(b'V', &[0, 2])), [[0, 4, b'V', 1]]);
    let mut recipe = 125.0_f64.to_be_bytes().to_vec();
    recipe.extend(b"timestamp,runtime_state,output_int_register_24,output_int_register_25");
    let answer = ask(&mut rig, rtde::packet(b'O', &recipe)).remove(0);
    assert_eq!(&answer[3..], b"\x01DOUBLE,UINT32,INT32,INT32");
    let heard = ask(&mut rig, rtde::packet(b'S', &[]));
    assert_eq!(heard[0], [0, 4, b'S', 1]);
    assert_eq!(heard[1].len(), 3 + 1 + 8 + 3 * 4);
    run(&mut rig, "pick_rack_1.urp");
    let heard = ask(&mut rig, rtde::packet(b'P', &[]));
    let data = &heard[heard.len() - 2];
    assert_eq!(data[2], b'U');
    assert_eq!(data[12..], [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1], "stopped, one started, one finished");
    assert!((f64::from_be_bytes(data[4..12].try_into().unwrap()) - 12.5).abs() < 0.02);
}

#[test]
fn rtde_refuses_what_it_does_not_know() {
    let mut rig = rig();
    let (session, mut output) = rig.connect(Port::RealTime);
    let mut recipe = 10.0_f64.to_be_bytes().to_vec();
    recipe.extend(b"timestamp,actual_q");
    rig.lab.receive(session, &rtde::packet(b'V', &[0, 2]));
    rig.lab.receive(session, &rtde::packet(b'O', &recipe));
    output.try_recv().unwrap();
    let Transmission::Write(chunk) = output.try_recv().unwrap() else { panic!("a reply") };
    assert_eq!(&chunk.bytes[3..], b"\x00DOUBLE,NOT_FOUND");
}
