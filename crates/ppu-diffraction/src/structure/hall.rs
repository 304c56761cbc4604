//! Hall symbols: generators of a space group with its origin (Hall, Acta Cryst. A37, 517, 1981; International Tables for
//! Crystallography B, 1.4, appendix 2).

use super::StructureError;
use super::symmetry::{Operator, SpaceGroup, TRANSLATION_UNIT};

/// Origin shifts of Hall symbols are given in twelfths.
const SHIFT_UNIT: i32 = TRANSLATION_UNIT / 12;
/// No symbol has more than four matrices.
const MOST_MATRICES: usize = 4;

/// The axis about which a matrix turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    X,
    Y,
    Z,
    /// a - b, or its like for another preceding axis.
    Difference,
    /// a + b, or its like.
    Sum,
    /// a + b + c.
    Body,
}

/// The group of a Hall symbol such as `-F 4vw 2vw 3`, under the given name.
///
/// # Errors
/// [`StructureError::Hall`] names the part that was not understood; a change of axes `(x,y,z)` is not supported.
pub(crate) fn group(name: &str, symbol: &str) -> Result<SpaceGroup, StructureError> {
    let fail = |at: &str| StructureError::Hall { symbol: symbol.to_owned(), at: at.to_owned() };
    let (body, shift) = match symbol.split_once('(') {
        Some((body, rest)) => (body, origin_shift(rest).ok_or_else(|| fail(rest))?),
        None => (symbol, [0; 3]),
    };
    let mut words = body.split([' ', '_']).filter(|word| !word.is_empty());
    let lattice = words.next().ok_or_else(|| fail(symbol))?;
    let (centric, letter) = lattice.strip_prefix('-').map_or((false, lattice), |letter| (true, letter));
    let mut generators: Vec<Operator> = centring(letter)
        .ok_or_else(|| fail(lattice))?
        .iter()
        .map(|&translation| Operator { translation, ..Operator::IDENTITY })
        .collect();
    if centric {
        generators.push(negated(Operator::IDENTITY));
    }
    let mut before: Option<(i32, Axis)> = None;
    for (index, word) in words.enumerate() {
        if index >= MOST_MATRICES {
            return Err(fail(word));
        }
        let (operator, order, axis) = matrix(word, index, before).ok_or_else(|| fail(word))?;
        before = Some((order, axis));
        generators.push(operator);
    }
    let shifted: Vec<Operator> = generators.iter().map(|operator| moved(operator, shift)).collect();
    SpaceGroup::generated(name, &shifted)
}

/// `p q r)` in twelfths, in units of the translations of [`Operator`].
fn origin_shift(text: &str) -> Option<[i32; 3]> {
    let numbers: Option<Vec<i32>> = text
        .trim()
        .strip_suffix(')')?
        .split_whitespace()
        .map(|word| word.parse().ok().filter(|n: &i32| n.abs() < 12))
        .collect();
    Some(<[i32; 3]>::try_from(numbers?).ok()?.map(|twelfths| SHIFT_UNIT * twelfths))
}

/// Lattice translations beyond those of the cell, in 1/24.
fn centring(letter: &str) -> Option<&'static [[i32; 3]]> {
    Some(match letter {
        "P" => &[],
        "A" => &[[0, 12, 12]],
        "B" => &[[12, 0, 12]],
        "C" => &[[12, 12, 0]],
        "I" => &[[12, 12, 12]],
        "F" => &[[0, 12, 12], [12, 0, 12]],
        "R" => &[[16, 8, 8]],
        "S" => &[[8, 8, 16]],
        "T" => &[[8, 16, 8]],
        "H" => &[[16, 8, 0]],
        _ => return None,
    })
}

/// One matrix with its translations, the order of its axis and the axis.
fn matrix(word: &str, index: usize, before: Option<(i32, Axis)>) -> Option<(Operator, i32, Axis)> {
    let (improper, word) = word.strip_prefix('-').map_or((false, word), |rest| (true, rest));
    let mut letters = word.chars();
    let order = i32::try_from(letters.next()?.to_digit(10)?).ok()?;
    let mut axis = default_axis(order, index, before);
    let (mut translation, mut screw) = ([0; 3], None);
    for letter in letters {
        match letter {
            'x' => axis = Some(Axis::X),
            'y' => axis = Some(Axis::Y),
            'z' => axis = Some(Axis::Z),
            '\'' => axis = Some(Axis::Difference),
            '"' => axis = Some(Axis::Sum),
            '*' => axis = Some(Axis::Body),
            '1'..='5' => screw = Some(i32::try_from(letter.to_digit(10)?).ok()?),
            _ => {
                let step = glide(letter)?;
                translation = [0, 1, 2].map(|k| translation[k] + step[k]);
            }
        }
    }
    let axis = axis?;
    if let Some(screw) = screw {
        let along = match axis {
            Axis::X => 0,
            Axis::Y => 1,
            Axis::Z => 2,
            _ => return None,
        };
        if screw >= order {
            return None;
        }
        translation[along] += TRANSLATION_UNIT * screw / order;
    }
    // What stands on the diagonals turns about the axis that stood before, c when none did.
    let rotation = rotation(order, axis, before.map_or(Axis::Z, |(_, axis)| axis))?;
    let operator = Operator { rotation, translation: [0; 3] };
    let operator = if improper { negated(operator) } else { operator };
    let translation = translation.map(|t| t.rem_euclid(TRANSLATION_UNIT));
    Some((Operator { translation, ..operator }, order, axis))
}

