//! Ordinates of `(X++(Y..Y))`: plain, packed, squeezed (SQZ), difference (DIF) and duplicate (DUP) codes in one line.

use super::JcampError;

/// What a table decodes to.
pub(super) struct Decoded {
    pub(super) values: Vec<f64>,
    /// Abscissa at the start of a line, index of the first ordinate there, and the line.
    pub(super) starts: Vec<(f64, usize, usize)>,
    pub(super) warnings: Vec<String>,
}

/// The last ordinate or difference, which a duplicate code repeats.
#[derive(Clone, Copy)]
enum Last {
    Nothing,
    Value,
    Difference(f64),
}

pub(super) fn ordinates(body: &str, first_line: usize, most: usize) -> Result<Decoded, JcampError> {
    let mut decoded = Decoded { values: Vec::new(), starts: Vec::new(), warnings: Vec::new() };
    // True after a line that ended in a difference: the next line repeats its last ordinate as a check.
    let mut check = false;
    for (offset, line) in body.split('\n').enumerate() {
        let number = first_line + offset;
        let line = line.split("$$").next().unwrap_or("").trim();
        if line.is_empty() {
            continue;
        }
        let mut rest = line;
        let Some((abscissa, after)) = plain(rest) else { return Err(bad(number, rest)) };
        rest = after;
        let start = decoded.values.len();
        let mut last = Last::Nothing;
        let mut checked = !check;
        while !rest.trim_start_matches([' ', '\t', ',', ';']).is_empty() {
            rest = rest.trim_start_matches([' ', '\t', ',', ';']);
            let code = rest.chars().next().unwrap_or(' ');
            let previous = decoded.values.last().copied();
            if let Some((count, after)) = duplicate(rest) {
                repeat(&mut decoded.values, last, count, most, number)?;
                rest = after;
                continue;
            }
            let (value, after, is_difference) = match code {
                '@' | 'A'..='I' | 'a'..='i' | '%' | 'J'..='R' | 'j'..='r' => {
                    coded(rest).ok_or_else(|| bad(number, rest))?
                }
                // A missing ordinate.
                '?' => (f64::NAN, &rest[1..], false),
                _ => plain(rest).map(|(value, after)| (value, after, false)).ok_or_else(|| bad(number, rest))?,
            };
            rest = after;
            if is_difference {
                let Some(previous) = previous else { return Err(bad(number, line)) };
                decoded.values.push(previous + value);
                last = Last::Difference(value);
            } else {
                if !checked {
                    checked = true;
                    // The first ordinate of the line is the check itself: compare and drop.
                    if let Some(previous) = previous
                        && previous != value
                    {
                        decoded.warnings.push(format!(
                            "the check in line {number} is {value}, the line before ends with {previous}"
                        ));
                    }
                    last = Last::Value;
                    continue;
                }
                decoded.values.push(value);
                last = Last::Value;
            }
            if decoded.values.len() > most {
                return Err(JcampError::TooMuch { line: number });
            }
        }
        let first = if check { start.saturating_sub(1) } else { start };
        decoded.starts.push((abscissa, first, number));
        check = matches!(last, Last::Difference(_));
    }
    Ok(decoded)
}

/// Repeats the last ordinate, or goes on by the last difference, so that it occurs `count` times in all.
fn repeat(values: &mut Vec<f64>, last: Last, count: usize, most: usize, line: usize) -> Result<(), JcampError> {
    let (Some(mut value), Last::Value | Last::Difference(_)) = (values.last().copied(), last) else {
        return Err(bad(line, "a duplicate of nothing"));
    };
    for _ in 1..count {
        if let Last::Difference(step) = last {
            value += step;
        }
        values.push(value);
        if values.len() > most {
            return Err(JcampError::TooMuch { line });
        }
    }
    Ok(())
}

fn bad(line: usize, rest: &str) -> JcampError {
    JcampError::Ordinate { line, found: rest.trim().chars().take(20).collect() }
}

/// A plain number with sign, decimals and exponent at the start of the text, and what follows it. In packed form a sign
/// begins the next number.
fn plain(text: &str) -> Option<(f64, &str)> {
    let bytes = text.as_bytes();
    let mut end = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let digits = |from: usize| from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let start = end;
    end = digits(end);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if end == start || (end == start + 1 && bytes[start] == b'.') {
        return None;
    }
    // `E` is also a squeezed digit: only one with a sign, or upper case before a digit after a decimal point, is an
    // exponent.
    if matches!(bytes.get(end), Some(b'E' | b'e')) && matches!(bytes.get(end + 1), Some(b'+' | b'-')) {
        let after = digits(end + 2);
        if after > end + 2 {
            end = after;
        }
    }
    text[..end].parse().ok().filter(|value: &f64| value.is_finite()).map(|value| (value, &text[end..]))
}

