//! Files of the configuration: found, read, checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ppu_core::campaign::{CampaignSpec, protocol_of};
use ppu_core::lab::Lab;
use ppu_core::protocol::Protocol;
use ppu_instruments::InstrumentFile;

use crate::cli::CheckArguments;
use crate::exit;

/// The configuration that ships with ppu, so that the demo runs from any folder.
#[derive(rust_embed::RustEmbed)]
#[folder = "../../config"]
struct Shipped;

/// Writes the shipped configuration below a folder and returns that folder.
pub(crate) fn write_shipped(below: &Path) -> anyhow::Result<PathBuf> {
    let root = below.join("config");
    for name in Shipped::iter() {
        let path = root.join(name.as_ref());
        let folder = path.parent().expect("a file below a folder has a parent");
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let file = Shipped::get(&name).expect("the name was listed just now");
        std::fs::write(&path, file.data).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(root)
}

/// The text of a file; one that is not there is "not found" for scripts.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => exit::coded(exit::NOT_FOUND, format!("{} does not exist", path.display())),
        _ => anyhow::Error::new(error).context(format!("{} cannot be read", path.display())),
    })
}

/// A lab file.
pub(crate) fn lab(path: &Path) -> anyhow::Result<Lab> {
    Ok(Lab::parse(&path.display().to_string(), &read(path)?)?)
}

/// The instrument file of a device: `../instruments/<name>.toml` beside the lab file.
pub(crate) fn instrument(lab: &Path, name: &str) -> anyhow::Result<InstrumentFile> {
    let folder = lab.parent().unwrap_or(Path::new(".")).join("../instruments");
    let path = folder.join(format!("{name}.toml"));
    let text = read(&path).with_context(|| format!("{} names the instrument `{name}`", lab.display()))?;
    Ok(InstrumentFile::parse(&path.display().to_string(), &text)?)
}

/// `name=value` with a number.
pub(crate) fn name_and_number(text: &str) -> Result<(String, f64), String> {
    let (name, value) = text.split_once('=').ok_or("write name=value")?;
    let number = value.trim().parse().map_err(|_| format!("`{value}` is not a number"))?;
    Ok((name.trim().to_owned(), number))
}

/// `name=min..max`, or `name=value` for both.
pub(crate) fn name_and_limits(text: &str) -> Result<(String, f64, f64), String> {
    let (name, limits) = text.split_once('=').ok_or("write name=min..max, or name=value to fix it")?;
    let (min, max) = limits.split_once("..").unwrap_or((limits, limits));
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| format!("`{text}` is not a number"));
    Ok((name.trim().to_owned(), number(min)?, number(max)?))
}

/// `name=value` with a TOML value.
pub(crate) fn name_and_toml(text: &str) -> Result<(String, toml::Value), String> {
    let table: toml::Table = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    table.into_iter().next().ok_or_else(|| "write name=value".to_owned())
}

/// Whether a file is a protocol or a campaign, and what a client must send of it.
pub(crate) enum Submission {
    Protocol { file: String, text: String },
    Campaign { file: String, text: String, protocol_file: String, protocol_text: String },
}

/// Reads what `ppu submit` and `ppu check` are given.
pub(crate) fn submission(path: &Path) -> anyhow::Result<Submission> {
    let (file, text) = (path.display().to_string(), read(path)?);
    let table: toml::Table = toml::from_str(&text).unwrap_or_default();
    if !table.contains_key("campaign") {
        return Ok(Submission::Protocol { file, text });
    }
    let protocol = path.parent().unwrap_or(Path::new(".")).join(protocol_of(&file, &text)?);
    let protocol_text = read(&protocol).with_context(|| format!("{file} names its protocol"))?;
    Ok(Submission::Campaign { file, text, protocol_file: protocol.display().to_string(), protocol_text })
}

/// `ppu check`: everything that can be known to be wrong without a running lab.
pub(crate) fn check(arguments: &CheckArguments) -> anyhow::Result<u8> {
    let path = &arguments.file;
    let text = read(path)?;
    let table: toml::Table = toml::from_str(&text).unwrap_or_default();
    let name = path.display().to_string();
    if table.contains_key("lab") {
        let lab = lab(path)?;
        for device in &lab.devices {
            let file = instrument(path, &device.instrument)?;
            ppu_instruments::manifest_with(&file.driver, &file.settings_with(&device.settings))
                .with_context(|| format!("{name}, device {}", device.id))?;
        }
        eprintln!("{name}: lab `{}` with {} devices is sound", lab.name, lab.devices.len());
    } else if table.contains_key("driver") {
        let file = InstrumentFile::parse(&name, &text)?;
        ppu_instruments::manifest_with(&file.driver, &file.settings).with_context(|| name.clone())?;
        eprintln!("{name}: instrument file for the driver `{}` is sound", file.driver);
    } else {
        check_submission(arguments, path)?;
    }
    Ok(0)
}

