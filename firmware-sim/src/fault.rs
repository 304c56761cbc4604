//! Named faults of the simulated instruments: deterministic under the seed, recorded in the ledger when they strike.
//!
//! A fault is armed on one device with a count, a position (`nth`) and optionally a probability and a text that the
//! request must contain. Transport faults are applied to replies by [`line`](mod@line); the others are asked for by the
//! firmware at the instant where they make a physical difference ([`crate::device::Bench::strike`]).

pub mod line;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// When a fault takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before a request is carried out.
    Request,
    /// When a reply leaves the device.
    Reply,
    /// At a moment the firmware chooses (a move starts, a file is written).
    Firmware,
    /// At once, when it is armed.
    AtOnce,
    /// From when it is armed until it is cleared.
    Lasting,
}

macro_rules! faults {
    ($($variant:ident, $name:literal, $stage:ident, $kinds:expr, $effect:literal;)*) => {
        /// The faults there are, under the names of the protocol reference (its section 8).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $(#[doc = $effect] $variant,)*
        }

        impl Fault {
            /// Every fault, in the order of the reference.
            pub const ALL: &'static [Fault] = &[$(Fault::$variant,)*];

            /// The name used on the control port.
            pub fn name(self) -> &'static str {
                match self { $(Fault::$variant => $name,)* }
            }

            /// When it takes effect.
            pub fn stage(self) -> Stage {
                match self { $(Fault::$variant => Stage::$stage,)* }
            }

            /// What it does, in a few words.
            pub fn effect(self) -> &'static str {
                match self { $(Fault::$variant => $effect,)* }
            }

            fn kinds(self) -> &'static [&'static str] {
                match self { $(Fault::$variant => $kinds,)* }
            }
        }
    };
}

const EVERY: &[&str] = &[];
const PUMP: &[&str] = &["cavro-xlp"];
const FURNACE: &[&str] = &["eurotherm-epc3016"];
const ARM: &[&str] = &["ur5e"];
const DIFFRACTOMETER: &[&str] = &["aeris-uai"];
const WITH_CHECKSUM: &[&str] = &["cavro-xlp", "eurotherm-epc3016", "ocean-obp"];
const WITH_WATCHDOG: &[&str] = &["ika-cmag", "eurotherm-epc3016"];
const SPEAKS_UNASKED: &[&str] = &["mettler-sics", "aeris-uai"];
const SERIAL: &[&str] = &["cavro-xlp", "ika-cmag", "mettler-sics", "eurotherm-epc3016"];
const CAN_STICK: &[&str] = &["cavro-xlp", "mettler-sics", "ur5e", "aeris-uai", "ocean-obp", "eurotherm-epc3016"];
const CAN_OVERLOAD: &[&str] = &["cavro-xlp", "mettler-sics"];

