use std::path::PathBuf;

use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::testing::{attention, is_partial, is_refused, is_silent, quantity, request};

/// Silicon as two atoms without symmetry.
const SILICON: &str = "data_Si\n_cell_length_a 3.84\n_cell_length_b 3.84\n_cell_length_c 3.84\n_cell_angle_alpha 60\n\
     _cell_angle_beta 60\n_cell_angle_gamma 60\nloop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\nloop_\n_atom_site_label\n\
     _atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nSi1 Si 0 0 0\nSi2 Si 0.25 0.25 \
     0.25\n";

/// Says who it is without an input; otherwise notes the run, says half of what it has to say, waits as long as there is
/// a file `wait`, and says the rest.
const PROGRAM: &str = r#"
cd "$(dirname "$0")"
input=$(cat)
if [ -z "$input" ]; then echo "     Program PWSCF v.6.7MaX starts on today"; exit 1; fi
echo run >> runs
head -c 6000 answer
while [ -e wait ]; do sleep 0.02; done
tail -c +6001 answer
"#;

/// A program that answers with a recorded output, and everything that it needs.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Bench {
        let bench = Bench { folder: tempfile::tempdir().unwrap() };
        std::fs::write(bench.path("pw.sh"), PROGRAM).unwrap();
        std::fs::create_dir(bench.path("pseudo")).unwrap();
        std::fs::write(bench.path("pseudo/Si.pz-vbc.UPF"), "<PP_HEADER>\n NC Norm - Conserving\n").unwrap();
        bench.answers(include_str!("../../tests/files/pw_si.out"));
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn answers(&self, text: &str) {
        std::fs::write(self.path("answer"), text).unwrap();
    }

    fn waits(&self, waits: bool) {
        let file = self.path("wait");
        if waits { std::fs::write(file, "").unwrap() } else { std::fs::remove_file(file).unwrap() }
    }

    fn runs(&self) -> usize {
        std::fs::read_to_string(self.path("runs")).unwrap_or_default().lines().count()
    }

    fn settings(&self) -> QuantumEspressoSettings {
        QuantumEspressoSettings {
            program: vec!["sh".to_owned(), self.path("pw.sh").display().to_string()],
            pseudopotentials: self.path("pseudo"),
            folder: self.path("work"),
            ..QuantumEspressoSettings::default()
        }
    }

    /// A driver that has reached the program.
    async fn driver(&self) -> QuantumEspresso {
        let mut driver = QuantumEspresso::new(self.settings());
        assert_eq!(driver.connect().await.unwrap(), "PWSCF v.6.7MaX");
        driver
    }

    /// Waits until a calculation is under way.
    async fn running(&self, runs: usize) {
        let reached = async {
            while self.runs() < runs {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), reached).await.expect("the calculation begins");
    }
}

/// A request with the defaults of the manifest.
fn scf(cif: &str, cutoff_ry: f64) -> Request {
    let grid = Value::Integer(4);
    let mut request = request(
        "scf",
        [
            ("structure", Value::Text(cif.to_owned())),
            ("cutoff", quantity(cutoff_ry, Unit::Rydberg)),
            ("grid_1", grid.clone()),
            ("grid_2", grid.clone()),
            ("grid_3", grid),
        ],
    );
    let manifest = QuantumEspressoSettings::default().manifest();
    let spec = manifest.command("first_principles", "scf").unwrap();
    request.arguments = spec.check(&request.arguments).unwrap();
    request
}

fn number(done: &Done, name: &str) -> f64 {
    done.results[name].in_unit(Unit::Electronvolt).unwrap()
}

#[tokio::test]
async fn the_same_question_is_calculated_once() {
    let bench = Bench::new();
    let mut driver = bench.driver().await;
    let first = driver.execute(&scf(SILICON, 18.0), &attention()).await.unwrap();
    assert!((number(&first, "energy_per_atom") - -15.830_400_81 * 13.605_693_122_994 / 2.0).abs() < 1e-9);
    let names: Vec<_> = first.raw.iter().map(|raw| raw.name.as_str()).collect();
    assert_eq!(names, ["pw.in", "pw.out", "scf.json"]);
    let summary: serde_json::Value = serde_json::from_slice(&first.raw[2].bytes).unwrap();
    assert_eq!(summary["provenance"]["pseudopotentials"]["Si"][0], "Si.pz-vbc.UPF");
    assert_eq!(summary["result"]["forces_ev_per_angstrom"].as_array().unwrap().len(), 2);
    // Another driver on the same folder, and another run of the same step.
    let mut again = bench.driver().await;
    let second = again.execute(&Request { key: "run-9/x#1".to_owned(), ..scf(SILICON, 18.0) }, &attention()).await;
    assert_eq!(second.unwrap().results, first.results);
    assert_eq!(bench.runs(), 1);
    again.execute(&scf(SILICON, 24.0), &attention()).await.unwrap();
    std::fs::write(bench.path("pseudo/Si.pz-vbc.UPF"), "another").unwrap();
    again.execute(&scf(SILICON, 24.0), &attention()).await.unwrap();
    assert_eq!(bench.runs(), 3, "a cutoff and a pseudopotential are part of the question");
}

