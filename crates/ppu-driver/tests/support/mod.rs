//! A scripted instrument in memory, and a driver around it that can be killed and started again on the same directory.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of the support")]

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ppu_core::capability::PropertySpec;
use ppu_core::{ActionClass, ArgumentKind, ArgumentSpec, CapabilitySpec, CommandSpec, DeviceId, Manifest, Unit, Value};
use ppu_driver::{
    Attention, Done, Driver, DriverOptions, Fault, Instrument, RawData, Reading, Recovered, RecoveryLimits, Request,
};
use ppu_proto::common::v1 as common;
use ppu_proto::device::v1 as wire;
use ppu_proto::device::v1::device_service_client::DeviceServiceClient;
use tokio::net::TcpListener;
use tonic::transport::{Channel, server::TcpIncoming};

/// What the instrument does when it is told, or when it attends.
#[derive(Debug, Clone)]
pub enum Act {
    /// It ends at once.
    End(Result<Done, Fault>),
    /// It is told, and then this comes.
    Told(Result<Done, Fault>),
    /// It runs until it is released or told to end.
    Run,
}

/// The instrument's own world: survives drivers.
#[derive(Debug, Default)]
pub struct World {
    pub reachable: bool,
    /// Keys in the order in which the instrument was told to act.
    pub executions: Vec<String>,
    pub prepared: Vec<String>,
    pub recovered: Vec<String>,
    pub attended: Vec<String>,
    pub made_safe: Vec<String>,
    pub acts: VecDeque<Act>,
    pub attends: VecDeque<Act>,
    pub recoveries: VecDeque<Result<Recovered, Fault>>,
    pub preparations: VecDeque<Result<Vec<u8>, Fault>>,
    /// While true, `prepare` waits.
    pub hold_prepare: bool,
    /// While true, a wish to end is not heard.
    pub deaf: bool,
    /// While false, what runs goes on.
    pub released: bool,
    pub last_request: Option<Request>,
    pub last_snapshot: Vec<u8>,
}

pub type Shared = Arc<Mutex<World>>;

pub struct TestInstrument(pub Shared);

pub fn silent() -> Fault {
    Fault::Silent { code: "E0201", message: "nothing came back".to_owned() }
}

pub fn done(message: &str) -> Done {
    Done { message: message.to_owned(), ..Done::default() }
}

fn command(name: &str, class: ActionClass) -> CommandSpec {
    CommandSpec {
        name: name.to_owned(),
        class,
        arguments: vec![ArgumentSpec {
            name: "amount".to_owned(),
            kind: ArgumentKind::Quantity { unit: Unit::Microlitre, min: 0.0, max: 100.0 },
            default: Some(Value::quantity(1.0, Unit::Microlitre)),
            description: "How much.".to_owned(),
        }],
        results: vec![],
        artifacts: false,
        needs_sample: false,
        typical_s: 1.0,
        description: "A test command.".to_owned(),
        hazardous: false,
        requires: vec![],
    }
}

impl TestInstrument {
    async fn perform(&self, act: Act, attention: &Attention) -> Result<Done, Fault> {
        match act {
            Act::End(result) => result,
            Act::Told(result) => {
                attention.telling();
                result
            }
            Act::Run => loop {
                {
                    let world = self.0.lock().unwrap();
                    if attention.should_abort() && !world.deaf {
                        return Err(Fault::Aborted { message: "told to end".to_owned() });
                    }
                    if world.released {
                        return Ok(done("released"));
                    }
                    if !world.reachable {
                        return Err(silent());
                    }
                }
                attention.pause(Duration::from_millis(2)).await;
            },
        }
    }
}

impl Instrument for TestInstrument {
    fn describe(&self) -> Manifest {
        let commands = [
            ("set", ActionClass::Idempotent),
            ("query", ActionClass::Queryable),
            ("pour", ActionClass::Unqueryable),
            ("cook", ActionClass::Continuing),
        ];
        let commands = commands.map(|(name, class)| command(name, class)).to_vec();
        let property = PropertySpec {
            name: "temperature".to_owned(),
            unit: Unit::Celsius,
            description: "Of the test plate.".to_owned(),
        };
        Manifest {
            driver: "test".to_owned(),
            model: "Test instrument".to_owned(),
            capabilities: vec![CapabilitySpec { name: "test".to_owned(), commands }],
            properties: vec![property],
        }
    }

