use super::*;
use crate::testing::{
    Device, Shared, Trouble, attention, is_partial, is_refused, is_silent, quantity, request, side_by_side,
};

/// A pump that keeps the last frame, as the real one does.
struct FakePump {
    step: u32,
    port: u32,
    error: u8,
    busy_looks: u32,
    moves: u32,
    initialisations: u32,
    /// The plunger stops here with an overload.
    blocked_at: Option<u32>,
    last: Option<(u8, Vec<u8>)>,
    /// Takes a move and does not make it.
    lame: bool,
}

impl FakePump {
    fn new() -> Shared<FakePump> {
        Shared::new(FakePump {
            step: 0,
            port: 1,
            error: 0,
            busy_looks: 0,
            moves: 0,
            initialisations: 0,
            blocked_at: None,
            last: None,
            lame: false,
        })
    }

    fn number(string: &str, letter: char) -> Option<u32> {
        let rest = string.split_once(letter)?.1;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    }

    fn act(&mut self, string: &str) -> String {
        match string {
            "Q" => self.busy_looks = self.busy_looks.saturating_sub(1),
            "?" => return self.step.to_string(),
            "?6" => return self.port.to_string(),
            "?76" => return "SIM-pump-1 XLP 6000".to_owned(),
            "?23" => return "rev 4".to_owned(),
            string if string.starts_with('Z') => {
                self.initialisations += 1;
                (self.step, self.error, self.busy_looks) = (0, 0, 2);
            }
            "T" => self.busy_looks = 0,
            // To where it stands, through the port that is open: no motion.
            other if FakePump::number(other, 'I').is_none() => {
                assert_eq!(FakePump::number(other, 'A'), Some(self.step), "{other}");
            }
            _ if self.lame => self.moves += 1,
            other if self.error != 7 => {
                self.moves += 1;
                self.port = FakePump::number(other, 'I').unwrap();
                let target = FakePump::number(other, 'A').unwrap();
                self.busy_looks = 3;
                self.step = target;
                if let Some(blocked) = self.blocked_at {
                    (self.step, self.error) = (blocked, 9);
                }
            }
            _ => {}
        }
        String::new()
    }
}

impl Device for FakePump {
    fn question(&self, received: &mut Vec<u8>) -> Option<Vec<u8>> {
        let end = received.iter().position(|byte| *byte == 3)? + 2;
        (received.len() >= end).then(|| received.drain(..end).collect())
    }

    fn answer(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        let sequence = question[2] & 0x07;
        let repeated = question[2] & 0x08 != 0;
        if let Some((last, answer)) = &self.last
            && repeated
            && *last == sequence
        {
            return Some(answer.clone());
        }
        let string = String::from_utf8(question[3..question.len() - 2].to_vec()).unwrap();
        let data = self.act(&string);
        let status = if self.busy_looks > 0 { 0x40 } else { 0x60 } | self.error;
        let mut frame = vec![0x02, b'0', status];
        frame.extend_from_slice(data.as_bytes());
        frame.push(0x03);
        frame.push(frame.iter().fold(0, |sum, byte| sum ^ byte));
        self.last = Some((sequence, frame.clone()));
        Some(frame)
    }
}

fn pump(fake: &Shared<FakePump>) -> SyringePump {
    SyringePump::new(fake.port(), SyringePumpSettings::default())
}

fn aspirate(volume_ul: f64) -> Request {
    request("aspirate", [("port", Value::Integer(3)), ("volume", quantity(volume_ul, Unit::Microlitre))])
}

fn dispense(volume_ul: f64, all: bool) -> Request {
    let volume = quantity(volume_ul, Unit::Microlitre);
    request("dispense", [("port", Value::Integer(5)), ("volume", volume), ("all", Value::Flag(all))])
}

async fn run(pump: &mut SyringePump, request: &Request) -> Result<Done, Fault> {
    pump.prepare(request, &attention()).await?;
    pump.execute(request, &attention()).await
}

