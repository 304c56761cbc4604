//! Models of a study's record, and the acquisition built on them.

use crate::belief::{Belief, best_process};
use crate::feasibility::Feasibility;
use crate::fidelity::Chain;
use crate::multi::{Baseline, Goal, HypervolumeImprovement, Utility, inferred_reference};
use crate::normal::log_cumulative;
use crate::preference::PreferenceModel;
use crate::sequence::{Purpose, stream};
use crate::space::{Domain, Values};
use crate::study::answer::StudyError;
use crate::study::definition::{Aim, Outcome, Record};
use crate::study::known::KnownTable;

/// Joint draws over which an acquisition is averaged. They are mirrored pairs and the same for all points; the order of
/// good points hardly changes from here on.
const DRAWS: usize = 32;
/// Probability of success below which a design is tried only where all others are worse, and what that costs in nats.
const LIKELY: f64 = 0.5;
const IMPOSSIBLE: f64 = 1e4;
/// Baseline points of the joint draw at most: what is surely beaten cannot change a front.
const BASELINE: usize = 100;

/// A result that teaches something.
pub(crate) struct Lesson {
    /// Its place in the record.
    pub(crate) told: usize,
    pub(crate) values: Values,
    pub(crate) row: Vec<f64>,
    pub(crate) failed: bool,
    /// Index of its fidelity; 0 where there is a single way.
    pub(crate) fidelity: usize,
}

/// The models behind one answer.
pub(crate) struct Engine<'a> {
    pub(crate) record: &'a Record,
    pub(crate) domain: &'a Domain,
    pub(crate) lessons: Vec<Lesson>,
    /// Values and columns of what is being evaluated at the last fidelity or any other.
    pub(crate) pending: Vec<(Values, Vec<f64>)>,
    /// A model for each observable that is not known; `None` as well where it has no data.
    pub(crate) beliefs: Vec<Option<Box<dyn Belief>>>,
    pub(crate) known: Vec<Option<KnownTable>>,
    pub(crate) feasibility: Option<Feasibility>,
    pub(crate) remarks: Vec<String>,
    /// The chain of fidelities of the first objective, where it is in use.
    pub(crate) chain: Option<Chain>,
}

