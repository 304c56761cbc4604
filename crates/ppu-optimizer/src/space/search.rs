//! Draws, spread points, projection and neighbours inside the constraints.

use rand::RngExt;
use rand_chacha::ChaCha12Rng;

use crate::normal::quantile;
use crate::sequence::Recurrence;
use crate::space::definition::Design;
use crate::space::domain::{Domain, Values};
use crate::space::encode::Encoder;
use crate::space::error::DesignError;

/// Attempts at a point outside the forbidden combinations and on the steps.
const ATTEMPTS: usize = 1_000;
/// Draws for each point of a spread set.
const DRAWS_PER_POINT: usize = 24;
/// Squared distance of columns up to which two designs are the same.
const SAME: f64 = 1e-18;

impl Domain {
    /// `count` independent draws: uniform inside the constraints (hit-and-run where sums tie numbers together, rejection
    /// for forbidden combinations), then rounded to the steps. Fewer where almost everything is forbidden.
    pub fn sample(&self, count: usize, rng: &mut ChaCha12Rng) -> Vec<Design> {
        (0..count).filter_map(|_| self.draw(rng)).map(|values| self.design(&values)).collect()
    }

    /// `count` designs that fill the space evenly: of many draws, greedily the one farthest from those chosen, beginning
    /// near the middle. `taken` designs count as chosen.
    pub fn spread(&self, count: usize, taken: &[Design], rng: &mut ChaCha12Rng) -> Result<Vec<Design>, DesignError> {
        let taken = taken.iter().map(|design| self.encode(design)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.spread_values(count, &taken, rng).iter().map(|values| self.design(values)).collect())
    }

    /// The nearest design that satisfies all limits, sums and counts, and its steps. A forbidden combination is left by
    /// the change of one level.
    pub fn project(&self, design: &Design) -> Result<Design, DesignError> {
        // Numbers are first cut at their limits, so that any finite number is welcome.
        let mut cut = design.clone();
        for (parameter, encoder) in self.space.parameters.iter().zip(&self.encoders) {
            if let (Encoder::Number { min, max, .. }, Some(crate::space::Setting::Number(value))) =
                (encoder, cut.0.get_mut(&parameter.name))
                && value.is_finite()
            {
                *value = encoder.round(value.clamp(*min, *max));
            }
        }
        let mut values = self.read_loosely(&cut, design)?;
        self.repair(&mut values);
        let settled = self.settle(&values).or_else(|| {
            let discrete = (0..values.len()).filter(|at| self.encoders[*at].count().is_some());
            let changes = discrete.flat_map(|at| (0..self.encoders[at].count().unwrap_or(0)).map(move |k| (at, k)));
            changes
                .filter_map(|(at, k)| {
                    let mut changed = values.clone();
                    changed[at] = self.encoders[at].value(k);
                    self.repair(&mut changed);
                    self.settle(&changed)
                })
                .next()
        });
        Ok(self.design(&settled.unwrap_or(values)))
    }

    /// Designs near one: numbers a normal step away inside the constraints, levels changed, parts of a mixture exchanged.
    pub fn neighbours(
        &self,
        design: &Design,
        count: usize,
        width: f64,
        rng: &mut ChaCha12Rng,
    ) -> Result<Vec<Design>, DesignError> {
        let values = self.made(design)?;
        let near = (0..count).filter_map(|_| self.neighbour(&values, width, rng));
        Ok(near.map(|values| self.design(&values)).collect())
    }

    /// Values of a design whose sums need not hold.
    fn read_loosely(&self, cut: &Design, design: &Design) -> Result<Values, DesignError> {
        let mut free = self.clone();
        (free.block, free.forbidden) = (None, Vec::new());
        free.space.constraints.clear();
        free.made(cut).map_err(|error| match error {
            // Names the number as it was given.
            DesignError::Outside { parameter, min, max, .. } => {
                let value = design.number(&parameter).unwrap_or(f64::NAN);
                DesignError::Outside { parameter, value, min, max }
            }
            other => other,
        })
    }

    /// A draw in values; `None` where nothing allowed was found.
    pub(crate) fn draw(&self, rng: &mut ChaCha12Rng) -> Option<Values> {
        let unit = |rng: &mut ChaCha12Rng| rng.random::<f64>();
        (0..ATTEMPTS).find_map(|_| {
            let position: Vec<f64> = self.encoders.iter().map(|_| unit(rng)).collect();
            self.at(&position, rng)
        })
    }

