//! Known values of published structures: densities, line positions and structure factors.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails loudly")]

use ppu_diffraction::library::{self, AlphaForm, Composition};
use ppu_diffraction::profile::{CU_K_ALPHA, Instrument};
use ppu_diffraction::structure::{Cell, Element, Phase, Site, SpaceGroup};

fn composition(cs: f64, fa: f64, ma: f64, br: f64) -> Composition {
    Composition::new(cs, fa, ma, br, 0.0).unwrap()
}

fn alpha(form: AlphaForm, composition: &Composition) -> Phase {
    library::alpha(form, composition, library::pseudo_cubic_edge(composition)).unwrap()
}

/// Angle and intensity (per cent of the strongest) of every line below 60° with Cu Kα1.
fn sticks(phase: &Phase) -> Vec<(f64, f64, [i32; 3])> {
    let instrument = Instrument::aeris();
    let mut sticks: Vec<(f64, f64, [i32; 3])> = phase
        .reflections(CU_K_ALPHA[0] / (2.0 * 30f64.to_radians().sin()))
        .iter()
        .map(|reflection| {
            let theta = (CU_K_ALPHA[0] / (2.0 * reflection.d)).asin();
            let power =
                f64::from(reflection.multiplicity) * reflection.f_squared * instrument.lorentz_polarisation(theta);
            (2.0 * theta.to_degrees(), power, reflection.hkl)
        })
        .collect();
    let strongest = sticks.iter().map(|stick| stick.1).fold(0.0, f64::max);
    sticks.iter_mut().for_each(|stick| stick.1 *= 100.0 / strongest);
    sticks
}

#[test]
fn densities_are_the_published_ones() {
    let tetragonal = library::alpha(
        AlphaForm::Tetragonal,
        &composition(0.0, 0.0, 1.0, 0.0),
        (8.849_f64 * 8.849 * 12.642 / 4.0).cbrt(),
    );
    let gamma = library::alpha(
        AlphaForm::Orthorhombic,
        &composition(1.0, 0.0, 0.0, 0.0),
        (8.577_f64 * 8.856 * 12.472 / 4.0).cbrt(),
    );
    let bromide = library::alpha(
        AlphaForm::Orthorhombic,
        &composition(1.0, 0.0, 0.0, 1.0),
        (8.198_f64 * 8.244 * 11.735 / 4.0).cbrt(),
    );
    for (phase, density) in [
        (alpha(AlphaForm::Cubic, &composition(0.0, 1.0, 0.0, 0.0)), 4.08),
        (library::delta_h(0.0).unwrap(), 4.10),
        (gamma.unwrap(), 5.05),
        (library::delta_o(0.0).unwrap(), 5.36),
        (bromide.unwrap(), 4.86),
        (tetragonal.unwrap(), 4.16),
        (library::lead_iodide().unwrap(), 6.10),
    ] {
        let found = phase.density_g_per_cm3();
        assert!((found - density).abs() < 0.02, "{}: {found} {density}", phase.name());
    }
}

#[test]
fn strongest_lines_stand_where_they_were_published() {
    let lines: Vec<(Phase, Vec<(f64, f64)>)> = vec![
        (alpha(AlphaForm::Cubic, &composition(0.0, 1.0, 0.0, 0.0)), vec![(13.91, 0.01), (28.03, 0.02), (31.42, 0.02)]),
        (library::delta_h(0.0).unwrap(), vec![(11.79, 0.01), (26.3, 0.1), (32.9, 0.1)]),
        (library::delta_o(0.0).unwrap(), vec![(9.95, 0.02), (27.2, 0.15)]),
        (
            alpha(AlphaForm::Orthorhombic, &composition(1.0, 0.0, 0.0, 0.0)),
            vec![(14.3, 0.15), (20.3, 0.2), (28.8, 0.3)],
        ),
        (alpha(AlphaForm::Orthorhombic, &composition(1.0, 0.0, 0.0, 1.0)), vec![(15.2, 0.1), (21.5, 0.2), (30.6, 0.2)]),
        (library::lead_iodide().unwrap(), vec![(12.67, 0.01), (25.9, 0.1), (34.3, 0.1), (39.5, 0.1)]),
        (library::lead_bromide().unwrap(), vec![(21.6, 0.2), (23.7, 0.2), (30.6, 0.2)]),
    ];
    for (phase, wanted) in lines {
        let sticks = sticks(&phase);
        for (angle, tolerance) in wanted {
            let near = sticks.iter().filter(|stick| (stick.0 - angle).abs() < tolerance).map(|stick| stick.1);
            let strength = near.fold(0.0, f64::max);
            assert!(strength > 8.0, "{} has no strong line at {angle}: {sticks:?}", phase.name());
        }
    }
}

#[test]
fn the_strongest_line_of_lead_iodide_is_101_of_the_random_powder() {
    let phase = library::lead_iodide().unwrap();
    let strongest = sticks(&phase).into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert!((strongest.0 - 25.9).abs() < 0.1, "{strongest:?}");
}