#[tokio::test]
async fn the_input_says_what_was_asked() {
    let bench = Bench::new();
    let mut driver = bench.driver().await;
    let mut metal = scf(SILICON, 18.5);
    metal.arguments.insert("smearing".to_owned(), quantity(0.02, Unit::Rydberg));
    metal.arguments.insert("moment".to_owned(), quantity(0.3, Unit::One));
    metal.arguments.insert("shifted".to_owned(), Value::Flag(true));
    let done = driver.execute(&metal, &attention()).await.unwrap();
    let input = String::from_utf8(done.raw[0].bytes.clone()).unwrap();
    for line in [
        "  nat = 2",
        "  ntyp = 1",
        "  ecutwfc = 18.5",
        "  ecutrho = 74",
        "  smearing = 'cold'",
        "  degauss = 0.02",
        "  nspin = 2",
        "  starting_magnetization(1) = 0.3",
        "  conv_thr = 2e-9",
        "  electron_maxstep = 100",
        "  tstress = .false.",
        "Si 1.0 Si.pz-vbc.UPF",
        "3.8400000000 0.0000000000 0.0000000000",
        "Si 0.2500000000 0.2500000000 0.2500000000",
        "4 4 4 1 1 1",
    ] {
        assert!(input.lines().any(|found| found == line), "`{line}` is not in\n{input}");
    }
    // A pseudopotential that does not conserve the norm needs a finer density.
    std::fs::write(bench.path("pseudo/Si.pz-vbc.UPF"), "<PP_HEADER\n pseudo_type=\"PAW\"\n/>").unwrap();
    let done = driver.execute(&scf(SILICON, 18.5), &attention()).await.unwrap();
    assert!(String::from_utf8_lossy(&done.raw[0].bytes).contains("ecutrho = 185\n"));
}

#[tokio::test]
async fn what_cannot_be_calculated_is_refused_before_anything_runs() {
    let bench = Bench::new();
    let mut driver = bench.driver().await;
    let refused = driver.prepare(&scf("data_x", 18.0), &attention()).await;
    assert!(is_refused(&refused, codes::DFT_STRUCTURE), "{refused:?}");
    let carbon = SILICON.replace("Si2 Si", "C2 C");
    let refused = driver.prepare(&scf(&carbon, 18.0), &attention()).await;
    assert!(is_refused(&refused, codes::DFT_PSEUDOPOTENTIAL), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("for C in"));
    let mut unknown = scf(SILICON, 18.0);
    unknown.command = "relax".to_owned();
    assert!(is_refused(&driver.execute(&unknown, &attention()).await, codes::UNKNOWN_COMMAND));
    assert_eq!(bench.runs(), 0);
}

#[tokio::test]
async fn without_the_program_the_way_to_it_is_named() {
    let bench = Bench::new();
    for (program, words) in [("/nowhere/pw.x", "is not on this computer"), ("true", "does not speak like pw.x")] {
        let mut driver =
            QuantumEspresso::new(QuantumEspressoSettings { program: vec![program.to_owned()], ..bench.settings() });
        let refused = driver.connect().await;
        assert!(is_refused(&refused, codes::DFT_NOT_INSTALLED), "{refused:?}");
        let message = refused.unwrap_err().to_string();
        assert!(message.contains(words) && message.contains("apt install quantum-espresso"), "{message}");
    }
}

