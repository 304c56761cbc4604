//! A whole driver process: where it listens, health, reflection, and the same port after a restart.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use ppu_driver::{DriverOptions, Endpoint, RunError, run};
use ppu_proto::device::v1 as wire;
use ppu_proto::device::v1::device_service_client::DeviceServiceClient;
use support::{TestInstrument, World, until};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

fn start(options: &DriverOptions) -> (oneshot::Sender<()>, JoinHandle<Result<(), RunError>>) {
    let world = std::sync::Arc::new(std::sync::Mutex::new(World { reachable: true, ..World::default() }));
    let (stop, stopped) = oneshot::channel::<()>();
    let driver = run(options.clone(), TestInstrument(world), async {
        let _ = stopped.await;
    });
    (stop, tokio::spawn(driver))
}

async fn client(options: &DriverOptions) -> DeviceServiceClient<tonic::transport::Channel> {
    let directory = options.directory.clone();
    until("the driver answers", || {
        let endpoint = Endpoint::read(&directory);
        async move {
            let Some(endpoint) = endpoint else { return false };
            DeviceServiceClient::connect(format!("http://{}", endpoint.grpc)).await.is_ok()
        }
    })
    .await;
    let endpoint = Endpoint::read(&directory).unwrap();
    assert_eq!(endpoint.pid, std::process::id());
    DeviceServiceClient::connect(format!("http://{}", endpoint.grpc)).await.unwrap()
}

#[tokio::test]
async fn it_says_where_it_listens_and_listens_there_again_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = DriverOptions::new("lab", ppu_core::DeviceId::new("device_a").unwrap(), directory.path());
    options.sample_position = Some(ppu_core::PositionId::new("device_a.plate").unwrap());
    let mut boots = Vec::new();
    let mut addresses = Vec::new();
    for _ in 0..2 {
        let (stop, driver) = start(&options);
        let mut client = client(&options).await;
        let described = client.describe(wire::DescribeRequest {}).await.unwrap().into_inner();
        assert_eq!((described.device.as_str(), described.sample_position.as_str()), ("device_a", "device_a.plate"));
        let manifest = ppu_core::Manifest::try_from(described.manifest.as_ref().unwrap()).unwrap();
        assert!(manifest.provides("test"));
        let attach = wire::AttachRequest { epoch: 1, scheduler: "test".to_owned(), ..Default::default() };
        let answer = client.attach(attach).await.unwrap().into_inner().answer.unwrap();
        let wire::attach_response::Answer::Attached(attached) = answer else { panic!("{answer:?}") };
        boots.push((attached.boot, attached.ledger_id));
        addresses.push(Endpoint::read(directory.path()).unwrap().grpc);
        drop(client);
        stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(2), driver).await.unwrap().unwrap().unwrap();
    }
    assert_eq!(addresses[0], addresses[1]);
    assert_eq!((boots[0].0, boots[1].0), (1, 2));
    assert_eq!(boots[0].1, boots[1].1, "the ledger is the same");
}

#[tokio::test]
async fn health_and_both_reflections_are_served() {
    let directory = tempfile::tempdir().unwrap();
    let options = DriverOptions::new("lab", ppu_core::DeviceId::new("device_a").unwrap(), directory.path());
    let (stop, driver) = start(&options);
    drop(client(&options).await);
    let address = format!("http://{}", Endpoint::read(directory.path()).unwrap().grpc);
    let channel = tonic::transport::Endpoint::from_shared(address).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    let request = HealthCheckRequest { service: "ppu.device.v1.DeviceService".to_owned() };
    let status = health.check(request).await.unwrap().into_inner().status();
    assert_eq!(status, ServingStatus::Serving);
    {
        use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
        use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_client::ServerReflectionClient};
        let mut reflection = ServerReflectionClient::new(channel.clone());
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut answers = reflection.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
        let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
        let MessageResponse::ListServicesResponse(services) = answer else { panic!("{answer:?}") };
        assert!(services.service.iter().any(|service| service.name == "ppu.device.v1.DeviceService"));
    }
    {
        use tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::v1alpha::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        };
        let mut reflection = ServerReflectionClient::new(channel);
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut answers = reflection.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
        assert!(answers.message().await.unwrap().is_some());
    }
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(2), driver).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_second_process_on_the_same_ledger_is_refused_and_leaves_the_endpoint_alone() {
    let directory = tempfile::tempdir().unwrap();
    let options = DriverOptions::new("lab", ppu_core::DeviceId::new("device_a").unwrap(), directory.path());
    let (stop, driver) = start(&options);
    drop(client(&options).await);
    let before = Endpoint::read(directory.path()).unwrap();
    let (_second_stop, second) = start(&options);
    assert!(matches!(second.await.unwrap(), Err(RunError::Start(_))));
    assert_eq!(Endpoint::read(directory.path()).unwrap(), before);
    stop.send(()).unwrap();
    driver.await.unwrap().unwrap();
}
