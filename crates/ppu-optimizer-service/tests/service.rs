//! The service through tonic: a search from end to end, refusals, and a restart in between.
#![allow(clippy::unwrap_used, reason = "a helper of a test fails loudly")]

use std::collections::HashMap;
use std::path::Path;

use ppu_optimizer_service::{ServiceOptions, bind};
use ppu_proto::optimizer::v1 as wire;
use ppu_proto::optimizer::v1::optimizer_service_client::OptimizerServiceClient;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::Channel;

struct Running {
    client: OptimizerServiceClient<Channel>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

async fn start(directory: Option<&Path>) -> Running {
    let options = ServiceOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        directory: directory.map(Path::to_owned),
        address_file: None,
    };
    let bound = bind(options).await.unwrap();
    let address = format!("http://{}", bound.address());
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(async move { bound.serve(stopped).await.unwrap() });
    Running { client: OptimizerServiceClient::connect(address).await.unwrap(), stop, task }
}

impl Running {
    async fn end(self) {
        drop(self.client);
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
    }
}

fn number(value: f64) -> wire::Setting {
    wire::Setting { value: Some(wire::setting::Value::Number(value)) }
}

fn continuous(name: &str, min: f64, max: f64) -> wire::Parameter {
    let kind = wire::parameter::Kind::Continuous(wire::Continuous { min, max, ..Default::default() });
    wire::Parameter { name: name.into(), kind: Some(kind), active_if: None }
}

fn objective(name: &str, aim: wire::Aim) -> wire::Objective {
    wire::Objective { name: name.into(), aim: aim.into(), ..Default::default() }
}

fn mixture() -> wire::Definition {
    let parts = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
    let levels = ["dmf", "dmso"].map(|name| wire::Level { name: name.into(), ..Default::default() }).to_vec();
    let solvent = wire::Parameter {
        name: "solvent".into(),
        kind: Some(wire::parameter::Kind::Categorical(wire::Levels { levels })),
        active_if: None,
    };
    let mut parameters: Vec<wire::Parameter> = parts.iter().map(|name| continuous(name, 0.0, 1.0)).collect();
    parameters.push(solvent);
    let whole = wire::constraint::Kind::Mixture(wire::Mixture { parts, total: 1.0 });
    wire::Definition {
        parameters,
        constraints: vec![wire::Constraint { name: "whole".into(), kind: Some(whole) }],
        objectives: vec![objective("gap", wire::Aim::Maximize)],
        seed: 3,
        start: Some(5),
        ..Default::default()
    }
}

fn get(design: &wire::Design, name: &str) -> f64 {
    match design.settings[name].value {
        Some(wire::setting::Value::Number(number)) => number,
        _ => f64::NAN,
    }
}

fn measured(pick: &wire::Pick) -> wire::Result {
    let design = pick.design.clone().unwrap();
    let dmso = design.settings["solvent"].value == Some(wire::setting::Value::Level("dmso".into()));
    let value = -(get(&design, "a") - 0.6).powi(2) - (get(&design, "b") - 0.3).powi(2) + if dmso { 0.1 } else { 0.0 };
    let reading = wire::Reading { values: vec![value], variance: 0.0 };
    wire::Result {
        id: pick.id.clone(),
        design: Some(design),
        outcome: wire::Outcome::Valid.into(),
        readings: HashMap::from([("gap".to_owned(), reading)]),
        ..Default::default()
    }
}

async fn create(client: &mut OptimizerServiceClient<Channel>, name: &str, definition: wire::Definition) {
    let request =
        wire::CreateStudyRequest { name: name.into(), definition: Some(definition), record_json: String::new() };
    client.create_study(request).await.unwrap();
}

async fn ask(client: &mut OptimizerServiceClient<Channel>, name: &str, count: u32) -> wire::AskResponse {
    client.ask(wire::AskRequest { name: name.into(), count }).await.unwrap().into_inner()
}

async fn tell(
    client: &mut OptimizerServiceClient<Channel>,
    name: &str,
    results: Vec<wire::Result>,
) -> tonic::Result<u32> {
    let request = wire::TellRequest { name: name.into(), results, ..Default::default() };
    client.tell(request).await.map(|response| response.into_inner().results)
}

