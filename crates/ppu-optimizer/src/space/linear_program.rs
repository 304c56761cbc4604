//! A dense two-phase simplex method with Bland's rule, for the few variables that constraints of a space tie together.

/// Numbers smaller than this are 0 in a tableau whose entries are of order 1.
const ZERO: f64 = 1e-10;
/// Sum of artificial variables below which a program counts as feasible.
const FEASIBLE: f64 = 1e-8;

/// A row of a program: Σ coefficient · x ≤ bound, or = bound.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) coefficients: Vec<f64>,
    pub(crate) bound: f64,
    pub(crate) equal: bool,
}

struct Tableau {
    /// One row a constraint, the bound last.
    rows: Vec<Vec<f64>>,
    basis: Vec<usize>,
}

impl Tableau {
    fn pivot(&mut self, row: usize, column: usize, cost: &mut [f64]) {
        let scale = 1.0 / self.rows[row][column];
        self.rows[row].iter_mut().for_each(|value| *value *= scale);
        let pivot_row = self.rows[row].clone();
        for (at, other) in self.rows.iter_mut().enumerate() {
            let factor = other[column];
            if at != row && factor != 0.0 {
                other.iter_mut().zip(&pivot_row).for_each(|(value, pivot)| *value -= factor * pivot);
            }
        }
        let factor = cost[column];
        cost.iter_mut().zip(&pivot_row).for_each(|(value, pivot)| *value -= factor * pivot);
        self.basis[row] = column;
    }

    /// Pivots until no reduced cost among the first `columns` is negative; `false` where the program is unbounded.
    fn minimise(&mut self, cost: &mut [f64], columns: usize) -> bool {
        // Bland's rule cannot cycle; the bound only guards against rounding.
        for _ in 0..10_000 {
            let Some(column) = (0..columns).find(|at| cost[*at] < -ZERO) else { return true };
            let last = cost.len() - 1;
            let ratios = self.rows.iter().enumerate().filter(|(_, row)| row[column] > ZERO);
            let leaving = ratios.map(|(at, row)| (row[last] / row[column], self.basis[at], at)).reduce(|best, next| {
                let better = next.0 < best.0 - 1e-13 || (next.0 <= best.0 + 1e-13 && next.1 < best.1);
                if better { next } else { best }
            });
            let Some((_, _, row)) = leaving else { return false };
            self.pivot(row, column, cost);
        }
        true
    }
}

/// The largest value of `objective · x` over x ≥ 0 that satisfy the rows, and such an x; `None` where no x does. The
/// caller's rows bound every direction in which the objective grows.
pub(crate) fn maximise(objective: &[f64], rows: &[Row]) -> Option<(f64, Vec<f64>)> {
    let variables = objective.len();
    let slacks = rows.iter().filter(|row| !row.equal).count();
    // Every row gets an artificial variable: simpler than finding out which could do without.
    let (first_artificial, width) = (variables + slacks, variables + slacks + rows.len() + 1);
    let mut tableau = Tableau { rows: Vec::new(), basis: Vec::new() };
    let mut slack = variables;
    for (at, row) in rows.iter().enumerate() {
        let mut line = vec![0.0; width];
        line[..variables].copy_from_slice(&row.coefficients);
        line[width - 1] = row.bound;
        if !row.equal {
            line[slack] = 1.0;
            slack += 1;
        }
        if row.bound < 0.0 {
            line.iter_mut().for_each(|value| *value = -*value);
        }
        line[first_artificial + at] = 1.0;
        tableau.basis.push(first_artificial + at);
        tableau.rows.push(line);
    }
    let mut cost = vec![0.0; width];
    for row in &tableau.rows {
        cost.iter_mut().zip(row).for_each(|(cost, value)| *cost -= value);
    }
    cost[first_artificial..width - 1].fill(0.0);
    tableau.minimise(&mut cost, first_artificial);
    if -cost[width - 1] > FEASIBLE {
        return None;
    }
    // Artificial variables that are still basic are 0; they leave where any real column can replace them.
    for row in 0..tableau.rows.len() {
        if tableau.basis[row] >= first_artificial
            && let Some(column) = (0..first_artificial).find(|at| tableau.rows[row][*at].abs() > 1e-7)
        {
            tableau.pivot(row, column, &mut cost);
        }
    }
    let mut cost = vec![0.0; width];
    cost[..variables].iter_mut().zip(objective).for_each(|(cost, value)| *cost = -value);
    for (row, basic) in tableau.rows.iter().zip(&tableau.basis) {
        let factor = cost[*basic];
        cost.iter_mut().zip(row).for_each(|(cost, value)| *cost -= factor * value);
    }
    tableau.minimise(&mut cost, first_artificial);
    let mut x = vec![0.0; variables];
    for (row, basic) in tableau.rows.iter().zip(&tableau.basis) {
        if *basic < variables {
            x[*basic] = row[width - 1];
        }
    }
    let value = x.iter().zip(objective).map(|(x, c)| x * c).sum();
    Some((value, x))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(coefficients: &[f64], bound: f64, equal: bool) -> Row {
        Row { coefficients: coefficients.to_vec(), bound, equal }
    }

    #[test]
    fn corners_of_known_programs() {
        // Dantzig's furniture example: 3x + 5y under x ≤ 4, 2y ≤ 12, 3x + 2y ≤ 18 is 36 at (2, 6).
        let rows = [row(&[1.0, 0.0], 4.0, false), row(&[0.0, 2.0], 12.0, false), row(&[3.0, 2.0], 18.0, false)];
        let (value, x) = maximise(&[3.0, 5.0], &rows).unwrap();
        assert!((value - 36.0).abs() < 1e-9 && (x[0] - 2.0).abs() < 1e-9 && (x[1] - 6.0).abs() < 1e-9, "{x:?}");
        // With an equality and a bound from below: x + y = 1, x ≥ 0.3.
        let rows = [row(&[1.0, 1.0], 1.0, true), row(&[-1.0, 0.0], -0.3, false)];
        let (value, _) = maximise(&[-1.0, 0.0], &rows).unwrap();
        assert!((value + 0.3).abs() < 1e-9);
        let rows = [row(&[1.0, 1.0], 1.0, true), row(&[1.0, 1.0], 0.9, false)];
        assert!(maximise(&[0.0, 0.0], &rows).is_none());
    }
}
