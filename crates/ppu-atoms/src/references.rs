//! Element references: what must be added to a potential's energies so that they agree with data of another origin.
//! The potential's own references are those of its training and fit no other functional.
//!
//! Model: `target = slope · energy + Σ μ(element) · fraction + noise`, with a small ridge on the μ.

use std::collections::BTreeMap;

use crate::composition::Composition;
use crate::element::Element;

/// A compound whose target is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// What it consists of.
    pub composition: Composition,
    /// The potential's energy in eV for each atom.
    pub energy: f64,
    /// The target in eV for each atom: a heat of formation, or an energy of another functional.
    pub target: f64,
}

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitSettings {
    /// Ridge on the references, in units of the squared sum of fractions.
    pub ridge: f64,
    /// Elements in fewer samples get no reference and are refused afterwards.
    pub least_samples: usize,
    /// Whether the slope on the energy is fitted; otherwise it is 1. Fit it when the target's functional is another one.
    pub fit_slope: bool,
}

impl Default for FitSettings {
    fn default() -> Self {
        Self { ridge: 1e-3, least_samples: 3, fit_slope: true }
    }
}

/// Fitted references.
#[derive(Debug, Clone, PartialEq)]
pub struct References {
    slope: f64,
    offsets: BTreeMap<Element, f64>,
    left_out_sd: f64,
    samples: usize,
}

/// Why references cannot be fitted or applied.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReferencesError {
    /// Too few samples with well-known elements for the number of unknowns.
    #[error("{samples} samples cannot determine {unknowns} references")]
    TooFew {
        /// Samples that may be used.
        samples: usize,
        /// References and slope.
        unknowns: usize,
    },
    /// A number is infinite or none.
    #[error("sample {0} holds a number that is not finite")]
    NotFinite(usize),
    /// An element was in too few samples.
    #[error("the data hold too little {0} for a reference")]
    NoReference(Element),
}

impl References {
    /// Fits by least squares. Samples with an element that is too rare are left out, and so on until none is.
    ///
    /// # Errors
    /// [`ReferencesError`] when a number is not finite or the samples are too few.
    pub fn fit(samples: &[Sample], settings: &FitSettings) -> Result<Self, ReferencesError> {
        if let Some(bad) = samples.iter().position(|one| !(one.energy.is_finite() && one.target.is_finite())) {
            return Err(ReferencesError::NotFinite(bad));
        }
        let used = well_known(samples, settings.least_samples);
        let elements: Vec<Element> = occurrences(&used).into_keys().collect();
        let unknowns = elements.len() + usize::from(settings.fit_slope);
        if used.len() <= unknowns {
            return Err(ReferencesError::TooFew { samples: used.len(), unknowns });
        }
        let row = |sample: &Sample| -> Vec<f64> {
            let fractions = elements.iter().map(|&element| sample.composition.fraction(element));
            fractions.chain(settings.fit_slope.then_some(sample.energy)).collect()
        };
        let rows: Vec<Vec<f64>> = used.iter().map(|sample| row(sample)).collect();
        let wanted = |sample: &Sample| if settings.fit_slope { sample.target } else { sample.target - sample.energy };
        let mut normal = vec![vec![0.0; unknowns]; unknowns];
        let mut right = vec![0.0; unknowns];
        for (row, sample) in rows.iter().zip(&used) {
            for (i, &value) in row.iter().enumerate() {
                right[i] += value * wanted(sample);
                row.iter().enumerate().for_each(|(j, &other)| normal[i][j] += value * other);
            }
        }
        (0..elements.len()).for_each(|k| normal[k][k] += settings.ridge);
        let too_few = ReferencesError::TooFew { samples: used.len(), unknowns };
        let factor = cholesky(normal).ok_or(too_few)?;
        let solution = solve(&factor, &right);
        let squares = rows.iter().zip(&used).map(|(row, sample)| {
            let residual = wanted(sample) - product(row, &solution);
            // A sample pulls the fit towards itself by its leverage; undone, this is its error when it is left out.
            let leverage = product(row, &solve(&factor, row)).min(0.99);
            (residual / (1.0 - leverage)).powi(2)
        });
        let left_out_sd = (squares.sum::<f64>() / used.len() as f64).sqrt();
        let slope = if settings.fit_slope { solution[elements.len()] } else { 1.0 };
        let offsets = elements.into_iter().zip(solution).collect();
        Ok(Self { slope, offsets, left_out_sd, samples: used.len() })
    }

    /// The target that the fit expects for an energy in eV for each atom.
    ///
    /// # Errors
    /// [`ReferencesError::NoReference`] for an element that the data held too rarely.
    pub fn predict(&self, composition: &Composition, energy: f64) -> Result<f64, ReferencesError> {
        composition.iter().try_fold(self.slope * energy, |sum, (element, fraction)| {
            let offset = self.offsets.get(&element).ok_or(ReferencesError::NoReference(element))?;
            Ok(sum + fraction * offset)
        })
    }

    /// Slope on the energy.
    #[must_use]
    pub fn slope(&self) -> f64 {
        self.slope
    }

    /// Reference of each element in eV.
    #[must_use]
    pub fn offsets(&self) -> &BTreeMap<Element, f64> {
        &self.offsets
    }

