use std::collections::BTreeMap;

use super::*;
use crate::testing::{
    Device, Shared, Trouble, aborting, attention, is_partial, is_refused, is_silent, quantity, request,
};

/// A controller whose programme takes a number of looks at the mode.
struct FakeController {
    registers: BTreeMap<u16, u16>,
    runs: u32,
    looks_left: u32,
    /// Registers that forget what is written to them.
    stuck: Option<u16>,
    ignores_run: bool,
    /// Questions are refused once a programme runs.
    refuses_while_running: bool,
}

impl FakeController {
    fn new() -> Shared<FakeController> {
        let registers = [
            (1, 250),
            (2, 200),
            (4, 0),
            (5, 200),
            (23, 1),
            (75, 0),
            (76, 0xFFFF),
            (87, 0),
            (107, 0x0203),
            (122, 0x3016),
        ];
        Shared::new(FakeController {
            registers: BTreeMap::from(registers),
            runs: 0,
            looks_left: 0,
            stuck: None,
            ignores_run: false,
            refuses_while_running: false,
        })
    }

    fn write(&mut self, address: u16, word: u16) {
        match address {
            10_573 if !self.ignores_run => {
                self.runs += 1;
                self.looks_left = 6;
                self.registers.insert(23, 2);
            }
            10_573 | 274 => {}
            10_575 => {
                self.registers.insert(23, 1);
            }
            _ if self.stuck == Some(address) => {}
            _ => {
                self.registers.insert(address, word);
            }
        }
    }

    fn read(&mut self, address: u16) -> u16 {
        if address == 23 && self.registers[&23] == 2 {
            self.looks_left -= 1;
            let (mode, temperature) = if self.looks_left == 0 { (16, 300) } else { (2, 1503) };
            self.registers.insert(23, mode);
            self.registers.insert(1, temperature);
        }
        self.registers.get(&address).copied().unwrap_or(0)
    }
}

impl Device for FakeController {
    fn question(&self, received: &mut Vec<u8>) -> Option<Vec<u8>> {
        let length = 6 + usize::from(u16::from_be_bytes([*received.get(4)?, *received.get(5)?]));
        (received.len() >= length).then(|| received.drain(..length).collect())
    }

    fn answer(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        let word = |at: usize| u16::from_be_bytes([question[at], question[at + 1]]);
        let pdu = match question[7] {
            3 if self.refuses_while_running && self.registers[&23] == 2 => vec![0x83, 4],
            3 => {
                let words: Vec<u8> = (0..word(10)).flat_map(|at| self.read(word(8) + at).to_be_bytes()).collect();
                [vec![3, words.len() as u8], words].concat()
            }
            6 => {
                self.write(word(8), word(10));
                question[7..12].to_vec()
            }
            function => vec![function | 0x80, 1],
        };
        let length = (pdu.len() as u16 + 1).to_be_bytes();
        Some([&question[..4], &length, &question[6..7], &pdu].concat())
    }
}

async fn furnace(fake: &Shared<FakeController>) -> Furnace {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let fake = fake.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(fake.clone().serve(stream));
        }
    });
    let mut furnace = Furnace::new(Connect::Tcp { address }, FurnaceSettings::default());
    assert_eq!(furnace.connect().await.unwrap(), "EPC3016-3016-0203");
    furnace
}

fn anneal() -> Request {
    request(
        "anneal",
        [
            ("temperature", quantity(150.0, Unit::Celsius)),
            ("duration", quantity(10.0, Unit::Minute)),
            ("ramp", quantity(10.0, Unit::KelvinPerMinute)),
        ],
    )
}

/// The bytes of a Modbus request for this function and address.
fn pdu(function: u8, address: u16) -> Vec<u8> {
    let [high, low] = address.to_be_bytes();
    vec![function, high, low]
}

#[tokio::test]
async fn an_anneal_is_programmed_run_and_reported() {
    let fake = FakeController::new();
    let mut furnace = furnace(&fake).await;
    furnace.prepare(&anneal(), &attention()).await.unwrap();
    assert_eq!(fake.look(|controller| controller.runs), 0);
    let done = furnace.execute(&anneal(), &attention()).await.unwrap();
    assert_eq!(done.results["peak_temperature"], quantity(150.3, Unit::Celsius));
    assert_eq!(done.results["dwell"], quantity(10.0, Unit::Minute));
    assert_eq!(fake.look(|controller| (controller.runs, controller.registers[&8337])), (1, 1500));
    // The completed programme is acknowledged when the next one is prepared.
    furnace.prepare(&anneal(), &attention()).await.unwrap();
    assert_eq!(fake.look(|controller| controller.registers[&23]), 1);
}

#[tokio::test]
async fn a_late_or_lost_reply_to_a_question_is_never_a_value() {
    let fake = FakeController::new();
    let mut furnace = furnace(&fake).await;
    for trouble in [Trouble::Late(400), Trouble::LostReply] {
        fake.expect(&pdu(3, 1), trouble);
        let readings = furnace.read().await.unwrap();
        assert_eq!(readings[0].value, quantity(25.0, Unit::Celsius), "{trouble:?}");
        assert_eq!(readings[1].value, quantity(20.0, Unit::Celsius), "{trouble:?}");
        assert!(fake.all_met());
    }
}

