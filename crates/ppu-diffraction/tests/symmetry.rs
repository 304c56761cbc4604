//! Space groups of files that list no operations: by Hall symbol, Hermann-Mauguin symbol and number.

#![allow(clippy::unwrap_used, reason = "a test that breaks should say where")]
#![allow(clippy::print_stdout, reason = "a skipped test says why")]
#![allow(clippy::disallowed_methods, reason = "reference files are read by the test, not by the crate")]

#[path = "support/reference_data.rs"]
mod reference_data;

use ppu_diffraction::cif::{CifError, read_structure};

fn file(symmetry: &str, cell: &str, rest: &str, sites: &str) -> String {
    let [a, b, c, alpha, beta, gamma] =
        <[&str; 6]>::try_from(cell.split(' ').collect::<Vec<_>>()).expect("six numbers of a cell");
    format!(
        "data_x\n{symmetry}\n_cell_length_a {a}\n_cell_length_b {b}\n_cell_length_c {c}\n_cell_angle_alpha {alpha}\n\
         _cell_angle_beta {beta}\n_cell_angle_gamma {gamma}\n{rest}\nloop_ _atom_site_type_symbol _atom_site_label \
         _atom_site_fract_x _atom_site_fract_y _atom_site_fract_z\n{sites}\n"
    )
}

const NAME: &str = "_symmetry_space_group_name_H-M";
const CUBE: &str = "4.1568 4.1568 4.1568 90 90 90";
const ANATASE: &str = "3.7842 3.7842 9.5146 90 90 90";

#[test]
fn every_way_to_name_a_group_gives_the_same_structure() {
    let sites = "La La1 0 0 0\nB B1 0.19926 0.5 0.5";
    for symmetry in [
        format!("{NAME} 'P m 3 m'"),
        format!("{NAME} Pm-3m"),
        "_space_group_name_H-M_alt 'P m -3 m'".to_owned(),
        "_space_group_name_Hall '-P 4 2 3'".to_owned(),
        "_space_group_IT_number 221".to_owned(),
        format!("{NAME} 'P m -3 m'\nloop_ _symmetry_equiv_pos_as_xyz\n?\n"),
    ] {
        let found = read_structure(&file(&symmetry, CUBE, "_chemical_formula_sum 'B6 La'", sites)).unwrap();
        assert_eq!(found.phase.group().operators().len(), 48, "{symmetry}");
        assert_eq!(found.warnings.is_empty(), !symmetry.contains("number"), "{symmetry}: {:?}", found.warnings);
    }
}

#[test]
fn of_two_origins_the_one_that_places_the_atoms_is_taken() {
    let formula = "_chemical_formula_sum 'O2 Ti'\n_cell_formula_units_Z 4";
    for (ti, o, origin) in [("0 0 0", "0 0 0.2081", 1), ("0 0.75 0.125", "0 0.25 0.0831", 2)] {
        let text = file(&format!("{NAME} 'I 41/a m d'"), ANATASE, formula, &format!("Ti Ti1 {ti}\nO O1 {o}"));
        let found = read_structure(&text).unwrap();
        assert!(found.warnings[0].contains(&format!("only I 41/a m d :{origin}")), "{:?}", found.warnings);
        // Both settings are one structure, as its strongest reflections show.
        let strongest = found.phase.reflections(2.3);
        assert!((strongest[0].d - 3.516).abs() < 2e-3 && strongest[0].f_squared > 1e3, "{strongest:?}");
        let explicit = text.replace("'I 41/a m d'", &format!("'I 41/a m d :{origin}'"));
        let explicit = read_structure(&explicit).unwrap();
        assert!(explicit.warnings.is_empty() && explicit.phase.group().operators() == found.phase.group().operators());
    }
    // Without a formula silicon may stand at either of two places.
    let silicon = |rest| file(&format!("{NAME} Fd-3m"), "5.431 5.431 5.431 90 90 90", rest, "Si Si1 0 0 0");
    match read_structure(&silicon("")) {
        Err(error @ CifError::AmbiguousSymbol { line: 2, .. }) => assert_eq!(
            error.to_string(),
            "`_symmetry_space_group_name_h-m` in line 2 is `Fd-3m`, which may be F d -3 m :1 or F d -3 m :2; \
             the file lists no operations to tell which"
        ),
        other => panic!("{other:?}"),
    }
    let found = read_structure(&silicon("_chemical_formula_sum Si\n_cell_formula_units_Z 8")).unwrap();
    assert_eq!(found.phase.atoms_per_cell(ppu_diffraction::structure::Element::Si), 8.0);
}

