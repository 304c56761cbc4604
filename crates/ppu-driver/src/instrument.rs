//! The one trait of a driver: an instrument with its real parts and verbs behind it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ppu_core::{Arguments, Manifest, PositionId, SampleId, Value};
use tokio::sync::watch;

/// What a driver is asked to do, already checked against its manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `<run>/<step>#<attempt>`: unique for ever; instruments that take a name or number get one derived from it.
    pub key: String,
    /// Capability.
    pub capability: String,
    /// Verb.
    pub command: String,
    /// Arguments in the units of the manifest, defaults filled in.
    pub arguments: Arguments,
    /// Sample concerned.
    pub sample: Option<SampleId>,
    /// Positions concerned: from and to for a transfer.
    pub positions: Vec<PositionId>,
}

/// Raw data of a measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct RawData {
    /// File name for people.
    pub name: String,
    /// Media type.
    pub media_type: &'static str,
    /// The bytes as the instrument gave them.
    pub bytes: Vec<u8>,
}

/// What a successful command reports.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Done {
    /// Values promised by the manifest.
    pub results: Arguments,
    /// Raw data.
    pub raw: Vec<RawData>,
    /// One line for people.
    pub message: String,
}

/// Why a command did not succeed. The variants say what may be done next, so a refusal is never taken for a broken line.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The device, or the driver before it told the device, said no: nothing happened.
    #[error("{message}")]
    Refused {
        /// Code for `ppu explain`.
        code: &'static str,
        /// What was refused and why.
        message: String,
    },
    /// The device reports that part of it happened.
    #[error("{message}")]
    Partial {
        /// Code for `ppu explain`.
        code: &'static str,
        /// What is known of device, sample and positions.
        message: String,
        /// Values that are known all the same.
        results: Arguments,
    },
    /// It was stopped on request after it began.
    #[error("{message}")]
    Aborted {
        /// What is known.
        message: String,
    },
    /// The line broke or fell silent: nobody knows. The kit asks [`Instrument::recover`] and then decides by class.
    #[error("{message}")]
    Silent {
        /// Code for `ppu explain`.
        code: &'static str,
        /// What was heard last.
        message: String,
    },
}

/// What a device proves about a command that was started and has no recorded outcome.
#[derive(Debug, Clone, PartialEq)]
pub enum Recovered {
    /// It is still at it: attach again by calling [`Instrument::attend`].
    Running,
    /// It finished; here is the result.
    Finished(Result<Done, Fault>),
    /// It certainly never began.
    NeverStarted,
    /// It cannot tell.
    Unknown(String),
}

/// One property value.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Property of the manifest.
    pub name: &'static str,
    /// Its value.
    pub value: Value,
}

/// How fast lab time passes and whether the command should end: given to every command.
#[derive(Debug, Clone)]
pub struct Attention {
    /// Seconds of lab time in a second of this computer; 1 with real instruments, more with simulated ones.
    pub clock_rate: f64,
    /// Becomes true when the running command should end (Abort, MakeSafe).
    pub abort: watch::Receiver<bool>,
    /// Whether bytes that act may be with the device.
    told: Arc<AtomicBool>,
}

/// # Refusals after the device was told
///
/// [`Fault::Refused`] says that nothing happened. Once bytes that act are on their way, only two things can say that: the
/// direct reply to the command that acts, and a readback that could not look so if anything had happened (CLASS-1). A
/// refused *reading* refuses nothing of the action. So an instrument says [`Attention::telling`] before such bytes, and
/// from then on a refusal counts only if it was made by [`Attention::nothing_happened`]; the kit takes any other for
/// silence, whatever the instrument makes of it.
impl Attention {
    /// Attention for one instrument; nothing has been told yet.
    pub fn new(clock_rate: f64, abort: watch::Receiver<bool>) -> Self {
        Self { clock_rate, abort, told: Arc::default() }
    }

    /// Another command begins: nothing of it has been told.
    pub fn begin(&self) {
        self.told.store(false, Ordering::SeqCst);
    }

    /// Bytes that act go out next, or went out before (as for [`Instrument::attend`]).
    pub fn telling(&self) {
        self.told.store(true, Ordering::SeqCst);
    }

    /// Whether bytes that act may be with the device.
    pub fn has_told(&self) -> bool {
        self.told.load(Ordering::SeqCst)
    }

    /// The refusal of a command that acts, where the direct reply to it or a readback proves that nothing happened.
    pub fn nothing_happened(&self, code: &'static str, message: impl Into<String>) -> Fault {
        self.begin();
        Fault::Refused { code, message: message.into() }
    }

    /// What a fault means now: after the device was told, a refusal that nothing proves is silence.
    pub fn honest(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Refused { code, message } if self.has_told() => Fault::Silent { code, message },
            other => other,
        }
    }

    /// Waits for a span of *lab* time. Poll intervals and host-timed actions use it, so that a lab simulated at a
    /// thousand times real speed needs no other driver; time-outs of the line stay in real time.
    pub async fn pause(&self, lab_time: Duration) {
        // Below half a millisecond the timer of the operating system decides anyway.
        let real = (lab_time.as_secs_f64() / self.clock_rate).max(0.000_5);
        tokio::time::sleep(Duration::from_secs_f64(real)).await;
    }

    /// Whether the running command should end.
    pub fn should_abort(&self) -> bool {
        *self.abort.borrow()
    }
}

/// An instrument as the kit sees it. Implementations own their line and are called by one task only, so exactly one
/// request is in flight on it (MB-4).
pub trait Instrument: Send + 'static {
    /// What it is and can do. Needs no contact.
    fn describe(&self) -> Manifest;

    /// Opens the line if it is closed and checks that the expected instrument answers; returns its serial number.
    fn connect(&mut self) -> impl Future<Output = Result<String, Fault>> + Send;

    /// Everything that may be done before STARTED is durable: checks, and idempotent preparation such as writing a
    /// programme into a controller that is in reset. Returns what the device shows now, from which [`Instrument::recover`]
    /// can later prove what happened (CLASS-1).
    fn prepare(
        &mut self,
        request: &Request,
        attention: &Attention,
    ) -> impl Future<Output = Result<Vec<u8>, Fault>> + Send;

    /// Tells the device, and stays until the action has ended.
    fn execute(&mut self, request: &Request, attention: &Attention)
    -> impl Future<Output = Result<Done, Fault>> + Send;

    /// Asks the device what became of a command. Never acts. `snapshot` is what [`Instrument::prepare`] returned.
    fn recover(
        &mut self,
        request: &Request,
        snapshot: &[u8],
        attention: &Attention,
    ) -> impl Future<Output = Result<Recovered, Fault>> + Send;

    /// Stays with an action that is running already until it has ended.
    fn attend(
        &mut self,
        request: &Request,
        snapshot: &[u8],
        attention: &Attention,
    ) -> impl Future<Output = Result<Done, Fault>> + Send;

    /// Reads the properties of the manifest.
    fn read(&mut self) -> impl Future<Output = Result<Vec<Reading>, Fault>> + Send;

    /// Brings the device to the safe state of its class and says whether the device confirmed it.
    fn make_safe(&mut self, reason: &str) -> impl Future<Output = Result<String, Fault>> + Send;
}