#[tokio::test]
async fn a_search_from_end_to_end() {
    let mut running = start(None).await;
    let client = &mut running.client;
    create(client, "film", mixture()).await;
    for round in 0..8 {
        let answer = ask(client, "film", 2).await;
        assert_eq!(answer.step, round);
        for pick in &answer.picks {
            let design = pick.design.as_ref().unwrap();
            assert!((get(design, "a") + get(design, "b") + get(design, "c") - 1.0).abs() < 1e-9);
        }
        tell(client, "film", answer.picks.iter().map(measured).collect()).await.unwrap();
    }
    let best = client.get_best(wire::GetBestRequest { name: "film".into() }).await.unwrap().into_inner().best;
    let design = best[0].design.clone().unwrap();
    assert!(best.len() == 1 && best[0].predictions["gap"].mean > 0.08, "{best:?}");
    let request = wire::PredictRequest { name: "film".into(), designs: vec![design.clone()] };
    let forecasts = client.predict(request).await.unwrap().into_inner().forecasts;
    assert!(forecasts[0].probability_feasible == 1.0 && forecasts[0].predictions["gap"].sd >= 0.0);
    let request = wire::ExplainRequest { name: "film".into(), design: Some(design) };
    let why = client.explain(request).await.unwrap().into_inner();
    assert!(!why.reason.is_empty() && why.nearest[0].distance < 1e-9 && why.differences.is_empty());
    running.end().await;
}

#[tokio::test]
async fn a_restart_changes_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(Some(folder.path())).await;
    create(&mut running.client, "film", mixture()).await;
    for _ in 0..3 {
        let answer = ask(&mut running.client, "film", 2).await;
        tell(&mut running.client, "film", answer.picks.iter().map(measured).collect()).await.unwrap();
    }
    let request = wire::GetStudyRequest { name: "film".into() };
    let record = running.client.get_study(request).await.unwrap().into_inner().record_json;
    let copy = wire::CreateStudyRequest { name: "copy".into(), definition: None, record_json: record };
    running.client.create_study(copy).await.unwrap();
    let from_copy = ask(&mut running.client, "copy", 3).await;
    running.end().await;

    let mut again = start(Some(folder.path())).await;
    let names = again.client.list_studies(wire::ListStudiesRequest {}).await.unwrap().into_inner().names;
    assert_eq!(names, ["copy", "film"]);
    let after = ask(&mut again.client, "film", 3).await;
    assert_eq!(after, from_copy);
    again.client.delete_study(wire::DeleteStudyRequest { name: "copy".into() }).await.unwrap();
    assert!(!folder.path().join("copy.json").exists() && folder.path().join("film.json").exists());
    again.end().await;
}

#[tokio::test]
async fn refusals_name_what_is_wrong_and_change_nothing() {
    let mut running = start(None).await;
    let client = &mut running.client;
    let mut bad = mixture();
    bad.parameters[2] = continuous("c", 1.0, 0.0);
    let request = |name: &str, definition| wire::CreateStudyRequest {
        name: name.into(),
        definition: Some(definition),
        record_json: String::new(),
    };
    let error = client.create_study(request("film", bad)).await.unwrap_err();
    assert!(error.code() == Code::InvalidArgument && error.message().contains("`c`"), "{error:?}");
    let mut narrow = mixture();
    narrow.constraints[0].kind = Some(wire::constraint::Kind::Mixture(wire::Mixture {
        parts: vec!["a".into(), "b".into(), "c".into()],
        total: 4.0,
    }));
    let error = client.create_study(request("film", narrow)).await.unwrap_err();
    assert!(error.message().contains("`whole`"), "{error:?}");
    let error = client.create_study(request("../film", mixture())).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let error = client.ask(wire::AskRequest { name: "film".into(), count: 1 }).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);

    create(client, "film", mixture()).await;
    let error = client.create_study(request("film", mixture())).await.unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists);
    let picks = ask(client, "film", 2).await.picks;
    let mut strange = measured(&picks[1]);
    strange.readings.get_mut("gap").unwrap().values = vec![f64::NAN];
    let error = tell(client, "film", vec![measured(&picks[0]), strange]).await.unwrap_err();
    assert!(error.code() == Code::InvalidArgument && error.message().contains(&picks[1].id), "{error:?}");
    // None of the two was taken in.
    assert_eq!(tell(client, "film", vec![measured(&picks[0])]).await.unwrap(), 1);
    let mut sparse = measured(&picks[1]);
    sparse.design.as_mut().unwrap().settings.insert("a".into(), wire::Setting { value: None });
    let error = tell(client, "film", vec![sparse]).await.unwrap_err();
    assert!(error.message().contains("`a`"), "{error:?}");
    let mut outside = measured(&picks[1]);
    outside.design.as_mut().unwrap().settings.insert("a".into(), number(7.0));
    let error = tell(client, "film", vec![outside]).await.unwrap_err();
    assert!(error.message().contains("`a` is 7"), "{error:?}");
    let forgotten = wire::ForgetRequest { name: "film".into(), ids: vec!["nobody".into()] };
    assert_eq!(client.forget(forgotten).await.unwrap_err().code(), Code::NotFound);
    running.end().await;
}