faults! {
    LateReply, "late_reply", Reply, EVERY, "The correct reply comes `delay_ms` late.";
    LostReply, "lost_reply", Reply, EVERY, "The command is carried out, its reply is suppressed.";
    LostRequest, "lost_request", Request, EVERY, "The command is not carried out and nothing is answered.";
    DuplicateReply, "duplicate_reply", Reply, EVERY, "The reply is sent twice.";
    StaleReply, "stale_reply", Reply, EVERY, "The previous reply is sent instead of this one.";
    TruncatedReply, "truncated_reply", Reply, EVERY, "Only the first half of the reply is sent.";
    ByteDribble, "byte_dribble", Reply, EVERY, "The reply is sent byte by byte, `delay_ms` apart.";
    SplitWrite, "split_write", Reply, EVERY, "The reply is sent in two parts, `delay_ms` apart.";
    JoinedReplies, "joined_replies", Reply, EVERY, "The reply is held and sent together with the next one.";
    BadChecksum, "bad_checksum", Reply, WITH_CHECKSUM, "The reply carries a wrong checksum.";
    BitFlip, "bit_flip", Reply, EVERY, "One random bit of the reply is flipped.";
    GarbagePrefix, "garbage_prefix", Reply, EVERY, "Random bytes precede the reply.";
    WrongSlave, "wrong_slave", Reply, FURNACE, "The reply carries another station's address.";
    ShortCount, "short_count", Reply, FURNACE, "The reply holds one register less than asked for.";
    ExceptionReply, "exception_reply", Firmware, FURNACE, "The request is answered with Modbus exception 6.";
    WrongLineSettings, "wrong_line_settings", Lasting, SERIAL, "Requests and replies are unreadable, as with a wrong baud rate.";
    WrongFramingMode, "wrong_framing_mode", AtOnce, PUMP, "The pump has locked onto terminal framing and ignores the other.";
    Vanish, "vanish", AtOnce, EVERY, "The line is closed and comes back after `delay_ms` under the same name.";
    PortLocked, "port_locked", Lasting, SERIAL, "Another process holds the serial port: it cannot be opened exclusively.";
    Offline, "offline", Lasting, EVERY, "The device cannot be reached until the fault is cleared.";
    PowerCycle, "power_cycle", AtOnce, EVERY, "Power is interrupted: volatile state is lost.";
    Unsolicited, "unsolicited", Reply, SPEAKS_UNASKED, "An event is sent between request and reply.";
    SilentWriteIgnored, "silent_write_ignored", Firmware, &["ika-cmag"], "A write without reply has no effect.";
    WatchdogTrip, "watchdog_trip", AtOnce, WITH_WATCHDOG, "The communication watchdog expires now.";
    SensorBreak, "sensor_break", Lasting, FURNACE, "The thermocouple is open.";
    Overload, "overload", Firmware, CAN_OVERLOAD, "The plunger stalls half-way; the balance is overloaded.";
    NotInitialised, "not_initialised", AtOnce, PUMP, "The pump forgets that it was initialised.";
    CommandOverflow, "command_overflow", Firmware, PUMP, "A command is refused with error 15.";
    Popup, "popup", Firmware, ARM, "A popup blocks the programme after `play` was accepted.";
    ProtectiveStop, "protective_stop", Firmware, ARM, "The programme is stopped half-way by the safety system.";
    LocalMode, "local_mode", Lasting, ARM, "The robot is not under remote control.";
    ResultFileMissing, "result_file_missing", Firmware, DIFFRACTOMETER, "The result file never appears.";
    ResultFileLate, "result_file_late", Firmware, DIFFRACTOMETER, "The result file appears `delay_ms` (simulated) later than usual.";
    ResultFilePartial, "result_file_partial", Firmware, DIFFRACTOMETER, "The result file is never completed.";
    NoDedup, "no_dedup", Firmware, PUMP, "A repeated frame is executed again instead of being recognised.";
    Fail, "fail", Firmware, ARM, "The programme is aborted at its end without having acted.";
    Stuck, "stuck", Firmware, CAN_STICK, "The action never finishes.";
}

impl Fault {
    /// Finds a fault by its name.
    pub fn named(name: &str) -> Option<Fault> {
        Self::ALL.iter().copied().find(|fault| fault.name() == name)
    }

    /// True when a device of this kind can show the fault.
    pub fn applies_to(self, kind: &str) -> bool {
        self.kinds().is_empty() || self.kinds().contains(&kind)
    }

    /// The names of the faults a device of this kind can show.
    pub fn names_for(kind: &str) -> Vec<&'static str> {
        Self::ALL.iter().filter(|fault| fault.applies_to(kind)).map(|fault| fault.name()).collect()
    }
}

/// How often, when and how strongly a fault strikes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultParameters {
    /// How many times it strikes; then it is spent.
    pub count: u32,
    /// The first opportunity at which it strikes, counted from 1.
    pub nth: u32,
    /// Delay in milliseconds: wall time for the line, simulated time for result files. `None` takes the fault's default.
    pub delay_ms: Option<u64>,
    /// Probability that it strikes at an opportunity.
    pub probability: f64,
    /// Only requests that contain this text (or, for binary protocols, these hexadecimal digits) are opportunities.
    pub command: Option<String>,
}

