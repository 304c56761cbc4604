//! A seeded random forest with out-of-bag predictions: the member of a committee that no length scale can mislead.
//!
//! Breiman, Mach. Learn. 45, 5 (2001): bootstrap samples, full-depth regression trees, all coordinates at every split.

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

/// Trees. The sd over trees is known to 7 % with 100.
const TREES: usize = 100;
/// Rows of one bootstrap sample at most: enough for the trees of thousands of rows to differ in detail only.
const SAMPLE: usize = 1000;

/// One node; children are numbers of nodes in the same tree.
#[derive(Debug, Clone, Copy)]
enum Node {
    Leaf(f64),
    Split { coordinate: usize, threshold: f64, below: usize, above: usize },
}

/// A fitted forest.
#[derive(Debug, Clone)]
pub struct Forest {
    dimensions: usize,
    trees: Vec<Vec<Node>>,
    /// Out-of-bag mean and variance over trees of each row; `None` where every tree has seen it.
    out_of_bag: Vec<Option<(f64, f64)>>,
}

impl Forest {
    /// A forest on rows of `dimensions` coordinates, one after the other in `rows`, with one value each. The same generator
    /// gives the same forest.
    pub fn fit(rows: &[f64], dimensions: usize, values: &[f64], rng: &mut ChaCha12Rng) -> Forest {
        let count = values.len();
        let mut trees = Vec::with_capacity(TREES);
        let (mut sum, mut square, mut seen) = (vec![0.0; count], vec![0.0; count], vec![0.0_f64; count]);
        let mut drawn = vec![false; count];
        for _ in 0..TREES {
            drawn.fill(false);
            let mut sample: Vec<usize> = (0..count.min(SAMPLE)).map(|_| rng.random_range(0..count.max(1))).collect();
            sample.iter().for_each(|row| drawn[*row] = true);
            let mut tree = Vec::new();
            if !sample.is_empty() {
                grow(rows, dimensions, values, &mut sample, &mut tree);
            }
            for row in (0..count).filter(|row| !drawn[*row]) {
                let value = descend(&tree, &rows[row * dimensions..(row + 1) * dimensions]);
                sum[row] += value;
                square[row] += value * value;
                seen[row] += 1.0;
            }
            trees.push(tree);
        }
        let out_of_bag = (0..count).map(|row| moments(sum[row], square[row], seen[row])).collect();
        Forest { dimensions, trees, out_of_bag }
    }

    /// Mean and standard deviation over the trees at a point.
    pub fn predict(&self, point: &[f64]) -> (f64, f64) {
        let (mut sum, mut square) = (0.0, 0.0);
        for tree in &self.trees {
            let value = descend(tree, point);
            sum += value;
            square += value * value;
        }
        let (mean, variance) = moments(sum, square, self.trees.len() as f64).unwrap_or((0.0, 0.0));
        (mean, variance.sqrt())
    }

    /// Like [`Forest::predict`] for many points, coordinates one point after the other.
    pub(crate) fn predict_rows(&self, rows: &[f64], out: &mut Vec<(f64, f64)>) {
        out.clear();
        out.extend(rows.chunks_exact(self.dimensions).map(|point| self.predict(point)));
    }

    /// Mean and variance over the trees that have not seen a row, for every row that was fitted.
    pub fn out_of_bag(&self) -> &[Option<(f64, f64)>] {
        &self.out_of_bag
    }
}

fn moments(sum: f64, square: f64, count: f64) -> Option<(f64, f64)> {
    let mean = sum / count;
    (count > 0.0).then(|| (mean, (square / count - mean * mean).max(0.0)))
}

fn descend(tree: &[Node], point: &[f64]) -> f64 {
    let mut at = 0;
    loop {
        match tree.get(at) {
            Some(Node::Split { coordinate, threshold, below, above }) => {
                at = if point[*coordinate] <= *threshold { *below } else { *above };
            }
            Some(Node::Leaf(value)) => return *value,
            None => return 0.0,
        }
    }
}

