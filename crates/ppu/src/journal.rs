//! `ppu journal`: verify, show, export and repair the record of a lab, without its scheduler.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use ppu_engine::{Event, Fact};
use ppu_journal::{Content, JournalError, Record, RepairError, Subject};

use crate::exit;

/// What can be done with a journal. The scheduler need not run; all but `repair` may also be used while it does.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalVerb {
    /// Reads and checks everything: files, hash chain, every record, a replay, and whether raw data are there.
    Verify {
        #[command(flatten)]
        place: Place,
    },
    /// Prints records as lines.
    Show {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        which: Which,
    },
    /// Writes every record as one line of JSON.
    Export {
        #[command(flatten)]
        place: Place,
        /// File to write; stdout if left out.
        #[arg(long)]
        to: Option<PathBuf>,
    },
    /// Makes a new log out of what is good of a damaged one. The old one is kept; what was open is in doubt, and the lab is
    /// paused until a person resumes it.
    Repair {
        #[command(flatten)]
        place: Place,
        /// Why; it goes into the record.
        #[arg(long)]
        reason: String,
        /// Who; it goes into the record.
        #[arg(long)]
        who: String,
    },
}

/// Where a journal lies.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Data folder of the lab.
    #[arg(long, default_value = "ppu-data", env = "PPU_DATA")]
    data: PathBuf,
}

/// Which records are shown.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// First sequence.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Most records.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Only what concerns this run.
    #[arg(long)]
    run: Option<String>,
    /// Only what concerns this device.
    #[arg(long)]
    device: Option<String>,
    /// Only what concerns this sample by name.
    #[arg(long)]
    sample: Option<String>,
}

/// Runs one of them; the exit code of one that did its work.
pub(crate) fn run(verb: JournalVerb) -> anyhow::Result<u8> {
    match verb {
        JournalVerb::Verify { place } => verify(&place),
        JournalVerb::Show { place, which } => show(&place, &which),
        JournalVerb::Export { place, to } => export(&place, to.as_deref()),
        JournalVerb::Repair { place, reason, who } => repair(&place, &who, &reason),
    }
}

impl Place {
    /// The scheduler's folder below that of the lab; a folder that holds a journal itself is taken as it is.
    fn folder(&self) -> PathBuf {
        if self.data.join("journal").is_dir() { self.data.clone() } else { self.data.join("scheduler") }
    }
}

/// 0 if nothing is wrong, 1 if a scheduler can go on and yet something is, 4 if it cannot.
#[expect(clippy::print_stdout, reason = "the report is the data that was asked for")]
fn verify(place: &Place) -> anyhow::Result<u8> {
    let report = ppu_journal::verify(&place.folder()).map_err(coded)?;
    print!("{report}");
    let (word, code) = match (report.is_sound(), report.can_be_opened()) {
        (true, _) => ("sound", 0),
        (false, true) => ("can be opened", exit::FAILURE),
        (false, false) => ("damaged: `ppu journal repair` makes a new log out of what is good", exit::INVALID),
    };
    println!("verdict    {word}");
    Ok(code)
}

fn show(place: &Place, which: &Which) -> anyhow::Result<u8> {
    let wanted = which.subjects()?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut left = which.limit;
    let mut from = which.from.max(1);
    // In pages, so that a long journal is never in memory as a whole.
    while left > 0 {
        let page = ppu_journal::show(&place.folder(), from, 1000).map_err(coded)?;
        let Some(last) = page.last() else { break };
        from = last.sequence + 1;
        let matching = page.iter().filter(|record| concerns(record, &wanted));
        for record in matching.take(left) {
            writeln!(out, "{}", line(record))?;
            left -= 1;
        }
    }
    out.flush()?;
    Ok(0)
}

impl Which {
    fn subjects(&self) -> anyhow::Result<Vec<Subject>> {
        let mut subjects = Vec::new();
        if let Some(run) = &self.run {
            subjects.push(Subject::Run(ppu_core::RunId::new(run.as_str()).context("--run")?));
        }
        if let Some(device) = &self.device {
            subjects.push(Subject::Device(ppu_core::DeviceId::new(device.as_str()).context("--device")?));
        }
        if let Some(sample) = &self.sample {
            subjects.push(Subject::Sample(ppu_core::SampleId::new(sample.as_str()).context("--sample")?));
        }
        Ok(subjects)
    }
}

