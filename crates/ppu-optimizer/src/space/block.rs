//! The numbers that linear constraints tie together: which may be in use, where they may lie, and how they are rounded.

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use crate::space::linear_program::Row;
use crate::space::polytope::{Polytope, is_feasible};

/// Supports whose sets are held ready; others are built when they are drawn.
const READY: usize = 256;
/// Supports that are looked at before a count is taken to be impossible.
const SUPPORTS: usize = 5_000;
/// Relative violation that rounding may leave.
pub(crate) const SLACK: f64 = 1e-7;

/// A count constraint in indices of the block.
#[derive(Debug, Clone)]
pub(crate) struct Count {
    pub(crate) parts: Vec<usize>,
    pub(crate) at_least: usize,
    pub(crate) at_most: usize,
    pub(crate) least: f64,
}

/// A variable of the block: its limits and its step, both in its unit.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub(crate) parameter: usize,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) step: Option<f64>,
}

/// Everything that linear and count constraints say.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) variables: Vec<Variable>,
    /// Rows in natural units.
    pub(crate) rows: Vec<Row>,
    pub(crate) counts: Vec<Count>,
    ready: Vec<(Vec<bool>, Polytope)>,
    any: Vec<bool>,
}

impl Block {
    /// `None` where no point satisfies everything.
    pub(crate) fn new(variables: Vec<Variable>, rows: Vec<Row>, counts: Vec<Count>) -> Option<Block> {
        let mut block = Block { variables, rows, counts, ready: Vec::new(), any: Vec::new() };
        let supports = block.supports(SUPPORTS);
        for support in &supports {
            if block.ready.len() == READY {
                break;
            }
            block.ready.extend(block.build(support).map(|polytope| (support.clone(), polytope)));
        }
        block.any = block.ready.first()?.0.clone();
        Some(block)
    }

    /// Whether any support has a point; what [`Block::new`] finds out, at less cost.
    pub(crate) fn is_possible(variables: &[Variable], rows: &[Row], counts: &[Count]) -> bool {
        let (variables, rows, counts) = (variables.to_vec(), rows.to_vec(), counts.to_vec());
        let block = Block { variables, rows, counts, ready: Vec::new(), any: Vec::new() };
        block
            .supports(SUPPORTS)
            .iter()
            .any(|support| block.limits(support).is_some_and(|limits| is_feasible(&block.scaled_rows(), &limits)))
    }

    /// Up to `most` supports, those with the most parts first.
    fn supports(&self, most: usize) -> Vec<Vec<bool>> {
        let mut found = vec![vec![true; self.variables.len()]];
        for count in &self.counts {
            let mut next = Vec::new();
            for base in &found {
                for size in (count.at_least..=count.at_most.min(count.parts.len())).rev() {
                    let mut chosen: Vec<usize> = (0..size).collect();
                    loop {
                        if next.len() >= most {
                            break;
                        }
                        let mut support = base.clone();
                        count.parts.iter().for_each(|part| support[*part] = false);
                        chosen.iter().for_each(|at| support[count.parts[*at]] = true);
                        next.push(support);
                        if !next_combination(&mut chosen, count.parts.len()) {
                            break;
                        }
                    }
                }
            }
            found = next;
        }
        found
    }

    /// Limits in scaled coordinates under a support; `None` where a part cannot be out of use or has no room in it.
    fn limits(&self, support: &[bool]) -> Option<Vec<(f64, f64)>> {
        let scaled = |at: usize, value: f64| {
            let Variable { min, max, .. } = &self.variables[at];
            (value - min) / (max - min)
        };
        let mut limits = vec![(0.0, 1.0); self.variables.len()];
        for count in &self.counts {
            for part in &count.parts {
                let Variable { min, max, .. } = &self.variables[*part];
                limits[*part] = if support[*part] {
                    (scaled(*part, count.least.max(*min)), 1.0)
                } else {
                    (scaled(*part, 0.0), scaled(*part, 0.0))
                };
                let (low, high) = limits[*part];
                if low < -1e-12 || high < low || count.least > *max {
                    return None;
                }
            }
        }
        Some(limits)
    }