impl<'a> Engine<'a> {
    /// What the record says, without models.
    pub(crate) fn read(record: &'a Record, domain: &'a Domain) -> Result<Engine<'a>, StudyError> {
        let last = record.definition.fidelities.len().saturating_sub(1);
        let fidelity_of = |name: &Option<String>| {
            let named =
                name.as_ref().and_then(|name| record.definition.fidelities.iter().position(|f| &f.name == name));
            named.unwrap_or(last)
        };
        let mut lessons = Vec::new();
        for (at, told) in record.told.iter().enumerate() {
            let failed = match &told.outcome {
                Outcome::Valid(_) => false,
                Outcome::Infeasible { .. } => true,
                // A fault of a machine is not chemistry.
                Outcome::Fault { .. } => continue,
            };
            let refused = |source| StudyError::Design { subject: told.id.clone(), source };
            let values = domain.made(&told.design).map_err(refused)?;
            let row = domain.encode_values(&values);
            lessons.push(Lesson { told: at, values, row, failed, fidelity: fidelity_of(&told.fidelity) });
        }
        let mut pending = Vec::new();
        for one in &record.pending {
            let refused = |source| StudyError::Design { subject: one.id.clone(), source };
            let values = domain.made(&one.design).map_err(refused)?;
            let row = domain.encode_values(&values);
            pending.push((values, row));
        }
        let known = record.definition.objectives.iter();
        let known = known.map(|one| one.known.as_ref().map(|known| KnownTable::new(domain, known))).collect();
        let rows = lessons.iter().map(|lesson| lesson.row.clone()).collect();
        let success: Vec<bool> = lessons.iter().map(|lesson| !lesson.failed).collect();
        let feasibility = Feasibility::fit(rows, &success);
        let beliefs = record.definition.objectives.iter().map(|_| None).collect();
        let (remarks, chain) = (Vec::new(), None);
        Ok(Engine { record, domain, lessons, pending, beliefs, known, feasibility, remarks, chain })
    }

    /// Fits a model to every observable that is measured or compared.
    pub(crate) fn fit(&mut self) -> Result<(), StudyError> {
        let levels = self.record.definition.fidelities.len().max(1);
        for at in 0..self.record.definition.objectives.len() {
            let wanted = &self.record.definition.objectives[at];
            if wanted.known.is_some() {
                continue;
            }
            let failed = |source| StudyError::Model { observable: wanted.name.clone(), source };
            if wanted.aim == Aim::Preferred {
                self.beliefs[at] = self.preference().map(|model| Box::new(model) as Box<dyn Belief>);
                continue;
            }
            let data: Vec<Data> = (0..levels).map(|level| self.data(&wanted.name, level)).collect();
            let Data { rows, values, variances } = &data[levels - 1];
            if rows.is_empty() {
                continue;
            }
            let process = best_process(rows, values, variances, true).map_err(failed)?;
            if levels > 1 {
                let told =
                    data.iter().map(|one| (one.rows.as_slice(), one.values.as_slice(), one.variances.as_slice()));
                let (chain, remark) = Chain::better_than(&process, &told.collect::<Vec<_>>());
                self.remarks.extend(remark.map(|remark| format!("{}: {remark}", wanted.name)));
                if let Some(chain) = chain {
                    if self.chain.is_none() {
                        self.chain = Some(chain.clone());
                    }
                    self.beliefs[at] = Some(Box::new(chain));
                    continue;
                }
            }
            self.beliefs[at] = Some(Box::new(process));
        }
        Ok(())
    }

    /// Readings of one observable at one fidelity, one entry a value.
    fn data(&self, name: &str, fidelity: usize) -> Data {
        let mut data = Data::default();
        for lesson in self.lessons.iter().filter(|lesson| lesson.fidelity == fidelity) {
            let Outcome::Valid(readings) = &self.record.told[lesson.told].outcome else { continue };
            let Some(reading) = readings.get(name) else { continue };
            for value in &reading.values {
                data.rows.push(lesson.row.clone());
                data.values.push(*value);
                data.variances.push(reading.variance);
            }
        }
        data
    }

    fn preference(&self) -> Option<PreferenceModel> {
        let place = |id: &String| self.lessons.iter().position(|one| &self.record.told[one.told].id == id);
        let pairs: Vec<(usize, usize)> =
            self.record.comparisons.iter().filter_map(|one| Some((place(&one.better)?, place(&one.worse)?))).collect();
        let rows: Vec<Vec<f64>> = self.lessons.iter().map(|lesson| lesson.row.clone()).collect();
        PreferenceModel::fit(&rows, &pairs)
    }

    /// Indices of what is wanted: objectives, then conditions.
    pub(crate) fn roles(&self) -> (Vec<usize>, Vec<usize>) {
        let all = 0..self.record.definition.objectives.len();
        all.partition(|at| self.record.definition.objectives[*at].aim.utility().is_some())
    }

    /// Whether every objective and condition has a model or is known.
    pub(crate) fn is_complete(&self) -> bool {
        self.beliefs.iter().zip(&self.known).all(|(belief, known)| belief.is_some() || known.is_some())
    }

    /// Results at the last fidelity that did not fail.
    pub(crate) fn valid(&self) -> impl Iterator<Item = &Lesson> {
        let last = self.record.definition.fidelities.len().saturating_sub(1);
        self.lessons.iter().filter(move |lesson| !lesson.failed && lesson.fidelity == last)
    }

    /// Values of known observables at a point.
    pub(crate) fn known_at(&self, values: &[f64]) -> Vec<Option<f64>> {
        self.known.iter().map(|table| table.as_ref().map(|table| table.value(self.domain, values))).collect()
    }

    /// Mean and sd of an observable.
    pub(crate) fn predict(&self, at: usize, values: &[f64], row: &[f64]) -> Option<(f64, f64)> {
        match (&self.beliefs[at], &self.known[at]) {
            (Some(belief), _) => {
                let look = belief.look(row);
                Some((look.mean, look.variance.max(0.0).sqrt()))
            }
            (None, Some(table)) => Some((table.value(self.domain, values), 0.0)),
            (None, None) => None,
        }
    }

    pub(crate) fn probability_feasible(&self, row: &[f64]) -> f64 {
        self.feasibility.as_ref().map_or(1.0, |feasibility| feasibility.probability(row))
    }

    /// What the chance of failure costs, in logarithms. Where failure is likely an improvement counts for nothing: models
    /// have no data there and promise more and more, the more is known elsewhere.
    pub(crate) fn log_feasible(&self, row: &[f64]) -> f64 {
        let probability = self.probability_feasible(row);
        let doubt = if probability < LIKELY { IMPOSSIBLE } else { 0.0 };
        probability.max(1e-300).ln() - doubt
    }

    /// ln of the probability that every condition holds.
    pub(crate) fn log_conditions(&self, values: &[f64], row: &[f64], widen: f64) -> f64 {
        let (_, conditions) = self.roles();
        let one = |at: usize| {
            let Some((mean, sd)) = self.predict(at, values, row) else { return 0.0 };
            let margin = match self.record.definition.objectives[at].aim {
                Aim::AtLeast(bound) => mean - bound,
                Aim::AtMost(bound) => bound - mean,
                _ => return 0.0,
            };
            if sd > 0.0 {
                log_cumulative(margin / (widen * sd))
            } else if margin >= 0.0 {
                0.0
            } else {
                f64::NEG_INFINITY
            }
        };
        conditions.into_iter().map(one).sum()
    }

    /// Utilities at posterior means; `None` where an objective has no model.
    pub(crate) fn utilities(&self, values: &[f64], row: &[f64]) -> Option<Vec<f64>> {
        let (objectives, _) = self.roles();
        objectives.into_iter().map(|at| Some(self.utility(at).of(self.predict(at, values, row)?.0))).collect()
    }

    pub(crate) fn utility(&self, at: usize) -> Utility {
        self.record.definition.objectives[at].aim.utility().unwrap_or(Utility::More)
    }

    /// The reference point in utilities: what was given, or below the front of the posterior means.
    pub(crate) fn reference(&self, utilities: &[Vec<f64>]) -> Vec<f64> {
        let (objectives, _) = self.roles();
        if objectives.len() == 1 {
            return vec![f64::MIN];
        }
        let inferred = inferred_reference(utilities);
        let given = objectives.iter().enumerate().map(|(m, at)| {
            let given = self.record.definition.objectives[*at].reference.map(|value| self.utility(*at).of(value));
            given.or(inferred.get(m).copied()).unwrap_or(0.0)
        });
        given.collect()
    }

    /// The acquisition with `chosen` points of this batch counted as pending.
    pub(crate) fn acquisition(&'a self, chosen: &[(Values, Vec<f64>)], pick: u64) -> Acquisition<'a> {
        let (objectives, _) = self.roles();
        let mut baseline: Vec<(Baseline, Vec<f64>)> = Vec::new();
        let valid = self.valid().map(|lesson| (&lesson.values, &lesson.row));
        let waiting = self.pending.iter().chain(chosen).map(|(values, row)| (values, row));
        for (values, row) in valid.chain(waiting) {
            if baseline.iter().any(|(other, _)| &other.point == row) {
                continue;
            }
            let Some(utilities) = self.utilities(values, row) else { continue };
            let all = self.known_at(values);
            let known = objectives.iter().map(|at| all[*at]).collect();
            let counts = self.log_conditions(values, row, 1.0) >= 0.5_f64.ln();
            baseline.push((Baseline { point: row.clone(), known, counts }, utilities));
        }
        self.prune(&mut baseline);
        let counted: Vec<Vec<f64>> =
            baseline.iter().filter(|(one, _)| one.counts).map(|(_, utilities)| utilities.clone()).collect();
        let improvement = if counted.is_empty() {
            None
        } else {
            let goals =
                objectives.iter().map(|at| Goal { utility: self.utility(*at), belief: self.beliefs[*at].as_deref() });
            let points: Vec<Baseline> = baseline.into_iter().map(|(point, _)| point).collect();
            let mut rng = stream(self.record.definition.seed, self.record.step ^ (pick << 48), Purpose::Normals);
            let reference = self.reference(&counted);
            HypervolumeImprovement::new(goals.collect(), &points, &reference, DRAWS, &mut rng)
        };
        Acquisition { engine: self, objectives, improvement }
    }

    /// Keeps the baseline points that may matter for the front: those that the fewest others beat even when they look
    /// their best.
    fn prune(&self, baseline: &mut Vec<(Baseline, Vec<f64>)>) {
        if baseline.len() <= BASELINE {
            return;
        }
        let (objectives, _) = self.roles();
        let spread: Vec<Vec<f64>> = baseline
            .iter()
            .map(|(one, _)| {
                let sd =
                    |at: &usize| self.beliefs[*at].as_ref().map_or(0.0, |b| 2.0 * b.look(&one.point).variance.sqrt());
                objectives.iter().map(sd).collect()
            })
            .collect();
        let beaten = |at: usize| {
            let hopeful: Vec<f64> = baseline[at].1.iter().zip(&spread[at]).map(|(u, sd)| u + sd).collect();
            baseline.iter().filter(|(_, other)| other.iter().zip(&hopeful).all(|(other, own)| other > own)).count()
        };
        let mut order: Vec<(usize, usize)> = (0..baseline.len()).map(|at| (beaten(at), at)).collect();
        order.sort_unstable();
        let mut kept: Vec<usize> = order.into_iter().take(BASELINE).map(|(_, at)| at).collect();
        kept.sort_unstable();
        *baseline = kept.into_iter().map(|at| baseline[at].clone()).collect();
    }
}

