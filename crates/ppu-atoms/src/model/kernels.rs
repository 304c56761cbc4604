//! Dense kernels over contiguous rows. The sums run in a fixed order, so the same input gives the same bits.

use super::real::Real;

/// Width of every feature of the network.
pub(super) const WIDTH: usize = 64;
/// Core and gate of a gated unit side by side.
pub(super) const DOUBLE: usize = 2 * WIDTH;
/// Columns that one panel of a matrix holds.
const PANEL: usize = 8;
/// Rows that one pass over a panel serves: 4 rows of 8 columns fill the vector registers of the plainest x86-64.
const ROWS: usize = 4;

/// A matrix of `inner` rows, stored in panels of eight columns and padded with zeros to a whole number of them.
#[derive(Debug, Clone)]
pub(super) struct Panels<T> {
    inner: usize,
    columns: usize,
    panels: Vec<[T; PANEL]>,
}

impl<T: Real> Panels<T> {
    /// The matrix with the given entries, `entry(inner, column)`.
    pub(super) fn new(inner: usize, columns: usize, entry: impl Fn(usize, usize) -> f32) -> Self {
        let padded = columns.next_multiple_of(PANEL);
        let mut panels = Vec::with_capacity(padded / PANEL * inner);
        for first in (0..padded).step_by(PANEL) {
            for row in 0..inner {
                panels.push(std::array::from_fn(|lane| {
                    let column = first + lane;
                    if column < columns { T::from_f64(f64::from(entry(row, column))) } else { T::ZERO }
                }));
            }
        }
        Self { inner, columns: padded, panels }
    }

    /// Columns, padding included.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// `output += input · self` for the whole rows of two dense matrices.
    pub(super) fn add_product(&self, input: &[T], output: &mut [T]) {
        self.add_product_within(input, self.inner, output, self.columns);
    }

    /// `output += input · self`, where rows of the input are `input_stride` apart and those of the output
    /// `output_stride`.
    pub(super) fn add_product_within(&self, input: &[T], input_stride: usize, output: &mut [T], output_stride: usize) {
        let inputs = input.chunks(ROWS * input_stride);
        let outputs = output.chunks_mut(ROWS * output_stride);
        for (input, output) in inputs.zip(outputs) {
            let row = |index: usize| input.get(index * input_stride..).and_then(|rest| rest.get(..self.inner));
            match [row(0), row(1), row(2), row(3)] {
                [Some(a), Some(b), Some(c), Some(d)] => self.rows_of_four([a, b, c, d], output, output_stride),
                rows => {
                    for (index, row) in rows.into_iter().flatten().enumerate() {
                        self.single_row(row, &mut output[index * output_stride..]);
                    }
                }
            }
        }
    }