fn check_submission(arguments: &CheckArguments, path: &Path) -> anyhow::Result<()> {
    let lab_path = arguments.lab.clone().map_or_else(|| shipped_lab(path), Ok)?;
    let lab = lab(&lab_path)?;
    let mut manifests = BTreeMap::new();
    for device in &lab.devices {
        let file = instrument(&lab_path, &device.instrument)?;
        let manifest =
            ppu_instruments::manifest(&file.driver).with_context(|| format!("no driver `{}`", file.driver))?;
        manifests.insert(device.id.clone(), manifest);
    }
    let model = lab.model(&manifests);
    let given: BTreeMap<String, f64> = arguments.parameters.iter().cloned().collect();
    match submission(path)? {
        Submission::Protocol { file, text } => {
            let protocol = Protocol::parse(&file, &text)?;
            // A value in the middle stands for each that was not given: structure and units are the same for all.
            let open = protocol.parameters().iter().filter(|p| p.default.is_none() && !given.contains_key(&p.name));
            let middle: Vec<_> = open.map(|p| (p.name.clone(), (p.min + p.max) / 2.0)).collect();
            let mut values = given;
            values.extend(middle.iter().cloned());
            let plan = protocol.fill_in(&values)?;
            plan.check(&model)?;
            let names: Vec<_> = middle.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            let with = if names.is_empty() { String::new() } else { format!(" with {}", names.join(", ")) };
            eprintln!("{file}: {} steps would run in lab `{}`{with}", plan.steps.len(), lab.name);
        }
        Submission::Campaign { file, text, protocol_file, protocol_text } => {
            let protocol = Protocol::parse(&protocol_file, &protocol_text)?;
            let spec = CampaignSpec::parse(&file, &text, &protocol)?;
            let middle = spec.space.from_unit(&vec![0.5; spec.space.free().count()]);
            if let Some(middle) = middle {
                let mut values = spec.fixed.clone();
                values.extend(middle.0);
                protocol.fill_in(&values)?.check(&model)?;
            }
            eprintln!("{file}: campaign of {} trials would run in lab `{}`", spec.budget_trials, lab.name);
        }
    }
    Ok(())
}

/// The lab beside a protocol or campaign of the usual layout.
fn shipped_lab(path: &Path) -> anyhow::Result<PathBuf> {
    let beside = path.parent().unwrap_or(Path::new(".")).join("../labs/demo.toml");
    if beside.exists() {
        return Ok(beside);
    }
    Err(exit::coded(exit::NOT_FOUND, "there is no ../labs/demo.toml beside the file; name the lab with --lab"))
}

/// The page of an error code.
pub(crate) fn explanation(code: &str) -> Option<String> {
    let code = code.to_uppercase();
    if let Some(page) = ppu_instruments::codes::explain(&code) {
        return Some(page.to_string());
    }
    SCHEDULER_CODES.iter().find(|(known, _)| *known == code).map(|(code, page)| format!("{code}: {page}"))
}

/// Every code that has a page.
pub(crate) fn codes() -> Vec<String> {
    let instruments = ppu_instruments::codes::ALL.iter().map(|page| page.code.to_owned());
    instruments.chain(SCHEDULER_CODES.iter().map(|(code, _)| (*code).to_owned())).collect()
}

/// Codes of the scheduler itself.
const SCHEDULER_CODES: [(&str, &str); 2] = [
    (
        "E0401",
        "the driver refused a command for good\n\n\
         What happened: the scheduler sent a command that the driver will never carry out: its arguments do not fit the \
         driver's manifest, the step is void, or the same key came with other arguments. Nothing was sent to the instrument.\n\
         Is it safe: yes. Nothing moved.\n\
         What to do: read the message of the step. If the driver was updated while a campaign ran, submit the plan again; \
         otherwise report it, since plans are checked before they run.",
    ),
    (
        "E0402",
        "a driver has no record of a command that it had promised\n\n\
         What happened: the driver's ledger was lost, replaced, or restored from an old backup. Whether the instrument \
         carried the command out cannot be known from records.\n\
         Is it safe: the device, its sample and its positions are blocked; the rest of the lab goes on.\n\
         What to do: look at the instrument and the sample, then say what you found in the console (or with the API call \
         ResolveDoubt): done, not done, or sample scrapped. Find out why the ledger was lost before the next command.",
    ),
];