#[tokio::test]
async fn a_run_command_without_answer_is_silent_and_resolved_from_the_mode() {
    for (trouble, expected) in
        [(Trouble::LostReply, Recovered::Running), (Trouble::LostRequest, Recovered::NeverStarted)]
    {
        let fake = FakeController::new();
        let mut furnace = furnace(&fake).await;
        let snapshot = furnace.prepare(&anneal(), &attention()).await.unwrap();
        fake.expect(&pdu(6, register::RUN), trouble);
        assert!(is_silent(&furnace.execute(&anneal(), &attention()).await));
        furnace.connect().await.unwrap();
        let recovered = furnace.recover(&anneal(), &snapshot, &attention()).await.unwrap();
        assert_eq!(recovered, expected, "{trouble:?}");
        if recovered == Recovered::Running {
            let done = furnace.attend(&anneal(), &snapshot, &attention()).await.unwrap();
            assert!(!done.results.contains_key("peak_temperature"));
            let recovered = furnace.recover(&anneal(), &snapshot, &attention()).await.unwrap();
            assert!(matches!(recovered, Recovered::Finished(Ok(_))), "{recovered:?}");
            assert_eq!(fake.look(|controller| controller.runs), 1);
        }
    }
}

#[tokio::test]
async fn a_refused_question_in_mid_anneal_refuses_nothing_of_the_anneal() {
    let fake = FakeController::new();
    let mut furnace = furnace(&fake).await;
    furnace.prepare(&anneal(), &attention()).await.unwrap();
    fake.look(|controller| controller.refuses_while_running = true);
    let outcome = furnace.execute(&anneal(), &attention()).await;
    assert!(is_silent(&outcome), "{outcome:?}");
    assert_eq!(fake.look(|controller| controller.runs), 1);
}

#[tokio::test]
async fn a_programme_that_runs_for_too_long_has_not_ended() {
    let fake = FakeController::new();
    let mut furnace = furnace(&fake).await;
    let snapshot = furnace.prepare(&anneal(), &attention()).await.unwrap();
    fake.look(|controller| (controller.looks_left, _) = (u32::MAX, controller.registers.insert(23, 2)));
    let impatient = Attention::new(1e7, tokio::sync::watch::channel(false).1);
    let outcome = furnace.attend(&anneal(), &snapshot, &impatient).await;
    assert!(is_silent(&outcome), "{outcome:?}");
    assert_eq!(furnace.recover(&anneal(), &snapshot, &attention()).await.unwrap(), Recovered::Running);
}

#[tokio::test]
async fn a_reset_after_heating_or_a_power_failure_is_no_proof_of_never_started() {
    let fake = FakeController::new();
    let mut furnace = furnace(&fake).await;
    let snapshot = furnace.prepare(&anneal(), &attention()).await.unwrap();
    fake.look(|controller| controller.registers.insert(1, 900));
    let warm = furnace.recover(&anneal(), &snapshot, &attention()).await.unwrap();
    assert!(matches!(warm, Recovered::Unknown(_)), "{warm:?}");
    fake.look(|controller| controller.registers.extend([(1, 250), (87, 1 << 7)]));
    let failed = furnace.recover(&anneal(), &snapshot, &attention()).await.unwrap();
    assert!(matches!(failed, Recovered::Unknown(_)), "{failed:?}");
}

#[tokio::test]
async fn a_furnace_that_may_not_start_is_refused() {
    let fake = FakeController::new();
    let mut furnace = furnace(&fake).await;
    let set = |address: u16, word: u16| fake.look(|controller| controller.registers.insert(address, word));
    set(1, 900);
    assert!(is_refused(&furnace.prepare(&anneal(), &attention()).await, codes::FURNACE_BUSY));
    set(1, 250);
    set(23, 4);
    assert!(is_refused(&furnace.prepare(&anneal(), &attention()).await, codes::FURNACE_BUSY));
    set(23, 1);
    set(75, register::SENSOR_BREAK);
    set(76, !register::SENSOR_BREAK);
    assert!(is_refused(&furnace.prepare(&anneal(), &attention()).await, codes::FURNACE_SENSOR));
    set(75, 0);
    // A status word that does not fit its inverse is not believed.
    assert!(is_refused(&furnace.prepare(&anneal(), &attention()).await, ppu_driver::codes::BAD_REPLY));
    set(76, 0xFFFF);
    fake.look(|controller| controller.stuck = Some(8337));
    assert!(is_refused(&furnace.prepare(&anneal(), &attention()).await, codes::FURNACE_PROGRAMME));
}

#[tokio::test]
async fn faults_of_a_running_programme_say_what_is_known() {
    let fake = FakeController::new();
    let mut furnace = furnace(&fake).await;
    furnace.prepare(&anneal(), &attention()).await.unwrap();
    let outcome = furnace.execute(&anneal(), &aborting()).await;
    assert!(matches!(outcome, Err(Fault::Aborted { .. })), "{outcome:?}");
    assert_eq!(fake.look(|controller| controller.registers[&23]), 1);
    fake.look(|controller| controller.registers.insert(1, 250));
    let snapshot = furnace.prepare(&anneal(), &attention()).await.unwrap();
    fake.look(|controller| {
        controller.registers.extend([(23, 4), (75, register::SENSOR_BREAK), (76, !register::SENSOR_BREAK)]);
    });
    assert!(is_partial(&furnace.attend(&anneal(), &snapshot, &attention()).await, codes::FURNACE_SENSOR));
    assert_eq!(fake.look(|controller| controller.registers[&23]), 1);
    fake.look(|controller| controller.registers.extend([(75, 0), (76, 0xFFFF)]));
    assert!(is_partial(&furnace.attend(&anneal(), &snapshot, &attention()).await, codes::FURNACE_RESET));
    fake.look(|controller| controller.ignores_run = true);
    furnace.prepare(&anneal(), &attention()).await.unwrap();
    assert!(is_refused(&furnace.execute(&anneal(), &attention()).await, codes::FURNACE_NOT_STARTED));
}
