//! What `cargo xtask bench journal` measures of ours. Each command prints one line of numbers:
//!
//! - `append thread|caller DIRECTORY RECORDS_A_COMMIT SECONDS`: durable appends of 300-byte records, by the log's own thread
//!   or by the caller's: `<commits> <records> <seconds> <median commit in microseconds> <99th percentile>`.
//! - `fill DIRECTORY FACTS`: writes a journal of facts of about 300 bytes and its index: `<facts> <bytes a record> <seconds>`.
//! - `open DIRECTORY`: opens it, reads every fact, waits for the index:
//!   `<facts> <seconds until opened> <until every fact was read> <until the index was complete> <KiB resident at most>`.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use ppu_core::{Arguments, AttemptState, CommandKey, DeviceId, RunId, SampleId, StepId, TrialId};
use ppu_engine::event::Outcome;
use ppu_engine::{Event, Fact};
use ppu_journal::{Journal, Subject};
use ppu_store::{AppendError, Log, LogId, LogOptions, LogWriter, RealDisk, SequenceRange};

/// Far more than any step here takes.
const LIMIT: Duration = Duration::from_secs(600);
/// Length of a record in bytes: that of a usual event.
const RECORD_BYTES: usize = 300;
/// Facts of one run.
const FACTS_A_RUN: u64 = 32;

#[expect(clippy::print_stdout, reason = "the line of numbers is the data that was asked for")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let line = match words.as_slice() {
        ["append", who, directory, batch, seconds] => {
            append(*who == "thread", Path::new(directory), batch.parse()?, Duration::from_secs_f64(seconds.parse()?))?
        }
        ["fill", directory, facts] => fill(Path::new(directory), facts.parse()?).await?,
        ["open", directory] => open(Path::new(directory))?,
        _ => {
            return Err(
                "usage: append thread|caller DIRECTORY BATCH SECONDS | fill DIRECTORY FACTS | open DIRECTORY".into()
            );
        }
    };
    println!("{line}");
    Ok(())
}

fn append(by_thread: bool, directory: &Path, batch: u64, limit: Duration) -> Result<String, Box<dyn Error>> {
    let (mut log, _) = Log::open(RealDisk, directory, LogOptions::create(LogId(rand::random())))?;
    if by_thread {
        let writer = LogWriter::spawn(log)?;
        let line = measure(batch, limit, |records| writer.append(records))?;
        writer.close()?;
        return Ok(line);
    }
    measure(batch, limit, |records| log.append(&records))
}

fn measure(
    batch: u64,
    limit: Duration,
    mut commit: impl FnMut(Vec<Vec<u8>>) -> Result<SequenceRange, AppendError>,
) -> Result<String, Box<dyn Error>> {
    // The first commits touch memory and pages that later ones reuse.
    for warm in 0..20 {
        commit((warm * batch..(warm + 1) * batch).map(body).collect())?;
    }
    let mut next = 20 * batch;
    let mut latencies = Vec::new();
    let began = Instant::now();
    while began.elapsed() < limit {
        let at = Instant::now();
        commit((next..next + batch).map(body).collect())?;
        latencies.push(at.elapsed());
        next += batch;
    }
    let elapsed = began.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let quantile = |share: f64| latencies[(share * (latencies.len() - 1) as f64) as usize].as_secs_f64() * 1e6;
    let commits = latencies.len() as u64;
    Ok(format!("{commits} {} {elapsed:.6} {:.1} {:.1}", commits * batch, quantile(0.5), quantile(0.99)))
}

/// A body that differs from record to record, so that nothing can be compressed or shared.
fn body(key: u64) -> Vec<u8> {
    let mut state = key;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u8
    };
    (0..RECORD_BYTES).map(|_| next()).collect()
}

async fn fill(directory: &Path, facts: u64) -> Result<String, Box<dyn Error>> {
    let (journal, _) = Journal::open(directory)?;
    let began = Instant::now();
    let runs = facts.div_ceil(FACTS_A_RUN);
    for number in 0..runs {
        journal.append(&run(number)).await?;
    }
    if !journal.wait_for_index(LIMIT) {
        return Err(format!("the index did not get ready: {:?}", journal.index_status()).into());
    }
    let seconds = began.elapsed().as_secs_f64();
    drop(journal);
    let report = ppu_store::verify(&RealDisk, directory.join("journal"))?;
    let bytes: u64 = report.segments.iter().map(|segment| segment.bytes_used).sum();
    Ok(format!("{} {:.1} {seconds:.3}", runs * FACTS_A_RUN, bytes as f64 / report.records() as f64))
}

fn open(directory: &Path) -> Result<String, Box<dyn Error>> {
    let began = Instant::now();
    let (journal, recovery) = Journal::open(directory)?;
    let opened = began.elapsed().as_secs_f64();
    let mut count = 0_u64;
    for fact in recovery.facts {
        fact?;
        count += 1;
    }
    let read = began.elapsed().as_secs_f64();
    if !journal.wait_for_index(LIMIT) {
        return Err(format!("the index did not get ready: {:?}", journal.index_status()).into());
    }
    let indexed = began.elapsed().as_secs_f64();
    let peak = resident_at_most()?;
    let middle = Subject::Run(RunId::new(format!("c1-t{:06}-r1", count / FACTS_A_RUN / 2))?);
    let history = journal.history_of(middle)?.len();
    if history != 31 {
        return Err(format!("{history} facts of one run were looked up").into());
    }
    Ok(format!("{count} {opened:.4} {read:.4} {indexed:.4} {peak}"))
}

/// Most memory that this process has had, in KiB, where the system tells.
fn resident_at_most() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// The facts of one run of ten steps. Its records have 300 bytes on average.
fn run(number: u64) -> Vec<Fact> {
    let run = RunId::new(format!("c1-t{number:06}-r1")).expect("only letters, digits and dashes");
    let sample = SampleId::new(format!("s{}", number % 40)).expect("only letters and digits");
    let mut events = vec![Event::RunStarted { run: run.clone(), sample: Some(sample.clone()) }];
    for step in 0..10 {
        let step = StepId::of(&run, &format!("step_{step}")).expect("only letters, digits and underscores");
        let key = CommandKey { step, attempt: 1 };
        let device = DeviceId::new("furnace_a").expect("only letters and underscores");
        events.push(Event::StepIntended {
            key: key.clone(),
            device: device.clone(),
            capability: "heating".to_owned(),
            command: "ramp_to".to_owned(),
            arguments: Arguments::new(),
            sample: Some(sample.clone()),
            positions: Vec::new(),
        });
        events.push(Event::StepAccepted { key: key.clone() });
        let outcome = Outcome {
            state: AttemptState::Succeeded,
            results: Arguments::new(),
            artifacts: Vec::new(),
            message: "reached 140 °C".repeat(35),
            code: String::new(),
            sample_position: None,
            sample_in_doubt: false,
        };
        events.push(Event::StepEnded { key, device, dseq: number, outcome: Box::new(outcome) });
    }
    let trial = TrialId::new(format!("c1-t{number:06}")).expect("only letters, digits and dashes");
    events.push(Event::TrialFailed { trial, reason: "a measurement of speed".to_owned() });
    events.into_iter().map(|event| Fact { at_ms: 0, event }).collect()
}
