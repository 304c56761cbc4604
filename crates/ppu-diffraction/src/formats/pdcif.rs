//! Powder CIF (pdCIF dictionary, Toby, von Dreele and Larson 2003): measured patterns in, results out.

use std::fmt::Write as _;

use super::{Report, Scan, UsedWavelength};
use crate::cif::CifError;
use crate::cif::syntax::{self, Block, Loop, Value};
use crate::pattern::{MOST_POINTS, Pattern, PatternError};

const ANGLES: [&str; 4] =
    ["_pd_meas_2theta_scan", "_pd_proc_2theta_corrected", "_pd_meas_2theta_corrected", "_pd_meas_angle_2theta"];
const COUNTS: [&str; 1] = ["_pd_meas_counts_total"];
const INTENSITIES: [&str; 4] =
    ["_pd_meas_intensity_total", "_pd_proc_intensity_total", "_pd_meas_intensity_net", "_pd_proc_intensity_net"];
const WEIGHT: &str = "_pd_proc_ls_weight";

/// Why a file holds no usable powder pattern.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PdCifError {
    /// The bytes are not UTF-8.
    #[error("the file is not UTF-8 text at byte {byte}")]
    Encoding {
        /// Offset of the first bad byte.
        byte: usize,
    },
    /// The file breaks the grammar of CIF.
    #[error(transparent)]
    Cif(#[from] CifError),
    /// No loop holds measured intensities.
    #[error("none of the {blocks} data blocks holds a loop of measured intensities")]
    NoPattern {
        /// Number of data blocks.
        blocks: usize,
    },
    /// Intensities without angles.
    #[error("the loop in line {line} has intensities, but neither angles nor a stated range of 2θ")]
    NoAngles {
        /// Line of the loop, from 1.
        line: usize,
    },
    /// A value cannot be used.
    #[error("`{tag}` in line {line} is `{text}`, not a usable number")]
    Number {
        /// Line of the value, from 1.
        line: usize,
        /// The tag.
        tag: String,
        /// The value, at most 40 characters of it.
        text: String,
    },
    /// More points than any powder pattern has.
    #[error("the loop in line {line} has more than {MOST_POINTS} points")]
    TooMuch {
        /// Line of the loop, from 1.
        line: usize,
    },
    /// The columns are no pattern.
    #[error("the loop in line {line} is no powder pattern")]
    Pattern {
        /// Line of the loop, from 1.
        line: usize,
        /// Why.
        source: PatternError,
    },
}

/// Reads the measured pattern. Where several loops qualify, that of a block whose name ends in `_meas` comes first: some
/// files hold a calculated loop with the same columns.
///
/// # Errors
/// [`PdCifError`] names line and tag.
pub fn read(bytes: &[u8]) -> Result<Scan, PdCifError> {
    let text = std::str::from_utf8(bytes).map_err(|error| PdCifError::Encoding { byte: error.valid_up_to() })?;
    let blocks = syntax::parse(text)?;
    let holds = |block: &&Block<'_>| block.table(&COUNTS).or(block.table(&INTENSITIES)).is_some();
    let measured = blocks.iter().filter(holds).find(|block| block.name.ends_with("_meas"));
    let Some(block) = measured.or(blocks.iter().find(holds)) else {
        return Err(PdCifError::NoPattern { blocks: blocks.len() });
    };
    let table = block.table(&COUNTS).or(block.table(&INTENSITIES)).expect("the block was chosen for it");
    if table.values.len() / table.tags.len() > MOST_POINTS {
        return Err(PdCifError::TooMuch { line: table.line });
    }
    let angles = angles(block, table)?;
    let mut scan = Scan::bare(pattern(table, angles)?);
    let of =
        |tag: &str| block.item(&[tag]).and_then(|(_, value)| crate::cif::number(value.text)).map(|number| number.value);
    scan.counting_time_s = of("_pd_meas_step_count_time").filter(|time| *time > 0.0);
    scan.wavelength = of("_diffrn_radiation_wavelength")
        .map(|wavelength| UsedWavelength { k_alpha1: Some(wavelength), ..UsedWavelength::default() });
    scan.sample_id =
        block.item(&["_pd_spec_description", "_pd_phase_name"]).map(|(_, value)| value.text.trim().to_owned());
    scan.warnings.extend(scan.wavelength.and_then(|wavelength| wavelength.warning()));
    Ok(scan)
}

