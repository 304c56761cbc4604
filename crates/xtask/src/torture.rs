//! `cargo xtask torture`: everything that tries to make the lab lose or repeat an action. Each torture is a program of its
//! own, which prints its counts and fails on any violation.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::TortureArguments;

/// The arguments that a torture is run with.
type Sizes = fn(&TortureArguments) -> Vec<String>;

/// One torture.
struct Torture {
    name: &'static str,
    /// One line for people.
    what: &'static str,
    /// Arguments of cargo that name the program.
    program: &'static [&'static str],
    sizes: Sizes,
    /// Whether the program writes its counts to the file that `--json` names.
    writes_json: bool,
}

/// Every torture there is.
const REGISTRY: [Torture; 5] = [
    Torture {
        name: "kill",
        what: "kill -9 and SIGSTOP of real processes at random moments of the demo campaign, power losses included",
        program: &["--package", "ppu-tests", "--bin", "torture-kill"],
        sizes: |arguments| {
            [flag(arguments.long), count("--count", arguments.count), seed("--seed", arguments)].concat()
        },
        writes_json: true,
    },
    Torture {
        name: "crash-points",
        what: "the named crash points, each with every class of action",
        program: &["--package", "ppu-simulation", "--bin", "crash-points"],
        sizes: |_| Vec::new(),
        writes_json: false,
    },
    Torture {
        name: "simulation",
        what: "the real scheduler and drivers in one process with simulated network, disk, time and faults",
        program: &["--package", "ppu-simulation", "--bin", "simulation"],
        sizes: |arguments| {
            let stories = arguments.count.unwrap_or(if arguments.long { 20_000 } else { 300 });
            [count("--seeds", Some(stories)), seed("--first", arguments)].concat()
        },
        writes_json: false,
    },
    Torture {
        name: "storage",
        what: "power loss, bit flips and failing disks against log, ledger and artifacts",
        program: &["--package", "ppu-storage-torture"],
        sizes: |arguments| [vec!["all".to_owned()], flag(arguments.long), seed("--seed", arguments)].concat(),
        writes_json: false,
    },
    Torture {
        name: "model",
        what: "the protocol as a model that a machine checks, and its weakened variants",
        program: &["--package", "ppu-model"],
        sizes: |arguments| flag(arguments.long),
        writes_json: false,
    },
];

/// What came of one torture.
#[derive(Debug)]
struct Outcome {
    name: &'static str,
    held: bool,
    seconds: f64,
}

fn flag(long: bool) -> Vec<String> {
    if long { vec!["--long".to_owned()] } else { Vec::new() }
}

fn count(name: &str, count: Option<u32>) -> Vec<String> {
    count.map_or_else(Vec::new, |count| vec![name.to_owned(), count.to_string()])
}

fn seed(name: &str, arguments: &TortureArguments) -> Vec<String> {
    arguments.seed.map_or_else(Vec::new, |seed| vec![name.to_owned(), seed.to_string()])
}

/// The tortures of that name.
fn chosen(name: &str) -> anyhow::Result<Vec<&'static Torture>> {
    let found: Vec<_> = REGISTRY.iter().filter(|torture| name == "all" || torture.name == name).collect();
    if found.is_empty() {
        let known: Vec<_> = REGISTRY.iter().map(|torture| format!("  {:<13} {}", torture.name, torture.what)).collect();
        bail!("there is no torture `{name}`; there are\n{}\n  all           one after the other", known.join("\n"));
    }
    Ok(found)
}

