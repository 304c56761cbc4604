//! The console over HTTP and WebSocket, against a lab that answers from memory.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use ppu_console::{ConsoleError, ConsoleOptions, run};
use ppu_proto::device::v1::Verdict;
use ppu_proto::lab::v1::TrialState;
use support::{ARTIFACT, Call, Handle, Served, data};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const WITHIN: Duration = Duration::from_secs(10);
const ANY: &str = "127.0.0.1:0";

struct Console {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: String,
}

impl Console {
    async fn start(scheduler: SocketAddr) -> Self {
        let (told, bound) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let options = ConsoleOptions {
            listen: ANY.parse().unwrap(),
            scheduler: format!("http://{scheduler}"),
            public_url: Some("https://lab.example.org".into()),
            operator: "ana".into(),
        };
        tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            run(options, |address| told.send(address).unwrap(), shutdown).await.unwrap();
        });
        Self { address: timeout(WITHIN, bound).await.unwrap().unwrap(), _stop: stop }
    }

    /// A console that shows the lab.
    async fn on(lab: Handle) -> (Self, Served) {
        let served = lab.serve(ANY.parse().unwrap()).await;
        let console = Self::start(served.address).await;
        console.until("/healthz", "connected").await;
        (console, served)
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "Host") {
            text += &format!("Host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{text}\r\n{body}").as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        timeout(WITHIN, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
        parse(&String::from_utf8(bytes).unwrap())
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// Posts a form as a page of the console would, with the token that the page carries.
    async fn post(&self, path: &str, fields: &str) -> Answer {
        let page = self.get("/").await.body;
        let token = page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let origin = format!("http://{}", self.address);
        let headers = [("Origin", origin.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
        self.send("POST", path, &headers, &format!("csrf={token}&{fields}")).await
    }

    /// Asks until the answer contains a text.
    async fn until(&self, path: &str, text: &str) -> String {
        let asking = async {
            loop {
                let body = self.get(path).await.body;
                if body.contains(text) {
                    return body;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(WITHIN, asking).await.unwrap_or_else(|_| panic!("{path} never contained {text:?}"))
    }
}

fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let chunked = headers.get("transfer-encoding").is_some_and(|encoding| encoding == "chunked");
    Answer { status, headers, body: if chunked { unchunk(body) } else { body.to_owned() } }
}

fn unchunk(mut text: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        out += &rest[..size];
        text = rest[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    out
}

fn lab() -> Handle {
    Handle::new(data::lab(data::NOW), data::events(data::NOW))
}

#[tokio::test]
async fn every_page_renders_and_needs_nothing_from_elsewhere() {
    let (console, _served) = Console::on(lab()).await;
    console.until("/", "Trial 11: band gap").await;
    for (path, texts) in [
        (
            "/",
            vec![
                "SIMULATED",
                "STOP ALL",
                "trial 16 of 40",
                "balance-1",
                "unreachable",
                "Accept",
                "Say what happened",
                "film-32",
            ],
        ),
        ("/campaigns/pv", vec!["Wide-gap absorber", "not determined", "<svg class=\"plot\"", "the film peeled off"]),
        ("/runs/pv-t013-r1", vec!["Anneal the film", "furnace-1", "spin-anneal-measure"]),
        ("/runs/pv-t007-r1", vec!["completed", "pattern.xrdml", "tauc 1"]),
        ("/events", vec!["Trial 11: band gap", "#240"]),
        ("/stop", vec!["has not sent a STOP ALL"]),
        ("/resume", vec!["What did you check?"]),
    ] {
        let answer = console.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        for text in texts {
            assert!(answer.body.contains(text), "{path} lacks {text:?}");
        }
        assert!(answer.body.contains("<main") && answer.body.contains("lang=\"en\""), "{path}");
        assert!(
            !answer.body.contains("style=") && !answer.body.contains("<style") && !answer.body.contains("onclick"),
            "{path} has inline style or script"
        );
        assert!(!answer.body.replace("http://www.w3.org", "").contains("http://"), "{path} loads from elsewhere");
        assert!(answer.headers["content-security-policy"].starts_with("default-src 'self'"), "{path}");
        assert_eq!(answer.headers["referrer-policy"], "same-origin");
    }
    for path in ["/assets/console.css", "/assets/live.js", "/assets/icon.svg"] {
        let answer = console.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        let again = console.send("GET", path, &[("If-None-Match", &answer.headers["etag"])], "").await;
        assert_eq!(again.status, 304, "{path}");
    }
    for path in ["/nothing", "/campaigns/none", "/runs/none", "/assets/../Cargo.toml", "/campaigns/pv/plots/none.svg"] {
        assert_eq!(console.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn text_from_the_lab_is_escaped() {
    let mut state = data::lab(data::NOW);
    state.campaigns[1].trials[15].reason = "<script>alert(1)</script>".into();
    state.devices[0].step_title = "\"><img src=x>".into();
    let (console, _served) = Console::on(Handle::new(state, Vec::new())).await;
    let body = console.get("/").await.body;
    assert!(!body.contains("<script>alert") && !body.contains("<img"));
    assert!(body.contains("&#60;script&#62;alert(1)"));
}

#[tokio::test]
async fn decisions_reach_the_lab() {
    let (console, served) = Console::on(lab()).await;
    let accepted = console.post("/decide", "trial=pv-t015&decision=accept").await;
    assert_eq!((accepted.status, accepted.headers["location"].as_str()), (303, "/#inbox"));
    let without = console.post("/decide", "trial=pv-t016&decision=reject&reason=++").await;
    assert_eq!(without.status, 422, "a rejection needs a reason");
    let rejected = console.post("/decide", "trial=pv-t016&decision=reject&reason=too+hot").await;
    assert_eq!(rejected.status, 303);
    let calls = served.lab.calls();
    let [Call::Decide(first), Call::Decide(second)] = &calls[..] else { panic!("{calls:?}") };
    assert!(first.accept && first.who == "ana" && first.trial == "pv-t015");
    assert!(!second.accept && second.reason == "too hot");
    console.until("/", "Nothing waits for a decision").await;
    let late = console.post("/decide", "trial=pv-t016&decision=accept").await;
    assert_eq!(late.status, 409, "the first decision counts");
    assert!(late.body.contains("rejected by ana"));
}

#[tokio::test]
async fn foreign_requests_are_refused() {
    let (console, served) = Console::on(lab()).await;
    let page = console.get("/").await.body;
    let token = page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let ours = format!("http://{}", console.address);
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    for headers in [
        vec![form],
        vec![form, ("Origin", "null")],
        vec![form, ("Origin", "http://evil.example")],
        vec![form, ("Origin", &ours), ("Host", "evil.example")],
    ] {
        let answer = console.send("POST", "/stop", &headers, &format!("csrf={token}")).await;
        assert_eq!(answer.status, 403, "{headers:?}");
    }
    let forged = console.send("POST", "/pause", &[form, ("Origin", &ours)], "csrf=guess").await;
    assert_eq!(forged.status, 403, "the token is checked as well");
    assert_eq!(console.send("GET", "/", &[("Host", "evil.example")], "").await.status, 403, "DNS rebinding");
    assert_eq!(console.send("GET", "/", &[("Host", "lab.example.org")], "").await.status, 200);
    assert_eq!(served.lab.calls(), []);
}

#[tokio::test]
async fn stop_all_shows_every_instruments_answer() {
    let (console, served) = Console::on(lab()).await;
    let stopped = console.post("/stop", "").await;
    assert_eq!((stopped.status, stopped.headers["location"].as_str()), (303, "/stop"));
    let page = console.get("/stop").await.body;
    for text in
        ["5 confirmed, 1 unconfirmed, 1 unreachable", "no contact for 4 min", "has not confirmed", "STOP ALL again"]
    {
        assert!(page.contains(text), "{text}");
    }
    console.until("/", "href=\"/resume\"").await;
    assert_eq!(console.post("/resume", "").await.status, 422, "leaving the stop takes two steps");
    assert_eq!(console.post("/resume", "reason=looked+at+everything").await.status, 303);
    let calls = served.lab.calls();
    assert!(matches!(&calls[..], [Call::StopAll(_), Call::Resume(resume)] if resume.reason == "looked at everything"));
}

#[tokio::test]
async fn pause_resume_and_ending_a_campaign_are_plain_forms() {
    let (console, served) = Console::on(lab()).await;
    assert_eq!(console.post("/pause", "").await.status, 303);
    console.until("/", "paused at the console").await;
    assert_eq!(console.post("/resume", "").await.status, 303, "a pause is left in one step");
    assert_eq!(console.post("/campaigns/pv/stop", "").await.status, 422);
    assert_eq!(console.post("/campaigns/pv/stop", "reason=enough").await.status, 303);
    let calls = served.lab.calls();
    assert!(
        matches!(&calls[..], [Call::Pause(_), Call::Resume(_), Call::StopCampaign(stop)] if stop.reason == "enough"),
        "{calls:?}"
    );
}

#[tokio::test]
async fn a_campaign_is_steered_with_a_reason() {
    let (console, served) = Console::on(lab()).await;
    let page = console.get("/campaigns/pv").await;
    for shown in ["the substrate softens", "0.83", "0.41 to 0.95", "Change a limit"] {
        assert!(page.body.contains(shown), "{shown}");
    }
    let limit = "parameter=br&min=0&max=0";
    for incomplete in
        [limit, "parameter=br&min=0&reason=r", "parameter=br&min=0&max=lots&reason=r", "min=0&max=1&reason=r"]
    {
        assert_eq!(console.post("/campaigns/pv/limit", incomplete).await.status, 422, "{incomplete}");
    }
    assert_eq!(console.post("/campaigns/pv/limit", &format!("{limit}&reason=no+bromide")).await.status, 303);
    let point = "value-br=0.1&value-anneal_temperature_c=150";
    assert_eq!(console.post("/campaigns/pv/pin", "value-br=0.1&reason=r").await.status, 422);
    assert_eq!(console.post("/campaigns/pv/pin", &format!("{point}&reason=literature")).await.status, 303);
    let calls = served.lab.calls();
    let [Call::Reshape(reshape), Call::Pin(pin)] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((reshape.limits[0].parameter.as_str(), reshape.limits[0].max, pin.candidate.len()), ("br", 0.0, 2));
}

#[tokio::test]
async fn counters_are_a_page_and_a_scrape() {
    let (console, _served) = Console::on(lab()).await;
    let page = console.get("/counters").await;
    for shown in ["limits the throughput", "31.5 nats", "4.2 (1.3 to 9.0)", "6.5 h"] {
        assert!(page.body.contains(shown), "{shown}");
    }
    let scrape = console.get("/metrics").await;
    assert!(
        scrape.body.contains("\nppu_device_attempts_total{device=\"furnace_a\",end=\"in_doubt\"} 1\n"),
        "{}",
        scrape.body
    );
}

#[tokio::test]
async fn a_doubt_is_resolved_only_with_evidence() {
    let (console, served) = Console::on(lab()).await;
    let fields = "step=pv-t012-r1%2Fdispense&attempt=1";
    for incomplete in [
        "verdict=done&who=ana&inspected=plate",
        "verdict=done&inspected=plate&note=wet",
        "who=ana&inspected=plate&note=wet",
    ] {
        assert_eq!(console.post("/doubts", &format!("{fields}&{incomplete}")).await.status, 422, "{incomplete}");
    }
    assert_eq!(
        console.post("/doubts", &format!("{fields}&verdict=not_done&who=ana&inspected=plate&note=dry")).await.status,
        303
    );
    let calls = served.lab.calls();
    let [Call::Resolve(resolve)] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(
        (resolve.verdict(), resolve.key.clone().unwrap().step.as_str()),
        (Verdict::NotDone, "pv-t012-r1/dispense")
    );
    assert_eq!(resolve.resolution.clone().unwrap().note, "dry");
    assert!(!resolve.then_skip);
}

#[tokio::test]
async fn clearing_locating_and_stopping_a_run_carry_a_name_and_a_reason() {
    let (console, served) = Console::on(lab()).await;
    for (path, incomplete, complete) in [
        ("/devices/pump-1/clear", "who=ana", "who=ana&reason=plunger+is+home"),
        ("/samples/film-12/locate", "who=ana&position=rack.2", "who=ana&inspected=rack&position=rack.2"),
        ("/runs/pv-t013-r1/stop", "", "reason=wrong+ink"),
    ] {
        assert_eq!(console.post(path, incomplete).await.status, 422, "{path}");
        assert_eq!(console.post(path, complete).await.status, 303, "{path}");
    }
    let calls = served.lab.calls();
    let [Call::Clear(clear), Call::Locate(locate), Call::StopRun(stop)] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((clear.device.as_str(), clear.reason.as_str()), ("pump-1", "plunger is home"));
    assert_eq!((locate.sample.as_str(), locate.position.as_str()), ("film-12", "rack.2"));
    assert_eq!((stop.run.as_str(), stop.who.as_str()), ("pv-t013-r1", "ana"));
}

#[tokio::test]
async fn raw_data_tables_and_plots_can_be_downloaded() {
    let (console, _served) = Console::on(lab()).await;
    let answer = console.get(&format!("/artifacts/{}/pattern.xrdml", "ab".repeat(32))).await;
    assert_eq!((answer.status, answer.body.as_bytes()), (200, ARTIFACT));
    assert_eq!(answer.headers["content-type"], "application/octet-stream", "never rendered in our origin");
    assert_eq!(console.get(&format!("/artifacts/{}/x", "00".repeat(32))).await.status, 404);
    assert_eq!(console.get("/artifacts/zz/x").await.status, 400);
    let csv = console.get("/campaigns/pv/trials.csv").await;
    assert!(csv.headers["content-disposition"].contains("pv-trials.csv") && csv.body.starts_with("number,trial,"));
    let plot = console.get("/campaigns/pv/plots/band_gap.svg").await;
    assert!(plot.body.contains("xmlns=\"http://www.w3.org/2000/svg\""));
    let json: serde_json::Value = serde_json::from_str(&console.get("/api/v1/lab").await.body).unwrap();
    assert_eq!(json["state"], "LAB_STATE_RUNNING");
    assert_eq!(json["campaigns"][1]["trials"][15]["state"], "TRIAL_STATE_AWAITING_APPROVAL");
    assert_eq!(json["link"]["connected"], true);
}

#[tokio::test]
async fn a_scheduler_that_is_away_is_told_and_found_again() {
    let served = lab().serve(ANY.parse().unwrap()).await;
    let address = served.address;
    let console = Console::start(address).await;
    console.until("/healthz", "connected").await;
    let lab = served.crash();
    let page = console.until("/", "scheduler unreachable for").await;
    assert!(page.contains("furnace-1"), "what was known stays, with its age");
    let post = console.post("/pause", "").await;
    assert_eq!(post.status, 503, "an action that did not get through says so");
    let stop = console.post("/stop", "").await;
    assert_eq!(stop.status, 303);
    assert!(console.get("/stop").await.body.contains("Outcome unknown"), "a stop without an answer is never a stop");
    let _again = lab.serve(address).await;
    console.until("/healthz", "connected").await;
}

#[tokio::test]
async fn without_any_scheduler_the_pages_say_so() {
    let taken = tokio::net::TcpListener::bind(ANY).await.unwrap();
    let nobody = taken.local_addr().unwrap();
    drop(taken);
    let console = Console::start(nobody).await;
    let page = console.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("scheduler unreachable for") && page.body.contains("No data yet"));
    assert_eq!(console.get("/api/v1/lab").await.status, 503);
    assert_eq!(console.get("/runs/x").await.status, 503);
    assert_eq!(console.get("/campaigns/x").await.status, 503);
}

#[tokio::test]
async fn a_socket_gets_everything_and_then_what_changes() {
    let (console, served) = Console::on(lab()).await;
    let connect = |origin: String| {
        let mut request = format!("ws://{}/ws?topic=overview", console.address).into_client_request().unwrap();
        request.headers_mut().insert("Origin", origin.parse().unwrap());
        tokio_tungstenite::client_async(
            request,
            std::net::TcpStream::connect(console.address).map(nonblocking).unwrap(),
        )
    };
    assert!(connect("http://evil.example".into()).await.is_err(), "a foreign page gets no socket");
    let (mut socket, _) = connect(format!("http://{}", console.address)).await.unwrap();
    let first: serde_json::Value = next(&mut socket).await;
    let ids: Vec<&str> =
        first["fragments"].as_array().unwrap().iter().map(|fragment| fragment["id"].as_str().unwrap()).collect();
    for id in ["topbar", "alarms", "campaigns", "inbox", "doubts", "running", "samples", "events", "card-furnace-1"] {
        assert!(ids.contains(&id), "{id} is missing in {ids:?}");
    }
    served.lab.change("trial_decided", "Trial 15 accepted by bob", |lab| {
        lab.campaigns[1].trials[14].set_state(TrialState::Queued);
    });
    let changed = timeout(WITHIN, async {
        loop {
            let message = next(&mut socket).await;
            let fragments = message["fragments"].as_array().unwrap().clone();
            if let Some(inbox) = fragments.iter().find(|fragment| fragment["id"] == "inbox") {
                return (inbox["html"].as_str().unwrap().to_owned(), fragments);
            }
        }
    });
    let (inbox, fragments) = changed.await.unwrap();
    assert!(!inbox.contains("Trial 15") && inbox.contains("Trial 16"));
    assert!(!fragments.iter().any(|fragment| fragment["id"] == "card-furnace-1"), "what did not change is not sent");
}

#[tokio::test]
async fn a_flood_of_events_is_joined() {
    let (console, served) = Console::on(lab()).await;
    let mut request = format!("ws://{}/ws?topic=events", console.address).into_client_request().unwrap();
    request.headers_mut().insert("Origin", format!("http://{}", console.address).parse().unwrap());
    let stream = std::net::TcpStream::connect(console.address).map(nonblocking).unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    next(&mut socket).await;
    for number in 0..200 {
        served.lab.change("flood", &format!("drop {number}"), |_| {});
    }
    let mut messages = 0;
    timeout(WITHIN, async {
        loop {
            let message = next(&mut socket).await;
            messages += 1;
            let fragments = message["fragments"].as_array().unwrap();
            if fragments.iter().any(|fragment| fragment["html"].as_str().unwrap().contains("drop 199")) {
                break;
            }
        }
    })
    .await
    .unwrap();
    assert!(messages <= 10, "200 events came in {messages} messages");
    assert!(console.get("/events").await.body.contains("drop 0 "), "joined, but none lost");
}

fn nonblocking(stream: std::net::TcpStream) -> TcpStream {
    stream.set_nonblocking(true).unwrap();
    TcpStream::from_std(stream).unwrap()
}

async fn next(socket: &mut tokio_tungstenite::WebSocketStream<TcpStream>) -> serde_json::Value {
    let message = timeout(WITHIN, socket.next()).await.unwrap().unwrap().unwrap();
    serde_json::from_str(message.to_text().unwrap()).unwrap()
}

#[tokio::test]
async fn addresses_that_others_reach_are_refused() {
    let options = |listen: &str, scheduler: &str, public_url: Option<&str>| ConsoleOptions {
        listen: listen.parse().unwrap(),
        scheduler: scheduler.into(),
        public_url: public_url.map(Into::into),
        operator: "ana".into(),
    };
    let start = |options| run(options, |_| {}, std::future::ready(()));
    let error = start(options("0.0.0.0:0", "http://127.0.0.1:1", None)).await.unwrap_err();
    assert!(matches!(error, ConsoleError::NeedsAccounts { .. }) && error.to_string().contains("no accounts"));
    assert!(matches!(start(options(ANY, "not an address", None)).await, Err(ConsoleError::SchedulerAddress { .. })));
    assert!(matches!(
        start(options(ANY, "http://127.0.0.1:1", Some("lab"))).await,
        Err(ConsoleError::PublicUrl { .. })
    ));
    assert!(start(options(ANY, "http://127.0.0.1:1", None)).await.is_ok());
}
