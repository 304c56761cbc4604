//! The numbers of a trained network: 136 named tensors of fixed shapes, as CHGNet 0.3.0 and its r²SCAN head have them.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::tensors::{Tensor, Tensors, TensorsError};

/// Width of every feature.
const WIDTH: usize = 64;
/// Radial basis functions of each kind, and angular ones.
pub(crate) const RADIAL: usize = 31;
/// Frequencies of the angular basis; each gives a sine and a cosine, and there is a constant.
pub(crate) const HARMONICS: usize = 15;
/// Blocks of atom, bond and angle convolutions before the last atom convolution.
pub(crate) const BLOCKS: usize = 3;
/// Elements with an embedding.
const ELEMENTS: usize = crate::element::Element::COUNT;

/// The tensors of one network, complete and of the right shapes, and what must travel with them.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    file: Tensors,
}

/// Why tensors are no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// A tensor is not there.
    #[error("the tensor `{0}` is missing")]
    Missing(String),
    /// A tensor is there that the network does not have.
    #[error("the network has no tensor `{0}`")]
    Unknown(String),
    /// A tensor has another shape than the network's.
    #[error("the tensor `{name}` has the shape {found:?} with {values} values; the network's has {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// How many numbers it holds.
        values: usize,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// Bytes are no file of tensors.
    #[error("the file could not be read")]
    File(#[from] TensorsError),
    /// A number is infinite or none.
    #[error("the tensor `{0}` holds a value that is not finite")]
    NotFinite(String),
}

impl Weights {
    /// Checks that the tensors are those of the network. `metadata` is kept as it is: licence, source, digests.
    ///
    /// # Errors
    /// [`WeightsError`] names the first tensor that is missing, unknown, of another shape, or not finite.
    pub fn new(tensors: BTreeMap<String, Tensor>, metadata: BTreeMap<String, String>) -> Result<Self, WeightsError> {
        let layout = layout();
        for (name, expected) in &layout {
            let tensor = tensors.get(name).ok_or_else(|| WeightsError::Missing(name.clone()))?;
            if tensor.shape != *expected || tensor.values.len() != expected.iter().product::<usize>() {
                return Err(WeightsError::Shape {
                    name: name.clone(),
                    found: tensor.shape.clone(),
                    values: tensor.values.len(),
                    expected: expected.clone(),
                });
            }
            if !tensor.values.iter().all(|value| value.is_finite()) {
                return Err(WeightsError::NotFinite(name.clone()));
            }
        }
        match tensors.keys().find(|name| !layout.contains_key(*name)) {
            Some(name) => Err(WeightsError::Unknown(name.clone())),
            None => Ok(Self { file: Tensors { metadata, tensors } }),
        }
    }

