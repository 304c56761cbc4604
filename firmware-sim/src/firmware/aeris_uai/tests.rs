use super::*;
use crate::fault::FaultParameters;
use crate::firmware::testing::Rig;

struct Instrument {
    rig: Rig,
    results: PathBuf,
    _folder: tempfile::TempDir,
}

/// A diffractometer with sample S01 in slot 1.
fn instrument() -> Instrument {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().to_owned();
    let firmware = AerisUai::new(Config::default(), "aeris", &results);
    let mut rig = Rig::new("aeris", Box::new(firmware));
    place_sample(&mut rig);
    Instrument { rig, results, _folder: folder }
}

/// Puts sample S01 into slot 1 with the robot of the world.
fn place_sample(rig: &mut Rig) {
    rig.lab.with_world(|world| {
        let cause = crate::world::Cause { device: "arm".into(), frame: String::new(), command_id: None };
        world.pick(&cause, "rack.1");
        world.place(&cause, "aeris.slot1");
    });
}

const ADD: &str = "@SAMPLE@ADD@APPLICATION=film_fast@SAMPLE_ID=S01@AT=0,1@END";
const MEASURE: &str = "@SAMPLE@MEASURE@SAMPLE_ID=S01@APPLICATION=film_fast@END";

#[test]
fn status_requests() {
    let mut rig = instrument().rig;
    assert_eq!(rig.ask("@STATUS_REQUEST@SYSTEM@END"), "@STATUS@SYSTEM=remote@END");
    assert_eq!(rig.ask("@STATUS_REQUEST@UNIT=xrd@END"), "@STATUS@UNIT=xrd@READY=yes@END");
    assert_eq!(rig.ask("@STATUS_REQUEST@LOCATION=0,1@END"), "@STATUS@LOCATION=0,1@STATE=occupied@END");
    assert_eq!(rig.ask("@STATUS_REQUEST@LOCATION=0,2@END"), "@STATUS@LOCATION=0,2@STATE=free@END");
    assert!(rig.ask("@STATUS_REQUEST@LOCATION=0,9@END").contains("fatal"));
}

#[test]
fn a_scan_leaves_a_file_that_grows_in_place() {
    let Instrument { mut rig, results, _folder } = instrument();
    assert_eq!(rig.ask(ADD), "@SAMPLE@ADD@SAMPLE_ID=S01@STATUS=normal@END");
    assert_eq!(rig.ask(MEASURE), "@SAMPLE@MEASURE@SAMPLE_ID=S01@STATUS=normal@END");
    assert_eq!(rig.ask("@STATUS_REQUEST@UNIT=xrd@END"), "@STATUS@UNIT=xrd@READY=no@END");
    rig.step(121.0);
    assert_eq!(rig.heard_text(), "@SAMPLE@MEASURED@SAMPLE_ID=S01@END");
    let path = results.join("S01.xrdml");
    assert!(!path.exists());
    rig.step(9.5);
    let partial = std::fs::read_to_string(&path).unwrap();
    assert!(!partial.ends_with("</xrdMeasurements>\n"));
    rig.step(1.0);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.ends_with("</xrdMeasurements>\n") && text.starts_with(&partial));
    let counts = text.split("<counts unit=\"counts\">").nth(1).unwrap().split('<').next().unwrap();
    assert_eq!(counts.split(' ').count(), 1751);
    assert_eq!(rig.executions("scan"), 1);
}

#[test]
fn an_id_is_measured_once() {
    let mut rig = instrument().rig;
    rig.ask(ADD);
    rig.ask(MEASURE);
    assert!(rig.ask(MEASURE).contains("fatal: busy measuring S01"));
    assert!(rig.ask("@SAMPLE@REMOVE@SAMPLE_ID=S01@END").contains("fatal"));
    rig.step(135.0);
    rig.heard();
    assert_eq!(rig.ask("@STATUS_REQUEST@SAMPLE_ID=S01@END"), "@STATUS@SAMPLE_ID=S01@STATE=measured@END");
    assert!(rig.ask(MEASURE).contains("fatal: sample id S01 has been measured"));
    assert!(rig.ask(ADD).contains("fatal"));
    assert!(rig.ask("@SAMPLE@REMOVE@SAMPLE_ID@AT=0,1@END").contains("STATUS=normal"));
    assert_eq!(rig.executions("scan"), 1);
}

#[test]
fn refusals() {
    let mut rig = instrument().rig;
    assert!(
        rig.ask("@SAMPLE@ADD@APPLICATION=film_fast@SAMPLE_ID=S02@AT=0,2@END").contains("fatal: location 0,2 is free")
    );
    assert!(rig.ask("@SAMPLE@ADD@APPLICATION=none@SAMPLE_ID=S02@AT=0,1@END").contains("fatal: no such application"));
    assert!(rig.ask("@SAMPLE@MEASURE@SAMPLE_ID=S09@APPLICATION=film_fast@END").contains("fatal: unknown sample"));
    assert!(rig.ask("@SAMPLE@DANCE@END").contains("fatal"));
}

#[test]
fn faults_of_the_result_file() {
    for (fault, after_s, complete) in [
        ("result_file_missing", 200.0, None),
        ("result_file_late", 135.0, None),
        ("result_file_partial", 500.0, Some(false)),
    ] {
        let Instrument { mut rig, results, _folder } = instrument();
        rig.inject(fault, FaultParameters::default());
        rig.ask(ADD);
        rig.ask(MEASURE);
        rig.step(after_s);
        let found = std::fs::read_to_string(results.join("S01.xrdml")).ok();
        assert_eq!(found.map(|text| text.ends_with("</xrdMeasurements>\n")), complete, "{fault}");
    }
}

#[test]
fn a_late_file_comes_in_the_end() {
    let Instrument { mut rig, results, _folder } = instrument();
    rig.inject("result_file_late", FaultParameters { delay_ms: Some(60_000), ..FaultParameters::default() });
    rig.ask(ADD);
    rig.ask(MEASURE);
    rig.step(192.0);
    assert!(results.join("S01.xrdml").exists());
}

#[test]
fn replies_may_be_split_or_joined_by_the_line() {
    let mut rig = instrument().rig;
    rig.inject("split_write", FaultParameters::default());
    rig.lab.receive(rig.session, b"@STATUS_REQUEST@SYSTEM@END");
    let chunks = rig.chunks();
    assert_eq!(chunks.len(), 2);
    assert_eq!(chunks[1].0, 50);
    rig.inject("joined_replies", FaultParameters::default());
    assert_eq!(rig.ask("@STATUS_REQUEST@SYSTEM@END"), "");
    assert_eq!(rig.ask("@STATUS_REQUEST@SYSTEM@END"), "@STATUS@SYSTEM=remote@END@STATUS@SYSTEM=remote@END");
}
