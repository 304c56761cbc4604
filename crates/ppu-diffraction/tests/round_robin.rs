//! The round robin of the IUCr Commission on Powder Diffraction and SRM 660c with one fixed protocol. Needs the reference
//! data; says so where they are not.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails loudly, a skipped test says why")]
#![allow(clippy::disallowed_methods, reason = "reference files are read by the test, not by the crate")]

#[path = "support/reference_data.rs"]
mod reference_data;
#[path = "support/round_robin.rs"]
mod round_robin;
#[path = "support/structures.rs"]
mod structures;

use ppu_diffraction::refine::{Flag, Verdict};

#[test]
fn weighed_fractions_of_untextured_mixtures_are_found() {
    let Some(data) = reference_data::diffraction() else { return };
    let settings = round_robin::settings(true);
    let (mut squares, mut count, mut largest, mut covered) = (0.0, 0, 0.0_f64, 0);
    for sample in round_robin::samples(&data).unwrap() {
        if !sample.name.starts_with("cpd-1") {
            continue;
        }
        let result = round_robin::fit(&sample, &settings).unwrap();
        assert_eq!(result.two_theta.len(), 6751);
        assert_eq!(result.verdict, Verdict::Converged, "{}", sample.name);
        assert!(!result.flags.iter().any(|flag| matches!(flag, Flag::Microabsorption { .. })), "{}", sample.name);
        for ((_, weighed), phase) in sample.weighed.iter().zip(&result.phases) {
            let error = 100.0 * phase.fraction.weight.value - weighed;
            println!("{} {}: {error:+.2} ± {:.2}", sample.name, phase.name, 100.0 * phase.fraction.weight.u_total);
            squares += error * error;
            count += 1;
            largest = largest.max(error.abs());
            covered += u32::from(error.abs() <= 200.0 * phase.fraction.weight.u_total);
        }
    }
    let rms = (squares / f64::from(count)).sqrt();
    assert!(rms <= 0.6 && largest <= 1.3, "RMS {rms:.3}, largest {largest:.3} wt%");
    assert!(f64::from(covered) >= 0.9 * f64::from(count), "{covered} of {count} within 2 u");
}

#[test]
fn plates_are_found_and_their_mixture_is_quantified() {
    let Some(data) = reference_data::diffraction() else { return };
    let samples = round_robin::samples(&data).unwrap();
    let sample = samples.iter().find(|sample| sample.name == "cpd-2").unwrap();
    let result = round_robin::fit(sample, &round_robin::settings(true)).unwrap();
    for ((name, weighed), phase) in sample.weighed.iter().zip(&result.phases) {
        let error = 100.0 * phase.fraction.weight.value - weighed;
        assert!(error.abs() <= 3.0, "{name}: {error:+.2}");
        assert!(error.abs() <= 200.0 * phase.fraction.weight.u_total, "{name}: {error:+.2}");
    }
    let brucite = result.phases.iter().find(|phase| phase.name == "brucite").unwrap();
    // Plates lie flat: r below 1.
    assert!(brucite.march.unwrap().0 < 0.8, "{:?}", brucite.march);
}

#[test]
fn strong_microabsorption_is_flagged_and_its_uncertainty_says_so() {
    let Some(data) = reference_data::diffraction() else { return };
    let samples = round_robin::samples(&data).unwrap();
    let sample = samples.iter().find(|sample| sample.name == "cpd-4").unwrap();
    let result = round_robin::fit(sample, &round_robin::settings(true)).unwrap();
    let flagged = |flag: &Flag| matches!(flag, Flag::Microabsorption { phase, .. } if phase == "magnetite");
    assert!(result.flags.iter().any(flagged), "{:?}", result.flags);
    for phase in &result.phases {
        assert!(phase.fraction.weight.u_total > 0.05, "{}: {:?}", phase.name, phase.fraction);
    }
}

#[test]
fn the_cell_of_a_certified_standard_is_found() {
    let Some(data) = reference_data::diffraction() else { return };
    let standards = round_robin::standards(&data).unwrap();
    assert!(!standards.is_empty());
    for standard in standards {
        let result = standard.result;
        assert_eq!(result.verdict, Verdict::Converged);
        let a = result.phases[0].edges[0];
        println!("{}: a = {:.6} Å, u {:.1e} (statistical {:.1e})", standard.name, a.value, a.u_total, a.u_stat);
        assert!((a.value - standard.stated_a).abs() < 1e-4, "{a:?}");
        assert!((a.value - standard.stated_a).abs() < 2.0 * a.u_total, "{a:?}");
        // The certificate says -0.0788 mm.
        assert!((result.displacement_mm + 0.0788).abs() < 0.005, "{}", result.displacement_mm);
    }
}
