//! Life cycles as tables: every legal move at a glance, and the same function guards running and recovery.

use std::fmt;

/// A transition that a table does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {noun} that is {from} cannot {event}")]
pub struct IllegalTransition {
    /// What has the life cycle.
    pub noun: &'static str,
    /// The state it was in.
    pub from: String,
    /// The event that does not fit.
    pub event: String,
}

/// A small state machine with one table.
pub trait LifeCycle: Copy + Eq + fmt::Debug + Sized + 'static {
    /// What can happen.
    type Event: Copy + fmt::Debug + 'static;
    /// What has this life cycle, for messages.
    const NOUN: &'static str;
    /// The state at birth.
    const FIRST: Self;
    /// Every state.
    const STATES: &'static [Self];
    /// Every event.
    const EVENTS: &'static [Self::Event];
    /// The table.
    fn table(self, event: Self::Event) -> Option<Self>;

    /// The state after an event.
    fn next(self, event: Self::Event) -> Result<Self, IllegalTransition> {
        self.table(event).ok_or_else(|| IllegalTransition {
            noun: Self::NOUN,
            from: format!("{self:?}"),
            event: format!("{event:?}"),
        })
    }

    /// Whether nothing more can happen.
    fn is_terminal(self) -> bool {
        Self::EVENTS.iter().all(|event| self.table(*event).is_none())
    }
}

macro_rules! life_cycle {
    (
        $(#[$doc:meta])* $state:ident ($noun:literal) by $event:ident:
        states { $first:ident $(, $other:ident)* $(,)? }
        events { $($happening:ident),* $(,)? }
        $($from:ident + $by:ident => $to:ident,)*
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs, reason = "the table says what each state is")]
        pub enum $state { $first $(, $other)* }

        #[doc = concat!("What can happen to a ", $noun, ".")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs, reason = "the table says what each event does")]
        pub enum $event { $($happening),* }

        impl LifeCycle for $state {
            type Event = $event;
            const NOUN: &'static str = $noun;
            const FIRST: Self = $state::$first;
            const STATES: &'static [Self] = &[$state::$first $(, $state::$other)*];
            const EVENTS: &'static [$event] = &[$($event::$happening),*];

            fn table(self, event: $event) -> Option<Self> {
                match (self, event) {
                    $(($state::$from, $event::$by) => Some($state::$to),)*
                    _ => None,
                }
            }
        }
    };
}

life_cycle! {
    /// A closed-loop search.
    CampaignState ("campaign") by CampaignEvent:
    states { Running, Ending, Completed, Stopped }
    events { ReachEnd, Stop, Finish }
    Running + ReachEnd => Ending,
    Running + Stop     => Stopped,
    Ending  + Stop     => Stopped,
    Ending  + Finish   => Completed,
}

life_cycle! {
    /// One candidate taken to the lab.
    TrialState ("trial") by TrialEvent:
    states { AwaitingApproval, Queued, Running, Analysing, Completed, Rejected, Failed }
    events { Accept, Reject, Start, Measure, Observe, Fail }
    AwaitingApproval + Accept  => Queued,
    AwaitingApproval + Reject  => Rejected,
    AwaitingApproval + Fail    => Failed,
    Queued           + Start   => Running,
    Queued           + Reject  => Rejected,
    Queued           + Fail    => Failed,
    Running          + Measure => Analysing,
    Running          + Fail    => Failed,
    Analysing        + Observe => Completed,
    Analysing        + Fail    => Failed,
}

life_cycle! {
    /// One attempt at a plan.
    RunState ("run") by RunEvent:
    states { Queued, Running, Held, Completed, Failed, Aborted }
    events { Start, Hold, Release, Complete, Fail, Abort }
    Queued  + Start    => Running,
    Queued  + Abort    => Aborted,
    Running + Hold     => Held,
    Held    + Release  => Running,
    Running + Complete => Completed,
    Running + Fail     => Failed,
    Running + Abort    => Aborted,
    Held    + Abort    => Aborted,
}

