use super::*;
use ppu_core::capability::ArgumentKind;
use ppu_core::{ActionClass, Arguments, Unit};
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_manifest_is_sound() {
    for driver in DRIVERS {
        let manifest = manifest(driver).unwrap();
        assert_eq!(manifest.driver, driver);
        assert!((2..=5).contains(&manifest.properties.len()), "{driver} has {} properties", manifest.properties.len());
        let names: BTreeSet<_> = manifest.properties.iter().map(|property| &property.name).collect();
        assert_eq!(names.len(), manifest.properties.len(), "{driver}");
        let mut commands = BTreeSet::new();
        for capability in &manifest.capabilities {
            for command in &capability.commands {
                let subject = format!("{driver} {}.{}", capability.name, command.name);
                assert!(commands.insert((capability.name.clone(), command.name.clone())), "{subject} is there twice");
                assert_ne!(command.class, ActionClass::Unqueryable, "{subject}");
                assert!(command.typical_s > 0.0 && !command.description.is_empty(), "{subject}");
                let arguments: BTreeSet<_> = command.arguments.iter().map(|argument| &argument.name).collect();
                assert_eq!(arguments.len(), command.arguments.len(), "{subject}");
                for argument in &command.arguments {
                    if let Some(default) = &argument.default {
                        assert!(argument.check(default).is_ok(), "{subject}: default of {}", argument.name);
                    }
                    if let ArgumentKind::Quantity { min, max, .. } = &argument.kind {
                        assert!(min < max, "{subject}: {}", argument.name);
                    }
                }
                let results: BTreeSet<_> = command.results.iter().map(|result| &result.name).collect();
                assert_eq!(results.len(), command.results.len(), "{subject}");
            }
        }
    }
    assert_eq!(manifest("toaster"), None);
}

#[test]
fn the_second_watchdog_is_that_of_the_reference_unless_a_file_says_otherwise() {
    let expected = [
        ("ur5e", Some(5), true),
        ("cavro-xlp", Some(5), false),
        ("eurotherm-epc3016", None, false),
        ("ika-cmag", Some(60), true),
        ("mettler-sics", None, false),
        ("aeris-uai", None, false),
        ("ocean-obp", Some(5), false),
        ("quantum-espresso", None, false),
    ];
    for (driver, safe_after_s, stops_running) in expected {
        let default = Watchdog { safe_after: safe_after_s.map(Duration::from_secs), stops_running };
        assert_eq!(Watchdog::of_driver(driver), default, "{driver}");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/instruments");
        let file =
            std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
        let file = file.map(|text| InstrumentFile::parse("x.toml", &text).unwrap()).find(|file| file.driver == driver);
        assert_eq!(file.unwrap().watchdog, default, "the file of {driver}");
    }
    let file = |watchdog: &str| {
        let text = format!("version = 1\ndriver = \"ur5e\"\ntitle = \"Arm\"\n[watchdog]\n{watchdog}\n");
        InstrumentFile::parse("x.toml", &text).map(|file| file.watchdog)
    };
    assert_eq!(file("never = true").unwrap().safe_after, None);
    assert_eq!(file("safe_after_s = 8").unwrap().safe_after, Some(Duration::from_secs(8)));
    assert!(file("safe_after_s = 1").is_err(), "T1 comes first");
    assert!(file("safe_after_s = 8\nnever = true").is_err());
}

#[test]
fn what_can_be_checked_before_a_start_is_required() {
    let requires = |driver: &str, settings: &str, command: &str| {
        let manifest = manifest_with(driver, &settings.parse().unwrap()).unwrap();
        let commands = manifest.capabilities.iter().flat_map(|capability| capability.commands.clone());
        let found = commands.into_iter().find(|spec| spec.name == command).unwrap();
        for requirement in &found.requires {
            let name = &requirement.property;
            assert!(manifest.properties.iter().any(|property| &property.name == name), "{driver} reads {name}");
        }
        found.requires.len()
    };
    assert_eq!(requires("ur5e", "", "move"), 1);
    assert_eq!(requires("aeris-uai", "", "scan"), 1);
    assert_eq!(requires("mettler-sics", "", "weigh"), 0);
    assert_eq!(requires("mettler-sics", "least_sample_mg = 100.0", "weigh"), 1);
}

