//! One word, one shape and one tone for every state: colour is never the only cue.

use ppu_proto::device::v1::DeviceState;
use ppu_proto::lab::v1::{CampaignState, LabState, RunState, Severity, StepState, TrialState};

/// The shape beside a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icon {
    /// An empty circle.
    Circle,
    /// A triangle in a circle.
    Play,
    /// Two bars.
    Pause,
    /// A clock.
    Clock,
    /// A tick.
    Check,
    /// A cross.
    Cross,
    /// An octagon.
    Octagon,
    /// A triangle with an exclamation mark.
    Triangle,
    /// A question mark.
    Question,
    /// A broken line.
    Broken,
    /// A person.
    Person,
}

/// How much a state asks of the reader. Only the last two are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing goes on.
    Quiet,
    /// Something goes on, as it should.
    Active,
    /// A person should look.
    Attention,
    /// A person must act.
    Alarm,
}

/// A state as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateView {
    /// The word.
    pub word: &'static str,
    /// The shape.
    pub icon: Icon,
    /// The tone.
    pub tone: Tone,
}

impl StateView {
    const fn new(word: &'static str, icon: Icon, tone: Tone) -> Self {
        Self { word, icon, tone }
    }

    /// Class for the style sheet.
    pub fn class(&self) -> &'static str {
        match self.tone {
            Tone::Quiet => "quiet",
            Tone::Active => "active",
            Tone::Attention => "attention",
            Tone::Alarm => "alarm",
        }
    }

    /// The shape as SVG; it repeats the word beside it and is hidden from screen readers.
    pub fn svg(&self) -> &'static str {
        self.icon.svg()
    }
}

macro_rules! icon {
    ($shape:literal) => {
        concat!("<svg class=\"icon\" viewBox=\"0 0 16 16\" aria-hidden=\"true\">", $shape, "</svg>")
    };
}

impl Icon {
    /// The shape as SVG, 16 by 16, in the colour of the text.
    pub fn svg(self) -> &'static str {
        match self {
            Icon::Circle => icon!("<circle class=\"stroke\" cx=\"8\" cy=\"8\" r=\"5.5\"/>"),
            Icon::Play => icon!(
                "<circle class=\"stroke\" cx=\"8\" cy=\"8\" r=\"6.5\"/><path class=\"solid\" d=\"M6.4 5v6l4.8-3z\"/>"
            ),
            Icon::Pause => icon!("<path class=\"solid\" d=\"M4 3h3v10H4zM9 3h3v10H9z\"/>"),
            Icon::Clock => icon!(
                "<circle class=\"stroke\" cx=\"8\" cy=\"8\" r=\"6.5\"/><path class=\"stroke\" d=\"M8 4.5V8l2.5 1.5\"/>"
            ),
            Icon::Check => icon!("<path class=\"stroke thick\" d=\"M3 8.5l3.2 3.2L13 4.8\"/>"),
            Icon::Cross => icon!("<path class=\"stroke thick\" d=\"M4 4l8 8M12 4l-8 8\"/>"),
            Icon::Octagon => icon!("<path class=\"solid\" d=\"M5.3 1.5h5.4l3.8 3.8v5.4l-3.8 3.8H5.3l-3.8-3.8V5.3z\"/>"),
            Icon::Triangle => {
                icon!(
                    "<path class=\"stroke\" d=\"M8 1.8L15 14H1z\"/><path class=\"stroke thick\" d=\"M8 6.2v3.6M8 11.6v.4\"/>"
                )
            }
            Icon::Question => {
                icon!(
                    "<circle class=\"stroke\" cx=\"8\" cy=\"8\" r=\"6.5\"/><path class=\"stroke\" d=\"M6 6.4c.1-2.6 4-2.5 4 0C10 8 8 7.8 8 9.6M8 11.4v.6\"/>"
                )
            }
            Icon::Broken => icon!("<path class=\"stroke thick\" d=\"M1 8h4M11 8h4M7 4.5L6 6.5M10 9.5l-1 2\"/>"),
            Icon::Person => icon!(
                "<circle class=\"stroke\" cx=\"8\" cy=\"5\" r=\"3\"/><path class=\"stroke\" d=\"M2 14.5c.6-6.6 11.4-6.6 12 0\"/>"
            ),
        }
    }
}