fn number(table: &Loop<'_>, column: usize, value: &Value<'_>) -> Result<crate::cif::Uncertain, PdCifError> {
    crate::cif::number(value.text).ok_or_else(|| PdCifError::Number {
        line: value.line,
        tag: table.tags[column].clone(),
        text: value.text.chars().take(40).collect(),
    })
}

fn angles(block: &Block<'_>, table: &Loop<'_>) -> Result<Vec<f64>, PdCifError> {
    if let Some(column) = table.column(&ANGLES) {
        return table.rows().map(|row| Ok(number(table, column, &row[column])?.value)).collect();
    }
    let points = table.rows().count();
    for kind in ["meas", "proc"] {
        let of = |what: &str| {
            let tag = format!("_pd_{kind}_2theta_range_{what}");
            block.item(&[&tag]).and_then(|(_, value)| crate::cif::number(value.text)).map(|number| number.value)
        };
        let step = match (of("min"), of("inc"), of("max")) {
            (Some(_), Some(step), _) => step,
            (Some(from), None, Some(to)) => (to - from) / (points.max(2) - 1) as f64,
            _ => continue,
        };
        let from = of("min").expect("checked above");
        return Ok((0..points).map(|index| from + step * index as f64).collect());
    }
    Err(PdCifError::NoAngles { line: table.line })
}

fn pattern(table: &Loop<'_>, angles: Vec<f64>) -> Result<Pattern, PdCifError> {
    let counts = table.column(&COUNTS);
    let column = counts.or(table.column(&INTENSITIES)).expect("the loop was chosen for it");
    let weight = table.column(&[WEIGHT]);
    let points = angles.len();
    let (mut kept, mut values, mut sigmas) =
        (Vec::with_capacity(points), Vec::with_capacity(points), Vec::with_capacity(points));
    for (row, angle) in table.rows().zip(angles) {
        let value = number(table, column, &row[column])?;
        let sigma = match weight.map(|weight| number(table, weight, &row[weight])).transpose()? {
            // Weight zero marks points that the authors left out.
            Some(weight) if weight.value <= 0.0 => continue,
            Some(weight) => Some(1.0 / weight.value.sqrt()),
            None => value.u.filter(|u| *u > 0.0),
        };
        kept.push(angle);
        values.push(value.value);
        sigmas.push(sigma);
    }
    let known: Option<Vec<f64>> = sigmas.into_iter().collect();
    let mut ignored = Vec::new();
    match known {
        Some(sigmas) => Pattern::with_sigma(kept, values, sigmas),
        None if counts.is_some() => Pattern::from_counts(kept, values),
        None => super::scan::pattern(kept, values, &mut ignored),
    }
    .map_err(|source| PdCifError::Pattern { line: table.line, source })
}

/// Writes a result: measured and calculated columns with weights, phases with their cells and fractions, wavelengths,
/// verdict and software.
#[must_use]
pub fn write(report: &Report<'_>) -> String {
    let mut text = String::new();
    let name: String = report.name.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "data_{}", if name.is_empty() { "pattern" } else { &name });
    let _ = writeln!(text, "_computing_structure_refinement {}", quoted(report.software));
    let _ = writeln!(text, "_pd_proc_info_special_details {}", quoted(report.verdict));
    if let Some(chi) = report.reduced_chi_squared {
        let _ = writeln!(text, "_refine_ls_goodness_of_fit_all {:.4}", chi.max(0.0).sqrt());
    }
    if !report.wavelengths.is_empty() {
        let _ = writeln!(
            text,
            "loop_\n_diffrn_radiation_wavelength_id\n_diffrn_radiation_wavelength\n_diffrn_radiation_wavelength_wt"
        );
        for (index, (wavelength, weight)) in report.wavelengths.iter().enumerate() {
            let _ = writeln!(text, "{} {wavelength:.7} {weight}", index + 1);
        }
    }
    if !report.phases.is_empty() {
        let _ = writeln!(
            text,
            "loop_\n_pd_phase_id\n_pd_phase_name\n_pd_phase_mass_%\n_cell_length_a\n_cell_length_b\n_cell_length_c\n\
             _cell_angle_alpha\n_cell_angle_beta\n_cell_angle_gamma"
        );
        for (index, phase) in report.phases.iter().enumerate() {
            let percent = |value: Option<f64>| value.map(|value| 100.0 * value);
            let mass = percent(phase.weight_fraction)
                .map_or("?".to_owned(), |value| with_uncertainty(value, percent(phase.weight_fraction_u)));
            let edge = |axis: usize, value: f64| with_uncertainty(value, phase.cell_u.map(|u| u[axis]));
            let cell = &phase.cell;
            let edges = [edge(0, cell.a), edge(1, cell.b), edge(2, cell.c)].join(" ");
            let (alpha, beta, gamma) = (cell.alpha, cell.beta, cell.gamma);
            let _ = writeln!(text, "{} {} {mass} {edges} {alpha} {beta} {gamma}", index + 1, quoted(&phase.name));
        }
    }
    columns(&mut text, report);
    text
}