/// The axis that a symbol leaves out: c for the first, then by what stood before.
fn default_axis(order: i32, index: usize, before: Option<(i32, Axis)>) -> Option<Axis> {
    match (order, index, before) {
        (1, ..) | (_, 0, _) => Some(Axis::Z),
        (2, 1, Some((2 | 4, _))) => Some(Axis::X),
        (2, 1, Some((3 | 6, _))) => Some(Axis::Difference),
        (3, ..) => Some(Axis::Body),
        _ => None,
    }
}

fn glide(letter: char) -> Option<[i32; 3]> {
    Some(match letter {
        'a' => [12, 0, 0],
        'b' => [0, 12, 0],
        'c' => [0, 0, 12],
        'n' => [12, 12, 12],
        'u' => [6, 0, 0],
        'v' => [0, 6, 0],
        'w' => [0, 0, 6],
        'd' => [6, 6, 6],
        _ => return None,
    })
}

/// The rotation about an axis of the cell, a face diagonal normal to the axis `before`, or the body diagonal.
fn rotation(order: i32, axis: Axis, before: Axis) -> Option<[[i32; 3]; 3]> {
    let about_c = match order {
        1 => [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        2 => [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
        3 => [[0, -1, 0], [1, -1, 0], [0, 0, 1]],
        4 => [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
        6 => [[1, -1, 0], [1, 0, 0], [0, 0, 1]],
        _ => return None,
    };
    let (turns, matrix) = match axis {
        Axis::Z => (0, about_c),
        Axis::X => (1, about_c),
        Axis::Y => (2, about_c),
        Axis::Body if order == 3 => (0, [[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
        Axis::Difference | Axis::Sum if order == 2 => {
            let sign = if axis == Axis::Difference { -1 } else { 1 };
            let turns = match before {
                Axis::X => 1,
                Axis::Y => 2,
                _ => 0,
            };
            (turns, [[0, sign, 0], [sign, 0, 0], [0, 0, -1]])
        }
        _ => return None,
    };
    // A cyclic permutation of the axes takes c to a, and done twice to b.
    Some((0..turns).fold(matrix, |m, _| std::array::from_fn(|i| std::array::from_fn(|j| m[(i + 2) % 3][(j + 2) % 3]))))
}

fn negated(operator: Operator) -> Operator {
    Operator { rotation: operator.rotation.map(|row| row.map(|entry| -entry)), ..operator }
}

/// The same operation seen from an origin moved by `shift`: t' = t + shift - R shift.
fn moved(operator: &Operator, shift: [i32; 3]) -> Operator {
    let turned = operator.rotation.map(|row| row.iter().zip(&shift).map(|(r, s)| r * s).sum::<i32>());
    let translation = [0, 1, 2].map(|k| (operator.translation[k] + shift[k] - turned[k]).rem_euclid(TRANSLATION_UNIT));
    Operator { translation, ..*operator }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators_of_the_standard_symbols_are_those_written_by_hand() {
        for (symbol, by_hand) in [
            ("-P 4 2 3", SpaceGroup::pm3m()),
            ("-F 4 2 3", SpaceGroup::fm3m()),
            ("-I 4 2c", SpaceGroup::i4mcm()),
            ("-P 2c 2ab", SpaceGroup::pbnm()),
            ("-P 2ac 2n", SpaceGroup::pnma()),
            ("-P 6c 2c", SpaceGroup::p63mmc()),
            ("P 6c -2c", SpaceGroup::p63mc()),
            ("-P 3 2\"", SpaceGroup::p3m1_bar()),
            ("-R 3 2\"c", SpaceGroup::r3c_bar()),
        ] {
            let found = group(by_hand.name(), symbol).unwrap();
            assert_eq!(found, by_hand, "{symbol}");
        }
    }

    #[test]
    fn symbols_that_cannot_be_read_name_the_part() {
        for (symbol, place) in [
            ("", ""),
            ("Q 2", "Q"),
            ("P 7", "7"),
            ("P 2 2 2 2 2 2", "2"),
            ("P 4 3q", "3q"),
            ("P 2y (x,y,-x+z)", "x,y,-x+z)"),
            ("P 61 2 2 (0 0 99)", "0 0 99)"),
            ("P 31'", "31'"),
        ] {
            match group("test", symbol) {
                Err(StructureError::Hall { at, .. }) => assert_eq!(at, place, "{symbol}"),
                other => panic!("{symbol}: {other:?}"),
            }
        }
    }
}
