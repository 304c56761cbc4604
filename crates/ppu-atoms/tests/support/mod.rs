//! Structures and a seeded generator that the tests share.
#![allow(dead_code, reason = "each test uses its own part")]
#![allow(clippy::unwrap_used, reason = "what the tests read is known; a benchmark shares it")]

use ppu_atoms::{Lattice, Structure};

/// Numbers from 0 to 1 (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64
    }
}

pub(crate) fn structure(lattice: Lattice, atoms: &[(&str, [f64; 3])]) -> Structure {
    let species = atoms.iter().map(|(symbol, _)| symbol.parse().unwrap()).collect();
    Structure::new(lattice, species, atoms.iter().map(|(_, at)| *at).collect()).unwrap()
}

/// A perovskite with its atoms displaced by up to `shift` of the cell.
pub(crate) fn perovskite(edge: f64, names: [&str; 3], shift: f64, seed: u64) -> Structure {
    let mut random = Random(seed);
    let [a, b, x] = names;
    let sites =
        [(a, [0.0, 0.0, 0.0]), (b, [0.5, 0.5, 0.5]), (x, [0.5, 0.5, 0.0]), (x, [0.5, 0.0, 0.5]), (x, [0.0, 0.5, 0.5])];
    let atoms = sites.map(|(name, at)| (name, at.map(|value| value + shift * (random.next() - 0.5))));
    structure(Lattice::cubic(edge), &atoms)
}

/// Orthorhombic LiMnO2, the published example of the potential.
pub(crate) fn lithium_manganate() -> Structure {
    let lattice = Lattice([[2.868779, 0.0, 0.0], [0.0, 4.634475, 0.0], [0.0, 0.0, 5.832507]]);
    let atoms = [
        ("Li", [0.5, 0.5, 0.3797505]),
        ("Li", [0.0, 0.0, 0.6202495]),
        ("Mn", [0.5, 0.5, 0.8632525]),
        ("Mn", [0.0, 0.0, 0.1367475]),
        ("O", [0.5, 0.0, 0.3608245]),
        ("O", [0.0, 0.5, 0.0985135]),
        ("O", [0.5, 0.0, 0.9014865]),
        ("O", [0.0, 0.5, 0.6391755]),
    ];
    structure(lattice, &atoms)
}

/// A structure from its entry in the reference file.
pub(crate) fn read_structure(entry: &serde_json::Value) -> Structure {
    let vector = |value: &serde_json::Value| -> [f64; 3] { std::array::from_fn(|k| value[k].as_f64().unwrap()) };
    let lattice = Lattice(std::array::from_fn(|row| vector(&entry["lattice"][row])));
    let species = entry["species"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().parse().unwrap());
    let fractional = entry["fractional"].as_array().unwrap().iter().map(vector).collect();
    Structure::new(lattice, species.collect(), fractional).unwrap()
}
