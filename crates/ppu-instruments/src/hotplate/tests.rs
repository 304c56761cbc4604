use super::*;
use crate::testing::{
    Device, Shared, Trouble, aborting, attention, is_partial, is_refused, is_silent, quantity, request, side_by_side,
    take_line,
};

#[derive(Default)]
struct FakePlate {
    speed: f64,
    speed_setpoint: f64,
    temperature_setpoint: f64,
    plate: f64,
    heating: bool,
    starts: u32,
    /// Writes that are taken without effect.
    ignored: u32,
    /// The bar comes loose.
    loose: bool,
    /// Answers to questions about the speed.
    looks: u32,
    /// A setpoint of zero degrees is not taken.
    ignores_zero: bool,
}

impl Device for FakePlate {
    fn question(&self, received: &mut Vec<u8>) -> Option<Vec<u8>> {
        take_line(received, b"\r\n")
    }

    fn answer(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        let text = String::from_utf8(question.to_vec()).unwrap();
        assert!(text.ends_with(" \r\n"), "{text:?}");
        let mut words = text.split_ascii_whitespace();
        let (command, value) = (words.next().unwrap(), words.next().map(|value| value.parse::<f64>().unwrap()));
        if self.ignored > 0 && (command.starts_with("OUT") || command.starts_with("ST")) {
            self.ignored -= 1;
            return None;
        }
        if self.heating {
            self.plate += 0.5;
        }
        let reply = match command {
            "IN_NAME" => "SIM-plate C-MAG HS7".to_owned(),
            "IN_PV_1" => "22.5 1".to_owned(),
            "IN_PV_2" => format!("{:.1} 2", self.plate),
            "IN_PV_4" => {
                self.looks += 1;
                format!("{:.1} 4", if self.loose { self.speed / 3.0 } else { self.speed })
            }
            "IN_SP_1" => format!("{:.1} 1", self.temperature_setpoint),
            "IN_SP_4" => format!("{:.1} 4", self.speed_setpoint),
            "OUT_SP_1" if self.ignores_zero && value == Some(0.0) => return None,
            "OUT_SP_1" => {
                self.temperature_setpoint = value.unwrap();
                return None;
            }
            "OUT_SP_4" => {
                self.speed_setpoint = value.unwrap();
                return None;
            }
            "START_4" => {
                (self.speed, self.starts) = (self.speed_setpoint, self.starts + 1);
                return None;
            }
            "STOP_4" => {
                self.speed = 0.0;
                return None;
            }
            "START_1" | "STOP_1" => {
                self.heating = command == "START_1";
                return None;
            }
            other => panic!("unknown command {other}"),
        };
        Some(format!("{reply}\r\n").into_bytes())
    }
}

fn plate() -> (Shared<FakePlate>, Hotplate) {
    let fake = Shared::new(FakePlate { plate: 22.0, ..FakePlate::default() });
    let plate = Hotplate::new(fake.port(), HotplateSettings::default());
    (fake, plate)
}

fn stir() -> Request {
    request("stir", [("speed", quantity(600.0, Unit::Rpm)), ("duration", quantity(100.0, Unit::Second))])
}

#[tokio::test]
async fn stirring_lasts_its_time_and_ends() {
    let (fake, mut plate) = plate();
    assert_eq!(plate.connect().await.unwrap(), "SIM-plate");
    let timer = LabTimer::start(&attention());
    let done = plate.execute(&stir(), &attention()).await.unwrap();
    assert!(timer.elapsed_s() >= 100.0);
    assert_eq!(done.results["speed"], quantity(600.0, Unit::Rpm));
    assert_eq!(fake.look(|plate| (plate.speed, plate.starts)), (0.0, 1));
}

#[tokio::test]
async fn an_ignored_write_is_noticed_repeated_and_then_refused() {
    let (fake, mut plate) = plate();
    fake.look(|plate| plate.ignored = 1);
    plate.execute(&stir(), &attention()).await.unwrap();
    fake.look(|plate| (plate.ignored, plate.speed_setpoint) = (100, 0.0));
    assert!(is_refused(&plate.execute(&stir(), &attention()).await, codes::PLATE_WRITE_IGNORED));
    let heat = request("set_temperature", [("temperature", quantity(80.0, Unit::Celsius))]);
    assert!(is_refused(&plate.execute(&heat, &attention()).await, codes::PLATE_WRITE_IGNORED));
}

#[tokio::test]
async fn a_late_or_garbled_reply_is_never_a_value() {
    side_by_side([Trouble::Late(400), Trouble::Garbled, Trouble::LostReply].map(|trouble| async move {
        let (fake, mut plate) = plate();
        fake.expect(b"IN_PV_2", trouble);
        let readings = plate.read().await.unwrap();
        let values: Vec<_> = readings.iter().map(|reading| reading.value.clone()).collect();
        assert_eq!(values[..2], [quantity(22.0, Unit::Celsius), quantity(22.5, Unit::Celsius)], "{trouble:?}");
        assert!(fake.all_met());
    }))
    .await;
}

#[tokio::test]
async fn a_plate_that_never_answers_is_silent() {
    let (fake, mut plate) = plate();
    for _ in 0..ATTEMPTS {
        fake.expect(b"IN_SP_4", Trouble::LostReply);
    }
    assert!(is_silent(&plate.execute(&stir(), &attention()).await));
}

#[tokio::test]
async fn a_heater_that_ignores_its_switch_off_was_still_heating() {
    let (fake, mut plate) = plate();
    fake.look(|plate| plate.ignores_zero = true);
    let heat = request("set_temperature", [("temperature", quantity(80.0, Unit::Celsius))]);
    let outcome = plate.execute(&heat, &aborting()).await;
    assert!(is_silent(&outcome), "it heated, whatever became of the switching off: {outcome:?}");
}

#[tokio::test]
async fn a_loose_bar_is_a_fault_and_an_abort_stops_the_bar() {
    let (fake, mut plate) = plate();
    let outcome = plate.execute(&stir(), &aborting()).await;
    assert!(matches!(outcome, Err(Fault::Aborted { .. })), "{outcome:?}");
    assert_eq!(fake.look(|plate| plate.speed), 0.0);
    let look = fake.clone();
    let loosen = tokio::spawn(async move {
        // A level, not an edge: the bar comes loose once it turns and was seen to.
        let turns = |plate: &mut FakePlate| plate.speed > 0.0 && plate.looks >= 2;
        while !look.look(turns) {
            tokio::task::yield_now().await;
        }
        look.look(|plate| plate.loose = true);
    });
    fake.look(|plate| plate.looks = 0);
    let outcome = plate.execute(&stir(), &attention()).await;
    tokio::time::timeout(Duration::from_secs(10), loosen).await.unwrap().unwrap();
    assert!(is_partial(&outcome, codes::STIRRER_SPEED), "{outcome:?}");
    assert_eq!(fake.look(|plate| plate.speed), 0.0);
}

#[tokio::test]
async fn heating_is_proven_by_the_plate_and_switched_off_by_its_setpoint() {
    let (fake, mut plate) = plate();
    let heat = request("set_temperature", [("temperature", quantity(80.0, Unit::Celsius))]);
    plate.execute(&heat, &attention()).await.unwrap();
    assert!(fake.look(|plate| plate.heating));
    plate.make_safe("test").await.unwrap();
    assert_eq!(fake.look(|plate| (plate.heating, plate.temperature_setpoint)), (false, 0.0));
}
