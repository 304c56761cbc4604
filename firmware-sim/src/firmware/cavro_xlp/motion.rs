//! How long a plunger move takes, and where the plunger is on the way.

/// Pulses per full step of the plunger motor.
const PULSES_PER_STEP: f64 = 2.0;
/// Slope code 1 is this acceleration, pulses/s².
const SLOPE_UNIT: f64 = 2500.0;

/// Speed codes 0 to 40 of the `S` command, pulses/s.
pub(super) const SPEED_CODES: [u32; 41] = [
    6000, 5600, 5000, 4400, 3800, 3200, 2600, 2200, 2000, 1800, 1600, 1400, 1200, 1000, 800, 600, 400, 200, 190, 180,
    170, 160, 150, 140, 130, 120, 110, 100, 90, 80, 70, 60, 50, 40, 30, 20, 18, 16, 14, 12, 10,
];

/// The four speed settings of the pump.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Speeds {
    /// Pulses/s.
    pub(super) start: u32,
    pub(super) top: u32,
    pub(super) cutoff: u32,
    /// Slope code 1 to 20.
    pub(super) slope: u32,
}

impl Default for Speeds {
    fn default() -> Self {
        Self { start: 900, top: 1400, cutoff: 900, slope: 14 }
    }
}

/// A trapezoid of speed over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Profile {
    pulses: f64,
    start: f64,
    peak: f64,
    cutoff: f64,
    acceleration: f64,
}

impl Profile {
    /// The profile of a move over `steps` full steps. Start and cutoff speed are pulled down to the top speed.
    pub(super) fn new(steps: f64, speeds: Speeds) -> Self {
        let pulses = steps * PULSES_PER_STEP;
        let top = f64::from(speeds.top);
        let start = f64::from(speeds.start).min(top);
        let cutoff = f64::from(speeds.cutoff).min(top);
        let acceleration = SLOPE_UNIT * f64::from(speeds.slope.max(1));
        // Too short a move never reaches the top speed: both ramps meet at the peak.
        let reachable = (acceleration * pulses + f64::midpoint(start * start, cutoff * cutoff)).sqrt();
        let peak = top.min(reachable).max(start).max(cutoff);
        Self { pulses, start, peak, cutoff, acceleration }
    }

    /// Duration of the move, seconds.
    pub(super) fn duration_s(&self) -> f64 {
        let (rise_s, cruise_s, fall_s) = self.phases_s();
        rise_s + cruise_s + fall_s
    }

    /// Fraction of the way covered after `elapsed_s`, 0 to 1.
    pub(super) fn fraction(&self, elapsed_s: f64) -> f64 {
        if self.pulses <= 0.0 || elapsed_s >= self.duration_s() {
            return 1.0;
        }
        let elapsed_s = elapsed_s.max(0.0);
        let (rise_s, cruise_s, _) = self.phases_s();
        let rise = self.start * elapsed_s.min(rise_s) + 0.5 * self.acceleration * elapsed_s.min(rise_s).powi(2);
        let cruise = self.peak * (elapsed_s - rise_s).clamp(0.0, cruise_s);
        let late_s = (elapsed_s - rise_s - cruise_s).max(0.0);
        let fall = self.peak * late_s - 0.5 * self.acceleration * late_s.powi(2);
        ((rise + cruise + fall) / self.pulses).clamp(0.0, 1.0)
    }

    fn phases_s(&self) -> (f64, f64, f64) {
        let rise = self.peak.powi(2) - self.start.powi(2);
        let fall = self.peak.powi(2) - self.cutoff.powi(2);
        let cruise = (self.pulses - (rise + fall) / (2.0 * self.acceleration)).max(0.0);
        (
            (self.peak - self.start) / self.acceleration,
            cruise / self.peak,
            (self.peak - self.cutoff) / self.acceleration,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_move_is_a_trapezoid() {
        let profile = Profile::new(6000.0, Speeds { start: 900, top: 1400, cutoff: 900, slope: 14 });
        // Ramps: (1400² − 900²) / (2·35000) = 16.43 pulses each and 14.3 ms each; 11967.1 pulses at 1400.
        let expected_s = 2.0 * 500.0 / 35_000.0 + (12_000.0 - 2.0 * 1_150_000.0 / 70_000.0) / 1400.0;
        assert!((profile.duration_s() - expected_s).abs() < 1e-9, "{}", profile.duration_s());
        assert!((profile.fraction(profile.duration_s() / 2.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_short_move_never_reaches_the_top_speed_and_ends_where_it_should() {
        let profile = Profile::new(2.0, Speeds { start: 50, top: 6000, cutoff: 50, slope: 1 });
        assert!(profile.peak < 6000.0);
        assert!((profile.fraction(profile.duration_s() * 0.999_999) - 1.0).abs() < 1e-3);
    }

    #[test]
    fn the_fraction_grows_steadily() {
        let profile = Profile::new(1500.0, Speeds { top: 5000, ..Speeds::default() });
        let duration_s = profile.duration_s();
        let fractions: Vec<f64> = (0..=100).map(|k| profile.fraction(duration_s * f64::from(k) / 100.0)).collect();
        assert!(fractions.windows(2).all(|pair| pair[1] > pair[0]));
        assert_eq!(fractions[100], 1.0);
    }
}
