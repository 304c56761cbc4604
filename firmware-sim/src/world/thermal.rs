//! Heated bodies (chapter 9): the hotplate-stirrer and the tube furnaces, on a fixed grid of one second.
//!
//! The grid makes temperatures independent of how often anybody looks (W-3), and each step books its energy exactly.

use super::kinetics::ZERO_C;

/// Length of a thermal step, s; also the sampling time of the controllers.
pub(crate) const STEP_S: f64 = 1.0;
/// A body without power this close to its surroundings is taken as settled and no longer stepped.
const SETTLED_K: f64 = 1e-3;

/// Energy of a heated body, J (C-6).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Energy {
    /// Electrical energy in.
    pub(crate) supplied_j: f64,
    /// Heat lost to the surroundings.
    pub(crate) lost_j: f64,
}

/// A controller with proportional and integral terms and a feed-forward.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pid {
    gain_w_per_k: f64,
    integral_s: f64,
    limit_w: f64,
    /// Whether the integral stops while the output is at its limit. Without, only its size is limited.
    anti_windup: bool,
    integral_w: f64,
}

impl Pid {
    fn output(&mut self, setpoint_c: f64, measured_c: f64, forward_w: f64) -> f64 {
        let error = setpoint_c - measured_c;
        let wanted = self.gain_w_per_k * error + self.integral_w + forward_w;
        let saturated = (wanted > self.limit_w && error > 0.0) || (wanted < 0.0 && error < 0.0);
        if !(self.anti_windup && saturated) {
            self.integral_w += self.gain_w_per_k * error * STEP_S / self.integral_s;
        }
        if !self.anti_windup {
            self.integral_w = self.integral_w.clamp(0.0, self.limit_w);
        }
        wanted.clamp(0.0, self.limit_w)
    }

    fn reset(&mut self) {
        self.integral_w = 0.0;
    }
}

/// A power signal that arrives late.
#[derive(Debug, Clone, PartialEq)]
struct Delay {
    ring: Vec<f64>,
    next: usize,
}

impl Delay {
    fn new(seconds: usize) -> Self {
        Self { ring: vec![0.0; seconds.max(1)], next: 0 }
    }

    fn pass(&mut self, value: f64) -> f64 {
        let late = std::mem::replace(&mut self.ring[self.next], value);
        self.next = (self.next + 1) % self.ring.len();
        late
    }

    fn is_empty(&self) -> bool {
        self.ring.iter().all(|power| *power == 0.0)
    }
}

/// How a hotplate's controller is tuned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tuning {
    /// As shipped: gain 2.5 times too high, integral without anti-windup.
    Shipped,
    /// Skogestad's SIMC rules with anti-windup.
    #[cfg(test)]
    Simc,
}

const PLATE_J_PER_K: f64 = 900.0;
const PLATE_LOSS_W_PER_K: f64 = 2.2;
const PLATE_LIMIT_W: f64 = 800.0;
/// A 4 mL vial of glass with its content.
const VIAL_J_PER_K: f64 = 20.0;
const VIAL_CONTACT_W_PER_K: f64 = 0.30;
const VIAL_LOSS_W_PER_K: f64 = 0.03;

/// A hotplate-stirrer with a vial on it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hotplate {
    setpoint_c: Option<f64>,
    pub(crate) rpm: f64,
    plate_c: f64,
    sensor_c: f64,
    vial_c: f64,
    ambient_c: f64,
    pid: Pid,
    delay: Delay,
    pub(crate) energy: Energy,
    start_c: f64,
    offset_k: f64,
    gain: f64,
}

impl Hotplate {
    pub(crate) fn new(ambient_c: f64, offset_k: f64, gain: f64, tuning: Tuning) -> Self {
        // SIMC with closed-loop time 20 s: K_c = τ/(K(τ_c+θ)) = 409·2.2/24, T_i = 4(τ_c+θ) = 96 s.
        let (factor, anti_windup) = match tuning {
            Tuning::Shipped => (2.5, false),
            #[cfg(test)]
            Tuning::Simc => (1.0, true),
        };
        let pid =
            Pid { gain_w_per_k: 37.5 * factor, integral_s: 96.0, limit_w: PLATE_LIMIT_W, anti_windup, integral_w: 0.0 };
        Self {
            setpoint_c: None,
            rpm: 0.0,
            plate_c: ambient_c,
            sensor_c: ambient_c,
            vial_c: ambient_c,
            ambient_c,
            pid,
            delay: Delay::new(4),
            energy: Energy::default(),
            start_c: ambient_c,
            offset_k,
            gain,
        }
    }