    async fn connect(&mut self) -> Result<String, Fault> {
        if self.0.lock().unwrap().reachable { Ok("SIM-1".to_owned()) } else { Err(silent()) }
    }

    async fn prepare(&mut self, request: &Request, attention: &Attention) -> Result<Vec<u8>, Fault> {
        let prepared = {
            let mut world = self.0.lock().unwrap();
            world.prepared.push(request.key.clone());
            world.preparations.pop_front()
        };
        while self.0.lock().unwrap().hold_prepare {
            attention.pause(Duration::from_millis(2)).await;
        }
        prepared.unwrap_or_else(|| Ok(b"before".to_vec()))
    }

    async fn execute(&mut self, request: &Request, attention: &Attention) -> Result<Done, Fault> {
        let act = {
            let mut world = self.0.lock().unwrap();
            world.executions.push(request.key.clone());
            world.last_request = Some(request.clone());
            world.acts.pop_front().unwrap_or_else(|| Act::End(Ok(done("done"))))
        };
        self.perform(act, attention).await
    }

    async fn recover(&mut self, request: &Request, snapshot: &[u8], _: &Attention) -> Result<Recovered, Fault> {
        let mut world = self.0.lock().unwrap();
        world.recovered.push(request.key.clone());
        world.last_snapshot = snapshot.to_vec();
        world.recoveries.pop_front().unwrap_or_else(|| Ok(Recovered::Unknown("it cannot tell".to_owned())))
    }

    async fn attend(&mut self, request: &Request, _: &[u8], attention: &Attention) -> Result<Done, Fault> {
        let act = {
            let mut world = self.0.lock().unwrap();
            world.attended.push(request.key.clone());
            world.attends.pop_front().unwrap_or(Act::Run)
        };
        self.perform(act, attention).await
    }

    async fn read(&mut self) -> Result<Vec<Reading>, Fault> {
        if !self.0.lock().unwrap().reachable {
            return Err(silent());
        }
        Ok(vec![Reading { name: "temperature", value: Value::quantity(21.5, Unit::Celsius) }])
    }

    async fn make_safe(&mut self, reason: &str) -> Result<String, Fault> {
        let mut world = self.0.lock().unwrap();
        world.made_safe.push(reason.to_owned());
        if world.reachable { Ok("it stands still".to_owned()) } else { Err(silent()) }
    }
}

pub fn raw(name: &str, bytes: Vec<u8>) -> RawData {
    RawData { name: name.to_owned(), media_type: "text/plain", bytes }
}

/// A driver on a temporary directory, with a client that speaks to it over loopback.
pub struct Bench {
    pub world: Shared,
    pub options: DriverOptions,
    pub client: DeviceServiceClient<Channel>,
    pub session: Vec<u8>,
    pub epoch: u64,
    driver: Option<Driver>,
    server: tokio::task::JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Bench {
    pub async fn new() -> Bench {
        Self::with(|_| {}).await
    }

    /// A bench whose options were changed first; nobody has attached yet.
    pub async fn unattached(change: impl FnOnce(&mut DriverOptions)) -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let mut options = DriverOptions::new("lab", DeviceId::new("device_a").unwrap(), directory.path());
        options.recovery = RecoveryLimits {
            tries: 5,
            within: Duration::from_millis(400),
            resends: 2,
            first_wait: Duration::from_millis(5),
            longest_wait: Duration::from_millis(20),
        };
        change(&mut options);
        let world = Arc::new(Mutex::new(World { reachable: true, ..World::default() }));
        let driver = Driver::start(options.clone(), TestInstrument(world.clone())).await.unwrap();
        let (client, server) = serve(&driver).await;
        Bench {
            world,
            options,
            client,
            session: Vec::new(),
            epoch: 1,
            driver: Some(driver),
            server,
            _directory: directory,
        }
    }

    pub async fn with(change: impl FnOnce(&mut DriverOptions)) -> Bench {
        let mut bench = Self::unattached(change).await;
        bench.attach().await;
        bench.until_reachable().await;
        bench
    }

    /// Kills the driver wherever it is; the world goes on.
    pub async fn kill(&mut self) {
        self.server.abort();
        if let Some(driver) = self.driver.take() {
            driver.stop().await;
        }
    }

    /// Starts a driver on the same directory; nobody attaches.
    pub async fn start(&mut self) {
        let driver = Driver::start(self.options.clone(), TestInstrument(self.world.clone())).await.unwrap();
        (self.client, self.server) = serve(&driver).await;
        self.driver = Some(driver);
    }

