//! Thousands of broken files for each reader: none may panic or take long, and every error must name a place.
//!
//! The mutations are seeded, so that a failure comes back; `PPU_MUTATIONS` multiplies their number.

#![allow(clippy::unwrap_used, reason = "a test that breaks should say where")]
#![allow(clippy::print_stdout, reason = "a test reports what it did")]
#![allow(clippy::disallowed_methods, reason = "a test reads files, the environment and the clock, the crate does not")]

#[path = "support/reference_data.rs"]
mod reference_data;
#[path = "support/samples.rs"]
mod samples;

use std::error::Error;

use ppu_diffraction::{cif, formats};

/// Mutations of each small sample, and of each reference file.
const OF_SMALL: usize = 2000;
const OF_REFERENCE: usize = 60;
/// No file of some hundred kilobytes may keep a core busy for longer; typical is a millisecond.
const MOST_SECONDS: f64 = 2.0;

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Texts that readers of numbers and structure stumble over.
const HARMFUL: [&str; 18] = [
    "0",
    "-1",
    "1e999",
    "-1e999",
    "NaN",
    "inf",
    "99999999999999999999",
    "1e-320",
    "\0",
    "\"",
    "'",
    ";",
    "<",
    ">",
    "&#0;",
    "\u{fffd}",
    "\n\n",
    "_loop_",
];

/// Truncates, flips, overwrites, drops, doubles and splices parts of a file; several changes at once as often as one.
fn mutated(bytes: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + 1 + random.below(64)).min(bytes.len());
        match random.below(9) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            3 => drop(bytes.drain(at..end)),
            4 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            5 => {
                let from = random.below(other.len() + 1);
                let to = (from + random.below(200)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            6 => drop(bytes.splice(at..end.min(at + 12), HARMFUL[random.below(HARMFUL.len())].bytes())),
            // Lengths and counts of binary formats: the extremes are the most harmful.
            7 => {
                let value = [0, 1, 0x7f, 0x80, 0xff][random.below(5)];
                bytes[at..end.min(at + [1, 2, 4, 8][random.below(4)])].fill(value);
            }
            _ => {
                // A long run of one part: nesting and repetition.
                let part = bytes[at..end].to_vec();
                let many = part.iter().copied().cycle().take(part.len() * random.below(200));
                bytes.splice(at..at, many.collect::<Vec<u8>>());
            }
        }
    }
    bytes
}

/// Seconds of a core that this thread has used, or of the wall clock where the system does not say.
fn clock() -> f64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let start = START.get_or_init(std::time::Instant::now);
    let used = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let used = used.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    used.map_or_else(|| start.elapsed().as_secs_f64(), |nanoseconds| 1e-9 * nanoseconds)
}

/// The error with its causes.
fn whole(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}

/// True when a message tells where: a number (byte, line, point, scan, how many), an element, what is missing in which part, or
/// a quoted piece of the file.
fn names_a_place(message: &str) -> bool {
    message.contains(|c: char| c.is_ascii_digit()) || message.contains(['<', '`']) || message.contains(" has no ")
}

/// Reads a file as one name and as a structure; panics when an error names no place.
fn read(bytes: &[u8], name: &str, seed: u64) -> bool {
    let before = clock();
    let result = formats::read(bytes, name);
    let structure = name.ends_with(".cif").then(|| cif::read_structures(&String::from_utf8_lossy(bytes)));
    let seconds = clock() - before;
    assert!(seconds < MOST_SECONDS, "{name}, seed {seed}: {seconds:.2} s for {} bytes", bytes.len());
    if let Err(error) = &result {
        assert!(names_a_place(&whole(error)), "{name}, seed {seed}: {}", whole(error));
    }
    if let Some(Err(error)) = &structure {
        assert!(names_a_place(&whole(error)), "{name}, seed {seed}: {}", whole(error));
    }
    for scan in result.iter().flatten() {
        let pattern = &scan.pattern;
        assert!(pattern.two_theta().windows(2).all(|pair| pair[0] < pair[1]), "{name}, seed {seed}");
        assert!(
            pattern.intensity().iter().chain(pattern.sigma()).all(|value| value.is_finite()),
            "{name}, seed {seed}"
        );
    }
    result.is_ok() || structure.is_some_and(|found| found.is_ok())
}

const XRDML: &str = r#"<?xml version="1.0"?><xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/1.5" status="Completed">
    <sample><id>S1</id></sample><xrdMeasurement><usedWavelength><kAlpha1 unit="Angstrom">1.5405980</kAlpha1>
    <ratioKAlpha2KAlpha1>0.5</ratioKAlpha2KAlpha1></usedWavelength><incidentBeamPath><radius unit="mm">145</radius>
    </incidentBeamPath><scan scanAxis="Gonio" status="Completed"><dataPoints><positions axis="2Theta"><startPosition>10
    </startPosition><endPosition>12</endPosition></positions><commonCountingTime>2.5</commonCountingTime>
    <beamAttenuationFactors>1 10 1</beamAttenuationFactors><counts unit="counts">4 9 16</counts></dataPoints></scan>
    </xrdMeasurement></xrdMeasurements>"#;

