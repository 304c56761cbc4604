//! Counters in the text format of Prometheus, version 0.0.4, for `/metrics` and `ppu counters --prometheus`.

use std::fmt::Write as _;

use ppu_proto::lab::v1 as wire;

/// The counters as a page that Prometheus scrapes. Times are lab time in the base units of the format: seconds, litres.
pub fn prometheus(counters: &wire::GetCountersResponse) -> String {
    let mut page = Page::default();
    page.one("ppu_hours", "gauge", "Hours since the journal was begun", counters.hours);
    page.one("ppu_working_hours", "counter", "Hours with a run under way", counters.working_hours);
    let help = "Longest working time without an intervention, hours";
    page.one("ppu_unassisted_hours", "gauge", help, counters.unassisted_hours);
    let people = [
        ("submission", counters.submissions),
        ("decision", counters.decisions),
        ("intervention", counters.interventions),
    ];
    let people = people.map(|(act, count)| (vec![("act", act)], count as f64));
    page.many("ppu_people_acts_total", "counter", "What people did", people);
    let trials = [("completed", counters.trials_completed), ("failed", counters.trials_failed)];
    let trials = trials.map(|(end, count)| (vec![("end", end)], count as f64));
    page.many("ppu_trials_total", "counter", "Trials by how they ended", trials);
    devices(&mut page, counters);
    for (name, help, of) in LEVELS {
        let rows = counters.levels.iter().map(|level| (vec![("level", level.level.as_str())], of(level)));
        page.many(name, "counter", help, rows);
    }
    campaigns(&mut page, counters);
    page.text
}

type Of<T> = fn(&T) -> f64;
type OfCampaign = fn(&wire::CampaignCounters) -> Option<f64>;

const LEVELS: [(&str, &str, Of<wire::LevelCounters>); 3] = [
    ("ppu_twin_evaluations_total", "Candidates evaluated by a level of the twin", |level| level.evaluations as f64),
    ("ppu_twin_refused_total", "Candidates that a level refused", |level| level.refused as f64),
    ("ppu_twin_seconds_total", "Computing time of a level", |level| level.seconds),
];

const DEVICES: [(&str, &str, &str, Of<wire::DeviceCounters>); 5] = [
    ("ppu_device_busy_seconds_total", "counter", "Lab time from intent to end", |device| 3600.0 * device.busy_hours),
    ("ppu_device_utilisation_ratio", "gauge", "Share of the working time that it was busy", |d| d.utilisation),
    ("ppu_device_dispensed_litres_total", "counter", "Volume dispensed", |device| 1e-6 * device.dispensed_ul),
    ("ppu_device_energy_joules_total", "counter", "Energy at the power of the lab file", |d| 3600.0 * d.energy_wh),
    ("ppu_device_cost_total", "counter", "Cost at the rates of the lab file, in its currency", |device| device.cost),
];

const CAMPAIGNS: [(&str, &str, OfCampaign); 5] = [
    ("ppu_campaign_trials", "Trials with an observation", |one| Some(f64::from(one.trials))),
    ("ppu_campaign_trials_per_hour", "Throughput", |one| Some(one.trials_per_hour)),
    ("ppu_campaign_nats", "Information gained about the objectives", |one| one.nats),
    ("ppu_campaign_acceleration_ratio", "Trials of random search for the same result, as a multiple", |one| {
        one.acceleration.map(|figure| figure.median)
    }),
    ("ppu_campaign_within_90_ratio", "Share of measurements within their predicted 90 % intervals", |one| {
        one.calibration.map(|found| found.within_90)
    }),
];

fn devices(page: &mut Page, counters: &wire::GetCountersResponse) {
    let ended = counters.devices.iter().flat_map(|device| {
        let ends = [("succeeded", device.succeeded), ("failed", device.failed), ("in_doubt", device.in_doubt)];
        ends.map(|(end, count)| (vec![("device", device.device.as_str()), ("end", end)], count as f64))
    });
    page.many("ppu_device_attempts_total", "counter", "Attempts by how they ended; in_doubt: were so once", ended);
    for (name, kind, help, of) in DEVICES {
        let rows = counters.devices.iter().map(|device| (vec![("device", device.device.as_str())], of(device)));
        page.many(name, kind, help, rows);
    }
}

fn campaigns(page: &mut Page, counters: &wire::GetCountersResponse) {
    for (name, help, of) in CAMPAIGNS {
        let rows =
            counters.campaigns.iter().filter_map(|one| Some((vec![("campaign", one.campaign.as_str())], of(one)?)));
        page.many(name, "gauge", help, rows);
    }
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.many(name, kind, help, [(Vec::new(), value)]);
    }

    fn many<'a>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Vec<(&'a str, &'a str)>, f64)>,
    ) {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return;
        }
        let sound = "writing to a string does not fail";
        writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect(sound);
        for (labels, value) in rows {
            let labels: Vec<String> = labels.iter().map(|(key, text)| format!("{key}=\"{}\"", escaped(text))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            writeln!(self.text, "{name}{labels} {value}").expect(sound);
        }
    }
}

/// A label's value: backslash, quote and line feed are escaped.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_help_type_and_one_line_a_row_and_leaves_out_what_is_not_known() {
        let device =
            wire::DeviceCounters { device: "a\"b".into(), succeeded: 3, busy_hours: 0.5, ..Default::default() };
        let campaign = wire::CampaignCounters { campaign: "c1".into(), trials: 2, ..Default::default() };
        let counters = wire::GetCountersResponse {
            hours: 1.5,
            devices: vec![device],
            campaigns: vec![campaign],
            ..Default::default()
        };
        let page = prometheus(&counters);
        assert!(page.starts_with(
            "# HELP ppu_hours Hours since the journal was begun\n# TYPE ppu_hours gauge\nppu_hours 1.5\n"
        ));
        assert!(page.contains("\nppu_device_attempts_total{device=\"a\\\"b\",end=\"succeeded\"} 3\n"), "{page}");
        assert!(page.contains("\nppu_device_busy_seconds_total{device=\"a\\\"b\"} 1800\n"));
        assert!(page.contains("\nppu_campaign_trials{campaign=\"c1\"} 2\n") && !page.contains("nats"));
        assert!(
            page.lines().all(|line| line.starts_with("# ") || line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok())
        );
    }
}