#[tokio::test]
async fn a_volume_is_drawn_and_pushed_out_and_both_are_proven() {
    let fake = FakePump::new();
    let mut pump = pump(&fake);
    assert_eq!(pump.connect().await.unwrap(), "SIM-pump-1");
    let done = run(&mut pump, &aspirate(100.0)).await.unwrap();
    assert_eq!(done.results["plunger_position"], Value::Integer(2400));
    assert_eq!(done.results["volume"], quantity(100.0, Unit::Microlitre));
    assert_eq!(fake.look(|pump| (pump.step, pump.port, pump.moves)), (2400, 3, 1));
    let done = run(&mut pump, &dispense(25.0, false)).await.unwrap();
    assert_eq!(done.results["volume"], quantity(25.0, Unit::Microlitre));
    let done = run(&mut pump, &dispense(0.0, true)).await.unwrap();
    assert_eq!(done.results["volume"], quantity(75.0, Unit::Microlitre));
    assert_eq!(fake.look(|pump| (pump.step, pump.port, pump.moves)), (0, 5, 3));
}

#[tokio::test]
async fn a_move_whose_answer_is_lost_garbled_or_late_is_executed_once() {
    let troubles = [Trouble::LostReply, Trouble::Garbled, Trouble::Late(400), Trouble::LostRequest, Trouble::Noise];
    side_by_side(troubles.map(|trouble| async move {
        let fake = FakePump::new();
        let mut pump = pump(&fake);
        fake.expect(b"A2400", trouble);
        let done = run(&mut pump, &aspirate(100.0)).await.unwrap();
        assert_eq!(done.results["plunger_position"], Value::Integer(2400), "{trouble:?}");
        assert!(fake.all_met() && fake.look(|pump| pump.moves) == 1, "{trouble:?}");
    }))
    .await;
}

#[tokio::test]
async fn a_garbled_or_late_position_is_asked_again_and_never_believed() {
    let fake = FakePump::new();
    fake.look(|pump| pump.step = 1200);
    let mut pump = pump(&fake);
    for trouble in [Trouble::Garbled, Trouble::Late(400)] {
        fake.expect(b"?\x03", trouble);
        let readings = pump.read().await.unwrap();
        assert_eq!(readings[1].value, Value::Integer(1200), "{trouble:?}");
        assert_eq!(readings[2].value, Value::Integer(1), "{trouble:?}");
        assert!(fake.all_met());
    }
}

#[tokio::test]
async fn silence_in_mid_move_is_resolved_from_the_positions() {
    side_by_side([(Trouble::LostReply, 1), (Trouble::LostRequest, 0)].map(|(trouble, moves)| async move {
        let fake = FakePump::new();
        let mut pump = pump(&fake);
        let request = aspirate(50.0);
        let snapshot = pump.prepare(&request, &attention()).await.unwrap();
        for _ in 0..ATTEMPTS {
            fake.expect(b"A1200", trouble);
        }
        assert!(is_silent(&pump.execute(&request, &attention()).await));
        assert_eq!(fake.look(|pump| pump.moves), moves);
        fake.look(|pump| pump.busy_looks = 0);
        let recovered = pump.recover(&request, &snapshot, &attention()).await.unwrap();
        match moves {
            0 => {
                assert_eq!(recovered, Recovered::NeverStarted);
                pump.execute(&request, &attention()).await.unwrap();
                assert_eq!(fake.look(|pump| (pump.moves, pump.step)), (1, 1200));
            }
            _ => assert!(matches!(recovered, Recovered::Finished(Ok(_))), "{recovered:?}"),
        }
    }))
    .await;
}

