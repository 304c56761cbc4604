use super::*;
use crate::testing::{Device, Shared, Trouble, aborting, attention, is_partial, quantity, request, side_by_side};

const PIXELS: u16 = 64;

#[derive(Default)]
struct FakeSpectrometer {
    lamp: bool,
    laser: bool,
    outputs: u32,
    integration_us: u32,
    spectra: u32,
    /// Error of the next spectrum.
    error: u16,
    /// Switching off is refused.
    stuck_on: bool,
    sent: Vec<u32>,
}

impl Device for FakeSpectrometer {
    fn question(&self, received: &mut Vec<u8>) -> Option<Vec<u8>> {
        match obp::find(received) {
            ppu_driver::transport::Frame::Complete(length) => Some(received.drain(..length).collect()),
            _ => None,
        }
    }

    fn answer(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        let question = Message::decode(question).unwrap();
        self.sent.push(question.kind);
        let word = || u32::from_le_bytes(question.data.as_slice().try_into().unwrap());
        let mut error = 0;
        let data = match question.kind {
            obp::GET_SERIAL => b"SIMHDX0001".to_vec(),
            obp::GET_WAVELENGTH_COUNT => vec![2],
            obp::GET_WAVELENGTH_COEFFICIENT => [400.0_f32, 0.5][usize::from(question.data[0])].to_le_bytes().to_vec(),
            obp::SET_INTEGRATION => {
                self.integration_us = word();
                vec![]
            }
            obp::SET_LAMP if self.stuck_on && question.data == [0] => {
                error = 13;
                vec![]
            }
            obp::SET_LAMP => {
                self.lamp = question.data == [1];
                vec![]
            }
            obp::SET_GPIO_OUTPUTS => {
                self.outputs = word();
                vec![]
            }
            obp::SET_GPIO_VALUES => {
                self.laser = word() & self.outputs & 1 == 1;
                vec![]
            }
            obp::GET_RAW_SPECTRUM if self.error != 0 => {
                error = self.error;
                vec![]
            }
            obp::GET_RAW_SPECTRUM => {
                self.spectra += 1;
                let light = if self.lamp { 1000 } else { 0 } + if self.laser { 300 } else { 0 };
                (0..PIXELS).flat_map(|pixel| (100 + light + pixel).to_le_bytes()).collect()
            }
            _ => {
                error = 2;
                vec![]
            }
        };
        let wants_ack = question.flags & obp::FLAG_REQUEST_ACK != 0;
        let mut flags = obp::FLAG_RESPONSE;
        if error != 0 {
            flags |= obp::FLAG_NACK;
        } else if wants_ack {
            flags |= obp::FLAG_ACK;
        }
        Some(Message { flags, error, kind: question.kind, regarding: question.regarding, data }.encode())
    }
}

async fn spectrometer() -> (Shared<FakeSpectrometer>, Spectrometer) {
    let fake = Shared::new(FakeSpectrometer::default());
    let mut spectrometer = Spectrometer::new(fake.port(), SpectrometerSettings::default());
    assert_eq!(spectrometer.connect().await.unwrap(), "SIMHDX0001");
    (fake, spectrometer)
}

fn measure(command: &str) -> Request {
    request(command, [("integration", quantity(20.0, Unit::Millisecond)), ("averages", Value::Integer(4))])
}

fn json(done: &Done) -> serde_json::Value {
    serde_json::from_slice(&done.raw[0].bytes).unwrap()
}

#[tokio::test]
async fn each_kind_has_its_light_its_dark_and_its_artifact() {
    let (fake, mut spectrometer) = spectrometer().await;
    for (kind, light) in [("reference", 1100.0), ("absorbance", 1100.0), ("photoluminescence", 400.0)] {
        let done = spectrometer.execute(&measure(kind), &attention()).await.unwrap();
        let json = json(&done);
        assert_eq!((&json["kind"], &json["serial"]), (&kind.into(), &"SIMHDX0001".into()));
        assert_eq!((&json["counts"][0], &json["dark"][0]), (&light.into(), &100.0.into()), "{kind}");
        assert_eq!((&json["wavelength_nm"][63], &json["saturation"]), (&431.5.into(), &65535.into()));
        assert_eq!((&json["integration_us"], &json["averages"]), (&20_000.into(), &4.into()));
        assert_eq!(json["gain_counts_per_electron"], 0.35);
        assert_eq!(done.results["peak_counts"], quantity(light + 63.0, Unit::Counts));
        assert_eq!(fake.look(|device| (device.lamp, device.laser)), (false, false));
    }
}

#[tokio::test]
async fn a_garbled_late_or_lost_spectrum_is_measured_again() {
    side_by_side([Trouble::Garbled, Trouble::Late(1100), Trouble::LostReply, Trouble::Noise].map(
        |trouble| async move {
            let (fake, mut spectrometer) = spectrometer().await;
            fake.expect(&obp::GET_RAW_SPECTRUM.to_le_bytes(), trouble);
            let done = spectrometer.execute(&measure("absorbance"), &attention()).await.unwrap();
            assert_eq!(json(&done)["counts"][0], 1100.0, "{trouble:?}");
            assert!(fake.all_met());
        },
    ))
    .await;
}

#[tokio::test]
async fn the_light_goes_off_after_a_failure_and_an_abort() {
    let (fake, mut spectrometer) = spectrometer().await;
    fake.look(|device| device.error = 13);
    let outcome = spectrometer.execute(&measure("photoluminescence"), &attention()).await;
    assert!(is_partial(&outcome, codes::OPTICS_REFUSED), "the sample was lit: {outcome:?}");
    assert_eq!(fake.look(|device| (device.lamp, device.laser)), (false, false));
    fake.look(|device| device.error = 0);
    let outcome = spectrometer.execute(&measure("absorbance"), &aborting()).await;
    assert!(matches!(outcome, Err(Fault::Aborted { .. })), "{outcome:?}");
    assert_eq!(fake.look(|device| (device.lamp, device.laser)), (false, false));
}

#[tokio::test]
async fn a_lamp_that_stays_on_is_a_fault_of_its_own() {
    let (fake, mut spectrometer) = spectrometer().await;
    fake.look(|device| device.stuck_on = true);
    let outcome = spectrometer.execute(&measure("absorbance"), &attention()).await;
    assert!(is_partial(&outcome, codes::OPTICS_LIGHT_ON), "{outcome:?}");
    let readings = spectrometer.read().await.unwrap();
    assert_eq!((&readings[0].value, &readings[1].value), (&Value::Flag(true), &Value::Flag(false)));
    assert!(is_partial(&spectrometer.make_safe("test").await, codes::OPTICS_LIGHT_ON));
}
