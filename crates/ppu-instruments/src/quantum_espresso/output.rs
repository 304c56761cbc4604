//! Output of `pw.x`: what it found, and every way in which it did not.
//!
//! Neither the end of the file nor the exit status proves a result: a run that did not converge also ends with
//! `JOB DONE.`. Only a line that begins with `!` carries the energy of a converged run.

use serde::Serialize;

/// Rydberg in eV, CODATA 2018.
const EV_PER_RYDBERG: f64 = 13.605_693_122_994;
/// Bohr radius in Å, CODATA 2018.
const ANGSTROM_PER_BOHR: f64 = 0.529_177_210_903;
/// The program prints stress in kbar.
const GPA_PER_KBAR: f64 = 0.1;

/// What a converged calculation found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Found {
    /// Total energy of the cell in eV; with smearing the free energy, which is the one that is variational.
    pub(super) energy_ev: f64,
    /// Steps to self-consistency.
    pub(super) scf_steps: u32,
    /// k points after symmetry.
    pub(super) k_points: u32,
    /// Force on each atom in eV/Å, where it was asked for.
    pub(super) forces_ev_per_angstrom: Option<Vec<[f64; 3]>>,
    /// Stress in GPa as three rows, where it was asked for; positive where the cell wants to grow.
    pub(super) stress_gpa: Option<[[f64; 3]; 3]>,
    /// CPU seconds.
    pub(super) cpu_s: f64,
    /// Seconds on the clock.
    pub(super) wall_s: f64,
}

/// Why an output holds no result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum NotFound {
    /// The program stopped with a message of its own.
    #[error("pw.x stopped in {routine}: {message}")]
    Stopped {
        /// The routine that it names.
        routine: String,
        /// What it says.
        message: String,
    },
    /// Self-consistency was not reached.
    #[error("not converged after {steps} steps; the energy still moves by {accuracy_ry} Ry")]
    NotConverged {
        /// Steps that were made.
        steps: u32,
        /// Its estimate of the accuracy in Ry.
        accuracy_ry: f64,
    },
    /// The output ends before its end: the program was killed or crashed.
    #[error("the output ends early; its last line is `{last}`")]
    Cut {
        /// The last line.
        last: String,
    },
    /// The output ends as it should, but a line that must be there is missing or no number.
    #[error("the output has no {what} that can be read")]
    Unreadable {
        /// What is missing.
        what: &'static str,
    },
}

/// Reads an output.
pub(super) fn read(text: &str) -> Result<Found, NotFound> {
    if let Some(stopped) = stopped(text) {
        return Err(stopped);
    }
    if let Some(steps) = after(text, "convergence NOT achieved after") {
        let accuracy_ry = last_after(text, "estimated scf accuracy    <").unwrap_or(f64::NAN);
        return Err(NotFound::NotConverged { steps: steps as u32, accuracy_ry });
    }
    if !text.trim_end().lines().rev().take(3).any(|line| line.trim() == "JOB DONE.") {
        let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        return Err(NotFound::Cut { last: last.to_owned() });
    }
    let must = |what, value: Option<f64>| value.ok_or(NotFound::Unreadable { what });
    let atoms = must("number of atoms", after(text, "number of atoms/cell      ="))? as usize;
    let energy_ry = text.lines().find_map(|line| line.strip_prefix('!')).and_then(|line| after(line, "="));
    let [cpu_s, wall_s] = times(text).ok_or(NotFound::Unreadable { what: "run time" })?;
    let forces = text.contains("Forces acting on atoms").then(|| forces(text, atoms));
    let stress = text.contains("total   stress").then(|| stress(text));
    Ok(Found {
        energy_ev: must("total energy", energy_ry)? * EV_PER_RYDBERG,
        scf_steps: must("number of steps", after(text, "convergence has been achieved in"))? as u32,
        k_points: must("number of k points", after(text, "number of k points="))? as u32,
        forces_ev_per_angstrom: forces
            .map(|forces| forces.ok_or(NotFound::Unreadable { what: "force on each atom" }))
            .transpose()?,
        stress_gpa: stress.map(|stress| stress.ok_or(NotFound::Unreadable { what: "stress" })).transpose()?,
        cpu_s,
        wall_s,
    })
}

/// Version of the program, as its first line says it.
pub(super) fn version(text: &str) -> Option<&str> {
    let rest = text.split_once("Program PWSCF")?.1;
    rest.split_whitespace().next()
}

/// How far a calculation is: steps so far, and its own estimate of the accuracy in Ry.
pub(super) fn progress(text: &str) -> Option<(usize, f64)> {
    Some((text.matches("iteration #").count(), last_after(text, "estimated scf accuracy    <")?))
}

/// The message between the lines of per cent signs.
fn stopped(text: &str) -> Option<NotFound> {
    let mut rest = text.lines().skip_while(|line| !line.contains("Error in routine"));
    let routine = rest.next()?.split_once("Error in routine")?.1.trim().trim_end_matches(':');
    let message: Vec<&str> = rest.take_while(|line| !line.contains("%%%%")).map(str::trim).collect();
    Some(NotFound::Stopped { routine: routine.to_owned(), message: message.join(" ") })
}

/// The number after the first occurrence of a text.
fn after(text: &str, mark: &str) -> Option<f64> {
    number(text.split_once(mark)?.1)
}

/// The number after the last occurrence of a text.
fn last_after(text: &str, mark: &str) -> Option<f64> {
    number(text.rsplit_once(mark)?.1)
}

