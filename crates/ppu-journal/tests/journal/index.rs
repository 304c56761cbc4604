//! Lookups are right whatever becomes of the index.

use std::fs;
use std::path::Path;

use ppu_engine::{Event, Fact};
use ppu_journal::{Journal, JournalError, Subject};

use crate::samples::{campaign, device, fact, key, numbered, one_of_every_kind, plan, position, run, sample, trial};
use crate::support::{LIMIT, Opened, copy, flip, open, replace, try_open, written};

/// Two runs of two trials, interleaved, each with a sample and a device of its own, and much between them that concerns
/// neither. The second number of each is that of its run, 0 for nobody.
fn story() -> Vec<(Fact, u32)> {
    let mut told = vec![(Event::CampaignEnding { campaign: campaign("c1"), reason: "enough".to_owned() }, 0)];
    let steps: [fn(u32) -> Event; 6] = [
        |n| Event::RunStarted { run: run(&format!("r{n}")), sample: Some(sample(&format!("s{n}"))) },
        |n| Event::StepIntended {
            key: key(&format!("r{n}"), "heat"),
            device: device(&format!("furnace_{n}")),
            capability: "heating".to_owned(),
            command: "ramp_to".to_owned(),
            arguments: ppu_core::Arguments::new(),
            sample: Some(sample(&format!("s{n}"))),
            positions: vec![position("rack.1")],
        },
        |n| Event::StepAccepted { key: key(&format!("r{n}"), "heat") },
        |n| Event::RunCompleted { run: run(&format!("r{n}")) },
        |n| Event::RunClosed { run: run(&format!("r{n}")), device: device(&format!("furnace_{n}")) },
        |n| Event::TrialFailed { trial: trial(&format!("c1-t{n}")), reason: "no light".to_owned() },
    ];
    for n in [1, 2] {
        let submitted = Event::RunSubmitted {
            run: run(&format!("r{n}")),
            trial: Some(trial(&format!("c1-t{n}"))),
            plan: Box::new(plan("heat")),
            request_id: String::new(),
        };
        told.push((submitted, n));
    }
    for step in steps {
        told.extend([1, 2].map(|n| (step(n), n)));
        told.extend((0..150).map(|epoch| (Event::EpochStarted { epoch }, 0)));
    }
    told.into_iter().map(|(event, n)| (fact(event), n)).collect()
}

async fn tell(journal: &Journal, facts: &[Fact]) {
    for facts in facts.chunks(100) {
        journal.append(facts).await.unwrap();
    }
}

fn facts_of(story: &[(Fact, u32)]) -> Vec<Fact> {
    story.iter().map(|(fact, _)| fact.clone()).collect()
}

/// The facts of one run's story that fulfil a condition, with their sequences.
fn expected(story: &[(Fact, u32)], n: u32, is_meant: impl Fn(&Event) -> bool) -> Vec<(u64, Fact)> {
    let numbered = (1..).zip(story);
    numbered
        .filter(|(_, (fact, of))| *of == n && is_meant(&fact.event))
        .map(|(sequence, (fact, _))| (sequence, fact.clone()))
        .collect()
}

/// Every kind of lookup against what the story says.
fn check(journal: &Journal, story: &[(Fact, u32)]) {
    let history = |subject| journal.history_of(subject).unwrap();
    let is_submission = |event: &Event| matches!(event, Event::RunSubmitted { .. });
    let is_verdict = |event: &Event| matches!(event, Event::TrialFailed { .. });
    let names_key = |event: &Event| matches!(event, Event::StepIntended { .. } | Event::StepAccepted { .. });
    let names_device = |event: &Event| matches!(event, Event::StepIntended { .. } | Event::RunClosed { .. });
    for n in [1, 2] {
        assert_eq!(history(Subject::Run(run(&format!("r{n}")))), expected(story, n, |event| !is_verdict(event)));
        assert_eq!(history(Subject::Trial(trial(&format!("c1-t{n}")))), expected(story, n, |_| true));
        let sample = Subject::Sample(sample(&format!("s{n}")));
        let held = |event: &Event| !is_submission(event) && !is_verdict(event);
        assert_eq!(history(sample), expected(story, n, held));
        assert_eq!(history(Subject::Command(key(&format!("r{n}"), "heat"))), expected(story, n, names_key));
        assert_eq!(history(Subject::Device(device(&format!("furnace_{n}")))), expected(story, n, names_device));
    }
    assert_eq!(history(Subject::Campaign(campaign("c1"))).len(), 1);
    assert_eq!(history(Subject::Run(run("r"))), []);
    let all = history(Subject::Trial(trial("c1-t1")));
    let page = |after, limit| journal.history_page(&Subject::Trial(trial("c1-t1")), after, limit).unwrap();
    assert_eq!(page(all[1].0, 3), all[2..5]);
    assert_eq!(page(all[5].0, 100), all[6..]);
    assert_eq!(page(0, 0), []);
}