life_cycle! {
    /// One node of a plan. A failed attempt without effect brings it back to waiting for the next attempt.
    StepState ("step") by StepEvent:
    states { Waiting, Intended, Accepted, InDoubt, Done, Failed, Skipped }
    events { Intend, Promise, Finish, Doubt, Retry, Fail, Skip, Void }
    Waiting  + Intend  => Intended,
    Waiting  + Skip    => Skipped,
    Waiting  + Finish  => Done,
    Waiting  + Void    => Skipped,
    Intended + Promise => Accepted,
    Intended + Finish  => Done,
    Intended + Doubt   => InDoubt,
    Intended + Retry   => Waiting,
    Intended + Fail    => Failed,
    Intended + Void    => Skipped,
    Accepted + Finish  => Done,
    Accepted + Doubt   => InDoubt,
    Accepted + Retry   => Waiting,
    Accepted + Fail    => Failed,
    Accepted + Void    => Skipped,
    InDoubt  + Finish  => Done,
    InDoubt  + Retry   => Waiting,
    InDoubt  + Fail    => Failed,
}

life_cycle! {
    /// A driver as the scheduler sees it. It never ends: a device can always come back.
    LinkState ("device link") by LinkEvent:
    states { Unknown, Attached, Lost }
    events { Attach, Lose }
    Unknown  + Attach => Attached,
    Attached + Attach => Attached,
    Attached + Lose   => Lost,
    Lost     + Attach => Attached,
}

life_cycle! {
    /// A claim on devices and positions.
    LeaseState ("lease") by LeaseEvent:
    states { Wanted, Granted, Released }
    events { Grant, Release }
    Wanted  + Grant   => Granted,
    Wanted  + Release => Released,
    Granted + Release => Released,
}

impl StepState {
    /// Whether a command of the step may be under way or in doubt.
    pub fn is_live(self) -> bool {
        matches!(self, StepState::Intended | StepState::Accepted | StepState::InDoubt)
    }

    /// Whether those that wait for it may go on.
    pub fn is_over(self) -> bool {
        matches!(self, StepState::Done | StepState::Failed | StepState::Skipped)
    }
}

impl TrialState {
    /// Whether the trial takes a place among those under way.
    pub fn is_open(self) -> bool {
        !self.is_terminal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed<S: LifeCycle>() -> String {
        let mut text = format!("{}\n", S::NOUN);
        for state in S::STATES {
            for event in S::EVENTS {
                if let Some(next) = state.table(*event) {
                    text.push_str(&format!("  {state:?} + {event:?} -> {next:?}\n"));
                }
            }
        }
        text
    }

    fn reachable<S: LifeCycle>(from: S) -> Vec<S> {
        let mut reached = vec![from];
        let mut at = 0;
        while at < reached.len() {
            for event in S::EVENTS {
                if let Some(next) = reached[at].table(*event)
                    && !reached.contains(&next)
                {
                    reached.push(next);
                }
            }
            at += 1;
        }
        reached
    }

    fn sound<S: LifeCycle>(ends: bool) {
        assert_eq!(reachable(S::FIRST).len(), S::STATES.len(), "{}: every state is reachable", S::NOUN);
        for state in S::STATES {
            let can_end = reachable(*state).iter().any(|later| later.is_terminal());
            assert_eq!(can_end, ends, "{}: {state:?} can end", S::NOUN);
        }
    }

    #[test]
    fn tables_are_as_written_down() {
        let tables = [
            printed::<CampaignState>(),
            printed::<TrialState>(),
            printed::<RunState>(),
            printed::<StepState>(),
            printed::<LinkState>(),
            printed::<LeaseState>(),
        ];
        insta::assert_snapshot!(tables.join("\n"));
    }

    #[test]
    fn every_state_is_reachable_and_can_end() {
        sound::<CampaignState>(true);
        sound::<TrialState>(true);
        sound::<RunState>(true);
        sound::<StepState>(true);
        sound::<LinkState>(false);
        sound::<LeaseState>(true);
    }

    #[test]
    fn terminal_states_refuse_with_a_sentence() {
        let error = RunState::Completed.next(RunEvent::Start).unwrap_err();
        assert_eq!(error.to_string(), "a run that is Completed cannot Start");
    }
}
