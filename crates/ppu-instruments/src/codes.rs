//! Codes of the faults that an operator can meet at an instrument, each with its page for `ppu explain`.

use ppu_driver::codes as kit;

/// One page of `ppu explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The code, such as `E0103`.
    pub code: &'static str,
    /// One line: the name of the fault.
    pub title: &'static str,
    /// What happened.
    pub happened: &'static str,
    /// Whether people, device and sample are safe.
    pub safe: &'static str,
    /// What to do.
    pub cure: &'static str,
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}: {}\n", self.code, self.title)?;
        writeln!(f, "What happened: {}\n\nIs it safe? {}\n\nWhat to do: {}", self.happened, self.safe, self.cure)
    }
}

/// The page of a code; `None` for a code that no driver uses.
pub fn explain(code: &str) -> Option<&'static Explanation> {
    ALL.iter().find(|page| page.code.eq_ignore_ascii_case(code.trim()))
}

/// The syringe pump does not know where its plunger is.
pub const PUMP_NOT_INITIALISED: &str = "E0101";
/// The volume does not fit into or is not in the syringe.
pub const PUMP_STROKE: &str = "E0102";
/// The plunger or the valve of the syringe pump met too much resistance.
pub const PUMP_OVERLOAD: &str = "E0103";
/// The syringe pump is busy with another action.
pub const PUMP_BUSY: &str = "E0104";
/// The syringe pump did not take a command.
pub const PUMP_COMMAND: &str = "E0105";
/// The syringe pump stopped on the way.
pub const PUMP_PART_WAY: &str = "E0106";
/// The hotplate did not take a setting.
pub const PLATE_WRITE_IGNORED: &str = "E0111";
/// The stirrer does not turn as it should.
pub const STIRRER_SPEED: &str = "E0112";
/// The hotplate does not heat.
pub const PLATE_NOT_HEATING: &str = "E0113";
/// The load is outside the range of the balance.
pub const BALANCE_RANGE: &str = "E0121";
/// The balance was never still.
pub const BALANCE_UNSTABLE: &str = "E0122";
/// The balance reports a defect.
pub const BALANCE_DEFECT: &str = "E0123";
/// Two stable weights differ.
pub const BALANCE_DISAGREES: &str = "E0124";
/// The furnace is still busy or hot.
pub const FURNACE_BUSY: &str = "E0131";
/// The furnace controller did not take its programme.
pub const FURNACE_PROGRAMME: &str = "E0132";
/// The thermocouple of the furnace is broken.
pub const FURNACE_SENSOR: &str = "E0133";
/// The furnace programme ended before its time.
pub const FURNACE_RESET: &str = "E0134";
/// The furnace took longer than allowed.
pub const FURNACE_LATE: &str = "E0135";
/// The furnace did not start.
pub const FURNACE_NOT_STARTED: &str = "E0136";
/// The arm may not move.
pub const ARM_NOT_READY: &str = "E0141";
/// The arm made a protective stop.
pub const ARM_PROTECTIVE_STOP: &str = "E0142";
/// The arm has no program for this position.
pub const ARM_PROGRAM: &str = "E0143";
/// The arm did not start its program.
pub const ARM_NOT_STARTED: &str = "E0144";
/// A program of the arm ended before its end.
pub const ARM_PART_WAY: &str = "E0145";
/// The gripper closed on nothing.
pub const ARM_EMPTY: &str = "E0146";
/// The diffractometer is not ready for automation.
pub const XRD_NOT_READY: &str = "E0151";
/// The diffractometer refused a request.
pub const XRD_REFUSED: &str = "E0152";
/// The result file of a scan is missing or incomplete.
pub const XRD_FILE: &str = "E0153";
/// A scan took longer than allowed.
pub const XRD_LATE: &str = "E0154";
/// The spectrometer refused a request.
pub const OPTICS_REFUSED: &str = "E0161";
/// A light source may still be on.
pub const OPTICS_LIGHT_ON: &str = "E0162";
/// A spectrum does not fit the detector.
pub const OPTICS_SPECTRUM: &str = "E0163";
/// The driver has no such command.
pub const UNKNOWN_COMMAND: &str = "E0171";
/// The first-principles program is not there.
pub const DFT_NOT_INSTALLED: &str = "E0181";
/// The structure to calculate cannot be read or is not ordered.
pub const DFT_STRUCTURE: &str = "E0182";
/// An element has no pseudopotential, or several.
pub const DFT_PSEUDOPOTENTIAL: &str = "E0183";
/// The calculation did not become self-consistent.
pub const DFT_NOT_CONVERGED: &str = "E0184";
/// The first-principles program stopped with an error, crashed or was killed.
pub const DFT_STOPPED: &str = "E0185";
/// The folder of a calculation cannot be used.
pub const DFT_FOLDER: &str = "E0186";

