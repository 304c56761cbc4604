use super::*;
use crate::testing::{Device, Shared, Trouble, attention, is_partial, is_refused, is_silent, request, take_line};

struct FakeAeris {
    folder: PathBuf,
    added: Option<String>,
    measuring: u32,
    measured: u32,
    remote: bool,
    refuses: bool,
    /// What a scan leaves behind.
    file: &'static str,
    current: String,
}

const COMPLETE: &str = "<xrdMeasurements>1 2 3</xrdMeasurements>\n";

impl FakeAeris {
    fn field<'a>(text: &'a str, key: &str) -> &'a str {
        text.split('@').find_map(|part| part.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default()
    }
}

impl Device for FakeAeris {
    fn question(&self, received: &mut Vec<u8>) -> Option<Vec<u8>> {
        take_line(received, b"@END")
    }

    fn answer(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(question).unwrap();
        let body = match text {
            "@STATUS_REQUEST@SYSTEM@END" => format!("SYSTEM={}", if self.remote { "remote" } else { "local" }),
            "@STATUS_REQUEST@UNIT=xrd@END" => {
                let ready = self.measuring == 0;
                if !ready {
                    self.measuring -= 1;
                    if self.measuring == 0 && !self.file.is_empty() {
                        std::fs::write(self.folder.join(format!("{}.xrdml", self.current)), self.file).unwrap();
                    }
                }
                format!("READY={}", if ready { "yes" } else { "no" })
            }
            _ if text.starts_with("@STATUS_REQUEST@LOCATION=0,2") => {
                format!("STATE={}", if self.added.is_some() { "occupied" } else { "free" })
            }
            _ if self.refuses => "STATUS=fatal: not now".to_owned(),
            _ if text.starts_with("@SAMPLE@ADD") => {
                self.added = Some(FakeAeris::field(text, "SAMPLE_ID").to_owned());
                "STATUS=normal".to_owned()
            }
            _ if text.starts_with("@SAMPLE@MEASURE") => {
                self.current = FakeAeris::field(text, "SAMPLE_ID").to_owned();
                (self.measuring, self.measured) = (3, self.measured + 1);
                "STATUS=normal".to_owned()
            }
            _ if text.starts_with("@SAMPLE@REMOVE") => {
                self.added = None;
                "STATUS=normal".to_owned()
            }
            _ => "STATUS=fatal: unknown".to_owned(),
        };
        // An event comes in front of every answer to a question, and no answer ends with a line end.
        let event = if text.starts_with("@STATUS") { "@EVENT@TIME_STAMP=1@END" } else { "" };
        Some(format!("{event}@{body}@SIM-aeris@END").into_bytes())
    }
}

async fn aeris() -> (tempfile::TempDir, Shared<FakeAeris>, Diffractometer) {
    let folder = tempfile::tempdir().unwrap();
    let fake = Shared::new(FakeAeris {
        folder: folder.path().to_owned(),
        added: None,
        measuring: 0,
        measured: 0,
        remote: true,
        refuses: false,
        file: COMPLETE,
        current: String::new(),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = fake.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(server.clone().serve(stream));
        }
    });
    let settings = DiffractometerSettings { results: folder.path().to_owned(), ..DiffractometerSettings::default() };
    let mut aeris = Diffractometer::new(&address, settings);
    assert_eq!(aeris.connect().await.unwrap(), "SIM-aeris");
    (folder, fake, aeris)
}

fn scan() -> Request {
    request("scan", [("program", Value::Text("film_fast".to_owned()))])
}

