//! Design spaces: draws obey every constraint, projections are nearest, contradictions are named.

#![allow(clippy::unwrap_used, reason = "a test that breaks should say where")]

use ppu_optimizer::space::pool::{Pool, ProductPool, best_of};
use ppu_optimizer::space::{Constraint, Design, Domain, Kind, Parameter, Relation, Scale, Setting, Space, SpaceError};
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

fn mixture(parts: &[&str], total: f64) -> Constraint {
    let parts = parts.iter().map(|part| (*part).to_owned()).collect();
    Constraint::Mixture { name: "film".into(), parts, total }
}

fn count(parts: &[&str], at_least: usize, at_most: usize, least: f64) -> Constraint {
    let parts = parts.iter().map(|part| (*part).to_owned()).collect();
    Constraint::Count { name: "components".into(), parts, at_least, at_most, least }
}

fn linear(name: &str, terms: &[(&str, f64)], relation: Relation, bound: f64) -> Constraint {
    let terms = terms.iter().map(|(name, factor)| ((*name).to_owned(), *factor)).collect();
    Constraint::Linear { name: name.into(), terms, relation, bound }
}

/// Everything at once: a mixture of five with at most three in use, a budget, a log temperature, an integer, levels with
/// and without descriptors, an additive that exists for one solvent only, a forbidden pair.
fn everything() -> Space {
    let names = ["a", "b", "c", "d", "e"];
    let mut parameters: Vec<Parameter> = names.iter().map(|name| Parameter::stepped(name, 0.0, 0.8, 0.01)).collect();
    parameters.push(Parameter::logarithmic("minutes", 1.0, 100.0));
    parameters.push(Parameter::integer("layers", 1, 6));
    parameters.push(Parameter::ordinal("speed", &[("slow", 1.0), ("medium", 2.0), ("fast", 5.0)]));
    let solvents: [(&str, &[f64]); 3] = [("dmf", &[36.7, 153.0]), ("dmso", &[46.7, 189.0]), ("gbl", &[39.0, 204.0])];
    parameters.push(Parameter::described("solvent", &solvents));
    parameters.push(Parameter::categorical("gas", &["argon", "air"]));
    parameters.push(Parameter::continuous("additive", 0.0, 5.0).only_if("solvent", &["dmso"]));
    let forbidden = Constraint::Forbidden {
        name: "fire".into(),
        all_of: vec![("solvent".into(), Setting::from("dmf")), ("gas".into(), Setting::from("air"))],
    };
    let constraints = vec![
        mixture(&names, 1.0),
        count(&names, 1, 3, 0.05),
        linear("price", &[("a", 3.0), ("b", 1.0), ("c", 0.5)], Relation::AtMost, 1.5),
        forbidden,
    ];
    Space { parameters, constraints }
}