const fn page(
    code: &'static str,
    title: &'static str,
    happened: &'static str,
    safe: &'static str,
    cure: &'static str,
) -> Explanation {
    Explanation { code, title, happened, safe, cure }
}

/// Every page, in the order of the codes.
pub const ALL: &[Explanation] = &[
    page(
        PUMP_NOT_INITIALISED,
        "the syringe pump is not initialised",
        "The pump lost its reference, usually because its power was cut. What the syringe holds is unknown.",
        "Yes while it stands. Initialising pushes the content of the syringe out of the output port.",
        "Put a beaker under the output port, run `initialise`, and treat liquid drawn before as lost.",
    ),
    page(
        PUMP_STROKE,
        "the volume does not fit the syringe",
        "The plunger would have to move beyond an end of its stroke. Nothing was moved.",
        "Yes.",
        "Draw less, dispense first, or split the transfer. Check `syringe_ul` and `stroke_steps` of the instrument file.",
    ),
    page(
        PUMP_OVERLOAD,
        "plunger or valve overload",
        "The motor lost steps against too much resistance: a closed line, a blocked tip, or a fast move of a thick liquid.",
        "The pump has stopped. The line may be under pressure; the volume moved is only known roughly.",
        "Wear goggles, release the pressure, clear the line, run `initialise`, then decide about the sample.",
    ),
    page(
        PUMP_BUSY,
        "the syringe pump is busy",
        "The pump was still moving when a command was due; the command was not sent or was ignored by the pump.",
        "Yes.",
        "Wait. If it stays busy, something else drives the pump: find the other controller on its bus.",
    ),
    page(
        PUMP_COMMAND,
        "the syringe pump did not take a command",
        "The pump reports an invalid command, an operand out of range, or a defect of its memory. Plunger and valve did not move.",
        "Yes.",
        "Check valve ports and stroke in the instrument file against the pump. Error 6 needs service.",
    ),
    page(
        PUMP_PART_WAY,
        "the syringe pump stopped on the way",
        "Valve or plunger stand neither where they were nor where they should be.",
        "The pump stands still. The volume that moved follows from the plunger position in the report.",
        "Compare the reported volume with the sample; scrap or correct it. Run `initialise` before going on.",
    ),
    page(
        PLATE_WRITE_IGNORED,
        "the hotplate did not take a setting",
        "The setting was written several times and still reads back otherwise.",
        "The plate keeps its former setting: it may be hot or turning. Read its display.",
        "Check that its watchdog has not tripped (Er02) and that its safety limit is above the setting.",
    ),
    page(
        STIRRER_SPEED,
        "the stirrer does not turn as it should",
        "The speed did not reach its setting, or fell off while stirring.",
        "Yes. The liquid may be badly mixed.",
        "Look for a stir bar that has come loose or a liquid that is too thick; stir again.",
    ),
    page(
        PLATE_NOT_HEATING,
        "the hotplate does not heat",
        "The plate was told to heat and its temperature did not rise.",
        "Take the plate for hot until it is seen to be cold.",
        "Check safety limit, fuse and probe of the plate.",
    ),
    page(
        BALANCE_RANGE,
        "the load is outside the range of the balance",
        "The balance reports overload or underload.",
        "Yes. Overload can damage the cell if it stays.",
        "Take the load off, look for something touching the pan, zero the balance.",
    ),
    page(
        BALANCE_UNSTABLE,
        "the balance was never still",
        "No stable weight came within the time allowed.",
        "Yes.",
        "Close the draught shield, look for vibration or a warm sample, weigh again.",
    ),
    page(
        BALANCE_DEFECT,
        "the balance reports a defect",
        "The balance answered with an error of its electronics or terminal, or needs an adjustment.",
        "Yes, but its weights cannot be trusted.",
        "Read the error in the message; 15 asks for an adjustment, all others for service.",
    ),
    page(
        BALANCE_DISAGREES,
        "stable weights disagree",
        "Weights read one after another differ by more than `agreement_mg`. The line has no checksum, so none is believed.",
        "Yes.",
        "Weigh again. If it happens often, look for drift of the load or a bad cable.",
    ),
    page(
        FURNACE_BUSY,
        "the furnace is busy or hot",
        "A programme is running or held, or the furnace is above its idle temperature. Nothing was started.",
        "The furnace may be hot: do not open it.",
        "Wait until it is cold, or reset the programme at the controller if nobody needs it.",
    ),
    page(
        FURNACE_PROGRAMME,
        "the controller did not take the programme",
        "A programme register reads back otherwise than it was written. Nothing was started.",
        "Yes.",
        "Check `decimals` of the instrument file against the controller, and that the programme is not locked by an access level.",
    ),
    page(
        FURNACE_SENSOR,
        "the thermocouple of the furnace is broken",
        "The controller reports a sensor break. The driver has reset its programme so that it does not heat blindly.",
        "Take the furnace for hot: its temperature is unknown.",
        "Let it cool, replace the thermocouple, acknowledge the alarm. The sample saw an unknown temperature.",
    ),
    page(
        FURNACE_RESET,
        "the furnace programme ended before its time",
        "The controller is in reset although the programme had not finished: its power failed or somebody reset it.",
        "The furnace may be hot. It does not heat any more.",
        "Find out who or what reset it. The sample has had a shorter treatment than planned.",
    ),
    page(
        FURNACE_LATE,
        "the furnace took longer than allowed",
        "The programme or the cooling after it has not ended within its bound.",
        "The controller goes on with its programme and holds the furnace in its limits.",
        "Look at the furnace: weak heater, a held programme, or poor cooling.",
    ),
    page(
        FURNACE_NOT_STARTED,
        "the furnace did not start",
        "The controller took the run command and stayed in reset.",
        "Yes.",
        "Check for a digital input or an alarm that holds the programmer in reset.",
    ),
    page(
        ARM_NOT_READY,
        "the arm may not move",
        "The controller is not in remote control, not running, or its safety system is not in the normal mode.",
        "Yes: nothing was started.",
        "At the pendant: clear stops, power on, release brakes, switch to remote control.",
    ),
    page(
        ARM_PROTECTIVE_STOP,
        "the arm made a protective stop",
        "The arm met something or was stopped by its safety system during a transfer. It may hold the sample.",
        "The arm stands still with its gripper closed. Do not reach in before it is secured.",
        "Find the obstacle, say where the sample is, then unlock the stop at the pendant.",
    ),
    page(
        ARM_PROGRAM,
        "the arm has no program for this position",
        "The controller does not find the program, or cannot load it.",
        "Yes for a pick. For a place the arm holds the sample in its gripper.",
        "Teach and save `pick_<position>.urp` and `place_<position>.urp` on the controller.",
    ),
    page(
        ARM_NOT_STARTED,
        "the arm did not start its program",
        "The controller took `play`, but no program runs; often a popup waits at the pendant.",
        "The arm stands still. If this was a place, the gripper holds the sample.",
        "Answer the popup at the pendant, then resolve the step.",
    ),
    page(
        ARM_PART_WAY,
        "a program of the arm ended before its end",
        "A pick or place began and did not finish.",
        "The arm stands still. Where the sample is, nobody knows.",
        "Look where the sample is, and resolve the step with what you see.",
    ),
    page(
        ARM_EMPTY,
        "the gripper closed on nothing",
        "The sample was not at the position from which it should be carried; nothing was put down anywhere.",
        "The arm stands still with an empty gripper. The sample is somewhere else than the lab believes.",
        "Look where the sample is and tell the lab with `ppu locate`.",
    ),
    page(
        XRD_NOT_READY,
        "the diffractometer is not ready",
        "It is not under remote control, or it is measuring something else.",
        "Yes: nothing was started.",
        "Switch it to automation, wait for the running scan, check its doors.",
    ),
    page(
        XRD_REFUSED,
        "the diffractometer refused a request",
        "It answered with a status other than normal; its words are in the message.",
        "Yes: no scan was started.",
        "Check the program name in `programs` and that nothing else is registered at the slot.",
    ),
    page(
        XRD_FILE,
        "the result file of a scan is missing",
        "The scan ended, but no complete file came into the results folder.",
        "Yes. The sample was measured and is not changed by it.",
        "Check that the folder of the file share is mounted and has space; measure again.",
    ),
    page(
        XRD_LATE,
        "a scan took longer than allowed",
        "The diffractometer still reports that it measures after `scan_limit_s`.",
        "X-rays may be on: keep the doors closed.",
        "Look at the instrument; raise `scan_limit_s` if the program is as long as that.",
    ),
    page(
        OPTICS_REFUSED,
        "the spectrometer refused a request",
        "It answered with an error; its number and meaning are in the message.",
        "Lamp and laser are switched off after every measurement, also after a failed one.",
        "Check the integration time against the model; power-cycle it if the error stays.",
    ),
    page(
        OPTICS_LIGHT_ON,
        "a light source may still be on",
        "The command to switch lamp or laser off was not confirmed.",
        "NO: take the laser for on. Do not look into the beam, do not open the cover.",
        "Switch the light sources off by hand, then find out why the spectrometer does not answer.",
    ),
    page(
        OPTICS_SPECTRUM,
        "a spectrum does not fit the detector",
        "The number of pixels differs between spectra or is odd.",
        "Yes.",
        "Measure again; if it stays, the detector is set to another mode: power-cycle it.",
    ),
    page(
        UNKNOWN_COMMAND,
        "the driver has no such command",
        "A command or argument reached the driver that its manifest does not have. Nothing was sent to the device.",
        "Yes.",
        "Use the same version of `ppu` on all computers, and restart the driver after an update.",
    ),
    page(
        DFT_NOT_INSTALLED,
        "the first-principles program is not there",
        "The program that the settings name cannot be started, or does not speak like Quantum ESPRESSO's pw.x.",
        "Yes: nothing was calculated, and nothing else of the lab needs it.",
        "Install it (Debian and Ubuntu: `apt install quantum-espresso quantum-espresso-data`), or name it in the \
         instrument's settings: `program = [\"/path/to/pw.x\"]`.",
    ),
    page(
        DFT_STRUCTURE,
        "the structure cannot be calculated",
        "The CIF file cannot be read, or sites are shared or not full.",
        "Yes: nothing was calculated.",
        "Give an ordered structure; the message names the line or the site.",
    ),
    page(
        DFT_PSEUDOPOTENTIAL,
        "a pseudopotential is missing or ambiguous",
        "The folder has no file for an element, or several among which the settings do not choose.",
        "Yes: nothing was calculated.",
        "Put the file into the folder that the message names, or choose one in the settings under `files`.",
    ),
    page(
        DFT_NOT_CONVERGED,
        "the calculation did not converge",
        "Self-consistency was not reached in the steps that are allowed, so there is no energy.",
        "Yes: computing time is all that was spent.",
        "Give a metal a smearing and a magnet a moment; otherwise allow more steps with `most_steps`.",
    ),
    page(
        DFT_STOPPED,
        "the calculation broke off",
        "The program stopped with a message of its own, crashed, or was killed; its words are in the message.",
        "Yes: computing time is all that was spent.",
        "Read the message and the files in the folder that it names; memory is what is short most often.",
    ),
    page(
        DFT_FOLDER,
        "the folder of the calculations cannot be used",
        "Input or result could not be written or read.",
        "Yes: nothing but files is concerned.",
        "Make space on the disk or mend the permissions of the `folder` in the settings.",
    ),
    page(
        kit::LINE_SILENT,
        "the instrument did not answer",
        "No complete answer came in time.",
        "Unknown: a command may have been carried out although its answer is missing.",
        "Check power and cable. `ppu` asks the device what became of the command before it does anything else.",
    ),
    page(
        kit::LINE_CLOSED,
        "the line to the instrument is closed",
        "The port vanished, the connection was closed, or it could not be opened.",
        "The device goes on with what it was doing.",
        "Check cable, power and address. The driver opens the line again by itself.",
    ),
    page(
        kit::PORT_IN_USE,
        "another process holds the port",
        "The serial port is open elsewhere; the device itself is there.",
        "Yes, unless the other program moves the device.",
        "Close the other program: two masters on one line destroy each other's conversation.",
    ),
    page(
        kit::WRONG_DEVICE,
        "another instrument answers",
        "The identity of the device is not the one that was seen before.",
        "Nothing was sent but questions.",
        "Check the cabling; ports are named by their stable path, never by their number.",
    ),
    page(
        kit::DEVICE_REFUSED,
        "the instrument refused the request",
        "The device answered that it does not do this; its words are in the message.",
        "Yes: a refusal has no effect.",
        "Read the message; check settings and state of the device.",
    ),
    page(
        kit::BAD_REPLY,
        "the reply cannot be understood",
        "Bytes came that are not an answer to the question. No value was taken from them.",
        "Unknown for a command that moves something: its outcome is asked for separately.",
        "Check line settings, shielding and grounding of the cable.",
    ),
    page(
        kit::TOO_LATE,
        "the deadline for the start had passed",
        "The command arrived after the last moment at which it may begin.",
        "Yes: nothing was started.",
        "Usually none: the scheduler plans the step again.",
    ),
    page(
        kit::IN_DOUBT,
        "nobody knows what became of a command",
        "Contact was lost in mid-command and the device cannot prove the outcome.",
        "The device, the sample and their positions are blocked until somebody looks.",
        "Look at device and sample, then resolve the step with what you see.",
    ),
    page(
        kit::CANCELLED,
        "cancelled before it began",
        "The command was withdrawn while it was waiting.",
        "Yes: nothing was started.",
        "None.",
    ),
    page(
        kit::ARTIFACT_LOST,
        "raw data could not be stored",
        "The measurement was made, but its file could not be written.",
        "Yes for the sample; the data are lost.",
        "Make space on the disk or mend its permissions, then measure again.",
    ),
    page(
        kit::SCHEDULER_SILENT,
        "the scheduler fell silent",
        "The driver heard nothing from the scheduler for too long and brought the device to its safe state.",
        "Yes: the safe state of the device is in the message.",
        "Start the scheduler; it finds out by itself what became of every command.",
    ),
    page(
        kit::MADE_SAFE,
        "somebody asked for the safe state",
        "The device was brought to its safe state on request.",
        "Yes: the safe state of the device is in the message.",
        "Clear the reason for the request, then release the device.",
    ),
    page(
        kit::PRECONDITION,
        "something was not as it must be before a command begins",
        "Right before the start the device read otherwise than the step needs, such as an empty pan.",
        "Yes: nothing was done. The sample is in doubt, because it is not what or where the lab believes.",
        "Look where the sample is and tell the lab with `ppu locate`.",
    ),
    page(
        kit::MEMORY_DOUBT,
        "the driver's ledger is not the one that the journal knows",
        "It was lost, or restored from an old copy, so it may have forgotten what it told the device.",
        "The device starts nothing. What was under way is in doubt.",
        "Resolve the doubts of the device with what you see, then `ppu clear` it.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_complete_page_in_order() {
        for pair in ALL.windows(2) {
            assert!(pair[0].code < pair[1].code, "{} stands before {}", pair[0].code, pair[1].code);
        }
        for page in ALL {
            for part in [page.title, page.happened, page.safe, page.cure] {
                assert!(!part.trim().is_empty(), "{} has an empty part", page.code);
            }
            assert_eq!(explain(&page.code.to_lowercase()), Some(page));
        }
        assert_eq!(explain("E9999"), None);
    }
}
