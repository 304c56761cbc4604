//! The convex hull of formation: the mixture of known phases with the lowest energy at a composition, by linear
//! programming (minimise Σ x_j E_j with Σ x_j c_j = c, x ≥ 0).
//!
//! A distance to a hull means something only relative to the phases it was made of, all with energies of one origin.

use crate::composition::Composition;
use crate::element::Element;

/// A phase whose energy is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// What it consists of.
    pub composition: Composition,
    /// Energy in eV for each atom.
    pub energy: f64,
}

/// Known phases.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hull {
    phases: Vec<Phase>,
}

/// The mixture of known phases with the lowest energy.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// Energy in eV for each atom.
    pub energy: f64,
    /// Position of each phase in the list, and its share of the atoms.
    pub parts: Vec<(usize, f64)>,
    /// How many known phases could have taken part.
    pub competitors: usize,
}

/// Why there is no hull or no answer from it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HullError {
    /// An energy is infinite or none.
    #[error("the energy of phase {0} is not finite")]
    NotFinite(usize),
    /// No mixture of the known phases has the composition.
    #[error("no mixture of the {competitors} known phases of these elements has this composition")]
    Unreachable {
        /// Known phases that hold no other elements.
        competitors: usize,
    },
    /// The iteration did not end; never seen, and better said than guessed.
    #[error("the search for the lowest mixture did not end")]
    NoEnd,
}

/// Energies that differ by less are equal, eV for each atom.
const TOLERANCE: f64 = 1e-10;
/// Cost of what is missing, far above any energy of an atom but not so far that digits are lost.
const MISSING: f64 = 1e5;
/// After so many steps the rule that cannot cycle takes over from the fast one.
const FAST_STEPS: usize = 200;
const MOST_STEPS: usize = 20_000;

impl Hull {
    /// A hull of the given phases.
    ///
    /// # Errors
    /// [`HullError::NotFinite`] names the first phase whose energy is no number.
    pub fn new(phases: Vec<Phase>) -> Result<Self, HullError> {
        match phases.iter().position(|phase| !phase.energy.is_finite()) {
            Some(bad) => Err(HullError::NotFinite(bad)),
            None => Ok(Self { phases }),
        }
    }

    /// The known phases.
    #[must_use]
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// The lowest mixture at a composition.
    ///
    /// # Errors
    /// [`HullError::Unreachable`] when the known phases cannot make it.
    pub fn mixture(&self, composition: &Composition) -> Result<Mixture, HullError> {
        self.mixture_without(composition, None)
    }

    /// How far an energy in eV for each atom lies above the known phases; negative when it is below all their mixtures.
    ///
    /// # Errors
    /// [`HullError::Unreachable`] when the known phases cannot make the composition.
    pub fn energy_above(&self, composition: &Composition, energy: f64) -> Result<f64, HullError> {
        Ok(energy - self.mixture(composition)?.energy)
    }

    /// How far a known phase lies above the others; negative for a stable one, by what it would cost to lose it.
    ///
    /// # Errors
    /// [`HullError::Unreachable`] when the others cannot make it, or there is no phase of this number.
    pub fn energy_above_others(&self, phase: usize) -> Result<f64, HullError> {
        let own = self.phases.get(phase).ok_or(HullError::Unreachable { competitors: self.phases.len() })?;
        Ok(own.energy - self.mixture_without(&own.composition, Some(phase))?.energy)
    }

    fn mixture_without(&self, composition: &Composition, without: Option<usize>) -> Result<Mixture, HullError> {
        let elements: Vec<Element> = composition.iter().map(|(element, _)| element).collect();
        // A phase with another element cannot take part: nothing could take that element away again.
        let fits = |phase: &Phase| phase.composition.iter().all(|(element, _)| composition.fraction(element) > 0.0);
        let taking_part = self.phases.iter().enumerate().filter(|(at, phase)| Some(*at) != without && fits(phase));
        let candidates: Vec<(usize, &Phase)> = taking_part.collect();
        let column = |phase: &Phase| elements.iter().map(|&element| phase.composition.fraction(element)).collect();
        let mut columns: Vec<Column> =
            candidates.iter().map(|(_, phase)| Column { entries: column(phase), cost: phase.energy }).collect();
        let target: Vec<f64> = composition.iter().map(|(_, fraction)| fraction).collect();
        let first_missing = columns.len();
        for row in 0..elements.len() {
            let entries = (0..elements.len()).map(|other| f64::from(u8::from(other == row))).collect();
            columns.push(Column { entries, cost: MISSING });
        }
        let solution = simplex(&columns, &target, (first_missing..columns.len()).collect())?;
        if solution.iter().any(|&(column, share)| column >= first_missing && share > 1e-9) {
            return Err(HullError::Unreachable { competitors: candidates.len() });
        }
        let parts: Vec<(usize, f64)> = solution
            .into_iter()
            .filter(|&(column, share)| column < first_missing && share > TOLERANCE)
            .map(|(column, share)| (candidates[column].0, share))
            .collect();
        let energy = parts.iter().map(|&(phase, share)| share * self.phases[phase].energy).sum();
        Ok(Mixture { energy, parts, competitors: candidates.len() })
    }
}

