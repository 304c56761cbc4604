//! Messages and the network: a bounded number in flight, delivered in any order, any number of times, or never.

use ppu_core::AttemptState;

use crate::state::{Key, Keys, device_of};

/// Most messages that any bounds allow in flight.
const MOST: usize = 3;

/// What a scheduler asks of a driver. `is_current` says whether the session it was sent in is still the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    /// No message.
    None,
    /// Open a session.
    Attach {
        /// Which driver.
        device: u8,
        /// Epoch of the sender.
        epoch: u8,
        /// What its journal knows of the ledger, so that the driver finds out when that was restored or retired.
        witness: Witness,
    },
    /// Do this.
    Execute {
        /// The attempt.
        key: Key,
        /// Epoch of the sender.
        epoch: u8,
        /// Whether its session is the current one.
        is_current: bool,
        /// Digest of the arguments.
        digest: u8,
    },
    /// Forbid this step.
    VoidStep {
        /// The step.
        step: u8,
        /// Epoch of the sender.
        epoch: u8,
        /// Whether its session is the current one.
        is_current: bool,
    },
    /// A person's verdict.
    Resolve {
        /// The attempt in doubt.
        key: Key,
        /// Epoch of the sender.
        epoch: u8,
        /// Whether its session is the current one.
        is_current: bool,
        /// The verdict.
        verdict: Verdict,
    },
}

/// What a journal knows of ledger 0; all zero where no ledger fault can happen (REL-14, row 18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Witness {
    /// Its identity; 0 before the first contact.
    pub ledger: u8,
    /// The last record that the journal has heard of.
    pub seen: u8,
    /// Retired ledgers, as a set.
    pub retired: u8,
}

/// What a driver answers. An answer belongs to one call on one ordered connection: it arrives with the call, or is lost
/// with it; the scheduler makes the next call to this driver only after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The session is open.
    Attached {
        /// Identity of the ledger.
        ledger: u8,
        /// The attempts that are not closed.
        inventory: Keys,
    },
    /// ACCEPTED, or known.
    Promised(Key),
    /// Not promised and not recorded, for good.
    NotPromised(Key),
    /// The step has its tombstone.
    Void(u8),
    /// An attempt of the step is live or had an effect.
    NotVoid(u8),
    /// What became of a doubt.
    Resolved(Key, AttemptState),
}

/// What a person says of a doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// It happened.
    Done,
    /// It did not happen.
    NotDone,
    /// The sample is lost.
    Scrapped,
}

impl Message {
    /// The driver that it goes to.
    pub fn device(&self) -> usize {
        match self {
            Message::None => 0,
            Message::Attach { device, .. } => usize::from(*device),
            Message::Execute { key, .. } | Message::Resolve { key, .. } => key.device(),
            Message::VoidStep { step, .. } => device_of(*step),
        }
    }

    /// Epoch of the sender.
    pub fn epoch(&self) -> u8 {
        match self {
            Message::None => 0,
            Message::Attach { epoch, .. }
            | Message::Execute { epoch, .. }
            | Message::VoidStep { epoch, .. }
            | Message::Resolve { epoch, .. } => *epoch,
        }
    }

    /// Whether its session is the current one; Attach has none.
    pub fn is_current(&self) -> bool {
        match self {
            Message::None | Message::Attach { .. } => false,
            Message::Execute { is_current, .. }
            | Message::VoidStep { is_current, .. }
            | Message::Resolve { is_current, .. } => *is_current,
        }
    }

    fn end_session(&mut self, of: usize) {
        if self.device() != of {
            return;
        }
        if let Message::Execute { is_current, .. }
        | Message::VoidStep { is_current, .. }
        | Message::Resolve { is_current, .. } = self
        {
            *is_current = false;
        }
    }
}

/// Messages in flight, sorted, so that equal sets are equal states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    messages: [Message; MOST],
    room: u8,
}

impl Network {
    /// An empty network with room for so many messages.
    pub fn new(room: u8) -> Network {
        Network { messages: [Message::None; MOST], room: room.min(MOST as u8) }
    }

    /// The messages.
    pub fn iter(&self) -> impl Iterator<Item = Message> + '_ {
        self.messages.iter().copied().filter(|message| *message != Message::None)
    }

    /// Whether one more may be sent.
    pub fn has_room(&self) -> bool {
        self.iter().count() < usize::from(self.room)
    }

    /// Whether such a message is in flight.
    pub fn has(&self, wanted: impl Fn(&Message) -> bool) -> bool {
        self.iter().any(|message| wanted(&message))
    }

    /// Sends a message; one for which there is no room, or which is in flight already, is lost.
    pub fn send(&mut self, message: Message) {
        if self.has_room() && !self.has(|other| *other == message) {
            let free = self.messages.iter().position(|slot| *slot == Message::None).expect("there is room");
            self.messages[free] = message;
            self.messages.sort_unstable();
        }
    }

    /// Takes a message out.
    pub fn remove(&mut self, message: Message) {
        if let Some(slot) = self.messages.iter_mut().find(|slot| **slot == message) {
            *slot = Message::None;
            self.messages.sort_unstable();
        }
    }

    /// The process of a driver ends: what is on its connections ends with it.
    pub fn disconnect(&mut self, device: usize) {
        let gone = |slot: &&mut Message| **slot != Message::None && slot.device() == device;
        self.messages.iter_mut().filter(gone).for_each(|slot| *slot = Message::None);
        self.messages.sort_unstable();
    }

    /// No session with this driver is current any more.
    pub fn end_sessions(&mut self, device: usize) {
        self.messages.iter_mut().for_each(|message| message.end_session(device));
        self.deduplicate();
    }

    /// Two messages that differed by their session only are one.
    fn deduplicate(&mut self) {
        self.messages.sort_unstable();
        for at in 1..MOST {
            if self.messages[at] == self.messages[at - 1] {
                self.messages[at - 1] = Message::None;
            }
        }
        self.messages.sort_unstable();
    }
}