/// Whether a record names all that is wanted.
fn concerns(record: &Record, wanted: &[Subject]) -> bool {
    let Content::Fact(fact) = &record.content else { return wanted.is_empty() };
    let named = ppu_journal::named(&fact.event);
    wanted.iter().all(|subject| named.contains(subject))
}

/// Sequence, time, actor, what happened.
fn line(record: &Record) -> String {
    let Record { sequence, actor, content, .. } = record;
    let (at_ms, what) = match content {
        Content::Fact(fact) => (fact.at_ms, said(fact)),
        Content::TailCut(cut) => (
            cut.at_ms,
            format!("tail_cut: {} bytes that were never acknowledged, saved as {}", cut.bytes, cut.saved_as),
        ),
        Content::Repaired(repaired) => {
            let what = format!("{} records kept; {}; old log in {}", repaired.kept, repaired.cut, repaired.kept_as);
            (repaired.at_ms, format!("repaired: {what}; {}", repaired.reason))
        }
    };
    format!("{sequence:>8}  {}  {actor:<10}  {what}", time(at_ms))
}

/// The event's name, and its fields as JSON: no field is left out, and a new event needs no new code.
fn said(fact: &Fact) -> String {
    let value = serde_json::to_value::<&Event>(&fact.event).unwrap_or_default();
    match &value {
        serde_json::Value::Object(named) if named.len() == 1 => {
            named.iter().map(|(name, fields)| format!("{name} {fields}")).collect()
        }
        other => other.to_string(),
    }
}

/// Date and time in UTC. Civil date from days by Hinnant's algorithm (days_from_civil, inverted).
fn time(unix_ms: i64) -> String {
    let (days, ms) = (unix_ms.div_euclid(86_400_000), unix_ms.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

fn export(place: &Place, to: Option<&Path>) -> anyhow::Result<u8> {
    let count = match to {
        Some(path) => {
            let mut file = std::fs::File::create(path).with_context(|| format!("{} cannot be made", path.display()))?;
            ppu_journal::export(&place.folder(), &mut file)
        }
        None => ppu_journal::export(&place.folder(), &mut std::io::stdout().lock()),
    };
    eprintln!("{} records", count.map_err(coded)?);
    Ok(0)
}

#[expect(clippy::print_stdout, reason = "the report is the data that was asked for")]
fn repair(place: &Place, who: &str, reason: &str) -> anyhow::Result<u8> {
    let report = ppu_journal::repair(&place.folder(), who, reason).map_err(|error| match error {
        RepairError::Journal(error) => coded(error),
        RepairError::NothingToRepair | RepairError::Unsigned => exit::coded(exit::DENIED, error.to_string()),
        other => other.into(),
    })?;
    println!("kept       {} records", report.kept);
    println!("cut        {}", report.cut);
    println!("old log    {}", report.kept_as.display());
    println!("new log    {}", report.log);
    println!("epoch      {}", report.epoch);
    for key in &report.in_doubt {
        println!("in doubt   {key}");
    }
    println!("The lab is paused. Inspect samples and instruments, resolve what is in doubt, then `ppu resume`.");
    Ok(0)
}

fn coded(error: JournalError) -> anyhow::Error {
    let code = match &error {
        JournalError::InUse(_) => exit::DENIED,
        JournalError::Corrupt { .. } | JournalError::TailLost { .. } | JournalError::Record { .. } => exit::INVALID,
        JournalError::Read(ppu_store::ReadError::NotFound(_)) => exit::NOT_FOUND,
        _ => return error.into(),
    };
    exit::coded(code, exit::sentence(&error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_civil() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(time(1_795_379_696_789), "2026-11-22T20:34:56.789Z");
        assert_eq!(time(-1), "1969-12-31T23:59:59.999Z");
    }
}
