//! A model that runs elsewhere is a level of the twin: asked for every proposal, shown with its record, and left out with a
//! remark while it is away.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;
use std::time::Duration;

use ppu_core::capability::{ArgumentKind, ArgumentSpec, CapabilitySpec};
use ppu_core::lab::Lab;
use ppu_core::{ActionClass, CommandSpec, DeviceId, Manifest, Unit};
use ppu_engine::Input;
use ppu_proto::lab::v1 as lab_wire;
use ppu_proto::lab::v1::lab_service_server::LabService;
use ppu_proto::twin::v1 as wire;
use ppu_proto::twin::v1::twin_service_server::{TwinService, TwinServiceServer};
use ppu_scheduler::{Scheduler, SchedulerOptions};
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

const SOON: Duration = Duration::from_secs(60);

const PROTOCOL: &str = r#"
version = 1
protocol = "bake"
title = "Bake"
parameter = [
    { name = "anneal_temperature_c", unit = "C", min = 20, max = 300 },
    { name = "cs", unit = "1", min = 0, max = 1 },
    { name = "ma", unit = "1", min = 0, max = 1 },
    { name = "fa", unit = "1", min = 0, max = 1 },
    { name = "br", unit = "1", min = 0, max = 1 },
    { name = "anneal_min", unit = "min", min = 1, max = 60 },
]
[[step]]
name = "bake"
command = "annealing.anneal"
args = { temperature_c = "= anneal_temperature_c" }
"#;

/// The mixture of the shipped campaign, with two objectives of which the model knows one.
const CAMPAIGN: &str = r#"
version = 1
campaign = "films"
title = "Films"
protocol = "bake.toml"
analysis = "none"
approval = "ask"
parameter = [
    { name = "cs", unit = "1", min = 0, max = 0.4 },
    { name = "ma", unit = "1", min = 0, max = 0.2 },
    { name = "fa", unit = "1", min = 0.4, max = 1 },
    { name = "br", unit = "1", min = 0, max = 0.5 },
    { name = "anneal_temperature_c", unit = "C", min = 80, max = 200 },
    { name = "anneal_min", unit = "min", min = 1, max = 60 },
]
mixture = [{ parts = ["cs", "ma", "fa"] }]
[budget]
trials = 4
batch = 2
in_flight = 2
[[objective]]
name = "band_gap"
unit = "eV"
goal = { target = { value = 1.68, tolerance = 0.002, limit = 0.1 } }
[[objective]]
name = "alpha_fraction"
unit = "1"
goal = { maximize = { low = 0.7, high = 1.0 } }
"#;

/// Predicts a gap from bromide alone, and does not answer for much of it.
struct GapModel;

#[tonic::async_trait]
impl TwinService for GapModel {
    async fn describe(&self, _: Request<wire::DescribeRequest>) -> Result<Response<wire::DescribeResponse>, Status> {
        let (name, unit) = ("band_gap".to_owned(), "eV".to_owned());
        let gap = wire::ObservableDescription { name, unit, residual_sd: 0.01, offset_sd: 0.01, correlation: 0.9 };
        Ok(Response::new(wire::DescribeResponse { model: "gap by bromide".to_owned(), observables: vec![gap] }))
    }

    async fn evaluate(
        &self,
        request: Request<wire::EvaluateRequest>,
    ) -> Result<Response<wire::EvaluateResponse>, Status> {
        let one = |point: wire::Point| {
            let br = point.values.iter().find(|value| value.name == "br").unwrap().number;
            if br > 0.4 {
                return wire::Evaluation { refusal: "too much bromide".to_owned(), ..Default::default() };
            }
            let gap = wire::Prediction { observable: "band_gap".to_owned(), mean: 1.55 + 0.6 * br };
            wire::Evaluation { predictions: vec![gap], ..Default::default() }
        };
        let evaluations = request.into_inner().candidates.into_iter().map(one).collect();
        Ok(Response::new(wire::EvaluateResponse { evaluations }))
    }
}

async fn serve() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder().add_service(TwinServiceServer::new(GapModel));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

fn oven() -> Manifest {
    let kind = ArgumentKind::Quantity { unit: Unit::Celsius, min: 0.0, max: 300.0 };
    let temperature = ArgumentSpec { name: "temperature".into(), kind, default: None, description: "how hot".into() };
    let anneal = CommandSpec {
        name: "anneal".into(),
        class: ActionClass::Queryable,
        arguments: vec![temperature],
        results: vec![],
        artifacts: false,
        needs_sample: false,
        typical_s: 10.0,
        description: "heats".into(),
        hazardous: false,
        requires: vec![],
    };
    let capability = CapabilitySpec { name: "annealing".into(), commands: vec![anneal] };
    Manifest { driver: "test".into(), model: "test".into(), capabilities: vec![capability], properties: vec![] }
}