/// Grows the tree of a sample, depth first, and returns the number of its root.
fn grow(rows: &[f64], dimensions: usize, values: &[f64], sample: &mut [usize], tree: &mut Vec<Node>) -> usize {
    let node = tree.len();
    let mean = sample.iter().map(|row| values[*row]).sum::<f64>() / sample.len() as f64;
    tree.push(Node::Leaf(mean));
    if let Some((coordinate, threshold)) = best_split(rows, dimensions, values, sample) {
        let middle = partition(sample, |row| rows[row * dimensions + coordinate] <= threshold);
        let (first, second) = sample.split_at_mut(middle);
        let below = grow(rows, dimensions, values, first, tree);
        let above = grow(rows, dimensions, values, second, tree);
        tree[node] = Node::Split { coordinate, threshold, below, above };
    }
    node
}

/// Moves the rows of the lower side to the front and returns their number.
fn partition(sample: &mut [usize], lower: impl Fn(usize) -> bool) -> usize {
    let mut middle = 0;
    for at in 0..sample.len() {
        if lower(sample[at]) {
            sample.swap(at, middle);
            middle += 1;
        }
    }
    middle
}

/// The coordinate and threshold that lower the squared error most; ties go to the earlier coordinate. `None` where the
/// values are equal or no coordinate differs.
fn best_split(rows: &[f64], dimensions: usize, values: &[f64], sample: &[usize]) -> Option<(usize, f64)> {
    let first = values[*sample.first()?];
    if sample.iter().all(|row| values[*row] == first) {
        return None;
    }
    let total: f64 = sample.iter().map(|row| values[*row]).sum();
    let mut best: Option<(f64, usize, f64)> = None;
    let mut order: Vec<(f64, f64)> = Vec::with_capacity(sample.len());
    for coordinate in 0..dimensions {
        order.clear();
        order.extend(sample.iter().map(|row| (rows[row * dimensions + coordinate], values[*row])));
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut below = 0.0;
        for at in 1..order.len() {
            below += order[at - 1].1;
            let (low, high) = (order[at - 1].0, order[at].0);
            if low == high {
                continue;
            }
            let (left, right) = (at as f64, (order.len() - at) as f64);
            // The squared error falls by this, up to a constant.
            let gain = below * below / left + (total - below).powi(2) / right;
            if best.is_none_or(|(highest, ..)| gain > highest + 1e-12 * highest.abs()) {
                let middle = 0.5 * (low + high);
                best = Some((gain, coordinate, if middle < high { middle } else { low }));
            }
        }
    }
    best.map(|(_, coordinate, threshold)| (coordinate, threshold))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn data() -> (Vec<f64>, Vec<f64>) {
        let rows: Vec<f64> = (0..120).map(|at| ((at * 37) % 101) as f64 / 101.0).collect();
        let values = rows.chunks_exact(2).map(|x| if x[0] < 0.5 { 1.0 } else { 3.0 } + 0.1 * x[1]).collect();
        (rows, values)
    }

    #[test]
    fn it_learns_a_step_and_is_the_same_for_the_same_seed() {
        let (rows, values) = data();
        let forest = Forest::fit(&rows, 2, &values, &mut ChaCha12Rng::seed_from_u64(1));
        assert!((forest.predict(&[0.2, 0.5]).0 - 1.05).abs() < 0.1);
        assert!((forest.predict(&[0.8, 0.5]).0 - 3.05).abs() < 0.1);
        let again = Forest::fit(&rows, 2, &values, &mut ChaCha12Rng::seed_from_u64(1));
        assert_eq!(forest.predict(&[0.49, 0.1]), again.predict(&[0.49, 0.1]));
        let error: f64 = forest.out_of_bag().iter().zip(&values).map(|(o, y)| (o.unwrap().0 - y).abs()).sum();
        assert!(error / 60.0 < 0.2, "{error}");
    }

    #[test]
    fn degenerate_data_are_leaves() {
        let mut rng = ChaCha12Rng::seed_from_u64(2);
        assert_eq!(Forest::fit(&[0.5, 0.5, 0.5], 1, &[1.0, 2.0, 3.0], &mut rng).trees[0].len(), 1);
        assert_eq!(Forest::fit(&[0.1, 0.5, 0.7], 1, &[2.0; 3], &mut rng).predict(&[0.3]), (2.0, 0.0));
        assert_eq!(Forest::fit(&[0.1], 1, &[2.0], &mut rng).predict(&[0.3]).0, 2.0);
        assert_eq!(Forest::fit(&[], 1, &[], &mut rng).predict(&[0.3]).0, 0.0);
    }
}