    pub(crate) fn set(&mut self, setpoint_c: Option<f64>) {
        if setpoint_c.is_none() {
            self.pid.reset();
        }
        self.setpoint_c = setpoint_c;
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.setpoint_c.is_none()
            && self.delay.is_empty()
            && (self.plate_c - self.ambient_c).abs() < SETTLED_K
            && (self.vial_c - self.ambient_c).abs() < SETTLED_K
    }

    pub(crate) fn step(&mut self) {
        let shown = self.shown_c();
        let power = self.setpoint_c.map_or(0.0, |setpoint| self.pid.output(setpoint, shown, 0.0));
        let power = self.delay.pass(power);
        // A stirred liquid takes up heat faster than a still one.
        let contact = VIAL_CONTACT_W_PER_K * if self.rpm > 0.0 { 1.5 } else { 1.0 };
        let to_vial = contact * (self.plate_c - self.vial_c);
        let plate_loss = PLATE_LOSS_W_PER_K * (self.plate_c - self.ambient_c);
        let vial_loss = VIAL_LOSS_W_PER_K * (self.vial_c - self.ambient_c);
        self.plate_c += (power - to_vial - plate_loss) * STEP_S / PLATE_J_PER_K;
        self.vial_c += (to_vial - vial_loss) * STEP_S / VIAL_J_PER_K;
        self.sensor_c += (self.plate_c - self.sensor_c) * (1.0 - (-STEP_S / 3.0f64).exp());
        self.energy.supplied_j += power * STEP_S;
        self.energy.lost_j += (plate_loss + vial_loss) * STEP_S;
    }

    /// What the plate's sensor shows, °C.
    pub(crate) fn shown_c(&self) -> f64 {
        self.sensor_c + self.offset_k + self.gain * (self.sensor_c - self.ambient_c)
    }

    /// What a probe in the vial shows, °C.
    pub(crate) fn probe_c(&self) -> f64 {
        self.vial_c
    }

    /// Heat stored since the start, J.
    pub(crate) fn stored_j(&self) -> f64 {
        PLATE_J_PER_K * (self.plate_c - self.start_c) + VIAL_J_PER_K * (self.vial_c - self.start_c)
    }

    pub(crate) fn feed(&self, hasher: &mut blake3::Hasher) {
        for value in [self.plate_c, self.vial_c, self.rpm, self.setpoint_c.unwrap_or(f64::NAN)] {
            hasher.update(&value.to_bits().to_le_bytes());
        }
    }
}

const HEATER_J_PER_K: f64 = 2500.0;
const TUBE_J_PER_K: f64 = 600.0;
const BOAT_J_PER_K: f64 = 30.0;
const HEATER_TUBE_W_PER_K: f64 = 12.0;
const TUBE_BOAT_W_PER_K: f64 = 1.5;
/// ε A σ between tube and boat, W/K⁴, with εA 0.004 m².
const RADIATION_W_PER_K4: f64 = 0.004 * 5.670e-8;
const FURNACE_LOSS_W_PER_K: f64 = 1.6;
const FURNACE_LIMIT_W: f64 = 2400.0;
/// A working set point that moves faster than this is followed at this pace, K/s.
const FURNACE_RAMP_K_PER_S: f64 = 12.0 / 60.0;

/// Time that heat takes from the controller's output to the tube, s: 20 s dead time and the lag of the tube.
const TRAVEL_S: f64 = 62.0;

