//! What must be done: machines, jobs, operations, transport.

/// A time or a duration in ticks. The caller chooses the length of a tick, for example 100 ms.
pub type Ticks = u64;

/// Times and durations above this are refused, so that no sum of them can overflow.
const LONGEST: Ticks = 1 << 40;

/// A flexible job shop with transport and blocking positions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problem {
    /// Machines; each is also the position on it and holds one job at a time.
    pub machines: Vec<Machine>,
    /// Jobs, normally one a sample.
    pub jobs: Vec<Job>,
    /// Ticks of a move, `[from][to]`, a square table over the machines. Empty: moves take no time.
    pub transport: Vec<Vec<Ticks>>,
    /// The machine that carries out every move that takes time, one at a time. `None`: moves never wait for a carrier.
    pub carrier: Option<usize>,
}

/// Something that works on, or holds, one job at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its name, for messages.
    pub name: String,
    /// When it becomes free of what is on it now.
    pub available_from: Ticks,
}

/// Operations that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name, for messages.
    pub name: String,
    /// Earliest start of its first move or operation.
    pub release: Ticks,
    /// Operations; an operation may only follow ones that stand before it in this list.
    pub operations: Vec<Operation>,
}

/// One stay of a job on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its name, for messages.
    pub name: String,
    /// Where it can be done, at least one way.
    pub modes: Vec<Mode>,
    /// Operations of the same job that end before it starts; the job travels from the last of these.
    pub after: Vec<usize>,
    /// Blocking: the machine stays occupied until the move to this later operation of the same job begins.
    pub held_until: Option<usize>,
}

/// One way to do an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// Index of the machine.
    pub machine: usize,
    /// How long it takes there.
    pub duration: Ticks,
}

/// Why a problem makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProblemError {
    /// An operation without any mode.
    #[error("operation `{operation}` of `{job}` can be done nowhere")]
    NoMode {
        /// The job.
        job: String,
        /// The operation.
        operation: String,
    },
    /// An index that points at nothing, or at an operation that does not stand earlier (later, for `held_until`).
    #[error("operation `{operation}` of `{job}`: its {what} {index} does not exist or stands in the wrong order")]
    BadIndex {
        /// The job.
        job: String,
        /// The operation.
        operation: String,
        /// What the index is.
        what: &'static str,
        /// The index.
        index: usize,
    },
    /// A transport table that is not square over the machines, or a carrier that is no machine.
    #[error("the transport table must be empty or {machines} × {machines}, and the carrier one of the machines")]
    BadTransport {
        /// Number of machines.
        machines: usize,
    },
    /// A time beyond 2^40 ticks.
    #[error("a time of `{subject}` is beyond 2^40 ticks; choose longer ticks")]
    TooLong {
        /// The machine or job.
        subject: String,
    },
}

impl Job {
    /// A job that goes from operation to operation in order. With `blocking` it stays on each machine until the next
    /// one takes it.
    pub fn chain(name: impl Into<String>, release: Ticks, stays: Vec<(String, Vec<Mode>)>, blocking: bool) -> Job {
        let count = stays.len();
        let operations = stays.into_iter().enumerate().map(|(at, (name, modes))| Operation {
            name,
            modes,
            after: if at > 0 { vec![at - 1] } else { Vec::new() },
            held_until: (blocking && at + 1 < count).then_some(at + 1),
        });
        Job { name: name.into(), release, operations: operations.collect() }
    }
}

impl Problem {
    /// Ticks of a move between two machines; a job that stays does not move.
    pub fn travel(&self, from: usize, to: usize) -> Ticks {
        if from == to { 0 } else { self.transport.get(from).and_then(|row| row.get(to)).copied().unwrap_or(0) }
    }

    /// Checks indices and sizes.
    pub fn check(&self) -> Result<(), ProblemError> {
        let machines = self.machines.len();
        let square = self.transport.len() == machines && self.transport.iter().all(|row| row.len() == machines);
        if !(self.transport.is_empty() || square) || self.carrier.is_some_and(|carrier| carrier >= machines) {
            return Err(ProblemError::BadTransport { machines });
        }
        if self.transport.iter().flatten().any(|ticks| *ticks > LONGEST) {
            return Err(ProblemError::TooLong { subject: "transport".into() });
        }
        if let Some(machine) = self.machines.iter().find(|machine| machine.available_from > LONGEST) {
            return Err(ProblemError::TooLong { subject: machine.name.clone() });
        }
        self.jobs.iter().try_for_each(|job| self.check_job(job))
    }

    fn check_job(&self, job: &Job) -> Result<(), ProblemError> {
        let durations = job.operations.iter().flat_map(|operation| &operation.modes).map(|mode| mode.duration);
        if durations.chain([job.release]).any(|ticks| ticks > LONGEST) {
            return Err(ProblemError::TooLong { subject: job.name.clone() });
        }
        for (at, operation) in job.operations.iter().enumerate() {
            let bad = |what, index| {
                let (job, operation) = (job.name.clone(), operation.name.clone());
                Err(ProblemError::BadIndex { job, operation, what, index })
            };
            if operation.modes.is_empty() {
                return Err(ProblemError::NoMode { job: job.name.clone(), operation: operation.name.clone() });
            }
            if let Some(mode) = operation.modes.iter().find(|mode| mode.machine >= self.machines.len()) {
                return bad("machine", mode.machine);
            }
            if let Some(index) = operation.after.iter().find(|index| **index >= at) {
                return bad("predecessor", *index);
            }
            if let Some(index) = operation.held_until
                && (index >= job.operations.len() || job.source(index) != Some(at))
            {
                return bad("held_until", index);
            }
        }
        Ok(())
    }
}

impl Job {
    /// The operation from whose machine the job comes to operation `at`: the predecessor that holds its machine for it,
    /// else the last predecessor. `None` where the job begins.
    pub fn source(&self, at: usize) -> Option<usize> {
        let after = &self.operations[at].after;
        after.iter().find(|index| self.operations[**index].held_until == Some(at)).or(after.last()).copied()
    }
}
