//! Results as JSON.

use serde_json::{Map, Value, json};

use super::Report;

/// One object: name, verdict, wavelengths, phases and the columns of the pattern. Numbers are as computed, not rounded;
/// what is not finite becomes null.
#[must_use]
pub fn write(report: &Report<'_>) -> String {
    let pattern = report.pattern;
    let mut columns = Map::new();
    columns.insert("two_theta_deg".to_owned(), json!(pattern.two_theta()));
    columns.insert("observed".to_owned(), json!(pattern.intensity()));
    columns.insert("u_observed".to_owned(), json!(pattern.sigma()));
    for (name, column) in [("calculated", report.calculated), ("background", report.background)] {
        if let Some(column) = column {
            columns.insert(name.to_owned(), json!(column));
        }
    }
    let phases: Vec<Value> = report
        .phases
        .iter()
        .map(|phase| {
            let cell = &phase.cell;
            json!({
                "name": phase.name,
                "cell": { "a": cell.a, "b": cell.b, "c": cell.c, "alpha": cell.alpha, "beta": cell.beta, "gamma": cell.gamma },
                "u_cell": phase.cell_u,
                "weight_fraction": phase.weight_fraction,
                "u_weight_fraction": phase.weight_fraction_u,
            })
        })
        .collect();
    let wavelengths: Vec<Value> =
        report.wavelengths.iter().map(|(length, weight)| json!({ "wavelength_a": length, "weight": weight })).collect();
    let document = json!({
        "name": report.name,
        "software": report.software,
        "verdict": report.verdict,
        "reduced_chi_squared": report.reduced_chi_squared,
        "wavelengths": wavelengths,
        "phases": phases,
        "pattern": columns,
    });
    document.to_string()
}
