//! The control port of the simulation: faults, state and counters, one JSON object a line, on the loopback interface.
//!
//! Requests: `{"fault":{"device":"furnace_b","name":"late_reply","count":1,"delay_ms":400}}`,
//! `{"clear":{"device":"furnace_b"}}` (optionally with a fault's `name`), `{"status":{}}`, `{"executions":{}}`,
//! `{"faults":{}}` (what there is), `{"truth":{"sample":"S01"}}` (the judge's view, never for a driver),
//! `{"move":{"sample":"S01","position":"rack.9"}}` (a person's hand; no instrument is told),
//! `{"pause":{"paused":true}}`. Every answer is `{"ok":…}` or `{"error":"…"}`.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::fault::{Fault, FaultParameters};
use crate::lab::{InjectError, Lab};
use crate::link::{SharedLab, lock};
use crate::world::ByHandError;

/// Longest request line, bytes.
const LONGEST: u64 = 64 * 1024;
/// Patience of [`request`].
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    Fault(Map<String, Value>),
    Clear { device: String, name: Option<String> },
    Status {},
    Executions {},
    Faults {},
    Truth { sample: String },
    Pause { paused: bool },
    Move { sample: String, position: String },
}

/// Why a request to the control port failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The simulation could not be reached, or the connection broke.
    #[error("cannot talk to the simulation at {address}")]
    Connection {
        /// The control port.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// No answer within ten seconds.
    #[error("the simulation at {0} does not answer")]
    Silent(SocketAddr),
    /// The answer was not one JSON object a line.
    #[error("the simulation at {address} answered something else than JSON")]
    Answer {
        /// The control port.
        address: SocketAddr,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The simulation refused the request; the text says why and lists what there is.
    #[error("{0}")]
    Refused(String),
}

/// Sends one request to a control port and returns what stands under `ok` in the answer.
///
/// # Errors
/// [`ControlError`]; refusals of the simulation come as [`ControlError::Refused`].
pub async fn request(address: SocketAddr, request: &Value) -> Result<Value, ControlError> {
    let broken = |source| ControlError::Connection { address, source };
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("{request}\n").as_bytes()).await?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await?;
        Ok(line)
    };
    let line = tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| ControlError::Silent(address))?;
    let answer: Value =
        serde_json::from_str(&line.map_err(broken)?).map_err(|source| ControlError::Answer { address, source })?;
    match (answer.get("ok"), answer.get("error").and_then(Value::as_str)) {
        (Some(ok), _) => Ok(ok.clone()),
        (None, why) => Err(ControlError::Refused(why.unwrap_or("no reason given").to_owned())),
    }
}

/// Serves the control port, for ever.
pub async fn serve(lab: SharedLab, listener: TcpListener) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let lab = SharedLab::clone(&lab);
                    clients.spawn(async move { converse(&lab, stream).await });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to the control port");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

