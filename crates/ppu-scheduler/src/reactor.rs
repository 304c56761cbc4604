//! The one loop: decide, append to the journal and wait until it is durable, evolve, start what is outstanding.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ppu_core::DeviceId;
use ppu_core::lab::LabTwin;
use ppu_engine::{Effect, Engine, Event, Fact, Input, Refusal, State, Tally};
use ppu_host::{CrashPoint, Host};
use ppu_journal::{Journal, Recovery};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::{SchedulerError, SchedulerOptions, analyse, external};

/// Requests that wait for the engine before senders are made to wait; outcomes and stops have a lane of their own.
const QUEUE: usize = 1024;
/// Requests that wait for one driver.
const LINK_QUEUE: usize = 64;
/// Batches of facts that a slow watcher may fall behind before it is told to ask again.
const FEED: usize = 256;

/// What the rest of the process sees of the state.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The state after the last durable fact.
    pub state: Arc<State>,
    /// Sequence of that fact.
    pub seq: u64,
}

/// A request to one driver's link.
#[derive(Debug)]
pub enum Command {
    /// Send an intended command.
    Execute(Arc<ppu_engine::state::Intent>),
    /// Have the tombstone of a step made.
    VoidStep(ppu_core::StepId),
    /// Let the device start again whose ledger was in doubt, now that nothing of it is.
    ClearMemoryDoubt,
    /// Let the device start again on a person's word; the answer says whether that is durable at the driver.
    Clear {
        /// Who.
        who: String,
        /// What was checked before.
        reason: String,
        /// The answer.
        answer: oneshot::Sender<Result<(), String>>,
    },
    /// Let the driver forget a run.
    CloseRun(ppu_core::RunId),
    /// Bring the device to its safe state; the answer says whether it confirmed.
    MakeSafe {
        /// Who asks.
        who: String,
        /// Why.
        reason: String,
        /// The answer.
        answer: oneshot::Sender<Result<(bool, String), String>>,
    },
    /// Deliver a verdict; the answer says whether it is durable at the driver.
    Resolve {
        /// The request as it goes out, without session and epoch.
        request: Box<ppu_proto::device::v1::ResolveRequest>,
        /// The answer.
        answer: oneshot::Sender<Result<(), String>>,
    },
}

struct Message {
    input: Input,
    answer: Option<oneshot::Sender<Result<Vec<Fact>, Refusal>>>,
}

/// What is needed to talk to the reactor.
#[derive(Debug, Clone)]
pub struct Handle {
    normal: mpsc::Sender<Message>,
    urgent: mpsc::Sender<Message>,
    snapshot: watch::Receiver<Snapshot>,
    feed: broadcast::Sender<Arc<Vec<(u64, Fact)>>>,
    links: Arc<BTreeMap<DeviceId, mpsc::Sender<Command>>>,
    journal: Journal,
    host: Arc<dyn Host>,
    unreached: Arc<Mutex<BTreeMap<DeviceId, String>>>,
    tally: Arc<Mutex<Tally>>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.input.fmt(f)
    }
}

/// The reactor has ended.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the scheduler is ending")]
pub struct Gone;

/// Why an input was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OfferError {
    /// Too many wait already.
    #[error("the lab is busy")]
    Full,
    /// The reactor has ended.
    #[error(transparent)]
    Gone(#[from] Gone),
}

impl Handle {
    async fn send(&self, urgent: bool, input: Input) -> Result<Result<Vec<Fact>, Refusal>, Gone> {
        let (answer, receiver) = oneshot::channel();
        let lane = if urgent { &self.urgent } else { &self.normal };
        lane.send(Message { input, answer: Some(answer) }).await.map_err(|_| Gone)?;
        receiver.await.map_err(|_| Gone)
    }

    /// Why a device cannot be reached just now; `None` once it answers. Such reasons come and go with every attempt, so
    /// the journal keeps the first of an outage only.
    pub(crate) fn set_unreached(&self, device: &DeviceId, reason: Option<String>) {
        let mut unreached = self.unreached.lock().expect("no holder panics");
        match reason {
            Some(reason) => unreached.insert(device.clone(), reason),
            None => unreached.remove(device),
        };
    }

    /// The last reason why a device could not be reached; `None` when it answers.
    pub(crate) fn unreached(&self, device: &DeviceId) -> Option<String> {
        self.unreached.lock().expect("no holder panics").get(device).cloned()
    }

    /// Gives an input and waits until its facts are durable.
    pub async fn give(&self, input: Input) -> Result<Result<Vec<Fact>, Refusal>, Gone> {
        self.send(false, input).await
    }

