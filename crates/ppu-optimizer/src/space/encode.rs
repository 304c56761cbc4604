//! From values of parameters to the columns that surrogate models see.

use crate::space::definition::{Kind, Level, Scale};

/// Scores that a set of descriptors is condensed to. Five principal components of a component's descriptors do as well as
/// hundreds of columns (Shields et al. 2021 data).
const MOST_SCORES: usize = 5;
/// Descriptor columns whose correlation is beyond this say the same.
const SAME_COLUMN: f64 = 0.95;

/// One column of the encoded designs, and what a kernel may want to know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// For people: the parameter, with the level or the number of the descriptor score where there is one.
    pub name: String,
    /// Index of the parameter in the space. Columns of one parameter may share a length scale.
    pub parameter: usize,
    /// What the column is.
    pub role: FeatureRole,
}

/// What a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureRole {
    /// A position between 0 and 1.
    Number,
    /// 1 where the parameter has this level, otherwise 0. Two levels differ in two such columns.
    Indicator,
    /// A descriptor or a principal component of descriptors, between 0 and 1.
    Descriptor,
}

/// How the values of one parameter become columns. Values are numbers in the unit of the parameter, or indices of levels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Encoder {
    Number { scale: Scale, min: f64, max: f64, step: Option<f64> },
    Levels { rows: Vec<Vec<f64>>, ordered: bool },
}

impl Encoder {
    pub(crate) fn new(kind: &Kind) -> Encoder {
        match kind {
            Kind::Continuous { min, max, step, scale } => {
                Encoder::Number { scale: scale.clone(), min: *min, max: *max, step: *step }
            }
            Kind::Integer { min, max, scale } => {
                Encoder::Number { scale: scale.clone(), min: *min as f64, max: *max as f64, step: Some(1.0) }
            }
            Kind::Ordinal { levels } => {
                let (first, last) = (levels[0].score, levels[levels.len() - 1].score);
                let row = |score: f64| vec![if last > first { (score - first) / (last - first) } else { 0.5 }];
                Encoder::Levels { rows: levels.iter().map(|level| row(level.score)).collect(), ordered: true }
            }
            Kind::Categorical { levels } => Encoder::Levels { rows: level_rows(levels), ordered: false },
        }
    }

    pub(crate) fn width(&self) -> usize {
        match self {
            Encoder::Number { .. } => 1,
            Encoder::Levels { rows, .. } => rows[0].len(),
        }
    }

    /// Number of distinct values; `None` for a continuum.
    pub(crate) fn count(&self) -> Option<usize> {
        match self {
            Encoder::Number { min, max, step: Some(step), .. } => {
                Some(((max / step + 1e-9).floor() - (min / step - 1e-9).ceil() + 1.0).max(0.0) as usize)
            }
            Encoder::Number { .. } => None,
            Encoder::Levels { rows, .. } => Some(rows.len()),
        }
    }

    /// Value number `at` of the distinct ones.
    pub(crate) fn value(&self, at: usize) -> f64 {
        match self {
            Encoder::Number { min, step: Some(step), .. } => tidy(((min / step - 1e-9).ceil() + at as f64) * step),
            Encoder::Number { min, .. } => *min,
            Encoder::Levels { .. } => at as f64,
        }
    }

    /// The value at a position between 0 and 1, on the steps.
    pub(crate) fn value_at(&self, unit: f64) -> f64 {
        match self {
            Encoder::Number { scale, min, max, .. } => self.round(scale.at((*min, *max), unit.clamp(0.0, 1.0))),
            Encoder::Levels { rows, .. } => ((unit * rows.len() as f64).floor()).clamp(0.0, rows.len() as f64 - 1.0),
        }
    }

    /// Position of a number between its limits; the middle of its share for a level.
    pub(crate) fn unit(&self, value: f64) -> f64 {
        match self {
            Encoder::Number { scale, min, max, .. } => scale.position((*min, *max), value),
            Encoder::Levels { rows, .. } => (value + 0.5) / rows.len() as f64,
        }
    }

    /// The nearest value that the lab can realise.
    pub(crate) fn round(&self, value: f64) -> f64 {
        match self {
            Encoder::Number { min, max, step: Some(step), .. } => {
                let (low, high) = ((min / step - 1e-9).ceil(), (max / step + 1e-9).floor());
                tidy((value / step).round().clamp(low, high) * step)
            }
            Encoder::Number { min, max, .. } => value.clamp(*min, *max),
            Encoder::Levels { rows, .. } => value.round().clamp(0.0, rows.len() as f64 - 1.0),
        }
    }