    /// Reads a file that [`Weights::to_safetensors`] or another writer made.
    ///
    /// # Errors
    /// [`WeightsError`] when the bytes are no such file, or its tensors not those of the network.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, WeightsError> {
        let file = Tensors::from_bytes(bytes)?;
        Self::new(file.tensors, file.metadata)
    }

    /// The same numbers and metadata as a file. The same weights give the same bytes.
    #[must_use]
    pub fn to_safetensors(&self) -> Vec<u8> {
        self.file.to_bytes()
    }

    /// An untrained network of the same architecture. It knows no chemistry; it has the symmetries of the trained one,
    /// so that code can be tested where no trained weights are. The same seed gives the same bits.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut state = seed;
        let mut uniform = move || {
            // SplitMix64 (Steele et al., OOPSLA 2014).
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        let mut tensors = BTreeMap::new();
        for (name, shape) in layout() {
            let count: usize = shape.iter().product();
            let inputs = shape.last().copied().unwrap_or(1) as f32;
            let values = (0..count).map(|index| {
                let random = uniform();
                let harmonic = (index + 1) as f32;
                match name.as_str() {
                    "composition_model.fc.weight" => -5.0 + random,
                    // Near whole harmonics, as training begins with.
                    name if name.contains("rbf_expansion") => std::f32::consts::PI * harmonic + 0.1 * random,
                    name if name.contains("frequencies") => harmonic + 0.05 * random,
                    name if name.contains(".bn") || name.contains("norm.") => {
                        f32::from(u8::from(name.ends_with("weight"))) + 0.1 * random
                    }
                    name if name.ends_with("bias") => 0.1 * random,
                    "atom_embedding.embedding.weight" => random,
                    // Variance 1/inputs, times 2 for what the activations take away.
                    _ => random * (6.0 / inputs).sqrt(),
                }
            });
            let tensor = Tensor { values: values.collect(), shape };
            tensors.insert(name, tensor);
        }
        let metadata = BTreeMap::from([("source".to_owned(), format!("untrained, seed {seed}"))]);
        Self { file: Tensors { metadata, tensors } }
    }

    /// The tensors by name.
    #[must_use]
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.file.tensors
    }

    /// Licence, source and digests, by name.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.file.metadata
    }

    /// SHA-256 over names, shapes and numbers, in hexadecimal: what a provenance names.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (name, tensor) in &self.file.tensors {
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name.as_bytes());
            hash.update((tensor.shape.len() as u64).to_le_bytes());
            tensor.shape.iter().for_each(|&length| hash.update((length as u64).to_le_bytes()));
            tensor.values.iter().for_each(|value| hash.update(value.to_le_bytes()));
        }
        hexadecimal(&hash.finalize())
    }

    /// The numbers of a tensor that the layout names.
    pub(crate) fn values(&self, name: &str) -> &[f32] {
        &self.file.tensors.get(name).expect("the tensors were checked against the layout").values
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Name and shape of every tensor. The names are those of the published checkpoints.
fn layout() -> BTreeMap<String, Vec<usize>> {
    let mut found = BTreeMap::new();
    let mut put = |name: String, shape: &[usize]| {
        found.insert(name, shape.to_vec());
    };
    put("composition_model.fc.weight".into(), &[1, ELEMENTS]);
    put("atom_embedding.embedding.weight".into(), &[ELEMENTS, WIDTH]);
    for graph in ["ag", "bg"] {
        put(format!("bond_basis_expansion.rbf_expansion_{graph}.frequencies"), &[RADIAL]);
        put(format!("bond_weights_{graph}.weight"), &[WIDTH, RADIAL]);
    }
    put("angle_basis_expansion.fourier_expansion.frequencies".into(), &[HARMONICS]);
    put("bond_embedding.weight".into(), &[WIDTH, RADIAL]);
    put("angle_embedding.weight".into(), &[WIDTH, RADIAL]);
    for block in 0..=BLOCKS {
        let name = format!("atom_conv_layers.{block}");
        gated_layout(&mut put, &format!("{name}.twoBody_atom"), &[(0, 3 * WIDTH), (3, WIDTH)]);
        put(format!("{name}.mlp_out.layers.1.weight"), &[WIDTH, WIDTH]);
    }
    for block in 0..BLOCKS {
        let name = format!("bond_conv_layers.{block}");
        gated_layout(&mut put, &format!("{name}.twoBody_bond"), &[(0, 4 * WIDTH), (3, WIDTH)]);
        put(format!("{name}.mlp_out.layers.1.weight"), &[WIDTH, WIDTH]);
        gated_layout(&mut put, &format!("angle_layers.{block}.twoBody_bond"), &[(1, 4 * WIDTH)]);
    }
    put("site_wise.weight".into(), &[1, WIDTH]);
    put("site_wise.bias".into(), &[1]);
    put("readout_norm.weight".into(), &[WIDTH]);
    put("readout_norm.bias".into(), &[WIDTH]);
    for (layer, outputs) in [(0, WIDTH), (2, WIDTH), (4, WIDTH), (7, 1)] {
        put(format!("mlp.layers.{layer}.weight"), &[outputs, WIDTH]);
        put(format!("mlp.layers.{layer}.bias"), &[outputs]);
    }
    found
}

fn gated_layout(put: &mut impl FnMut(String, &[usize]), name: &str, layers: &[(usize, usize)]) {
    for branch in ["core", "gate"] {
        for &(layer, inputs) in layers {
            put(format!("{name}.mlp_{branch}.layers.{layer}.weight"), &[WIDTH, inputs]);
            put(format!("{name}.mlp_{branch}.layers.{layer}.bias"), &[WIDTH]);
        }
    }
    for norm in ["bn1", "bn2"] {
        put(format!("{name}.{norm}.weight"), &[WIDTH]);
        put(format!("{name}.{norm}.bias"), &[WIDTH]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_survive_a_round_trip_bit_by_bit() {
        let weights = Weights::random(3);
        let bytes = weights.to_safetensors();
        let back = Weights::from_safetensors(&bytes).unwrap();
        assert_eq!(back, weights);
        assert_eq!(back.to_safetensors(), bytes);
        assert_eq!(
            Weights::from_safetensors(&bytes[..bytes.len() - 1]),
            Err(WeightsError::File(TensorsError::Truncated))
        );
    }

    #[test]
    fn the_layout_has_the_published_number_of_tensors_and_parameters() {
        let layout = layout();
        let parameters: usize = layout.values().map(|shape| shape.iter().product::<usize>()).sum();
        assert_eq!((layout.len(), parameters), (136, 412_525));
    }

    #[test]
    fn tensors_that_are_no_network_are_named() {
        let weights = Weights::random(1);
        assert_ne!(weights.digest(), Weights::random(2).digest());
        let with = |change: fn(&mut BTreeMap<String, Tensor>)| {
            let mut tensors = weights.tensors().clone();
            change(&mut tensors);
            Weights::new(tensors, BTreeMap::new())
        };
        assert!(with(|_| ()).is_ok());
        let gone = with(|tensors| drop(tensors.remove("site_wise.bias")));
        assert_eq!(gone, Err(WeightsError::Missing("site_wise.bias".into())));
        let more = with(|tensors| {
            tensors.insert("x".into(), Tensor { shape: vec![], values: vec![0.0] });
        });
        assert_eq!(more, Err(WeightsError::Unknown("x".into())));
        let turned = with(|tensors| tensors.get_mut("bond_embedding.weight").unwrap().shape.reverse());
        assert!(matches!(turned, Err(WeightsError::Shape { .. })));
        let infinite = with(|tensors| tensors.get_mut("site_wise.bias").unwrap().values[0] = f32::INFINITY);
        assert_eq!(infinite, Err(WeightsError::NotFinite("site_wise.bias".into())));
    }
}
