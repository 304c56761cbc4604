//! What people do to the world without any instrument.

use serde_json::json;

use super::state::{Seat, Spot};
use super::{Cause, Outcome, World};

/// Why a person cannot move a sample so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ByHandError {
    /// There is no such sample.
    #[error("there is no sample `{sample}`; there are: {}", known.join(", "))]
    NoSample {
        /// What was asked for.
        sample: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// There is no such position.
    #[error("there is no position `{position}`; there are: {}", known.join(", "))]
    NoPosition {
        /// What was asked for.
        position: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// Something stands there.
    #[error("`{occupant}` stands at `{position}`")]
    Occupied {
        /// The position.
        position: String,
        /// What stands there.
        occupant: String,
    },
    /// The gripper holds it.
    #[error("the gripper holds `{0}`")]
    Held(String),
}

impl World {
    /// A person puts a sample somewhere else; no instrument is told. Stands in the ledger as what a person did.
    pub fn move_by_hand(&mut self, sample: &str, position: &str) -> Result<(), ByHandError> {
        let Some(from) = self.samples.get(sample).map(|sample| sample.spot.clone()) else {
            let known = self.samples.keys().cloned().collect();
            return Err(ByHandError::NoSample { sample: sample.to_owned(), known });
        };
        if from == Spot::Gripper {
            return Err(ByHandError::Held(sample.to_owned()));
        }
        match self.places.get(position) {
            None => {
                let known = self.positions();
                return Err(ByHandError::NoPosition { position: position.to_owned(), known });
            }
            Some(place) => {
                if let Some(occupant) = &place.occupant {
                    let (position, occupant) = (position.to_owned(), occupant.clone());
                    return Err(ByHandError::Occupied { position, occupant });
                }
            }
        }
        let before = self.state_hash();
        // The film lives on at its old place until this moment.
        self.bring_up(sample);
        if let Spot::At(old) = &from
            && let Some(place) = self.places.get_mut(old)
        {
            place.occupant = None;
        }
        if let Some(place) = self.places.get_mut(position) {
            place.occupant = Some(sample.to_owned());
        }
        if let Some(moved) = self.samples.get_mut(sample) {
            moved.spot = Spot::At(position.to_owned());
            moved.seat = Seat::default();
        }
        let cause = Cause { device: "person".to_owned(), frame: String::new(), command_id: None };
        let requested = json!({"sample": sample, "position": position});
        let realised = json!({"from": from.to_string(), "to": position, "object": sample});
        self.record_now(&cause, "move_by_hand", requested, realised, Outcome::Done, before);
        Ok(())
    }
}
