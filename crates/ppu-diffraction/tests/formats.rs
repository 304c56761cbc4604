//! XRDML: reference files where they are at hand, and hostile input always.

#![allow(clippy::unwrap_used, reason = "a test that breaks should say where")]
#![allow(clippy::print_stdout, reason = "a skipped test says why")]
#![allow(clippy::disallowed_methods, reason = "reference files are read by the test, not by the crate")]

use std::path::PathBuf;

use ppu_diffraction::formats::xrdml::{self, XrdmlError};

fn file(scan: &str) -> String {
    format!(
        r#"<?xml version="1.0"?><xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/1.5" status="Completed">
        <sample><id>S1</id></sample><xrdMeasurement><usedWavelength><kAlpha1 unit="Angstrom">1.5405980</kAlpha1>
        <kAlpha2 unit="Angstrom">1.5444260</kAlpha2><ratioKAlpha2KAlpha1>0.5</ratioKAlpha2KAlpha1></usedWavelength>
        <incidentBeamPath><radius unit="mm">145.00</radius></incidentBeamPath>{scan}</xrdMeasurement></xrdMeasurements>"#
    )
}

fn scan(axis: &str, inner: &str) -> String {
    format!(r#"<scan scanAxis="{axis}" status="Completed"><dataPoints>{inner}</dataPoints></scan>"#)
}

const GRID: &str =
    r#"<positions axis="2Theta"><startPosition>10</startPosition><endPosition>12</endPosition></positions>"#;

#[test]
fn start_and_end_or_a_list_give_the_same_pattern() {
    let list = r#"<positions axis="2Theta"><listPositions>10 11 12</listPositions></positions>"#;
    for positions in [GRID, list] {
        for counts in ["<counts unit=\"counts\">4 9 16</counts>", "<intensities unit=\"counts\">4 9 16</intensities>"] {
            let text =
                file(&scan("Gonio", &format!("{positions}<commonCountingTime>2.5</commonCountingTime>{counts}")));
            let read = xrdml::read(format!("\u{feff}{text}").as_bytes()).unwrap();
            assert_eq!(read.version.as_deref(), Some("1.5"));
            let scan = &read.scans[0];
            assert_eq!(scan.pattern.two_theta(), [10.0, 11.0, 12.0]);
            assert_eq!(scan.pattern.sigma(), [2.0, 3.0, 4.0]);
            assert_eq!((scan.counting_time_s, scan.radius_mm), (Some(2.5), Some(145.0)));
            assert_eq!(scan.wavelength.unwrap().ratio, Some(0.5));
            assert_eq!(scan.sample_id.as_deref(), Some("S1"));
            assert!(scan.pattern.are_counts() && scan.warnings.is_empty());
        }
    }
}

#[test]
fn attenuation_multiplies_counts_and_their_uncertainty() {
    let inner = format!("{GRID}<beamAttenuationFactors>1 10 1</beamAttenuationFactors><counts>4 9 16</counts>");
    let scan = &xrdml::read(file(&scan("2Theta-Omega", &inner)).as_bytes()).unwrap().scans[0];
    assert_eq!(scan.pattern.intensity(), [4.0, 90.0, 16.0]);
    assert_eq!(scan.pattern.sigma(), [2.0, 30.0, 4.0]);
    assert!(scan.attenuated && !scan.pattern.are_counts());
}

#[test]
fn several_scans_are_kept_and_others_named() {
    let good = scan("Gonio", &format!("{GRID}<counts>1 2 3</counts>"));
    let rocking = scan("Omega", &format!("{GRID}<counts>1 2 3</counts>"));
    let read = xrdml::read(file(&format!("{good}{rocking}{good}")).as_bytes()).unwrap();
    assert_eq!(read.scans.len(), 2);
    assert_eq!(read.scans[0].warnings, ["a scan over Omega was left out"]);
    let error = xrdml::read(file(&rocking).as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "no scan of the file moves 2θ (found: Omega)");
}

#[test]
fn lies_are_named() {
    let error = |inner: &str| xrdml::read(file(&scan("Gonio", inner)).as_bytes()).unwrap_err().to_string();
    assert_eq!(error(GRID), "scan 1 has no <counts>");
    assert_eq!(error("<counts>1 2 3</counts>"), "scan 1 has no <startPosition>");
    assert_eq!(
        error(&format!("{GRID}<beamAttenuationFactors>1 1</beamAttenuationFactors><counts>1 2 3</counts>")),
        "<beamAttenuationFactors> of scan 1 has 2 values for 3 points"
    );
    assert_eq!(
        error(&format!("{GRID}<beamAttenuationFactors>1 0 1</beamAttenuationFactors><counts>1 2 3</counts>")),
        "<beamAttenuationFactors> of scan 1 holds the unusable value `0`"
    );
    let number = error(&format!("{GRID}<counts>1 two 3</counts>"));
    assert!(
        number.starts_with("<counts> before byte ") && number.ends_with("holds `two` where a number belongs"),
        "{number}"
    );
    assert!(error(&format!("{GRID}<counts>1 NaN 3</counts>")).contains("holds `NaN`"));
    assert_eq!(error(&format!("{GRID}<counts></counts>")), "scan 1 is no powder pattern");
    assert_eq!(
        error(&format!("{GRID}<intensities unit=\"furlongs\">1 2 3</intensities>")),
        "<intensities> of scan 1 holds the unusable value `furlongs`"
    );
    assert_eq!(
        xrdml::read(b"<html></html>").unwrap_err().to_string(),
        "the root element is <html>, not <xrdMeasurements>"
    );
    assert_eq!(xrdml::read(b"").unwrap_err().to_string(), "the root element is <>, not <xrdMeasurements>");
    assert!(matches!(xrdml::read(b"\xff\xfe<"), Err(XrdmlError::Encoding { byte: 0 })));
    let deep = format!("<xrdMeasurements>{}", "<a>".repeat(100_000));
    assert!(matches!(xrdml::read(deep.as_bytes()), Err(XrdmlError::TooMuch { .. })));
}

#[test]
fn no_truncation_or_flipped_byte_makes_the_reader_panic() {
    let text = file(&scan("Gonio", &format!("{GRID}<counts>1 2 3</counts>")));
    for end in 0..text.len() {
        assert!(xrdml::read(&text.as_bytes()[..end]).is_err(), "a file cut at {end} was read");
    }
    for place in 0..text.len() {
        for value in [b'<', b'>', b'&', b'"', b'-', 0, 0xff] {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = value;
            let _ = xrdml::read(&bytes);
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
fn the_reference_file_with_an_attenuator_is_read() {
    let Some(folder) = reference() else { return };
    let bytes = std::fs::read(folder.join("formats/panalytical_attenuator.xrdml")).unwrap();
    let file = xrdml::read(&bytes).unwrap();
    let scan = &file.scans[0];
    assert_eq!(file.version.as_deref(), Some("2.1"));
    assert_eq!((scan.axis.as_str(), scan.radius_mm, scan.counting_time_s), ("2Theta-Omega", Some(320.0), Some(0.5)));
    assert!(scan.attenuated);
    let x = scan.pattern.two_theta();
    assert!((x[0] - 26.025).abs() < 1e-9 && (x[x.len() - 1] - 79.995).abs() < 1e-9);
    // Independent decoding of the two lists.
    let text = String::from_utf8_lossy(&bytes);
    let list = |name: &str| -> Vec<f64> {
        let from = text.find(&format!("<{name}")).unwrap();
        let inner = &text[from + text[from..].find('>').unwrap() + 1..];
        inner[..inner.find('<').unwrap()].split_whitespace().map(|word| word.parse().unwrap()).collect()
    };
    let (counts, factors) = (list("counts"), list("beamAttenuationFactors"));
    assert_eq!(counts.len(), x.len());
    for index in 0..x.len() {
        assert_eq!(scan.pattern.intensity()[index], counts[index] * factors[index]);
        assert!((scan.pattern.sigma()[index] - counts[index].max(1.0).sqrt() * factors[index]).abs() < 1e-9);
    }
    assert!(factors.iter().any(|factor| *factor > 100.0));
}

#[test]
fn every_weighed_mixture_is_read() {
    let Some(folder) = reference() else { return };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder.join("mixtures")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "xrdml") {
            continue;
        }
        let file = xrdml::read(&std::fs::read(&path).unwrap()).unwrap();
        let pattern = &file.scans[0].pattern;
        let points = if path.to_string_lossy().contains("2min") { 2071 } else { 8282 };
        assert_eq!((file.scans.len(), pattern.len()), (1, points), "{}", path.display());
        assert_eq!(file.scans[0].axis, "Gonio");
        let x = pattern.two_theta();
        assert!(x[0] > 9.9 && x[0] < 10.1 && x[points - 1] > 99.9, "{} {}", x[0], x[points - 1]);
        seen += 1;
    }
    assert!(seen >= 10, "only {seen} mixtures found");
}