fn check_now_and_later(journal: &Journal, story: &[(Fact, u32)]) {
    check(journal, story);
    assert!(journal.wait_for_index(LIMIT), "{:?}", journal.index_status());
    assert_eq!(journal.index_status().applied, story.len() as u64);
    check(journal, story);
}

#[tokio::test]
async fn lookups_are_complete_before_and_after_the_index_has_caught_up() {
    let folder = tempfile::tempdir().unwrap();
    let story = story();
    let Opened { journal, .. } = open(folder.path());
    tell(&journal, &facts_of(&story)).await;
    check_now_and_later(&journal, &story);
    drop(journal);
    let Opened { journal, notes, .. } = open(folder.path());
    assert!(notes.is_empty(), "{notes:?}");
    check_now_and_later(&journal, &story);
}

#[tokio::test]
async fn every_kind_of_fact_can_be_looked_up() {
    let folder = tempfile::tempdir().unwrap();
    let facts: Vec<Fact> = one_of_every_kind().into_iter().map(fact).collect();
    written(folder.path(), &facts).await;
    let Opened { journal, .. } = open(folder.path());
    let count = |subject| journal.history_of(subject).unwrap().len();
    assert_eq!(count(Subject::Campaign(campaign("c1"))), 6);
    // Intended, accepted, ended, signed, resolved; retired with its ledger and adopted before the run was known.
    assert_eq!(count(Subject::Command(key("r1", "dispense"))), 7);
    // Submitted, started, two of a lease, five of the command, three of another step, five of the run's end; and those two.
    assert_eq!(count(Subject::Run(run("r1"))), 19);
    // The same but those two, which came before the run was submitted; decided, observed, failed.
    assert_eq!(count(Subject::Trial(trial("c1-t001"))), 20);
    // The opening of the lab, where it was located, and the run from its start on.
    assert_eq!(count(Subject::Sample(sample("s1"))), 18);
    assert_eq!(count(Subject::Device(device("pump_a"))), 12);
    assert_eq!(count(Subject::Device(device("furnace_a"))), 2);
}

/// A journal with the story in it, closed, and what `change` does to it; then it is opened and everything is looked up.
async fn after(change: impl AsyncFnOnce(&Path, &[(Fact, u32)])) -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let story = story();
    let Opened { journal, .. } = open(folder.path());
    tell(&journal, &facts_of(&story)).await;
    assert!(journal.wait_for_index(LIMIT));
    drop(journal);
    change(folder.path(), &story).await;
    let Opened { journal, facts, notes } = open(folder.path());
    assert_eq!(facts.len(), story.len());
    check_now_and_later(&journal, &story);
    drop(journal);
    // Whatever had to be done is done: the next start finds nothing to say.
    let again = open(folder.path());
    assert!(again.notes.is_empty(), "{:?}", again.notes);
    check(&again.journal, &story);
    drop(again);
    (folder, notes)
}

#[tokio::test]
async fn a_deleted_index_is_made_again() {
    let (_folder, notes) = after(async |directory, _| fs::remove_dir_all(directory.join("index-v2")).unwrap()).await;
    assert!(notes.len() == 1 && notes[0].contains("made anew"), "{notes:?}");
}

#[tokio::test]
async fn an_index_that_is_behind_catches_up() {
    let (folder, notes) = after(async |directory, story| {
        let (old, facts) = (tempfile::tempdir().unwrap(), facts_of(story));
        fs::remove_dir_all(directory).unwrap();
        let Opened { journal, .. } = open(directory);
        tell(&journal, &facts[..200]).await;
        assert!(journal.wait_for_index(LIMIT));
        drop(journal);
        copy(&directory.join("index-v2"), old.path());
        let Opened { journal, .. } = open(directory);
        tell(&journal, &facts[200..]).await;
        assert!(journal.wait_for_index(LIMIT));
        drop(journal);
        replace(&directory.join("index-v2"), old.path());
    })
    .await;
    assert!(notes.is_empty(), "{notes:?}");
    assert!(!folder.path().join("index-v2.damaged-1").exists());
}

