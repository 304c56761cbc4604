//! What the lab has done, and what that was worth.

use ppu_proto::lab::v1::{CampaignCounters, DeviceCounters, Estimate, GetCountersResponse};

use super::format::{NOTHING, count, fixed, label, number};

/// A figure with its name and a remark.
#[derive(Debug, Clone, PartialEq)]
pub struct FigureView {
    /// Its name as words.
    pub label: String,
    /// Its value with the unit.
    pub value: String,
    /// What it means, or on what it rests.
    pub note: String,
}

/// A device in the table.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceRow {
    /// Its id.
    pub id: String,
    /// Attempts that did what was asked, that failed, and that were in doubt.
    pub counts: [u64; 3],
    /// Mean seconds of an attempt.
    pub mean: String,
    /// Share of the working time, per cent.
    pub busy: String,
    /// What it dispensed.
    pub material: String,
    /// What its hours cost.
    pub cost: String,
    /// Whether it limits the throughput.
    pub bottleneck: bool,
}

/// A campaign with its figures.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignFigures {
    /// Its id.
    pub id: String,
    /// Its figures.
    pub figures: Vec<FigureView>,
    /// The model behind those that need one.
    pub model: String,
}

/// The page.
#[derive(Debug, Clone, PartialEq)]
pub struct CountersView {
    /// Figures of the lab as a whole.
    pub lab: Vec<FigureView>,
    /// Devices in the order of the lab file.
    pub devices: Vec<DeviceRow>,
    /// Levels of the twin: name, evaluations, refused, seconds.
    pub levels: Vec<[String; 4]>,
    /// Campaigns, the newest first.
    pub campaigns: Vec<CampaignFigures>,
}

/// The counters as they are shown.
pub fn counters(counters: &GetCountersResponse) -> CountersView {
    let people = format!("{} submitted, {} decided", counters.submissions, counters.decisions);
    let lab = vec![
        figure(
            "At work",
            hours(counters.working_hours),
            &format!("of {} since the journal was begun", hours(counters.hours)),
        ),
        figure("Unassisted lifetime", hours(counters.unassisted_hours), "longest work without an intervention"),
        figure("Interventions", counters.interventions.to_string(), &people),
        figure("Trials", counters.trials_completed.to_string(), &format!("{} failed", counters.trials_failed)),
    ];
    let levels = counters.levels.iter().map(|level| {
        let (evaluations, refused) = (level.evaluations.to_string(), level.refused.to_string());
        [level.level.clone(), evaluations, refused, fixed(level.seconds, 2)]
    });
    let mut campaigns: Vec<_> = counters.campaigns.iter().map(|one| campaign(one, &counters.currency)).collect();
    campaigns.reverse();
    CountersView {
        lab,
        devices: counters.devices.iter().map(|device| row(device, &counters.currency)).collect(),
        levels: levels.collect(),
        campaigns,
    }
}

fn figure(label: &str, value: String, note: &str) -> FigureView {
    FigureView { label: label.to_owned(), value, note: note.to_owned() }
}

fn hours(hours: f64) -> String {
    format!("{} h", fixed(hours, 1))
}

fn row(device: &DeviceCounters, currency: &str) -> DeviceRow {
    let or_nothing = |value: f64, text: String| if value > 0.0 { text } else { NOTHING.to_owned() };
    DeviceRow {
        id: device.device.clone(),
        counts: [device.succeeded, device.failed, device.in_doubt],
        mean: or_nothing(device.mean_s, number(device.mean_s)),
        busy: format!("{} %", fixed(100.0 * device.utilisation, 0)),
        material: or_nothing(device.dispensed_ul, format!("{} µL", number(device.dispensed_ul))),
        cost: or_nothing(device.cost, format!("{} {currency}", fixed(device.cost, 2))),
        bottleneck: device.bottleneck,
    }
}

fn campaign(one: &CampaignCounters, currency: &str) -> CampaignFigures {
    let most = format!("{} if the busiest device never waited", fixed(one.most_trials_per_hour, 2));
    let mut figures = vec![
        figure("Autonomy", one.autonomy.clone(), ""),
        figure("Throughput", format!("{} trials/h", fixed(one.trials_per_hour, 2)), &most),
        figure("Material", format!("{} µL a trial", number(one.dispensed_ul_per_trial)), "dispensed"),
    ];
    if one.cost_per_trial > 0.0 {
        figures.push(figure("Cost", format!("{} {currency} a trial", fixed(one.cost_per_trial, 2)), ""));
    }
    figures.extend(one.precision.iter().map(|precision| {
        let repeats = count(precision.degrees_of_freedom as usize, "repeat");
        figure(
            &format!("Precision of {}", label(&precision.observable)),
            number(precision.sd),
            &format!("sd, {repeats}"),
        )
    }));
    if one.precision.is_empty() {
        figures.push(figure("Precision", NOTHING.to_owned(), "no candidate was repeated"));
    }
    if let Some(found) = &one.calibration {
        let shares = format!("{} % and {} %", fixed(100.0 * found.within_50, 0), fixed(100.0 * found.within_90, 0));
        let note =
            format!("of {} within their 50 % and 90 % intervals", count(found.predictions as usize, "prediction"));
        figures.push(figure("Calibration", shares, &note));
    }
    if let Some(found) = &one.acceleration {
        figures.push(figure("Acceleration", times(found), "trials that random search would need, as a multiple"));
    }
    if let Some(found) = &one.enhancement {
        figures.push(figure("Enhancement", times(found), "best score against as many random trials"));
    }
    if let Some(nats) = one.nats {
        let an_hour = if one.hours > 0.0 { nats / one.hours } else { 0.0 };
        let note = format!("{} an hour, about the objectives", fixed(an_hour, 2));
        figures.push(figure("Information", format!("{} nats", fixed(nats, 1)), &note));
    }
    figures.extend(one.levels.iter().map(|level| {
        let buys = match level.seconds_for_a_trial {
            Some(seconds) => format!("{} s of it buy the nats of a trial", number(seconds)),
            None => "no amount of it buys the nats of a trial".to_owned(),
        };
        figure(&format!("Worth of {}", level.level), format!("at most {} nats", fixed(level.nats, 2)), &buys)
    }));
    CampaignFigures { id: one.campaign.clone(), figures, model: one.model.clone() }
}

fn times(figure: &Estimate) -> String {
    let at_least = if figure.at_least { "at least " } else { "" };
    format!("{at_least}{} ({} to {})", fixed(figure.median, 1), fixed(figure.low, 1), fixed(figure.high, 1))
}
