//! Convergence of a plane-wave calculation to a target precision: the request names a precision, and the cutoff and the
//! k-point grid are the answer.
//!
//! The energy is modelled as additive, `E(ecut, k) ≈ E(ecut, k0) + E(ecut0, k) − E(ecut0, k0)`, so that one scan along
//! each axis stands for the whole grid (the idea of Janssen et al., npj Comput. Mater. 10, 263 (2024)). The cheapest pair
//! whose modelled error meets the target is verified by one joint run at the next larger pair, which a person has
//! approved with its bill; what the model missed there counts as error from then on.
//!
//! [`Convergence`] runs nothing itself: it says what to do [`next`](Convergence::next), given all that is recorded.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Fewest points of a scan: with fewer nothing can be said of how the changes shrink.
const FEWEST_POINTS: usize = 3;
/// Changes are not expected to shrink faster than this from step to step: those of silicon fall to a fifth at first and
/// to two thirds later, and a tail guessed from the steep part was a quarter of the true one.
const FASTEST_DECAY: f64 = 0.5;
/// Changes that shrink more slowly than this are as good as not shrinking.
const SLOWEST_DECAY: f64 = 0.9;
/// A run that took less than the clock of the program shows still took something.
const SHORTEST_S: f64 = 0.01;

/// The cutoffs and grids that may be used, coarsest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    /// Cutoffs of the plane waves in Ry.
    pub cutoffs_ry: Vec<f64>,
    /// Divisions of the k-point grid along the three reciprocal edges.
    pub grids: Vec<[u32; 3]>,
}

/// A place on the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Point {
    /// Position in [`Ladder::cutoffs_ry`].
    pub cutoff: usize,
    /// Position in [`Ladder::grids`].
    pub grid: usize,
}

/// What one converged calculation said.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Total energy in eV for each atom.
    pub energy_ev_per_atom: f64,
    /// CPU seconds that the program reports.
    pub cpu_s: f64,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Calculate this point and [`record`](Convergence::record) it.
    Run(Point),
    /// Ask a person whether the bill is worth it, and [`approve`](Convergence::approve) it.
    Approve(Bill),
    /// The answer.
    Done(Converged),
}

/// What a person approves before the dear run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// The cheapest point whose modelled error meets the target.
    pub chosen: Point,
    /// The next larger pair, where the model is verified.
    pub verify: Point,
    /// Modelled error of the chosen point against the finest of both scans, in eV for each atom.
    pub error_ev_per_atom: f64,
    /// Runs so far.
    pub runs: usize,
    /// CPU seconds so far.
    pub spent_s: f64,
    /// Expected CPU seconds of the verification.
    pub verify_s: f64,
    /// Expected CPU seconds of each later calculation at the chosen point.
    pub chosen_s: f64,
}

/// Parameters that reach the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Converged {
    /// The bill with its chosen point, as the runs showed it.
    pub bill: Bill,
    /// Largest difference between model and joint runs, in eV for each atom.
    pub residual_ev_per_atom: f64,
    /// What presumably lies beyond the finest points, if changes go on to shrink, in eV for each atom; never more than
    /// the target. The error is relative to the finest points and does not contain it.
    pub beyond_ev_per_atom: f64,
    /// The joint run, which is the finest energy there is.
    pub verified: Run,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConvergenceError {
    /// The target is not a positive number.
    #[error("the target precision is {0} eV/atom; it must be more than 0")]
    Target(f64),
    /// The ladder is too short or does not ascend.
    #[error("the {axis} of the ladder must be at least {FEWEST_POINTS} and ascend")]
    Ladder {
        /// Which axis.
        axis: &'static str,
    },
    /// A run that was recorded is not finite, or lies outside the ladder.
    #[error("the run at {0:?} is not on the ladder, or its energy or time is not a number")]
    Run(Point),
    /// The ladder ends before the target is met.
    #[error(
        "the ladder ends at {cutoff_ry} Ry and {grid:?}, where the last steps still change {cutoff_mev:.2} and \
         {grid_mev:.2} meV/atom; give a longer ladder or a wider target"
    )]
    Exhausted {
        /// Largest cutoff in Ry.
        cutoff_ry: f64,
        /// Densest grid.
        grid: [u32; 3],
        /// Change of the last step of the cutoff, meV for each atom.
        cutoff_mev: f64,
        /// Change of the last step of the grid, meV for each atom.
        grid_mev: f64,
    },
    /// Cutoff and grid depend on each other by more than the target allows.
    #[error(
        "a joint run differs from the additive model by {residual_mev:.2} meV/atom, which leaves nothing of the target; \
         begin the ladder at a denser grid or a higher cutoff"
    )]
    NotAdditive {
        /// Difference in meV for each atom.
        residual_mev: f64,
    },
}

