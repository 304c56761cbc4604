//! A double of `pw.x`: reads its input, prints output of the same shape, and knows nothing of quantum mechanics.
//!
//! The energy follows a law that tests can compute: for each atom a level of its element, plus what cutoff and grid have
//! not converged yet, `2 exp(−ecut/8 Ry) Ry` and `1/(n1 n2 n3) Ry`, with no interaction between the two. Input errors,
//! missing pseudopotentials, odd electrons without smearing and too few steps end as the program ends with them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// What a run prints and how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Standard output.
    pub text: String,
    /// Exit status.
    pub status: u8,
}

/// Steps to self-consistency of an insulator; a metal takes more.
const STEPS: u32 = 7;
/// More steps with smearing.
const METAL_STEPS: u32 = 4;
/// Symbols by atomic number, as far as the double knows them.
const SYMBOLS: [&str; 54] = [
    "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca",
    "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr", "Y",
    "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Xe",
];

/// What an input asks for.
#[derive(Debug)]
struct Input {
    values: BTreeMap<String, String>,
    species: Vec<(String, String)>,
    atoms: Vec<String>,
    grid: [u32; 3],
}

/// The error box of the program: routine and message.
type Stop = (&'static str, String);

/// Answers one input. `exists` says whether a file is there, relative to the folder of the run.
pub fn answer(input: &str, exists: impl Fn(&Path) -> bool) -> Answer {
    let mut text = String::from("\n     Program PWSCF v.SIM-1 starts on 01Jan2000 at  0: 0: 0 \n\n");
    let end = parse(input).and_then(|input| calculate(&input, exists, &mut text));
    let status = end.unwrap_or_else(|(routine, message)| {
        let bar = "%".repeat(78);
        let _ = write!(
            text,
            "\n {bar}\n     Error in routine  {routine} (1):\n      {message}\n {bar}\n\n     stopping ...\n"
        );
        1
    });
    Answer { text, status }
}

fn parse(input: &str) -> Result<Input, Stop> {
    if !input.to_ascii_lowercase().contains("&control") {
        return Err(("read_namelists", "could not find namelist &control".to_owned()));
    }
    let mut found = Input { values: BTreeMap::new(), species: Vec::new(), atoms: Vec::new(), grid: [1; 3] };
    let mut card = "";
    for line in input.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "/") {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "ATOMIC_SPECIES" | "CELL_PARAMETERS" | "ATOMIC_POSITIONS" | "K_POINTS" => card = words[0],
            _ if line.starts_with('&') => card = "",
            _ => match (card, &words[..]) {
                ("ATOMIC_SPECIES", [element, _, file]) => found.species.push(((*element).into(), (*file).into())),
                ("ATOMIC_POSITIONS", [element, _, _, _]) => found.atoms.push((*element).to_owned()),
                ("K_POINTS", [a, b, c, ..]) => {
                    let number = |word: &str| word.parse().map_err(|_| ("read_cards", format!("k point {word}")));
                    found.grid = [number(a)?, number(b)?, number(c)?];
                }
                ("CELL_PARAMETERS", [_, _, _]) => {}
                ("", _) => {
                    let (name, value) = line.split_once('=').ok_or(("read_namelists", format!("bad line {line}")))?;
                    found.values.insert(name.trim().to_owned(), value.trim().trim_matches('\'').to_owned());
                }
                _ => return Err(("read_cards", format!("bad line in {card}: {line}"))),
            },
        }
    }
    Ok(found)
}

fn calculate(input: &Input, exists: impl Fn(&Path) -> bool, text: &mut String) -> Result<u8, Stop> {
    let number = |name: &str| {
        let value = input.values.get(name).ok_or(("read_namelists", format!("{name} is missing")))?;
        value.parse::<f64>().map_err(|_| ("read_namelists", format!("{name} is {value}")))
    };
    let (atoms, cutoff, most_steps) = (number("nat")?, number("ecutwfc")?, number("electron_maxstep")? as u32);
    if atoms != input.atoms.len() as f64 || number("ntyp")? != input.species.len() as f64 {
        return Err(("read_cards", "nat and ntyp do not fit the cards".to_owned()));
    }
    let folder = Path::new(input.values.get("pseudo_dir").map_or(".", String::as_str));
    for (_, file) in &input.species {
        let path = folder.join(file);
        if !exists(&path) {
            return Err(("readpp", format!("file {} not found", path.display())));
        }
    }
    let metal = input.values.get("occupations").is_some_and(|occupations| occupations == "smearing");
    let numbers = input.atoms.iter().map(|element| {
        let known = SYMBOLS.iter().position(|symbol| symbol == element);
        known.map(|index| index + 1).ok_or(("read_cards", format!("species {element} is not known")))
    });
    let numbers: Vec<usize> = numbers.collect::<Result<_, Stop>>()?;
    // Closed shells hold pairs, so the parity of the valence electrons is that of all.
    if numbers.iter().sum::<usize>() % 2 == 1 && !metal {
        return Err(("electrons", "charge is wrong: smearing is needed".to_owned()));
    }
    let points: u32 = input.grid.iter().product();
    let level: f64 = numbers.iter().map(|&number| -2.0 * number as f64).sum();
    let energy = level + atoms * (2.0 * (-cutoff / 8.0).exp() + 1.0 / f64::from(points));
    let steps = STEPS + if metal { METAL_STEPS } else { 0 };
    let cpu_s = 1e-4 * atoms * f64::from(points.div_ceil(2)) * cutoff.powf(1.5) * f64::from(steps);
    report(text, input, energy, [steps, most_steps], cpu_s);
    Ok(if steps > most_steps { 2 } else { 0 })
}

