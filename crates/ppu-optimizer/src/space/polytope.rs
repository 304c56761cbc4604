//! The set of numbers that linear constraints allow: its centre, uniform draws from it, and projection onto it.

use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use crate::normal::quantile;
use crate::space::linear_program::{Row, maximise};

/// Half-width below which a set is taken to be flat in a direction.
const FLAT: f64 = 1e-9;

/// A non-empty set { u : rows hold, low ≤ u ≤ high } in coordinates whose ranges are of order 1. It is held as an interior
/// point and a basis of the directions that equalities leave open, so that every point it gives satisfies them to
/// rounding.
#[derive(Debug, Clone)]
pub(crate) struct Polytope {
    /// Interior point: centre of the largest ball inside (Chebyshev).
    centre: DVector<f64>,
    /// Columns are orthonormal open directions.
    basis: DMatrix<f64>,
    /// Inequalities in open directions: `walls · z ≤ room`, room above 0.
    walls: DMatrix<f64>,
    room: DVector<f64>,
}

/// All rows: those given and the limits.
fn with_limits(rows: &[Row], limits: &[(f64, f64)]) -> Vec<Row> {
    let mut all = rows.to_vec();
    for (at, (low, high)) in limits.iter().enumerate() {
        let mut unit = vec![0.0; limits.len()];
        unit[at] = 1.0;
        if high - low <= FLAT {
            all.push(Row { coefficients: unit, bound: 0.5 * (low + high), equal: true });
            continue;
        }
        all.push(Row { coefficients: unit.clone(), bound: *high, equal: false });
        all.push(Row { coefficients: unit.iter().map(|one| -one).collect(), bound: -low, equal: false });
    }
    all
}

/// Whether any point satisfies the rows within limits that are not negative.
pub(crate) fn is_feasible(rows: &[Row], limits: &[(f64, f64)]) -> bool {
    maximise(&vec![0.0; limits.len()], &with_limits(rows, limits)).is_some()
}

impl Polytope {
    /// The set of these rows and limits (all at least 0); `None` where it is empty.
    pub(crate) fn new(rows: &[Row], limits: &[(f64, f64)]) -> Option<Polytope> {
        let mut rows = with_limits(rows, limits);
        // Inequalities that leave no room are equalities in disguise; each round finds at least one.
        for _ in 0..=rows.len() {
            let basis = open_directions(&rows, limits.len());
            let (radius, point) = widest_ball(&rows, &basis, limits.len())?;
            if radius > FLAT || basis.ncols() == 0 {
                return Some(Self::assemble(&rows, basis, point));
            }
            let mut found = false;
            for at in 0..rows.len() {
                if rows[at].equal {
                    continue;
                }
                let reversed: Vec<f64> = rows[at].coefficients.iter().map(|value| -value).collect();
                let (value, _) = maximise(&reversed, &rows)?;
                if rows[at].bound + value <= 10.0 * FLAT {
                    rows[at].equal = true;
                    found = true;
                }
            }
            if !found {
                return Some(Self::assemble(&rows, basis, point));
            }
        }
        None
    }

    fn assemble(rows: &[Row], basis: DMatrix<f64>, point: Vec<f64>) -> Polytope {
        let centre = DVector::from_vec(point);
        let mut walls = Vec::new();
        let mut room = Vec::new();
        for row in rows.iter().filter(|row| !row.equal) {
            let normal = DVector::from_column_slice(&row.coefficients);
            let inside = basis.transpose() * &normal;
            // A row without an open direction cannot be violated.
            let length = inside.norm();
            if length > 1e-12 {
                walls.push((inside / length).transpose());
                room.push(((row.bound - normal.dot(&centre)) / length).max(0.0));
            }
        }
        let walls = if walls.is_empty() { DMatrix::zeros(0, basis.ncols()) } else { DMatrix::from_rows(&walls) };
        Polytope { centre, basis, walls, room: DVector::from_vec(room) }
    }

    /// The centre of the largest ball inside.
    pub(crate) fn centre(&self) -> Vec<f64> {
        self.centre.iter().copied().collect()
    }

    /// Number of directions that are open.
    pub(crate) fn dimensions(&self) -> usize {
        self.basis.ncols()
    }

    fn at(&self, z: &DVector<f64>) -> Vec<f64> {
        (&self.centre + &self.basis * z).iter().copied().collect()
    }

