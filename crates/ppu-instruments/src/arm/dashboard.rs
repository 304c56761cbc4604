//! The dashboard server of Universal Robots: one line for each command and each reply.
//!
//! Replies carry no number, so a connection on which anything odd came is dropped and a new one is made: a late reply
//! can then never be taken for the answer to another question.

use std::time::Duration;

use ppu_driver::transport::{Connect, Port};

use crate::dialogue::{self, Unheard};

/// How long a reply may take; loading a program from the controller's disk takes a second or two.
const REPLY_WITHIN: Duration = Duration::from_secs(3);
const LINE_LIMIT: usize = 1024;
const GREETING: &str = "Connected: Universal Robots Dashboard Server";
/// Attempts at a question; commands that move the arm have one.
const ATTEMPTS: u32 = 3;

/// The dashboard.
#[derive(Debug)]
pub(super) struct Dashboard {
    port: Port,
}

impl Dashboard {
    pub(super) fn new(connect: Connect) -> Self {
        Self { port: Port::new(connect) }
    }

    /// Opens the connection if it is closed and hears the greeting.
    pub(super) async fn open(&mut self) -> Result<(), Unheard> {
        if self.port.is_open() {
            return Ok(());
        }
        let line = self.port.open().await?;
        let greeting = line.read_until(b"\n", LINE_LIMIT, REPLY_WITHIN).await;
        let heard = greeting.map_err(Unheard::Line).and_then(|bytes| match dialogue::printable(&bytes)? {
            text if text.starts_with(GREETING) => Ok(()),
            other => Err(Unheard::Garbled(format!("instead of a dashboard, `{}` answers", other.escape_debug()))),
        });
        if heard.is_err() {
            self.port.close();
        }
        heard
    }

    /// One command whose loss must be known: it is sent once, on the open connection.
    pub(super) async fn command(&mut self, command: &str) -> Result<String, Unheard> {
        let question = format!("{command}\n");
        let until = dialogue::until(b"\n");
        let heard = dialogue::ask(&mut self.port, question.as_bytes(), LINE_LIMIT, REPLY_WITHIN, until).await;
        let reply = heard.and_then(|(bytes, unasked)| {
            if !unasked.is_empty() {
                let unasked = unasked.escape_ascii();
                return Err(Unheard::Garbled(format!("`{unasked}` came unasked, so the next reply may be older too")));
            }
            Ok(dialogue::printable(&bytes)?.trim().to_owned())
        });
        if reply.is_err() {
            self.port.close();
        }
        reply
    }

    /// A question that moves nothing: asked again on a new connection when the answer is missing or odd. `read` turns
    /// the reply into a value and refuses what is no answer.
    pub(super) async fn query<T>(&mut self, question: &str, read: impl Fn(&str) -> Option<T>) -> Result<T, Unheard> {
        let mut attempt = 1;
        loop {
            let outcome = match self.open().await {
                Ok(()) => self.command(question).await,
                Err(unheard) => Err(unheard),
            };
            let outcome = outcome.and_then(|reply| {
                let odd = || Unheard::Garbled(format!("`{question}` was answered with `{}`", reply.escape_debug()));
                read(&reply).ok_or_else(odd)
            });
            match outcome {
                Err(unheard) if attempt < ATTEMPTS => {
                    tracing::debug!(?unheard, question, "asking the dashboard again");
                    self.port.close();
                    attempt += 1;
                }
                Err(unheard) => {
                    self.port.close();
                    return Err(unheard);
                }
                decided => return decided,
            }
        }
    }
}

/// What stands behind a prefix, in replies such as `Robotmode: RUNNING`.
pub(super) fn after(prefix: &str) -> impl Fn(&str) -> Option<String> {
    move |reply| {
        let rest = reply.strip_prefix(prefix)?.trim();
        (!rest.is_empty()).then(|| rest.to_owned())
    }
}

/// `true` or `false` behind a prefix.
pub(super) fn truth(prefix: &str) -> impl Fn(&str) -> Option<bool> {
    move |reply| match reply.strip_prefix(prefix)?.trim() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// State of the program player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Player {
    Stopped,
    Playing,
    Paused,
}

/// `STOPPED|PLAYING|PAUSED <program>`.
pub(super) fn player(reply: &str) -> Option<Player> {
    match reply.split_ascii_whitespace().next()? {
        "STOPPED" => Some(Player::Stopped),
        "PLAYING" => Some(Player::Playing),
        "PAUSED" => Some(Player::Paused),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_as_published() {
        assert_eq!(after("Robotmode:")("Robotmode: RUNNING").as_deref(), Some("RUNNING"));
        assert_eq!(after("Robotmode:")("Safetystatus: NORMAL"), None);
        assert_eq!(truth("Program running:")("Program running: true"), Some(true));
        assert_eq!(truth("")("false"), Some(false));
        assert_eq!(truth("Program running:")("Program running: tr"), None);
        assert_eq!(player("PLAYING pick_rack_1.urp"), Some(Player::Playing));
        assert_eq!(player("STOPPED"), Some(Player::Stopped));
        assert_eq!(player("Robotmode: RUNNING"), None);
    }
}
