//! Every fact comes back as it was, and what could not come back is refused.

use std::collections::BTreeSet;

use ppu_core::{Unit, Value};
use ppu_engine::{Event, Fact};
use ppu_journal::JournalError;
use prost::Message as _;
use serde_json::Value as Json;

use crate::samples::{fact, numbered, one_of_every_kind, other_choices, plan, run};
use crate::support::{Opened, open};

#[tokio::test]
async fn every_fact_survives_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let events = one_of_every_kind().into_iter().chain(other_choices());
    let facts: Vec<Fact> = events.zip(1..).map(|(event, at_ms)| Fact { at_ms, event }).collect();
    open(folder.path()).journal.append(&facts).await.unwrap();
    let read: Vec<Fact> = open(folder.path()).facts.into_iter().map(|(_, fact)| fact).collect();
    for (read, written) in read.iter().zip(&facts) {
        assert_eq!(read, written);
    }
    assert_eq!(read.len(), facts.len());
}

/// The kinds of the schema are those that the samples show: the compiler asks for a message for each new kind of event, and
/// this asks for a sample.
#[test]
fn the_samples_show_every_kind_of_record() {
    let files = prost_types::FileDescriptorSet::decode(ppu_proto::DESCRIPTORS).unwrap();
    let messages =
        files.file.iter().filter(|file| file.package() == "ppu.journal.v1").flat_map(|file| &file.message_type);
    let record = messages.into_iter().find(|message| message.name() == "JournalRecord").unwrap();
    let kinds: BTreeSet<String> =
        record.field.iter().filter(|field| field.oneof_index.is_some()).map(|field| field.name().to_owned()).collect();
    let name = |event: &Event| serde_json::to_value(event).unwrap().as_object().unwrap().keys().next().unwrap().clone();
    let mut shown: BTreeSet<String> = one_of_every_kind().iter().map(name).collect();
    // These two are no facts of the lab; other tests look at them.
    assert!(shown.insert("tail_cut".to_owned()) && shown.insert("repaired".to_owned()));
    assert_eq!(shown, kinds);
}

#[test]
fn the_samples_leave_no_field_at_its_default() {
    for event in one_of_every_kind() {
        let json = serde_json::to_value(&event).unwrap();
        let empty = first_empty(&json, "");
        assert_eq!(empty, None, "{json}");
    }
}

/// The first place that holds nothing. `false` says as much as `true`, and a pure `null` is a field left out.
fn first_empty(json: &Json, path: &str) -> Option<String> {
    let is_empty = match json {
        Json::Null => !path.ends_with(".default"),
        Json::Bool(_) => false,
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(fields) => fields.is_empty(),
    };
    if is_empty {
        return Some(path.to_owned());
    }
    match json {
        Json::Array(items) => items.iter().find_map(|item| first_empty(item, path)),
        Json::Object(fields) => fields.iter().find_map(|(name, value)| first_empty(value, &format!("{path}.{name}"))),
        _ => None,
    }
}

#[tokio::test]
async fn a_fact_too_large_for_a_record_is_refused_and_nothing_else_happens() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { journal, .. } = open(folder.path());
    let submitted = |title: &str| {
        let plan = Box::new(plan(title));
        fact(Event::RunSubmitted { run: run("r1"), trial: None, plan, request_id: String::new() })
    };
    let mut facts = numbered(1..2);
    facts.push(submitted(&"long ".repeat(16_000)));
    let error = journal.append(&facts).await.unwrap_err();
    assert!(
        matches!(error, JournalError::FactTooLarge { event: "run_submitted", bytes: 320_000.., limit: 65_536 }),
        "{error}"
    );
    assert!(!error.is_fatal());
    let range = journal.append(&[submitted("short")]).await.unwrap();
    assert_eq!((range.first, range.last), (1, 1));
}

#[tokio::test]
async fn a_fact_that_could_not_be_replayed_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { journal, .. } = open(folder.path());
    let ended = one_of_every_kind().into_iter().find(|event| matches!(event, Event::StepEnded { .. })).unwrap();
    let Event::StepEnded { key, device, dseq, mut outcome } = ended else { unreachable!() };
    outcome.results.insert("mass".to_owned(), Value::quantity(f64::NAN, Unit::Milligram));
    let error = journal.append(&[fact(Event::StepEnded { key, device, dseq, outcome })]).await.unwrap_err();
    assert!(matches!(error, JournalError::FactUnreadable { event: "step_ended", .. }), "{error}");
    assert!(!error.is_fatal());
    assert_eq!(journal.facts_after(0, 10).unwrap(), []);
}