#[tokio::test]
async fn a_pump_that_is_still_moving_is_attended_to() {
    let fake = FakePump::new();
    let mut pump = pump(&fake);
    let request = aspirate(50.0);
    let snapshot = pump.prepare(&request, &attention()).await.unwrap();
    fake.look(|pump| (pump.step, pump.port, pump.busy_looks) = (1200, 3, 4));
    assert_eq!(pump.recover(&request, &snapshot, &attention()).await.unwrap(), Recovered::Running);
    let done = pump.attend(&request, &snapshot, &attention()).await.unwrap();
    assert_eq!(done.results["volume"], quantity(50.0, Unit::Microlitre));
}

#[tokio::test]
async fn a_move_that_was_taken_and_does_not_show_or_end_is_never_refused() {
    let fake = FakePump::new();
    let mut pump = pump(&fake);
    pump.prepare(&aspirate(50.0), &attention()).await.unwrap();
    fake.look(|pump| pump.lame = true);
    let outcome = pump.execute(&aspirate(50.0), &attention()).await;
    assert!(is_silent(&outcome), "{outcome:?}");
    fake.look(|pump| pump.lame = false);
    let snapshot = pump.prepare(&aspirate(50.0), &attention()).await.unwrap();
    fake.look(|pump| pump.busy_looks = u32::MAX);
    let impatient = Attention::new(100_000.0, tokio::sync::watch::channel(false).1);
    let outcome = pump.attend(&aspirate(50.0), &snapshot, &impatient).await;
    assert!(is_silent(&outcome), "a pump that still moves has not ended: {outcome:?}");
}

#[tokio::test]
async fn a_lost_reference_is_found_before_it_is_wiped_out() {
    let fake = FakePump::new();
    let mut pump = pump(&fake);
    let request = aspirate(50.0);
    let snapshot = pump.prepare(&request, &attention()).await.unwrap();
    fake.look(|pump| (pump.error, pump.step) = (7, 0));
    pump.connect().await.unwrap();
    let recovered = pump.recover(&request, &snapshot, &attention()).await.unwrap();
    assert!(matches!(recovered, Recovered::Unknown(_)), "{recovered:?}");
    assert_eq!(fake.look(|pump| pump.initialisations), 0);
    pump.prepare(&request, &attention()).await.unwrap();
    assert_eq!(fake.look(|pump| pump.initialisations), 1);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_before_anything_moves() {
    let fake = FakePump::new();
    let mut pump = pump(&fake);
    assert!(is_refused(&run(&mut pump, &dispense(10.0, false)).await, codes::PUMP_STROKE));
    assert!(is_refused(&run(&mut pump, &dispense(0.0, false)).await, codes::PUMP_STROKE));
    assert!(is_refused(&run(&mut pump, &dispense(0.0, true)).await, codes::PUMP_STROKE));
    run(&mut pump, &aspirate(200.0)).await.unwrap();
    assert!(is_refused(&run(&mut pump, &aspirate(60.0)).await, codes::PUMP_STROKE));
    fake.look(|pump| pump.busy_looks = 100);
    assert!(is_refused(&run(&mut pump, &aspirate(10.0)).await, codes::PUMP_BUSY));
    assert_eq!(fake.look(|pump| pump.moves), 1);
}

#[tokio::test]
async fn an_overload_tells_how_far_the_plunger_came_and_needs_an_initialisation() {
    let fake = FakePump::new();
    let mut pump = pump(&fake);
    fake.look(|pump| pump.blocked_at = Some(600));
    let outcome = run(&mut pump, &aspirate(100.0)).await;
    assert!(is_partial(&outcome, codes::PUMP_OVERLOAD), "{outcome:?}");
    let Err(Fault::Partial { results, .. }) = outcome else { unreachable!() };
    assert_eq!(results["volume"], quantity(25.0, Unit::Microlitre));
    fake.look(|pump| (pump.error, pump.blocked_at) = (0, None));
    assert!(is_refused(&run(&mut pump, &aspirate(10.0)).await, codes::PUMP_OVERLOAD));
    run(&mut pump, &request("initialise", [])).await.unwrap();
    run(&mut pump, &aspirate(10.0)).await.unwrap();
}
