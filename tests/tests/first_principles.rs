//! First principles as an instrument of a lab: the whole chain with a double of pw.x, a driver that dies in the middle of
//! a calculation, and the real program where it is installed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use ppu_core::Unit;
use ppu_proto::lab::v1 as wire;
use ppu_proto::lab::v1::lab_service_client::LabServiceClient;
use ppu_tests::harness::{executable, root, wait_until};
use ppu_tests::process::Process;
use tempfile::TempDir;

const EV_PER_RYDBERG: f64 = 13.605_693_122_994;
/// Each wait ends here at the latest.
const WITHIN: Duration = Duration::from_secs(60);
/// Silicon, two atoms, a = 5.43 Å.
const SILICON: &str = "data_Si\n_cell_length_a 3.8395898\n_cell_length_b 3.8395898\n_cell_length_c 3.8395898\n\
     _cell_angle_alpha 60\n_cell_angle_beta 60\n_cell_angle_gamma 60\nloop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\nloop_\n\
     _atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nSi1 Si 0 0 0\n\
     Si2 Si 0.25 0.25 0.25\n";

/// A lab of one instrument, a program. Dropping it ends all its processes.
struct Lab {
    up: Child,
    folder: TempDir,
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(up) = Process::find(self.up.id()) {
            up.terminate();
        }
        let _ = self.up.wait();
    }
}

