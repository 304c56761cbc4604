//! Live updates: every fragment is rendered once a change, and its bytes go to every tab that shows it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::json;

use crate::fragments::{Chrome, Fragment, Topic, top};
use crate::state::{Console, Known, now_ms};

/// What changed, as JSON pieces ready to be joined.
#[derive(Debug)]
pub(crate) struct Update {
    /// Unix milliseconds.
    now: i64,
    /// Unix milliseconds of the last contact with the scheduler.
    contact: i64,
    /// The top bar, where it changed.
    common: Option<String>,
    /// Changed fragments of each page.
    topics: HashMap<Topic, Vec<String>>,
    /// Pages whose subject is over: they are loaded again, once.
    over: HashSet<Topic>,
}

/// Remembers what was sent.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    versions: HashMap<(Topic, String), String>,
    active_runs: HashSet<String>,
    previous: Option<Known>,
}

impl Update {
    /// The message for a tab that shows this page.
    pub(crate) fn message(&self, topic: &Topic) -> String {
        let fragments = self.common.iter().chain(self.topics.get(topic).into_iter().flatten());
        assemble(self.now, self.contact, fragments.map(String::as_str), false, self.over.contains(topic))
    }
}

impl Publisher {
    /// Renders what changed since the last time and sends it to the sockets, with the times in any case.
    pub(crate) fn publish(&mut self, console: &Console) {
        let known = console.known();
        let chrome = chrome(console, &known);
        let mut update = Update {
            now: chrome.now,
            contact: chrome.contact,
            common: None,
            topics: HashMap::new(),
            over: HashSet::new(),
        };
        update.common = self.changed(&Topic::Plain, top(&known), &chrome);
        for topic in self.topics(&known) {
            let fragments = topic.fragments(&known);
            let changed: Vec<String> =
                fragments.into_iter().filter_map(|fragment| self.changed(&topic, fragment, &chrome)).collect();
            if !changed.is_empty() {
                update.topics.insert(topic, changed);
            }
        }
        let active: HashSet<String> =
            known.lab.iter().flat_map(|lab| &lab.active_runs).map(|run| run.id.clone()).collect();
        for ended in self.active_runs.difference(&active) {
            update.over.insert(Topic::Run(ended.clone()));
            self.versions.retain(|(topic, _), _| !matches!(topic, Topic::Run(id) if id == ended));
        }
        self.active_runs = active;
        self.previous = Some(known);
        // An error only says that no tab is open.
        let _ = console.updates.send(Arc::new(update));
    }

    /// The pages whose subject may have changed.
    fn topics(&self, known: &Known) -> Vec<Topic> {
        let mut topics = vec![Topic::Overview, Topic::Events, Topic::Stop];
        let Some(lab) = &known.lab else { return topics };
        let before = self.previous.as_ref().and_then(|previous| previous.lab.as_ref());
        for campaign in &lab.campaigns {
            let same = before.is_some_and(|before| before.campaigns.contains(campaign));
            if !same {
                topics.push(Topic::Campaign(campaign.id.clone()));
            }
        }
        for run in &lab.active_runs {
            if !before.is_some_and(|before| before.active_runs.contains(run)) {
                topics.push(Topic::Run(run.id.clone()));
            }
        }
        topics
    }

    fn changed(&mut self, topic: &Topic, fragment: Fragment, chrome: &Chrome) -> Option<String> {
        let key = (topic.clone(), fragment.id());
        let version = fragment.version();
        if self.versions.get(&key) == Some(&version) {
            return None;
        }
        self.versions.insert(key, version);
        piece(&fragment, chrome)
    }
}

/// What every fragment may show, as of now.
pub(crate) fn chrome(console: &Console, known: &Known) -> Chrome {
    Chrome {
        now: now_ms(),
        contact: known.contact_ms,
        csrf: console.security.token().to_owned(),
        operator: console.operator.clone(),
    }
}

/// Everything on a page, for a tab that has just connected or has lagged behind.
pub(crate) fn everything(console: &Console, topic: &Topic, resync: bool) -> String {
    let known = console.known();
    let chrome = chrome(console, &known);
    let fragments = std::iter::once(top(&known)).chain(topic.fragments(&known));
    let pieces: Vec<String> = fragments.filter_map(|fragment| piece(&fragment, &chrome)).collect();
    assemble(chrome.now, chrome.contact, pieces.iter().map(String::as_str), resync, false)
}

fn piece(fragment: &Fragment, chrome: &Chrome) -> Option<String> {
    match fragment.render(chrome) {
        Ok(rendered) => Some(json!({ "id": rendered.id, "v": rendered.version, "html": rendered.html }).to_string()),
        Err(error) => {
            tracing::error!(fragment = fragment.id(), %error, "cannot render a fragment");
            None
        }
    }
}

fn assemble<'a>(now: i64, contact: i64, pieces: impl Iterator<Item = &'a str>, resync: bool, reload: bool) -> String {
    let pieces: Vec<&str> = pieces.collect();
    format!(
        "{{\"now\":{now},\"contact\":{contact},\"resync\":{resync},\"reload\":{reload},\"fragments\":[{}]}}",
        pieces.join(",")
    )
}
