//! The network's weights in the layout of its kernels.

use super::gated::Gated;
use super::kernels::{DOUBLE, Panels, WIDTH};
use super::real::Real;
use crate::weights::{BLOCKS, HARMONICS, RADIAL, Weights};

/// A linear map that is used in both directions.
#[derive(Debug, Clone)]
pub(super) struct Linear<T> {
    pub(super) forward: Panels<T>,
    pub(super) reverse: Panels<T>,
}

impl<T: Real> Linear<T> {
    /// Columns `from..from + inputs` of matrices in the order `[output][input]`, stacked.
    fn stacked(matrices: &[&[f32]], width: usize, from: usize, inputs: usize) -> Self {
        let outputs: usize = matrices.iter().map(|matrix| matrix.len() / width).sum();
        let each = outputs / matrices.len();
        let entry = |output: usize, input: usize| matrices[output / each][output % each * width + from + input];
        Self {
            forward: Panels::new(inputs, outputs, |inner, column| entry(column, inner)),
            reverse: Panels::new(outputs, inputs, entry),
        }
    }

    fn new(weights: &Weights, name: &str, inputs: usize) -> Self {
        Self::stacked(&[weights.values(name)], inputs, 0, inputs)
    }
}

/// The first linear layer of core and gate for one operand.
fn operands<T: Real>(weights: &Weights, name: &str, layer: usize, count: usize) -> (Vec<Linear<T>>, Vec<T>) {
    let part = |branch: &str, part: &str| weights.values(&format!("{name}.mlp_{branch}.layers.{layer}.{part}"));
    let matrices = [part("core", "weight"), part("gate", "weight")];
    let linear = |operand: usize| Linear::stacked(&matrices, count * WIDTH, operand * WIDTH, WIDTH);
    let bias = part("core", "bias").iter().chain(part("gate", "bias"));
    ((0..count).map(linear).collect(), bias.map(|&value| T::from_f64(f64::from(value))).collect())
}

/// Messages from atoms, along edges, to atoms.
#[derive(Debug, Clone)]
pub(super) struct AtomConvolution<T> {
    /// First layer for the centre, the bond and the neighbour.
    pub(super) operands: [Linear<T>; 3],
    pub(super) bias: Vec<T>,
    pub(super) gated: Gated<T>,
    pub(super) output: Linear<T>,
}

/// Messages from angles to bonds or back to the angles.
#[derive(Debug, Clone)]
pub(super) struct AngleConvolution<T> {
    /// First layer for the first bond, the second bond, the angle and the centre.
    pub(super) operands: [Linear<T>; 4],
    pub(super) bias: Vec<T>,
    pub(super) gated: Gated<T>,
    /// The bond convolution has an output layer, the angle update none.
    pub(super) output: Option<Linear<T>>,
}

/// The whole network.
#[derive(Debug, Clone)]
pub(super) struct Network<T> {
    pub(super) reference_energies: Vec<f64>,
    pub(super) atom_embedding: Vec<T>,
    pub(super) atom_frequencies: [f64; RADIAL],
    pub(super) bond_frequencies: [f64; RADIAL],
    pub(super) angle_frequencies: [f64; HARMONICS],
    pub(super) bond_embedding: Linear<T>,
    pub(super) atom_gates: Linear<T>,
    pub(super) bond_gates: Linear<T>,
    pub(super) angle_embedding: Linear<T>,
    pub(super) atom_convolutions: Vec<AtomConvolution<T>>,
    pub(super) bond_convolutions: Vec<AngleConvolution<T>>,
    pub(super) angle_updates: Vec<AngleConvolution<T>>,
    pub(super) moment: (Vec<f64>, f64),
    pub(super) norm_scale: Vec<T>,
    pub(super) norm_shift: Vec<T>,
    pub(super) layers: Vec<(Linear<T>, Vec<T>)>,
    pub(super) last: (Vec<T>, f64),
}

fn reals<T: Real>(values: &[f32]) -> Vec<T> {
    values.iter().map(|&value| T::from_f64(f64::from(value))).collect()
}

impl<T: Real> Network<T> {
    pub(super) fn new(weights: &Weights) -> Self {
        let values = |name: &str| weights.values(name);
        let doubles = |name: &str| -> Vec<f64> { values(name).iter().copied().map(f64::from).collect() };
        let radial = |name: &str| std::array::from_fn(|k| f64::from(values(name)[k]));
        let read_out = |layer: usize| {
            let matrix = Linear::new(weights, &format!("mlp.layers.{layer}.weight"), WIDTH);
            (matrix, reals(values(&format!("mlp.layers.{layer}.bias"))))
        };
        Self {
            reference_energies: doubles("composition_model.fc.weight"),
            atom_embedding: reals(values("atom_embedding.embedding.weight")),
            atom_frequencies: radial("bond_basis_expansion.rbf_expansion_ag.frequencies"),
            bond_frequencies: radial("bond_basis_expansion.rbf_expansion_bg.frequencies"),
            angle_frequencies: std::array::from_fn(|k| {
                f64::from(values("angle_basis_expansion.fourier_expansion.frequencies")[k])
            }),
            bond_embedding: Linear::new(weights, "bond_embedding.weight", RADIAL),
            atom_gates: Linear::new(weights, "bond_weights_ag.weight", RADIAL),
            bond_gates: Linear::new(weights, "bond_weights_bg.weight", RADIAL),
            angle_embedding: Linear::new(weights, "angle_embedding.weight", RADIAL),
            atom_convolutions: (0..=BLOCKS).map(|block| atom_convolution(weights, block)).collect(),
            bond_convolutions: (0..BLOCKS).map(|block| angle_convolution(weights, block, true)).collect(),
            // The last update of the angles reaches nothing that is read.
            angle_updates: (0..BLOCKS - 1).map(|block| angle_convolution(weights, block, false)).collect(),
            moment: (doubles("site_wise.weight"), doubles("site_wise.bias")[0]),
            norm_scale: reals(values("readout_norm.weight")),
            norm_shift: reals(values("readout_norm.bias")),
            layers: [0, 2, 4].map(read_out).into(),
            last: (reals(values("mlp.layers.7.weight")), doubles("mlp.layers.7.bias")[0]),
        }
    }
}

fn atom_convolution<T: Real>(weights: &Weights, block: usize) -> AtomConvolution<T> {
    let name = format!("atom_conv_layers.{block}");
    let unit = format!("{name}.twoBody_atom");
    let (operands, bias) = operands(weights, &unit, 0, 3);
    debug_assert_eq!(bias.len(), DOUBLE);
    AtomConvolution {
        operands: operands.try_into().expect("three operands were asked for"),
        bias,
        gated: Gated::new(weights, &unit, Some(3)),
        output: Linear::new(weights, &format!("{name}.mlp_out.layers.1.weight"), WIDTH),
    }
}

fn angle_convolution<T: Real>(weights: &Weights, block: usize, to_bonds: bool) -> AngleConvolution<T> {
    let name = if to_bonds { format!("bond_conv_layers.{block}") } else { format!("angle_layers.{block}") };
    let unit = format!("{name}.twoBody_bond");
    let (first, hidden) = if to_bonds { (0, Some(3)) } else { (1, None) };
    let (operands, bias) = operands(weights, &unit, first, 4);
    AngleConvolution {
        operands: operands.try_into().expect("four operands were asked for"),
        bias,
        gated: Gated::new(weights, &unit, hidden),
        output: to_bonds.then(|| Linear::new(weights, &format!("{name}.mlp_out.layers.1.weight"), WIDTH)),
    }
}