#[tokio::test]
async fn an_index_that_knows_more_than_the_log_refuses_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let old = tempfile::tempdir().unwrap();
    written(folder.path(), &numbered(1..4)).await;
    copy(&folder.path().join("journal"), old.path());
    written(folder.path(), &numbered(4..9)).await;
    replace(&folder.path().join("journal"), old.path());
    for _ in 0..2 {
        let error = try_open(folder.path()).map(drop).unwrap_err();
        assert!(matches!(error, JournalError::TailLost { known: 8, found: 3 }), "{error}");
    }
    fs::remove_dir_all(folder.path().join("journal")).unwrap();
    for _ in 0..2 {
        let error = try_open(folder.path()).map(drop).unwrap_err();
        assert!(matches!(error, JournalError::TailLost { known: 8, found: 0 }), "{error}");
        assert!(!folder.path().join("journal").exists());
    }
    // A person who knows better takes the witness away.
    copy(old.path(), &folder.path().join("journal"));
    fs::remove_dir_all(folder.path().join("index-v2")).unwrap();
    assert_eq!(open(folder.path()).facts.len(), 3);
}

#[tokio::test]
async fn an_index_of_another_history_is_moved_away() {
    let (folder, notes) = after(async |directory, story| {
        let other = tempfile::tempdir().unwrap();
        fs::remove_dir_all(directory).unwrap();
        drop(open(directory));
        copy(&directory.join("journal"), &other.path().join("journal"));
        written(other.path(), &numbered(5..9)).await;
        let Opened { journal, .. } = open(directory);
        tell(&journal, &facts_of(story)).await;
        drop(journal);
        replace(&directory.join("index-v2"), &other.path().join("index-v2"));
    })
    .await;
    assert!(notes.len() == 1 && notes[0].contains("another history"), "{notes:?}");
    assert!(folder.path().join("index-v2.damaged-1").is_dir());
}

#[tokio::test]
async fn an_index_of_another_journal_is_moved_away() {
    let (_folder, notes) = after(async |directory, _| {
        let other = tempfile::tempdir().unwrap();
        written(other.path(), &numbered(0..250)).await;
        replace(&directory.join("index-v2"), &other.path().join("index-v2"));
    })
    .await;
    assert!(notes.len() == 1 && notes[0].contains("another journal"), "{notes:?}");
}

#[tokio::test]
async fn an_index_that_cannot_be_opened_is_moved_away() {
    let (folder, notes) = after(async |directory, _| {
        fs::remove_dir_all(directory.join("index-v2")).unwrap();
        fs::write(directory.join("index-v2"), b"not a directory").unwrap();
        fs::create_dir(directory.join("index-v2.damaged-1")).unwrap();
    })
    .await;
    assert!(notes.len() == 1 && notes[0].contains("damaged-2"), "{notes:?}");
    assert!(folder.path().join("index-v2.damaged-2").is_file());
}

#[tokio::test]
async fn damaged_bytes_of_the_index_never_show_in_a_lookup() {
    let folder = tempfile::tempdir().unwrap();
    let mut story = story();
    // Enough to fill several pages of the storage engine.
    let accepted = |n| Event::StepAccepted { key: key(&format!("other-{n}"), "heat") };
    story.extend((0..1500).map(|n| (fact(accepted(n)), 0)));
    let Opened { journal, .. } = open(folder.path());
    tell(&journal, &facts_of(&story)).await;
    assert!(journal.wait_for_index(LIMIT));
    drop(journal);
    let (index, whole) = (folder.path().join("index-v2"), tempfile::tempdir().unwrap());
    copy(&index, whole.path());
    let db = index.join("db");
    let length = fs::metadata(&db).unwrap().len() as usize;
    let mut damages: Vec<Box<dyn Fn()>> = vec![
        Box::new(|| fs::write(&db, vec![0xa5; length]).unwrap()),
        Box::new(|| fs::write(&db, &fs::read(&db).unwrap()[..length / 2]).unwrap()),
        Box::new(|| fs::write(index.join("conf"), b"segment_size: 17").unwrap()),
    ];
    for part in 0..6 {
        let db = &db;
        damages.push(Box::new(move || flip(db, length * part / 6)));
    }
    let mut noticed = 0;
    for damage in damages {
        damage();
        let Opened { journal, notes, .. } = open(folder.path());
        check(&journal, &story);
        noticed += notes.len();
        drop(journal);
        replace(&index, whole.path());
    }
    // Bytes that the engine does not use any more may be damaged without anybody noticing.
    assert!(noticed >= 3, "{noticed}");
}
