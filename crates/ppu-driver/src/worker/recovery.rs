//! What became of a command when its instrument fell silent, or when the driver was started anew in the middle of it
//! (REL-8). No command is sent again blindly: its class and the device's own word decide.

use std::time::Duration;

use ppu_core::admission::Settling;
use ppu_core::{ActionClass, AttemptState};
use ppu_proto::device::v1 as wire;
use ppu_proto::journal::v1 as record;
use ppu_proto::journal::v1::ledger_record::Event;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::carry_out::Ending;
use super::{LedgerFailed, Worker};
use crate::codes;
use crate::instrument::{Fault, Instrument, Recovered, Request};
use crate::ledger::Attempt;
use crate::options::RecoveryLimits;
use crate::service::{StoredRequest, stored_request};

/// How often an attempt that waits for the scheduler's return looks whether it is there.
const WAIT_FOR_SCHEDULER: Duration = Duration::from_millis(50);

/// Who resolves a doubt that the device itself settles.
const INSTRUMENT: &str = "instrument";

/// What to do next with a silent command.
enum Next {
    /// It ended.
    Ended(Ending),
    /// The line broke again: start over.
    Silent(String),
    /// It certainly never began, or may be repeated without harm: it may be sent (again).
    MaySend,
}

/// Tries and sends that are left, and what earlier sends may have done.
struct Budget {
    tries: u32,
    end: Instant,
    sends: u32,
    /// Whether bytes that act may have been with the device before the command is sent again.
    may_have_acted: bool,
}

impl Budget {
    fn refill(&mut self, limits: RecoveryLimits) {
        self.tries = limits.tries;
        self.end = Instant::now() + limits.within;
    }
}

impl<I: Instrument> Worker<I> {
    /// Settles what was STARTED before this start of the driver. Attach waits until it is known whether it still runs.
    pub(super) async fn reconcile_at_start(&mut self) -> Result<(), LedgerFailed> {
        let started = self.shared.ledger.state().live_in(AttemptState::Started).cloned();
        if let Some(attempt) = started {
            let span = tracing::info_span!(
                "reconcile command",
                device_id = %self.shared.options.device, command_id = %attempt.key, step_id = %attempt.key.step,
            );
            self.shared.set_contact(|contact| contact.running = Some(attempt.key.clone()));
            let result = self.reconcile(&attempt).instrument(span).await;
            self.shared.set_contact(|contact| contact.running = None);
            result?;
        }
        self.shared.reconciled.send_replace(true);
        Ok(())
    }

    async fn reconcile(&mut self, attempt: &Attempt) -> Result<(), LedgerFailed> {
        let StoredRequest { request, class, .. } = match stored_request(&self.shared.manifest, attempt) {
            Ok(stored) => stored,
            Err(message) => return self.doubt(attempt, &message).await,
        };
        self.shared.abort.send_replace(attempt.abort_requested);
        // What the driver before this one had told the device is not known.
        self.attention.telling();
        let code = codes::LINE_CLOSED;
        let fault = Fault::Silent { code, message: "the driver was started anew while the command ran".to_owned() };
        self.settle_silence(attempt, &request, class, &attempt.snapshot, fault).await
    }

    /// Finds out what became of a command nobody knows about, and records it.
    pub(super) async fn settle_silence(
        &mut self,
        attempt: &Attempt,
        request: &Request,
        class: ActionClass,
        snapshot: &[u8],
        fault: Fault,
    ) -> Result<(), LedgerFailed> {
        let mut why = fault.to_string();
        tracing::warn!(why, ?class, "the outcome is not known");
        self.lose_contact(&why);
        if class.settling() == Settling::Doubt {
            return self.make_safe_and_doubt(attempt, &why).await;
        }
        let limits = self.shared.options.recovery;
        let end = Instant::now() + limits.within;
        let may_have_acted = self.attention.has_told();
        let mut budget = Budget { tries: limits.tries, end, sends: limits.resends, may_have_acted };
        loop {
            let next = match self.ask(request, class, snapshot, &mut budget).await? {
                Next::MaySend => self.send_again(attempt, request, class, snapshot, &mut budget).await?,
                other => other,
            };
            match next {
                Next::Ended(ending) if ending.state == AttemptState::InDoubt => {
                    return self.doubt(attempt, &ending.message).await;
                }
                Next::Ended(ending) => return self.end(attempt, ending).await,
                Next::MaySend => {}
                Next::Silent(message) => {
                    why = message;
                    self.lose_contact(&why);
                }
            }
            if budget.tries == 0 || Instant::now() >= budget.end {
                return self.doubt(attempt, &why).await;
            }
        }
    }

