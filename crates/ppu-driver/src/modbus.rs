//! A safe session over tokio-modbus for RTU and TCP. The bus is owned by one task that runs every request to completion,
//! so that dropping a call never leaves half a conversation on the line (MB-4); any time-out poisons the session (MB-1);
//! an identity register is compared after each opening (MB-2) and the length of each reply with what was asked (MB-3).

mod bus;
mod stream;

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_modbus::{ExceptionCode, Request};

use crate::codes;
use crate::instrument::Fault;
use crate::transport::Connect;

/// Requests that may wait for the bus; a driver asks one thing at a time, so more means a mistake in the driver.
const QUEUE: usize = 16;

/// How requests are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Binary frames with a checksum, on a serial line or through a serial server.
    Rtu,
    /// Frames with a transaction number.
    Tcp,
}

/// What proves that the expected slave answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// First holding register, zero-based.
    pub address: u16,
    /// Words expected there.
    pub expected: Vec<u16>,
}

/// How a slave is reached and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModbusSettings {
    /// Serial port or TCP address.
    pub connect: Connect,
    /// Framing.
    pub framing: Framing,
    /// Unit (slave) id, 1 to 247; 255 addresses a TCP device itself.
    pub unit: u8,
    /// How long one reply may take.
    pub timeout: Duration,
    /// How long nothing is asked after a time-out: at least the worst response time of the slave, so that its late reply
    /// is thrown away instead of being taken for the answer to another request.
    pub hold_off: Duration,
    /// Registers compared after each opening before any value is trusted.
    pub identity: Option<Identity>,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModbusError {
    /// The slave said no: nothing happened.
    #[error("the slave refused to {request}: {meaning} (exception {code})")]
    Exception {
        /// What was asked.
        request: String,
        /// Modbus exception code.
        code: u8,
        /// Its meaning.
        meaning: &'static str,
    },
    /// No reply in time. The session is poisoned and will be opened anew.
    #[error("no reply within {} ms to the request to {request}", waited.as_millis())]
    Silent {
        /// What was asked.
        request: String,
        /// How long was waited.
        waited: Duration,
    },
    /// A reply that does not belong to the request. The session is poisoned and will be opened anew.
    #[error("the reply to the request to {request} does not fit: {reason}")]
    Mismatch {
        /// What was asked.
        request: String,
        /// What is wrong.
        reason: String,
    },
    /// Another device than the expected one answers.
    #[error("register {address} reads {found:?}, the expected device has {expected:?}")]
    WrongDevice {
        /// First register of the identity.
        address: u16,
        /// What it should read.
        expected: Vec<u16>,
        /// What it reads.
        found: Vec<u16>,
    },
    /// The line could not be opened, or broke.
    #[error("{message}")]
    Line {
        /// What failed and why.
        message: String,
    },
    /// The task that owned the bus has ended.
    #[error("the bus is closed")]
    Closed,
}

impl ModbusError {
    /// Whether the slave said no, so that nothing happened.
    pub fn is_refusal(&self) -> bool {
        matches!(self, ModbusError::Exception { .. })
    }

    /// As a fault of a command: a refusal of the slave is a refusal, everything else leaves the outcome open.
    pub fn fault(self) -> Fault {
        let message = self.to_string();
        let code = match &self {
            ModbusError::Exception { .. } => return Fault::Refused { code: codes::DEVICE_REFUSED, message },
            ModbusError::Silent { .. } => codes::LINE_SILENT,
            ModbusError::Mismatch { .. } => codes::BAD_REPLY,
            ModbusError::WrongDevice { .. } => codes::WRONG_DEVICE,
            ModbusError::Line { .. } | ModbusError::Closed => codes::LINE_CLOSED,
        };
        Fault::Silent { code, message }
    }
}

impl From<ModbusError> for Fault {
    fn from(error: ModbusError) -> Fault {
        error.fault()
    }
}

