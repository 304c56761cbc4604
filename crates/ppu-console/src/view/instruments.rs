//! Instrument cards.

use ppu_proto::device::v1::{DeviceState, Reading};
use ppu_proto::lab::v1::{Device, GetLabResponse};

use super::format;
use super::when::When;
use super::words::{self, StateView};
use crate::svg::share_bar;

/// One instrument.
#[derive(Debug, Clone, PartialEq)]
pub struct CardView {
    /// Its id.
    pub id: String,
    /// Maker and model, or the kind of driver; says so when its driver was never reached.
    pub model: String,
    /// What it is doing.
    pub state: StateView,
    /// Since when.
    pub since: Option<When>,
    /// Title of the step under way; empty for none.
    pub step_title: String,
    /// Run of that step; empty for none.
    pub run: String,
    /// Sample that stands in it; empty for none.
    pub sample: String,
    /// Last readings.
    pub readings: Vec<ReadingView>,
    /// "63 %".
    pub utilisation: String,
    /// The same as a bar.
    pub utilisation_bar: String,
    /// Commands carried out.
    pub commands: u64,
    /// Why it cannot be used; empty when it can.
    pub problem: String,
    /// Whether it waits for a person who clears it.
    pub needs_clear: bool,
}

/// One reading.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadingView {
    /// Name as words.
    pub label: String,
    /// Value.
    pub value: String,
    /// Unit; empty for a pure number.
    pub unit: String,
    /// When it was taken.
    pub taken: Option<When>,
    /// Whether it can be believed.
    pub good: bool,
}

/// Every instrument, in the order of the lab file.
pub fn cards(lab: &GetLabResponse) -> Vec<CardView> {
    lab.devices.iter().map(|device| card(lab, device)).collect()
}

fn card(lab: &GetLabResponse, device: &Device) -> CardView {
    let manifest = device.manifest.as_ref();
    let model = manifest.map(|manifest| if manifest.model.is_empty() { &manifest.driver } else { &manifest.model });
    let standing = lab
        .samples
        .iter()
        .find(|sample| !device.sample_position.is_empty() && sample.position == device.sample_position);
    CardView {
        id: device.id.clone(),
        model: model.map_or_else(|| "driver not reached yet".to_owned(), Clone::clone),
        state: words::device(device.state()),
        since: When::some(device.since_ms).filter(|_| device.state() != DeviceState::Idle),
        step_title: device.step_title.clone(),
        run: device.step.split_once('/').map_or(String::new(), |(run, _)| run.to_owned()),
        sample: standing.map_or(String::new(), |sample| sample.id.clone()),
        readings: device.readings.iter().map(reading).collect(),
        utilisation: format!("{} %", format::fixed((device.utilisation * 100.0).clamp(0.0, 100.0), 0)),
        // Whole percents, so that a card changes only when what it shows does.
        utilisation_bar: share_bar((device.utilisation * 100.0).round() / 100.0),
        commands: device.commands,
        problem: device.problem.clone(),
        needs_clear: device.needs_clear,
    }
}

fn reading(reading: &Reading) -> ReadingView {
    let (value, unit) = format::value(reading.value.as_ref());
    ReadingView {
        label: format::label(&reading.name),
        value,
        unit,
        taken: When::some(reading.time_ms),
        good: reading.good,
    }
}
