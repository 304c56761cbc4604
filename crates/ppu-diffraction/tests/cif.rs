//! Structures from CIF: spellings of the standard, reference files where they are at hand, and hostile input always.

#![allow(clippy::unwrap_used, reason = "a test that breaks should say where")]
#![allow(clippy::print_stdout, reason = "a skipped test says why")]
#![allow(clippy::disallowed_methods, reason = "reference files are read by the test, not by the crate")]

use std::f64::consts::PI;
use std::path::PathBuf;

use ppu_diffraction::cif::{CifError, Displacement, read_structure, read_structures};
use ppu_diffraction::structure::Element;

const RUTILE: &str = "#comment
data_global
_journal_name_full 'Someone's journal'
data_rutile
_chemical_name_mineral Rutile
_chemical_formula_sum 'O2 Ti'
_symmetry_space_group_name_H-M 'P 42/m n m'
_symmetry_Int_Tables_number 136
_cell_length_a 4.5937(2)
_cell_length_b 4.5937(2)
_cell_length_c 2.9587(1)
_publ_section_title
;
A title; with a semicolon
;
loop_
_symmetry_equiv_pos_site_id
_symmetry_equiv_pos_as_xyz
1 'x,y,z'
2 '-y+1/2,x+1/2,z+1/2'
3 '-x, y+1/2, -z+1/2'
4 '-x,-y,-z'
5 '1/2+x, 1/2-y, 1/2-z'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_U_iso_or_equiv
Ti1 Ti4+ 0 0 0 1 0.005(1)
O1 O2- 0.3050(2) 0.3050(2) 0 0.98 .
X1 . . . . . ?
loop_
_atom_site_aniso_label
_atom_site_aniso_U_11
_atom_site_aniso_U_22
_atom_site_aniso_U_33
_atom_site_aniso_U_12
_atom_site_aniso_U_13
_atom_site_aniso_U_23
O1 0.006 0.006 0.003 -0.002 0 0
";

fn rutile() -> String {
    RUTILE.replace("X1 . . . . . ?\n", "")
}

#[test]
fn a_structure_is_read_with_everything_it_says() {
    let found = read_structure(&rutile().replace("3 '-x, y+1/2, -z+1/2'\n", "")).unwrap();
    assert_eq!((found.block.as_str(), found.phase.name(), found.space_group_number), ("rutile", "Rutile", Some(136)));
    assert_eq!(found.formula.as_deref(), Some("O2 Ti"));
    let phase = &found.phase;
    assert_eq!((phase.cell().a, phase.cell().c, phase.cell().gamma), (4.5937, 2.9587, 90.0));
    assert!((found.cell_uncertainty[0].unwrap() - 2e-4).abs() < 1e-12 && found.cell_uncertainty[3].is_none());
    assert_eq!((phase.group().operators().len(), phase.group().name()), (16, "P 42/m n m"));
    assert!(found.warnings.iter().any(|warning| warning == "the file lists 4 symmetry operations of 16"), "{found:?}");
    assert!((phase.atoms_per_cell(Element::Ti) - 2.0).abs() < 1e-12);
    assert!((phase.atoms_per_cell(Element::O) - 4.0 * 0.98).abs() < 1e-12);
    // 8π²U, and for the tensor a third of its trace because the axes are at right angles.
    assert!((phase.sites()[0].b_iso - 8.0 * PI * PI * 0.005).abs() < 1e-12);
    assert!((phase.sites()[1].b_iso - 8.0 * PI * PI * 0.005).abs() < 1e-12);
    assert_eq!(found.displacements[1], Displacement::Anisotropic([0.006, 0.006, 0.003, -0.002, 0.0, 0.0]));
}

