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
