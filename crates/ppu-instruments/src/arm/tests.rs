use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;

use super::*;
use crate::testing::{
    Device, Shared, Trouble, aborting, attention, is_partial, is_refused, is_silent, request, take_line,
};

/// A controller; its dashboard and its RTDE share it.
struct Controller {
    remote: bool,
    safety: &'static str,
    loaded: String,
    /// Looks at the player until the running program ends.
    looks_left: u32,
    paused: bool,
    counters: Counters,
    programs: Vec<&'static str>,
    played: Vec<String>,
    /// `play` is taken and nothing runs.
    popup: bool,
    /// The running program ends without finishing.
    breaks: bool,
    /// `stop` is refused.
    unstoppable: bool,
    /// The gripper feels an object.
    holding: bool,
    /// There is nothing where the arm picks.
    nothing_there: bool,
    /// Which register was asked for last.
    asks_gripper: bool,
}

#[derive(Clone)]
struct FakeDashboard(Arc<Mutex<Controller>>);

impl Device for FakeDashboard {
    fn question(&self, received: &mut Vec<u8>) -> Option<Vec<u8>> {
        take_line(received, b"\n")
    }

    fn answer(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        let mut controller = self.0.lock().unwrap();
        let text = std::str::from_utf8(question).unwrap().trim();
        let reply = match text {
            "is in remote control" => controller.remote.to_string(),
            "robotmode" => "Robotmode: RUNNING".to_owned(),
            "safetystatus" => format!("Safetystatus: {}", controller.safety),
            "get serial number" => "SIM2024".to_owned(),
            "PolyscopeVersion" => "URSoftware 5.12".to_owned(),
            "get loaded program" if controller.loaded.is_empty() => "No program loaded".to_owned(),
            "get loaded program" => format!("Loaded program: /programs/{}", controller.loaded),
            "programState" => {
                let state = match (controller.paused, controller.looks_left) {
                    (true, _) => "PAUSED",
                    (false, 0) => "STOPPED",
                    (false, _) => "PLAYING",
                };
                if controller.looks_left == 1 && !controller.breaks {
                    controller.counters.finished += 1;
                    controller.holding = controller.loaded.starts_with("pick") && !controller.nothing_there;
                }
                controller.looks_left = controller.looks_left.saturating_sub(1);
                format!("{state} {}", controller.loaded)
            }
            "play" => {
                let loaded = controller.loaded.clone();
                controller.played.push(loaded);
                if !controller.popup {
                    controller.counters.started += 1;
                    controller.looks_left = 3;
                }
                "Starting program".to_owned()
            }
            "stop" if controller.unstoppable => "Failed to execute: stop".to_owned(),
            "stop" => {
                (controller.looks_left, controller.paused) = (0, false);
                "Stopped".to_owned()
            }
            load => {
                let name = load.strip_prefix("load ").unwrap();
                if controller.programs.contains(&name) {
                    controller.loaded = name.to_owned();
                    format!("Loading program: {name}")
                } else {
                    format!("File not found: {name}")
                }
            }
        };
        Some(format!("{reply}\n").into_bytes())
    }
}

#[derive(Clone)]
struct FakeRtde(Arc<Mutex<Controller>>);

impl Device for FakeRtde {
    fn question(&self, received: &mut Vec<u8>) -> Option<Vec<u8>> {
        let length = usize::from(u16::from_be_bytes([*received.first()?, *received.get(1)?]));
        (received.len() >= length).then(|| received.drain(..length).collect())
    }

    fn answer(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        let package = |kind: u8, payload: &[u8]| {
            let mut bytes = (payload.len() as u16 + 3).to_be_bytes().to_vec();
            bytes.push(kind);
            bytes.extend_from_slice(payload);
            bytes
        };
        Some(match question[2] {
            b'O' if &question[11..] == b"output_int_register_26" => {
                self.0.lock().unwrap().asks_gripper = true;
                package(b'O', b"\x01INT32")
            }
            b'O' => {
                assert_eq!(&question[11..], b"output_int_register_24,output_int_register_25");
                self.0.lock().unwrap().asks_gripper = false;
                package(b'O', b"\x01INT32,INT32")
            }
            b'S' => {
                let controller = self.0.lock().unwrap();
                let counters = controller.counters;
                let data = match controller.asks_gripper {
                    true => [&[1][..], &i32::from(controller.holding).to_be_bytes()].concat(),
                    false => [&[1][..], &counters.started.to_be_bytes(), &counters.finished.to_be_bytes()].concat(),
                };
                [package(b'M', b"\x02hello"), package(b'S', &[1]), package(b'U', &data)].concat()
            }
            kind => package(kind, &[1]),
        })
    }
}