    /// The range of t for which z + t · direction stays inside.
    fn chord(&self, z: &DVector<f64>, direction: &DVector<f64>) -> (f64, f64) {
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        let (at, slope) = (&self.walls * z, &self.walls * direction);
        for ((at, slope), room) in at.iter().zip(slope.iter()).zip(self.room.iter()) {
            let left = (room - at).max(0.0);
            if *slope > 1e-14 {
                high = high.min(left / slope);
            } else if *slope < -1e-14 {
                low = low.max(left / slope);
            }
        }
        (low, high)
    }

    /// A uniform draw: hit-and-run (Smith 1984) from the centre. The number of steps grows with the square of the
    /// dimension as its mixing time does.
    pub(crate) fn draw(&self, rng: &mut ChaCha12Rng) -> Vec<f64> {
        let dimensions = self.dimensions();
        let mut z = DVector::zeros(dimensions);
        if dimensions == 0 {
            return self.at(&z);
        }
        for _ in 0..20 + 4 * dimensions * dimensions {
            z = self.hit(&z, rng);
        }
        self.at(&z)
    }

    fn hit(&self, z: &DVector<f64>, rng: &mut ChaCha12Rng) -> DVector<f64> {
        let direction = normal_vector(z.len(), rng);
        let (low, high) = self.chord(z, &direction);
        let t = low + (high - low) * rng.random::<f64>();
        if t.is_finite() { z + direction * t } else { z.clone() }
    }

    /// A step of normal width from a point inside, cut at the walls.
    pub(crate) fn step(&self, from: &[f64], width: f64, rng: &mut ChaCha12Rng) -> Vec<f64> {
        if self.dimensions() == 0 {
            return self.centre();
        }
        let from = DVector::from_column_slice(from) - &self.centre;
        let z = self.pulled_in(self.basis.transpose() * from);
        let direction = normal_vector(z.len(), rng) * width;
        let (low, high) = self.chord(&z, &direction);
        let t = 1.0_f64.clamp(low.min(0.0), high.max(0.0));
        self.at(&(z + direction * t))
    }

    /// Draws towards the centre until inside: exact where a projection is so up to rounding.
    fn pulled_in(&self, z: DVector<f64>) -> DVector<f64> {
        let along = &self.walls * &z;
        let excess = along.iter().zip(self.room.iter()).filter(|(along, _)| **along > 0.0);
        let shrink = excess.map(|(along, room)| room / along).fold(1.0, f64::min);
        z * shrink
    }

    /// The nearest point inside: Dykstra's alternating projections in the open directions.
    pub(crate) fn project(&self, point: &[f64]) -> Vec<f64> {
        let target = DVector::from_column_slice(point) - &self.centre;
        let mut z = self.basis.transpose() * target;
        let count = self.walls.nrows();
        let mut corrections = vec![0.0; count];
        // Each sweep shortens the error by a constant factor; far more sweeps than the few constraints here need.
        for _ in 0..2_000 {
            let mut change = 0.0_f64;
            for (at, correction) in corrections.iter_mut().enumerate() {
                let wall = self.walls.row(at).transpose();
                let shifted = &z + &wall * *correction;
                let excess = (wall.dot(&shifted) - self.room[at]).max(0.0);
                let next = shifted - &wall * excess;
                change = change.max((&next - &z).amax());
                z = next;
                *correction = excess;
            }
            if change < 1e-13 {
                break;
            }
        }
        self.at(&self.pulled_in(z))
    }
}

/// Orthonormal directions that change no equality.
fn open_directions(rows: &[Row], dimensions: usize) -> DMatrix<f64> {
    let equal: Vec<DVector<f64>> =
        rows.iter().filter(|row| row.equal).map(|row| DVector::from_column_slice(&row.coefficients)).collect();
    let mut closed: Vec<DVector<f64>> = Vec::new();
    let independent = |vector: DVector<f64>, taken: &[DVector<f64>]| {
        let length = vector.norm();
        let mut rest = vector;
        // Twice is enough (Kahan and Parlett).
        for _ in 0..2 {
            for other in taken {
                let along = other.dot(&rest);
                rest -= other * along;
            }
        }
        (rest.norm() > 1e-9 * length.max(1e-300)).then(|| rest.normalize())
    };
    for vector in equal {
        closed.extend(independent(vector, &closed));
    }
    let first_open = closed.len();
    for at in 0..dimensions {
        if closed.len() == dimensions {
            break;
        }
        let mut unit = DVector::zeros(dimensions);
        unit[at] = 1.0;
        if let Some(direction) = independent(unit, &closed) {
            closed.push(direction);
        }
    }
    let open = &closed[first_open..];
    if open.is_empty() { DMatrix::zeros(dimensions, 0) } else { DMatrix::from_columns(open) }
}