struct Column {
    entries: Vec<f64>,
    cost: f64,
}

/// Minimises the cost from a basis that is feasible, and returns basic columns with their amounts. The revised simplex
/// method (Dantzig; Bland's rule, Math. Oper. Res. 2, 103, 1977, against cycles). There are few rows, so the basis is
/// solved anew at each step and no error builds up.
fn simplex(columns: &[Column], target: &[f64], mut basis: Vec<usize>) -> Result<Vec<(usize, f64)>, HullError> {
    let rows = target.len();
    for step in 0..MOST_STEPS {
        let matrix: Vec<Vec<f64>> =
            (0..rows).map(|row| basis.iter().map(|&column| columns[column].entries[row]).collect()).collect();
        let transposed: Vec<Vec<f64>> = basis.iter().map(|&column| columns[column].entries.clone()).collect();
        let costs: Vec<f64> = basis.iter().map(|&column| columns[column].cost).collect();
        let amounts = solve(matrix.clone(), target).ok_or(HullError::NoEnd)?;
        let prices = solve(transposed, &costs).ok_or(HullError::NoEnd)?;
        let gain = |column: &Column| {
            column.cost - column.entries.iter().zip(&prices).map(|(entry, price)| entry * price).sum::<f64>()
        };
        // Artificial columns may leave, but never come back.
        let gains = columns.iter().enumerate().map(|(at, column)| (at, gain(column)));
        let mut better =
            gains.filter(|&(at, gain)| gain < -TOLERANCE && columns[at].cost < MISSING && !basis.contains(&at));
        let entering = if step < FAST_STEPS { better.min_by(|a, b| a.1.total_cmp(&b.1)) } else { better.next() };
        let Some((entering, _)) = entering else {
            return Ok(basis.into_iter().zip(amounts).collect());
        };
        let change = solve(matrix, &columns[entering].entries).ok_or(HullError::NoEnd)?;
        let leaving = (0..rows)
            .filter(|&row| change[row] > 1e-9)
            .map(|row| (row, amounts[row].max(0.0) / change[row]))
            .min_by(|a, b| a.1.total_cmp(&b.1).then(basis[a.0].cmp(&basis[b.0])));
        let Some((leaving, _)) = leaving else { return Err(HullError::NoEnd) };
        basis[leaving] = entering;
    }
    Err(HullError::NoEnd)
}

