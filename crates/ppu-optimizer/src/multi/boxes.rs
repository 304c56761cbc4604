//! Fronts, their hypervolume, and the region that they do not dominate, cut into boxes. All objectives are maximised.

/// A box: lower and upper corner, the upper one infinite where the region is open.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Lower corner.
    pub lower: Vec<f64>,
    /// Upper corner.
    pub upper: Vec<f64>,
}

/// Whether a is at least as good as b everywhere and better somewhere.
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a >= b) && a.iter().zip(b).any(|(a, b)| a > b)
}

/// Indices of the points that no other dominates, ascending; of equal points the first.
pub fn front(points: &[Vec<f64>]) -> Vec<usize> {
    let beaten = |at: usize| {
        points
            .iter()
            .enumerate()
            .any(|(other, point)| dominates(point, &points[at]) || (other < at && point == &points[at]))
    };
    (0..points.len()).filter(|at| !beaten(*at)).collect()
}

/// Volume that the points dominate above the reference, exactly: slabs of the last objective, recursively.
pub fn hypervolume(points: &[Vec<f64>], reference: &[f64]) -> f64 {
    let above: Vec<&[f64]> = points
        .iter()
        .filter(|point| point.iter().zip(reference).all(|(value, least)| value > least))
        .map(Vec::as_slice)
        .collect();
    volume(&above, reference)
}

fn volume(points: &[&[f64]], reference: &[f64]) -> f64 {
    let last = reference.len() - 1;
    if points.is_empty() {
        return 0.0;
    }
    if last == 0 {
        return points.iter().map(|point| point[0] - reference[0]).fold(0.0, f64::max);
    }
    let mut order: Vec<&[f64]> = points.to_vec();
    order.sort_by(|a, b| b[last].total_cmp(&a[last]));
    if last == 1 {
        // Two objectives: one sweep.
        let (mut sum, mut best) = (0.0, reference[0]);
        for point in order {
            if point[0] > best {
                sum += (point[0] - best) * (point[1] - reference[1]);
                best = point[0];
            }
        }
        return sum;
    }
    let mut sum = 0.0;
    for at in 0..order.len() {
        let bottom = order.get(at + 1).map_or(reference[last], |next| next[last]);
        let height = order[at][last] - bottom;
        if height > 0.0 {
            sum += height * volume(&order[..=at], &reference[..last]);
        }
    }
    sum
}

/// The region above the reference that the points do not dominate, as boxes that do not overlap. Slabs of the last
/// objective, recursively; a box that two neighbouring slabs share is kept as one, so that there are about 2n boxes for
/// three objectives instead of n²/2.
pub fn non_dominated(points: &[Vec<f64>], reference: &[f64]) -> Vec<Cell> {
    let above: Vec<&[f64]> = points
        .iter()
        .filter(|point| point.iter().zip(reference).all(|(value, least)| value > least))
        .map(Vec::as_slice)
        .collect();
    cells(&above, reference)
}

fn cells(points: &[&[f64]], reference: &[f64]) -> Vec<Cell> {
    let last = reference.len() - 1;
    if last == 0 {
        let best = points.iter().map(|point| point[0]).fold(reference[0], f64::max);
        return vec![Cell { lower: vec![best], upper: vec![f64::INFINITY] }];
    }
    let mut levels: Vec<f64> = points.iter().map(|point| point[last]).collect();
    levels.push(reference[last]);
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    let mut open: Vec<Cell> = Vec::new();
    let mut done = Vec::new();
    for (at, bottom) in levels.iter().enumerate() {
        let top = levels.get(at + 1).copied().unwrap_or(f64::INFINITY);
        // In this slab only points that reach above its bottom can dominate.
        let reaching: Vec<&[f64]> = points.iter().copied().filter(|point| point[last] > *bottom).collect();
        let mut next = Vec::new();
        for flat in cells(&reaching, &reference[..last]) {
            let same = |cell: &Cell| cell.lower[..last] == flat.lower[..] && cell.upper[..last] == flat.upper[..];
            match open.iter().position(same) {
                Some(place) => {
                    let mut cell = open.swap_remove(place);
                    cell.upper[last] = top;
                    next.push(cell);
                }
                None => {
                    let (mut lower, mut upper) = (flat.lower, flat.upper);
                    lower.push(*bottom);
                    upper.push(top);
                    next.push(Cell { lower, upper });
                }
            }
        }
        done.append(&mut open);
        open = next;
    }
    done.append(&mut open);
    done
}