/// A tube furnace: heater, tube and sample boat.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Furnace {
    setpoint_c: Option<f64>,
    /// The set point the controller follows, never faster than the furnace can.
    followed_c: f64,
    /// Where the tube can be at best while the heat travels: what the controller compares with.
    reference_c: f64,
    heater_c: f64,
    tube_c: f64,
    boat_c: f64,
    ambient_c: f64,
    gas_cooling_k: f64,
    pid: Pid,
    delay: Delay,
    power_w: f64,
    pub(crate) energy: Energy,
    start_c: f64,
    offset_k: f64,
}

impl Furnace {
    pub(crate) fn new(ambient_c: f64, offset_k: f64, gas_flow_l_per_min: f64) -> Self {
        // SIMC for an integrating process of 3130 J/K with an effective delay of 62 s and a closed-loop time of 95 s:
        // K_c = 3130/157; T_i = 400 s, shorter than SIMC's 628 s, as the feed-forward leaves little to integrate.
        let pid =
            Pid { gain_w_per_k: 20.0, integral_s: 400.0, limit_w: FURNACE_LIMIT_W, anti_windup: true, integral_w: 0.0 };
        Self {
            setpoint_c: None,
            followed_c: ambient_c,
            reference_c: ambient_c,
            heater_c: ambient_c,
            tube_c: ambient_c,
            boat_c: ambient_c,
            ambient_c,
            gas_cooling_k: 5.0 * gas_flow_l_per_min.min(2.0),
            pid,
            delay: Delay::new(20),
            power_w: 0.0,
            energy: Energy::default(),
            start_c: ambient_c,
            offset_k,
        }
    }

    pub(crate) fn set(&mut self, setpoint_c: Option<f64>) {
        if self.setpoint_c.is_none() && setpoint_c.is_some() {
            self.followed_c = self.shown_c();
            self.reference_c = self.followed_c;
            self.pid.reset();
        }
        self.setpoint_c = setpoint_c;
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.setpoint_c.is_none()
            && self.delay.is_empty()
            && [self.heater_c, self.tube_c, self.boat_c].iter().all(|c| (c - self.ambient_c).abs() < SETTLED_K)
    }

    pub(crate) fn step(&mut self) {
        self.power_w = match self.setpoint_c {
            None => 0.0,
            Some(setpoint) => {
                let pace = FURNACE_RAMP_K_PER_S * STEP_S;
                let move_c = (setpoint - self.followed_c).clamp(-pace, pace);
                self.followed_c += move_c;
                let shown = self.shown_c();
                // The ramp's own heat is fed forward, so that the integral need not find it.
                let forward = (HEATER_J_PER_K + TUBE_J_PER_K + BOAT_J_PER_K) * move_c / STEP_S
                    + FURNACE_LOSS_W_PER_K * (self.followed_c - self.ambient_c);
                self.reference_c += (self.followed_c - self.reference_c) * STEP_S / TRAVEL_S;
                self.pid.output(self.reference_c, shown, forward)
            }
        };
        let power = self.delay.pass(self.power_w);
        let kelvin = |celsius: f64| (celsius + ZERO_C).powi(4);
        let to_tube = HEATER_TUBE_W_PER_K * (self.heater_c - self.tube_c);
        let to_boat = TUBE_BOAT_W_PER_K * (self.tube_c - self.boat_c)
            + RADIATION_W_PER_K4 * (kelvin(self.tube_c) - kelvin(self.boat_c));
        let loss = FURNACE_LOSS_W_PER_K * (self.heater_c - self.ambient_c);
        self.heater_c += (power - to_tube - loss) * STEP_S / HEATER_J_PER_K;
        self.tube_c += (to_tube - to_boat) * STEP_S / TUBE_J_PER_K;
        self.boat_c += to_boat * STEP_S / BOAT_J_PER_K;
        self.energy.supplied_j += power * STEP_S;
        self.energy.lost_j += loss * STEP_S;
    }

    /// What the controlled thermocouple on the tube shows, °C.
    pub(crate) fn shown_c(&self) -> f64 {
        // The thermocouple sits on the hotter outside of the tube; the error grows with the distance from ambient.
        let warm = ((self.tube_c - self.ambient_c) / 50.0).clamp(0.0, 1.0);
        self.tube_c + self.offset_k * warm
    }