#[test]
fn the_names_that_protocols_use_are_there() {
    use ActionClass::{Continuing, Idempotent, Queryable};
    let expected = [
        ("cavro-xlp", "liquid_handling", "aspirate", Queryable),
        ("cavro-xlp", "liquid_handling", "dispense", Queryable),
        ("cavro-xlp", "liquid_handling", "initialise", Idempotent),
        ("ika-cmag", "stirring", "stir", Idempotent),
        ("ika-cmag", "stirring", "set_speed", Idempotent),
        ("ika-cmag", "heating", "set_temperature", Idempotent),
        ("ika-cmag", "heating", "heater_off", Idempotent),
        ("mettler-sics", "weighing", "weigh", Idempotent),
        ("mettler-sics", "weighing", "zero", Idempotent),
        ("mettler-sics", "weighing", "tare", Idempotent),
        ("eurotherm-epc3016", "annealing", "anneal", Continuing),
        ("ur5e", "transfer", "move", Queryable),
        ("aeris-uai", "diffraction", "scan", Continuing),
        ("ocean-obp", "spectroscopy", "reference", Idempotent),
        ("ocean-obp", "spectroscopy", "absorbance", Idempotent),
        ("ocean-obp", "spectroscopy", "photoluminescence", Idempotent),
        ("quantum-espresso", "first_principles", "scf", Continuing),
    ];
    for (driver, capability, command, class) in expected {
        let manifest = manifest(driver).unwrap();
        assert_eq!(manifest.command(capability, command).map(|spec| spec.class), Some(class), "{driver} {command}");
    }
    let anneal = manifest("eurotherm-epc3016").unwrap().command("annealing", "anneal").unwrap().clone();
    let arguments = Arguments::from([
        ("temperature".into(), ppu_core::Value::quantity(150.0, Unit::Celsius)),
        ("duration".into(), ppu_core::Value::quantity(600.0, Unit::Second)),
    ]);
    let checked = anneal.check(&arguments).unwrap();
    assert_eq!(checked["ramp"], ppu_core::Value::quantity(10.0, Unit::KelvinPerMinute));
    assert_eq!(checked["duration"], ppu_core::Value::quantity(10.0, Unit::Minute));
}

#[test]
fn every_instrument_file_parses_and_opens() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/instruments");
    let mut drivers = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let file = InstrumentFile::parse(&path.display().to_string(), &text).unwrap();
        let mut connect = Connect::Tcp { address: "127.0.0.1:1".to_owned() };
        if file.driver == "quantum-espresso" {
            assert!(matches!(open(&file.driver, connect, &file.settings), Err(OpenError::Connection { .. })));
            connect = Connect::Local;
        } else {
            let local = open(&file.driver, Connect::Local, &file.settings);
            assert!(matches!(local, Err(OpenError::Connection { .. })), "{}", file.driver);
        }
        open(&file.driver, connect.clone(), &file.settings).unwrap();
        if matches!(file.driver.as_str(), "cavro-xlp" | "ika-cmag" | "mettler-sics" | "eurotherm-epc3016") {
            let settings = SerialSettings::new_8n1(1);
            connect = Connect::Serial { path: "/dev/none".to_owned(), settings };
        }
        let instrument = open(&file.driver, connect, &file.settings).unwrap();
        assert_eq!(instrument.describe(), manifest_with(&file.driver, &file.settings).unwrap());
        drivers.insert(file.driver);
    }
    assert_eq!(drivers.len(), DRIVERS.len());
}

#[test]
fn mistakes_in_an_instrument_file_point_at_their_line() {
    let text =
        "version = 1\ndriver = \"cavro-xlp\"\ntitle = \"x\"\n\n[settings]\nsyringe_ul = 250.0\nspeed_code = 99\n";
    let problems = InstrumentFile::parse("a.toml", text).unwrap_err();
    assert!(problems.to_string().starts_with("a.toml:7: settings, speed_code: "), "{problems}");
    let text = text.replace("speed_code = 99", "speed = 9");
    let problems = InstrumentFile::parse("a.toml", &text).unwrap_err();
    assert!(problems.to_string().starts_with("a.toml:7: settings, speed: unknown field"), "{problems}");
    let text = "version = 2\ndriver = \"cavro-xpl\"\ntitle = \"x\"\n";
    let problems = InstrumentFile::parse("a.toml", text).unwrap_err();
    assert_eq!(problems.0.len(), 2);
    assert_eq!(problems.0[1].cure, "did you mean `cavro-xlp`?");
}

#[test]
fn a_lab_replaces_single_settings() {
    let text = "version = 1\ndriver = \"aeris-uai\"\ntitle = \"x\"\n[settings]\nslot = 3\nwait_s = 30.0\n";
    let file = InstrumentFile::parse("a.toml", text).unwrap();
    let settings = file.settings_with(&toml::from_str("results = \"/srv/xrd\"\nslot = 4").unwrap());
    assert_eq!(settings["slot"].as_integer(), Some(4));
    assert_eq!(settings["wait_s"].as_float(), Some(30.0));
    assert!(manifest_with("aeris-uai", &settings).is_ok());
    let unknown = toml::from_str("slott = 4").unwrap();
    assert!(matches!(manifest_with("aeris-uai", &file.settings_with(&unknown)), Err(OpenError::Settings { .. })));
}

#[test]
fn an_arm_has_no_serial_port_and_a_toaster_no_driver() {
    let serial = Connect::Serial { path: "/dev/ttyS0".to_owned(), settings: SerialSettings::new_8n1(9600) };
    let table = toml::Table::new();
    assert!(matches!(open("ur5e", serial.clone(), &table), Err(OpenError::Connection { .. })));
    assert!(matches!(open("toaster", serial, &table), Err(OpenError::UnknownDriver { .. })));
}