#[test]
fn errors_name_line_and_tag() {
    let error = |text: &str| read_structure(text).unwrap_err().to_string();
    assert_eq!(error(RUTILE), "`_atom_site_fract_x` in line 34 is `.`, not a usable number");
    let with = |from: &str, to: &str| error(&rutile().replace(from, to));
    assert_eq!(with("4.5937(2)", "wide"), "`_cell_length_a` in line 9 is `wide`, not a usable number");
    assert_eq!(with("_cell_length_b 4.5937(2)\n", ""), "block `rutile` (line 4) has no `_cell_length_b`");
    assert_eq!(with("'x,y,z'", "'x,y'"), "`_symmetry_equiv_pos_as_xyz` in line 19 is no symmetry");
    assert_eq!(with("Ti4+", "Qq4+"), "`_atom_site_type_symbol` in line 32 is `Qq4+`, which names no element");
    let nameless = rutile().replace("_symmetry_equiv_pos_as_xyz", "_other").replace("P 42/m n m", "P 42/q n m");
    assert_eq!(
        error(&nameless),
        "`_symmetry_space_group_name_h-m` in line 7 is `P 42/q n m`, which names no known space group, and the file \
         lists no operations"
    );
    assert_eq!(with("0.98 .", "0.98"), "the loop in line 24 with `_atom_site_label` has 13 values for 7 columns");
    assert_eq!(with("0.98", "many"), "`_atom_site_occupancy` in line 33 is `many`, not a usable number");
    assert_eq!(with("_cell_length_a", "_cell_size"), "none of the 2 data blocks holds a unit cell and atom sites");
    assert!(matches!(read_structure(&rutile().replace("2.9587(1)", "0.0")), Err(CifError::Structure { line: 4, .. })));
    assert!(matches!(
        read_structure(&rutile().replace("Ti4+", "Og")),
        Err(CifError::Element { line: 32, .. } | CifError::Untabulated { .. })
    ));
}

#[test]
fn several_blocks_are_several_structures() {
    let both =
        format!("{}{}", rutile(), rutile().replace("data_rutile", "data_again").replace("data_global", "data_g2"));
    let names: Vec<String> = read_structures(&both).unwrap().into_iter().map(|found| found.block).collect();
    assert_eq!(names, ["rutile", "again"]);
}

#[test]
fn labels_without_types_and_mixed_sites_are_read() {
    let text = "data_x\n_cell_length_a 3.142\n_cell_length_b 3.142\n_cell_length_c 4.766\n_cell_angle_gamma 120\n\
        _chemical_formula_sum 'Ca Br0.5 I0.5 O H2'\n_space_group_symop_operation_xyz x,y,z\nloop_ _atom_site_label _atom_site_fract_x \
        _atom_site_fract_y _atom_site_fract_z _atom_site_occupancy _atom_site_B_iso_or_equiv\nCa1 0 0 0 1 0.7\n\
        O-H1 0.3333 0.6667 0.2216 1 -0.1\nHO1 .3333 .6667 .4303 2 2.5\nBr1 0.5 0.5 0.5 .5 1\nI1 0.5 0.5 0.5 .5 1\n";
    let found = read_structure(text).unwrap();
    let elements: Vec<&str> = found.phase.sites().iter().map(|site| site.occupants[0].element.symbol()).collect();
    assert_eq!(elements, ["Ca", "O", "H", "Br", "I"]);
    assert_eq!(found.phase.sites()[2].position[..2], [1.0 / 3.0, 2.0 / 3.0]);
    assert_eq!((found.phase.sites()[0].b_iso, found.phase.sites()[1].b_iso), (0.7, 0.0));
    assert_eq!(found.warnings, ["site O-H1 has a negative displacement parameter, which was set to zero"]);
    // Without a formula the longest symbol is taken, and the reading is pointed out.
    let found = read_structure(&text.replace("_chemical_formula_sum", "_other")).unwrap();
    let elements: Vec<&str> = found.phase.sites().iter().map(|site| site.occupants[0].element.symbol()).collect();
    assert_eq!(elements, ["Ca", "O", "Ho", "Br", "I"]);
    assert_eq!(found.warnings[0], "the label O-H1 was taken for O");
}

#[test]
fn no_truncation_or_flipped_byte_makes_the_reader_panic() {
    let text = rutile();
    for end in 0..text.len() {
        let _ = read_structure(&text[..end]);
    }
    for place in 0..text.len() {
        for value in ["'", "\"", ";", "\n", "#", "-", "9", "_", "\u{fffd}"] {
            let mutated = format!("{}{value}{}", &text[..place], &text[place + 1..]);
            let _ = read_structure(&mutated);
        }
    }
}

/// The folder with reference data, or nothing with a message where this checkout has none.
fn reference() -> Option<PathBuf> {
    let folder = std::env::var_os("PPU_REFERENCE_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let folder = folder.join("diffraction");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no reference data at {} (set PPU_REFERENCE_DATA)", folder.display());
    None
}

#[test]
fn every_reference_structure_is_read_with_its_stated_formula() {
    let Some(folder) = reference() else { return };
    let mut seen = 0;
    for part in ["phases", "reference/cif", "round_robin"] {
        for entry in std::fs::read_dir(folder.join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "cif") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            match read_structure(&text) {
                Ok(found) => {
                    assert!(found.warnings.is_empty(), "{}: {:?}", path.display(), found.warnings);
                    seen += 1;
                }
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }
    assert!(seen >= 40, "only {seen} structures were read");
}
