//! From the features of atoms to energies and magnetic moments. There are few atoms, so nothing here needs speed.

use super::kernels::{WIDTH, normalise, normalise_back};
use super::network::Network;
use super::real::Real;

/// |w·h + c| of each atom.
pub(super) fn moments<T: Real>((weights, constant): &(Vec<f64>, f64), atoms: &[T]) -> Vec<f64> {
    let moment = |feature: &[T]| {
        let product: f64 = feature.iter().zip(weights).map(|(value, weight)| value.to_f64() * weight).sum();
        (product + constant).abs()
    };
    atoms.chunks_exact(WIDTH).map(moment).collect()
}

/// Mean feature of the atoms.
pub(super) fn mean<T: Real>(atoms: &[T]) -> Vec<f64> {
    let count = (atoms.len() / WIDTH) as f64;
    (0..WIDTH).map(|k| atoms.iter().skip(k).step_by(WIDTH).map(|value| value.to_f64()).sum::<f64>() / count).collect()
}

/// What one layer of the read-out keeps: its output before activation.
type Layers<T> = Vec<Vec<T>>;

impl<T: Real> Network<T> {
    /// Energy of each atom in eV without its reference, and the mean of the normalised features.
    pub(super) fn read_out(&self, atoms: &[T]) -> (Vec<f64>, Vec<f64>) {
        let (normed, _) = self.normed(atoms);
        let layers = self.layers(&normed);
        let (weights, constant) = &self.last;
        let last = layers.last().map_or(&[][..], Vec::as_slice);
        let energy = |values: &[T]| {
            let terms = values.iter().zip(weights);
            terms.map(|(&value, &weight)| (value * value.logistic()).to_f64() * weight.to_f64()).sum::<f64>() + constant
        };
        (last.chunks_exact(WIDTH).map(energy).collect(), mean(&normed))
    }

    /// Derivative of the sum of the energies by the features of the atoms.
    pub(super) fn read_out_reverse(&self, atoms: &[T]) -> Vec<T> {
        let (normed, inverse_sds) = self.normed(atoms);
        let layers = self.layers(&normed);
        let mut by: Vec<T> = self.last.0.repeat(atoms.len() / WIDTH);
        for ((linear, _), values) in self.layers.iter().zip(&layers).rev() {
            for (by, &value) in by.iter_mut().zip(values) {
                let gate = value.logistic();
                *by *= gate * (T::ONE + value * (T::ONE - gate));
            }
            let mut before = vec![T::ZERO; by.len()];
            linear.reverse.add_product(&by, &mut before);
            by = before;
        }
        let rows = by.as_chunks_mut::<WIDTH>().0.iter_mut().zip(atoms.as_chunks::<WIDTH>().0);
        for ((by, atom), inverse_sd) in rows.zip(inverse_sds) {
            by.iter_mut().zip(&self.norm_scale).for_each(|(by, &scale)| *by *= scale);
            let mut plain = *atom;
            normalise(&mut plain);
            normalise_back(by, &plain, inverse_sd);
        }
        by
    }

    fn normed(&self, atoms: &[T]) -> (Vec<T>, Vec<T>) {
        let mut normed = atoms.to_vec();
        let mut inverse_sds = Vec::with_capacity(atoms.len() / WIDTH);
        for values in normed.as_chunks_mut::<WIDTH>().0 {
            inverse_sds.push(normalise(values));
            for ((value, &scale), &shift) in values.iter_mut().zip(&self.norm_scale).zip(&self.norm_shift) {
                *value = *value * scale + shift;
            }
        }
        (normed, inverse_sds)
    }

    fn layers(&self, input: &[T]) -> Layers<T> {
        let mut input = input.to_vec();
        let mut found = Vec::with_capacity(self.layers.len());
        for (linear, bias) in &self.layers {
            let mut output = bias.repeat(input.len() / WIDTH);
            linear.forward.add_product(&input, &mut output);
            input = output.iter().map(|&value| value * value.logistic()).collect();
            found.push(output);
        }
        found
    }
}