#[test]
fn structure_factors_equal_hand_values() {
    // CsCl type without displacement: F = f_Cs ± f_I; h + k + l odd gives the difference, even the sum.
    let sites = vec![
        Site::new("Cs", [0.0; 3], &[(Element::Cs, 1.0)], 0.0),
        Site::new("I", [0.5; 3], &[(Element::I, 1.0)], 0.0),
    ];
    let phase = Phase::new("CsI", Cell::cubic(4.567), SpaceGroup::pm3m(), sites).unwrap();
    for reflection in phase.reflections(1.0) {
        let s = 0.5 / reflection.d;
        let term = |element: Element| {
            let (f1, f2) = element.anomalous();
            (element.form_factor(s) + f1, f2)
        };
        let sign = if reflection.hkl.iter().sum::<i32>() % 2 == 0 { 1.0 } else { -1.0 };
        let ((a, b), (c, d)) = (term(Element::Cs), term(Element::I));
        let wanted = (a + sign * c).powi(2) + (b + sign * d).powi(2);
        assert!((reflection.f_squared / wanted - 1.0).abs() < 1e-9, "{:?}", reflection.hkl);
    }
    let multiplicities: Vec<([i32; 3], u32)> = phase.reflections(1.8).iter().map(|r| (r.hkl, r.multiplicity)).collect();
    assert_eq!(
        multiplicities,
        [([1, 0, 0], 6), ([1, 1, 0], 12), ([1, 1, 1], 8), ([2, 0, 0], 6), ([2, 1, 0], 24), ([2, 1, 1], 24)]
    );
}

#[test]
fn forbidden_reflections_are_absent_and_doubling_a_cell_changes_nothing() {
    let build = |operators: SpaceGroup, cell: Cell, position: &[[f64; 3]]| {
        let sites = position.iter().map(|p| Site::new("Si", *p, &[(Element::Si, 1.0)], 0.5)).collect();
        Phase::new("Si", cell, operators, sites).unwrap()
    };
    // A face-centred lattice allows only indices that are all even or all odd.
    let phase = build(SpaceGroup::fm3m(), Cell::cubic(5.431), &[[0.0; 3], [0.25; 3]]);
    assert!(phase.reflections(0.9).len() > 10);
    assert!(phase.reflections(0.9).iter().all(|r| {
        let odd = r.hkl.iter().filter(|index| *index % 2 != 0).count();
        odd == 0 || odd == 3
    }));
    let p1 = SpaceGroup::from_operators("P1", &["x,y,z"]).unwrap();
    let small = build(p1.clone(), Cell::cubic(4.0), &[[0.1, 0.2, 0.3]]);
    let large = build(p1, Cell::orthorhombic(8.0, 4.0, 4.0), &[[0.05, 0.2, 0.3], [0.55, 0.2, 0.3]]);
    let total =
        |phase: &Phase| -> f64 { phase.reflections(1.0).iter().map(|r| f64::from(r.multiplicity) * r.f_squared).sum() };
    // Twice the atoms on the same planes: four times |F|².
    assert!((total(&large) / total(&small) - 4.0).abs() < 1e-9);
    assert!((small.density_g_per_cm3() - large.density_g_per_cm3()).abs() < 1e-12);
}

#[test]
fn friedel_mates_of_a_polar_crystal_are_averaged() {
    // The mean over hkl and -hkl must not depend on which enantiomorph is described.
    let site = |z: f64| {
        vec![
            Site::new("Zn", [1.0 / 3.0, 2.0 / 3.0, 0.0], &[(Element::Zn, 1.0)], 0.5),
            Site::new("O", [1.0 / 3.0, 2.0 / 3.0, z], &[(Element::O, 1.0)], 0.5),
        ]
    };
    let build = |z| Phase::new("ZnO", Cell::hexagonal(3.2499, 5.2066), SpaceGroup::p63mc(), site(z)).unwrap();
    let (up, down) = (build(0.3826).reflections(0.9), build(-0.3826).reflections(0.9));
    assert_eq!(up.len(), down.len());
    for (a, b) in up.iter().zip(&down) {
        assert!((a.f_squared / b.f_squared - 1.0).abs() < 1e-9, "{a:?} {b:?}");
    }
}

#[test]
fn attenuation_of_the_perovskite_is_about_a_thousand_per_cm() {
    let phase = alpha(AlphaForm::Cubic, &composition(0.0, 0.0, 1.0, 0.0));
    let attenuation = phase.linear_attenuation_per_cm();
    assert!((900.0..1150.0).contains(&attenuation), "{attenuation}");
}

#[test]
fn impossible_structures_are_refused() {
    assert!(Composition::new(0.5, 0.6, 0.0, 0.0, 0.0).is_err());
    assert!(Composition::new(0.5, 0.5, 0.0, f64::NAN, 0.0).is_err());
    assert!(library::alpha(AlphaForm::Cubic, &composition(0.0, 1.0, 0.0, 0.0), f64::NAN).is_err());
    let bad = Site::new("Pb", [f64::NAN, 0.0, 0.0], &[(Element::Pb, 1.0)], 1.0);
    assert!(Phase::new("x", Cell::cubic(4.0), SpaceGroup::pm3m(), vec![bad]).is_err());
    assert!(Phase::new("x", Cell::cubic(4.0), SpaceGroup::pm3m(), vec![]).is_err());
}
