//! Products of row-major matrices, and the two layers that everything is made of. A row is a token.

use std::ops::Range;

use nalgebra::{DMatrixView, DMatrixViewMut, Dyn, RealField};

/// Precisions of the network: single for use, double to check the derivatives.
pub trait Real: RealField + Copy {}
impl Real for f32 {}
impl Real for f64 {}

/// Any number as a constant of the network's precision.
pub(super) fn real<T: Real>(value: f64) -> T {
    nalgebra::convert(value)
}

/// Below this many rows, columns or terms plain loops are as fast as blocked products. nalgebra has a path of its own for
/// such small matrices, which is unsound for views with strides (0.35.0): it must not be reached.
const SMALL: usize = 8;

/// A row-major matrix, or the transpose of one.
#[derive(Clone, Copy)]
struct Operand<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    turned: bool,
}

impl<'a, T: Real> Operand<'a, T> {
    fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        Operand { data, rows, columns, turned: false }
    }

    fn transposed(self) -> Self {
        Operand { rows: self.columns, columns: self.rows, turned: !self.turned, ..self }
    }

    fn at(&self, row: usize, column: usize) -> T {
        self.data[if self.turned { column * self.rows + row } else { row * self.columns + column }]
    }

    /// nalgebra counts along columns: what it gets is the transpose.
    fn view(&self) -> DMatrixView<'a, T, Dyn, Dyn> {
        let strides = if self.turned { (self.rows, 1) } else { (1, self.columns) };
        DMatrixView::from_slice_with_strides(self.data, self.columns, self.rows, strides.0, strides.1)
    }
}

/// out (row-major) += a · b.
fn add_product<T: Real>(out: &mut [T], a: Operand<'_, T>, b: Operand<'_, T>) {
    if a.rows.min(a.columns).min(b.columns) >= SMALL {
        DMatrixViewMut::from_slice(out, b.columns, a.rows).gemm(T::one(), &b.view(), &a.view(), T::one());
        return;
    }
    for (row, out) in out.chunks_exact_mut(b.columns).enumerate() {
        for term in 0..a.columns {
            let factor = a.at(row, term);
            out.iter_mut().enumerate().for_each(|(column, sum)| *sum += factor * b.at(term, column));
        }
    }
}

/// An affine layer: where its weights (inputs × outputs) and then its biases stand among the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Linear {
    pub(super) start: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

impl Linear {
    pub(super) fn weights(&self) -> Range<usize> {
        self.start..self.start + self.inputs * self.outputs
    }

    pub(super) fn biases(&self) -> Range<usize> {
        self.weights().end..self.weights().end + self.outputs
    }

    fn matrix<'a, T: Real>(&self, parameters: &'a [T]) -> Operand<'a, T> {
        Operand::new(&parameters[self.weights()], self.inputs, self.outputs)
    }

    /// All rows at once.
    pub(super) fn forward<T: Real>(&self, parameters: &[T], input: &[T]) -> Vec<T> {
        let rows = input.len() / self.inputs;
        let mut output = parameters[self.biases()].repeat(rows);
        add_product(&mut output, Operand::new(input, rows, self.inputs), self.matrix(parameters));
        output
    }

    /// Adds the derivatives by the parameters, and gives those by the input.
    pub(super) fn backward<T: Real>(&self, parameters: &[T], input: &[T], output: &[T], gradient: &mut [T]) -> Vec<T> {
        let rows = input.len() / self.inputs;
        let (by_output, input) = (Operand::new(output, rows, self.outputs), Operand::new(input, rows, self.inputs));
        add_product(&mut gradient[self.weights()], input.transposed(), by_output);
        for row in output.chunks_exact(self.outputs) {
            gradient[self.biases()].iter_mut().zip(row).for_each(|(sum, value)| *sum += *value);
        }
        let mut down = vec![T::zero(); rows * self.inputs];
        add_product(&mut down, by_output, self.matrix(parameters).transposed());
        down
    }

    /// One row, without the detour over blocked products.
    pub(super) fn single<T: Real>(&self, parameters: &[T], input: &[T], output: &mut [T]) {
        output.copy_from_slice(&parameters[self.biases()]);
        for (row, value) in parameters[self.weights()].chunks_exact(self.outputs).zip(input) {
            output.iter_mut().zip(row).for_each(|(sum, weight)| *sum += *weight * *value);
        }
    }
}