    /// Root mean square error in eV for each atom of samples that are left out of the fit one at a time. It is honest for
    /// new compounds of the same kind only.
    #[must_use]
    pub fn left_out_sd(&self) -> f64 {
        self.left_out_sd
    }

    /// Samples that were used.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }
}

fn occurrences(samples: &[&Sample]) -> BTreeMap<Element, usize> {
    let mut counts = BTreeMap::new();
    for (element, _) in samples.iter().flat_map(|sample| sample.composition.iter()) {
        *counts.entry(element).or_insert(0) += 1;
    }
    counts
}

/// Samples all of whose elements occur often enough among them.
fn well_known(samples: &[Sample], least: usize) -> Vec<&Sample> {
    let mut used: Vec<&Sample> = samples.iter().collect();
    loop {
        let counts = occurrences(&used);
        let before = used.len();
        used.retain(|sample| sample.composition.iter().all(|(element, _)| counts[&element] >= least));
        if used.len() == before {
            return used;
        }
    }
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The lower triangle L with L Lᵀ = `matrix`, or `None` where that is not positive definite.
fn cholesky(mut matrix: Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    for column in 0..matrix.len() {
        for row in column..matrix.len() {
            let known = product(&matrix[row][..column], &matrix[column][..column]);
            let rest = matrix[row][column] - known;
            if row > column {
                matrix[row][column] = rest / matrix[column][column];
            } else if rest > 0.0 {
                matrix[row][column] = rest.sqrt();
            } else {
                return None;
            }
        }
    }
    Some(matrix)
}

/// Solves L Lᵀ x = `right`.
fn solve(factor: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let count = right.len();
    let mut x = right.to_vec();
    for k in 0..count {
        x[k] = (x[k] - product(&factor[k][..k], &x[..k])) / factor[k][k];
    }
    for k in (0..count).rev() {
        let below: f64 = (k + 1..count).map(|row| factor[row][k] * x[row]).sum();
        x[k] = (x[k] - below) / factor[k][k];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(number: u32) -> Element {
        Element::from_number(number).unwrap()
    }

    /// Binary compounds of six elements whose targets follow the model exactly, but for a small known error.
    fn samples(error: f64) -> Vec<Sample> {
        let mut found = Vec::new();
        for first in 1..=6u32 {
            for second in first + 1..=6 {
                let (a, b) = (f64::from(first), f64::from(second));
                let composition = Composition::new([(element(first), a), (element(second), b)]).unwrap();
                let energy = -3.0 - 0.1 * a * b + (a * 1.7).sin();
                let offset = |number: u32| 0.3 * f64::from(number) - 1.0;
                let exact = 0.9 * energy
                    + composition.fraction(element(first)) * offset(first)
                    + composition.fraction(element(second)) * offset(second);
                let sign = if (first + second) % 2 == 0 { error } else { -error };
                found.push(Sample { composition, energy, target: exact + sign });
            }
        }
        found
    }

    #[test]
    fn exact_references_are_found_again() {
        let settings = FitSettings { ridge: 1e-12, ..FitSettings::default() };
        let fitted = References::fit(&samples(0.0), &settings).unwrap();
        assert!((fitted.slope() - 0.9).abs() < 1e-6, "{}", fitted.slope());
        for (element, offset) in fitted.offsets() {
            assert!((offset - (0.3 * f64::from(element.number()) - 1.0)).abs() < 1e-5);
        }
        assert!(fitted.left_out_sd() < 1e-6);
        let one = &samples(0.0)[4];
        assert!((fitted.predict(&one.composition, one.energy).unwrap() - one.target).abs() < 1e-6);
    }

    #[test]
    fn the_error_is_that_of_samples_left_out() {
        let (all, settings) = (samples(0.05), FitSettings { least_samples: 1, ..FitSettings::default() });
        let fitted = References::fit(&all, &settings).unwrap();
        let errors = (0..all.len()).map(|out| {
            let rest: Vec<Sample> =
                all.iter().enumerate().filter(|(at, _)| *at != out).map(|(_, one)| one.clone()).collect();
            let without = References::fit(&rest, &settings).unwrap();
            (without.predict(&all[out].composition, all[out].energy).unwrap() - all[out].target).powi(2)
        });
        let direct = (errors.sum::<f64>() / all.len() as f64).sqrt();
        assert!((fitted.left_out_sd() - direct).abs() < 1e-9, "{} {direct}", fitted.left_out_sd());
    }

    #[test]
    fn rare_elements_have_no_reference() {
        let mut rows = samples(0.0);
        let rare = Composition::new([(element(1), 1.0), (element(92), 1.0)]).unwrap();
        rows.push(Sample { composition: rare.clone(), energy: -5.0, target: 100.0 });
        let fitted = References::fit(&rows, &FitSettings::default()).unwrap();
        assert_eq!(fitted.samples(), rows.len() - 1);
        assert_eq!(fitted.predict(&rare, -5.0), Err(ReferencesError::NoReference(element(92))));
        assert!(matches!(References::fit(&rows[..4], &FitSettings::default()), Err(ReferencesError::TooFew { .. })));
        rows[3].energy = f64::NAN;
        assert_eq!(References::fit(&rows, &FitSettings::default()), Err(ReferencesError::NotFinite(3)));
    }
}
