//! The memory of a quasi-Newton search.

/// Pairs that are remembered; more do not help with some tens of steps.
const MOST_PAIRS: usize = 20;
/// Curvature that is assumed before anything is known, eV/Å²: that of a stiff bond, so first steps are too short rather
/// than too long.
const FIRST_CURVATURE: f64 = 50.0;

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    product: f64,
}

/// Steps and changes of the gradient.
#[derive(Default)]
pub(super) struct Memory {
    pairs: Vec<Pair>,
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

impl Memory {
    /// The direction that would lead to the minimum if the remembered curvature were all there is.
    pub(super) fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut direction: Vec<f64> = gradient.iter().map(|value| -value).collect();
        let mut shares = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let share = product(&pair.step, &direction) / pair.product;
            direction.iter_mut().zip(&pair.change).for_each(|(value, change)| *value -= share * change);
            shares.push(share);
        }
        let scale = match self.pairs.last() {
            Some(last) => last.product / product(&last.change, &last.change),
            None => 1.0 / FIRST_CURVATURE,
        };
        direction.iter_mut().for_each(|value| *value *= scale);
        for (pair, share) in self.pairs.iter().zip(shares.into_iter().rev()) {
            let back = share - product(&pair.change, &direction) / pair.product;
            direction.iter_mut().zip(&pair.step).for_each(|(value, step)| *value += back * step);
        }
        direction
    }

    /// Takes a step in. One along which the curvature is not clearly positive teaches nothing.
    pub(super) fn remember(&mut self, from: &[f64], to: &[f64], gradient_from: &[f64], gradient_to: &[f64]) {
        let (step, change) = (difference(to, from), difference(gradient_to, gradient_from));
        let product = product(&step, &change);
        let (step_square, change_square) = (self::product(&step, &step), self::product(&change, &change));
        if product <= 1e-3 * (step_square * change_square).sqrt() {
            return;
        }
        if self.pairs.len() == MOST_PAIRS {
            self.pairs.remove(0);
        }
        self.pairs.push(Pair { step, change, product });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quadratic_valley_is_descended_in_few_steps() {
        let curvatures = [1.0, 5.0, 40.0, 90.0];
        let gradient = |x: &[f64]| -> Vec<f64> { x.iter().zip(curvatures).map(|(x, c)| c * (x - 1.0)).collect() };
        let mut memory = Memory::default();
        let mut x = vec![3.0, -2.0, 0.5, 1.7];
        for _ in 0..25 {
            let before = gradient(&x);
            let next: Vec<f64> = x.iter().zip(memory.direction(&before)).map(|(x, by)| x + by).collect();
            memory.remember(&x, &next, &before, &gradient(&next));
            x = next;
        }
        assert!(gradient(&x).iter().all(|value| value.abs() < 1e-6), "{x:?}");
    }
}