#[test]
fn every_draw_neighbour_and_projection_satisfies_everything() {
    let domain = Domain::new(everything()).unwrap();
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let mut designs = domain.sample(200, &mut rng);
    assert_eq!(designs.len(), 200);
    designs.extend(domain.spread(20, &[], &mut rng).unwrap());
    let start = designs[0].clone();
    designs.extend(domain.neighbours(&start, 100, 0.2, &mut rng).unwrap());
    assert!(designs.len() > 280, "{}", designs.len());
    let (mut with, mut supports) = (0, std::collections::BTreeSet::new());
    for design in &designs {
        assert_eq!(domain.check(design), Ok(()), "{design}");
        assert_eq!(design.0.contains_key("additive"), design.level("solvent") == Some("dmso"));
        with += usize::from(design.0.contains_key("additive"));
        let used: Vec<&str> =
            ["a", "b", "c", "d", "e"].into_iter().filter(|part| design.number(part).unwrap() > 0.0).collect();
        supports.insert(used);
        let sum: f64 = ["a", "b", "c", "d", "e"].iter().map(|part| design.number(part).unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{design}");
        let row = domain.encode(design).unwrap();
        assert!(row.len() == domain.features().len() && row.iter().all(|x| (-1e-9..=1.0 + 1e-9).contains(x)));
    }
    assert!(with > 40 && supports.len() > 10, "{with} {supports:?}");
}

#[test]
fn a_wish_outside_is_moved_to_the_nearest_allowed_point() {
    let domain = Domain::new(everything()).unwrap();
    let mut wish = domain.sample(1, &mut ChaCha12Rng::seed_from_u64(2)).remove(0);
    for (part, value) in [("a", 0.9), ("b", 0.4), ("c", 0.2), ("d", 0.15), ("e", 0.0)] {
        wish.0.insert(part.into(), value.into());
    }
    wish.0.insert("minutes".into(), Setting::Number(500.0));
    wish.0.remove("additive");
    wish.0.insert("solvent".into(), "dmf".into());
    wish.0.insert("gas".into(), "air".into());
    let allowed = domain.project(&wish).unwrap();
    assert_eq!(domain.check(&allowed), Ok(()), "{allowed}");
    assert_eq!(allowed.number("minutes"), Some(100.0));
    assert_eq!(allowed.number("d"), Some(0.0));
    let again = domain.project(&allowed).unwrap();
    assert_eq!(again, allowed);
    wish.0.insert("minutes".into(), Setting::Number(f64::NAN));
    assert!(domain.project(&wish).is_err());
}

#[test]
fn contradictions_are_named_and_only_those() {
    let numbers = |names: &[&str]| names.iter().map(|name| Parameter::continuous(name, 0.0, 1.0)).collect::<Vec<_>>();
    let refuse = |parameters, constraints| Domain::new(Space { parameters, constraints }).unwrap_err().to_string();
    let apart = vec![
        linear("harmless", &[("x", 1.0), ("y", 1.0)], Relation::AtMost, 1.9),
        linear("high", &[("x", 1.0), ("y", 1.0)], Relation::AtLeast, 1.5),
        linear("low", &[("x", 1.0), ("y", 2.0)], Relation::AtMost, 1.2),
    ];
    let text = refuse(numbers(&["x", "y"]), apart);
    assert_eq!(text, "no point satisfies constraints `high` and `low` together within the limits of its parameters");
    let text = refuse(numbers(&["x", "y"]), vec![mixture(&["x", "y"], 2.5)]);
    assert_eq!(text, "constraint `film`: its terms sum to 0 … 2, never to 2.5");
    let mut narrow = numbers(&["x", "y", "z"]);
    narrow.iter_mut().for_each(|one| one.kind = Parameter::continuous("", 0.0, 0.4).kind);
    let text = refuse(narrow, vec![mixture(&["x", "y", "z"], 1.0), count(&["x", "y", "z"], 1, 2, 0.0)]);
    assert!(text.contains("`film`") && text.contains("`components`"), "{text}");
    let stepped = vec![Parameter::stepped("x", 0.0, 1.0, 0.3), Parameter::stepped("y", 0.0, 1.0, 0.3)];
    assert!(matches!(
        Domain::new(Space { parameters: stepped, constraints: vec![mixture(&["x", "y"], 1.0)] }),
        Err(SpaceError::Steps(_))
    ));
    let pair = |gas: &str| Constraint::Forbidden {
        name: format!("no {gas}"),
        all_of: vec![("gas".into(), Setting::from(gas))],
    };
    let text = refuse(vec![Parameter::categorical("gas", &["argon", "air"])], vec![pair("argon"), pair("air")]);
    assert!(text.contains("`no argon` and `no air`"), "{text}");
}

#[test]
fn parameters_without_sense_are_named() {
    let refuse = |kind| {
        let parameter = Parameter { name: "time".into(), kind, active_if: None };
        Domain::new(Space { parameters: vec![parameter], constraints: vec![] }).unwrap_err().to_string()
    };
    let continuous = |min, max, scale| Kind::Continuous { min, max, step: None, scale };
    for kind in [
        continuous(1.0, 1.0, Scale::Linear),
        continuous(f64::NAN, 1.0, Scale::Linear),
        continuous(0.0, 1.0, Scale::Log),
        continuous(0.0, 1.0, Scale::Custom(vec![(0.0, 1.0), (1.0, 0.0)])),
        Kind::Continuous { min: 0.1, max: 0.2, step: Some(1.0), scale: Scale::Linear },
        Parameter::categorical("", &["same", "same"]).kind,
        Parameter::described("", &[("x", &[1.0]), ("y", &[])]).kind,
        Parameter::ordinal("", &[("x", 2.0), ("y", 1.0)]).kind,
    ] {
        let text = refuse(kind);
        assert!(text.contains("`time`"), "{text}");
    }
    assert_eq!(Domain::new(Space::default()).unwrap_err(), SpaceError::Empty);
    let late = Parameter::continuous("x", 0.0, 1.0).only_if("gas", &["air"]);
    let space = Space { parameters: vec![late, Parameter::categorical("gas", &["argon", "air"])], constraints: vec![] };
    assert!(Domain::new(space).unwrap_err().to_string().contains("`x`"));
}

#[test]
fn designs_that_do_not_belong_are_refused_by_name() {
    let domain = Domain::new(everything()).unwrap();
    let good = domain
        .sample(50, &mut ChaCha12Rng::seed_from_u64(3))
        .into_iter()
        .find(|one| one.level("solvent") == Some("gbl"))
        .unwrap();
    let refuse = |name: &str, setting: Option<Setting>| {
        let mut bad = good.clone();
        match setting {
            Some(setting) => bad.0.insert(name.into(), setting),
            None => bad.0.remove(name),
        };
        domain.encode(&bad).unwrap_err().to_string()
    };
    assert_eq!(refuse("colour", Some(1.0.into())), "`colour` is not a parameter of this space");
    assert_eq!(refuse("gas", None), "`gas` has no value");
    assert_eq!(refuse("gas", Some("neon".into())), "`gas` cannot be `neon`");
    assert_eq!(refuse("minutes", Some(1000.0.into())), "`minutes` is 1000, outside 1 to 100");
    assert!(refuse("minutes", Some(f64::NAN.into())).contains("`minutes` is NaN"));
    assert!(refuse("layers", Some(1.5.into())).contains("`layers`"));
    assert!(refuse("additive", Some(1.0.into())).contains("`solvent`"));
    assert!(refuse("a", Some(0.79.into())).contains("constraint"));
}

#[test]
fn a_product_of_categories_is_walked_through_without_being_held() {
    let mut parameters = vec![Parameter::categorical("gas", &["argon", "air"])];
    parameters.push(Parameter::stepped("x", 0.0, 1.0, 0.1));
    parameters.push(Parameter::integer("n", 0, 9).only_if("gas", &["air"]));
    let space = Space { parameters, constraints: vec![] };
    let domain = Domain::new(space).unwrap();
    let pool = ProductPool::new(&domain).unwrap();
    assert_eq!(pool.len(), 2 * 11 * 10);
    let designs: Vec<Design> = (0..pool.len()).filter_map(|number| pool.design(number)).collect();
    // Argon has no n: 11 designs; air has 110.
    assert_eq!(designs.len(), 121);
    assert!(designs.iter().all(|design| domain.check(design).is_ok()));
    let score = |rows: &[f64], _: f64, scores: &mut Vec<f64>| {
        scores.extend(rows.chunks(pool.width()).map(|row| row.iter().sum::<f64>()));
    };
    let best = best_of(&pool, 5, &[], score);
    let mut all: Vec<(f64, usize)> = (0..pool.len())
        .filter_map(|number| {
            let mut row = Vec::new();
            pool.row(number, &mut row).then(|| (row.iter().sum::<f64>(), number))
        })
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    assert_eq!(
        best.iter().map(|one| one.number).collect::<Vec<_>>(),
        all[..5].iter().map(|one| one.1).collect::<Vec<_>>()
    );
    let without = best_of(&pool, 4, &[best[0].number], score);
    assert_eq!(without[0], best[1]);
}

#[test]
fn the_space_of_a_campaign_keeps_all_parts_of_its_mixture() {
    let part = |name: &str| ppu_core::Parameter {
        name: name.into(),
        unit: ppu_core::Unit::One,
        min: 0.0,
        max: 1.0,
        resolution: 0.005,
        log: false,
    };
    let mixture = ppu_core::design::Mixture { parts: vec!["cs".into(), "ma".into(), "fa".into()] };
    let campaign =
        ppu_core::DesignSpace { parameters: vec![part("cs"), part("ma"), part("fa")], mixtures: vec![mixture] };
    let domain = Domain::new(Space::from(&campaign)).unwrap();
    assert_eq!(domain.features().len(), 3);
    let draws = domain.sample(3000, &mut ChaCha12Rng::seed_from_u64(4));
    for name in ["cs", "ma", "fa"] {
        let mean = draws.iter().map(|draw| draw.number(name).unwrap()).sum::<f64>() / 3000.0;
        assert!((mean - 1.0 / 3.0).abs() < 0.02, "{name} {mean}");
    }
    let text = serde_json::to_string(domain.space()).unwrap();
    assert_eq!(&serde_json::from_str::<Space>(&text).unwrap(), domain.space());
}

#[test]
fn a_start_asked_for_one_by_one_is_one_even_sequence_and_known_designs_count() {
    let space = Space {
        parameters: (0..3).map(|at| Parameter::continuous(&format!("x{at}"), 0.0, 1.0)).collect(),
        constraints: vec![],
    };
    let domain = Domain::new(space).unwrap();
    let spread = |count, taken: &[Design]| domain.spread(count, taken, &mut ChaCha12Rng::seed_from_u64(5)).unwrap();
    let together = spread(14, &[]);
    let mut alone: Vec<Design> = Vec::new();
    for _ in 0..14 {
        let next = spread(1, &alone);
        alone.extend(next);
    }
    assert_eq!(together, alone);
    // Borders are not crowded: a third of every axis holds about a third of the designs.
    for at in 0..3 {
        let inner = together.iter().filter(|one| (one.number(&format!("x{at}")).unwrap() - 0.5).abs() < 1.0 / 6.0);
        assert!((3..=7).contains(&inner.count()), "axis {at}");
    }
    // A design from elsewhere stands for the one of the sequence that it is near to.
    let near = Design::of([
        ("x0", together[3].number("x0").unwrap() + 0.01),
        ("x1", together[3].number("x1").unwrap()),
        ("x2", together[3].number("x2").unwrap()),
    ]);
    let beside = spread(13, &[near]);
    assert!(!beside.contains(&together[3]) && beside.iter().all(|one| together.contains(one)));
}