impl Default for FaultParameters {
    fn default() -> Self {
        Self { count: 1, nth: 1, delay_ms: None, probability: 1.0, command: None }
    }
}

/// One strike of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firing {
    /// Delay in milliseconds, from the parameters or the fault's default.
    pub delay_ms: u64,
    /// Digest of the request that was struck.
    pub frame: String,
}

/// Why a fault could not be armed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FaultError {
    /// No fault has this name, or the device cannot show it.
    #[error("device {device:?} ({kind}) has no fault {name:?}; it has: {known}")]
    UnknownFault {
        /// The device that was asked.
        device: String,
        /// Its kind.
        kind: String,
        /// The name that is not known.
        name: String,
        /// The names that are, separated by commas.
        known: String,
    },
    /// A count or a position of zero, or a probability outside 0 to 1.
    #[error("fault parameter {parameter} must be {allowed}")]
    BadParameter {
        /// Name of the parameter.
        parameter: &'static str,
        /// What it may be.
        allowed: &'static str,
    },
}

#[derive(Clone, Debug)]
struct Armed {
    fault: Fault,
    parameters: FaultParameters,
    opportunities: u32,
    strikes: u32,
}

/// The faults armed on one device.
#[derive(Debug)]
pub struct FaultPlan {
    kind: &'static str,
    device: String,
    armed: Vec<Armed>,
    random: ChaCha8Rng,
}

impl FaultPlan {
    /// An empty plan; `seed` and the device name determine everything random about its faults (SIM-4).
    pub fn new(kind: &'static str, device: &str, seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(device.as_bytes());
        let random = ChaCha8Rng::from_seed(*hasher.finalize().as_bytes());
        Self { kind, device: device.to_owned(), armed: Vec::new(), random }
    }

    /// Arms a fault.
    ///
    /// # Errors
    /// [`FaultError`] when the device has no such fault, or a parameter is out of range.
    pub fn arm(&mut self, name: &str, parameters: FaultParameters) -> Result<Fault, FaultError> {
        let fault =
            Fault::named(name).filter(|fault| fault.applies_to(self.kind)).ok_or_else(|| FaultError::UnknownFault {
                device: self.device.clone(),
                kind: self.kind.to_owned(),
                name: name.to_owned(),
                known: Fault::names_for(self.kind).join(", "),
            })?;
        if parameters.count == 0 || parameters.nth == 0 {
            return Err(FaultError::BadParameter { parameter: "count and nth", allowed: "at least 1" });
        }
        if !(0.0..=1.0).contains(&parameters.probability) {
            return Err(FaultError::BadParameter { parameter: "probability", allowed: "between 0 and 1" });
        }
        // A fault that has its effect at once leaves nothing behind to strike later.
        if fault.stage() != Stage::AtOnce {
            self.armed.push(Armed { fault, parameters, opportunities: 0, strikes: 0 });
        }
        Ok(fault)
    }

    /// Disarms everything, or one fault.
    pub fn clear(&mut self, fault: Option<Fault>) {
        self.armed.retain(|armed| fault.is_some_and(|fault| fault != armed.fault));
    }

