//! Where the lines of an objective lie in its plot, read from its words.

/// What a plot can show of a goal, in the unit of the objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GoalLines {
    /// As near as possible to `value`; within `tolerance` of it is fully satisfying.
    Target {
        /// The value wanted.
        value: f64,
        /// Deviation that does not matter; zero when the words tell none.
        tolerance: f64,
    },
    /// More is better, and this is fully satisfying.
    AtLeast(f64),
    /// Less is better, and this is fully satisfying.
    AtMost(f64),
}

/// Reads the lines from words such as "1.68 ± 0.01; worthless beyond ± 0.11 (eV)", "as high as possible: 0.2 is worthless, 0.9
/// fully satisfying" or "as low as possible: …". The API says goals in words only, so words that begin otherwise, or lack
/// numbers, give no line rather than a guess.
pub fn lines(words: &str) -> Option<GoalLines> {
    let first = words.trim_start().to_lowercase();
    let numbers = numbers(words);
    let begins = |stems: &[&str]| stems.iter().any(|stem| first.starts_with(stem));
    let value_with_tolerance =
        first.contains('±') && first.starts_with(|letter: char| letter.is_ascii_digit() || letter == '-');
    if value_with_tolerance || begins(&["target", "as near", "near", "close to"]) {
        let value = *numbers.first()?;
        return Some(GoalLines::Target { value, tolerance: numbers.get(1).map_or(0.0, |tolerance| tolerance.abs()) });
    }
    let largest = || numbers.iter().copied().reduce(f64::max);
    let smallest = || numbers.iter().copied().reduce(f64::min);
    if begins(&["as high", "maxim", "more", "at least", "high"]) {
        return largest().map(GoalLines::AtLeast);
    }
    if begins(&["as low", "minim", "less", "at most", "low"]) {
        return smallest().map(GoalLines::AtMost);
    }
    None
}

fn numbers(words: &str) -> Vec<f64> {
    words
        .split(|letter: char| !(letter.is_ascii_digit() || matches!(letter, '.' | '-' | '−')))
        .filter_map(|word| word.replace('−', "-").trim_end_matches('.').parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_lines_or_nothing() {
        let target = GoalLines::Target { value: 1.68, tolerance: 0.01 };
        assert_eq!(lines("1.68 ± 0.01; worthless beyond ± 0.11 (eV)"), Some(target));
        assert_eq!(lines("target 1.68 ± 0.01 eV, worthless beyond 0.11"), Some(target));
        let high = "as high as possible: 0.6 is worthless, 0.97 fully satisfying";
        assert_eq!(lines(high), Some(GoalLines::AtLeast(0.97)));
        let low = "as low as possible: 10 is worthless, 5 fully satisfying (K/min)";
        assert_eq!(lines(low), Some(GoalLines::AtMost(5.0)));
        let negative = GoalLines::Target { value: -2.0, tolerance: 0.5 };
        assert_eq!(lines("-2 ± 0.5; worthless beyond ± 3"), Some(negative));
        assert_eq!(lines("as near as possible to 1.68 (±0.01)"), Some(target));
        assert_eq!(lines("maximize from 0.2 to 0.9"), Some(GoalLines::AtLeast(0.9)));
        assert_eq!(lines("minimize: 5 is perfect, 10 is worthless."), Some(GoalLines::AtMost(5.0)));
        assert_eq!(lines("maximize"), None);
        assert_eq!(lines("whatever 3"), None);
    }
}
