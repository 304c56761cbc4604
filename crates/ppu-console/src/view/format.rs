//! Numbers and names as people read them.

use ppu_proto::common::v1::{Value, value::Kind};

/// The sign for "there is no value".
pub const NOTHING: &str = "–";

/// A number with four significant digits and a true minus sign.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return NOTHING.into();
    }
    if value == 0.0 {
        return "0".into();
    }
    let magnitude = value.abs().log10().floor();
    if !(-4.0..7.0).contains(&magnitude) {
        return minus(format!("{value:.3e}"));
    }
    // The cast is exact: the magnitude lies between -4 and 6.
    let decimals = (3 - magnitude as i32).max(0) as usize;
    let text = format!("{value:.decimals$}");
    minus(if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text })
}

/// A number with a fixed count of decimals and a true minus sign.
pub fn fixed(value: f64, decimals: usize) -> String {
    if value.is_finite() { minus(format!("{value:.decimals$}")) } else { NOTHING.into() }
}

/// Value and standard uncertainty, both to the place of the second digit of the uncertainty, as the GUM recommends
/// (JCGM 100:2008, 7.2.6).
pub fn with_sd(value: f64, sd: f64) -> String {
    if !(sd.is_finite() && sd > 0.0 && value.is_finite()) {
        return number(value);
    }
    let decimals = (1.0 - sd.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{} ± {}", fixed(value, decimals), fixed(sd, decimals))
}

/// A unit symbol of the wire as people write it; empty for a pure number.
pub fn unit(symbol: &str) -> &str {
    match symbol {
        "1" => "",
        "C" => "°C",
        "uL" => "µL",
        "um" => "µm",
        "deg" => "°",
        other => other,
    }
}

/// A name of a file as words: `film_thickness` becomes `film thickness`.
pub fn label(name: &str) -> String {
    name.replace('_', " ")
}

/// A parameter name as words and the unit that its ending tells: `anneal_temperature_c` is in °C.
pub fn parameter(name: &str) -> (String, &'static str) {
    // The longer endings come first, so that `_per_min` is not read as minutes.
    const ENDINGS: [(&str, &str); 13] = [
        ("_k_per_min", "K/min"),
        ("_percent", "%"),
        ("_minutes", "min"),
        ("_rpm", "rpm"),
        ("_min", "min"),
        ("_ms", "ms"),
        ("_ul", "µL"),
        ("_ml", "mL"),
        ("_mg", "mg"),
        ("_nm", "nm"),
        ("_ev", "eV"),
        ("_c", "°C"),
        ("_s", "s"),
    ];
    for (ending, unit) in ENDINGS {
        if let Some(stem) = name.strip_suffix(ending).filter(|stem| stem.len() > 1) {
            return (label(stem), unit);
        }
    }
    (label(name), "")
}

/// A typed value: its text and its unit.
pub fn value(value: Option<&Value>) -> (String, String) {
    match value.and_then(|value| value.kind.as_ref()) {
        Some(Kind::Quantity(quantity)) => (number(quantity.value), unit(&quantity.unit).to_owned()),
        Some(Kind::Integer(integer)) => (minus(integer.to_string()), String::new()),
        Some(Kind::Text(text)) => (text.clone(), String::new()),
        Some(Kind::Flag(flag)) => ((if *flag { "yes" } else { "no" }).to_owned(), String::new()),
        None => (NOTHING.into(), String::new()),
    }
}

/// A span of time, in milliseconds, in the coarsest unit that still tells something.
pub fn span(milliseconds: i64) -> String {
    let tenths = (milliseconds.max(0) + 50) / 100;
    let seconds = tenths / 10;
    match seconds {
        0..10 => format!("{}.{} s", seconds, tenths % 10),
        10..60 => format!("{seconds} s"),
        60..600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        600..3600 => format!("{} min", seconds / 60),
        3600..86400 => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// A length in bytes.
pub fn bytes(length: u64) -> String {
    match length {
        0..1000 => format!("{length} B"),
        1000..1_000_000 => format!("{:.1} kB", length as f64 / 1e3),
        _ => format!("{:.1} MB", length as f64 / 1e6),
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// "1 trial", "2 trials".
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn minus(text: String) -> String {
    if text.contains('-') { text.replace('-', "−") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits_and_no_false_zeros() {
        for (value, text) in [
            (1.68, "1.68"),
            (104.0, "104"),
            (0.012_345, "0.01235"),
            (-3.5, "−3.5"),
            (123_456.0, "123456"),
            (1.0e-9, "1.000e−9"),
            (0.0, "0"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn uncertainty_decides_the_digits() {
        assert_eq!(with_sd(1.683_21, 0.004_1), "1.6832 ± 0.0041");
        assert_eq!(with_sd(104.26, 12.0), "104 ± 12");
        assert_eq!(with_sd(0.5, 0.0), "0.5", "an uncertainty that is not there is not shown");
    }

    #[test]
    fn endings_tell_units() {
        assert_eq!(parameter("anneal_temperature_c"), ("anneal temperature".into(), "°C"));
        assert_eq!(parameter("cation_fraction"), ("cation fraction".into(), ""));
        assert_eq!(parameter("ramp_k_per_min"), ("ramp".into(), "K/min"));
    }

    #[test]
    fn spans_are_coarse() {
        for (milliseconds, text) in [
            (240, "0.2 s"),
            (12_400, "12 s"),
            (190_000, "3 min 10 s"),
            (1_900_000, "31 min"),
            (7_500_000, "2 h 05 min"),
            (200_000_000, "2 d 7 h"),
            (-5, "0.0 s"),
        ] {
            assert_eq!(span(milliseconds), text);
        }
    }
}