/// Runs the torture of that name, or all of them, and fails on any violation.
pub(crate) fn run(arguments: &TortureArguments) -> anyhow::Result<()> {
    let chosen = chosen(&arguments.name)?;
    let root = xtask::root();
    let results = crate::suite::target_folder(&root)?.join("torture");
    std::fs::create_dir_all(&results).with_context(|| format!("{} cannot be made", results.display()))?;
    // What is tortured as real processes is built first: a program that runs does not wait for a compiler.
    let built =
        Command::new(env!("CARGO")).args(["build", "--release", "--package", "ppu"]).current_dir(&root).status();
    ensure!(built.context("cargo build did not run")?.success(), "the executable does not build");
    let mut outcomes = Vec::new();
    for torture in chosen {
        outcomes.push(torture_one(torture, arguments, &root, &results)?);
    }
    summary(&outcomes);
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.held).map(|outcome| outcome.name).collect();
    ensure!(failed.is_empty(), "violations, see above: {}", failed.join(", "));
    Ok(())
}

/// Runs one, passes its table through and keeps it.
fn torture_one(
    torture: &'static Torture,
    arguments: &TortureArguments,
    root: &Path,
    results: &Path,
) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let file = results.join(format!("{}.json", torture.name));
    let own_counts = results.join(format!("{}.counts.json", torture.name));
    let mut words: Vec<String> = ["run", "--release", "--quiet"].map(str::to_owned).to_vec();
    words.extend(torture.program.iter().map(|word| (*word).to_owned()));
    words.push("--".to_owned());
    words.extend((torture.sizes)(arguments));
    if torture.writes_json {
        // Counts of an earlier run would be believed.
        if own_counts.exists() {
            std::fs::remove_file(&own_counts)?;
        }
        words.extend(["--json".to_owned(), own_counts.display().to_string()]);
    }
    eprintln!("=== {}: {}", torture.name, torture.what);
    let mut child = Command::new(env!("CARGO"))
        .args(&words)
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cargo {} did not run", words.join(" ")))?;
    let output = child.stdout.take().context("the output of the child is piped")?;
    let mut lines = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.context("the output could not be read")?;
        pass_on(&line);
        lines.push(line);
    }
    let status = child.wait().context("the end of the program could not be awaited")?;
    let seconds = began.elapsed().as_secs_f64();
    let counts = std::fs::read(&own_counts).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let kept = json!({
        "torture": torture.name,
        "command": format!("cargo {}", words.join(" ")),
        "held": status.success(),
        "seconds": seconds,
        "table": lines,
        "counts": counts,
    });
    let text = serde_json::to_string_pretty(&kept).context("plain values always serialise")?;
    std::fs::write(&file, text + "\n").with_context(|| format!("{} cannot be written", file.display()))?;
    eprintln!("written to {}", file.display());
    Ok(Outcome { name: torture.name, held: status.success(), seconds })
}

#[expect(clippy::print_stdout, reason = "the table is the data that was asked for")]
fn pass_on(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stdout, reason = "the table is the data that was asked for")]
fn summary(outcomes: &[Outcome]) {
    for Outcome { name, held, seconds } in outcomes {
        println!("{:<13} {:<10} {seconds:>7.0} s", name, if *held { "holds" } else { "VIOLATED" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(long: bool, count: Option<u32>, seed: Option<u64>) -> TortureArguments {
        TortureArguments { name: "all".to_owned(), long, count, seed }
    }

    #[test]
    fn an_unknown_name_lists_what_there_is() {
        let error = chosen("tickle").err().unwrap().to_string();
        assert!(error.contains("kill") && error.contains("simulation") && error.contains("all"), "{error}");
        assert_eq!(chosen("all").unwrap().len(), REGISTRY.len());
        assert_eq!(chosen("kill").unwrap().len(), 1);
    }

    #[test]
    fn sizes_follow_the_flags() {
        let sizes = |name: &str, arguments: &TortureArguments| (chosen(name).unwrap()[0].sizes)(arguments).join(" ");
        assert_eq!(sizes("kill", &arguments(true, Some(7), Some(3))), "--long --count 7 --seed 3");
        assert_eq!(sizes("kill", &arguments(false, None, None)), "");
        assert_eq!(sizes("simulation", &arguments(false, None, None)), "--seeds 300");
        assert_eq!(sizes("simulation", &arguments(true, None, Some(5))), "--seeds 20000 --first 5");
    }
}
