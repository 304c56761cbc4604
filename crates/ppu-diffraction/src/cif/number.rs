//! Numbers of CIF: a standard uncertainty in parentheses counts in units of the last digit.

/// A number with its standard uncertainty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Uncertain {
    /// The value.
    pub value: f64,
    /// Its standard uncertainty, when the file states one.
    pub u: Option<f64>,
}

/// Reads for example `4.1568(2)`, `-.5`, `1.2E-3(4)`.
pub(crate) fn parse(text: &str) -> Option<Uncertain> {
    let text = text.trim();
    let (number, digits) = match text.split_once('(') {
        None => (text, None),
        // Files that break off in the middle of an uncertainty, `1.23(4`, occur.
        Some((number, rest)) => (number, Some(rest.trim_end_matches(')'))),
    };
    if !number.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let value: f64 = number.parse().ok()?;
    if !value.is_finite() {
        return None;
    }
    let u = match digits {
        None | Some("") => None,
        Some(digits) => {
            let steps: f64 = digits.parse().ok()?;
            let last = last_digit(number)?;
            (steps >= 0.0 && steps.is_finite()).then_some(steps * if digits.contains('.') { 1.0 } else { last })
        }
    };
    Some(Uncertain { value, u })
}

/// Worth of the last digit of a number.
fn last_digit(number: &str) -> Option<f64> {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        None => (number, 0),
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
    };
    Some(10f64.powi(exponent.saturating_sub(i32::try_from(decimals(mantissa)).ok()?)))
}

fn decimals(mantissa: &str) -> usize {
    mantissa.split_once('.').map_or(0, |(_, decimals)| decimals.len())
}

/// A fractional coordinate. Thirds and sixths that were rounded to three digits or more are put back in their place, so
/// that an atom on a special position stays on it.
pub(crate) fn coordinate(text: &str) -> Option<f64> {
    let parsed = parse(text)?;
    let digits = decimals(text.trim().split('(').next().unwrap_or_default());
    let sixths = (parsed.value * 6.0).round();
    let gap = (parsed.value - sixths / 6.0).abs();
    let rounded = parsed.u.is_none() && digits >= 3 && gap <= 0.67 * 10f64.powi(-(digits.min(15) as i32));
    Some(if rounded { sixths / 6.0 } else { parsed.value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uncertainties_count_in_units_of_the_last_digit() {
        let of = |text| parse(text).map(|number| (number.value, number.u));
        assert_eq!(of("4.1568(2)"), Some((4.1568, Some(0.0002))));
        assert_eq!(of("-.25"), Some((-0.25, None)));
        assert_eq!(of("90"), Some((90.0, None)));
        assert_eq!(of("120(3)"), Some((120.0, Some(3.0))));
        assert_eq!(of("1.2(0.1)"), Some((1.2, Some(0.1))));
        let (value, u) = of("1.25E-3(4)").unwrap();
        assert!((value - 1.25e-3).abs() < 1e-18 && (u.unwrap() - 4e-5).abs() < 1e-18);
        for bad in ["", "(2)", "a", "nan", "inf", "1.2(x)", "1e999", "--1", "infinity"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn rounded_thirds_are_thirds() {
        assert_eq!(coordinate("0.3333"), Some(1.0 / 3.0));
        assert_eq!(coordinate("0.66667"), Some(2.0 / 3.0));
        assert_eq!(coordinate("0.667"), Some(2.0 / 3.0));
        assert_eq!(coordinate("-0.1667"), Some(-1.0 / 6.0));
        assert_eq!(coordinate("0.3330"), Some(0.333));
        assert_eq!(coordinate("0.33"), Some(0.33));
        assert_eq!(coordinate("0.3333(2)"), Some(0.3333));
    }
}
