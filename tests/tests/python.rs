//! Python scripts with grpcio from PyPI and reflection only, no generated stubs: what the README shows.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use ppu_tests::harness::{LabOptions, RunningLab, executable, root, wait_until};

/// The interpreter with the packages, or why there is none.
fn python() -> Result<String, String> {
    let python = std::env::var("PPU_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe =
        Command::new(&python).args(["-c", "import grpc, google.protobuf, grpc_reflection, grpc_tools"]).output();
    match probe {
        Ok(output) if output.status.success() => Ok(python),
        _ => Err(format!(
            "{python} lacks grpcio, grpcio-reflection or grpcio-tools; install them with `python3 -m venv v && v/bin/pip \
             install grpcio grpcio-reflection grpcio-tools` and set PPU_PYTHON=v/bin/python"
        )),
    }
}

/// The interpreter; `None` where the test is to be skipped.
fn python_or_skip() -> anyhow::Result<Option<String>> {
    match python() {
        Ok(python) => Ok(Some(python)),
        Err(reason) if std::env::var_os("PPU_REQUIRE_PEERS").is_some() => anyhow::bail!(reason),
        Err(reason) => {
            eprintln!("skipped: {reason}");
            Ok(None)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_script_optimizes_without_a_lab() -> anyhow::Result<()> {
    let Some(python) = python_or_skip()? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let address_file = folder.path().join("optimizer.json");
    let mut service = Command::new(executable()?)
        .args(["optimizer", "--supervised", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path().join("studies"))
        .arg("--address-file")
        .arg(&address_file)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let address = wait_until("the optimizer's address", Duration::from_secs(20), async || {
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&address_file).ok()?).ok()?;
        Some(json.get("grpc")?.as_str()?.to_owned())
    })
    .await;
    let script = root().join("tests/files/optimize.py");
    let output = address.and_then(|address| Ok(Command::new(&python).arg(script).arg(address).arg("22").output()?));
    // Its standard input ends, and so does it.
    drop(service.stdin.take());
    service.wait()?;
    let output = output?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(output.status.success(), "{out}\n{err}");
    let quality = out.lines().find_map(|line| line.strip_prefix("quality ")?.parse::<f64>().ok());
    anyhow::ensure!(quality.is_some_and(|quality| quality > 0.9), "{out}\n{err}");
    anyhow::ensure!(folder.path().join("studies/films.json").exists(), "the study was not kept");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_script_submits_a_plan_and_reads_its_result() -> anyhow::Result<()> {
    let Some(python) = python_or_skip()? else { return Ok(()) };
    let lab = RunningLab::start(1000.0, 2).await?;
    lab.check(async |lab| {
        for protocol in ["weigh_sample.toml", "drop_cast_film.toml"] {
            let output = Command::new(&python)
                .arg(root().join("tests/files/submit_plan.py"))
                .arg(&lab.address)
                .arg(root().join("config/protocols").join(protocol))
                .output()?;
            let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            anyhow::ensure!(output.status.success(), "{protocol}: {out}\n{err}");
            anyhow::ensure!(out.contains("RUN_STATE_COMPLETED") && out.contains("mass"), "{protocol}: {out}\n{err}");
        }
        Ok(())
    })
    .await
}

/// The model of the README in Python as a level of the twin of a lab that runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_python_model_is_a_level_of_the_twin() -> anyhow::Result<()> {
    let Some(python) = python_or_skip()? else { return Ok(()) };
    let mut model = Command::new(&python)
        .arg(root().join("tests/files/gap_twin.py"))
        .arg(root().join("protos"))
        .arg("127.0.0.1:0")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut port = String::new();
    BufReader::new(model.stdout.take().expect("it is piped")).read_line(&mut port)?;
    let port: u16 = port.trim().parse().context("the model did not say its port; is grpcio-tools installed?")?;
    let mut options = LabOptions::new(1000.0, 4);
    options.lab_toml = format!("[[twin]]\nname = \"gap_by_vegard\"\naddress = \"127.0.0.1:{port}\"\n");
    let lab = RunningLab::start_with(options).await?;
    let checked = lab.check(async |lab| {
        let campaign = lab.campaign(2, "optimizer", 4).await?;
        let found = wait_until("the first proposal", Duration::from_secs(60), async || {
            let found = lab.campaign_state(&campaign).await.ok()?;
            (!found.levels.is_empty()).then_some(found)
        })
        .await?;
        let level = found.levels.iter().find(|level| level.level == "gap_by_vegard");
        anyhow::ensure!(level.is_some_and(|level| level.used && level.evaluations >= 400), "{:?}", found.levels);
        Ok(())
    });
    let checked = checked.await;
    model.kill()?;
    model.wait()?;
    checked
}