    /// Reaches the instrument and asks it, as its class allows.
    async fn ask(
        &mut self,
        request: &Request,
        class: ActionClass,
        snapshot: &[u8],
        budget: &mut Budget,
    ) -> Result<Next, LedgerFailed> {
        budget.tries = budget.tries.saturating_sub(1);
        if !self.connect().await? {
            let wait = self.back_off.next_wait().min(budget.end.saturating_duration_since(Instant::now()));
            tokio::time::sleep(wait).await;
            return Ok(Next::Silent(self.shared.contact().why));
        }
        if class.settling() == Settling::SendAgain {
            return Ok(Next::MaySend);
        }
        match self.instrument.recover(request, snapshot, &self.attention).await {
            Ok(Recovered::Running) => {
                // The command is known to run: Attach need not wait for its end.
                self.shared.reconciled.send_replace(true);
                tracing::info!("the command is still running: attached to it again");
                self.attention.telling();
                let result = self.instrument.attend(request, snapshot, &self.attention).await;
                let result = result.map_err(|fault| self.attention.honest(fault));
                // The instrument was reached, so a later silence has its full time again.
                budget.refill(self.shared.options.recovery);
                if let Err(Fault::Silent { code, message }) = &result {
                    // A command that runs for longer than it should is a person's concern; no time-out ends it (REL-13).
                    self.tell(wire::DeviceState::Held, message, code).await?;
                }
                Ok(Ending::of(result).map_or_else(|fault| Next::Silent(fault.to_string()), Next::Ended))
            }
            Ok(Recovered::Finished(result)) => {
                Ok(Ending::of(result).map_or_else(|fault| Next::Silent(fault.to_string()), Next::Ended))
            }
            Ok(Recovered::NeverStarted) => Ok(Next::MaySend),
            Ok(Recovered::Unknown(message)) => {
                Ok(Next::Ended(Ending::new(AttemptState::InDoubt, codes::IN_DOUBT, message)))
            }
            Err(fault) => {
                tokio::time::sleep(self.back_off.next_wait()).await;
                Ok(Next::Silent(fault.to_string()))
            }
        }
    }

    /// Sends a command again whose class or device allows it, once a scheduler is there (T1).
    async fn send_again(
        &mut self,
        attempt: &Attempt,
        request: &Request,
        class: ActionClass,
        snapshot: &[u8],
        budget: &mut Budget,
    ) -> Result<Next, LedgerFailed> {
        let never_started = class.settling() != Settling::SendAgain;
        if budget.sends == 0 {
            let state = if never_started { AttemptState::FailedNoEffect } else { AttemptState::InDoubt };
            let message = "the instrument fell silent each time it was told";
            return Ok(Next::Ended(Ending::new(state, codes::LINE_SILENT, message)));
        }
        if self.wait_for_scheduler().await {
            // The wait may have been long: the device is asked once more before anything moves.
            budget.refill(self.shared.options.recovery);
            if never_started {
                match self.ask(request, class, snapshot, budget).await? {
                    Next::MaySend => {}
                    other => return Ok(other),
                }
            }
        }
        if self.shared.ledger.state().memory_doubt.is_some() {
            // A restored ledger does not know what became of the command after the copy was made (row 18).
            let message = "the ledger is in doubt, so nobody knows what became of it";
            return Ok(Next::Ended(Ending::new(AttemptState::InDoubt, codes::MEMORY_DOUBT, message)));
        }
        let ends_now = self.attention.should_abort() || !self.safe_requests.is_empty();
        if ends_now && !never_started {
            let message = "told to end while it was not known how far it had got; it was not sent again";
            return Ok(Next::Ended(Ending::new(AttemptState::Aborted, codes::CANCELLED, message)));
        }
        let late = super::is_late(&*self.shared.options.host, attempt, &self.shared.ledger.state().machine_boot);
        if never_started && (ends_now || late) {
            let (code, message) = if late {
                (codes::TOO_LATE, "the deadline for the start passed before it began")
            } else {
                (codes::CANCELLED, "cancelled; the device proves that it never began")
            };
            return Ok(Next::Ended(Ending::new(AttemptState::FailedNoEffect, code, message)));
        }
        budget.sends -= 1;
        tracing::warn!(never_started, "the command is sent again");
        self.attention.begin();
        let result = self.instrument.execute(request, &self.attention).await;
        let result = result.map_err(|fault| match self.attention.honest(fault) {
            // The refusal speaks of this time only; the time before may have done it.
            Fault::Refused { code, message } if !never_started && budget.may_have_acted => {
                let message = format!("it may have been carried out before; sent again, it was refused: {message}");
                Fault::Partial { code, message, results: ppu_core::Arguments::new() }
            }
            other => other,
        });
        budget.may_have_acted |= self.attention.has_told();
        budget.refill(self.shared.options.recovery);
        Ok(Ending::of(result).map_or_else(|fault| Next::Silent(fault.to_string()), Next::Ended))
    }