    fn scaled_rows(&self) -> Vec<Row> {
        let scale = |row: &Row| {
            let shift: f64 = row.coefficients.iter().zip(&self.variables).map(|(c, one)| c * one.min).sum();
            let coefficients: Vec<f64> =
                row.coefficients.iter().zip(&self.variables).map(|(c, one)| c * (one.max - one.min)).collect();
            let size = coefficients.iter().fold(0.0_f64, |size, c| size.max(c.abs())).max(1e-300);
            let coefficients = coefficients.into_iter().map(|c| c / size).collect();
            Row { coefficients, bound: (row.bound - shift) / size, equal: row.equal }
        };
        self.rows.iter().map(scale).collect()
    }

    fn build(&self, support: &[bool]) -> Option<Polytope> {
        Polytope::new(&self.scaled_rows(), &self.limits(support)?)
    }

    fn with<T>(&self, support: &[bool], act: impl FnOnce(&Polytope) -> T) -> Option<T> {
        match self.ready.iter().find(|(ready, _)| ready == support) {
            Some((_, polytope)) => Some(act(polytope)),
            None => self.build(support).map(|polytope| act(&polytope)),
        }
    }

    fn to_natural(&self, scaled: &[f64]) -> Vec<f64> {
        scaled.iter().zip(&self.variables).map(|(u, one)| one.min + u * (one.max - one.min)).collect()
    }

    fn to_scaled(&self, natural: &[f64]) -> Vec<f64> {
        natural.iter().zip(&self.variables).map(|(x, one)| (x - one.min) / (one.max - one.min)).collect()
    }

    /// A support: each set of parts that the counts allow is equally likely.
    fn draw_support(&self, rng: &mut ChaCha12Rng) -> Vec<bool> {
        let mut support = vec![true; self.variables.len()];
        for count in &self.counts {
            let sizes: Vec<usize> = (count.at_least..=count.at_most.min(count.parts.len())).collect();
            let weights: Vec<f64> = sizes.iter().map(|size| binomial(count.parts.len(), *size)).collect();
            let mut left = rng.random::<f64>() * weights.iter().sum::<f64>();
            let picked = weights.iter().position(|weight| {
                left -= weight;
                left <= 0.0
            });
            let size = sizes[picked.unwrap_or(sizes.len() - 1)];
            let mut parts = count.parts.clone();
            for at in 0..parts.len() {
                let other = at + (rng.random::<f64>() * (parts.len() - at) as f64) as usize;
                let last = parts.len() - 1;
                parts.swap(at, other.min(last));
                support[parts[at]] = at < size;
            }
        }
        support
    }

    /// A draw: the support uniform among those that have points, then the point uniform in its set.
    pub(crate) fn draw(&self, rng: &mut ChaCha12Rng) -> Vec<f64> {
        for _ in 0..200 {
            let support = self.draw_support(rng);
            if let Some(scaled) = self.with(&support, |polytope| polytope.draw(rng)) {
                return self.to_natural(&scaled);
            }
        }
        let scaled = self.with(&self.any, |polytope| polytope.draw(rng));
        self.to_natural(&scaled.expect("this support was found to have points"))
    }

    /// The support nearest to a point: its largest parts.
    fn support_of(&self, natural: &[f64]) -> Vec<bool> {
        let mut support = vec![true; self.variables.len()];
        for count in &self.counts {
            let mut parts = count.parts.clone();
            parts.sort_by(|a, b| natural[*b].total_cmp(&natural[*a]).then(a.cmp(b)));
            let used = parts.iter().filter(|part| natural[**part] > SLACK * self.variables[**part].max).count();
            let size = used.clamp(count.at_least, count.at_most);
            parts.iter().enumerate().for_each(|(at, part)| support[*part] = at < size);
        }
        support
    }

    /// The nearest point that satisfies everything but the steps. With counts the support is that of the largest parts,
    /// or the first one with points where that one has none.
    pub(crate) fn project(&self, natural: &[f64]) -> Vec<f64> {
        let scaled = self.to_scaled(natural);
        let support = self.support_of(natural);
        let found = self.with(&support, |polytope| polytope.project(&scaled));
        let found = found.or_else(|| self.with(&self.any, |polytope| polytope.project(&scaled)));
        self.to_natural(&found.expect("some support was found to have points"))
    }

