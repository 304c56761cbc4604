//! The task that owns a bus.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_modbus::client::{Client as _, Context, rtu, tcp};
use tokio_modbus::{Request, Response, Slave};

use super::stream::Shared;
use super::{Ask, Framing, Message, ModbusError, ModbusSettings, exception, in_words};
use crate::transport::{BackOff, Connect, FrameLog, LineError, open_serial_stream, open_tcp_stream};

/// A TCP device that has not answered by then is not there.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// First and longest wait between attempts to open.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How long a line that babbles unasked is listened to before it counts as broken.
const NOISE_LIMIT: Duration = Duration::from_secs(1);

struct Session {
    stream: Shared,
    /// Kept over requests for TCP, whose transaction numbers tell replies apart. RTU has none: each request gets a
    /// codec of its own, so nothing that was read too much can reach the next request.
    tcp: Option<Context>,
}

struct Bus {
    settings: ModbusSettings,
    frames: FrameLog,
    session: Option<Session>,
    /// Until when nothing may be asked: a late reply could still come.
    quiet_until: Option<Instant>,
    back_off: BackOff,
    not_before: Option<Instant>,
    last_activity: Instant,
}

/// Serves requests one by one until nobody can send any more.
pub(super) async fn run(settings: ModbusSettings, mut messages: mpsc::Receiver<Message>) {
    let mut bus = Bus {
        settings,
        frames: FrameLog::default(),
        session: None,
        quiet_until: None,
        back_off: BackOff::new(FIRST_WAIT, LONGEST_WAIT),
        not_before: None,
        last_activity: Instant::now(),
    };
    while let Some(Message { ask, answer }) = messages.recv().await {
        // A caller that went away while it waited wants nothing any more; one that goes away later is served to the end.
        if answer.is_closed() {
            continue;
        }
        let result = match ask {
            Ask::Open => bus.open().await.map(|()| Vec::new()),
            Ask::Close => {
                bus.session = None;
                Ok(Vec::new())
            }
            Ask::Call(request) => bus.call(request).await,
        };
        // The caller may have stopped waiting; the request has run to completion all the same.
        let _ = answer.send(result);
    }
}

impl Bus {
    async fn call(&mut self, request: Request<'static>) -> Result<Vec<u16>, ModbusError> {
        self.open().await?;
        self.exchange(request).await
    }

    async fn open(&mut self) -> Result<(), ModbusError> {
        if self.session.is_some() {
            return Ok(());
        }
        if let Some(not_before) = self.not_before.take() {
            tokio::time::sleep_until(not_before).await;
        }
        match self.try_open().await {
            Ok(()) => {
                self.back_off.reset();
                Ok(())
            }
            Err(error) => {
                self.session = None;
                self.not_before = Some(Instant::now() + self.back_off.next_wait());
                Err(error)
            }
        }
    }

    async fn try_open(&mut self) -> Result<(), ModbusError> {
        let name = self.settings.connect.to_string();
        let opened: Result<Shared, LineError> = match &self.settings.connect {
            Connect::Serial { path, settings } => {
                open_serial_stream(path, *settings).map(|stream| Shared::new(&name, stream, self.frames.clone()))
            }
            Connect::Tcp { address } => open_tcp_stream(address, OPEN_TIMEOUT)
                .await
                .map(|stream| Shared::new(&name, stream, self.frames.clone())),
            Connect::Local => Err(LineError::NoAddress),
        };
        let mut stream = opened.map_err(|error| line(&name, &error))?;
        if let Some(end) = self.quiet_until {
            let late = stream.discard_until(end).await.map_err(|error| line(&name, &error))?;
            if late > 0 {
                tracing::warn!(line = name, bytes = late, "a late reply was thrown away");
            }
            self.quiet_until = None;
        }
        let slave = Slave(self.settings.unit);
        let tcp = (self.settings.framing == Framing::Tcp).then(|| tcp::attach_slave(stream.clone(), slave));
        self.session = Some(Session { stream, tcp });
        let Some(identity) = self.settings.identity.clone() else { return Ok(()) };
        let quantity = identity.expected.len() as u16;
        let found = self.exchange(Request::ReadHoldingRegisters(identity.address, quantity)).await?;
        if found != identity.expected {
            // What answered may also have been the late reply to an older request: nothing of it is trusted.
            self.poison();
            return Err(ModbusError::WrongDevice { address: identity.address, expected: identity.expected, found });
        }
        Ok(())
    }