/// The campaign once it has its first proposal, in a lab whose file names a model at this address.
async fn proposed_with(address: SocketAddr) -> lab_wire::Campaign {
    proposed(CAMPAIGN, address).await
}

async fn proposed(campaign_toml: &str, address: SocketAddr) -> lab_wire::Campaign {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(
        "version = 1\nlab = \"test\"\ntitle = \"Test lab\"\n[[twin]]\nname = \"gap_model\"\naddress = \"{address}\"\n\
         [[device]]\nid = \"oven\"\ninstrument = \"oven\"\nconnect = \"tcp:127.0.0.1:9\"\n"
    );
    let lab = Lab::parse("lab.toml", &text).unwrap();
    let options = SchedulerOptions::new(lab, directory.path().join("scheduler"), directory.path().join("drivers"));
    let scheduler = Scheduler::open(options).await.unwrap();
    let (api, handle) = (scheduler.api(), scheduler.handle());
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(scheduler.run(stopped));
    let device = DeviceId::new("oven").unwrap();
    let described = Input::Described { device, manifest: Box::new(oven()), serial_number: "1".into() };
    handle.give(described).await.unwrap().unwrap();
    let request = lab_wire::CreateCampaignRequest {
        campaign_toml: campaign_toml.into(),
        file: "films.toml".into(),
        protocol_toml: PROTOCOL.into(),
        protocol_file: "bake.toml".into(),
        ..Default::default()
    };
    let campaign = api.create_campaign(Request::new(request)).await.unwrap().into_inner().campaign;
    let mut facts = handle.subscribe();
    let found = tokio::time::timeout(SOON, async {
        loop {
            let request = lab_wire::GetCampaignRequest { campaign: campaign.clone() };
            let found = api.get_campaign(Request::new(request)).await.unwrap().into_inner().campaign.unwrap();
            if !found.trials.is_empty() {
                return found;
            }
            // Woken by the next fact; a look that came too early is repeated.
            let _ = facts.recv().await;
        }
    });
    let found = found.await.unwrap();
    stop.send_replace(true);
    running.await.unwrap().unwrap();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_answers_is_a_level_of_the_twin() {
    let campaign = proposed_with(serve().await).await;
    assert_eq!(campaign.trials.len(), 2);
    let levels: Vec<&str> = campaign.levels.iter().map(|level| level.level.as_str()).collect();
    assert_eq!(levels, ["F1 process model", "gap_model"]);
    let model = &campaign.levels[1];
    assert!(model.used && model.evaluations > 100 && model.refused > 0, "{model:?}");
    assert_eq!((model.observables.len(), model.observables[0].pairs), (1, 0));
    // Its declared error is the smaller one: it speaks for the gap.
    let expected = |trial: &lab_wire::Trial| {
        let gap = trial.expected.iter().find(|value| value.name == "band_gap").unwrap();
        let br = trial.candidate.iter().find(|value| value.name == "br").unwrap().number;
        (gap.value - (1.55 + 0.6 * br)).abs() < 1e-9
    };
    assert!(campaign.trials.iter().any(expected), "{:?}", campaign.trials);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_offers_is_named_with_what_taught_it() {
    let text = CAMPAIGN.replace("approval = \"ask\"", "approval = \"ask\"\ngenerator = \"flow\"");
    let campaign = proposed(&text, serve().await).await;
    assert_eq!(campaign.trials.len(), 2);
    let by_flow = |trial: &lab_wire::Trial| {
        trial.proposer.contains("offered by flow, seed 0, round 1")
            && trial.reason.contains("from a flow taught by 0 observations and ")
    };
    assert!(campaign.trials.iter().any(by_flow), "{:?}", campaign.trials);
    let note = &campaign.levels[0].note;
    assert!(note.contains("tilted by score^") && note.contains("effective sample"), "{note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_away_is_left_out_with_a_remark_and_the_lab_goes_on() {
    let nobody = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let campaign = proposed_with(nobody).await;
    assert_eq!(campaign.trials.len(), 2);
    let model = campaign.levels.iter().find(|level| level.level == "gap_model").unwrap();
    assert!(!model.used && model.note.contains("cannot be reached"), "{model:?}");
}