/// The reference point that is used where none is given: a tenth of the front's extent below its worst values; where the
/// front has no extent in an objective, a tenth of the size of its value.
pub fn inferred_reference(points: &[Vec<f64>]) -> Vec<f64> {
    let best: Vec<&Vec<f64>> = front(points).into_iter().map(|at| &points[at]).collect();
    let objectives = points.first().map_or(0, Vec::len);
    (0..objectives)
        .map(|m| {
            let low = best.iter().map(|point| point[m]).fold(f64::INFINITY, f64::min);
            let high = best.iter().map(|point| point[m]).fold(f64::NEG_INFINITY, f64::max);
            let extent = if high > low { high - low } else { high.abs().max(1e-9) };
            low - 0.1 * extent
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha12Rng;

    use super::*;

    fn cloud(count: usize, objectives: usize, seed: u64) -> Vec<Vec<f64>> {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        (0..count)
            .map(|_| {
                let raw: Vec<f64> = (0..objectives).map(|_| rng.random::<f64>() + 0.05).collect();
                let length = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
                raw.iter().map(|x| x / length).collect()
            })
            .collect()
    }

    #[test]
    fn known_volumes() {
        let staircase = vec![vec![1.0, 3.0], vec![2.0, 2.0], vec![3.0, 1.0], vec![0.5, 0.5]];
        assert_eq!(hypervolume(&staircase, &[0.0, 0.0]), 6.0);
        assert_eq!(front(&staircase), [0, 1, 2]);
        let cubes = vec![vec![2.0, 1.0, 1.0], vec![1.0, 2.0, 1.0], vec![1.0, 1.0, 2.0]];
        assert_eq!(hypervolume(&cubes, &[0.0; 3]), 4.0);
        assert_eq!(hypervolume(&cubes, &[5.0; 3]), 0.0);
    }

    #[test]
    fn boxes_tile_exactly_what_is_not_dominated() {
        for objectives in 2..=4 {
            let points = cloud(12, objectives, objectives as u64);
            let reference = vec![0.0; objectives];
            let cells = non_dominated(&points, &reference);
            // Inside the unit cube, boxes and dominated volume fill the whole.
            let free: f64 = cells
                .iter()
                .map(|cell| {
                    let sides = cell.lower.iter().zip(&cell.upper);
                    sides.map(|(low, high)| (high.min(1.0) - low).max(0.0)).product::<f64>()
                })
                .sum();
            assert!((free + hypervolume(&points, &reference) - 1.0).abs() < 1e-12, "{objectives} {free}");
            let mut rng = ChaCha12Rng::seed_from_u64(9);
            for _ in 0..300 {
                let x: Vec<f64> = (0..objectives).map(|_| 1.3 * rng.random::<f64>()).collect();
                let inside =
                    |cell: &&Cell| x.iter().zip(cell.lower.iter().zip(&cell.upper)).all(|(x, (l, u))| x > l && x <= u);
                let free = !points.iter().any(|point| point.iter().zip(&x).all(|(p, x)| p >= x));
                assert_eq!(cells.iter().filter(inside).count(), usize::from(free));
            }
        }
    }

    #[test]
    fn three_objectives_need_few_boxes() {
        let points = cloud(30, 3, 5);
        let count = non_dominated(&points, &[0.0; 3]).len();
        assert!(count <= 100, "{count}");
    }
}