    /// A normal step from a point inside, with its support or, one time in four where counts allow it, a changed one.
    pub(crate) fn step(&self, natural: &[f64], width: f64, rng: &mut ChaCha12Rng) -> Vec<f64> {
        let mut support = self.support_of(natural);
        if !self.counts.is_empty() && rng.random::<f64>() < 0.25 {
            let other = self.draw_support(rng);
            let count = &self.counts[(rng.random::<f64>() * self.counts.len() as f64) as usize % self.counts.len()];
            // Exchange one part for one that the other support uses.
            let gone = count.parts.iter().copied().find(|part| support[*part] && !other[*part]);
            let come = count.parts.iter().copied().find(|part| !support[*part] && other[*part]);
            if let (Some(gone), Some(come)) = (gone, come) {
                (support[gone], support[come]) = (false, true);
            }
        }
        let scaled = self.to_scaled(natural);
        let moved = self.with(&support, |polytope| polytope.step(&polytope.project(&scaled), width, rng));
        moved.map_or_else(|| natural.to_vec(), |moved| self.to_natural(&moved))
    }

    /// Whether rounding is a matter of steps alone, and cheap.
    pub(crate) fn is_all_stepped(&self) -> bool {
        self.variables.iter().all(|one| one.step.is_some())
    }

    fn has_steps(&self) -> bool {
        self.variables.iter().any(|one| one.step.is_some())
    }

    /// The point on the steps that satisfies everything, near the given one; `None` where none is found. Where all parts
    /// of a mixture have one step this is the method of the largest remainder.
    pub(crate) fn round(&self, natural: &[f64]) -> Option<Vec<f64>> {
        if !self.has_steps() {
            return Some(natural.to_vec());
        }
        let support = self.support_of(natural);
        if self.is_all_stepped()
            && let Some(found) = self.round_by_remainder(natural, &support)
        {
            return Some(found);
        }
        self.round_one_by_one(natural, &support)
    }

    fn step_limits(&self, at: usize, support: &[bool]) -> (f64, f64) {
        let one = &self.variables[at];
        let count = self.counts.iter().find(|count| count.parts.contains(&at));
        match count {
            Some(_) if !support[at] => (0.0, 0.0),
            Some(count) => (one.min.max(count.least), one.max),
            None => (one.min, one.max),
        }
    }

    /// Nearest multiples, then single steps that mend the largest violation at the least cost.
    fn round_by_remainder(&self, natural: &[f64], support: &[bool]) -> Option<Vec<f64>> {
        let step = |at: usize| self.variables[at].step.unwrap_or(0.0);
        let inside = |at: usize, multiple: f64| {
            let (low, high) = self.step_limits(at, support);
            let slack = 1e-9 * (1.0 + high.abs());
            (low - slack..=high + slack).contains(&(multiple * step(at)))
        };
        let mut multiples: Vec<f64> = (0..natural.len())
            .map(|at| {
                let (low, high) = self.step_limits(at, support);
                let (low, high) = ((low / step(at) - 1e-9).ceil(), (high / step(at) + 1e-9).floor());
                (natural[at] / step(at)).round().min(high).max(low)
            })
            .collect();
        let values =
            |multiples: &[f64]| -> Vec<f64> { (0..multiples.len()).map(|at| multiples[at] * step(at)).collect() };
        for _ in 0..20 * natural.len() {
            let now = self.violation(&values(&multiples));
            if now <= 0.0 {
                let tidy = values(&multiples).into_iter().map(|value| (value * 1e12).round() / 1e12).collect();
                return self.is_inside(&values(&multiples), SLACK).then_some(tidy);
            }
            let mut best: Option<(f64, f64, usize, f64)> = None;
            for at in 0..natural.len() {
                for change in [-1.0, 1.0] {
                    if !inside(at, multiples[at] + change) {
                        continue;
                    }
                    let mut moved = multiples.clone();
                    moved[at] += change;
                    let left = self.violation(&values(&moved));
                    let cost = (moved[at] * step(at) - natural[at]).abs() / step(at);
                    if left < now - 1e-12
                        && best.is_none_or(|(l, c, ..)| {
                            (left, cost) < (l - 1e-12, c) || (left < l + 1e-12 && cost < c - 1e-12)
                        })
                    {
                        best = Some((left, cost, at, change));
                    }
                }
            }
            let (_, _, at, change) = best?;
            multiples[at] += change;
        }
        None
    }