impl Lab {
    /// Brings it up with a program that takes so long for each calculation.
    fn start(takes_s: f64) -> anyhow::Result<Lab> {
        let folder = TempDir::new()?;
        let at = |name: &str| folder.path().join(name);
        for name in ["labs", "instruments", "pseudo"] {
            std::fs::create_dir(at(name))?;
        }
        let instrument = "instruments/quantum_espresso.toml";
        std::fs::copy(root().join("config").join(instrument), at(instrument))?;
        std::fs::write(at("pseudo/Si.pz-vbc.UPF"), "<PP_HEADER>\n NC Norm - Conserving\n")?;
        let settings = toml::Table::from_iter([
            (
                "program".to_owned(),
                words(&[&executable()?.display().to_string(), "sim", "pw", "--takes-s", &takes_s.to_string()]),
            ),
            ("pseudopotentials".to_owned(), at("pseudo").display().to_string().into()),
            ("folder".to_owned(), at("work").display().to_string().into()),
        ]);
        let lab = format!(
            "version = 1\nlab = \"virtual\"\ntitle = \"One program\"\n[[device]]\nid = \"dft\"\ninstrument = \
             \"quantum_espresso\"\nconnect = \"local\"\n[device.settings]\n{}",
            toml::to_string(&settings)?
        );
        std::fs::write(at("labs/virtual.toml"), lab)?;
        let log = std::fs::File::create(at("up.log"))?;
        let mut up = Command::new(executable()?);
        up.args(["up", "--restart-wait-ms", "50", "--lab"]).arg(at("labs/virtual.toml")).arg("--data").arg(at("data"));
        let up = up.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        Ok(Lab { up, folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn client(&self) -> anyhow::Result<LabServiceClient<tonic::transport::Channel>> {
        wait_until("the scheduler answers", WITHIN, async || {
            let json = read_json(&self.path("data/scheduler/endpoint.json"))?;
            LabServiceClient::connect(format!("http://{}", json["grpc"].as_str()?)).await.ok()
        })
        .await
    }

    /// Submits one calculation of silicon as a plan.
    async fn submit(&self, cutoff_ry: u32) -> anyhow::Result<String> {
        let protocol = format!(
            "version = 1\nprotocol = \"energy\"\ntitle = \"Energy of silicon\"\n[[lease]]\nname = \"dft\"\ncapability = \
             \"first_principles\"\n[[step]]\nname = \"energy\"\ncommand = \"first_principles.scf\"\nleases = [\"dft\"]\n\
             [step.args]\nstructure = '''\n{SILICON}'''\ncutoff_ry = {cutoff_ry}\ngrid_1 = 4\ngrid_2 = 4\ngrid_3 = 4\n"
        );
        let request =
            wire::SubmitPlanRequest { protocol_toml: protocol, file: "energy.toml".into(), ..Default::default() };
        // The driver may not have attached yet.
        wait_until("the plan is taken", WITHIN, async || {
            Some(self.client().await.ok()?.submit_plan(request.clone()).await.ok()?.into_inner().run)
        })
        .await
    }

    async fn run(&self, id: &str) -> anyhow::Result<wire::Run> {
        let request = wire::GetRunRequest { run: id.to_owned() };
        self.client().await?.get_run(request).await?.into_inner().run.context("the answer holds no run")
    }

    /// The energy for each atom in eV, once the run has ended.
    async fn energy(&self, id: &str) -> anyhow::Result<f64> {
        let run = wait_until("the run has ended", WITHIN, async || {
            let run = self.run(id).await.ok()?;
            matches!(run.state(), wire::RunState::Completed | wire::RunState::Failed | wire::RunState::Aborted)
                .then_some(run)
        })
        .await?;
        ensure!(run.state() == wire::RunState::Completed, "{:?}: {}", run.state(), run.message);
        let step = run.steps.first().context("the run has a step")?;
        ensure!(step.artifacts.len() == 3, "input, output and summary are kept: {:?}", step.artifacts);
        let results = ppu_proto::convert::arguments_from_wire(&step.results)?;
        let energy = results.get("energy_per_atom").and_then(|value| value.in_unit(Unit::Electronvolt));
        energy.with_context(|| format!("{results:?}"))
    }

    /// Whatever went wrong, with the last words of the lab.
    fn evidence(&self, error: anyhow::Error) -> anyhow::Error {
        let logs = ["up.log", "data/log/driver-dft.log"].map(|name| {
            let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
            let from = text.char_indices().rev().nth(1500).map_or(0, |(index, _)| index);
            format!("{name}: {}", &text[from..])
        });
        error.context(logs.join("\n"))
    }
}

fn words(words: &[&str]) -> toml::Value {
    words.iter().map(|word| toml::Value::from(*word)).collect::<Vec<_>>().into()
}

fn read_json(path: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// What the double's law says of silicon at 4 x 4 x 4, in eV for each atom.
fn law(cutoff_ry: f64) -> f64 {
    (-28.0 + 2.0 * (-cutoff_ry / 8.0).exp() + 1.0 / 64.0) * EV_PER_RYDBERG
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_calculates_an_energy_like_any_other_measurement() -> anyhow::Result<()> {
    let lab = Lab::start(0.0)?;
    let energy = async { lab.energy(&lab.submit(30).await?).await }.await.map_err(|error| lab.evidence(error))?;
    // The program prints eight decimals of a Rydberg.
    ensure!((energy - law(30.0)).abs() < 1e-6, "{energy} is not {}", law(30.0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calculation_outlives_its_driver_and_is_made_once() -> anyhow::Result<()> {
    let lab = Lab::start(3.0)?;
    let story = async {
        let run = lab.submit(20).await?;
        let pid = wait_until("the program runs", WITHIN, async || {
            let mut jobs = std::fs::read_dir(lab.path("work")).ok()?.flatten();
            let pid = jobs.find_map(|job| std::fs::read_to_string(job.path().join("pid")).ok())?;
            Process::find(pid.trim().parse().ok()?)
        })
        .await?;
        let driver = read_json(&lab.path("data/processes.json")).context("the supervisor lists its processes")?;
        let driver = driver["pids"]["driver-dft"].as_u64().and_then(|id| Process::find(u32::try_from(id).ok()?));
        ensure!(driver.context("the driver is listed")?.kill()?, "the driver lived");
        ensure!(pid.is_alive(), "the calculation goes on without its driver");
        let energy = lab.energy(&run).await?;
        ensure!((energy - law(20.0)).abs() < 1e-6, "{energy} is not {}", law(20.0));
        let step = lab.run(&run).await?.steps.into_iter().next().context("the run has a step")?;
        ensure!(step.attempts == 1, "{} attempts", step.attempts);
        Ok(())
    };
    story.await.map_err(|error| lab.evidence(error))
}

/// `ppu twin converge` on silicon.
fn converge(folder: &Path, arguments: &[&str]) -> anyhow::Result<serde_json::Value> {
    let cif = folder.join("si.cif");
    std::fs::write(&cif, SILICON)?;
    let output = Command::new(executable()?)
        .args(["twin", "converge", "--json"])
        .arg(cif)
        .args(["--set", &format!("folder = '{}'", folder.join("work").display())])
        .args(arguments)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn a_precision_costs_what_the_bill_says_and_nothing_is_calculated_twice() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    std::fs::write(folder.path().join("Si.pz-vbc.UPF"), "<PP_HEADER>\n NC Norm - Conserving\n")?;
    let pseudo = folder.path().display().to_string();
    let program = format!("program = ['{}', 'sim', 'pw']", executable()?.display());
    let arguments = ["--precision", "10meV", "--pseudo", &pseudo, "--set", &program];
    let bill = converge(folder.path(), &arguments)?;
    ensure!(bill["approved"] == false, "{bill}");
    let jobs = || std::fs::read_dir(folder.path().join("work")).map(Iterator::count);
    let before = jobs()?;
    let done = converge(folder.path(), &[&arguments[..], &["--approve"]].concat())?;
    ensure!(done["approved"] == true && done["chosen"] == bill["chosen"], "{done}");
    ensure!(jobs()? == before + 1, "only the verification is new");
    // The law is additive, so the model must find it so.
    ensure!(done["residual_ev_per_atom"].as_f64().is_some_and(|residual| residual < 1e-6), "{done}");
    let ratio = done["verify_cpu_s"].as_f64().context("a time")? / bill["verify_cpu_s"].as_f64().context("a time")?;
    ensure!((0.5..2.0).contains(&ratio), "{ratio}");
    Ok(())
}

#[test]
fn the_real_program_converges_silicon_within_what_was_asked() -> anyhow::Result<()> {
    let peer = xtask::peers::look().into_iter().find(|peer| peer.name == "Quantum ESPRESSO").context("a known peer")?;
    if peer.found.is_none() {
        ensure!(std::env::var_os(xtask::peers::REQUIRE).is_none(), "pw.x is not installed: {}", peer.install);
        eprintln!("skipped: pw.x is not installed: {}", peer.install);
        return Ok(());
    }
    let folder = TempDir::new()?;
    let files = ["--set", "files = { Si = 'Si.pz-vbc.UPF' }", "--approve"];
    let done = converge(folder.path(), &[&["--precision", "40meV"], &files[..]].concat())?;
    // Measured once at 60 Ry and 12 x 12 x 12 with the same pseudopotential.
    let finest = -15.853_423_20 / 2.0 * EV_PER_RYDBERG;
    let error = done["verified_ev_per_atom"].as_f64().context("an energy")? - finest;
    ensure!(error.abs() < 0.04, "{error} eV/atom: {done}");
    ensure!(done["residual_ev_per_atom"].as_f64().is_some_and(|residual| residual < 0.02), "{done}");
    Ok(())
}