    /// Names of the faults that are still armed.
    pub fn armed_names(&self) -> Vec<&'static str> {
        self.armed.iter().map(|armed| armed.fault.name()).collect()
    }

    /// True while a lasting fault is armed.
    pub fn is_lasting(&self, fault: Fault) -> bool {
        self.armed.iter().any(|armed| armed.fault == fault)
    }

    /// Offers one opportunity to `fault`; returns its strike if it strikes.
    pub fn strike(&mut self, fault: Fault, request: &[u8]) -> Option<Firing> {
        let index = self.armed.iter().position(|armed| {
            armed.fault == fault && armed.parameters.command.as_deref().is_none_or(|text| contains(request, text))
        })?;
        let armed = &mut self.armed[index];
        armed.opportunities += 1;
        if armed.opportunities < armed.parameters.nth {
            return None;
        }
        if armed.parameters.probability < 1.0 && self.random.random::<f64>() >= armed.parameters.probability {
            return None;
        }
        armed.strikes += 1;
        let delay_ms = armed.parameters.delay_ms.unwrap_or_else(|| default_delay_ms(fault));
        if armed.strikes >= armed.parameters.count {
            self.armed.remove(index);
        }
        Some(Firing { delay_ms, frame: crate::device::frame_digest(request) })
    }

    /// Random numbers for the contents of a fault (which bit, which garbage).
    pub(crate) fn random(&mut self) -> &mut ChaCha8Rng {
        &mut self.random
    }
}

/// Delay when the parameters name none.
pub(crate) fn default_delay_ms(fault: Fault) -> u64 {
    match fault {
        // A little more than the 300 ms that a serial driver usually allows.
        Fault::LateReply => 400,
        Fault::ByteDribble => 20,
        Fault::SplitWrite => 50,
        Fault::Vanish => 500,
        // Thirty simulated seconds: well beyond the usual ten, well within an hour's patience.
        Fault::ResultFileLate => 30_000,
        _ => 0,
    }
}

fn contains(request: &[u8], text: &str) -> bool {
    let printable = String::from_utf8_lossy(request);
    if printable.contains(text) {
        return true;
    }
    let wanted: String = text.chars().filter(|character| !character.is_whitespace()).collect();
    let hexadecimal: String = request.iter().map(|byte| format!("{byte:02x}")).collect();
    !wanted.is_empty() && hexadecimal.contains(&wanted.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> FaultPlan {
        FaultPlan::new("eurotherm-epc3016", "furnace_b", 7)
    }

    #[test]
    fn a_fault_strikes_from_its_nth_opportunity_as_often_as_counted() {
        let mut plan = plan();
        plan.arm("lost_reply", FaultParameters { nth: 2, count: 2, ..FaultParameters::default() }).unwrap();
        let strikes: Vec<bool> = (0..5).map(|_| plan.strike(Fault::LostReply, b"x").is_some()).collect();
        assert_eq!(strikes, [false, true, true, false, false]);
        assert!(plan.armed_names().is_empty());
    }

    #[test]
    fn a_fault_can_be_aimed_at_a_command() {
        let mut plan = plan();
        let aimed = FaultParameters { command: Some("06 00 17".into()), ..FaultParameters::default() };
        plan.arm("lost_request", aimed).unwrap();
        assert!(plan.strike(Fault::LostRequest, &[1, 3, 0, 0x17]).is_none());
        assert!(plan.strike(Fault::LostRequest, &[1, 6, 0, 0x17]).is_some());
    }

    #[test]
    fn probability_is_deterministic_under_the_seed() {
        let draw = |seed| {
            let mut plan = FaultPlan::new("ika-cmag", "mixer", seed);
            let parameters = FaultParameters { count: 1000, probability: 0.5, ..FaultParameters::default() };
            plan.arm("lost_reply", parameters).unwrap();
            (0..64).map(|_| plan.strike(Fault::LostReply, b"").is_some()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(1).iter().any(|strike| *strike) && !draw(1).iter().all(|strike| *strike));
    }

    #[test]
    fn an_unknown_fault_lists_what_there_is() {
        let error = plan().arm("popup", FaultParameters::default()).unwrap_err().to_string();
        assert!(error.contains("furnace_b") && error.contains("sensor_break") && !error.contains("popup,"), "{error}");
        assert!(plan().arm("late_reply", FaultParameters { count: 0, ..FaultParameters::default() }).is_err());
    }

    #[test]
    fn every_name_finds_its_fault() {
        for fault in Fault::ALL {
            assert_eq!(Fault::named(fault.name()), Some(*fault));
            assert!(!fault.effect().is_empty());
        }
    }
}