async fn converse(lab: &SharedLab, stream: TcpStream) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        match (&mut reader).take(LONGEST).read_line(&mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let answer = answer(&mut lock(lab), &line);
        if writer.write_all(format!("{answer}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum CarryOutError {
    #[error(transparent)]
    Inject(#[from] InjectError),
    #[error(transparent)]
    ByHand(#[from] ByHandError),
    #[error("key `{0}` must be a text")]
    Text(&'static str),
    #[error("fault parameters: {0}")]
    Parameters(#[from] serde_json::Error),
}

fn text(keys: &mut Map<String, Value>, key: &'static str) -> Result<String, CarryOutError> {
    match keys.remove(key) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(CarryOutError::Text(key)),
    }
}

/// Answers one request line.
pub fn answer(lab: &mut Lab, line: &str) -> Value {
    let request: Request = match serde_json::from_str(line) {
        Ok(request) => request,
        Err(error) => return json!({ "error": format!("not a request: {error}") }),
    };
    match carry_out(lab, request) {
        Ok(value) => json!({ "ok": value }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

fn carry_out(lab: &mut Lab, request: Request) -> Result<Value, CarryOutError> {
    Ok(match request {
        Request::Fault(mut keys) => {
            let (device, name) = (text(&mut keys, "device")?, text(&mut keys, "name")?);
            let parameters: FaultParameters = serde_json::from_value(Value::Object(keys))?;
            let fault = lab.inject(&device, &name, parameters)?;
            json!({ "device": device, "armed": fault.name(), "effect": fault.effect() })
        }
        Request::Clear { device, name } => {
            lab.clear_faults(&device, name.as_deref())?;
            json!({ "device": device, "cleared": name.unwrap_or_else(|| "all".into()) })
        }
        Request::Status {} => lab.status(),
        Request::Executions {} => lab.executions(),
        Request::Faults {} => {
            let faults = Fault::ALL.iter().map(|fault| (fault.name().to_owned(), json!(fault.effect())));
            Value::Object(faults.collect())
        }
        Request::Truth { sample } => {
            lab.settle();
            json!({ "sample": sample, "where": lab.world().where_is(&sample), "truth": lab.world().truth(&sample) })
        }
        Request::Move { sample, position } => {
            lab.move_by_hand(&sample, &position)?;
            json!({ "sample": sample, "where": lab.world().where_is(&sample) })
        }
        Request::Pause { paused } => {
            lab.settle();
            lab.clock().pause(paused);
            json!({ "paused": paused })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firmware::ika_cmag::{Config, IkaCmag};
    use crate::firmware::testing::Rig;

    fn rig() -> Rig {
        Rig::new("mixer", Box::new(IkaCmag::new(Config::default())))
    }

    #[test]
    fn a_fault_is_armed_by_one_line_and_stands_in_the_ledger() {
        let mut rig = rig();
        let line = r#"{"fault":{"device":"mixer","name":"lost_reply","count":2,"delay_ms":400}}"#;
        assert_eq!(answer(&mut rig.lab, line)["ok"]["armed"], "lost_reply");
        assert_eq!(rig.ask("IN_NAME \r\n"), "");
        assert_eq!(answer(&mut rig.lab, r#"{"status":{}}"#)["ok"]["devices"]["mixer"]["faults"], json!(["lost_reply"]));
        assert_eq!(rig.ask("IN_NAME \r\n"), "");
        assert_eq!(rig.ask("IN_NAME \r\n"), "C-MAG HS7 SIM\r\n");
        assert_eq!(answer(&mut rig.lab, r#"{"executions":{}}"#)["ok"]["mixer"]["IN_NAME"], 3);
        let ledger = rig.ledger.lines();
        assert_eq!(ledger.iter().filter(|line| line.contains("lost_reply")).count(), 3, "armed once, struck twice");
    }

    #[test]
    fn a_person_moves_a_sample_and_the_ledger_says_so() {
        let mut rig = rig();
        let sample = rig.lab.world().samples_by_place();
        let (place, sample) = sample.first().cloned().unwrap();
        let free = rig.lab.world().positions().into_iter().find(|at| !rig.lab.world().occupied(at)).unwrap();
        let mut move_to = |sample: &str, position: &str| {
            let line = json!({"move": {"sample": sample, "position": position}}).to_string();
            answer(&mut rig.lab, &line)
        };
        assert_eq!(move_to(&sample, &free)["ok"]["where"], free);
        assert_eq!(move_to(&sample, &place)["ok"]["where"], place);
        assert!(move_to(&sample, &place)["error"].as_str().unwrap().contains("stands at"));
        assert!(move_to("S99x", &free)["error"].as_str().unwrap().contains("there is no sample"));
        assert!(move_to(&sample, "moon")["error"].as_str().unwrap().contains("there is no position"));
        assert_eq!(rig.ledger.lines().iter().filter(|line| line.contains("move_by_hand")).count(), 2);
    }

    #[test]
    fn mistakes_are_answered_with_what_there_is() {
        let mut rig = rig();
        let mut error = |line: &str| answer(&mut rig.lab, line)["error"].as_str().unwrap().to_owned();
        assert!(error(r#"{"fault":{"device":"oven","name":"late_reply"}}"#).contains("there are: mixer"));
        assert!(error(r#"{"fault":{"device":"mixer","name":"melt"}}"#).contains("silent_write_ignored"));
        assert!(error(r#"{"fault":{"device":"mixer","name":"late_reply","often":3}}"#).contains("often"));
        assert!(error("hello").contains("not a request"));
        assert!(error(r#"{"clear":{"device":"mixer","name":"popup"}}"#).contains("no fault"));
    }
}
