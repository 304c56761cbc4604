//! Vendors' formats and powder CIF: reference files against independently decoded numbers where they are at hand, small
//! samples and hostile input always.

#![allow(clippy::unwrap_used, reason = "a test that breaks should say where")]
#![allow(clippy::print_stdout, reason = "a skipped test says why")]
#![allow(clippy::disallowed_methods, reason = "reference files are read by the test, not by the crate")]

#[path = "support/samples.rs"]
mod samples;

use std::path::PathBuf;

use ppu_diffraction::cif;
use ppu_diffraction::formats::{
    self, Format, ReadError, Report, ReportedPhase, Scan, brml, json, pdcif, ras, rasx, raw,
};
use ppu_diffraction::pattern::Pattern;
use ppu_diffraction::structure::Cell;
use proptest::prelude::*;
use samples::{BRML_RAW, PDCIF, RAS, RASX_CONDITIONS, RASX_ROWS, brml_file, rasx_file, raw3_file, raw4_file};

fn check(scan: &Scan) {
    assert_eq!(scan.pattern.two_theta(), [10.0, 10.5, 11.0]);
    assert_eq!(scan.pattern.intensity(), [4.0, 9.0, 16.0]);
    for (found, wanted) in scan.pattern.sigma().iter().zip([2.0, 3.0, 4.0]) {
        assert!((found - wanted).abs() < 1e-9, "{scan:?}");
    }
}

#[test]
fn small_files_of_each_format_are_read() {
    let rasx_bytes = rasx_file(RASX_ROWS.as_bytes(), RASX_CONDITIONS.as_bytes());
    let samples: [(&str, Vec<u8>, Format); 6] = [
        ("a.raw", raw3_file(), Format::Raw),
        ("a.raw", raw4_file(b"Locked Coupled"), Format::Raw),
        ("a.ras", RAS.into(), Format::Ras),
        ("a.rasx", rasx_bytes, Format::Rasx),
        ("a.cif", PDCIF.into(), Format::PdCif),
        ("a.xye", b"10 4 2\n10.5 9 3\n11 16 4\n".to_vec(), Format::Xye),
    ];
    for (name, bytes, format) in samples {
        assert_eq!(formats::detect(&bytes, name), format, "{name}");
        let scans = formats::read(&bytes, name).unwrap();
        assert_eq!(scans.len(), 1, "{name}");
        check(&scans[0]);
        if format != Format::Xye && format != Format::Rasx {
            assert_eq!(scans[0].sample_id.as_deref(), Some("S 1"), "{name}");
        }
        let time = match format {
            Format::Xye => None,
            Format::Ras | Format::Rasx => Some(1.0),
            _ => Some(2.0),
        };
        assert_eq!(scans[0].counting_time_s, time, "{name}");
    }
}

#[test]
fn an_absorber_is_part_of_the_stored_intensity_of_brml() {
    let scan = &brml::read(&brml_file(BRML_RAW.as_bytes())).unwrap()[0];
    assert_eq!(scan.pattern.intensity(), [4.0, 85.0, 16.0]);
    // 85 / 8.5 = 10 counts.
    assert!((scan.pattern.sigma()[1] - 8.5 * 10f64.sqrt()).abs() < 1e-12);
    assert!(scan.attenuated && scan.axis == "TwoTheta Scan" && scan.counting_time_s == Some(2.0));
    assert_eq!(scan.wavelength.unwrap().k_alpha1, Some(1.5406));
}