async fn serve<D: Device + Clone>(fake: Shared<D>, greeting: &'static [u8]) -> String {
    use tokio::io::AsyncWriteExt as _;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(greeting).await.unwrap();
            tokio::spawn(fake.clone().serve(stream));
        }
    });
    address
}

async fn arm() -> (Arc<Mutex<Controller>>, Shared<FakeDashboard>, Shared<FakeRtde>, Arm) {
    let controller = Arc::new(Mutex::new(Controller {
        remote: true,
        safety: "NORMAL",
        loaded: String::new(),
        looks_left: 0,
        paused: false,
        counters: Counters { started: 10, finished: 9 },
        programs: vec!["pick_rack_1.urp", "place_furnace_a_boat.urp"],
        played: Vec::new(),
        popup: false,
        breaks: false,
        unstoppable: false,
        holding: false,
        nothing_there: false,
        asks_gripper: false,
    }));
    let dashboard = Shared::new(FakeDashboard(controller.clone()));
    let rtde = Shared::new(FakeRtde(controller.clone()));
    let address = serve(dashboard.clone(), b"Connected: Universal Robots Dashboard Server\n").await;
    let settings = ArmSettings { rtde: Some(serve(rtde.clone(), b"").await), ..ArmSettings::default() };
    let mut arm = Arm::new(&address, settings);
    assert_eq!(arm.connect().await.unwrap(), "SIM2024");
    (controller, dashboard, rtde, arm)
}

fn transfer() -> Request {
    let mut request = request("move", []);
    request.positions = vec!["rack.1".parse().unwrap(), "furnace_a.boat".parse().unwrap()];
    request
}

#[test]
fn rtde_is_on_the_host_of_the_dashboard_unless_told_otherwise() {
    assert_eq!(ArmSettings::default().rtde_address("10.0.0.5:29999"), "10.0.0.5:30004");
}

#[tokio::test]
async fn a_sample_is_picked_and_placed_once() {
    let (controller, _, rtde, mut arm) = arm().await;
    rtde.expect(b"output_int", Trouble::Garbled);
    arm.prepare(&transfer(), &attention()).await.unwrap();
    arm.execute(&transfer(), &attention()).await.unwrap();
    assert_eq!(controller.lock().unwrap().played, ["pick_rack_1.urp", "place_furnace_a_boat.urp"]);
    assert!(rtde.all_met());
}

#[tokio::test]
async fn an_arm_that_is_not_ready_refuses() {
    let (controller, _, _, mut arm) = arm().await;
    controller.lock().unwrap().remote = false;
    assert!(is_refused(&arm.prepare(&transfer(), &attention()).await, codes::ARM_NOT_READY));
    (controller.lock().unwrap().remote, controller.lock().unwrap().safety) = (true, "PROTECTIVE_STOP");
    assert!(is_refused(&arm.prepare(&transfer(), &attention()).await, codes::ARM_NOT_READY));
    (controller.lock().unwrap().safety, controller.lock().unwrap().paused) = ("NORMAL", true);
    assert!(is_refused(&arm.prepare(&transfer(), &attention()).await, codes::ARM_NOT_READY));
    controller.lock().unwrap().paused = false;
    controller.lock().unwrap().programs.clear();
    arm.prepare(&transfer(), &attention()).await.unwrap();
    assert!(is_refused(&arm.execute(&transfer(), &attention()).await, codes::ARM_PROGRAM));
}

#[tokio::test]
async fn starting_program_is_no_proof_of_running() {
    let (controller, _, _, mut arm) = arm().await;
    controller.lock().unwrap().popup = true;
    arm.prepare(&transfer(), &attention()).await.unwrap();
    let outcome = arm.execute(&transfer(), &attention()).await;
    assert!(is_refused(&outcome, codes::ARM_NOT_STARTED), "{outcome:?}");
}