#[test]
fn axes_follow_the_cell() {
    let corundum = "Al Al1 0 0 0.35216\nO O1 0.30624 0 0.25";
    let formula = "_chemical_formula_sum 'Al2 O3'";
    let found =
        read_structure(&file(&format!("{NAME} 'R -3 c'"), "4.7593 4.7593 12.9917 90 90 120", formula, corundum))
            .unwrap();
    assert_eq!((found.phase.group().operators().len(), found.warnings.len()), (36, 0));
    let monoclinic = |cell| read_structure(&file(&format!("{NAME} P21/c"), cell, "", "Si Si1 0.1 0.2 0.3"));
    assert_eq!(monoclinic("5 6 7 90 99 90").unwrap().phase.group().name(), "P 1 21/c 1");
    assert_eq!(monoclinic("5 6 7 90 90 90").unwrap().phase.group().name(), "P 1 21/c 1");
    assert!(matches!(monoclinic("5 6 7 80 99 90"), Err(CifError::SymbolCell { line: 2, .. })));
    let error = read_structure(&file(&format!("{NAME} 'P 4 5 6'"), CUBE, "", "Si Si1 0 0 0")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`_symmetry_space_group_name_h-m` in line 2 is `P 4 5 6`, which names no known space group, and the file lists \
         no operations"
    );
    let error = read_structure(&file("", CUBE, "", "Si Si1 0 0 0")).unwrap_err();
    assert_eq!(error.to_string(), "block `x` (line 1) has no `_space_group_symop_operation_xyz`");
    let error = read_structure(&file("_space_group_name_Hall '-P 4 2q'", CUBE, "", "Si Si1 0 0 0")).unwrap_err();
    assert_eq!(error.to_string(), "`_space_group_name_hall` in line 2 is no symmetry");
    // Operations that the cell does not have are pointed out.
    let tetragonal = file("_space_group_symop_operation_xyz z,x,y", ANATASE, "", "Si Si1 0 0 0");
    let found = read_structure(&tetragonal).unwrap();
    assert!(found.warnings.iter().any(|warning| warning == "the cell does not have the symmetry of the operations"));
}

#[test]
fn symbols_of_the_reference_files_give_the_operations_they_list() {
    let Some(folder) = reference_data::diffraction() else { return };
    let (mut same, mut undecided) = (0, Vec::new());
    for part in ["phases", "reference/cif", "round_robin"] {
        for entry in std::fs::read_dir(folder.join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "cif") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let listed = read_structure(&text).unwrap();
            let bare =
                text.replace("_symmetry_equiv_pos_as_xyz", "_a").replace("_space_group_symop_operation_xyz", "_a");
            for bare in [bare.clone(), bare.replace("name_Hall", "name_other")] {
                match read_structure(&bare) {
                    Ok(found) => {
                        assert_eq!(found.phase.group().operators(), listed.phase.group().operators(), "{path:?}");
                        same += 1;
                    }
                    Err(CifError::AmbiguousSymbol { .. }) => undecided.push(path.clone()),
                    Err(error) => panic!("{}: {error}", path.display()),
                }
            }
        }
    }
    println!("{same} the same, undecided: {undecided:?}");
    assert!(same >= 70 && undecided.len() <= 8, "{same} {undecided:?}");
    let standard = std::fs::read_to_string(folder.join("standards/nist_srm660c_100a.cif")).unwrap();
    let standard = read_structure(&standard).unwrap();
    assert_eq!((standard.phase.group().operators().len(), standard.phase.cell().a), (48, 4.156_78));
    assert!(standard.warnings.is_empty(), "{:?}", standard.warnings);
}