/// The first word as a number; overflowing fields are printed as asterisks, which are none.
fn number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The first table of forces is the total one; others follow where the program is talkative.
fn forces(text: &str, atoms: usize) -> Option<Vec<[f64; 3]>> {
    let table = text.split_once("Forces acting on atoms")?.1;
    let rows = table.lines().filter_map(|line| line.split_once("force =")).take(atoms);
    let scale = EV_PER_RYDBERG / ANGSTROM_PER_BOHR;
    let forces: Vec<[f64; 3]> =
        rows.map(|(_, row)| three(row).map(|row| row.map(|value| value * scale))).collect::<Option<_>>()?;
    (forces.len() == atoms).then_some(forces)
}

/// Three columns in Ry/bohr³ stand beside the three in kbar.
fn stress(text: &str) -> Option<[[f64; 3]; 3]> {
    let mut rows = text.split_once("total   stress")?.1.lines().skip(1);
    let mut row = || {
        let in_kbar: Vec<&str> = rows.next()?.split_whitespace().skip(3).collect();
        three(&in_kbar.join(" ")).map(|row| row.map(|value| value * GPA_PER_KBAR))
    };
    Some([row()?, row()?, row()?])
}

fn three(text: &str) -> Option<[f64; 3]> {
    let numbers: Vec<f64> = text.split_whitespace().map(number).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// CPU and wall time in seconds from the last line of the timing report.
fn times(text: &str) -> Option<[f64; 2]> {
    let line = text.lines().rev().find(|line| line.trim_start().starts_with("PWSCF  "))?;
    let (cpu, wall) = line.split_once(':')?.1.split_once("CPU")?;
    Some([seconds(cpu)?, seconds(wall.trim_end().strip_suffix("WALL")?)?])
}

/// Seconds of a span such as `4.10s`, `1m12.30s`, `2h 5m` or `1d 3h 5m`.
fn seconds(text: &str) -> Option<f64> {
    let mut total = 0.0;
    let mut digits = String::new();
    for letter in text.chars().filter(|letter| !letter.is_whitespace()) {
        let unit_s = match letter {
            'd' => 86_400.0,
            'h' => 3_600.0,
            'm' => 60.0,
            's' => 1.0,
            other => {
                digits.push(other);
                continue;
            }
        };
        total += unit_s * digits.parse::<f64>().ok()?;
        digits.clear();
    }
    (digits.is_empty() && !text.trim().is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILICON: &str = include_str!("../../tests/files/pw_si.out");
    const ALUMINIUM: &str = include_str!("../../tests/files/pw_al.out");
    const NOT_CONVERGED: &str = include_str!("../../tests/files/pw_not_converged.out");
    const NEEDS_SMEARING: &str = include_str!("../../tests/files/pw_needs_smearing.out");

    #[test]
    fn a_recorded_run_is_read_with_its_forces_and_stress() {
        let found = read(SILICON).unwrap();
        assert!((found.energy_ev - -15.830_400_81 * 13.605_693_122_994).abs() < 1e-9);
        assert_eq!((found.scf_steps, found.k_points), (7, 8));
        assert_eq!(found.forces_ev_per_angstrom, Some(vec![[0.0; 3]; 2]));
        let stress = found.stress_gpa.unwrap();
        assert!((stress[0][0] - stress[2][2]).abs() < 1e-9 && stress[0][0] != 0.0 && stress[0][1] == 0.0);
        assert!(found.cpu_s > 0.0 && found.wall_s >= found.cpu_s);
        assert_eq!(version(SILICON), Some("v.6.7MaX"));
        assert_eq!(progress(SILICON).unwrap().0, 7);
    }

    #[test]
    fn a_metal_reports_its_free_energy() {
        let found = read(ALUMINIUM).unwrap();
        assert!((found.energy_ev - -4.154_417_74 * 13.605_693_122_994).abs() < 1e-9);
    }

    #[test]
    fn the_end_of_a_file_proves_nothing() {
        assert!(NOT_CONVERGED.contains("JOB DONE."));
        let refused = read(NOT_CONVERGED).unwrap_err();
        assert!(matches!(refused, NotFound::NotConverged { steps: 3, accuracy_ry } if accuracy_ry > 1e-9), "{refused}");
        let refused = read(NEEDS_SMEARING).unwrap_err();
        let message = "charge is wrong: smearing is needed".to_owned();
        assert_eq!(refused, NotFound::Stopped { routine: "electrons (1)".to_owned(), message });
    }

    #[test]
    fn an_output_that_was_cut_anywhere_is_no_result() {
        let end = SILICON.find("JOB DONE.").unwrap();
        for cut in (0..end).step_by(97) {
            assert!(read(&SILICON[..cut]).is_err(), "cut at {cut}");
        }
        assert!(matches!(read(""), Err(NotFound::Cut { last }) if last.is_empty()));
        let starred = SILICON.replace("-15.83040081", "************");
        assert_eq!(read(&starred), Err(NotFound::Unreadable { what: "total energy" }));
        assert_eq!(read(&SILICON.replace("force =     0.0", "force = *****")).unwrap_err().to_string().len(), 53);
    }

    #[test]
    fn times_are_read_as_the_program_writes_them() {
        for (text, expected) in
            [(" 0.07s ", 0.07), ("  3m19.43s ", 199.43), (" 2h 5m ", 7_500.0), (" 1d 3h 5m ", 97_500.0)]
        {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        assert_eq!((seconds(""), seconds("12"), seconds("1x2s")), (None, None, None));
    }
}