    /// Output of the controller, percent of full power.
    pub(crate) fn output_percent(&self) -> f64 {
        100.0 * self.power_w / FURNACE_LIMIT_W
    }

    /// Temperature of the place where the sample lies, `off_centre_mm` from the middle, °C.
    pub(crate) fn place_c(&self, off_centre_mm: f64) -> f64 {
        let heat = ((self.boat_c - self.ambient_c) / 100.0).clamp(0.0, 1.0);
        self.boat_c - heat * (6.0 * (off_centre_mm / 50.0).powi(2) + self.gas_cooling_k)
    }

    /// Heat stored since the start, J.
    pub(crate) fn stored_j(&self) -> f64 {
        HEATER_J_PER_K * (self.heater_c - self.start_c)
            + TUBE_J_PER_K * (self.tube_c - self.start_c)
            + BOAT_J_PER_K * (self.boat_c - self.start_c)
    }

    pub(crate) fn feed(&self, hasher: &mut blake3::Hasher) {
        for value in [self.heater_c, self.tube_c, self.boat_c, self.setpoint_c.unwrap_or(f64::NAN)] {
            hasher.update(&value.to_bits().to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overshoot(tuning: Tuning) -> f64 {
        let mut plate = Hotplate::new(25.0, 0.0, 0.0, tuning);
        plate.set(Some(150.0));
        let mut top = 0.0f64;
        for _ in 0..3600 {
            plate.step();
            top = top.max(plate.plate_c);
        }
        assert!((plate.plate_c - 150.0).abs() < 0.5, "settles at {}", plate.plate_c);
        let balance = plate.energy.supplied_j - plate.energy.lost_j - plate.stored_j();
        assert!(balance.abs() < 1e-6 * plate.energy.supplied_j, "first law: {balance} J");
        top - 150.0
    }

    #[test]
    fn hotplate_overshoots_as_shipped_and_not_when_tuned() {
        let shipped = overshoot(Tuning::Shipped);
        assert!((5.0..9.0).contains(&shipped), "as shipped {shipped} K");
        let tuned = overshoot(Tuning::Simc);
        assert!(tuned < 1.5, "tuned {tuned} K");
    }

    #[test]
    fn furnace_follows_a_ramp_holds_and_cools_with_half_an_hour() {
        let mut furnace = Furnace::new(25.0, 4.0, 0.0);
        let (mut worst, mut top) = (0.0f64, 0.0f64);
        for second in 0..5400 {
            let target = (25.0 + 10.0 / 60.0 * f64::from(second)).min(150.0);
            furnace.set(Some(target));
            furnace.step();
            if second > 1500 {
                worst = worst.max((furnace.shown_c() - 150.0).abs());
            }
            top = top.max(furnace.shown_c());
        }
        assert!(top < 152.0, "overshoots to {top}");
        assert!(worst < 1.5, "holds within {worst} K");
        let off = 150.0 - furnace.place_c(0.0);
        assert!((3.0..5.5).contains(&off), "the film is {off} K colder than the display");
        furnace.set(None);
        let start = furnace.place_c(0.0) - 25.0;
        for _ in 0..1800 {
            furnace.step();
        }
        let tau_min = 30.0 / (start / (furnace.place_c(0.0) - 25.0)).ln();
        assert!((27.0..40.0).contains(&tau_min), "cools with {tau_min} min");
        let balance = furnace.energy.supplied_j - furnace.energy.lost_j - furnace.stored_j();
        assert!(balance.abs() < 1e-6 * furnace.energy.supplied_j, "first law: {balance} J");
    }

    #[test]
    fn an_unpowered_furnace_stays_settled() {
        let mut furnace = Furnace::new(25.0, 4.0, 0.0);
        assert!(furnace.is_settled());
        furnace.set(Some(80.0));
        for _ in 0..1000 {
            furnace.step();
        }
        furnace.set(None);
        let mut seconds = 0;
        while !furnace.is_settled() && seconds < 200_000 {
            furnace.step();
            seconds += 1;
        }
        assert!(furnace.is_settled(), "settles within {seconds} s");
    }
}
