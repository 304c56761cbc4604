//! Least squares for the linear parameters: scales that cannot be negative and a free background.

use nalgebra::{DMatrix, DVector};

/// Solves H x = g for a symmetric positive matrix after scaling its diagonal to one. A direction without information
/// gets a ridge too small to matter for any other.
pub(crate) fn solve(h: &DMatrix<f64>, g: &DVector<f64>) -> Option<DVector<f64>> {
    let (scaled, scale) = scaled(h);
    let right = DVector::from_fn(g.len(), |i, _| g[i] * scale[i]);
    let solution = factor(scaled)?.solve(&right);
    Some(DVector::from_fn(g.len(), |i, _| solution[i] * scale[i]))
}

/// The inverse of a symmetric positive matrix, with the same scaling.
pub(crate) fn inverse(h: &DMatrix<f64>) -> Option<DMatrix<f64>> {
    let (scaled, scale) = scaled(h);
    let inverse = factor(scaled)?.inverse();
    Some(DMatrix::from_fn(h.nrows(), h.ncols(), |i, j| inverse[(i, j)] * scale[i] * scale[j]))
}

fn scaled(h: &DMatrix<f64>) -> (DMatrix<f64>, Vec<f64>) {
    let scale: Vec<f64> = (0..h.nrows()).map(|i| if h[(i, i)] > 0.0 { 1.0 / h[(i, i)].sqrt() } else { 1.0 }).collect();
    (DMatrix::from_fn(h.nrows(), h.ncols(), |i, j| h[(i, j)] * scale[i] * scale[j]), scale)
}

fn factor(mut scaled: DMatrix<f64>) -> Option<nalgebra::Cholesky<f64, nalgebra::Dyn>> {
    let mut ridge = 1e-12;
    while ridge < 1e-3 {
        for i in 0..scaled.nrows() {
            scaled[(i, i)] += ridge;
        }
        if let Some(cholesky) = scaled.clone().cholesky() {
            return Some(cholesky);
        }
        ridge *= 100.0;
    }
    None
}

/// Minimises ½ xᵀHx - gᵀx with the first `bounded` unknowns held at or above zero (active set on the normal matrix).
/// Returns nothing when the matrix is singular beyond repair.
pub(crate) fn non_negative(h: &DMatrix<f64>, g: &DVector<f64>, bounded: usize) -> Option<DVector<f64>> {
    let size = g.len();
    let mut free = vec![true; size];
    // Each round frees or fixes one unknown; a cycle is cut by this bound and leaves an admissible point.
    for _ in 0..4 * bounded + 4 {
        let index: Vec<usize> = (0..size).filter(|i| free[*i]).collect();
        let sub_h = DMatrix::from_fn(index.len(), index.len(), |i, j| h[(index[i], index[j])]);
        let sub_g = DVector::from_fn(index.len(), |i, _| g[index[i]]);
        let sub = solve(&sub_h, &sub_g)?;
        let mut x = DVector::zeros(size);
        for (place, value) in index.iter().zip(sub.iter()) {
            x[*place] = *value;
        }
        let worst = (0..bounded).filter(|i| x[*i] < 0.0).min_by(|a, b| {
            let depth = |i: usize| x[i] * h[(i, i)].sqrt();
            depth(*a).total_cmp(&depth(*b))
        });
        if let Some(worst) = worst {
            free[worst] = false;
            continue;
        }
        let gradient = g - h * &x;
        let wanted = (0..bounded).filter(|i| !free[*i] && h[(*i, *i)] > 0.0).max_by(|a, b| {
            let pull = |i: usize| gradient[i] / h[(i, i)].sqrt();
            pull(*a).total_cmp(&pull(*b))
        });
        match wanted {
            Some(i) if gradient[i] / h[(i, i)].sqrt() > 1e-6 => free[i] = true,
            _ => return Some(x),
        }
    }
    let index: Vec<usize> = (0..size).filter(|i| free[*i]).collect();
    let sub_h = DMatrix::from_fn(index.len(), index.len(), |i, j| h[(index[i], index[j])]);
    let sub_g = DVector::from_fn(index.len(), |i, _| g[index[i]]);
    let sub = solve(&sub_h, &sub_g)?;
    let mut x = DVector::zeros(size);
    for (place, value) in index.iter().zip(sub.iter()) {
        x[*place] = if *place < bounded { value.max(0.0) } else { *value };
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknowns_that_would_be_negative_are_held_at_zero() {
        let h = DMatrix::from_row_slice(3, 3, &[2.0, 1.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 1.0]);
        let x = non_negative(&h, &DVector::from_vec(vec![4.0, 1.0, -3.0]), 2).unwrap();
        assert!((x[0] - 2.0).abs() < 1e-9 && x[1] == 0.0 && (x[2] + 3.0).abs() < 1e-9, "{x}");
        let free = non_negative(&h, &DVector::from_vec(vec![4.0, 3.5, 1.0]), 2).unwrap();
        assert!((&h * free - DVector::from_vec(vec![4.0, 3.5, 1.0])).norm() < 1e-9);
    }

    #[test]
    fn a_direction_without_information_does_not_stop_the_solution() {
        let h = DMatrix::from_row_slice(2, 2, &[1e12, 0.0, 0.0, 0.0]);
        let x = solve(&h, &DVector::from_vec(vec![1e12, 0.0])).unwrap();
        assert!((x[0] - 1.0).abs() < 1e-9 && x[1].abs() < 1e-9);
    }
}
