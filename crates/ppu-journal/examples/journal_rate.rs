//! How fast a journal grows, opens, and gets its index back: `cargo run --release --example journal_rate -- 100000 [folder]`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ppu_core::{Arguments, AttemptState, CommandKey, DeviceId, RunId, SampleId, StepId, TrialId};
use ppu_engine::event::Outcome;
use ppu_engine::{Event, Fact};
use ppu_journal::{Journal, Subject};

/// Far more than any step here takes.
const LIMIT: Duration = Duration::from_secs(600);

/// The facts of one run of ten steps.
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
            message: "reached 140 °C".to_owned(),
            code: String::new(),
            sample_position: None,
        };
        events.push(Event::StepEnded { key, device, dseq: number, outcome: Box::new(outcome) });
    }
    let trial = TrialId::new(format!("c1-t{number:06}")).expect("only letters, digits and dashes");
    events.push(Event::TrialFailed { trial, reason: "a measurement of speed".to_owned() });
    events.into_iter().map(|event| Fact { at_ms: 0, event }).collect()
}

fn opened(folder: &std::path::Path) -> Result<(Journal, usize), Box<dyn std::error::Error>> {
    let (journal, recovery) = Journal::open(folder)?;
    let mut count = 0;
    for fact in recovery.facts {
        fact?;
        count += 1;
    }
    Ok((journal, count))
}

#[expect(clippy::print_stdout, reason = "an example for people at a terminal")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let facts: u64 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let temporary = tempfile::tempdir()?;
    let folder = arguments.next().map_or_else(|| temporary.path().to_owned(), PathBuf::from);

    let (journal, _) = opened(&folder)?;
    let start = Instant::now();
    for number in 0..facts / 32 {
        journal.append(&run(number)).await?;
    }
    println!("{} facts appended in {:?}, 32 at a time", facts / 32 * 32, start.elapsed());
    println!("index complete: {}, {:?} after the first append", journal.wait_for_index(LIMIT), start.elapsed());
    drop(journal);

    let start = Instant::now();
    let (journal, count) = opened(&folder)?;
    println!("opened and {count} facts read in {:?}", start.elapsed());
    let start = Instant::now();
    let subject = Subject::Run(RunId::new(format!("c1-t{:06}-r1", facts / 64))?);
    let history = journal.history_of(subject)?;
    println!("{} facts of one run looked up in {:?}", history.len(), start.elapsed());
    drop(journal);

    std::fs::remove_dir_all(folder.join("index-v1"))?;
    let start = Instant::now();
    let (journal, _) = opened(&folder)?;
    println!("opened without index and all facts read in {:?}", start.elapsed());
    println!("index made anew: {} in {:?}", journal.wait_for_index(LIMIT), start.elapsed());
    Ok(())
}