#[derive(Default)]
struct Data {
    rows: Vec<Vec<f64>>,
    values: Vec<f64>,
    variances: Vec<f64>,
}

/// ln of the expected improvement times the probabilities that the chemistry works and that all conditions hold.
pub(crate) struct Acquisition<'a> {
    engine: &'a Engine<'a>,
    objectives: Vec<usize>,
    /// `None` while nothing satisfies the conditions: finding such a point is then all that counts.
    improvement: Option<HypervolumeImprovement<'a>>,
}

impl Acquisition<'_> {
    pub(crate) fn value(&self, values: &[f64], row: &[f64], draws: usize, widen: f64) -> f64 {
        let possible = self.engine.log_feasible(row) + self.engine.log_conditions(values, row, widen);
        if possible == f64::NEG_INFINITY {
            return possible;
        }
        let Some(improvement) = &self.improvement else { return possible };
        let known: Vec<Option<f64>> = self
            .objectives
            .iter()
            .map(|at| self.engine.known[*at].as_ref().map(|table| table.value(self.engine.domain, values)))
            .collect();
        possible + improvement.value(row, &known, draws, widen)
    }

    /// All draws.
    pub(crate) fn full(&self, values: &[f64], row: &[f64]) -> f64 {
        self.value(values, row, DRAWS, 1.0)
    }
}
