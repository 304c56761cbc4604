//! A measured pattern: angles, intensities and their standard uncertainties.

/// Longest pattern that is accepted; detector frames and maps are longer and are no powder patterns.
pub const MOST_POINTS: usize = 1_000_000;

/// Why columns of numbers are not a pattern.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// The columns differ in length.
    #[error("{angles} angles, {intensities} intensities and {sigmas} uncertainties do not belong together")]
    Lengths {
        /// Number of angles.
        angles: usize,
        /// Number of intensities.
        intensities: usize,
        /// Number of uncertainties.
        sigmas: usize,
    },
    /// Too few or too many points.
    #[error("a pattern of {points} points is not between 2 and {MOST_POINTS}")]
    Points {
        /// Number of points.
        points: usize,
    },
    /// A value cannot stand in its column.
    #[error("{column} at point {index} is {value}")]
    Value {
        /// Which column.
        column: &'static str,
        /// Index of the point, from 0.
        index: usize,
        /// The value.
        value: f64,
    },
    /// Angles must rise.
    #[error("the angle at point {index} does not rise above the one before")]
    Order {
        /// Index of the point, from 0.
        index: usize,
    },
}

/// A powder pattern over rising angles.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    two_theta: Vec<f64>,
    intensity: Vec<f64>,
    sigma: Vec<f64>,
    are_counts: bool,
}

impl Pattern {
    /// A pattern of counts: the uncertainty of n counts is √n, and 1 for none.
    ///
    /// # Errors
    /// [`PatternError`]; counts must not be negative.
    pub fn from_counts(two_theta: Vec<f64>, counts: Vec<f64>) -> Result<Self, PatternError> {
        if let Some(index) = counts.iter().position(|count| !(*count >= 0.0 && count.is_finite())) {
            return Err(PatternError::Value { column: "counts", index, value: counts[index] });
        }
        let sigma = counts.iter().map(|count| count.max(1.0).sqrt()).collect();
        Self::build(two_theta, counts, sigma, true)
    }

    /// A pattern whose uncertainties are known.
    ///
    /// # Errors
    /// [`PatternError`]; uncertainties must be positive.
    pub fn with_sigma(two_theta: Vec<f64>, intensity: Vec<f64>, sigma: Vec<f64>) -> Result<Self, PatternError> {
        Self::build(two_theta, intensity, sigma, false)
    }

    fn build(
        two_theta: Vec<f64>,
        intensity: Vec<f64>,
        sigma: Vec<f64>,
        are_counts: bool,
    ) -> Result<Self, PatternError> {
        let points = two_theta.len();
        if intensity.len() != points || sigma.len() != points {
            return Err(PatternError::Lengths { angles: points, intensities: intensity.len(), sigmas: sigma.len() });
        }
        if !(2..=MOST_POINTS).contains(&points) {
            return Err(PatternError::Points { points });
        }
        let bad = |column, index: usize, value: f64| Err(PatternError::Value { column, index, value });
        for index in 0..points {
            if !(two_theta[index] > -10.0 && two_theta[index] < 180.0) {
                return bad("angle", index, two_theta[index]);
            }
            if !intensity[index].is_finite() {
                return bad("intensity", index, intensity[index]);
            }
            if !(sigma[index] > 0.0 && sigma[index].is_finite()) {
                return bad("uncertainty", index, sigma[index]);
            }
            if index > 0 && two_theta[index] <= two_theta[index - 1] {
                return Err(PatternError::Order { index });
            }
        }
        Ok(Self { two_theta, intensity, sigma, are_counts })
    }

    /// Angles 2θ in degrees, rising.
    #[must_use]
    pub fn two_theta(&self) -> &[f64] {
        &self.two_theta
    }

    /// Intensities.
    #[must_use]
    pub fn intensity(&self) -> &[f64] {
        &self.intensity
    }

    /// Standard uncertainty of each intensity.
    #[must_use]
    pub fn sigma(&self) -> &[f64] {
        &self.sigma
    }

    /// True when intensities are plain counts, so that a model can supply the variance.
    #[must_use]
    pub fn are_counts(&self) -> bool {
        self.are_counts
    }

    /// Number of points.
    #[must_use]
    pub fn len(&self) -> usize {
        self.two_theta.len()
    }

    /// Never true: a pattern has at least two points.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.two_theta.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_are_no_pattern_are_refused() {
        let angles = vec![10.0, 10.1, 10.2];
        assert!(Pattern::from_counts(angles.clone(), vec![0.0, 4.0, 9.0]).unwrap().sigma() == [1.0, 2.0, 3.0]);
        let errors = [
            Pattern::from_counts(angles.clone(), vec![1.0]).unwrap_err(),
            Pattern::from_counts(angles.clone(), vec![1.0, -1.0, 1.0]).unwrap_err(),
            Pattern::from_counts(vec![10.0, 10.0, 10.2], vec![1.0; 3]).unwrap_err(),
            Pattern::from_counts(vec![10.0, f64::NAN, 10.2], vec![1.0; 3]).unwrap_err(),
            Pattern::with_sigma(angles.clone(), vec![1.0; 3], vec![1.0, 0.0, 1.0]).unwrap_err(),
            Pattern::with_sigma(angles, vec![1.0, f64::INFINITY, 1.0], vec![1.0; 3]).unwrap_err(),
            Pattern::from_counts(vec![10.0], vec![1.0]).unwrap_err(),
        ];
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts[1], "counts at point 1 is -1");
        assert_eq!(texts[2], "the angle at point 1 does not rise above the one before");
        assert_eq!(texts[5], "intensity at point 1 is inf");
    }
}
