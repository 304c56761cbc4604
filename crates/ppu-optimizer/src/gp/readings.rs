//! Observations as the likelihood needs them: replicates pooled, values standardised.

use crate::gp::GpError;

/// Readings at distinct points. Replicates at one point with one known variance are pooled; that is exact.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Readings {
    /// Coordinates a point.
    pub(crate) dimensions: usize,
    /// Coordinates, one point after the other.
    pub(crate) x: Vec<f64>,
    /// Mean of the replicates.
    pub(crate) value: Vec<f64>,
    /// Known variance of one reading.
    pub(crate) variance: Vec<f64>,
    /// Number of replicates.
    pub(crate) count: Vec<f64>,
    /// Σ (reading − mean)² of the replicates.
    pub(crate) scatter: Vec<f64>,
}

impl Readings {
    /// Checks and takes over; with `pool`, rows with the same coordinates and the same known variance become one.
    pub(crate) fn new(points: &[Vec<f64>], values: &[f64], variances: &[f64], pool: bool) -> Result<Readings, GpError> {
        check(points, values, variances)?;
        let dimensions = points[0].len();
        let mut readings = Readings {
            dimensions,
            x: Vec::new(),
            value: Vec::new(),
            variance: Vec::new(),
            count: Vec::new(),
            scatter: Vec::new(),
        };
        for ((point, value), variance) in points.iter().zip(values).zip(variances) {
            let known = (0..readings.len())
                .find(|at| pool && readings.point(*at) == point.as_slice() && readings.variance[*at] == *variance);
            match known {
                Some(at) => readings.add(at, *value),
                None => readings.push(point, *value, *variance),
            }
        }
        Ok(readings)
    }

    /// Welford's update: stable for values far from zero.
    fn add(&mut self, at: usize, value: f64) {
        let away = value - self.value[at];
        self.count[at] += 1.0;
        self.value[at] += away / self.count[at];
        self.scatter[at] += away * (value - self.value[at]);
    }

    pub(crate) fn push(&mut self, point: &[f64], value: f64, variance: f64) {
        self.x.extend_from_slice(point);
        self.value.push(value);
        self.variance.push(variance);
        self.count.push(1.0);
        self.scatter.push(0.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.value.len()
    }

    pub(crate) fn point(&self, at: usize) -> &[f64] {
        &self.x[at * self.dimensions..(at + 1) * self.dimensions]
    }

    /// Centre and scale of the values: mean and sd of the pooled means, or 1 where all are equal.
    pub(crate) fn moments(&self) -> (f64, f64) {
        let count = self.len() as f64;
        // Two passes: the first mean of huge values is off by their rounding.
        let rough = self.value.iter().sum::<f64>() / count;
        let centre = rough + self.value.iter().map(|value| value - rough).sum::<f64>() / count;
        let variance = self.value.iter().map(|value| (value - centre).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        let scale = variance.sqrt();
        // Equal values carry no scale; any will do.
        let equal = !(scale.is_finite() && scale > 1e-12 * (f64::MIN_POSITIVE + centre.abs()));
        (centre, if equal { 1.0 } else { scale })
    }

    /// (value − centre)/scale, with variances and scatters to match.
    pub(crate) fn standardised(mut self, centre: f64, scale: f64) -> Readings {
        self.value.iter_mut().for_each(|value| *value = (*value - centre) / scale);
        self.variance.iter_mut().for_each(|variance| *variance /= scale * scale);
        self.scatter.iter_mut().for_each(|scatter| *scatter /= scale * scale);
        self
    }

    /// The rows of these numbers.
    pub(crate) fn subset(&self, rows: &[usize]) -> Readings {
        let pick = |values: &[f64]| rows.iter().map(|row| values[*row]).collect();
        Readings {
            dimensions: self.dimensions,
            x: rows.iter().flat_map(|row| self.point(*row).iter().copied()).collect(),
            value: pick(&self.value),
            variance: pick(&self.variance),
            count: pick(&self.count),
            scatter: pick(&self.scatter),
        }
    }

    /// The error that names the closest pair.
    pub(crate) fn too_close(&self) -> GpError {
        let mut closest = (0, 0, f64::INFINITY);
        for i in 0..self.len() {
            for j in 0..i {
                let square: f64 = self.point(i).iter().zip(self.point(j)).map(|(a, b)| (a - b).powi(2)).sum();
                if square < closest.2 {
                    closest = (j, i, square);
                }
            }
        }
        GpError::TooClose { first: closest.0, second: closest.1, distance: closest.2.sqrt() }
    }
}

fn check(points: &[Vec<f64>], values: &[f64], variances: &[f64]) -> Result<(), GpError> {
    let first = points.first().ok_or(GpError::Empty)?;
    if points.len() != values.len() || points.len() != variances.len() {
        return Err(GpError::Shape(points.len().min(values.len()).min(variances.len())));
    }
    for (at, ((point, value), variance)) in points.iter().zip(values).zip(variances).enumerate() {
        if point.len() != first.len() || point.is_empty() {
            return Err(GpError::Shape(at));
        }
        let finite = point.iter().chain([value, variance]).all(|number| number.is_finite());
        if !finite || *variance < 0.0 {
            return Err(GpError::NotFinite(at));
        }
    }
    Ok(())
}