    /// The values at positions of the unit cube; numbers that sums tie together are drawn instead. `None` where the
    /// result is forbidden or off the steps.
    fn at(&self, position: &[f64], rng: &mut ChaCha12Rng) -> Option<Values> {
        let mut values: Values = self.encoders.iter().zip(position).map(|(encoder, u)| encoder.value_at(*u)).collect();
        if let Some(block) = &self.block {
            for (one, value) in block.variables.iter().zip(block.draw(rng)) {
                values[one.parameter] = value;
            }
        }
        self.normalise(&mut values);
        self.snap(&values)
    }

    /// Rounds as far as it is cheap to do so; `None` where the result is not allowed.
    fn snap(&self, values: &[f64]) -> Option<Values> {
        let mut values = values.to_vec();
        if let Some(block) = self.block.as_ref().filter(|block| block.is_all_stepped()) {
            let rounded = block.round(&self.block_values(block, &values))?;
            block.variables.iter().zip(rounded).for_each(|(one, value)| values[one.parameter] = value);
        }
        self.is_allowed(&values).then_some(values)
    }

    /// Rounds to what the lab can realise, sums kept; `None` where that is not possible or not allowed.
    pub(crate) fn settle(&self, values: &[f64]) -> Option<Values> {
        let mut values = values.to_vec();
        if let Some(block) = &self.block {
            let rounded = block.round(&self.block_values(block, &values))?;
            block.variables.iter().zip(rounded).for_each(|(one, value)| values[one.parameter] = value);
        }
        for (at, value) in values.iter_mut().enumerate() {
            let tied = self.block.as_ref().is_some_and(|block| block.variables.iter().any(|one| one.parameter == at));
            if !tied {
                *value = self.encoders[at].round(*value);
            }
        }
        self.normalise(&mut values);
        self.is_allowed(&values).then_some(values)
    }

    /// Moves numbers into limits and sums.
    pub(crate) fn repair(&self, values: &mut [f64]) {
        if let Some(block) = &self.block {
            let projected = block.project(&self.block_values(block, values));
            block.variables.iter().zip(projected).for_each(|(one, value)| values[one.parameter] = value);
        }
        for (at, value) in values.iter_mut().enumerate() {
            let tied = self.block.as_ref().is_some_and(|block| block.variables.iter().any(|one| one.parameter == at));
            if !tied {
                *value = self.encoders[at].round(*value);
            }
        }
        self.normalise(values);
    }

    /// `count` points of a low-discrepancy sequence in what is free, draws in what sums tie together.
    pub(crate) fn fill(&self, count: usize, rng: &mut ChaCha12Rng) -> Vec<Values> {
        let sequence = Recurrence::new(self.encoders.len(), rng);
        let mut found = Vec::with_capacity(count);
        for index in 0..count * 50 {
            if found.len() == count {
                break;
            }
            found.extend(self.at(&sequence.point(index), rng));
        }
        found
    }

    /// `count` points that are spread over the space beside those that are `taken`. Where no sums tie numbers together they
    /// are the points of one low-discrepancy sequence, in which every taken point stands for the one nearest to it: a
    /// greedy choice of far points would crowd the borders. Else greedily the farthest of many points. The same generator
    /// continues its own sequence when it is asked again with what it gave as taken.
    pub(crate) fn spread_values(&self, count: usize, taken: &[Vec<f64>], rng: &mut ChaCha12Rng) -> Vec<Values> {
        let choices = self.fill((DRAWS_PER_POINT * count).clamp(256, 4_096).max(2 * (taken.len() + count)), rng);
        let rows: Vec<Vec<f64>> = choices.iter().map(|values| self.encode_values(values)).collect();
        let mut chosen = if self.block.is_none() { self.continued(&choices, &rows, count, taken) } else { Vec::new() };
        let taken: Vec<Vec<f64>> =
            taken.iter().cloned().chain(chosen.iter().map(|values| self.encode_values(values))).collect();
        let width = self.features().len();
        let middle: Vec<f64> =
            (0..width).map(|k| rows.iter().map(|row| row[k]).sum::<f64>() / rows.len().max(1) as f64).collect();
        let mut nearest: Vec<f64> =
            rows.iter().map(|row| taken.iter().map(|other| square(row, other)).fold(f64::INFINITY, f64::min)).collect();
        while chosen.len() < count.min(choices.len()) {
            let first = taken.is_empty() && chosen.is_empty();
            let score = |at: usize| if first { -square(&rows[at], &middle) } else { nearest[at] };
            let best = (0..rows.len()).reduce(|best, at| if score(at) > score(best) { at } else { best });
            let Some(best) = best else { break };
            if !first && nearest[best] <= SAME {
                break;
            }
            chosen.extend(self.settle(&choices[best]));
            for at in 0..rows.len() {
                nearest[at] = nearest[at].min(square(&rows[at], &rows[best]));
            }
        }
        chosen
    }