fn columns(text: &mut String, report: &Report<'_>) {
    let pattern = report.pattern;
    let length = |column: Option<&[f64]>| column.is_none_or(|column| column.len() == pattern.len());
    let calculated = report.calculated.filter(|column| length(Some(column)));
    let background = report.background.filter(|column| length(Some(column)));
    let _ = writeln!(text, "_pd_proc_number_of_points {}", pattern.len());
    let observed = if pattern.are_counts() { COUNTS[0] } else { "_pd_proc_intensity_total" };
    let _ = writeln!(text, "loop_\n_pd_proc_2theta_corrected\n{observed}\n{WEIGHT}");
    for (column, tag) in [(calculated, "_pd_calc_intensity_total"), (background, "_pd_proc_intensity_bkg_calc")] {
        if column.is_some() {
            let _ = writeln!(text, "{tag}");
        }
    }
    for index in 0..pattern.len() {
        let sigma = pattern.sigma()[index];
        let _ = write!(text, "{} {} {}", pattern.two_theta()[index], pattern.intensity()[index], 1.0 / (sigma * sigma));
        for column in [calculated, background].into_iter().flatten() {
            let _ = write!(text, " {:.3}", column[index]);
        }
        text.push('\n');
    }
}

/// A value as a CIF string: quotes where it has blanks, a text field where it has quotes or line ends.
fn quoted(text: &str) -> String {
    let plain = !text.is_empty()
        && text.chars().all(|c| c.is_ascii_graphic())
        && !text.starts_with(['_', '#', '$', '\'', '"', '[', ']', ';', '?', '.'])
        && !["data_", "loop_", "save_", "global_", "stop_"]
            .iter()
            .any(|word| text.to_ascii_lowercase().starts_with(word));
    match text {
        _ if plain => text.to_owned(),
        _ if !text.contains(['\'', '\n', '\r']) => format!("'{text}'"),
        _ => format!("\n;{}\n;", text.replace("\r", "").replace("\n;", "\n ;")),
    }
}

/// A number with its uncertainty in units of the last digit, two digits of it.
fn with_uncertainty(value: f64, u: Option<f64>) -> String {
    let Some(u) = u.filter(|u| *u > 0.0 && u.is_finite() && *u < 1e6) else { return format!("{value}") };
    let decimals = (1.0 - u.log10().floor()).clamp(0.0, 12.0) as usize;
    let digits = (u * 10f64.powi(decimals as i32)).round();
    format!("{value:.decimals$}({digits})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_uncertainties_are_written_as_cif_wants_them() {
        assert_eq!(quoted("TiO2"), "TiO2");
        assert_eq!(quoted("two words"), "'two words'");
        assert_eq!(quoted("_tag"), "'_tag'");
        assert_eq!(quoted("it's"), "it's");
        assert_eq!(quoted("it's one"), "\n;it's one\n;");
        assert_eq!(with_uncertainty(4.156_78, Some(0.000_123)), "4.15678(12)");
        assert_eq!(with_uncertainty(33.3, Some(1.2)), "33.3(12)");
        assert_eq!(with_uncertainty(33.3, None), "33.3");
    }
}
