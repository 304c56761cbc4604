//! Finite pools of candidates that are walked through in bounded memory.

use crate::space::definition::Design;
use crate::space::domain::{Domain, Values};
use crate::space::error::DesignError;

/// Candidates that are scored together: large enough for block algebra, small enough for a cache.
pub const BLOCK: usize = 1_024;

/// A finite set of candidates by number. Rows are made when they are asked for and never kept.
pub trait Pool {
    /// How many numbers there are. Some may stand for no candidate.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Columns of a row.
    fn width(&self) -> usize;

    /// Appends the columns of a candidate; `false` and nothing appended where its number stands for none, such as a
    /// combination that a constraint forbids.
    fn row(&self, number: usize, into: &mut Vec<f64>) -> bool;
}

/// Rows that are held in one table.
#[derive(Debug, Clone)]
pub struct TablePool {
    rows: Vec<f64>,
    width: usize,
}

impl TablePool {
    /// A pool of designs of a domain. An error names the number of the design that does not belong to it.
    pub fn of(domain: &Domain, designs: &[Design]) -> Result<TablePool, (usize, DesignError)> {
        let width = domain.features().len();
        let mut rows = Vec::with_capacity(designs.len() * width);
        for (number, design) in designs.iter().enumerate() {
            rows.extend(domain.encode(design).map_err(|error| (number, error))?);
        }
        Ok(TablePool { rows, width })
    }

    /// A pool of rows, one after the other. `None` unless the width is above 0 and divides their length.
    pub fn from_rows(rows: Vec<f64>, width: usize) -> Option<TablePool> {
        (width > 0 && rows.len().is_multiple_of(width)).then_some(TablePool { rows, width })
    }
}

impl Pool for TablePool {
    fn len(&self) -> usize {
        self.rows.len() / self.width
    }

    fn width(&self) -> usize {
        self.width
    }

    fn row(&self, number: usize, into: &mut Vec<f64>) -> bool {
        into.extend_from_slice(&self.rows[number * self.width..(number + 1) * self.width]);
        true
    }
}

/// Every combination of the values of a discrete domain, made one by one: numbers are read as digits of a mixed radix, the
/// last parameter changing fastest.
#[derive(Debug, Clone)]
pub struct ProductPool<'a> {
    domain: &'a Domain,
    counts: Vec<usize>,
    length: usize,
    /// Columns of every value of every parameter; `plain` where constraints and conditions leave all combinations.
    tables: Vec<Vec<Vec<f64>>>,
    plain: bool,
}

impl<'a> ProductPool<'a> {
    /// The pool of all designs of a domain; `None` where a parameter is a continuum or there are too many to count.
    pub fn new(domain: &'a Domain) -> Option<ProductPool<'a>> {
        let counts: Vec<usize> = domain.encoders.iter().map(|encoder| encoder.count()).collect::<Option<_>>()?;
        let length = counts.iter().try_fold(1_usize, |product, count| product.checked_mul(*count))?;
        let table = |(encoder, count): (&crate::space::encode::Encoder, &usize)| {
            let row = |at: usize| {
                let mut row = Vec::new();
                encoder.encode(Some(encoder.value(at)), &mut row);
                row
            };
            (0..*count).map(row).collect()
        };
        let tables = domain.encoders.iter().zip(&counts).map(table).collect();
        let plain = domain.block.is_none() && domain.forbidden.is_empty() && domain.parents.iter().all(Option::is_none);
        Some(ProductPool { domain, counts, length, tables, plain })
    }

    /// The design of a number; `None` where it stands for none.
    pub fn design(&self, number: usize) -> Option<Design> {
        self.values(number).map(|values| self.domain.design(&values))
    }

    /// The number of values; `None` where they are off the steps.
    pub(crate) fn number(&self, values: &[f64]) -> Option<usize> {
        let mut number = 0;
        for ((encoder, count), value) in self.domain.encoders.iter().zip(&self.counts).zip(values) {
            // Steps are even, so that the place follows from the first two values.
            let first = encoder.value(0);
            let step = if *count > 1 { encoder.value(1) - first } else { 1.0 };
            let place = ((value - first) / step).round();
            if place < 0.0
                || place >= *count as f64
                || (encoder.value(place as usize) - value).abs() > 1e-9 * step.abs()
            {
                return None;
            }
            number = number * count + place as usize;
        }
        Some(number)
    }

    pub(crate) fn values(&self, number: usize) -> Option<Values> {
        let mut values = vec![0.0; self.counts.len()];
        let mut left = number;
        for at in (0..self.counts.len()).rev() {
            values[at] = self.domain.encoders[at].value(left % self.counts[at]);
            left /= self.counts[at];
        }
        if self.plain {
            return Some(values);
        }
        let mut normal = values.clone();
        self.domain.normalise(&mut normal);
        // Of all numbers that differ only in parameters that do not exist, one stands for the design.
        (normal == values && self.domain.is_allowed(&values)).then_some(values)
    }
}

impl Pool for ProductPool<'_> {
    fn len(&self) -> usize {
        self.length
    }

    fn width(&self) -> usize {
        self.domain.features().len()
    }

    fn row(&self, number: usize, into: &mut Vec<f64>) -> bool {
        if !self.plain {
            let Some(values) = self.values(number) else { return false };
            self.domain.encode_into(&values, into);
            return true;
        }
        let start = into.len();
        into.resize(start + self.width(), 0.0);
        let (mut left, mut end) = (number, into.len());
        for (table, count) in self.tables.iter().zip(&self.counts).rev() {
            let row = &table[left % count];
            into[end - row.len()..end].copy_from_slice(row);
            end -= row.len();
            left /= count;
        }
        true
    }
}

/// A candidate of a pool with its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Its number in the pool.
    pub number: usize,
    /// Its score.
    pub score: f64,
}

/// The `keep` candidates with the highest scores, best first, ties by number. `score` is given a block of rows, one after
/// the other, and the least score that still matters, and writes one score a row; a row that cannot reach the least score
/// may be given any lower number. `excluded` numbers are in ascending order. Memory: one block and the best.
pub fn best_of(
    pool: &dyn Pool,
    keep: usize,
    excluded: &[usize],
    mut score: impl FnMut(&[f64], f64, &mut Vec<f64>),
) -> Vec<Scored> {
    let mut best: Vec<Scored> = Vec::with_capacity(keep + 1);
    let mut rows = Vec::with_capacity(BLOCK * pool.width());
    let mut numbers = Vec::with_capacity(BLOCK);
    let mut scores = Vec::with_capacity(BLOCK);
    let mut next = 0;
    while next < pool.len() {
        rows.clear();
        numbers.clear();
        while next < pool.len() && numbers.len() < BLOCK {
            if excluded.binary_search(&next).is_err() && pool.row(next, &mut rows) {
                numbers.push(next);
            }
            next += 1;
        }
        let least = if best.len() < keep { f64::NEG_INFINITY } else { best[best.len() - 1].score };
        scores.clear();
        score(&rows, least, &mut scores);
        for (number, score) in numbers.iter().zip(&scores) {
            let full = best.len() == keep;
            if score.is_nan() || (full && best.last().is_none_or(|last| *score <= last.score)) {
                continue;
            }
            // Numbers ascend, so an equal score goes behind those that are there.
            let place = best.partition_point(|other| other.score >= *score);
            best.insert(place, Scored { number: *number, score: *score });
            best.truncate(keep);
        }
    }
    best
}