    /// Fixes one stepped variable after the other where the rest can still satisfy everything.
    fn round_one_by_one(&self, natural: &[f64], support: &[bool]) -> Option<Vec<f64>> {
        let (rows, mut limits) = (self.scaled_rows(), self.limits(support)?);
        let mut scaled = self.to_scaled(natural);
        for at in 0..natural.len() {
            let one = &self.variables[at];
            let Some(step) = one.step else { continue };
            let (low, high) = self.step_limits(at, support);
            let value = one.min + scaled[at] * (one.max - one.min);
            let near = (value / step).round();
            let side = if value / step >= near { 1.0 } else { -1.0 };
            let tried = [near, near + side, near - side, near + 2.0 * side, near - 2.0 * side].into_iter();
            let slack = 1e-9 * (1.0 + high.abs());
            let allowed = tried.map(|multiple| multiple * step).filter(|x| (low - slack..=high + slack).contains(x));
            let mut fixed = None;
            for x in allowed {
                let u = ((x - one.min) / (one.max - one.min)).clamp(0.0, 1.0);
                let before = limits[at];
                limits[at] = (u, u);
                if let Some(polytope) = Polytope::new(&rows, &limits) {
                    fixed = Some(polytope);
                    break;
                }
                limits[at] = before;
            }
            scaled = fixed?.project(&scaled);
        }
        let found = self.to_natural(&scaled).into_iter().zip(&self.variables).map(|(value, one)| match one.step {
            Some(step) => ((value / step).round() * step * 1e12).round() / 1e12,
            None => value,
        });
        let found: Vec<f64> = found.collect();
        self.is_inside(&found, SLACK).then_some(found)
    }

    /// Sum of the relative violations of the rows beyond the slack.
    fn violation(&self, natural: &[f64]) -> f64 {
        let one = |row: &Row| {
            let (excess, size) = excess(row, natural);
            let excess = if row.equal { excess.abs() } else { excess };
            if excess > SLACK * size { excess / size } else { 0.0 }
        };
        self.rows.iter().map(one).sum()
    }

    /// Whether a point satisfies rows, limits and counts, with a relative slack.
    pub(crate) fn is_inside(&self, natural: &[f64], slack: f64) -> bool {
        let limits = natural.iter().zip(&self.variables).all(|(x, one)| {
            let slack = slack * (one.max - one.min);
            (one.min - slack..=one.max + slack).contains(x)
        });
        let rows = self.rows.iter().all(|row| is_satisfied(row, natural, slack));
        limits && rows && self.counts.iter().all(|count| self.is_counted(count, natural, slack))
    }

    /// Whether a point satisfies one count.
    pub(crate) fn is_counted(&self, count: &Count, natural: &[f64], slack: f64) -> bool {
        let size = |part: &usize| slack * self.variables[*part].max.abs();
        let used: Vec<&usize> = count.parts.iter().filter(|part| natural[**part] > size(part)).collect();
        let enough = used.iter().all(|part| natural[**part] >= count.least - size(part));
        enough && (count.at_least..=count.at_most).contains(&used.len())
    }
}

/// How far a sum exceeds its bound, and the size by which to judge that.
fn excess(row: &Row, natural: &[f64]) -> (f64, f64) {
    let sum: f64 = row.coefficients.iter().zip(natural).map(|(c, x)| c * x).sum();
    let size: f64 = row.coefficients.iter().zip(natural).map(|(c, x)| (c * x).abs()).sum::<f64>();
    (sum - row.bound, size.max(row.bound.abs()).max(1e-300))
}

/// Whether a point satisfies a row, with a relative slack.
pub(crate) fn is_satisfied(row: &Row, natural: &[f64], slack: f64) -> bool {
    let (excess, size) = excess(row, natural);
    (if row.equal { excess.abs() } else { excess }) <= slack * size
}

fn next_combination(chosen: &mut [usize], count: usize) -> bool {
    let size = chosen.len();
    for at in (0..size).rev() {
        if chosen[at] < count - size + at {
            chosen[at] += 1;
            for later in at + 1..size {
                chosen[later] = chosen[later - 1] + 1;
            }
            return true;
        }
    }
    false
}

fn binomial(count: usize, size: usize) -> f64 {
    (0..size).fold(1.0, |product, at| product * (count - at) as f64 / (at + 1) as f64)
}