/// Radius and centre of the widest ball inside, measured in open directions; `None` where nothing is inside.
fn widest_ball(rows: &[Row], basis: &DMatrix<f64>, dimensions: usize) -> Option<(f64, Vec<f64>)> {
    let with_radius = rows.iter().map(|row| {
        let normal = DVector::from_column_slice(&row.coefficients);
        let length = if row.equal { 0.0 } else { (basis.transpose() * normal).norm() };
        let mut coefficients = row.coefficients.clone();
        coefficients.push(length);
        Row { coefficients, bound: row.bound, equal: row.equal }
    });
    let mut rows: Vec<Row> = with_radius.collect();
    // Without this a space without walls would have an endless ball.
    let mut cap = vec![0.0; dimensions + 1];
    cap[dimensions] = 1.0;
    rows.push(Row { coefficients: cap.clone(), bound: 10.0, equal: false });
    let (radius, mut point) = maximise(&cap, &rows)?;
    point.truncate(dimensions);
    Some((radius, point))
}

fn normal_vector(dimensions: usize, rng: &mut ChaCha12Rng) -> DVector<f64> {
    DVector::from_fn(dimensions, |_, _| quantile(rng.random::<f64>().clamp(1e-12, 1.0 - 1e-12)))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn sum_to(total: f64, count: usize) -> Row {
        Row { coefficients: vec![1.0; count], bound: total, equal: true }
    }

    /// Projection onto { Σx = t, l ≤ x ≤ u } by bisection of the multiplier.
    fn bisected(v: &[f64], limits: &[(f64, f64)], total: f64) -> Vec<f64> {
        let at = |lambda: f64| -> Vec<f64> {
            v.iter().zip(limits).map(|(v, (low, high))| (v - lambda).clamp(*low, *high)).collect()
        };
        let (mut low, mut high) = (-10.0, 10.0);
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if at(middle).iter().sum::<f64>() > total { low = middle } else { high = middle }
        }
        at(low)
    }

    #[test]
    fn projection_onto_a_bounded_simplex_is_the_nearest_point() {
        let limits = [(0.1, 0.7), (0.0, 0.5), (0.05, 0.6), (0.0, 1.0)];
        let polytope = Polytope::new(&[sum_to(1.0, 4)], &limits).unwrap();
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        for _ in 0..50 {
            let point: Vec<f64> = (0..4).map(|_| 3.0 * rng.random::<f64>() - 1.0).collect();
            let (found, wanted) = (polytope.project(&point), bisected(&point, &limits, 1.0));
            assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-7), "{found:?} {wanted:?}");
            assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn draws_from_a_simplex_are_uniform() {
        let polytope = Polytope::new(&[sum_to(1.0, 4)], &[(0.0, 1.0); 4]).unwrap();
        let mut rng = ChaCha12Rng::seed_from_u64(2);
        let draws: Vec<Vec<f64>> = (0..4000).map(|_| polytope.draw(&mut rng)).collect();
        for part in 0..4 {
            // A part of a uniform mixture of four has the distribution 1 − (1 − x)³.
            let below = |x: f64| draws.iter().filter(|draw| draw[part] < x).count() as f64 / 4000.0;
            for x in [0.1_f64, 0.25, 0.5] {
                let wanted = 1.0 - (1.0 - x).powi(3);
                assert!((below(x) - wanted).abs() < 0.03, "{part} {x} {} {wanted}", below(x));
            }
        }
    }

    #[test]
    fn flat_and_empty_sets_are_found_out() {
        let twice = [
            Row { coefficients: vec![1.0, 1.0], bound: 1.0, equal: false },
            Row { coefficients: vec![-1.0, -1.0], bound: -1.0, equal: false },
        ];
        let line = Polytope::new(&twice, &[(0.0, 1.0); 2]).unwrap();
        assert_eq!(line.dimensions(), 1);
        let apart = [sum_to(1.0, 2), sum_to(1.5, 2)];
        assert!(!is_feasible(&apart, &[(0.0, 1.0); 2]));
        assert!(Polytope::new(&apart, &[(0.0, 1.0); 2]).is_none());
        let corner = Polytope::new(&[sum_to(2.0, 2)], &[(0.0, 1.0); 2]).unwrap();
        assert!(corner.draw(&mut ChaCha12Rng::seed_from_u64(3)).iter().all(|u| (u - 1.0).abs() < 1e-9));
    }
}
