//! Where the samples are.

use ppu_proto::lab::v1::{GetLabResponse, Sample};

use super::words::Icon;

/// The samples of the lab.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplesView {
    /// Counts, such as "14 fresh · 3 in a run".
    pub counts: String,
    /// Every sample, by id.
    pub cells: Vec<SampleView>,
}

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleView {
    /// Its id.
    pub id: String,
    /// Where it is, or that nobody knows.
    pub position: String,
    /// Run that uses it; empty for none.
    pub run: String,
    /// "fresh", "in a run", "used" or "in doubt".
    pub word: &'static str,
    /// Class for the style sheet.
    pub class: &'static str,
    /// Shape that goes with the word.
    pub svg: &'static str,
}

/// The samples as they are shown.
pub fn samples(lab: &GetLabResponse) -> SamplesView {
    let cells: Vec<SampleView> = lab.samples.iter().map(cell).collect();
    let mut counts = Vec::new();
    for word in ["fresh", "in a run", "used", "in doubt"] {
        let count = cells.iter().filter(|cell| cell.word == word).count();
        if count > 0 {
            counts.push(format!("{count} {word}"));
        }
    }
    SamplesView { counts: counts.join(" · "), cells }
}

fn cell(sample: &Sample) -> SampleView {
    let (word, class, icon) = match sample {
        Sample { in_doubt: true, .. } => ("in doubt", "alarm", Icon::Question),
        Sample { run, .. } if !run.is_empty() => ("in a run", "active", Icon::Play),
        Sample { used: true, .. } => ("used", "used", Icon::Check),
        _ => ("fresh", "fresh", Icon::Circle),
    };
    SampleView {
        id: sample.id.clone(),
        position: if sample.position.is_empty() { "position unknown".into() } else { sample.position.clone() },
        run: sample.run.clone(),
        word,
        class,
        svg: icon.svg(),
    }
}