const STRUCTURE: &str = "data_rutile\n_chemical_formula_sum 'O2 Ti'\n_symmetry_space_group_name_H-M 'P 42/m n m'\n\
    _cell_length_a 4.5937(2)\n_cell_length_b 4.5937(2)\n_cell_length_c 2.9587(1)\n_publ_section_title\n;\nA title\n;\nloop_\n\
    _symmetry_equiv_pos_as_xyz\n'x,y,z'\n'-y+1/2,x+1/2,z+1/2'\n'-x, y+1/2, -z+1/2'\n'-x,-y,-z'\nloop_\n_atom_site_label\n\
    _atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_U_iso_or_equiv\n\
    Ti1 Ti4+ 0 0 0 0.005(1)\nO1 O2- 0.3050(2) 0.3050(2) 0 0.006\n";

const BARE_STRUCTURE: &str = "data_anatase\n_chemical_formula_sum 'O2 Ti'\n_cell_formula_units_Z 4\n\
    _space_group_name_H-M_alt 'I 41/a m d'\n_cell_length_a 3.7842\n_cell_length_b 3.7842\n_cell_length_c 9.5146\nloop_\n\
    _atom_site_type_symbol _atom_site_fract_x _atom_site_fract_y _atom_site_fract_z\nTi 0 0 0\nO 0 0 0.2081\n";

/// A way to make a file of a format from changed contents.
type Pack = fn(&dyn Fn(&[u8]) -> Vec<u8>) -> Vec<u8>;

#[test]
fn small_files_survive_thousands_of_mutations() {
    use samples::{BRML_RAW, PDCIF, RAS, RASX_CONDITIONS, RASX_ROWS, brml_file, rasx_file, raw3_file, raw4_file};
    // Members of archives are changed before they are packed, or the checksum would hide them.
    let formats: [(&str, Pack); 12] = [
        ("a.xy", |change| change(b"# c\n10.0 5 1\n10.1 6 1\n10.2,5 7;2\n")),
        ("a.xye", |change| change(b"10 4 2\n10.5 9 3\n11 16 4\n")),
        ("a.xrdml", |change| change(XRDML.as_bytes())),
        ("a.brml", |change| change(&brml_file(BRML_RAW.as_bytes()))),
        ("a.brml", |change| brml_file(&change(BRML_RAW.as_bytes()))),
        ("a.rasx", |change| rasx_file(&change(RASX_ROWS.as_bytes()), &change(RASX_CONDITIONS.as_bytes()))),
        ("a.ras", |change| change(RAS.as_bytes())),
        ("a.raw", |change| change(&raw3_file())),
        ("a.raw", |change| change(&raw4_file(b"Locked Coupled"))),
        ("a.cif", |change| change(PDCIF.as_bytes())),
        ("a.cif", |change| change(STRUCTURE.as_bytes())),
        ("a.cif", |change| change(BARE_STRUCTURE.as_bytes())),
    ];
    let factor = std::env::var("PPU_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let whole: Vec<Vec<u8>> = formats.iter().map(|(_, pack)| pack(&|bytes| bytes.to_vec())).collect();
    for (index, (name, pack)) in formats.iter().enumerate() {
        let mut readable = 0;
        for round in 0..factor * OF_SMALL {
            let seed = (index * 10_000_000 + round) as u64;
            let random = std::cell::RefCell::new(Random(seed));
            let other = &whole[random.borrow_mut().below(whole.len())];
            let bytes = pack(&|bytes| mutated(bytes, other, &mut random.borrow_mut()));
            readable += usize::from(read(&bytes, name, seed));
        }
        println!("{name}: {readable} of {} mutated files were still readable", factor * OF_SMALL);
    }
}

#[test]
fn reference_files_survive_mutations() {
    let Some(folder) = reference_data::diffraction() else { return };
    let mut paths = Vec::new();
    for part in ["formats", "standards"] {
        paths.extend(std::fs::read_dir(folder.join(part)).unwrap().map(|entry| entry.unwrap().path()));
    }
    for part in ["mixtures", "round_robin", "phases"] {
        let mut some: Vec<_> =
            std::fs::read_dir(folder.join(part)).unwrap().map(|entry| entry.unwrap().path()).collect();
        some.sort();
        let known = |path: &std::path::PathBuf| {
            path.extension().is_some_and(|ending| ["xrdml", "prn", "cif"].iter().any(|known| ending == *known))
        };
        paths.extend(some.into_iter().filter(known).take(2));
    }
    paths.sort();
    let files: Vec<(String, Vec<u8>)> =
        paths.iter().map(|path| (path.to_string_lossy().into_owned(), std::fs::read(path).unwrap())).collect();
    for (index, (name, bytes)) in files.iter().enumerate() {
        for round in 0..OF_REFERENCE {
            let seed = (1_000_000_000 + index * 1_000_000 + round) as u64;
            let mut random = Random(seed);
            let other = &files[random.below(files.len())].1;
            read(&mutated(bytes, other, &mut random), name, seed);
        }
    }
    println!("{} files, {OF_REFERENCE} mutations each", files.len());
}

#[test]
fn every_truncation_of_a_small_file_is_answered() {
    use samples::{BRML_RAW, PDCIF, RAS, brml_file, raw3_file, raw4_file};
    for (name, bytes) in [
        ("a.xrdml", XRDML.as_bytes().to_vec()),
        ("a.brml", brml_file(BRML_RAW.as_bytes())),
        ("a.ras", RAS.as_bytes().to_vec()),
        ("a.raw", raw3_file()),
        ("a.raw", raw4_file(b"Locked Coupled")),
        ("a.cif", PDCIF.as_bytes().to_vec()),
        ("a.cif", STRUCTURE.as_bytes().to_vec()),
    ] {
        for end in 0..bytes.len() {
            read(&bytes[..end], name, end as u64);
        }
    }
}
