//! The Universal Automation Interface of Malvern Panalytical (manual 4023 002 89451): `@WORD@KEY=VALUE@END`.
//!
//! There is no length and there are no request numbers, and TCP may split and join messages: a message ends at `@END`
//! and nowhere else. Every request has a connection of its own, so an answer that comes late finds nobody.

use std::time::Duration;

use ppu_driver::transport::{Connect, Port};

use crate::dialogue::{self, Unheard};

/// End of every message.
const END: &[u8] = b"@END";
/// How long an answer may take.
const REPLY_WITHIN: Duration = Duration::from_secs(3);
/// The longest answer that is read.
const MESSAGE_LIMIT: usize = 4096;
/// Events that are passed over while the answer is awaited (SER-4).
const PASSED_OVER: u32 = 8;
/// Attempts at a question; requests that act have one.
const ATTEMPTS: u32 = 3;

/// A message in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    parts: Vec<String>,
}

impl Message {
    /// Splits a message that ends with `@END`. Delimiters differ between sources: `@` and line ends both count.
    pub(super) fn parse(bytes: &[u8]) -> Option<Message> {
        let text = std::str::from_utf8(bytes.strip_suffix(END)?).ok()?;
        let parts: Vec<String> =
            text.split(['@', '\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
        (!parts.is_empty() && !text.contains('\u{fffd}')).then_some(Message { parts })
    }

    /// Whether the message names another verb or sample than the request that it should answer. What it does not name it
    /// does not contradict: not every version repeats them.
    pub(super) fn contradicts(&self, request: &str) -> bool {
        const VERBS: [&str; 3] = ["ADD", "MEASURE", "REMOVE"];
        let Some(asked) = Message::parse(request.as_bytes()) else { return false };
        let other_verb = self.parts.iter().any(|part| VERBS.contains(&part.as_str()) && !asked.parts.contains(part));
        let other_sample = matches!(
            (self.field("SAMPLE_ID"), asked.field("SAMPLE_ID")),
            (Some(answered), Some(wanted)) if answered != wanted
        );
        other_verb || other_sample
    }

    /// The value of a field.
    pub(super) fn field(&self, key: &str) -> Option<&str> {
        let fields = self.parts.iter().filter_map(|part| part.split_once('='));
        fields
            .filter(|(name, _)| name.trim().split_ascii_whitespace().last() == Some(key))
            .map(|(_, value)| value.trim())
            .next()
    }
}

impl std::fmt::Display for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.parts.join(" "))
    }
}

/// The interface of one instrument.
#[derive(Debug)]
pub(super) struct Uai {
    address: String,
}

impl Uai {
    pub(super) fn new(address: &str) -> Self {
        Self { address: address.to_owned() }
    }

    /// Sends a request once and waits for the message that has this field.
    pub(super) async fn request(&self, request: &str, field: &str) -> Result<Message, Unheard> {
        let mut port = Port::new(Connect::Tcp { address: self.address.clone() });
        port.open().await?;
        let until = dialogue::until(END);
        let (mut bytes, _) = dialogue::ask(&mut port, request.as_bytes(), MESSAGE_LIMIT, REPLY_WITHIN, until).await?;
        for _ in 0..PASSED_OVER {
            let garbled = || Unheard::Garbled(format!("`{request}` was answered with `{}`", bytes.escape_ascii()));
            let message = Message::parse(&bytes).ok_or_else(garbled)?;
            if message.field(field).is_some() {
                return Ok(message);
            }
            tracing::debug!(%message, "an event of the diffractometer");
            bytes = port.line()?.read_frame(MESSAGE_LIMIT, REPLY_WITHIN, dialogue::until(END)).await?;
        }
        Err(Unheard::Garbled(format!("`{request}` was answered with events only")))
    }

    /// A question that changes nothing: asked again when the answer is missing, damaged, or not one of `known`.
    pub(super) async fn query(&self, request: &str, field: &str, known: &[&str]) -> Result<String, Unheard> {
        let mut attempt = 1;
        loop {
            let outcome = self.request(request, field).await.and_then(|message| {
                let value = message.field(field).unwrap_or_default().to_owned();
                let odd = || Unheard::Garbled(format!("`{request}` was answered with `{message}`"));
                if known.is_empty() || known.contains(&value.as_str()) { Ok(value) } else { Err(odd()) }
            });
            match outcome {
                Err(unheard) if attempt < ATTEMPTS => tracing::debug!(?unheard, request, "asking again"),
                decided => return decided,
            }
            attempt += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_stands_around_them() {
        let message = Message::parse(b"@STATUS_REQUEST@UNIT=xrd@READY=yes@END").unwrap();
        assert_eq!(message.field("READY"), Some("yes"));
        assert_eq!(message.field("UNIT"), Some("xrd"));
        assert_eq!(message.field("EADY"), None);
        let lines = Message::parse(b"STATUS\nTIME_STAMP=2019-07-01/12:00\nSYSTEM=remote\n@END").unwrap();
        assert_eq!(lines.field("SYSTEM"), Some("remote"));
        let refusal = Message::parse(b"@SAMPLE@ADD@STATUS=fatal: no such application@END").unwrap();
        assert_eq!(refusal.field("STATUS"), Some("fatal: no such application"));
    }

    #[test]
    fn an_answer_to_another_request_is_noticed() {
        let request = "@SAMPLE@MEASURE@SAMPLE_ID=S01@APPLICATION=fast@END";
        let contradicts = |answer: &str| Message::parse(answer.as_bytes()).unwrap().contradicts(request);
        assert!(!contradicts("@SAMPLE@MEASURE@SAMPLE_ID=S01@STATUS=normal@END"));
        assert!(!contradicts("@STATUS=normal@END"));
        assert!(contradicts("@SAMPLE@ADD@SAMPLE_ID=S01@STATUS=normal@END"));
        assert!(contradicts("@SAMPLE@MEASURE@SAMPLE_ID=S02@STATUS=normal@END"));
    }

    #[test]
    fn a_message_without_its_end_is_no_message() {
        assert_eq!(Message::parse(b"@STATUS_REQUEST@READY=yes@EN"), None);
        assert_eq!(Message::parse(b"@END"), None);
        assert_eq!(Message::parse(b"@READY=\xFFyes@END"), None);
    }
}
