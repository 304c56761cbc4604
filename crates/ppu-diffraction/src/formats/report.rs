//! A result as the writers take it.

use crate::pattern::Pattern;
use crate::structure::Cell;

/// A pattern with what was made of it.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// Name of the measurement; blanks become underscores where a format needs that.
    pub name: &'a str,
    /// The measured pattern.
    pub pattern: &'a Pattern,
    /// Calculated intensity at each point.
    pub calculated: Option<&'a [f64]>,
    /// Background at each point, part of the calculated intensity.
    pub background: Option<&'a [f64]>,
    /// Wavelengths in Å with their weights, strongest first.
    pub wavelengths: &'a [(f64, f64)],
    /// The phases that were found.
    pub phases: &'a [ReportedPhase],
    /// The verdict in words.
    pub verdict: &'a str,
    /// Reduced χ².
    pub reduced_chi_squared: Option<f64>,
    /// Name and version of the software that made it.
    pub software: &'a str,
}

/// A phase of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportedPhase {
    /// Name.
    pub name: String,
    /// Cell.
    pub cell: Cell,
    /// Standard uncertainty of a, b and c in Å.
    pub cell_u: Option<[f64; 3]>,
    /// Weight fraction from 0 to 1.
    pub weight_fraction: Option<f64>,
    /// Its total standard uncertainty.
    pub weight_fraction_u: Option<f64>,
}
