//! The one task that owns the instrument. Commands are taken from the ledger, which is the level to wait on; wishes for
//! the safe state and for readings come through lanes of their own.

mod carry_out;
mod recovery;

use std::sync::Arc;
use std::time::Duration;

use ppu_core::AttemptState;
use ppu_host::Host;
use ppu_proto::device::v1 as wire;
use ppu_proto::journal::v1 as record;
use ppu_proto::journal::v1::ledger_record::Event;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::codes;
use crate::instrument::{Attention, Fault, Instrument};
use crate::ledger::{Attempt, CommitError};
use crate::service::{ReadRequest, SafeRequest, Shared};
use crate::transport::BackOff;

/// Readings are never polled faster than this in real time, however fast lab time passes.
const FASTEST_POLL: Duration = Duration::from_millis(100);
/// The task looks at everything again after this time at the latest, so that deadlines of ACCEPTED attempts pass in time.
const LONGEST_NAP: Duration = Duration::from_millis(500);

/// The ledger failed: the task must end and tell the device nothing more (LOG-4).
#[derive(Debug)]
struct LedgerFailed;

impl LedgerFailed {
    fn from_commit(error: &CommitError) -> Option<LedgerFailed> {
        error.is_fatal().then_some(LedgerFailed)
    }
}

/// The task that owns the instrument.
pub(crate) struct Worker<I> {
    instrument: I,
    shared: Arc<Shared>,
    safe_requests: mpsc::Receiver<SafeRequest>,
    read_requests: mpsc::Receiver<ReadRequest>,
    attention: Attention,
    back_off: BackOff,
    connect_at: Instant,
    poll_at: Instant,
    /// Whether the scheduler was told that the instrument does not answer.
    told_unreachable: bool,
    /// Whether the instrument may be able to prove now what it could not before.
    ask_about_doubt: bool,
}

impl<I: Instrument> Worker<I> {
    pub(crate) fn new(
        instrument: I,
        shared: Arc<Shared>,
        safe_requests: mpsc::Receiver<SafeRequest>,
        read_requests: mpsc::Receiver<ReadRequest>,
    ) -> Self {
        let limits = shared.options.recovery;
        Self {
            attention: Attention::new(shared.options.clock_rate, shared.abort.subscribe()),
            back_off: BackOff::new(limits.first_wait, limits.longest_wait).seeded(shared.options.host.random()),
            connect_at: Instant::now(),
            poll_at: Instant::now(),
            told_unreachable: false,
            ask_about_doubt: true,
            instrument,
            shared,
            safe_requests,
            read_requests,
        }
    }

    /// Serves the instrument until the ledger fails.
    pub(crate) async fn run(mut self) {
        if let Err(LedgerFailed) = self.serve().await {
            tracing::error!("the instrument task ends, because the ledger failed");
        }
    }

    async fn serve(&mut self) -> Result<(), LedgerFailed> {
        self.reconcile_at_start().await?;
        loop {
            if let Ok(request) = self.safe_requests.try_recv() {
                self.serve_safe_request(request).await?;
                continue;
            }
            if self.take_next().await? {
                continue;
            }
            if !self.shared.contact().reachable {
                if Instant::now() >= self.connect_at {
                    self.connect().await?;
                    continue;
                }
            } else if std::mem::take(&mut self.ask_about_doubt) {
                self.ask_again_about_doubt().await?;
                continue;
            } else if let Ok(request) = self.read_requests.try_recv() {
                self.read().await?;
                // Whoever asked may have stopped waiting.
                let _ = request.answer.send(());
                continue;
            } else if Instant::now() >= self.poll_at {
                self.read().await?;
                continue;
            }
            self.nap().await;
        }
    }

    /// Begins the attempt that waits, if there is one and it may begin; says whether anything was done.
    async fn take_next(&mut self) -> Result<bool, LedgerFailed> {
        let waiting = {
            let state = self.shared.ledger.state();
            let attempt = state.live_in(AttemptState::Accepted).cloned();
            attempt.map(|attempt| (attempt, state.why_stopped().is_some(), state.machine_boot.clone()))
        };
        let Some((attempt, stopped, machine_boot)) = waiting else { return Ok(false) };
        if is_late(&*self.shared.options.host, &attempt, &machine_boot) {
            let message = "the deadline for the start had passed";
            self.end_accepted(&attempt, codes::TOO_LATE, message).await?;
            return Ok(true);
        }
        // ACCEPTED stays ACCEPTED until a scheduler is there (T1) and the device may move.
        if stopped || self.shared.gate().check(self.shared.options.host.boot_ns()).is_err() {
            return Ok(false);
        }
        self.carry_out(attempt).await?;
        Ok(true)
    }

