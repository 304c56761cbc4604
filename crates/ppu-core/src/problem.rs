//! What is wrong with something that a person wrote, where, and what to do about it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One mistake in a file, a plan or a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file it stands in, as the person named it.
    pub file: String,
    /// The line, counted from 1, where it is known.
    pub line: Option<usize>,
    /// What is concerned, such as `step "anneal"`; empty for the file as a whole.
    pub subject: String,
    /// The field of it, such as `args.temperature_c`; empty when no single field is to blame.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub cure: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if !self.subject.is_empty() {
            write!(f, "{}", self.subject)?;
            if !self.field.is_empty() {
                write!(f, ", {}", self.field)?;
            }
            f.write_str(": ")?;
        } else if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        if !self.cure.is_empty() {
            write!(f, "\n  help: {}", self.cure)?;
        }
        Ok(())
    }
}

/// All that is wrong with one submission; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl Problems {
    /// `Ok(value)` where nothing was found.
    pub fn or<T>(found: Vec<Problem>, value: T) -> Result<T, Problems> {
        if found.is_empty() { Ok(value) } else { Err(Problems(found)) }
    }
}

/// A file under inspection: its name and text, from which places are found.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The name to show.
    pub file: &'a str,
    /// The text.
    pub text: &'a str,
}

impl<'a> Source<'a> {
    /// The line of a byte offset, counted from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// A problem in this file.
    pub fn problem(
        &self,
        offset: Option<usize>,
        subject: impl Into<String>,
        field: impl Into<String>,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) -> Problem {
        Problem {
            file: self.file.to_owned(),
            line: offset.map(|offset| self.line(offset)),
            subject: subject.into(),
            field: field.into(),
            message: message.into(),
            cure: cure.into(),
        }
    }

    /// Reads TOML into `T`; a syntax or type error becomes one problem at its line.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, Problems> {
        toml::from_str(self.text).map_err(|error| {
            let message = error.message().lines().collect::<Vec<_>>().join(" ");
            let cure = if message.contains("unknown field") {
                "remove the key or correct its spelling; units belong to the key, as in `anneal_temperature_c`"
            } else if message.contains("missing field") {
                "add the key that is named"
            } else {
                "the file must be TOML 1.0 with the keys that the README shows"
            };
            Problems(vec![self.problem(error.span().map(|span| span.start), "", "", message, cure)])
        })
    }
}

/// The known name nearest to a mistyped one, if it is near enough to be worth a suggestion.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}
