//! The pieces of the pages that change, each with an id: pages are laid out from them, and sockets carry them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use askama::Template;
use ppu_proto::lab::v1::{CampaignState, GetLabResponse, Run};

use crate::state::{Known, Lost};
use crate::view::campaign::{CampaignPageView, CampaignView};
use crate::view::counters::CountersView;
use crate::view::events::EventView;
use crate::view::inbox::{ApprovalView, DoubtView};
use crate::view::instruments::CardView;
use crate::view::plots::Scale;
use crate::view::runs::{RunView, RunningView};
use crate::view::samples::SamplesView;
use crate::view::stop::StopView;
use crate::view::topbar::{ConditionView, TopbarView};
use crate::view::words::StateView;
use crate::view::{campaign, events, inbox, instruments, runs, samples, stop, topbar};

/// Events on the overview.
const EVENTS_ON_OVERVIEW: usize = 30;

/// What a page shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Topic {
    /// Only the top bar.
    Plain,
    /// The overview.
    Overview,
    /// The event log.
    Events,
    /// The answers to STOP ALL.
    Stop,
    /// One campaign.
    Campaign(String),
    /// One run.
    Run(String),
}

/// What every fragment may show besides its view.
#[derive(Debug, Clone)]
pub(crate) struct Chrome {
    /// Unix milliseconds.
    pub(crate) now: i64,
    /// Unix milliseconds of the last contact.
    pub(crate) contact: i64,
    /// Token of the forms.
    pub(crate) csrf: String,
    /// Name of the operator.
    pub(crate) operator: String,
}

/// The line of a campaign that is not shown in full.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CampaignLine {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) state: StateView,
    pub(crate) progress: String,
}

/// One fragment before it is rendered: a pure value, so that equal values need no new rendering.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fragment {
    Topbar(Option<Box<TopbarView>>, Option<Lost>),
    Alarms(Vec<ConditionView>),
    Card(Box<CardView>),
    Campaigns(Vec<CampaignView>, Vec<CampaignLine>),
    Inbox(Vec<ApprovalView>),
    Doubts(Vec<DoubtView>),
    Running(Vec<RunningView>),
    Samples(SamplesView),
    Events(Vec<EventView>),
    CampaignPage(Box<CampaignPageView>),
    Run(Box<RunView>),
    Stop(Option<StopView>),
    Counters(Box<CountersView>),
}

/// A fragment as HTML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// Id of its element.
    pub(crate) id: String,
    /// Changes with what it shows, not with the ages in it.
    pub(crate) version: String,
    /// The inside of its element.
    pub(crate) html: String,
}

impl Topic {
    /// The topic as pages name it to the socket.
    pub(crate) fn name(&self) -> String {
        match self {
            Topic::Plain => "plain".into(),
            Topic::Overview => "overview".into(),
            Topic::Events => "events".into(),
            Topic::Stop => "stop".into(),
            Topic::Campaign(id) => format!("campaign:{id}"),
            Topic::Run(id) => format!("run:{id}"),
        }
    }

    /// Reads a name back; what is not known gets the top bar only.
    pub(crate) fn parse(name: &str) -> Self {
        match name.split_once(':') {
            Some(("campaign", id)) => Topic::Campaign(id.into()),
            Some(("run", id)) => Topic::Run(id.into()),
            _ => match name {
                "overview" => Topic::Overview,
                "events" => Topic::Events,
                "stop" => Topic::Stop,
                _ => Topic::Plain,
            },
        }
    }

    /// The fragments of this page besides the top bar.
    pub(crate) fn fragments(&self, known: &Known) -> Vec<Fragment> {
        let lab = known.lab.as_deref();
        match (self, lab) {
            (Topic::Plain, _) => Vec::new(),
            (Topic::Stop, _) => vec![Fragment::Stop(known.stop.as_deref().map(|report| stop::stop(report, lab)))],
            (_, None) => Vec::new(),
            (Topic::Overview, Some(lab)) => overview(known, lab),
            (Topic::Events, Some(_)) => vec![Fragment::Events(events::events(known.events.iter(), usize::MAX))],
            (Topic::Campaign(id), Some(lab)) => {
                let found = lab.campaigns.iter().find(|campaign| campaign.id == *id);
                found.map(|found| Fragment::CampaignPage(Box::new(campaign::page(found)))).into_iter().collect()
            }
            (Topic::Run(id), Some(lab)) => {
                let found = lab.active_runs.iter().find(|run| run.id == *id);
                found.map(|found| run(found, known)).into_iter().collect()
            }
        }
    }
}

/// The top bar, which every page has.
pub(crate) fn top(known: &Known) -> Fragment {
    Fragment::Topbar(known.lab.as_deref().map(|lab| Box::new(topbar::topbar(lab))), known.lost.clone())
}

/// The fragment of a run.
pub(crate) fn run(message: &Run, known: &Known) -> Fragment {
    Fragment::Run(Box::new(runs::run(message, known.lab.as_deref())))
}

fn overview(known: &Known, lab: &GetLabResponse) -> Vec<Fragment> {
    let (shown, others) = campaigns(lab);
    let mut fragments = vec![
        Fragment::Alarms(topbar::conditions(lab)),
        Fragment::Campaigns(shown, others),
        Fragment::Inbox(inbox::approvals(lab)),
        Fragment::Doubts(inbox::doubts(lab)),
        Fragment::Running(runs::running(lab)),
        Fragment::Samples(samples::samples(lab)),
        Fragment::Events(events::events(known.events.iter(), EVENTS_ON_OVERVIEW)),
    ];
    fragments.extend(instruments::cards(lab).into_iter().map(|card| Fragment::Card(Box::new(card))));
    fragments
}