    /// As [`Handle::give`], but gives up while the queue is full for longer than this: whoever sends is told to wait, and
    /// nothing piles up in memory (reliability 14).
    pub async fn offer(&self, input: Input, within: Duration) -> Result<Result<Vec<Fact>, Refusal>, OfferError> {
        let (answer, receiver) = oneshot::channel();
        let place = match tokio::time::timeout(within, self.normal.reserve()).await {
            Ok(place) => place.map_err(|_| OfferError::Gone(Gone))?,
            Err(_) => return Err(OfferError::Full),
        };
        place.send(Message { input, answer: Some(answer) });
        receiver.await.map_err(|_| OfferError::Gone(Gone))
    }

    /// The same on the lane of outcomes and stops, which never waits behind bulk.
    pub async fn give_urgent(&self, input: Input) -> Result<Result<Vec<Fact>, Refusal>, Gone> {
        self.send(true, input).await
    }

    /// The state after the last durable fact.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.borrow().clone()
    }

    /// Facts from now on, in batches.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Vec<(u64, Fact)>>> {
        self.feed.subscribe()
    }

    /// The journal: history and raw data.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The computer under the process.
    pub fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    /// What the lab has done so far.
    pub fn tally(&self) -> Tally {
        self.tally.lock().expect("no holder panics").clone()
    }

    fn count(&self, facts: &[Fact]) {
        let mut tally = self.tally.lock().expect("no holder panics");
        facts.iter().for_each(|fact| tally.evolve(fact));
    }

    /// The way to a device's link.
    pub fn link(&self, device: &DeviceId) -> Option<&mpsc::Sender<Command>> {
        self.links.get(device)
    }
}

/// The loop and what it owns.
pub(crate) struct Reactor {
    engine: Engine,
    seq: u64,
    normal: mpsc::Receiver<Message>,
    urgent: mpsc::Receiver<Message>,
    snapshot: watch::Sender<Snapshot>,
    handle: Handle,
    receivers: Mutex<BTreeMap<DeviceId, mpsc::Receiver<Command>>>,
    started: HashSet<String>,
    pending: Vec<Fact>,
    twins: Arc<[LabTwin]>,
}

/// Replays the journal, begins the epoch, and returns the loop, ready to run.
pub(crate) fn start(
    options: &SchedulerOptions,
    journal: Journal,
    recovery: Recovery,
) -> Result<(Handle, Reactor), SchedulerError> {
    let (mut engine, mut tally) = (Engine::new(), Tally::default());
    let mut seq = 0;
    for record in recovery.facts {
        let (sequence, fact) =
            record.map_err(|source| SchedulerError::Journal { directory: options.directory.clone(), source })?;
        engine.evolve(&fact).map_err(|source| SchedulerError::Replay { sequence, source })?;
        tally.evolve(&fact);
        seq = sequence;
    }
    let begin = Input::Start {
        lab: options.lab.name.clone(),
        devices: options.lab.devices.iter().map(|d| (d.id.clone(), d.sample_position.clone())).collect(),
        positions: options.lab.positions.iter().cloned().collect(),
        samples: options.lab.samples.clone(),
    };
    let pending = engine.decide(options.host.wall_ms(), begin).map_err(SchedulerError::Lab)?;
    let (normal_sender, normal) = mpsc::channel(QUEUE);
    let (urgent_sender, urgent) = mpsc::channel(QUEUE);
    let (snapshot_sender, snapshot) = watch::channel(Snapshot { state: Arc::new(engine.state().clone()), seq });
    let (links, receivers) = options
        .lab
        .devices
        .iter()
        .map(|device| {
            let (sender, receiver) = mpsc::channel(LINK_QUEUE);
            ((device.id.clone(), sender), (device.id.clone(), receiver))
        })
        .unzip();
    let handle = Handle {
        normal: normal_sender,
        urgent: urgent_sender,
        snapshot,
        feed: broadcast::channel(FEED).0,
        links: Arc::new(links),
        journal,
        host: Arc::clone(&options.host),
        unreached: Arc::default(),
        tally: Arc::new(Mutex::new(tally)),
    };
    let reactor = Reactor {
        engine,
        seq,
        normal,
        urgent,
        snapshot: snapshot_sender,
        handle: handle.clone(),
        receivers: Mutex::new(receivers),
        started: HashSet::new(),
        pending,
        twins: options.lab.twins.clone().into(),
    };
    Ok((handle, reactor))
}

impl Reactor {
    /// The epoch that this process begins. It is durable before any link speaks, because a link's first word needs the
    /// reactor's answer (F1).
    pub(crate) fn epoch(&self) -> u64 {
        self.engine.state().epoch + 1
    }

    /// The requests of one link; taken once.
    pub(crate) fn link_requests(&self, device: &DeviceId) -> mpsc::Receiver<Command> {
        self.receivers.lock().expect("no holder panics").remove(device).expect("each link is started once")
    }

