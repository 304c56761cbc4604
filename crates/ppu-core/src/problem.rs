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
            // serde puts the key in question between back quotes first, and the keys that exist after it.
            let mut quoted = message.split('`').skip(1).step_by(2);
            let offset = error.span().map(|span| span.start);
            let (field, cure) = if message.contains("unknown field") || message.contains("unknown variant") {
                let wrong = quoted.next().unwrap_or_default();
                let field = if message.contains("variant") { self.key_at(offset) } else { wrong };
                let cure = match nearest(wrong, quoted.clone()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("write one of: {}", quoted.collect::<Vec<_>>().join(", ")),
                };
                (field, cure)
            } else if message.contains("missing field") {
                let field = quoted.next().unwrap_or_default();
                (field, format!("add `{field} = …`"))
            } else if message.contains("invalid type") {
                (self.key_at(offset), "write a value of the type that is expected".to_owned())
            } else {
                ("", "the file must be TOML 1.0 with the keys that the README shows".to_owned())
            };
            let subject = offset.and_then(|offset| self.table_at(offset)).unwrap_or_default();
            Problems(vec![self.problem(offset, subject, field, message.as_str(), cure)])
        })
    }

    /// The key of the line of an offset; empty where the line has none.
    fn key_at(&self, offset: Option<usize>) -> &'a str {
        let line = offset.and_then(|offset| self.text.lines().nth(self.line(offset) - 1));
        line.and_then(|line| line.split_once('=')).map_or("", |(key, _)| key.trim())
    }

    /// The table around an offset as people call it, such as `step "anneal"`; `None` above the first table.
    fn table_at(&self, offset: usize) -> Option<String> {
        let is_header = |line: &str| line.trim_start().starts_with('[');
        let line = self.line(offset);
        let (at, header) = self.text.lines().enumerate().take(line).filter(|(_, line)| is_header(line)).last()?;
        let kind = header.trim().trim_matches(['[', ']']);
        let keys = self.text.lines().skip(at + 1).take_while(|line| !is_header(line));
        let name = keys.filter_map(|line| line.split_once('=')).find_map(|(key, value)| {
            let value = value.trim().strip_prefix('"')?.split('"').next()?;
            matches!(key.trim(), "name" | "id").then_some(value)
        });
        Some(name.map_or_else(|| kind.to_owned(), |name| format!("{kind} \"{name}\"")))
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
