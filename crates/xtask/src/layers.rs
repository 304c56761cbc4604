//! Which crate may use which: the table of the architecture, checked against what the manifests declare.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Crates that may use every other one: the composition root and the tests that cross crates.
const MAY_USE_ALL: [&str; 5] = ["ppu", "ppu-tests", "ppu-model", "ppu-simulation", "ppu-storage-torture"];

/// What each other crate may use of ours, directly. A crate that is missing here is a violation too.
const TABLE: [(&str, &[&str]); 21] = [
    ("ppu-core", &[]),
    ("ppu-atoms", &["ppu-diffraction"]),
    ("ppu-timetable", &[]),
    ("ppu-diffraction", &[]),
    ("ppu-spectra", &[]),
    ("ppu-store", &[]),
    ("ppu-host", &[]),
    ("xtask", &[]),
    ("ppu-engine", &["ppu-core", "ppu-timetable"]),
    ("ppu-optimizer", &["ppu-core"]),
    ("ppu-twin", &["ppu-core", "ppu-atoms", "ppu-diffraction", "ppu-spectra"]),
    ("ppu-wyckoff", &["ppu-atoms", "ppu-twin"]),
    ("ppu-proposer", &["ppu-core", "ppu-optimizer", "ppu-twin", "ppu-wyckoff"]),
    ("ppu-proto", &["ppu-core"]),
    ("ppu-journal", &["ppu-core", "ppu-engine", "ppu-proto", "ppu-store", "ppu-host"]),
    ("ppu-driver", &["ppu-core", "ppu-proto", "ppu-store", "ppu-host"]),
    ("ppu-instruments", &["ppu-core", "ppu-proto", "ppu-driver", "ppu-atoms"]),
    (
        "ppu-scheduler",
        &[
            "ppu-core",
            "ppu-engine",
            "ppu-timetable",
            "ppu-optimizer",
            "ppu-proposer",
            "ppu-twin",
            "ppu-diffraction",
            "ppu-spectra",
            "ppu-proto",
            "ppu-store",
            "ppu-journal",
            "ppu-host",
        ],
    ),
    ("ppu-optimizer-service", &["ppu-optimizer", "ppu-proto", "ppu-store"]),
    ("ppu-console", &["ppu-core", "ppu-proto"]),
    ("firmware-sim", &["ppu-diffraction", "ppu-spectra"]),
];

/// The simulated firmware and what it must not reach in any way, tests included: a mistake about a protocol that both
/// sides share would cancel itself out.
const SIMULATOR: &str = "firmware-sim";
const DRIVER_SIDE: [&str; 2] = ["ppu-driver", "ppu-instruments"];

/// One crate of ours uses another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The crate that uses.
    pub from: String,
    /// The crate that is used.
    pub to: String,
    /// Whether only tests and examples of `from` use it.
    pub dev: bool,
}

/// The crates of this workspace and how they use each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// Names of all workspace packages.
    pub crates: BTreeSet<String>,
    /// Every declared use, whatever target or feature it depends on.
    pub uses: BTreeSet<Use>,
}

/// Reads the graph from the manifests of the workspace. Nothing is downloaded: crates of ours are path dependencies, so
/// what the manifests declare is all there is.
pub fn read(root: &Path) -> Result<Graph, cargo_metadata::Error> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()?;
    let packages = metadata.workspace_packages();
    let crates: BTreeSet<String> = packages.iter().map(|package| package.name.to_string()).collect();
    let mut uses = BTreeSet::new();
    for package in &packages {
        for dependency in package.dependencies.iter().filter(|dependency| crates.contains(&dependency.name)) {
            uses.insert(Use {
                from: package.name.to_string(),
                to: dependency.name.clone(),
                dev: dependency.kind == DependencyKind::Development,
            });
        }
    }
    Ok(Graph { crates, uses })
}

/// Everything in the graph that the architecture forbids, one sentence each.
pub fn violations(graph: &Graph) -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = TABLE.into_iter().collect();
    let mut found = Vec::new();
    for name in graph.crates.iter().map(String::as_str) {
        if !table.contains_key(name) && !MAY_USE_ALL.contains(&name) {
            found.push(format!("{name} is not in the layer table; decide what it may use"));
        }
    }
    for name in table.keys().filter(|name| !graph.crates.contains(**name)) {
        found.push(format!("{name} is in the layer table, but not in the workspace"));
    }
    for Use { from, to, .. } in graph.uses.iter().filter(|edge| !edge.dev) {
        let allowed = MAY_USE_ALL.contains(&from.as_str())
            || table.get(from.as_str()).is_none_or(|allowed| allowed.contains(&to.as_str()));
        if !allowed {
            found.push(format!("{from} uses {to}, which its layer forbids"));
        }
    }
    for forbidden in reached_from(graph, SIMULATOR).intersection(&BTreeSet::from(DRIVER_SIDE)) {
        found.push(format!("{SIMULATOR} reaches {forbidden}; simulator and driver must share no code"));
    }
    found
}

/// What a crate is built or tested with: its own uses of every kind, and the normal ones of what it uses.
fn reached_from<'a>(graph: &'a Graph, start: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> =
        graph.uses.iter().filter(|edge| edge.from == start).map(|edge| edge.to.as_str()).collect();
    while let Some(name) = open.pop() {
        if reached.insert(name) {
            open.extend(graph.uses.iter().filter(|edge| edge.from == name && !edge.dev).map(|edge| edge.to.as_str()));
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(extra: &[(&str, &str, bool)]) -> Graph {
        let crates = TABLE.iter().map(|(name, _)| (*name).to_owned()).chain(MAY_USE_ALL.map(str::to_owned)).collect();
        let uses = extra.iter().map(|(from, to, dev)| Use { from: (*from).into(), to: (*to).into(), dev: *dev });
        Graph { crates, uses: uses.collect() }
    }

    #[test]
    fn what_the_table_allows_passes() {
        assert_eq!(violations(&graph(&[("ppu-engine", "ppu-core", false), ("ppu", "ppu-scheduler", false)])), [""; 0]);
        assert_eq!(violations(&graph(&[("ppu-core", "ppu-engine", true)])), [""; 0]);
    }

    #[test]
    fn a_use_across_the_layers_is_named() {
        assert_eq!(
            violations(&graph(&[("ppu-core", "ppu-engine", false)])),
            ["ppu-core uses ppu-engine, which its layer forbids"]
        );
    }

    #[test]
    fn the_simulator_may_not_even_test_with_a_driver() {
        let found = violations(&graph(&[
            ("firmware-sim", "ppu-tests", true),
            ("ppu-tests", "ppu-instruments", false),
            ("ppu-instruments", "ppu-driver", false),
        ]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("firmware-sim reaches ppu-driver"), "{found:?}");
    }

    #[test]
    fn a_new_crate_must_be_placed() {
        let mut graph = graph(&[]);
        graph.crates.insert("ppu-new".to_owned());
        assert_eq!(violations(&graph), ["ppu-new is not in the layer table; decide what it may use"]);
    }
}
