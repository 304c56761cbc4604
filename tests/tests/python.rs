//! A Python script with grpcio from PyPI and reflection only, no generated stubs: what the README shows.

use std::process::Command;

use ppu_tests::harness::{RunningLab, root};

/// The interpreter with the packages, or why there is none.
fn python() -> Result<String, String> {
    let python = std::env::var("PPU_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let probe = Command::new(&python).args(["-c", "import grpc, google.protobuf, grpc_reflection"]).output();
    match probe {
        Ok(output) if output.status.success() => Ok(python),
        _ => Err(format!(
            "{python} lacks grpcio and grpcio-reflection; install them with `python3 -m venv v && v/bin/pip install grpcio \
             grpcio-reflection` and set PPU_PYTHON=v/bin/python"
        )),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_script_submits_a_plan_and_reads_its_result() -> anyhow::Result<()> {
    let python = match python() {
        Ok(python) => python,
        Err(reason) if std::env::var_os("PPU_REQUIRE_PEERS").is_some() => anyhow::bail!(reason),
        Err(reason) => {
            eprintln!("skipped: {reason}");
            return Ok(());
        }
    };
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