    /// Waits for anything to look at.
    async fn nap(&mut self) {
        let contact = self.shared.contact();
        let next = if contact.reachable { self.poll_at } else { self.connect_at };
        let until = next.min(Instant::now() + LONGEST_NAP);
        tokio::select! {
            () = self.shared.wake.notified() => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }

    /// Opens the line; notes and, when it changed, tells whether the instrument answers.
    async fn connect(&mut self) -> Result<bool, LedgerFailed> {
        match self.instrument.connect().await {
            Ok(serial_number) => {
                self.back_off.reset();
                self.shared.set_contact(|contact| {
                    contact.reachable = true;
                    contact.why.clear();
                    contact.serial_number = serial_number;
                });
                if std::mem::take(&mut self.told_unreachable) {
                    self.tell(wire::DeviceState::Idle, "the instrument answers again", "").await?;
                }
                self.ask_about_doubt = true;
                Ok(true)
            }
            Err(fault) => {
                let why = fault.to_string();
                tracing::warn!(device_id = %self.shared.options.device, why, "the instrument cannot be reached");
                self.lose_contact(&why);
                self.connect_at = Instant::now() + self.back_off.next_wait();
                if !std::mem::replace(&mut self.told_unreachable, true) {
                    self.tell(wire::DeviceState::Unreachable, &why, fault_code(&fault)).await?;
                }
                Ok(false)
            }
        }
    }

    fn lose_contact(&mut self, why: &str) {
        self.shared.set_contact(|contact| {
            contact.reachable = false;
            why.clone_into(&mut contact.why);
        });
        self.shared.doubt_readings();
    }

    async fn read(&mut self) -> Result<(), LedgerFailed> {
        let interval = self.shared.options.poll_interval.div_f64(self.shared.options.clock_rate).max(FASTEST_POLL);
        self.poll_at = Instant::now() + interval;
        match self.instrument.read().await {
            Ok(readings) => self.shared.store_readings(readings),
            Err(fault @ Fault::Silent { .. }) => {
                self.lose_contact(&fault.to_string());
                self.connect_at = Instant::now();
            }
            Err(fault) => {
                tracing::warn!(%fault, "the properties could not be read");
                self.shared.doubt_readings();
            }
        }
        Ok(())
    }

    /// Brings the device to its safe state. Attempts that have not begun never will.
    async fn serve_safe_request(&mut self, request: SafeRequest) -> Result<(), LedgerFailed> {
        // The watchdog does not wait for an answer; a person does. What a person made safe, a person clears; the safe
        // state of the watchdog ends with the next Attach, and what is only promised may begin then (reliability 4.6).
        let by_person = request.answer.is_some();
        let waiting = self.shared.ledger.state().live_in(AttemptState::Accepted).cloned().filter(|_| by_person);
        if let Some(attempt) = waiting {
            self.end_accepted(&attempt, codes::MADE_SAFE, "the device was made safe before it began").await?;
        }
        let (confirmed, message) = self.make_safe(&request.reason).await?;
        let (state, code) = match by_person {
            true => (wire::DeviceState::Aborted, codes::MADE_SAFE),
            false => (wire::DeviceState::Suspended, codes::SCHEDULER_SILENT),
        };
        let made_safe =
            record::MadeSafe { who: request.who, reason: request.reason.clone(), confirmed, message: message.clone() };
        let fact = wire::DeviceFact {
            state: state.into(),
            message: format!("{}: {message}", request.reason),
            code: code.to_owned(),
        };
        self.commit(vec![Event::MadeSafe(made_safe), Event::Fact(fact)]).await?;
        self.shared.abort.send_replace(false);
        self.shared.touch();
        if let Some(answer) = request.answer {
            // Whoever asked may have stopped waiting.
            let _ = answer.send(wire::MakeSafeResponse { confirmed, message });
        }
        Ok(())
    }

    /// Whether the device confirmed the safe state, and what is known.
    async fn make_safe(&mut self, reason: &str) -> Result<(bool, String), LedgerFailed> {
        if !self.shared.contact().reachable && !self.connect().await? {
            return Ok((false, format!("the instrument cannot be reached: {}", self.shared.contact().why)));
        }
        Ok(match self.instrument.make_safe(reason).await {
            Ok(message) => (true, message),
            Err(fault) => {
                if matches!(fault, Fault::Silent { .. }) {
                    self.lose_contact(&fault.to_string());
                }
                (false, fault.to_string())
            }
        })
    }

    async fn end_accepted(&mut self, attempt: &Attempt, code: &str, message: &str) -> Result<(), LedgerFailed> {
        let outcome = wire::Outcome {
            state: wire::AttemptState::FailedNoEffect.into(),
            code: code.to_owned(),
            message: message.to_owned(),
            sample_position: attempt.command.positions.first().cloned().unwrap_or_default(),
            ..Default::default()
        };
        let ended = record::AttemptEnded { key: Some((&attempt.key).into()), outcome: Some(outcome) };
        self.commit(vec![Event::Ended(ended)]).await
    }

    async fn tell(&mut self, state: wire::DeviceState, message: &str, code: &str) -> Result<(), LedgerFailed> {
        let fact = wire::DeviceFact { state: state.into(), message: message.to_owned(), code: code.to_owned() };
        self.commit(vec![Event::Fact(fact)]).await
    }

    /// Records what nobody else can contradict. A contradiction here is lost race against Abort or VoidStep, which both
    /// leave the attempt as it must be.
    async fn commit(&mut self, events: Vec<Event>) -> Result<(), LedgerFailed> {
        match self.shared.ledger.commit(events).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::error!(%error, "a fact was not recorded");
                LedgerFailed::from_commit(&error).map_or(Ok(()), Err)
            }
        }
    }
}

/// Whether the deadline for the start has passed; one made under another boot of the computer has (CLK-1).
fn is_late(host: &dyn Host, attempt: &Attempt, machine_boot: &str) -> bool {
    attempt.start_before_ns != 0 && (host.boot_ns() >= attempt.start_before_ns || attempt.machine_boot != machine_boot)
}

fn fault_code(fault: &Fault) -> &'static str {
    match fault {
        Fault::Refused { code, .. } | Fault::Partial { code, .. } | Fault::Silent { code, .. } => code,
        Fault::Aborted { .. } => "",
    }
}