    #[inline]
    fn rows_of_four(&self, [a, b, c, d]: [&[T]; ROWS], output: &mut [T], stride: usize) {
        for (index, panel) in self.panels.chunks_exact(self.inner).enumerate() {
            let mut sums = [[T::ZERO; PANEL]; ROWS];
            for ((((weights, &a), &b), &c), &d) in panel.iter().zip(a).zip(b).zip(c).zip(d) {
                for lane in 0..PANEL {
                    sums[0][lane] += a * weights[lane];
                    sums[1][lane] += b * weights[lane];
                    sums[2][lane] += c * weights[lane];
                    sums[3][lane] += d * weights[lane];
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                let at = row * stride + index * PANEL;
                add(&mut output[at..at + PANEL], sums);
            }
        }
    }

    fn single_row(&self, row: &[T], output: &mut [T]) {
        for (index, panel) in self.panels.chunks_exact(self.inner).enumerate() {
            let mut sums = [T::ZERO; PANEL];
            for (weights, &value) in panel.iter().zip(row) {
                for lane in 0..PANEL {
                    sums[lane] += value * weights[lane];
                }
            }
            add(&mut output[index * PANEL..(index + 1) * PANEL], &sums);
        }
    }
}

/// `to += from`, element by element.
#[inline(always)]
pub(super) fn add<T: Real>(to: &mut [T], from: &[T]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

/// `to += a · b`, element by element.
#[inline(always)]
pub(super) fn add_scaled<T: Real>(to: &mut [T], a: &[T], b: &[T]) {
    for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
        *to += a * b;
    }
}

/// Row `index` of a matrix with rows of `width`.
#[inline(always)]
pub(super) fn row<T>(matrix: &[T], index: usize, width: usize) -> &[T] {
    &matrix[index * width..(index + 1) * width]
}

/// Row `index` of a matrix with rows of `width`, to be changed.
#[inline(always)]
pub(super) fn row_mut<T>(matrix: &mut [T], index: usize, width: usize) -> &mut [T] {
    &mut matrix[index * width..(index + 1) * width]
}

/// The sum of a feature, in eight lanes so that it becomes vector instructions.
#[inline(always)]
pub(super) fn sum<T: Real>(values: &[T; WIDTH]) -> T {
    let mut lanes = [T::ZERO; PANEL];
    for part in values.chunks_exact(PANEL) {
        for lane in 0..PANEL {
            lanes[lane] += part[lane];
        }
    }
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

/// Moves a feature to mean zero and variance one (the population's, with 1e-5 added) and returns what it was
/// multiplied by: layer normalisation (Ba et al., arXiv 1607.06450) without its scale and shift.
#[inline(always)]
pub(super) fn normalise<T: Real>(values: &mut [T; WIDTH]) -> T {
    let share = T::from_f64(1.0 / WIDTH as f64);
    let mean = sum(values) * share;
    let mut squares = [T::ZERO; WIDTH];
    for (value, square) in values.iter_mut().zip(&mut squares) {
        *value = *value - mean;
        *square = *value * *value;
    }
    let inverse_sd = T::ONE / (sum(&squares) * share + T::from_f64(1e-5)).root();
    values.iter_mut().for_each(|value| *value *= inverse_sd);
    inverse_sd
}

/// Turns the derivative by the normalised feature into that by the feature before [`normalise`].
#[inline(always)]
pub(super) fn normalise_back<T: Real>(derivative: &mut [T; WIDTH], normed: &[T; WIDTH], inverse_sd: T) {
    let share = T::from_f64(1.0 / WIDTH as f64);
    let mut products = [T::ZERO; WIDTH];
    for ((product, &a), &b) in products.iter_mut().zip(derivative.iter()).zip(normed) {
        *product = a * b;
    }
    let (mean, along) = (sum(derivative) * share, sum(&products) * share);
    for (value, &normed) in derivative.iter_mut().zip(normed) {
        *value = (*value - mean - normed * along) * inverse_sd;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_plain_definition() {
        for rows in [1, 3, 4, 9] {
            for (inner, columns) in [(31, 64), (64, 31), (64, 128)] {
                let entry = |row: usize, column: usize| ((row * 7 + column * 3) % 11) as f32 - 5.0;
                let panels = Panels::<f64>::new(inner, columns, entry);
                let input: Vec<f64> = (0..rows * inner).map(|at| (at % 13) as f64 - 6.0).collect();
                let mut output = vec![1.0; rows * panels.columns()];
                panels.add_product(&input, &mut output);
                for (at, found) in output.iter().enumerate() {
                    let (row, column) = (at / panels.columns(), at % panels.columns());
                    let plain = |k: usize| input[row * inner + k] * f64::from(entry(k, column));
                    let expected = if column < columns { (0..inner).map(plain).sum::<f64>() } else { 0.0 };
                    assert_eq!(*found, 1.0 + expected);
                }
            }
        }
    }

    #[test]
    fn normalisation_and_its_derivative_agree_with_finite_differences() {
        let start: [f64; WIDTH] = std::array::from_fn(|k| ((k * 37 % 64) as f64 * 0.1).sin() + 0.3);
        let weight: [f64; WIDTH] = std::array::from_fn(|k| (k as f64 * 0.7).cos());
        let objective = |mut values: [f64; WIDTH]| {
            normalise(&mut values);
            values.iter().zip(&weight).map(|(a, b)| a * b).sum::<f64>()
        };
        let mut normed = start;
        let inverse_sd = normalise(&mut normed);
        let mut derivative = weight;
        normalise_back(&mut derivative, &normed, inverse_sd);
        for k in [0, 13, 63] {
            let moved = |step: f64| {
                let mut values = start;
                values[k] += step;
                objective(values)
            };
            let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((derivative[k] - numeric).abs() < 1e-8, "{} is not {numeric}", derivative[k]);
        }
    }
}