/// Moves every row to mean 0 and variance 1 (layer normalisation without scale and shift, Ba et al., arXiv 1607.06450), and
/// returns what each was multiplied by.
pub(super) fn normalise<T: Real>(values: &mut [T], width: usize) -> Vec<T> {
    let share: T = real(1.0 / width as f64);
    let one = |row: &mut [T]| {
        let mean = row.iter().fold(T::zero(), |sum, value| sum + *value) * share;
        row.iter_mut().for_each(|value| *value -= mean);
        let variance = row.iter().fold(T::zero(), |sum, value| sum + *value * *value) * share;
        let factor = T::one() / (variance + real(1e-5)).sqrt();
        row.iter_mut().for_each(|value| *value *= factor);
        factor
    };
    values.chunks_exact_mut(width).map(one).collect()
}

/// Turns derivatives by normalised rows into those by the rows before.
pub(super) fn normalise_back<T: Real>(down: &mut [T], normed: &[T], factors: &[T], width: usize) {
    let share: T = real(1.0 / width as f64);
    for ((down, normed), factor) in down.chunks_exact_mut(width).zip(normed.chunks_exact(width)).zip(factors) {
        let mean = down.iter().fold(T::zero(), |sum, value| sum + *value) * share;
        let along = down.iter().zip(normed).fold(T::zero(), |sum, (d, n)| sum + *d * *n) * share;
        down.iter_mut().zip(normed).for_each(|(d, n)| *d = (*d - mean - *n * along) * *factor);
    }
}

/// x · σ(x).
pub(super) fn silu<T: Real>(x: T) -> T {
    x * logistic(x)
}

/// The derivative of [`silu`].
pub(super) fn silu_slope<T: Real>(x: T) -> T {
    let s = logistic(x);
    s * (T::one() + x * (T::one() - s))
}

fn logistic<T: Real>(x: T) -> T {
    // Far out the exponential of single precision would overflow; there the function is 0 to all digits.
    T::one() / (T::one() + (-x).min(real(80.0)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_plain_definition() {
        for (rows, inner, columns) in [(7, 5, 9), (9, 12, 8), (20, 33, 17), (1, 16, 24)] {
            compare(rows, inner, columns);
        }
    }

    fn compare(rows: usize, inner: usize, columns: usize) {
        let fill =
            |count: usize, step: usize| -> Vec<f64> { (0..count).map(|k| (k * step % 13) as f64 - 6.0).collect() };
        let (a, b, d) = (fill(rows * inner, 5), fill(inner * columns, 7), fill(rows * columns, 3));
        let layer = Linear { start: 0, inputs: inner, outputs: columns };
        let parameters: Vec<f64> = b.iter().copied().chain(vec![1.0; columns]).collect();
        let out = layer.forward(&parameters, &a);
        let mut gradient = vec![0.0; parameters.len()];
        let down = layer.backward(&parameters, &a, &d, &mut gradient);
        for r in 0..rows {
            for c in 0..columns {
                let plain: f64 = (0..inner).map(|k| a[r * inner + k] * b[k * columns + c]).sum();
                assert_eq!(out[r * columns + c], 1.0 + plain);
            }
            for k in 0..inner {
                let plain: f64 = (0..columns).map(|c| d[r * columns + c] * b[k * columns + c]).sum();
                assert_eq!(down[r * inner + k], plain);
            }
            let mut single = vec![0.0; columns];
            layer.single(&parameters, &a[r * inner..(r + 1) * inner], &mut single);
            assert_eq!(single, out[r * columns..(r + 1) * columns]);
        }
        for k in 0..inner {
            for c in 0..columns {
                let plain: f64 = (0..rows).map(|r| a[r * inner + k] * d[r * columns + c]).sum();
                assert_eq!(gradient[k * columns + c], plain);
            }
        }
    }
}