#[tokio::test]
async fn a_calculation_that_fails_says_how() {
    let bench = Bench::new();
    let mut driver = bench.driver().await;
    bench.answers(include_str!("../../tests/files/pw_not_converged.out"));
    let outcome = driver.execute(&scf(SILICON, 18.0), &attention()).await;
    assert!(is_partial(&outcome, codes::DFT_NOT_CONVERGED), "{outcome:?}");
    bench.answers(include_str!("../../tests/files/pw_needs_smearing.out"));
    let outcome = driver.execute(&scf(SILICON, 18.0), &attention()).await;
    assert!(is_partial(&outcome, codes::DFT_STOPPED), "{outcome:?}");
    assert!(outcome.unwrap_err().to_string().contains("smearing is needed"));
    bench.answers(&include_str!("../../tests/files/pw_si.out")[..7_000]);
    let outcome = driver.execute(&scf(SILICON, 18.0), &attention()).await;
    assert!(is_partial(&outcome, codes::DFT_STOPPED), "{outcome:?}");
    // A failure is no answer that could be given again.
    bench.answers(include_str!("../../tests/files/pw_si.out"));
    driver.execute(&scf(SILICON, 18.0), &attention()).await.unwrap();
    assert_eq!(bench.runs(), 4);
}

#[tokio::test]
async fn an_abort_kills_the_process() {
    let bench = Bench::new();
    let mut driver = bench.driver().await;
    bench.waits(true);
    let (abort, aborted) = watch::channel(false);
    let attention = Attention::new(1.0, aborted);
    let request = scf(SILICON, 18.0);
    let stop = async {
        bench.running(1).await;
        abort.send_replace(true);
    };
    let (outcome, ()) = tokio::join!(driver.execute(&request, &attention), stop);
    assert!(matches!(outcome, Err(Fault::Aborted { .. })), "{outcome:?}");
    assert!(!driver.last.as_ref().unwrap().is_running().unwrap());
}

#[tokio::test]
async fn a_driver_that_is_started_anew_attaches_to_its_calculation() {
    let bench = Bench::new();
    bench.waits(true);
    let request = scf(SILICON, 18.0);
    let snapshot = {
        let mut first = bench.driver().await;
        let snapshot = first.prepare(&request, &attention()).await.unwrap();
        assert_eq!(first.recover(&request, &snapshot, &attention()).await, Ok(Recovered::NeverStarted));
        let attention = attention();
        tokio::select! {
            outcome = first.execute(&request, &attention) => panic!("{outcome:?}"),
            () = bench.running(1) => {}
        }
        snapshot
    };
    let mut second = bench.driver().await;
    assert_eq!(second.recover(&request, &snapshot, &attention()).await, Ok(Recovered::Running));
    let release = async { bench.waits(false) };
    let attention = attention();
    let (outcome, ()) = tokio::join!(second.attend(&request, &snapshot, &attention), release);
    let done = outcome.unwrap();
    assert_eq!(second.recover(&request, &snapshot, &attention).await, Ok(Recovered::Finished(Ok(done))));
    assert_eq!(bench.runs(), 1);
    assert!(is_silent(&second.attend(&request, b"?", &attention).await));
}

#[tokio::test]
async fn a_calculation_that_broke_off_may_begin_anew_and_the_safe_state_is_none() {
    let bench = Bench::new();
    bench.waits(true);
    let request = scf(SILICON, 18.0);
    let mut driver = bench.driver().await;
    let snapshot = driver.prepare(&request, &attention()).await.unwrap();
    let calm = attention();
    tokio::select! {
        outcome = driver.execute(&request, &calm) => panic!("{outcome:?}"),
        () = bench.running(1) => {}
    }
    let mut second = bench.driver().await;
    assert_eq!(second.recover(&request, &snapshot, &attention()).await, Ok(Recovered::Running));
    let said = second.make_safe("stop").await.unwrap();
    assert!(said.contains("ended"), "{said}");
    assert_eq!(second.recover(&request, &snapshot, &attention()).await, Ok(Recovered::NeverStarted));
    assert!(second.make_safe("stop").await.unwrap().contains("nothing is being calculated"));
    bench.waits(false);
    second.execute(&request, &attention()).await.unwrap();
    assert_eq!(bench.runs(), 2);
    let damaged = second.recover(&request, b"{", &attention()).await;
    assert!(matches!(damaged, Ok(Recovered::Unknown(_))));
}

#[test]
fn settings_that_cannot_work_are_named() {
    let check = |text: &str| crate::settings::read::<QuantumEspressoSettings>(&text.parse().unwrap()).unwrap_err();
    assert_eq!(check("program = []")[0].0, "program");
    assert_eq!(check("processes = 0")[0].0, "processes");
    assert!(check("[files]\nXx = \"a.UPF\"")[0].1.contains("`Xx`"));
    assert!(check("[files]\nSi = \"a b.UPF\"")[0].1.contains("without blanks"));
    let many = QuantumEspressoSettings { processes: 4, ..QuantumEspressoSettings::default() };
    assert_eq!(many.command(), ["mpirun", "-np", "4", "pw.x"]);
}