/// A squeezed ordinate or a difference: value, what follows, and which it is.
fn coded(text: &str) -> Option<(f64, &str, bool)> {
    let code = text.chars().next()?;
    let (sign, digit, difference) = match code {
        '@' => (1.0, 0, false),
        'A'..='I' => (1.0, code as u32 - 'A' as u32 + 1, false),
        'a'..='i' => (-1.0, code as u32 - 'a' as u32 + 1, false),
        '%' => (1.0, 0, true),
        'J'..='R' => (1.0, code as u32 - 'J' as u32 + 1, true),
        'j'..='r' => (-1.0, code as u32 - 'j' as u32 + 1, true),
        _ => return None,
    };
    let rest = &text[1..];
    let end = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let value: f64 = format!("{digit}{}", &rest[..end]).parse().ok()?;
    value.is_finite().then_some((sign * value, &rest[end..], difference))
}

/// A duplicate count: how often the preceding ordinate or difference occurs in total.
fn duplicate(text: &str) -> Option<(usize, &str)> {
    let digit = match text.chars().next()? {
        code @ 'S'..='Z' => code as u32 - 'S' as u32 + 1,
        's' => 9,
        _ => return None,
    };
    let rest = &text[1..];
    let end = rest.bytes().take_while(u8::is_ascii_digit).count();
    let count = format!("{digit}{}", &rest[..end]).parse().unwrap_or(usize::MAX);
    Some((count, &rest[end..]))
}

/// Pairs of `(XY..XY)`: separated by blanks or line ends, the two of a pair by a comma or blanks.
pub(super) fn pairs(body: &str, first_line: usize) -> Result<Vec<(f64, f64)>, JcampError> {
    let mut found = Vec::new();
    for (offset, line) in body.split('\n').enumerate() {
        let number = first_line + offset;
        let line = line.split("$$").next().unwrap_or("");
        let words = line.split([' ', '\t', ',', ';']).filter(|word| !word.is_empty());
        let values = words
            .map(|word| word.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| bad(number, word)))
            .collect::<Result<Vec<f64>, _>>()?;
        if !values.len().is_multiple_of(2) {
            return Err(bad(number, line));
        }
        found.extend(values.chunks_exact(2).map(|pair| (pair[0], pair[1])));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_ordinates_in_every_code() {
        // The example of the standard: the same seven lines in five forms.
        let wanted = [1.0, 2.0, 3.0, 3.0, 2.0, 1.0, 0.0, -1.0, -2.0, -3.0];
        for body in ["99 1 2 3 3 2 1 0 -1 -2 -3", "99+1+2+3+3+2+1+0-1-2-3", "99ABCCBA@abc", "99A2B2"] {
            let decoded = ordinates(body, 1, 100).unwrap();
            if body == "99A2B2" {
                assert_eq!(decoded.values, [12.0, 22.0]);
            } else {
                assert_eq!(decoded.values, wanted, "{body}");
            }
        }
        assert_eq!(ordinates("99AJJ%jjjjjj", 1, 100).unwrap().values, wanted);
        assert_eq!(ordinates("99AJT%jX", 1, 100).unwrap().values, wanted);
        // The second line repeats the last ordinate of the first.
        let decoded = ordinates("99AJJ\n102C%j\n103BS", 1, 100).unwrap();
        assert_eq!(decoded.values, [1.0, 2.0, 3.0, 3.0, 2.0]);
        assert!(decoded.warnings.is_empty());
        assert_eq!(ordinates("99AJJ\n102D%", 1, 100).unwrap().warnings.len(), 1);
    }

    #[test]
    fn what_is_no_ordinate_is_named() {
        assert!(matches!(ordinates("99 1 x", 7, 10), Err(JcampError::Ordinate { line: 7, .. })));
        assert!(matches!(ordinates("99 S", 7, 10), Err(JcampError::Ordinate { .. })));
        assert!(matches!(ordinates("99J", 7, 10), Err(JcampError::Ordinate { .. })));
        assert!(matches!(ordinates("99AZ99999999", 7, 10), Err(JcampError::TooMuch { line: 7 })));
        assert!(pairs("1,2 3", 1).is_err());
        assert_eq!(pairs("1,2 3,4\n5 6", 1).unwrap(), [(1.0, 2.0), (3.0, 4.0), (5.0, 6.0)]);
    }
}
