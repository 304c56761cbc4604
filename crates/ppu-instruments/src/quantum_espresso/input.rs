//! Input of `pw.x`: namelists and cards as the program's input description (INPUT_PW) defines them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ppu_atoms::{Element, Structure};

/// Change of the energy between two steps at which a calculation counts as self-consistent, in Ry for each atom: a
/// hundred thousandth of a meV, so that differences of a tenth of a meV mean something.
const SCF_ACCURACY_RY: f64 = 1e-9;

/// One self-consistent calculation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Calculation {
    /// Cell and atoms.
    pub(super) structure: Structure,
    /// Cutoff of the plane waves in Ry.
    pub(super) cutoff_ry: f64,
    /// Cutoff of the density as a multiple of it.
    pub(super) density_ratio: f64,
    /// Divisions of the k-point grid.
    pub(super) grid: [i64; 3],
    /// Whether the grid is moved by half a step along each edge.
    pub(super) shifted: bool,
    /// Width of the cold smearing in Ry; with 0 the occupations are fixed, as in an insulator.
    pub(super) smearing_ry: f64,
    /// Magnetisation of each atom to begin with, as a share of its valence electrons; 0 for no spin.
    pub(super) moment: f64,
    /// Whether forces and stress are wanted.
    pub(super) forces: bool,
    /// Most steps to self-consistency.
    pub(super) most_steps: u32,
}

/// The input, with one pseudopotential file for each element. Relative to the folder that the program runs in.
pub(super) fn write(calculation: &Calculation, pseudopotentials: &BTreeMap<Element, String>, folder: &str) -> String {
    let structure = &calculation.structure;
    let flag = |yes: bool| if yes { ".true." } else { ".false." };
    let mut text = format!(
        "&CONTROL\n  calculation = 'scf'\n  prefix = 'pw'\n  outdir = '.'\n  pseudo_dir = '{folder}'\n  disk_io = 'none'\n  \
         tprnfor = {forces}\n  tstress = {forces}\n/\n&SYSTEM\n  ibrav = 0\n  nat = {atoms}\n  ntyp = {kinds}\n  \
         ecutwfc = {cutoff}\n  ecutrho = {density}\n",
        forces = flag(calculation.forces),
        atoms = structure.atoms(),
        kinds = pseudopotentials.len(),
        cutoff = calculation.cutoff_ry,
        density = calculation.cutoff_ry * calculation.density_ratio,
    );
    let mut line = |arguments: std::fmt::Arguments<'_>| {
        text.write_fmt(arguments).expect("a string takes everything");
        text.push('\n');
    };
    if calculation.smearing_ry > 0.0 {
        line(format_args!("  occupations = 'smearing'\n  smearing = 'cold'\n  degauss = {}", calculation.smearing_ry));
    }
    if calculation.moment != 0.0 {
        line(format_args!("  nspin = 2"));
        for kind in 1..=pseudopotentials.len() {
            line(format_args!("  starting_magnetization({kind}) = {}", calculation.moment));
        }
    }
    let accuracy = SCF_ACCURACY_RY * structure.atoms() as f64;
    line(format_args!("/\n&ELECTRONS\n  conv_thr = {accuracy:e}\n  electron_maxstep = {}\n/", calculation.most_steps));
    line(format_args!("ATOMIC_SPECIES"));
    for (element, file) in pseudopotentials {
        // The mass moves nothing in a calculation at fixed positions.
        line(format_args!("{element} 1.0 {file}"));
    }
    line(format_args!("CELL_PARAMETERS angstrom"));
    for [x, y, z] in structure.lattice().0 {
        line(format_args!("{x:.10} {y:.10} {z:.10}"));
    }
    line(format_args!("ATOMIC_POSITIONS crystal"));
    for (element, [x, y, z]) in structure.species().iter().zip(structure.fractional()) {
        line(format_args!("{element} {x:.10} {y:.10} {z:.10}"));
    }
    let [a, b, c] = calculation.grid;
    let shift = u8::from(calculation.shifted);
    line(format_args!("K_POINTS automatic\n{a} {b} {c} {shift} {shift} {shift}"));
    text
}