/// A search for the cheapest parameters of a target precision.
#[derive(Debug, Clone, PartialEq)]
pub struct Convergence {
    target: f64,
    ladder: Ladder,
    runs: BTreeMap<Point, Run>,
    approved: BTreeSet<Point>,
}

impl Convergence {
    /// A search with a target in eV for each atom, against the finest points that it will have used.
    ///
    /// # Errors
    /// [`ConvergenceError::Target`] and [`ConvergenceError::Ladder`].
    pub fn new(target_ev_per_atom: f64, ladder: Ladder) -> Result<Self, ConvergenceError> {
        if !(target_ev_per_atom > 0.0 && target_ev_per_atom.is_finite()) {
            return Err(ConvergenceError::Target(target_ev_per_atom));
        }
        let cutoffs = &ladder.cutoffs_ry;
        let ascends = cutoffs.iter().all(|cutoff| cutoff.is_finite()) && cutoffs.is_sorted_by(|a, b| a < b);
        if cutoffs.len() < FEWEST_POINTS || !ascends || cutoffs[0] <= 0.0 {
            return Err(ConvergenceError::Ladder { axis: "cutoffs" });
        }
        let finer = |a: &[u32; 3], b: &[u32; 3]| a != b && a.iter().zip(b).all(|(a, b)| a <= b);
        if ladder.grids.len() < FEWEST_POINTS || !ladder.grids.is_sorted_by(finer) || ladder.grids[0].contains(&0) {
            return Err(ConvergenceError::Ladder { axis: "grids" });
        }
        Ok(Self { target: target_ev_per_atom, ladder, runs: BTreeMap::new(), approved: BTreeSet::new() })
    }

    /// Cutoff in Ry and grid of a point of this ladder; `None` outside it.
    #[must_use]
    pub fn parameters(&self, point: Point) -> Option<(f64, [u32; 3])> {
        Some((*self.ladder.cutoffs_ry.get(point.cutoff)?, *self.ladder.grids.get(point.grid)?))
    }

    /// Every run so far.
    #[must_use]
    pub fn runs(&self) -> &BTreeMap<Point, Run> {
        &self.runs
    }

    /// Takes the result of a run in; a point that is recorded again is replaced.
    ///
    /// # Errors
    /// [`ConvergenceError::Run`].
    pub fn record(&mut self, point: Point, run: Run) -> Result<(), ConvergenceError> {
        let sound = run.energy_ev_per_atom.is_finite() && run.cpu_s.is_finite() && run.cpu_s >= 0.0;
        if self.parameters(point).is_none() || !sound {
            return Err(ConvergenceError::Run(point));
        }
        self.runs.insert(point, run);
        Ok(())
    }

    /// Notes that a person agreed to the bill.
    pub fn approve(&mut self, bill: &Bill) {
        self.approved.insert(bill.verify);
    }

    /// What to do next. The same record gives the same answer.
    ///
    /// # Errors
    /// [`ConvergenceError::Exhausted`] and [`ConvergenceError::NotAdditive`].
    pub fn next(&self) -> Result<Next, ConvergenceError> {
        let (cutoffs, grids) = (self.scan(cutoff_at), self.scan(grid_at));
        if cutoffs.len() < FEWEST_POINTS {
            return Ok(Next::Run(cutoff_at(cutoffs.len())));
        }
        if grids.len() < FEWEST_POINTS {
            return Ok(Next::Run(grid_at(grids.len())));
        }
        let residual = self.residual(&cutoffs, &grids);
        if residual >= self.target {
            return Err(ConvergenceError::NotAdditive { residual_mev: residual * 1e3 });
        }
        let (cutoff_axis, grid_axis) = (Axis::of(&cutoffs), Axis::of(&grids));
        let beyond = cutoff_axis.beyond + grid_axis.beyond;
        let chosen = self.cheapest(&cutoff_axis, &grid_axis, residual).filter(|_| beyond <= self.target);
        let Some((chosen, error)) = chosen else { return self.extend(&cutoff_axis, &grid_axis) };
        let verify = Point { cutoff: chosen.cutoff + 1, grid: chosen.grid + 1 };
        let bill = Bill {
            chosen,
            verify,
            error_ev_per_atom: error,
            runs: self.runs.len(),
            spent_s: self.runs.values().map(|run| run.cpu_s).sum(),
            verify_s: self.cost(verify),
            chosen_s: self.cost(chosen),
        };
        Ok(match self.runs.get(&verify) {
            Some(&verified) => {
                Next::Done(Converged { bill, residual_ev_per_atom: residual, beyond_ev_per_atom: beyond, verified })
            }
            None if self.approved.contains(&verify) => Next::Run(verify),
            None => Next::Approve(bill),
        })
    }

