//! Points in time in a page: the text is right when the page is rendered, and the script keeps it right.

use std::borrow::Borrow;

use super::format::span;

/// A value that has not been refreshed for this long is shown greyed, in milliseconds: drivers report about once a second.
pub const STALE_AFTER_MS: i64 = 10_000;

/// Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct When(pub i64);

impl When {
    /// The time if there is one; the wire writes 0 for none.
    pub fn some(milliseconds: i64) -> Option<Self> {
        (milliseconds > 0).then_some(Self(milliseconds))
    }

    /// How long ago it was, as HTML. Stale ages carry a class of their own.
    pub fn ago(&self, now_ms: impl Borrow<i64>) -> String {
        let age = now_ms.borrow() - self.0;
        let class = if age > STALE_AFTER_MS { "age old" } else { "age" };
        format!("<time class=\"{class}\" data-age=\"{}\">{}</time>", self.0, span(age))
    }

    /// How long it lasts already, as HTML, without the notion of staleness.
    pub fn lasting(&self, now_ms: impl Borrow<i64>) -> String {
        format!("<time class=\"num\" data-age=\"{}\">{}</time>", self.0, span(now_ms.borrow() - self.0))
    }

    /// How long until then, as HTML; "any moment" when it has passed.
    pub fn left(&self, now_ms: impl Borrow<i64>) -> String {
        let left = self.0 - now_ms.borrow();
        let text = if left > 0 { span(left) } else { "any moment".into() };
        format!("<time class=\"num\" data-left=\"{}\">{text}</time>", self.0)
    }

    /// The time of day as HTML: UTC from here, the reader's own time once the script runs.
    pub fn clock(&self) -> String {
        format!("<time class=\"num\" data-clock=\"{}\" title=\"UTC\">{}</time>", self.0, self.time_of_day())
    }

    /// The time of day in UTC, `14:02:11`.
    pub fn time_of_day(&self) -> String {
        let seconds = self.0.div_euclid(1000).rem_euclid(86_400);
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_tell_when_they_are_stale() {
        let when = When(1_000_000);
        assert_eq!(when.ago(1_003_000), "<time class=\"age\" data-age=\"1000000\">3.0 s</time>");
        assert!(when.ago(1_020_000).contains("age old"));
    }

    #[test]
    fn the_clock_is_utc() {
        assert_eq!(When(1_700_000_000_000).time_of_day(), "22:13:20");
    }
}
