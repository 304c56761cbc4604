//! What the pages show, from messages to views, compared with what was approved.

mod support;

use ppu_console::view::{campaign, events, inbox, instruments, plots, runs, samples, stop, topbar};
use support::data;

#[test]
fn the_top_bar_counts_what_needs_a_person() {
    let lab = data::lab(data::NOW);
    insta::assert_debug_snapshot!((topbar::topbar(&lab), topbar::conditions(&lab)));
}

#[test]
fn cards_tell_state_step_readings_and_problem() {
    let cards = instruments::cards(&data::lab(data::NOW));
    insta::assert_debug_snapshot!((&cards[1], &cards[3], &cards[6]));
}

#[test]
fn the_inbox_says_what_why_and_what_is_expected() {
    let lab = data::lab(data::NOW);
    insta::assert_debug_snapshot!((&inbox::approvals(&lab)[0], inbox::doubts(&lab)));
}

#[test]
fn a_campaign_tells_its_progress_and_best() {
    let mut view = campaign::campaign(&data::campaign(data::NOW), plots::Scale::Small);
    assert_eq!(view.plots.len(), 3, "the score and each objective");
    view.plots.clear();
    insta::assert_debug_snapshot!(view);
}

#[test]
fn plots_are_as_approved() {
    let plots = plots::plots(&data::campaign(data::NOW), plots::Scale::Small);
    let text: Vec<String> = plots.iter().map(|plot| plot.svg.replace("><", ">\n<")).collect();
    insta::assert_snapshot!(text.join("\n\n"));
}

#[test]
fn trials_compare_expected_with_measured() {
    let page = campaign::page(&data::campaign(data::NOW));
    let number = |wanted: u32| page.trials.iter().find(|trial| trial.number == wanted).unwrap();
    assert_eq!(page.trials[0].number, 16, "the newest comes first");
    assert!(number(3).values[1].invalid && number(3).score == "–", "an invalid objective is no zero");
    assert!(number(3).values[1].note.contains("no peaks"));
    assert_eq!(number(6).state.word, "failed");
    assert_eq!(page.trials.iter().filter(|trial| trial.best).count(), 1);
}

#[test]
fn a_spreadsheet_gets_every_trial_and_no_formula() {
    let mut message = data::campaign(data::NOW);
    message.trials[0].proposer = "=HYPERLINK(\"x\"), or so".into();
    let csv = campaign::csv(&message);
    assert_eq!(csv.lines().count(), 17);
    assert!(csv.starts_with("number,trial,state,anneal_minutes,"));
    assert!(csv.contains("\"'=HYPERLINK(\"\"x\"\"), or so\""));
    let columns = |line: &str| line.split(',').count();
    assert_eq!(columns(csv.lines().next().unwrap()), columns(csv.lines().nth(2).unwrap()));
}

#[test]
fn runs_show_what_is_under_way_and_what_came_out() {
    let lab = data::lab(data::NOW);
    let rows = runs::running(&lab);
    assert_eq!(rows.iter().map(|row| row.state.word).collect::<Vec<_>>(), ["running", "running", "in doubt"]);
    assert_eq!(rows[0].place, "step 5 of 9");
    let run = runs::run(&data::finished_run(), Some(&lab));
    assert!(run.over && run.campaign == "pv");
    insta::assert_debug_snapshot!((&run.steps[4], &run.steps[6], &run.values));
}

#[test]
fn names_of_artifacts_are_harmless() {
    assert_eq!(runs::file_name("a b/../\"x\".xrdml"), "a_b_..__x_.xrdml");
    assert_eq!(runs::file_name("..."), "artifact");
}

#[test]
fn samples_are_counted_by_word() {
    let view = samples::samples(&data::lab(data::NOW));
    assert_eq!(view.counts, "18 fresh · 3 in a run · 10 used · 1 in doubt");
}

#[test]
fn events_come_newest_first() {
    let log = data::events(data::NOW);
    let rows = events::events(log.iter(), 30);
    assert_eq!((rows.len(), rows[0].seq, rows[29].seq), (30, 240, 211));
}

#[test]
fn a_stop_that_was_sent_is_not_a_stop_that_happened() {
    let lab = data::lab(data::NOW);
    let answer = Ok(data::stop_answers(&lab));
    let report = stop::StopReport { asked_ms: data::NOW, answered_ms: data::NOW + 800, who: "ana".into(), answer };
    let view = stop::stop(&report, Some(&lab));
    assert_eq!(view.summary, "5 confirmed, 1 unconfirmed, 1 unreachable");
    assert!(!view.complete);
    assert_eq!(view.rows.iter().take(2).map(|row| row.device.as_str()).collect::<Vec<_>>(), ["balance-1", "furnace-1"]);
    let silent = stop::StopReport { answer: Err("no answer within 20 s".into()), ..report };
    let view = stop::stop(&silent, Some(&lab));
    assert!(!view.complete && view.error.contains("no answer"), "no answer is never a stop");
}