    /// Runs until shutdown, or until the journal fails.
    pub(crate) async fn run(mut self, mut shutdown: watch::Receiver<bool>) -> Result<(), SchedulerError> {
        let begin = std::mem::take(&mut self.pending);
        self.take(begin).await?;
        loop {
            let message = tokio::select! {
                biased;
                Some(message) = self.urgent.recv() => message,
                Some(message) = self.normal.recv() => message,
                _ = shutdown.wait_for(|stop| *stop) => return Ok(()),
            };
            let decided = self.engine.decide(self.handle.host.wall_ms(), message.input);
            let answer = match decided {
                Ok(facts) => match self.take(facts.clone()).await {
                    Ok(()) => Ok(facts),
                    // A fact that no record can hold is the fault of the input: nothing was written, the lab goes on.
                    Err(SchedulerError::JournalFailed { source }) if !source.is_fatal() => {
                        Err(Refusal::NotNow(source.to_string()))
                    }
                    Err(error) => return Err(error),
                },
                Err(refusal) => Err(refusal),
            };
            if let Some(receiver) = message.answer {
                // A client that went away in the meantime does not need the answer.
                let _ = receiver.send(answer);
            }
        }
    }

    /// Makes facts durable, lets them in, publishes them, and starts what is outstanding.
    async fn take(&mut self, facts: Vec<Fact>) -> Result<(), SchedulerError> {
        if !facts.is_empty() {
            let intends = facts.iter().any(|fact| matches!(fact.event, Event::StepIntended { .. }));
            if intends {
                self.handle.host.at(CrashPoint::BeforeIntent).await;
            }
            let range =
                self.handle.journal.append(&facts).await.map_err(|source| SchedulerError::JournalFailed { source })?;
            for fact in &facts {
                self.engine.evolve(fact).expect("the engine decided this fact on a copy of the same state");
            }
            self.handle.count(&facts);
            self.seq = range.last;
            self.snapshot.send_replace(Snapshot { state: Arc::new(self.engine.state().clone()), seq: self.seq });
            let numbered = (range.first..=range.last).zip(facts).collect();
            // Nobody watching is no error.
            let _ = self.handle.feed.send(Arc::new(numbered));
            if intends {
                self.handle.host.at(CrashPoint::IntentDurable).await;
            }
        }
        self.start_outstanding();
        Ok(())
    }

    fn start_outstanding(&mut self) {
        let outstanding = self.engine.outstanding();
        let ids: HashSet<String> = outstanding.iter().map(Effect::id).collect();
        self.started.retain(|id| ids.contains(id));
        for effect in outstanding {
            let id = effect.id();
            if !self.started.contains(&id) && self.start(effect) {
                self.started.insert(id);
            }
        }
    }

    /// Starts an effect; `false` where its device's queue is full: it is tried again after the next fact.
    fn start(&self, effect: Effect) -> bool {
        let to_link = |device: &DeviceId, command| {
            self.handle.links.get(device).is_none_or(|link| link.try_send(command).is_ok())
        };
        match effect {
            Effect::Execute(intent) => to_link(&intent.device.clone(), Command::Execute(intent)),
            Effect::CloseRun { run, device } => to_link(&device, Command::CloseRun(run)),
            Effect::VoidStep { step, device, .. } => to_link(&device, Command::VoidStep(step)),
            Effect::ClearMemoryDoubt { device } => to_link(&device, Command::ClearMemoryDoubt),
            Effect::Propose { campaign, round, count, .. } => {
                let state = Arc::new(self.engine.state().clone());
                let (handle, twins) = (self.handle.clone(), Arc::clone(&self.twins));
                tokio::spawn(async move {
                    let result = external::choose(&handle, &twins, &state, &campaign, round, count).await;
                    // The reactor being gone means that the process is ending; the question is asked again after replay.
                    let _ = handle.give(Input::Proposal { campaign, round, result }).await;
                });
                true
            }
            Effect::Analyse { trial } => {
                let state = Arc::new(self.engine.state().clone());
                let handle = self.handle.clone();
                tokio::spawn(async move {
                    let (asked, journal) = (trial.clone(), handle.journal.clone());
                    let work = move || analyse::analyse(&state, &journal, &asked).map(Box::new);
                    let result = on_a_thread(&*handle.host, work, "analysis").await;
                    let _ = handle.give(Input::Analysed { trial, result }).await;
                });
                true
            }
        }
    }
}

/// Slow pure work on a blocking thread. A panic there is a fault of that work and must not end the lab.
pub(crate) async fn on_a_thread<T: Send + 'static>(
    host: &dyn Host,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
    what: &'static str,
) -> Result<T, String> {
    let guarded = move || std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    host.do_blocking(guarded).await.unwrap_or_else(|_| {
        tracing::error!("{what} broke off");
        Err(format!("{what} broke off: see the log of the scheduler"))
    })
}

/// The run that was just submitted, found among the facts of the answer.
pub(crate) fn submitted_run(facts: &[Fact]) -> Option<ppu_core::RunId> {
    facts.iter().find_map(|fact| match &fact.event {
        ppu_engine::Event::RunSubmitted { run, .. } => Some(run.clone()),
        _ => None,
    })
}