#[test]
fn lies_are_named() {
    let message = |result: Result<Vec<Scan>, ReadError>| result.unwrap_err().to_string();
    let brml_with = |from: &str, to: &str| message(brml::read(&brml_file(BRML_RAW.replace(from, to).as_bytes())));
    assert_eq!(
        brml_with("<Datum>2,1,10,7,4<", "<Datum>2,1,10,7<"),
        "Datum 1 of E0/RawData0.xml states 5 columns and holds 4"
    );
    assert_eq!(brml_with("2,8.5,10.5", "2,x,10.5"), "Datum 2 of E0/RawData0.xml is `x`, which cannot be used");
    assert_eq!(
        brml_with("2,8.5,10.5", "2,0,10.5"),
        "AbsorptionFactor of Datum 2 of E0/RawData0.xml is `0`, which cannot be used"
    );
    assert_eq!(
        brml_with("AxisId=\"TwoTheta\"", "AxisId=\"Phi\""),
        "no scan of the file moves 2θ (found: TwoTheta Scan)"
    );
    assert_eq!(brml_with("<Recording LogicName=\"ScanCounter\"/>", ""), "E0/RawData0.xml has no recorded column");
    assert!(
        brml_with("Start=\"4\" Length=\"1\"", "Start=\"4\" Length=\"999999999\"").contains("area or line detector")
    );
    assert!(brml_with("</RawData>", "").starts_with("the XML of E0/RawData0.xml is broken at byte "));
    assert_eq!(message(brml::read(b"hello")), "the file is no BRML file: byte 0 is not the start of a zip archive");
    let whole = brml_file(BRML_RAW.as_bytes());
    assert!(
        message(brml::read(&whole[..whole.len() - 10])).contains("its directory is missing, so the file is cut short")
    );
    let mut flipped = whole;
    flipped[100] ^= 1;
    assert!(message(brml::read(&flipped)).contains("the checksum of E0/DataContainer.xml is wrong"));

    let raw_with = |at: usize, bytes: &[u8]| {
        let mut file = raw3_file();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        message(raw::read(&file))
    };
    assert_eq!(
        raw_with(716, &4u32.to_le_bytes()),
        "range 1 is cut short: its records needs byte 1032, the file has 1028"
    );
    assert_eq!(raw_with(716, &2u32.to_le_bytes()), "the file states 1024 bytes and holds 1028");
    assert_eq!(
        raw_with(716, &u32::MAX.to_le_bytes()),
        "number of steps of range 1 is `4294967295`, which cannot be used"
    );
    assert_eq!(raw_with(712 + 252, &8u32.to_le_bytes()), "record length of range 1 is `8`, which cannot be used");
    assert_eq!(raw_with(0, b"RAW2.00"), "Bruker RAW file: version 2 (DIFFRAC-AT) is not supported");
    assert_eq!(raw_with(0, b"RAW9.00"), "Bruker RAW file: `RAW9.00` is not supported");
    assert_eq!(message(raw::read(&raw4_file(b"Rocking"))), "no scan of the file moves 2θ (found: Rocking)");

    let ras_with = |from: &str, to: &str| message(ras::read(RAS.replace(from, to).as_bytes()));
    assert_eq!(
        ras_with("*RAS_DATA_END\r\n", ""),
        "the file is cut short: *RAS_DATA_END needs byte 305, the file has 304"
    );
    assert_eq!(ras_with("\"3\"", "\"4\""), "scan 1 states 4 points and holds 3");
    assert_eq!(ras_with("10.5 9 1.0", "10.5 nine 1.0"), "line 13 of the file is `10.5 nine 1.0`, which cannot be used");
    assert_eq!(ras_with("TwoThetaTheta", "Omega"), "no scan of the file moves 2θ (found: Omega)");
    let rows = rasx_file(b"10\t4\t1\r\n10.5\t9\r\nx\r\n", RASX_CONDITIONS.as_bytes());
    assert_eq!(message(rasx::read(&rows)), "line 3 of Data0/Profile0.txt is `x`, which cannot be used");

    let pdcif_with = |from: &str, to: &str| pdcif::read(PDCIF.replace(from, to).as_bytes()).unwrap_err().to_string();
    assert_eq!(
        pdcif_with("10.5 9 0.1", "10.5 nine 0.1"),
        "`_pd_proc_intensity_total` in line 10 is `nine`, not a usable number"
    );
    assert_eq!(
        pdcif_with("intensity_total", "something"),
        "none of the 2 data blocks holds a loop of measured intensities"
    );
    assert_eq!(
        pdcif_with("_pd_proc_2theta_corrected", "_pd_x"),
        "the loop in line 7 has intensities, but neither angles nor a stated range of 2θ"
    );
}