    /// The first points of a sequence for which no taken point stands; none twice.
    fn continued(&self, choices: &[Values], rows: &[Vec<f64>], count: usize, taken: &[Vec<f64>]) -> Vec<Values> {
        let head = (taken.len() + count).min(rows.len());
        let mut free: Vec<usize> = (0..head).collect();
        for other in taken {
            let near = |place: &usize| square(&rows[free[*place]], other);
            let place = (0..free.len()).min_by(|a, b| near(a).total_cmp(&near(b)));
            if let Some(place) = place {
                free.remove(place);
            }
        }
        let mut seen: Vec<&Vec<f64>> = taken.iter().collect();
        let mut chosen = Vec::new();
        for at in free {
            if chosen.len() < count && seen.iter().all(|other| square(other, &rows[at]) > SAME) {
                chosen.extend(self.settle(&choices[at]));
                seen.push(&rows[at]);
            }
        }
        chosen
    }

    /// One neighbour; `None` where the step leads nowhere allowed.
    pub(crate) fn neighbour(&self, values: &[f64], width: f64, rng: &mut ChaCha12Rng) -> Option<Values> {
        let mut moved = values.to_vec();
        let tied =
            |at: usize| self.block.as_ref().is_some_and(|block| block.variables.iter().any(|one| one.parameter == at));
        let free: Vec<usize> = (0..values.len()).filter(|at| self.is_active(values, *at) && !tied(*at)).collect();
        let groups = free.len() + usize::from(self.block.is_some());
        // On average two groups move: mixed spaces are climbed along few coordinates at a time.
        let chance = (2.0 / groups as f64).min(1.0);
        for at in &free {
            if rng.random::<f64>() < chance {
                moved[*at] = self.nudge(*at, values[*at], width, rng);
            }
        }
        if let Some(block) = &self.block
            && (free.is_empty() || rng.random::<f64>() < chance.max(0.5))
        {
            let natural = self.block_values(block, values);
            let stepped = block.step(&natural, width, rng);
            block.variables.iter().zip(stepped).for_each(|(one, value)| moved[one.parameter] = value);
        }
        // A parameter that comes into being starts anywhere.
        for at in 0..moved.len() {
            if self.is_active(&moved, at) && !self.is_active(values, at) {
                moved[at] = self.encoders[at].value_at(rng.random::<f64>());
            }
        }
        self.normalise(&mut moved);
        self.snap(&moved)
    }

    fn nudge(&self, at: usize, value: f64, width: f64, rng: &mut ChaCha12Rng) -> f64 {
        let normal = quantile(rng.random::<f64>().clamp(1e-12, 1.0 - 1e-12));
        let encoder = &self.encoders[at];
        match (encoder, encoder.count()) {
            (Encoder::Levels { rows, ordered: false }, Some(count)) => {
                // Levels that are alike are tried more often: by rank of their distance, half as often from one to the next.
                let mut others: Vec<usize> = (0..count).filter(|other| *other as f64 != value).collect();
                others.sort_by(|a, b| {
                    let apart = |other: &usize| square(&rows[*other], &rows[value as usize]);
                    apart(a).total_cmp(&apart(b))
                });
                let likes = rows[0].len() != count;
                let pick = if likes {
                    -rng.random::<f64>().max(1e-9).log2()
                } else {
                    rng.random::<f64>() * others.len() as f64
                };
                others[(pick as usize).min(others.len() - 1)] as f64
            }
            (_, Some(count)) => {
                let place = (0..count).find(|k| (encoder.value(*k) - value).abs() < 1e-9);
                let place = place.unwrap_or((encoder.unit(value) * count as f64) as usize) as f64;
                let far = (normal * width * count as f64).round();
                let step = if far == 0.0 { normal.signum() } else { far };
                encoder.value((place + step).clamp(0.0, count as f64 - 1.0) as usize)
            }
            _ => encoder.value_at(encoder.unit(value) + width * normal),
        }
    }
}

pub(crate) fn square(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// Euclidean distance of encoded designs.
pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    square(a, b).sqrt()
}