    /// Appends the columns of a value; of a parameter that does not exist where `value` is `None`.
    pub(crate) fn encode(&self, value: Option<f64>, into: &mut Vec<f64>) {
        match (self, value) {
            (Encoder::Number { .. }, Some(value)) => into.push(self.unit(value)),
            (Encoder::Number { .. }, None) => into.push(0.5),
            (Encoder::Levels { rows, .. }, Some(value)) => into.extend(&rows[value as usize]),
            // In the middle of all levels: as far from each as they allow.
            (Encoder::Levels { rows, .. }, None) => into
                .extend((0..rows[0].len()).map(|at| rows.iter().map(|row| row[at]).sum::<f64>() / rows.len() as f64)),
        }
    }

    /// The value whose columns are nearest to these.
    pub(crate) fn decode(&self, columns: &[f64]) -> f64 {
        match self {
            Encoder::Number { .. } => self.value_at(columns[0]),
            Encoder::Levels { rows, .. } => {
                let apart = |at: usize| rows[at].iter().zip(columns).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
                let best = (0..rows.len()).reduce(|best, at| if apart(at) < apart(best) { at } else { best });
                best.unwrap_or(0) as f64
            }
        }
    }

    /// The columns, for people and kernels.
    pub(crate) fn features(&self, parameter: usize, name: &str, kind: &Kind) -> Vec<Feature> {
        let feature = |name: String, role| Feature { name, parameter, role };
        match (self, kind) {
            (Encoder::Levels { rows, .. }, Kind::Categorical { levels }) => {
                if levels[0].descriptors.is_empty() {
                    let each = levels.iter().map(|level| format!("{name} = {}", level.name));
                    each.map(|name| feature(name, FeatureRole::Indicator)).take(rows[0].len()).collect()
                } else {
                    let each = 0..rows[0].len();
                    each.map(|at| feature(format!("{name} score {}", at + 1), FeatureRole::Descriptor)).collect()
                }
            }
            _ => vec![feature(name.to_owned(), FeatureRole::Number)],
        }
    }
}

/// Rounded at 12 digits, so that 0.1 + 0.2 prints as 0.3.
fn tidy(value: f64) -> f64 {
    (value * 1e12).round() / 1e12
}

impl Scale {
    /// Position of a value between the limits, 0 to 1.
    pub(crate) fn position(&self, (min, max): (f64, f64), value: f64) -> f64 {
        match self {
            _ if max <= min => 0.5,
            Scale::Linear => (value - min) / (max - min),
            Scale::Log => (value.max(f64::MIN_POSITIVE) / min).ln() / (max / min).ln(),
            Scale::Custom(curve) => {
                let (first, last) = (curve[0].1, curve[curve.len() - 1].1);
                (interpolate(curve.iter().copied(), value) - first) / (last - first)
            }
        }
    }

    /// The value at a position.
    pub(crate) fn at(&self, (min, max): (f64, f64), unit: f64) -> f64 {
        match self {
            Scale::Linear => min + unit * (max - min),
            Scale::Log => min * (max / min).powf(unit),
            Scale::Custom(curve) => {
                let (first, last) = (curve[0].1, curve[curve.len() - 1].1);
                let swapped = curve.iter().map(|(value, position)| (*position, *value));
                interpolate(swapped, first + unit * (last - first))
            }
        }
    }
}

/// Straight lines between points in ascending order, and beyond them.
fn interpolate(points: impl Iterator<Item = (f64, f64)> + Clone, x: f64) -> f64 {
    let segments = points.clone().zip(points.skip(1));
    let mut value = f64::NAN;
    for ((x0, y0), (x1, y1)) in segments {
        value = y0 + (x - x0) / (x1 - x0) * (y1 - y0);
        if x <= x1 {
            break;
        }
    }
    value
}

/// Rows of a categorical parameter: indicators, or condensed descriptors.
fn level_rows(levels: &[Level]) -> Vec<Vec<f64>> {
    let count = levels.len();
    let descriptors = levels[0].descriptors.len();
    if descriptors == 0 {
        return (0..count).map(|at| (0..count).map(|k| if k == at { 1.0 } else { 0.0 }).collect()).collect();
    }
    let columns: Vec<Vec<f64>> = (0..descriptors)
        .filter_map(|k| standardised(levels.iter().map(|level| level.descriptors[k]).collect()))
        .collect();
    let condensed = if columns.len() <= MOST_SCORES { distinct(columns) } else { principal(&columns) };
    if condensed.is_empty() {
        // Descriptors that do not differ cannot tell levels apart.
        return (0..count).map(|at| (0..count).map(|k| if k == at { 1.0 } else { 0.0 }).collect()).collect();
    }
    let scaled: Vec<Vec<f64>> = condensed.into_iter().map(between_0_and_1).collect();
    (0..count).map(|at| scaled.iter().map(|column| column[at]).collect()).collect()
}

