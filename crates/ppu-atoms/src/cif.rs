//! Ordered crystal structures out of CIF files, atom by atom.

use ppu_diffraction::cif;

use crate::element::{Element, UnknownElement};
use crate::structure::{Lattice, Structure, StructureError};

/// A site that is filled to this share counts as full; an atomistic model knows no fractions of atoms.
const FULL: f64 = 0.99;

/// The first structure of a CIF file.
#[derive(Debug, Clone, PartialEq)]
pub struct CifStructure {
    /// Its name in the file.
    pub name: String,
    /// The whole cell that the file describes.
    pub structure: Structure,
    /// What the reader had to decide, one sentence each.
    pub warnings: Vec<String>,
}

/// Why a CIF file gives no ordered structure.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CifStructureError {
    /// The file cannot be read as CIF.
    #[error(transparent)]
    File(#[from] cif::CifError),
    /// Several elements share one site of the file; written as two sites, the first is refused as not full.
    #[error("site {site} is shared; a calculation of atoms needs an ordered structure")]
    Shared {
        /// Label of the site.
        site: String,
    },
    /// A site is not full.
    #[error("site {site} is filled to {occupancy}; a calculation of atoms needs full sites")]
    Partial {
        /// Label of the site.
        site: String,
        /// Its occupancy.
        occupancy: f64,
    },
    /// An element beyond plutonium, or none.
    #[error(transparent)]
    Element(#[from] UnknownElement),
    /// The atoms make no structure.
    #[error(transparent)]
    Structure(#[from] StructureError),
}

/// Reads the first structure of a CIF file, with every atom of the cell.
///
/// # Errors
/// [`CifStructureError`].
pub fn read(text: &str) -> Result<CifStructure, CifStructureError> {
    let found = cif::read_structure(text)?;
    let phase = found.phase;
    let cell = phase.cell();
    let lattice = Lattice::from_parameters([cell.a, cell.b, cell.c], [cell.alpha, cell.beta, cell.gamma]);
    let (mut species, mut fractional) = (Vec::new(), Vec::new());
    for (site, positions) in phase.atoms() {
        let [occupant] = &site.occupants[..] else {
            return Err(CifStructureError::Shared { site: site.label.clone() });
        };
        if occupant.occupancy < FULL {
            return Err(CifStructureError::Partial { site: site.label.clone(), occupancy: occupant.occupancy });
        }
        let element: Element = occupant.element.symbol().parse()?;
        species.extend(positions.iter().map(|_| element));
        fractional.extend(positions);
    }
    let structure = Structure::new(lattice, species, fractional)?;
    Ok(CifStructure { name: phase.name().to_owned(), structure, warnings: found.warnings })
}

/// The structure as a CIF file without symmetry: every atom of the cell, lengths in Å, angles in degrees.
#[must_use]
pub fn write(name: &str, structure: &Structure) -> String {
    let edges = structure.lattice().0;
    let length = |edge: [f64; 3]| edge.iter().map(|x| x * x).sum::<f64>().sqrt();
    let angle = |a: [f64; 3], b: [f64; 3]| {
        let product: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
        (product / (length(a) * length(b))).clamp(-1.0, 1.0).acos().to_degrees()
    };
    let [a, b, c] = edges;
    let mut lines = vec![format!("data_{}", name.replace(char::is_whitespace, "_"))];
    for (edge, value) in [("a", a), ("b", b), ("c", c)] {
        lines.push(format!("_cell_length_{edge} {:.6}", length(value)));
    }
    for (name, value) in [("alpha", angle(b, c)), ("beta", angle(a, c)), ("gamma", angle(a, b))] {
        lines.push(format!("_cell_angle_{name} {value:.6}"));
    }
    lines.push("_symmetry_space_group_name_H-M 'P 1'\nloop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\nloop_".to_owned());
    let columns = ["label", "type_symbol", "fract_x", "fract_y", "fract_z"];
    lines.extend(columns.map(|column| format!("_atom_site_{column}")));
    for (at, (element, [x, y, z])) in structure.species().iter().zip(structure.fractional()).enumerate() {
        lines.push(format!("{element}{} {element} {x:.8} {y:.8} {z:.8}", at + 1));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Caesium chloride without symmetry; the chlorine is filled to this share.
    fn cif(occupancy: &str, second: &str) -> String {
        format!(
            "data_CsCl\n_cell_length_a 4.12\n_cell_length_b 4.12\n_cell_length_c 4.12\nloop_\n\
             _symmetry_equiv_pos_as_xyz\n'x,y,z'\nloop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n\
             _atom_site_fract_y\n_atom_site_fract_z\n_atom_site_occupancy\nCs1 Cs 0 0 0 1\n\
             Cl1 Cl 0.5 0.5 0.5 {occupancy}\n{second}"
        )
    }

    #[test]
    fn what_is_written_is_read_back() {
        let lattice = Lattice::from_parameters([3.1, 4.2, 5.3], [80.0, 95.0, 110.0]);
        let species = ["Ti", "O"].map(|symbol| symbol.parse().unwrap()).to_vec();
        let structure = Structure::new(lattice, species, vec![[0.0; 3], [0.25, 0.5, 0.75]]).unwrap();
        let back = read(&write("a name", &structure)).unwrap();
        assert_eq!((back.name.as_str(), back.structure.species()), ("a_name", structure.species()));
        let near = |a: &[[f64; 3]], b: &[[f64; 3]]| {
            a.iter().flatten().zip(b.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-5)
        };
        assert!(near(&back.structure.lattice().0, &lattice.0), "{:?}", back.structure.lattice());
        assert!(near(back.structure.fractional(), structure.fractional()));
    }

    #[test]
    fn an_ordered_structure_is_read_atom_by_atom_and_another_is_refused_by_its_site() {
        let found = read(&cif("1", "")).unwrap();
        assert_eq!((found.name.as_str(), found.structure.atoms()), ("CsCl", 2));
        assert_eq!(found.structure.fractional()[1], [0.5; 3]);
        let partly = read(&cif("0.6", "")).unwrap_err().to_string();
        assert!(partly.contains("Cl1") && partly.contains("0.6"), "{partly}");
        let shared = read(&cif("0.5", "Br1 Br 0.5 0.5 0.5 0.5\n")).unwrap_err();
        assert_eq!(shared, CifStructureError::Partial { site: "Cl1".to_owned(), occupancy: 0.5 });
    }
}