/// Everything after the error checks: header, steps, result, time.
fn report(text: &mut String, input: &Input, energy: f64, [steps, most_steps]: [u32; 2], cpu_s: f64) {
    let mut line = |arguments: std::fmt::Arguments<'_>| {
        let _ = text.write_fmt(arguments);
        text.push('\n');
    };
    let atoms = input.atoms.len();
    line(format_args!("     number of atoms/cell      = {atoms:>12}"));
    line(format_args!("     number of k points= {:>5}", input.grid.iter().product::<u32>().div_ceil(2)));
    for step in 1..=steps.min(most_steps) {
        let accuracy = 10.0_f64.powi(-i32::try_from(step).unwrap_or(i32::MAX));
        line(format_args!("\n     iteration # {step:>2}     ecut=    ** Ry     beta= 0.70"));
        line(format_args!("     total energy              = {:>17.8} Ry", energy + accuracy));
        line(format_args!("     estimated scf accuracy    < {accuracy:>17.8} Ry"));
    }
    line(format_args!("\n     End of self-consistent calculation\n"));
    if steps > most_steps {
        line(format_args!("     convergence NOT achieved after {most_steps:>3} iterations: stopping"));
    } else {
        line(format_args!("!    total energy              = {energy:>17.8} Ry"));
        line(format_args!("     convergence has been achieved in {steps:>3} iterations"));
        if input.values.get("tprnfor").is_some_and(|wanted| wanted == ".true.") {
            line(format_args!("\n     Forces acting on atoms (cartesian axes, Ry/au):\n"));
            for atom in 1..=atoms {
                let zero = "    0.00000000    0.00000000    0.00000000";
                line(format_args!("     atom {atom:>4} type  1   force = {zero}"));
            }
        }
    }
    line(format_args!("\n     PWSCF        : {cpu_s:>9.2}s CPU {cpu_s:>9.2}s WALL\n\n"));
    let bar = "-".repeat(78);
    line(format_args!("={bar}=\n   JOB DONE.\n={bar}="));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(element: &str, extra: &str, most_steps: u32) -> String {
        format!(
            "&CONTROL\n  pseudo_dir = 'pseudo'\n/\n&SYSTEM\n  nat = 1\n  ntyp = 1\n  ecutwfc = 16\n{extra}/\n&ELECTRONS\n  \
             electron_maxstep = {most_steps}\n/\nATOMIC_SPECIES\n{element} 1.0 {element}.UPF\nATOMIC_POSITIONS crystal\n\
             {element} 0.0 0.0 0.0\nK_POINTS automatic\n2 2 5 0 0 0\n"
        )
    }

    #[test]
    fn the_energy_follows_its_law() {
        let answer = answer(&input("C", "", 100), |path| path == Path::new("pseudo/C.UPF"));
        assert_eq!(answer.status, 0, "{}", answer.text);
        let expected = -12.0 + 2.0 * (-2.0_f64).exp() + 1.0 / 20.0;
        assert!(
            answer.text.contains(&format!("!    total energy              = {expected:>17.8} Ry")),
            "{}",
            answer.text
        );
    }

    #[test]
    fn it_ends_as_the_program_ends() {
        let there = |_: &Path| true;
        let ended = |text: &str, status: u8, input: &str, exists: fn(&Path) -> bool| {
            let answer = answer(input, exists);
            assert!(answer.text.contains(text) && answer.status == status, "{}", answer.text);
        };
        ended("could not find namelist &control", 1, "", there);
        ended("file pseudo/C.UPF not found", 1, &input("C", "", 100), |_| false);
        ended("charge is wrong: smearing is needed", 1, &input("Al", "", 100), there);
        ended("convergence NOT achieved after   3 iterations", 2, &input("C", "", 3), there);
        ended("!    total energy", 0, &input("Al", "  occupations = 'smearing'\n", 100), there);
    }
}