    pub fn driver(&mut self) -> &mut Driver {
        self.driver.as_mut().unwrap()
    }

    pub async fn attach(&mut self) -> wire::Attached {
        let request = wire::AttachRequest { epoch: self.epoch, scheduler: "test".to_owned(), ..Default::default() };
        match self.client.attach(request).await.unwrap().into_inner().answer.unwrap() {
            wire::attach_response::Answer::Attached(attached) => {
                self.session = attached.session.clone();
                attached
            }
            wire::attach_response::Answer::Fenced(fenced) => panic!("fenced by {}", fenced.max_epoch),
        }
    }

    pub async fn until_reachable(&mut self) {
        let request = wire::HeartbeatRequest { session: self.session.clone(), counter: 1 };
        let client = self.client.clone();
        until("the instrument is reachable", || {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.heartbeat(request).await.unwrap().into_inner().degraded.is_empty() }
        })
        .await;
    }

    pub fn request(&self, step: &str, attempt: u32, command: &str) -> wire::ExecuteRequest {
        let command = wire::Command {
            capability: "test".to_owned(),
            command: command.to_owned(),
            arguments: vec![],
            sample: String::new(),
            positions: vec![],
        };
        wire::ExecuteRequest {
            session: self.session.clone(),
            epoch: self.epoch,
            key: Some(key(step, attempt)),
            digest: ppu_proto::digest::of(&command).to_vec(),
            command: Some(command),
            start_before_ns: 0,
            traceparent: String::new(),
            ..Default::default()
        }
    }

    pub async fn send(&mut self, request: wire::ExecuteRequest) -> wire::execute_response::Answer {
        self.client.execute(request).await.unwrap().into_inner().answer.unwrap()
    }

    /// Executes and expects the promise.
    pub async fn accept(&mut self, step: &str, attempt: u32, command: &str) {
        let answer = self.send(self.request(step, attempt, command)).await;
        assert!(matches!(answer, wire::execute_response::Answer::Accepted(_)), "{answer:?}");
    }

    /// Executes and expects a refusal.
    pub async fn refusal(&mut self, request: wire::ExecuteRequest) -> wire::Refused {
        match self.send(request).await {
            wire::execute_response::Answer::Refused(refused) => refused,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub async fn query(&mut self, step: &str, attempt: u32) -> wire::QueryResponse {
        let request = wire::QueryRequest { key: Some(key(step, attempt)) };
        self.client.query(request).await.unwrap().into_inner()
    }

    /// Waits until the attempt has this state and returns its outcome.
    pub async fn until_state(&mut self, step: &str, attempt: u32, state: wire::AttemptState) -> wire::Outcome {
        let client = self.client.clone();
        let request = wire::QueryRequest { key: Some(key(step, attempt)) };
        until(&format!("{step}#{attempt} is {state:?}"), || {
            let (mut client, request) = (client.clone(), request.clone());
            async move {
                let found = client.query(request).await.unwrap().into_inner().attempt;
                found.is_some_and(|found| found.state() == state)
            }
        })
        .await;
        self.query(step, attempt).await.outcome.unwrap_or_default()
    }

    pub async fn heartbeat(&mut self) -> wire::HeartbeatResponse {
        let request = wire::HeartbeatRequest { session: self.session.clone(), counter: 1 };
        self.client.heartbeat(request).await.unwrap().into_inner()
    }

    pub fn executions(&self) -> usize {
        self.world.lock().unwrap().executions.len()
    }

    pub fn script(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.world.lock().unwrap());
    }

    /// Waits until the world has come to this.
    pub async fn until_world(&self, what: &str, holds: impl Fn(&World) -> bool) {
        until(what, || {
            let now = holds(&self.world.lock().unwrap());
            async move { now }
        })
        .await;
    }
}

async fn serve(driver: &Driver) -> (DeviceServiceClient<Channel>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder()
        .add_service(driver.server())
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
    let server = tokio::spawn(async move {
        server.await.unwrap();
    });
    let client = DeviceServiceClient::connect(format!("http://{address}")).await.unwrap();
    (client, server)
}

pub fn key(step: &str, attempt: u32) -> common::CommandKey {
    common::CommandKey { step: format!("run/{step}"), attempt }
}

/// Waits on a level, with a bound.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let end = Instant::now() + Duration::from_millis(1800);
    while !holds().await {
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
}