/// A slave behind its bus. Clones share the bus, which is closed when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Modbus {
    bus: mpsc::Sender<Message>,
}

#[derive(Debug)]
pub(crate) struct Message {
    ask: Ask,
    answer: oneshot::Sender<Result<Vec<u16>, ModbusError>>,
}

#[derive(Debug)]
enum Ask {
    Open,
    Close,
    Call(Request<'static>),
}

impl Modbus {
    /// Starts the task that owns the bus, on the current tokio runtime. Opens nothing yet.
    pub fn new(settings: ModbusSettings) -> Modbus {
        let (bus, messages) = mpsc::channel(QUEUE);
        tokio::spawn(bus::run(settings, messages));
        Modbus { bus }
    }

    /// Opens the line if it is closed and compares the identity.
    pub async fn open(&self) -> Result<(), ModbusError> {
        self.ask(Ask::Open).await.map(drop)
    }

    /// Reads holding registers; the answer has exactly `quantity` words.
    pub async fn read_holding(&self, address: u16, quantity: u16) -> Result<Vec<u16>, ModbusError> {
        self.ask(Ask::Call(Request::ReadHoldingRegisters(address, quantity))).await
    }

    /// Reads input registers; the answer has exactly `quantity` words.
    pub async fn read_input(&self, address: u16, quantity: u16) -> Result<Vec<u16>, ModbusError> {
        self.ask(Ask::Call(Request::ReadInputRegisters(address, quantity))).await
    }

    /// Writes one holding register (function 6).
    pub async fn write_register(&self, address: u16, word: u16) -> Result<(), ModbusError> {
        self.ask(Ask::Call(Request::WriteSingleRegister(address, word))).await.map(drop)
    }

    /// Writes consecutive holding registers (function 16).
    pub async fn write_registers(&self, address: u16, words: &[u16]) -> Result<(), ModbusError> {
        let words = words.to_vec().into();
        self.ask(Ask::Call(Request::WriteMultipleRegisters(address, words))).await.map(drop)
    }

    /// Closes the line; the next request opens it again.
    pub async fn close(&self) {
        // Only a bus that is gone cannot be told, and then it is closed anyway.
        let _ = self.ask(Ask::Close).await;
    }

    async fn ask(&self, ask: Ask) -> Result<Vec<u16>, ModbusError> {
        let (answer, answered) = oneshot::channel();
        self.bus.send(Message { ask, answer }).await.map_err(|_| ModbusError::Closed)?;
        answered.await.map_err(|_| ModbusError::Closed)?
    }
}

/// The request in words.
fn in_words(request: &Request<'_>) -> String {
    match request {
        Request::ReadHoldingRegisters(address, quantity) => format!("read {quantity} holding registers from {address}"),
        Request::ReadInputRegisters(address, quantity) => format!("read {quantity} input registers from {address}"),
        Request::WriteSingleRegister(address, word) => format!("write {word} to register {address}"),
        Request::WriteMultipleRegisters(address, words) => format!("write {} registers from {address}", words.len()),
        other => format!("call function {}", other.function_code()),
    }
}

/// Code and meaning of an exception.
fn exception(code: ExceptionCode) -> (u8, &'static str) {
    match code {
        ExceptionCode::IllegalFunction => (1, "it does not have this function"),
        ExceptionCode::IllegalDataAddress => (2, "it does not have this address"),
        ExceptionCode::IllegalDataValue => (3, "it does not take this value"),
        ExceptionCode::ServerDeviceFailure => (4, "it failed while acting"),
        ExceptionCode::Acknowledge => (5, "it needs longer"),
        ExceptionCode::ServerDeviceBusy => (6, "it is busy"),
        ExceptionCode::MemoryParityError => (8, "its memory has an error"),
        ExceptionCode::GatewayPathUnavailable => (10, "the gateway has no path to it"),
        ExceptionCode::GatewayTargetDevice => (11, "it does not answer the gateway"),
        ExceptionCode::Custom(code) => (code, "no standard meaning"),
    }
}
