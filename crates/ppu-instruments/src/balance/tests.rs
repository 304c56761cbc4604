use super::*;
use crate::testing::{
    Device, Shared, Trouble, attention, is_refused, is_silent, quantity, request, side_by_side, take_line,
};

struct FakeBalance {
    mass_g: f64,
    busy: u32,
    overload: bool,
    defect: bool,
    /// Added to the answers one after another, in grams.
    wobble: Vec<f64>,
    /// Sent before the next answer.
    unsolicited: Option<&'static str>,
    weighings: u32,
    /// Is busy for ever after it has set zero.
    busy_after_zero: bool,
    serial: &'static str,
}

impl Device for FakeBalance {
    fn question(&self, received: &mut Vec<u8>) -> Option<Vec<u8>> {
        take_line(received, b"\r\n")
    }

    fn answer(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        let command = std::str::from_utf8(question).unwrap().trim_end();
        let mut reply = self.unsolicited.take().map(|line| format!("{line}\r\n")).unwrap_or_default();
        reply.push_str(&match command {
            "I4" => format!("I4 A \"{}\"", self.serial),
            _ if self.busy > 0 => {
                self.busy -= 1;
                format!("{command} I")
            }
            _ if self.overload => format!("{command} +"),
            "S" if self.defect => "S S Error 10b".to_owned(),
            "S" => {
                self.weighings += 1;
                let mass = self.mass_g + self.wobble.pop().unwrap_or(0.0);
                format!("S S {mass:>10.4} g")
            }
            "SI" => format!("S D {:>10.4} g", self.mass_g),
            "Z" => {
                self.busy = if self.busy_after_zero { u32::MAX } else { 0 };
                "Z A".to_owned()
            }
            "T" => format!("T S {:>10.4} g", self.mass_g),
            _ => "ES".to_owned(),
        });
        Some(format!("{reply}\r\n").into_bytes())
    }
}

fn balance() -> (Shared<FakeBalance>, Balance) {
    let fake = Shared::new(FakeBalance {
        mass_g: 12.345,
        busy: 0,
        overload: false,
        defect: false,
        wobble: Vec::new(),
        unsolicited: None,
        weighings: 0,
        busy_after_zero: false,
        serial: "SIM123",
    });
    let balance = Balance::new(fake.port(), BalanceSettings::default());
    (fake, balance)
}

async fn weigh(balance: &mut Balance) -> Result<Value, Fault> {
    Ok(balance.execute(&request("weigh", []), &attention()).await?.results["mass"].clone())
}

#[tokio::test]
async fn a_stable_weight_is_reported_in_milligrams() {
    let (fake, mut balance) = balance();
    assert_eq!(balance.connect().await.unwrap(), "SIM123");
    fake.look(|balance| balance.busy = 3);
    assert_eq!(weigh(&mut balance).await.unwrap(), quantity(12_345.0, Unit::Milligram));
    balance.execute(&request("zero", []), &attention()).await.unwrap();
    balance.execute(&request("tare", []), &attention()).await.unwrap();
}

#[tokio::test]
async fn a_late_lost_or_garbled_weight_is_weighed_again() {
    side_by_side([Trouble::Late(700), Trouble::LostReply, Trouble::Garbled].map(|trouble| async move {
        let (fake, mut balance) = balance();
        fake.expect(b"S\r\n", trouble);
        assert_eq!(weigh(&mut balance).await.unwrap(), quantity(12_345.0, Unit::Milligram), "{trouble:?}");
        assert!(fake.all_met());
    }))
    .await;
}

#[tokio::test]
async fn a_single_wrong_digit_is_never_the_result() {
    let (fake, mut balance) = balance();
    // The line has no checksum: one reading is off by a digit.
    fake.look(|balance| balance.wobble = vec![40.0]);
    assert_eq!(weigh(&mut balance).await.unwrap(), quantity(12_345.0, Unit::Milligram));
    assert_eq!(fake.look(|balance| balance.weighings), 3);
    fake.look(|balance| balance.wobble = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    assert!(is_refused(&weigh(&mut balance).await, codes::BALANCE_DISAGREES));
}

#[tokio::test]
async fn an_unsolicited_line_is_no_answer() {
    let (fake, mut balance) = balance();
    fake.look(|balance| balance.unsolicited = Some("I4 A \"SIM123\""));
    assert_eq!(weigh(&mut balance).await.unwrap(), quantity(12_345.0, Unit::Milligram));
}

#[tokio::test]
async fn refusals_of_the_balance_are_refusals() {
    let (fake, mut balance) = balance();
    fake.look(|balance| balance.defect = true);
    assert!(is_refused(&weigh(&mut balance).await, codes::BALANCE_DEFECT));
    fake.look(|balance| balance.overload = true);
    assert!(is_refused(&weigh(&mut balance).await, codes::BALANCE_RANGE));
    fake.look(|balance| (balance.overload, balance.busy) = (false, u32::MAX));
    assert!(is_refused(&weigh(&mut balance).await, codes::BALANCE_UNSTABLE));
}

#[tokio::test]
async fn a_zero_whose_answer_was_lost_is_never_refused() {
    let (fake, mut balance) = balance();
    fake.look(|balance| balance.busy = u32::MAX);
    assert!(is_refused(&balance.execute(&request("zero", []), &attention()).await, codes::BALANCE_UNSTABLE));
    fake.look(|balance| (balance.busy, balance.busy_after_zero) = (0, true));
    fake.expect(b"Z\r\n", Trouble::LostReply);
    let outcome = balance.execute(&request("zero", []), &attention()).await;
    assert!(is_silent(&outcome), "zero was set and its repetition refused: {outcome:?}");
}

#[tokio::test]
async fn another_balance_on_the_line_is_noticed() {
    let (fake, mut balance) = balance();
    balance.connect().await.unwrap();
    fake.look(|balance| balance.serial = "SIM456");
    assert!(is_refused(&balance.connect().await, ppu_driver::codes::WRONG_DEVICE));
}

#[tokio::test]
async fn a_balance_that_is_gone_is_silent() {
    let (near, far) = tokio::io::duplex(64);
    drop(far);
    let port = Port::from_line(ppu_driver::transport::Line::new("test", near).into_boxed());
    let mut balance = Balance::new(port, BalanceSettings::default());
    assert!(is_silent(&weigh(&mut balance).await));
}