#[test]
fn sample_ids_are_short_readable_and_unique() {
    let id = sample_id("run-7/step_3#1");
    assert!(id.starts_with("run-7-step-3-1-"), "{id}");
    let long = "a-very-long-campaign-name-with-many-words/measure_pattern#12";
    for key in [long, "#1", "run-7/step_3#2"] {
        let id = sample_id(key);
        assert!(id.len() <= 40 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{id}");
    }
    assert_ne!(sample_id("a/b#1"), sample_id("a-b#1"));
}

#[tokio::test]
async fn a_scan_yields_its_complete_file() {
    let (_folder, fake, mut aeris) = aeris().await;
    aeris.prepare(&scan(), &attention()).await.unwrap();
    let done = aeris.execute(&scan(), &attention()).await.unwrap();
    assert_eq!((done.raw[0].media_type, done.raw[0].bytes.as_slice()), ("application/xml", COMPLETE.as_bytes()));
    assert_eq!(fake.look(|aeris| (aeris.measured, aeris.added.clone())), (1, None));
}

#[tokio::test]
async fn a_missing_or_partial_file_is_waited_for_and_then_a_fault() {
    for file in ["", "<xrdMeasurements>1 2"] {
        let (_folder, fake, mut aeris) = aeris().await;
        fake.look(|aeris| aeris.file = file);
        aeris.prepare(&scan(), &attention()).await.unwrap();
        let outcome = aeris.execute(&scan(), &attention()).await;
        assert!(is_partial(&outcome, codes::XRD_FILE), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_garbled_answer_to_measure_is_silent_and_the_scan_is_found_again() {
    let (_folder, fake, mut aeris) = aeris().await;
    let snapshot = aeris.prepare(&scan(), &attention()).await.unwrap();
    fake.expect(b"@SAMPLE@MEASURE", Trouble::Garbled);
    let outcome = aeris.execute(&scan(), &attention()).await;
    assert!(is_silent(&outcome), "{outcome:?}");
    assert_eq!(aeris.recover(&scan(), &snapshot, &attention()).await.unwrap(), Recovered::Running);
    let done = aeris.attend(&scan(), &snapshot, &attention()).await.unwrap();
    assert_eq!(done.raw.len(), 1);
    let recovered = aeris.recover(&scan(), &snapshot, &attention()).await.unwrap();
    assert!(matches!(recovered, Recovered::Finished(Ok(_))), "{recovered:?}");
    assert_eq!(fake.look(|aeris| aeris.measured), 1);
}

#[tokio::test]
async fn a_scan_that_runs_for_too_long_has_not_ended() {
    let (_folder, fake, mut aeris) = aeris().await;
    let snapshot = aeris.prepare(&scan(), &attention()).await.unwrap();
    fake.look(|aeris| aeris.measuring = u32::MAX);
    let impatient = Attention::new(1e8, tokio::sync::watch::channel(false).1);
    let outcome = aeris.attend(&scan(), &snapshot, &impatient).await;
    assert!(is_silent(&outcome), "{outcome:?}");
    assert_eq!(aeris.recover(&scan(), &snapshot, &attention()).await.unwrap(), Recovered::Running);
}

#[tokio::test]
async fn without_file_and_scan_only_an_unchanged_slot_proves_that_nothing_began() {
    let (_folder, fake, mut aeris) = aeris().await;
    let snapshot = aeris.prepare(&scan(), &attention()).await.unwrap();
    let recovered = aeris.recover(&scan(), &snapshot, &attention()).await.unwrap();
    assert_eq!(recovered, Recovered::NeverStarted);
    fake.look(|aeris| aeris.added = Some("x".to_owned()));
    let recovered = aeris.recover(&scan(), &snapshot, &attention()).await.unwrap();
    assert!(matches!(recovered, Recovered::Unknown(_)), "{recovered:?}");
}

#[tokio::test]
async fn an_instrument_that_is_busy_local_or_unwilling_refuses() {
    let (_folder, fake, mut aeris) = aeris().await;
    fake.look(|aeris| aeris.remote = false);
    assert!(is_refused(&aeris.prepare(&scan(), &attention()).await, codes::XRD_NOT_READY));
    fake.look(|aeris| (aeris.remote, aeris.measuring) = (true, 50));
    assert!(is_refused(&aeris.prepare(&scan(), &attention()).await, codes::XRD_NOT_READY));
    fake.look(|aeris| (aeris.measuring, aeris.refuses) = (0, true));
    aeris.prepare(&scan(), &attention()).await.unwrap();
    assert!(is_refused(&aeris.execute(&scan(), &attention()).await, codes::XRD_REFUSED));
}