    /// Waits until something may start, or until the command is to end. Says whether it waited.
    async fn wait_for_scheduler(&mut self) -> bool {
        let mut waited = false;
        loop {
            let (stopped, memory_doubt) = {
                let state = self.shared.ledger.state();
                (state.why_stopped().is_some(), state.memory_doubt.is_some())
            };
            let open = self.shared.gate().check(self.shared.options.host.boot_ns()).is_ok() && !stopped;
            if open || memory_doubt || self.attention.should_abort() || !self.safe_requests.is_empty() {
                return waited;
            }
            waited = true;
            // What was started is settled as far as it can be without a scheduler: it may attach.
            self.shared.reconciled.send_replace(true);
            tokio::time::sleep(WAIT_FOR_SCHEDULER).await;
        }
    }

    /// An irreversible and silent command: the device is made safe and a person decides.
    async fn make_safe_and_doubt(&mut self, attempt: &Attempt, why: &str) -> Result<(), LedgerFailed> {
        let reason = format!("the outcome of {} is not known", attempt.key);
        let (confirmed, message) = self.make_safe(&reason).await?;
        let made_safe = record::MadeSafe { who: "driver".to_owned(), reason, confirmed, message: message.clone() };
        self.commit(vec![Event::MadeSafe(made_safe)]).await?;
        self.doubt(attempt, &format!("{why}; safe state: {message}")).await
    }

    async fn doubt(&mut self, attempt: &Attempt, why: &str) -> Result<(), LedgerFailed> {
        // It has just been asked; it is asked again when it was away in between.
        self.ask_about_doubt = false;
        self.end(attempt, Ending::new(AttemptState::InDoubt, codes::IN_DOUBT, why)).await
    }

    /// Asks the device about an attempt in doubt, once it answers again: it may prove now what it could not before. A
    /// proof resolves the doubt (reliability 4.7); everything else leaves it to a person.
    pub(super) async fn ask_again_about_doubt(&mut self) -> Result<(), LedgerFailed> {
        let doubt = {
            let state = self.shared.ledger.state();
            state.live_in(AttemptState::InDoubt).filter(|_| state.memory_doubt.is_none()).cloned()
        };
        let Some(attempt) = doubt else { return Ok(()) };
        let Ok(StoredRequest { request, class, .. }) = stored_request(&self.shared.manifest, &attempt) else {
            return Ok(());
        };
        if !matches!(class, ActionClass::Queryable | ActionClass::Continuing) {
            return Ok(());
        }
        let recovered = match self.instrument.recover(&request, &attempt.snapshot, &self.attention).await {
            Ok(recovered) => recovered,
            Err(fault) => {
                if matches!(fault, Fault::Silent { .. }) {
                    self.lose_contact(&fault.to_string());
                }
                return Ok(());
            }
        };
        let result = match recovered {
            Recovered::Running => {
                tracing::info!(command_id = %attempt.key, "the command in doubt still runs: attached to it again");
                self.shared.set_contact(|contact| contact.running = Some(attempt.key.clone()));
                self.attention.telling();
                let result = self.instrument.attend(&request, &attempt.snapshot, &self.attention).await;
                self.shared.set_contact(|contact| contact.running = None);
                result.map_err(|fault| self.attention.honest(fault))
            }
            Recovered::Finished(result) => result,
            Recovered::NeverStarted => {
                return self.prove_not_done(&attempt, "the instrument proves that it never began").await;
            }
            Recovered::Unknown(_) => return Ok(()),
        };
        // A person may have resolved it meanwhile; then the proof comes too late and is refused by the ledger.
        match Ending::of(result) {
            Ok(ending) if ending.state == AttemptState::Succeeded => self.end(&attempt, ending).await,
            Ok(ending) if ending.state == AttemptState::FailedNoEffect => {
                self.prove_not_done(&attempt, &ending.message).await
            }
            Ok(ending) => self.tell(wire::DeviceState::Held, &ending.message, ending.code).await,
            Err(fault) => {
                self.lose_contact(&fault.to_string());
                Ok(())
            }
        }
    }

    async fn prove_not_done(&mut self, attempt: &Attempt, proof: &str) -> Result<(), LedgerFailed> {
        let resolution = wire::Resolution {
            who: INSTRUMENT.to_owned(),
            inspected: "asked again when it answered again".to_owned(),
            note: proof.to_owned(),
            ..Default::default()
        };
        let resolved = record::AttemptResolved {
            key: Some((&attempt.key).into()),
            verdict: wire::Verdict::NotDone.into(),
            resolution: Some(resolution),
        };
        self.commit(vec![Event::Resolved(resolved)]).await
    }
}
