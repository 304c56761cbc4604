//! The diffractometer's detector: counts of a scan with everything an analysis has to cope with.

use super::scatter::{empty_holder, film_rate, glass};
use super::{Cause, Outcome, Record, ScanRequest, World};
use ppu_diffraction::forward::Grid;
use ppu_diffraction::profile::Instrument;
use serde_json::{Value, json};

/// Dead time of the detector, s, non-paralysable.
const DEAD_TIME_S: f64 = 3e-6;
/// Beyond this radial error a specimen is not seated and stands partly beside the beam, mm.
const BESIDE_BEAM_MM: f64 = 1.5;
/// Most points of a scan; a request beyond is cut there, as no instrument records more.
const MOST_POINTS: usize = 200_000;

impl World {
    /// Counts at each point of a scan that ends now. An empty or unknown position gives air and holder scatter. The
    /// film is seen as it is at the end of the scan. Reading changes nothing in the world.
    pub fn diffract(&mut self, cause: &Cause, position: &str, scan: &ScanRequest) -> Vec<u64> {
        let id = self.places.get(position).and_then(|place| place.occupant.clone());
        if let Some(id) = &id {
            self.bring_to_grid(id);
        }
        let hash = self.state_hash();
        let count = self.count(&cause.device, "diffract");
        let stream_name = format!("{}/diffract", cause.device);
        let mut stream = self.streams.open(&stream_name, count);
        let grid = Grid { start_deg: scan.start_deg, step_deg: scan.step_deg, points: scan.points.min(MOST_POINTS) };
        let seen = id.as_deref().and_then(|id| self.seen(id));
        let mut instrument = Instrument::aeris();
        instrument.zero_deg = self.truth.zero_error_deg.get(&cause.device).copied().unwrap_or(0.0);
        let mut outcome = Outcome::Done;
        let mut film = vec![0.0; grid.points];
        if let Some(sample) = &seen {
            match film_rate(&sample.film, &sample.seat, &self.truth, &instrument, &grid) {
                Ok(rate) => film = rate,
                Err(error) => {
                    tracing::error!(%error, "a film could not be turned into a pattern");
                    outcome = Outcome::Failed;
                }
            }
        }
        // The tube ages by 0.5 % in 1000 h and wanders by 0.3 % from scan to scan.
        let tube = (1.0 - 0.005 * self.now_s / 3.6e6) * stream.gauss(1.0, 0.003);
        let in_beam = seen.as_ref().map_or(0.0, |s| if s.seat.radial_mm > BESIDE_BEAM_MM { 0.3 } else { 1.0 });
        let counts = film
            .iter()
            .enumerate()
            .map(|(i, film)| {
                let angle = grid.two_theta(i);
                let background = empty_holder(angle.max(0.1)) + in_beam * glass(angle);
                let rate = tube * (background + in_beam * film);
                stream.poisson(scan.dwell_s.max(0.0) * rate / (1.0 + rate * DEAD_TIME_S))
            })
            .collect();
        let digest = match (&id, &seen) {
            (Some(id), Some(sample)) => self.digest(id, sample),
            _ => Value::Null,
        };
        self.record(
            cause,
            Record {
                action: "diffract",
                start_s: scan.start_s.min(self.now_s),
                requested: json!({
                    "position": position, "start_deg": scan.start_deg, "step_deg": scan.step_deg,
                    "points": scan.points, "dwell_s": scan.dwell_s,
                }),
                realised: json!({"truth": digest, "stream": format!("{stream_name}/{count}")}),
                outcome,
                before: hash.clone(),
                after: Some(hash),
            },
        );
        counts
    }
}