    /// One request and its reply. Everything but a reply that fits and a refusal poisons the session.
    async fn exchange(&mut self, request: Request<'static>) -> Result<Vec<u16>, ModbusError> {
        let words = in_words(&request);
        let result = self.exchange_on_session(request, &words).await;
        self.last_activity = Instant::now();
        if result.as_ref().is_err_and(|error| !error.is_refusal()) {
            self.poison();
        }
        result
    }

    async fn exchange_on_session(&mut self, request: Request<'static>, words: &str) -> Result<Vec<u16>, ModbusError> {
        let name = self.settings.connect.to_string();
        let gap = self.settings.silent_interval();
        let session = self.session.as_mut().ok_or(ModbusError::Closed)?;
        let mut fresh;
        let context = match &mut session.tcp {
            Some(context) => context,
            None => {
                tokio::time::sleep_until(self.last_activity + gap).await;
                let mut stray = session.stream.discard_pending().map_err(|error| line(&name, &error))?;
                if stray > 0 {
                    stray +=
                        session.stream.discard_until_idle(gap * 4, NOISE_LIMIT).await.map_err(|e| line(&name, &e))?;
                    tracing::warn!(line = name, bytes = stray, "bytes that nobody asked for were thrown away");
                }
                fresh = rtu::attach_slave(session.stream.clone(), Slave(self.settings.unit));
                &mut fresh
            }
        };
        let waited = self.settings.timeout;
        match tokio::time::timeout(waited, context.call(request.clone())).await {
            Err(_) => Err(ModbusError::Silent { request: words.to_owned(), waited }),
            Ok(Ok(Ok(response))) => {
                check(&request, response).map_err(|reason| ModbusError::Mismatch { request: words.to_owned(), reason })
            }
            Ok(Ok(Err(code))) => {
                let (code, meaning) = exception(code);
                Err(ModbusError::Exception { request: words.to_owned(), code, meaning })
            }
            Ok(Err(tokio_modbus::Error::Protocol(error))) => {
                Err(ModbusError::Mismatch { request: words.to_owned(), reason: error.to_string() })
            }
            Ok(Err(tokio_modbus::Error::Transport(error))) => Err(line(&name, &error)),
        }
    }

    /// Drops the session; nothing is asked again before a late reply can no longer come (MB-1).
    fn poison(&mut self) {
        self.session = None;
        self.quiet_until = Some(Instant::now() + self.settings.hold_off);
    }
}

impl ModbusSettings {
    /// The silence that separates two RTU frames: three and a half characters of eleven bits, at least 1.75 ms as the
    /// specification of Modbus over serial line sets for 19200 baud and more.
    fn silent_interval(&self) -> Duration {
        match &self.connect {
            Connect::Serial { settings, .. } => {
                Duration::from_secs_f64((3.5 * 11.0 / f64::from(settings.baud.max(1))).max(0.001_75))
            }
            Connect::Tcp { .. } | Connect::Local => Duration::from_micros(1_750),
        }
    }
}

fn line(name: &str, error: &(dyn std::error::Error + 'static)) -> ModbusError {
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    ModbusError::Line { message: format!("{name}: {error}{cause}") }
}

/// The words of the reply, if it can belong to the request (MB-3); for writes the echo is compared.
fn check(request: &Request<'_>, response: Response) -> Result<Vec<u16>, String> {
    match (request, response) {
        (Request::ReadHoldingRegisters(_, quantity), Response::ReadHoldingRegisters(words))
        | (Request::ReadInputRegisters(_, quantity), Response::ReadInputRegisters(words)) => {
            if words.len() == usize::from(*quantity) {
                Ok(words)
            } else {
                Err(format!("{quantity} words were asked for, {} came", words.len()))
            }
        }
        (Request::WriteSingleRegister(address, word), Response::WriteSingleRegister(echo_address, echo)) => {
            if (*address, *word) == (echo_address, echo) {
                Ok(Vec::new())
            } else {
                Err(format!("the echo names {echo} in register {echo_address}"))
            }
        }
        (Request::WriteMultipleRegisters(address, words), Response::WriteMultipleRegisters(echo_address, count)) => {
            if (*address, words.len()) == (echo_address, usize::from(count)) {
                Ok(Vec::new())
            } else {
                Err(format!("the echo names {count} registers from {echo_address}"))
            }
        }
        (_, other) => Err(format!("it answers function {}", other.function_code())),
    }
}