/// What a device is doing.
pub fn device(state: DeviceState) -> StateView {
    match state {
        DeviceState::Idle => StateView::new("idle", Icon::Circle, Tone::Quiet),
        DeviceState::Execute => StateView::new("running", Icon::Play, Tone::Active),
        DeviceState::Held => StateView::new("held", Icon::Pause, Tone::Attention),
        DeviceState::Suspended => StateView::new("waiting", Icon::Clock, Tone::Quiet),
        DeviceState::Aborted => StateView::new("made safe", Icon::Octagon, Tone::Attention),
        DeviceState::Unreachable => StateView::new("unreachable", Icon::Broken, Tone::Alarm),
        DeviceState::Unspecified => StateView::new("unknown", Icon::Question, Tone::Attention),
    }
}

/// What the lab as a whole is doing.
pub fn lab(state: LabState) -> StateView {
    match state {
        LabState::Running => StateView::new("running", Icon::Play, Tone::Active),
        LabState::Paused => StateView::new("paused", Icon::Pause, Tone::Attention),
        LabState::Stopped => StateView::new("stopped", Icon::Octagon, Tone::Alarm),
        LabState::Unspecified => StateView::new("unknown", Icon::Question, Tone::Attention),
    }
}

/// State of a campaign.
pub fn campaign(state: CampaignState) -> StateView {
    match state {
        CampaignState::Running => StateView::new("running", Icon::Play, Tone::Active),
        CampaignState::Ending => StateView::new("ending", Icon::Clock, Tone::Active),
        CampaignState::Completed => StateView::new("completed", Icon::Check, Tone::Quiet),
        CampaignState::Stopped => StateView::new("stopped", Icon::Octagon, Tone::Quiet),
        CampaignState::Unspecified => StateView::new("unknown", Icon::Question, Tone::Attention),
    }
}

/// State of a trial.
pub fn trial(state: TrialState) -> StateView {
    match state {
        TrialState::AwaitingApproval => StateView::new("awaits approval", Icon::Person, Tone::Active),
        TrialState::Queued => StateView::new("queued", Icon::Clock, Tone::Quiet),
        TrialState::Running => StateView::new("running", Icon::Play, Tone::Active),
        TrialState::Analysing => StateView::new("analysing", Icon::Play, Tone::Active),
        TrialState::Completed => StateView::new("completed", Icon::Check, Tone::Quiet),
        TrialState::Rejected => StateView::new("rejected", Icon::Cross, Tone::Quiet),
        TrialState::Failed => StateView::new("failed", Icon::Triangle, Tone::Attention),
        TrialState::Unspecified => StateView::new("unknown", Icon::Question, Tone::Attention),
    }
}

/// State of a run.
pub fn run(state: RunState) -> StateView {
    match state {
        RunState::Queued => StateView::new("queued", Icon::Clock, Tone::Quiet),
        RunState::Running => StateView::new("running", Icon::Play, Tone::Active),
        RunState::Held => StateView::new("held", Icon::Pause, Tone::Attention),
        RunState::Completed => StateView::new("completed", Icon::Check, Tone::Quiet),
        RunState::Failed => StateView::new("failed", Icon::Triangle, Tone::Attention),
        RunState::Aborted => StateView::new("aborted", Icon::Cross, Tone::Quiet),
        RunState::Unspecified => StateView::new("unknown", Icon::Question, Tone::Attention),
    }
}

/// State of a step.
pub fn step(state: StepState) -> StateView {
    match state {
        StepState::Waiting => StateView::new("waiting", Icon::Clock, Tone::Quiet),
        StepState::Running => StateView::new("running", Icon::Play, Tone::Active),
        StepState::InDoubt => StateView::new("in doubt", Icon::Question, Tone::Alarm),
        StepState::Done => StateView::new("done", Icon::Check, Tone::Quiet),
        StepState::Failed => StateView::new("failed", Icon::Triangle, Tone::Attention),
        StepState::Skipped => StateView::new("skipped", Icon::Cross, Tone::Quiet),
        StepState::Unspecified => StateView::new("unknown", Icon::Question, Tone::Attention),
    }
}

/// How much an event asks of the reader.
pub fn severity(severity: Severity) -> StateView {
    match severity {
        Severity::Info | Severity::Unspecified => StateView::new("info", Icon::Circle, Tone::Quiet),
        Severity::Notice => StateView::new("notice", Icon::Triangle, Tone::Attention),
        Severity::Alarm => StateView::new("alarm", Icon::Triangle, Tone::Alarm),
    }
}