#[tokio::test]
async fn a_garbled_answer_to_play_is_silent_and_the_counters_tell() {
    for (trouble, expected) in [(Trouble::Garbled, Recovered::Running), (Trouble::LostRequest, Recovered::NeverStarted)]
    {
        let (controller, dashboard, _, mut arm) = arm().await;
        let snapshot = arm.prepare(&transfer(), &attention()).await.unwrap();
        dashboard.expect(b"play\n", trouble);
        // A lost request is found out by the time-out of three seconds; the two cases run one after another.
        assert!(is_silent(&arm.execute(&transfer(), &attention()).await));
        arm.connect().await.unwrap();
        assert_eq!(arm.recover(&transfer(), &snapshot, &attention()).await.unwrap(), expected);
        if expected == Recovered::Running {
            arm.attend(&transfer(), &snapshot, &attention()).await.unwrap();
            assert_eq!(controller.lock().unwrap().played.len(), 2);
            let recovered = arm.recover(&transfer(), &snapshot, &attention()).await.unwrap();
            assert!(matches!(recovered, Recovered::Finished(Ok(_))), "{recovered:?}");
        } else {
            arm.execute(&transfer(), &attention()).await.unwrap();
            assert_eq!(controller.lock().unwrap().played.len(), 2);
        }
    }
}

#[tokio::test]
async fn half_a_move_is_completed_because_the_counters_prove_that_no_place_began() {
    let (controller, _, _, mut arm) = arm().await;
    let snapshot = arm.prepare(&transfer(), &attention()).await.unwrap();
    {
        let mut controller = controller.lock().unwrap();
        controller.counters = Counters { started: 11, finished: 10 };
        controller.holding = true;
        controller.loaded = "pick_rack_1.urp".to_owned();
    }
    assert_eq!(arm.recover(&transfer(), &snapshot, &attention()).await.unwrap(), Recovered::Running);
    arm.attend(&transfer(), &snapshot, &attention()).await.unwrap();
    assert_eq!(controller.lock().unwrap().played, ["place_furnace_a_boat.urp"]);
}

#[tokio::test]
async fn what_the_counters_cannot_prove_is_unknown() {
    let (controller, _, _, mut arm) = arm().await;
    let snapshot = arm.prepare(&transfer(), &attention()).await.unwrap();
    for (started, finished) in [(13, 12), (0, 0), (11, 9)] {
        controller.lock().unwrap().counters = Counters { started, finished };
        let recovered = arm.recover(&transfer(), &snapshot, &attention()).await.unwrap();
        assert!(matches!(recovered, Recovered::Unknown(_)), "{recovered:?}");
    }
    controller.lock().unwrap().safety = "PROTECTIVE_STOP";
    let recovered = arm.recover(&transfer(), &snapshot, &attention()).await.unwrap();
    assert!(matches!(recovered, Recovered::Finished(Err(Fault::Partial { .. }))), "{recovered:?}");
}

#[tokio::test]
async fn an_arm_that_does_not_confirm_its_stop_has_not_ended() {
    let (controller, _, _, mut arm) = arm().await;
    let snapshot = arm.prepare(&transfer(), &attention()).await.unwrap();
    for unstoppable in [true, false] {
        {
            let mut controller = controller.lock().unwrap();
            controller.unstoppable = unstoppable;
            controller.loaded = "pick_rack_1.urp".to_owned();
            controller.looks_left = 50;
            controller.counters = Counters { started: 11, finished: 9 };
        }
        let outcome = arm.attend(&transfer(), &snapshot, &aborting()).await;
        assert_eq!(is_silent(&outcome), unstoppable, "{outcome:?}");
        assert_eq!(matches!(outcome, Err(Fault::Aborted { .. })), !unstoppable, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_pick_that_closes_on_nothing_puts_nothing_down() {
    let (controller, _, _, mut arm) = arm().await;
    controller.lock().unwrap().nothing_there = true;
    arm.prepare(&transfer(), &attention()).await.unwrap();
    let outcome = arm.execute(&transfer(), &attention()).await;
    assert!(is_partial(&outcome, codes::ARM_EMPTY), "{outcome:?}");
    assert_eq!(controller.lock().unwrap().played, ["pick_rack_1.urp"]);
}

#[tokio::test]
async fn a_paused_program_is_stopped_by_the_safe_state() {
    let (controller, _, _, mut arm) = arm().await;
    controller.lock().unwrap().paused = true;
    arm.make_safe("test").await.unwrap();
    assert!(!controller.lock().unwrap().paused, "nobody can make it go on by answering a popup");
}

#[tokio::test]
async fn a_program_that_breaks_off_leaves_the_sample_somewhere() {
    let (controller, _, _, mut arm) = arm().await;
    arm.prepare(&transfer(), &attention()).await.unwrap();
    controller.lock().unwrap().breaks = true;
    let outcome = arm.execute(&transfer(), &attention()).await;
    assert!(is_partial(&outcome, codes::ARM_PART_WAY), "{outcome:?}");
}