#[test]
fn a_result_written_as_powder_cif_or_json_is_read_back() {
    let pattern = Pattern::from_counts(vec![10.0, 10.5, 11.0], vec![4.0, 9.0, 16.0]).unwrap();
    let phases = [ReportedPhase {
        name: "Titanium 'oxide'".to_owned(),
        cell: Cell::tetragonal(4.5937, 2.9587),
        cell_u: Some([1.2e-4, 1.2e-4, 2.3e-4]),
        weight_fraction: Some(1.0),
        weight_fraction_u: None,
    }];
    let report = Report {
        name: "sample 1",
        pattern: &pattern,
        calculated: Some(&[4.5, 8.5, 15.5]),
        background: Some(&[1.0, 1.0, 1.0]),
        wavelengths: &[(1.540_592_9, 1.0), (1.544_427_4, 0.5)],
        phases: &phases,
        verdict: "converged",
        reduced_chi_squared: Some(1.21),
        software: "ppu 0.1.0",
    };
    let text = pdcif::write(&report);
    check(&pdcif::read(text.as_bytes()).unwrap());
    for line in [
        "data_sample_1",
        "_refine_ls_goodness_of_fit_all 1.1000",
        "1 1.5405929 1",
        ";Titanium 'oxide'",
        "4.59370(12) 4.59370(12) 2.95870(23)",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(cif::read_structure(&text).is_err());
    let value: serde_json::Value = serde_json::from_str(&json::write(&report)).unwrap();
    assert_eq!(value["pattern"]["calculated"][1], 8.5);
    assert_eq!(value["phases"][0]["cell"]["c"], 2.9587);
    assert_eq!(value["reduced_chi_squared"], 1.21);
}

/// One change of a file: flip, overwrite, cut, drop or double a part.
fn mutate(bytes: &mut Vec<u8>, kind: u8, place: usize, value: u8) {
    if bytes.is_empty() {
        return;
    }
    let at = place % bytes.len();
    let end = (at + 1 + usize::from(value) % 24).min(bytes.len());
    match kind % 6 {
        0 => bytes[at] ^= 1 << (value % 8),
        1 => bytes[at] = value,
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
        // Lengths and counts of binary formats: the extremes are the most harmful.
        _ => bytes[at..end.min(at + 4)].fill(if value.is_multiple_of(2) { 0xff } else { 0 }),
    }
}

fn every_reader(bytes: &[u8]) {
    for name in ["a.xy", "a.xye", "a.xrdml", "a.brml", "a.rasx", "a.ras", "a.raw", "a.cif"] {
        let _ = formats::read(bytes, name);
    }
    let _ = brml::read(bytes);
    let _ = ras::read(bytes);
    let _ = raw::read(bytes);
    let _ = String::from_utf8_lossy(bytes).parse::<String>().map(|text| cif::read_structure(&text).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_samples_give_an_answer(
        sample in 0usize..8,
        changes in prop::collection::vec((any::<u8>(), any::<usize>(), any::<u8>()), 1..6),
    ) {
        let mutated = |source: &[u8]| {
            let mut bytes = source.to_vec();
            for (kind, place, value) in &changes {
                mutate(&mut bytes, *kind, *place, *value);
            }
            bytes
        };
        // Members are changed before they are packed, or the checksum would hide them.
        let bytes = match sample {
            0 => mutated(&brml_file(BRML_RAW.as_bytes())),
            1 => brml_file(&mutated(BRML_RAW.as_bytes())),
            2 => rasx_file(&mutated(RASX_ROWS.as_bytes()), &mutated(RASX_CONDITIONS.as_bytes())),
            3 => mutated(RAS.as_bytes()),
            4 => mutated(&raw3_file()),
            5 => mutated(&raw4_file(b"Locked Coupled")),
            6 => mutated(PDCIF.as_bytes()),
            _ => mutated(&rasx_file(RASX_ROWS.as_bytes(), RASX_CONDITIONS.as_bytes())),
        };
        every_reader(&bytes);
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
fn reference_files_give_the_numbers_of_an_independent_decoder() {
    let Some(folder) = reference() else { return };
    // Points, first and last angle, sum of intensities.
    for (name, points, first, last, sum) in [
        ("bruker_absorber.brml", 2001, 44.0, 48.0, 13_287_743.1),
        ("rigaku_powder.rasx", 2726, 10.0, 119.0, 149_926.853_359_222_4),
        ("rigaku_nims.ras", 3501, 25.0, 60.0, 120_695.0),
        ("bruker_raw4_scrambled.raw", 7134, 10.0, 85.041_299_162_432_55, 2_107_237.938_209_373_5),
        ("../standards/nist_srm660c_100a.cif", 5332, 20.3, 150.908, f64::NAN),
    ] {
        let bytes = std::fs::read(folder.join("formats").join(name)).unwrap();
        let scans = formats::read(&bytes, name).unwrap();
        let pattern = &scans[0].pattern;
        let x = pattern.two_theta();
        assert_eq!((scans.len(), pattern.len()), (1, points), "{name}");
        assert!(
            (x[0] - first).abs() < 1e-9 && (x[points - 1] - last).abs() < 1e-3,
            "{name}: {} {}",
            x[0],
            x[points - 1]
        );
        let found: f64 = pattern.intensity().iter().sum();
        assert!(sum.is_nan() || (found / sum - 1.0).abs() < 1e-12, "{name}: {found}");
    }
    let brml =
        &formats::read(&std::fs::read(folder.join("formats/bruker_absorber.brml")).unwrap(), "a.brml").unwrap()[0];
    assert!(brml.attenuated && brml.radius_mm == Some(300.0) && brml.counting_time_s == Some(1.0));
    let nist = std::fs::read(folder.join("standards/nist_srm660c_100a.cif")).unwrap();
    let nist = pdcif::read(&nist).unwrap();
    assert_eq!(nist.pattern.intensity()[0], 19.0);
    assert!((nist.pattern.sigma()[0] - 1.0 / 0.103f64.sqrt()).abs() < 1e-9);
}
