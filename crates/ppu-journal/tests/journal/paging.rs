//! History while the lab goes on.

use ppu_engine::Event;

use crate::samples::numbered;
use crate::support::{Opened, open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_have_no_gap_and_no_repeat_while_facts_are_appended() {
    const FACTS: u64 = 120;
    let folder = tempfile::tempdir().unwrap();
    let Opened { journal, .. } = open(folder.path());
    let reader = journal.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let mut after = 0;
        while after < FACTS {
            // The next sequence is read first: everything before it is durable, so the page must reach it.
            let durable = reader.status().next_sequence - 1;
            let page = reader.facts_after(after, 7).unwrap();
            assert!(page.len() <= 7);
            assert!(after + page.len() as u64 >= durable.min(after + 7));
            for (sequence, fact) in page {
                assert_eq!(sequence, after + 1);
                assert_eq!(fact.event, Event::EpochStarted { epoch: sequence });
                after = sequence;
            }
        }
    });
    for at in (1..=FACTS).step_by(3) {
        journal.append(&numbered(at..at + 3)).await.unwrap();
    }
    reading.await.unwrap();
    assert_eq!(journal.facts_after(FACTS, 7).unwrap(), []);
    assert_eq!(journal.facts_after(u64::MAX, 7).unwrap(), []);
    assert_eq!(journal.facts_after(0, 0).unwrap(), []);
}
