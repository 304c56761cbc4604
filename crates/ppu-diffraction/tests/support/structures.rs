//! Literature structures of the phases in the round robin of the IUCr Commission on Powder Diffraction and of LaB6:
//! where a refinement starts. Cells in Å, B in Å².

#![allow(clippy::approx_constant, reason = "coordinates of atoms are not multiples of constants")]
#![allow(dead_code, reason = "each test binary uses its own part")]

use ppu_diffraction::structure::{Cell, Element, Phase, Site, SpaceGroup};

/// An element, where it stands in the cell, and its B.
type Placed = (Element, [f64; 3], f64);

/// The structure of a phase by its name in the round robin; nothing for a name that is not known.
pub(crate) fn phase(name: &str) -> Option<Phase> {
    use Element::{Al, B, Ca, F, Fe, H, La, Mg, O, Si, Zn, Zr};
    let third = 1.0 / 3.0;
    let (cell, group, sites): (Cell, SpaceGroup, &[Placed]) = match name {
        "corundum" => (
            Cell::hexagonal(4.7593, 12.9917),
            SpaceGroup::r3c_bar(),
            &[(Al, [0.0, 0.0, 0.35216], 0.30), (O, [0.30624, 0.0, 0.25], 0.30)],
        ),
        "zincite" => (
            Cell::hexagonal(3.2499, 5.2066),
            SpaceGroup::p63mc(),
            &[(Zn, [third, 2.0 * third, 0.0], 0.55), (O, [third, 2.0 * third, 0.3826], 0.55)],
        ),
        "fluorite" => (Cell::cubic(5.4631), SpaceGroup::fm3m(), &[(Ca, [0.0; 3], 0.55), (F, [0.25, 0.25, 0.25], 0.75)]),
        "brucite" => (
            Cell::hexagonal(3.142, 4.766),
            SpaceGroup::p3m1_bar(),
            &[(Mg, [0.0; 3], 0.70), (O, [third, 2.0 * third, 0.2216], 0.90), (H, [third, 2.0 * third, 0.4303], 2.5)],
        ),
        "magnetite" => (
            Cell::cubic(8.3941),
            group(
                "Fd-3m",
                &["z,x,y", "-x+3/4,-y+1/4,z+1/2", "y+3/4,x+1/4,-z+1/2", "-x,-y,-z", "x,y+1/2,z+1/2", "x+1/2,y,z+1/2"],
            ),
            &[(Fe, [0.125, 0.125, 0.125], 0.40), (Fe, [0.5, 0.5, 0.5], 0.50), (O, [0.2549, 0.2549, 0.2549], 0.60)],
        ),
        "zircon" => (
            Cell::tetragonal(6.6042, 5.9796),
            group(
                "I41/amd",
                &["-x+1/2,-y,z+1/2", "-y+1/4,x+3/4,z+1/4", "-x+1/2,y,-z+1/2", "-x,-y,-z", "x+1/2,y+1/2,z+1/2"],
            ),
            &[(Zr, [0.0, 0.75, 0.125], 0.35), (Si, [0.0, 0.25, 0.375], 0.35), (O, [0.0, 0.0660, 0.1951], 0.55)],
        ),
        "LaB6" => (Cell::cubic(4.1568), SpaceGroup::pm3m(), &[(La, [0.0; 3], 0.355), (B, [0.19926, 0.5, 0.5], 0.276)]),
        _ => return None,
    };
    let sites = sites.iter().map(|&(element, position, b)| Site::new(element.symbol(), position, &[(element, 1.0)], b));
    Phase::new(name, cell, group, sites.collect()).ok()
}

/// Normal of the plates, for a phase whose crystals cleave into plates.
pub(crate) fn plate(name: &str) -> Option<[i32; 3]> {
    (name == "brucite").then_some([0, 0, 1])
}

fn group(name: &str, operators: &[&str]) -> SpaceGroup {
    SpaceGroup::from_operators(name, operators).expect("the generators of a tabulated group are well formed")
}