    /// The runs of one scan from its beginning to the first gap.
    fn scan(&self, at: fn(usize) -> Point) -> Vec<Run> {
        (0..).map_while(|step| self.runs.get(&at(step)).copied()).collect()
    }

    /// Largest difference between the joint runs and the additive model of the scans, in eV for each atom.
    fn residual(&self, cutoffs: &[Run], grids: &[Run]) -> f64 {
        let energy = |scan: &[Run], step: usize| scan.get(step).map(|run| run.energy_ev_per_atom);
        let missed = self.runs.iter().filter_map(|(point, run)| {
            let model = energy(cutoffs, point.cutoff)? + energy(grids, point.grid)? - energy(grids, 0)?;
            Some((run.energy_ev_per_atom - model).abs())
        });
        missed.fold(0.0, f64::max)
    }

    /// The cheapest point whose error, with what the model is known to miss, meets the target, and its modelled error.
    /// The finest point of a scan cannot be chosen: nothing larger is there to verify it with.
    fn cheapest(&self, cutoffs: &Axis, grids: &Axis, residual: f64) -> Option<(Point, f64)> {
        let mut best: Option<(Point, f64, f64)> = None;
        for (cutoff, cutoff_error) in cutoffs.errors.iter().enumerate() {
            for (grid, grid_error) in grids.errors.iter().enumerate() {
                let (point, error) = (Point { cutoff, grid }, cutoff_error + grid_error);
                let cost = self.cost(point);
                if error + residual <= self.target && best.is_none_or(|(_, _, least)| cost < least) {
                    best = Some((point, error, cost));
                }
            }
        }
        best.map(|(point, error, _)| (point, error))
    }

    /// One more step along the axis that is further from its end.
    fn extend(&self, cutoffs: &Axis, grids: &Axis) -> Result<Next, ConvergenceError> {
        let more_cutoffs = cutoffs.points() < self.ladder.cutoffs_ry.len();
        let more_grids = grids.points() < self.ladder.grids.len();
        if more_cutoffs && (!more_grids || cutoffs.unsettled() >= grids.unsettled()) {
            return Ok(Next::Run(cutoff_at(cutoffs.points())));
        }
        if more_grids {
            return Ok(Next::Run(grid_at(grids.points())));
        }
        Err(ConvergenceError::Exhausted {
            cutoff_ry: self.ladder.cutoffs_ry[cutoffs.points() - 1],
            grid: self.ladder.grids[grids.points() - 1],
            cutoff_mev: cutoffs.last_change * 1e3,
            grid_mev: grids.last_change * 1e3,
        })
    }

    /// CPU seconds of a point: measured, or from both scans, because the work of an SCF run is close to a product of
    /// what the plane waves and what the k points ask for.
    fn cost(&self, point: Point) -> f64 {
        let seconds = |at: Point| self.runs.get(&at).map(|run| run.cpu_s.max(SHORTEST_S));
        let scans = || Some(seconds(cutoff_at(point.cutoff))? * seconds(grid_at(point.grid))? / seconds(cutoff_at(0))?);
        seconds(point).or_else(scans).unwrap_or(f64::INFINITY)
    }
}

/// The scan along the cutoffs goes with the coarsest grid.
fn cutoff_at(step: usize) -> Point {
    Point { cutoff: step, grid: 0 }
}

/// The scan along the grids goes with the lowest cutoff.
fn grid_at(step: usize) -> Point {
    Point { cutoff: 0, grid: step }
}

/// How one scan settles. Energies in eV for each atom.
struct Axis {
    /// Error of every point but the finest: the largest difference from the finest, from this point on, so that a point
    /// that happens to cross the final value is not taken for converged.
    errors: Vec<f64>,
    /// Size of the last step.
    last_change: f64,
    /// What lies beyond the finest point, if the changes go on to shrink as the last two did, within limits.
    beyond: f64,
}

impl Axis {
    fn of(scan: &[Run]) -> Axis {
        let energies: Vec<f64> = scan.iter().map(|run| run.energy_ev_per_atom).collect();
        let last = energies.len() - 1;
        let mut errors: Vec<f64> = energies[..last].iter().map(|energy| (energy - energies[last]).abs()).collect();
        for step in (1..last).rev() {
            errors[step - 1] = errors[step - 1].max(errors[step]);
        }
        let change = |step: usize| (energies[step] - energies[step - 1]).abs();
        let (before, last_change) = (change(last - 1), change(last));
        let decay = if before > 0.0 { last_change / before } else { 1.0 };
        let decay = decay.clamp(FASTEST_DECAY, SLOWEST_DECAY);
        Axis { errors, last_change, beyond: last_change * decay / (1.0 - decay) }
    }

    fn points(&self) -> usize {
        self.errors.len() + 1
    }

    /// How far from settled it is.
    fn unsettled(&self) -> f64 {
        self.last_change + self.beyond
    }
}