/// Zero mean and unit sd; `None` for a constant column.
fn standardised(column: Vec<f64>) -> Option<Vec<f64>> {
    let count = column.len() as f64;
    let mean = column.iter().sum::<f64>() / count;
    let sd = (column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
    (sd > 1e-12 * (1.0 + mean.abs())).then(|| column.iter().map(|x| (x - mean) / sd).collect())
}

/// Columns without those that repeat an earlier one.
fn distinct(columns: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let mut kept: Vec<Vec<f64>> = Vec::new();
    for column in columns {
        let count = column.len() as f64;
        let same = |other: &Vec<f64>| {
            let correlation = column.iter().zip(other).map(|(a, b)| a * b).sum::<f64>() / count;
            correlation.abs() > SAME_COLUMN
        };
        if !kept.iter().any(same) {
            kept.push(column);
        }
    }
    kept
}

/// The first principal components of standardised columns, by the eigenvectors of the small matrix between levels. Signs
/// are fixed so that the entry of the largest size is positive.
fn principal(columns: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let count = columns[0].len();
    let gram = nalgebra::DMatrix::from_fn(count, count, |i, j| columns.iter().map(|c| c[i] * c[j]).sum::<f64>());
    let eigen = gram.symmetric_eigen();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
    let largest = eigen.eigenvalues[order[0]];
    let most = MOST_SCORES.min(count.saturating_sub(1)).max(1);
    let useful = order.into_iter().take(most).filter(|at| eigen.eigenvalues[*at] > 1e-9 * largest);
    useful
        .map(|at| {
            let scores: Vec<f64> =
                eigen.eigenvectors.column(at).iter().map(|v| v * eigen.eigenvalues[at].sqrt()).collect();
            let peak = scores.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() + 1e-12 { b } else { a });
            scores.into_iter().map(|score| score * peak.signum()).collect()
        })
        .collect()
}

fn between_0_and_1(column: Vec<f64>) -> Vec<f64> {
    let low = column.iter().copied().fold(f64::INFINITY, f64::min);
    let high = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    column.into_iter().map(|x| if high > low { (x - low) / (high - low) } else { 0.5 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::definition::Parameter;

    #[test]
    fn scales_go_there_and_back() {
        let curve = Scale::Custom(vec![(0.0, 0.0), (1.0, 3.0), (10.0, 4.0)]);
        for (scale, limits) in [(Scale::Linear, (-2.0, 3.0)), (Scale::Log, (0.01, 100.0)), (curve, (0.0, 10.0))] {
            for at in 0..=10 {
                let unit = f64::from(at) / 10.0;
                let value = scale.at(limits, unit);
                assert!((scale.position(limits, value) - unit).abs() < 1e-12, "{scale:?} {unit} {value}");
            }
        }
    }

    #[test]
    fn steps_that_miss_the_limits_stay_inside_them() {
        let encoder = Encoder::new(&Parameter::stepped("a", 0.05, 0.98, 0.1).kind);
        assert_eq!(encoder.count(), Some(9));
        assert_eq!((encoder.value(0), encoder.value(8)), (0.1, 0.9));
        assert_eq!((encoder.round(0.0), encoder.round(2.0), encoder.round(0.33)), (0.1, 0.9, 0.3));
    }

    #[test]
    fn many_descriptors_become_few_scores_that_keep_neighbours() {
        let describe = |x: f64| -> Vec<f64> { (0..12).map(|k| x * f64::from(k) + 0.01 * f64::from(k % 3)).collect() };
        let levels: Vec<Level> =
            [0.0, 0.1, 1.0, 2.0].iter().map(|x| Level { name: format!("{x}"), descriptors: describe(*x) }).collect();
        let rows = level_rows(&levels);
        let apart = |a: usize, b: usize| rows[a].iter().zip(&rows[b]).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        assert!(rows[0].len() <= 3 && apart(0, 1) < apart(0, 2) && apart(0, 2) < apart(0, 3), "{rows:?}");
    }
}