/// Solves a small system by elimination with pivoting; `None` when it is singular.
fn solve(mut matrix: Vec<Vec<f64>>, right: &[f64]) -> Option<Vec<f64>> {
    let count = right.len();
    let mut right = right.to_vec();
    for column in 0..count {
        let pivot = (column..count).max_by(|&a, &b| matrix[a][column].abs().total_cmp(&matrix[b][column].abs()))?;
        if matrix[pivot][column].abs() < 1e-12 {
            return None;
        }
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        for row in column + 1..count {
            let factor = matrix[row][column] / matrix[column][column];
            let (above, below) = matrix.split_at_mut(row);
            below[0].iter_mut().zip(&above[column]).for_each(|(value, &upper)| *value -= factor * upper);
            right[row] -= factor * right[column];
        }
    }
    for row in (0..count).rev() {
        let known: f64 = (row + 1..count).map(|column| matrix[row][column] * right[column]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(amounts: &[(u32, f64)], energy: f64) -> Phase {
        let amounts = amounts.iter().map(|&(number, amount)| (Element::from_number(number).unwrap(), amount));
        Phase { composition: Composition::new(amounts).unwrap(), energy }
    }

    /// Li–O with a stable and an unstable oxide; energies of formation in eV for each atom.
    fn binary() -> Hull {
        let phases = vec![
            phase(&[(3, 1.0)], 0.0),
            phase(&[(8, 1.0)], 0.0),
            phase(&[(3, 2.0), (8, 1.0)], -2.0),
            phase(&[(3, 2.0), (8, 2.0)], -1.4),
            phase(&[(3, 3.0), (8, 1.0)], -1.6),
        ];
        Hull::new(phases).unwrap()
    }

    #[test]
    fn a_binary_hull_is_the_lower_envelope() {
        let hull = binary();
        // At Li2O2 the tie line from Li2O to O2 passes at -2.0 * 3/4 = -1.5.
        let peroxide = &hull.phases()[3].composition.clone();
        let mixture = hull.mixture(peroxide).unwrap();
        assert!((mixture.energy + 1.5).abs() < 1e-12 && mixture.competitors == 5);
        assert_eq!(mixture.parts.iter().map(|part| part.0).collect::<std::collections::BTreeSet<_>>(), [1, 2].into());
        assert!((hull.energy_above(peroxide, -1.4).unwrap() - 0.1).abs() < 1e-12);
        assert!((hull.energy_above(peroxide, -1.7).unwrap() + 0.2).abs() < 1e-12);
        // Without Li2O, the line from Li3O (x = 1/4, -1.6) to Li2O2 (x = 1/2, -1.4) at x = 1/3.
        let line = -1.6 + (1.0 / 3.0 - 0.25) / 0.25 * 0.2;
        assert!((hull.energy_above_others(2).unwrap() - (-2.0 - line)).abs() < 1e-12);
        // Li3O lies below its line from Li to Li2O (-1.5), so it is stable too.
        assert!((hull.energy_above_others(4).unwrap() + 0.1).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_made_is_said() {
        let hull = binary();
        let other = phase(&[(3, 1.0), (9, 1.0)], 0.0).composition;
        assert_eq!(hull.mixture(&other), Err(HullError::Unreachable { competitors: 1 }));
        assert_eq!(Hull::new(vec![phase(&[(3, 1.0)], f64::NAN)]), Err(HullError::NotFinite(0)));
        let alone = Hull::new(vec![phase(&[(3, 1.0)], -1.9)]).unwrap();
        let lithium = alone.phases()[0].composition.clone();
        assert_eq!(alone.energy_above(&lithium, -1.9), Ok(0.0));
        assert!(matches!(alone.energy_above_others(0), Err(HullError::Unreachable { competitors: 0 })));
    }

    #[test]
    fn quaternary_hulls_agree_with_trying_every_set_of_phases() {
        let mut state = 5u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / f64::from(1u32 << 31)
        };
        let numbers = [3, 8, 13, 26];
        let mut phases: Vec<Phase> = numbers.iter().map(|&number| phase(&[(number, 1.0)], 0.0)).collect();
        for _ in 0..12 {
            let amounts: Vec<(u32, f64)> = numbers.iter().map(|&number| (number, (random() * 4.0).floor())).collect();
            if amounts.iter().any(|(_, amount)| *amount > 0.0) {
                phases.push(phase(&amounts, -random()));
            }
        }
        let hull = Hull::new(phases.clone()).unwrap();
        for _ in 0..20 {
            let wanted = phase(&numbers.map(|number| (number, 0.05 + random())), 0.0).composition;
            let found = hull.mixture(&wanted).unwrap().energy;
            let brute = lowest_of_all_sets(&phases, &wanted);
            assert!((found - brute).abs() < 1e-9, "{found} {brute}");
        }
    }

    fn lowest_of_all_sets(phases: &[Phase], wanted: &Composition) -> f64 {
        let target: Vec<f64> = wanted.iter().map(|(_, fraction)| fraction).collect();
        let mut lowest = f64::INFINITY;
        for a in 0..phases.len() {
            for b in a + 1..phases.len() {
                for c in b + 1..phases.len() {
                    for d in c + 1..phases.len() {
                        let set = [a, b, c, d].map(|index| &phases[index]);
                        let row = |element| set.map(|phase| phase.composition.fraction(element)).to_vec();
                        let matrix = wanted.iter().map(|(element, _)| row(element)).collect();
                        let Some(shares) = solve(matrix, &target) else { continue };
                        if shares.iter().all(|&share| share > -1e-12) {
                            let energy = shares.iter().zip(set).map(|(share, phase)| share * phase.energy).sum();
                            lowest = f64::min(lowest, energy);
                        }
                    }
                }
            }
        }
        lowest
    }
}