/// Campaigns that go on, in full, or the last one; and one line for every other, the newest first.
fn campaigns(lab: &GetLabResponse) -> (Vec<CampaignView>, Vec<CampaignLine>) {
    let open = |state| matches!(state, CampaignState::Running | CampaignState::Ending);
    let none_open = !lab.campaigns.iter().any(|item| open(item.state()));
    let last = lab.campaigns.len().saturating_sub(1);
    let (mut shown, mut others) = (Vec::new(), Vec::new());
    for (index, item) in lab.campaigns.iter().enumerate().rev() {
        if open(item.state()) || (none_open && index == last) {
            shown.push(campaign::campaign(item, Scale::Small));
        } else {
            let ended = item.completed + item.failed;
            let progress = format!("{ended} of {} trials", item.budget_trials.max(ended));
            let state = crate::view::words::campaign(item.state());
            others.push(CampaignLine { id: item.id.clone(), title: item.title.clone(), state, progress });
        }
    }
    (shown, others)
}

macro_rules! fragment_templates {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty),* } = $path:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Template)]
            #[template(path = $path)]
            struct $name<'a> { $($field: $kind),* }
        )*
    };
}

fragment_templates! {
    TopbarHtml { view: Option<&'a TopbarView>, lost: Option<&'a Lost>, chrome: &'a Chrome } = "fragments/topbar.html";
    AlarmsHtml { conditions: &'a [ConditionView] } = "fragments/alarms.html";
    CardHtml { card: &'a CardView, chrome: &'a Chrome } = "fragments/card.html";
    CampaignsHtml { campaigns: &'a [CampaignView], others: &'a [CampaignLine], chrome: &'a Chrome } = "fragments/campaigns.html";
    InboxHtml { approvals: &'a [ApprovalView], chrome: &'a Chrome } = "fragments/inbox.html";
    DoubtsHtml { doubts: &'a [DoubtView], chrome: &'a Chrome } = "fragments/doubts.html";
    RunningHtml { rows: &'a [RunningView], chrome: &'a Chrome } = "fragments/running.html";
    SamplesHtml { samples: &'a SamplesView, chrome: &'a Chrome } = "fragments/samples.html";
    EventsHtml { events: &'a [EventView] } = "fragments/events.html";
    CampaignPageHtml { page: &'a CampaignPageView, chrome: &'a Chrome } = "fragments/campaign_page.html";
    RunHtml { run: &'a RunView, chrome: &'a Chrome } = "fragments/run.html";
    CountersHtml { view: &'a CountersView } = "fragments/counters.html";
    StopHtml { stop: Option<&'a StopView>, chrome: &'a Chrome } = "fragments/stop.html";
}

impl Fragment {
    /// Id of its element.
    pub(crate) fn id(&self) -> String {
        match self {
            Fragment::Topbar(..) => "topbar".into(),
            Fragment::Alarms(_) => "alarms".into(),
            Fragment::Card(card) => format!("card-{}", card.id),
            Fragment::Campaigns(..) => "campaigns".into(),
            Fragment::Inbox(_) => "inbox".into(),
            Fragment::Doubts(_) => "doubts".into(),
            Fragment::Running(_) => "running".into(),
            Fragment::Samples(_) => "samples".into(),
            Fragment::Events(_) => "events".into(),
            Fragment::CampaignPage(_) => "campaign".into(),
            Fragment::Run(_) => "run".into(),
            Fragment::Stop(_) => "stop".into(),
            Fragment::Counters(_) => "counters".into(),
        }
    }

    /// A word that changes with what the fragment shows. Ages are no part of it: browsers keep them themselves.
    pub(crate) fn version(&self) -> String {
        let mut hasher = DefaultHasher::new();
        format!("{self:?}").hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// The fragment as HTML.
    pub(crate) fn render(&self, chrome: &Chrome) -> Result<Rendered, askama::Error> {
        Ok(Rendered { id: self.id(), version: self.version(), html: self.html(chrome)? })
    }

    fn html(&self, chrome: &Chrome) -> Result<String, askama::Error> {
        match self {
            Fragment::Topbar(view, lost) => TopbarHtml { view: view.as_deref(), lost: lost.as_ref(), chrome }.render(),
            Fragment::Alarms(conditions) => AlarmsHtml { conditions }.render(),
            Fragment::Card(card) => CardHtml { card, chrome }.render(),
            Fragment::Campaigns(campaigns, others) => CampaignsHtml { campaigns, others, chrome }.render(),
            Fragment::Inbox(approvals) => InboxHtml { approvals, chrome }.render(),
            Fragment::Doubts(doubts) => DoubtsHtml { doubts, chrome }.render(),
            Fragment::Running(rows) => RunningHtml { rows, chrome }.render(),
            Fragment::Samples(samples) => SamplesHtml { samples, chrome }.render(),
            Fragment::Events(events) => EventsHtml { events }.render(),
            Fragment::CampaignPage(page) => CampaignPageHtml { page, chrome }.render(),
            Fragment::Run(run) => RunHtml { run, chrome }.render(),
            Fragment::Counters(view) => CountersHtml { view }.render(),
            Fragment::Stop(stop) => StopHtml { stop: stop.as_ref(), chrome }.render(),
        }
    }
}
