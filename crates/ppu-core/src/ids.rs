//! Identifiers: one type a noun, so that a sample can never be passed where a position is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {noun}: {reason}")]
pub struct IdError {
    /// The offending text, cut at 60 characters.
    pub text: String,
    /// What it should have named.
    pub noun: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

fn check(text: &str, noun: &'static str, extra: &str) -> Result<(), IdError> {
    let refuse = |reason| Err(IdError { text: text.chars().take(60).collect(), noun, reason });
    if text.is_empty() {
        return refuse("it is empty");
    }
    if text.len() > 128 {
        return refuse("it is longer than 128 bytes");
    }
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c) || extra.contains(c)) {
        return refuse("only letters, digits, '.', '_' and '-' are allowed");
    }
    Ok(())
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $noun:literal, $extra:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks a text; letters, digits, `.`, `_` and `-` up to 128 bytes.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                check(&text, $noun, $extra)?;
                Ok(Self(text))
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

identifier!(
    /// One closed-loop search.
    CampaignId, "campaign id", ""
);
identifier!(
    /// One candidate taken to one fidelity.
    TrialId, "trial id", ""
);
identifier!(
    /// One attempt at a plan.
    RunId, "run id", ""
);
identifier!(
    /// An addressable machine of the lab.
    DeviceId, "device id", ""
);
identifier!(
    /// A piece of matter that is tracked.
    SampleId, "sample id", ""
);
identifier!(
    /// A place where one sample can stand, such as `rack.3` or `furnace_a.boat`.
    PositionId, "position id", ""
);
identifier!(
    /// A step, unique in the lab and never reused: `<run>/<step name>`.
    StepId, "step id", "/"
);

impl StepId {
    /// The id of the step called `name` in `run`.
    pub fn of(run: &RunId, name: &str) -> Result<Self, IdError> {
        check(name, "step name", "")?;
        Self::new(format!("{run}/{name}"))
    }

    /// The run that the step belongs to, and its name in the plan.
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or(("", &self.0))
    }
}

/// The id of one command: a step and the number of the attempt at it, starting at 1. Written `<run>/<step>#<attempt>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommandKey {
    /// The step that this command attempts.
    pub step: StepId,
    /// Which attempt it is, 1 for the first.
    pub attempt: u32,
}

impl fmt::Display for CommandKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}#{}", self.step, self.attempt))
    }
}

impl FromStr for CommandKey {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = |reason| IdError { text: text.chars().take(60).collect(), noun: "command key", reason };
        let (step, attempt) = text.rsplit_once('#').ok_or_else(|| bad("it must read <run>/<step>#<attempt>"))?;
        let attempt = attempt.parse().map_err(|_| bad("the attempt after '#' is not a number"))?;
        if attempt == 0 {
            return Err(bad("attempts count from 1"));
        }
        Ok(Self { step: StepId::new(step)?, attempt })
    }
}

impl TryFrom<String> for CommandKey {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<CommandKey> for String {
    fn from(key: CommandKey) -> String {
        key.to_string()
    }
}

/// BLAKE3 of an artifact's bytes: its name in every store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ArtifactHash([u8; 32]);

impl ArtifactHash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The 32 bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A hash received as bytes; exactly 32 are needed.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, IdError> {
        bytes.try_into().map(Self).map_err(|_| IdError {
            text: format!("{} bytes", bytes.len()),
            noun: "artifact hash",
            reason: "a BLAKE3 hash has 32 bytes",
        })
    }
}

impl fmt::Display for ArtifactHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ArtifactHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArtifactHash({self})")
    }
}

impl TryFrom<String> for ArtifactHash {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        let hash = blake3::Hash::from_hex(&text).map_err(|_| IdError {
            text: text.chars().take(60).collect(),
            noun: "artifact hash",
            reason: "it is not 64 hexadecimal digits",
        })?;
        Ok(Self(*hash.as_bytes()))
    }
}

impl From<ArtifactHash> for String {
    fn from(hash: ArtifactHash) -> String {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_key_survives_the_round_trip_through_text() {
        let run = RunId::new("c1-t003-r1").unwrap();
        let key = CommandKey { step: StepId::of(&run, "anneal").unwrap(), attempt: 2 };
        assert_eq!(key.to_string(), "c1-t003-r1/anneal#2");
        assert_eq!(key.to_string().parse::<CommandKey>().unwrap(), key);
        assert_eq!(key.step.parts(), ("c1-t003-r1", "anneal"));
    }

    #[test]
    fn bad_identifiers_say_what_is_wrong() {
        assert_eq!(
            SampleId::new("S 1").unwrap_err().to_string(),
            "`S 1` is not a sample id: only letters, digits, '.', '_' and '-' are allowed"
        );
        assert!("a/b#0".parse::<CommandKey>().is_err());
        assert!(StepId::of(&RunId::new("r").unwrap(), "a/b").is_err());
    }
}
