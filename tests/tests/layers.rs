//! The architecture and the rules of the house, checked on this very source.

#[test]
fn no_crate_uses_what_its_layer_forbids() {
    let graph = xtask::layers::read(&xtask::root()).unwrap();
    assert!(graph.uses.len() > 30, "cargo metadata told of {} uses only", graph.uses.len());
    let found = xtask::layers::violations(&graph);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_source_keeps_the_rules_of_the_house() {
    let found = xtask::house::violations(&xtask::root()).unwrap();
    assert!(found.is_empty(), "{}", found.join("\n"));
}
