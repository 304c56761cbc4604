//! Proposals over listed perovskites: a small laboratory made up for the test, and the Perov-5 table where it is at hand.
#![allow(clippy::disallowed_methods, reason = "a test reads the reference table where there is one")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use ppu_proposer::LogDensity;
use ppu_proposer::anneal::FactorTable;
use ppu_proposer::crystal::{
    Assessment, Background, Campaign, CampaignError, CampaignSettings, ExchangeSettings, Guide, HeatLevel, IonExchange,
    Listed, Parent, Perovskite, PerovskiteRules, Policy, ReferenceSet, ReplayLab, SteerSettings, SubstitutionTable,
    Target, descriptors, rule_features, run_campaign,
};
use ppu_twin::rules::{Element, Inventory};

fn element(symbol: &str) -> Element {
    symbol.parse().expect("a known symbol")
}

/// 12 × 12 cations with three anion sets. Heat falls with the probability of tau and with usual states; only even-electron rows
/// have a gap. The rules know a part of this and not all.
fn laboratory() -> (ReplayLab, Vec<Assessment>) {
    let cations = ["Na", "K", "Ca", "Sr", "Ba", "La", "Ti", "Zr", "Nb", "Ta", "Fe", "Sn"];
    let mut lab = ReplayLab { ids: Vec::new(), rows: Vec::new(), heat: Vec::new(), gap: Vec::new() };
    let mut assessed = Vec::new();
    for a in cations {
        for b in cations {
            for x in [["O", "O", "O"], ["N", "O", "O"], ["F", "O", "O"]] {
                let row = Perovskite::new(element(a), element(b), x.map(element));
                let found = PerovskiteRules::default().assess(&row);
                let softness = f64::from(row.a.period()) - 0.3 * f64::from(row.b.group());
                let unusual = if found.log_weight.is_finite() { -0.3 * found.log_weight } else { 2.0 };
                lab.ids.push(lab.ids.len() as u64);
                lab.rows.push(row);
                lab.heat.push(0.4 + unusual - 0.15 * softness);
                lab.gap.push(if found.even_electrons { 1.0 + 0.3 * softness.abs() } else { 0.0 });
                assessed.push(found);
            }
        }
    }
    (lab, assessed)
}

fn settings() -> CampaignSettings {
    CampaignSettings {
        batch: 6,
        most: 60,
        target: Target { heat_below: 0.2, gap: (1.0, 2.0) },
        steer: SteerSettings { particles: 128, diversity: 2.0, ..SteerSettings::default() },
        ..CampaignSettings::default()
    }
}

#[test]
fn a_steered_campaign_finds_more_than_chance_and_explains_itself() {
    let (lab, assessed) = laboratory();
    let settings = settings();
    let targets = lab.targets(&settings.target).len();
    assert!((4..60).contains(&targets), "{targets}");
    let known = [ReferenceSet { name: "one oxide".into(), formulas: ["SrTiO3".parse().unwrap()].into() }];
    let background = Background { assessed: &assessed, known: &known };
    let prior = Listed::rules(&assessed, &vec![false; lab.rows.len()], 0.05);
    let features: Vec<Vec<f64>> =
        lab.rows.iter().zip(&assessed).map(|(row, one)| [descriptors(row), rule_features(one)].concat()).collect();
    let uniform = Listed::uniform(lab.rows.len());
    let half = |policy: Policy<'_>, seed: u64| {
        let done = run_campaign(&lab, policy, background, &settings, seed).unwrap();
        assert_eq!(done.order.iter().collect::<BTreeSet<_>>().len(), done.order.len(), "nothing is evaluated twice");
        (done.found_at(&lab, &settings.target)[targets.div_ceil(2) - 1], done)
    };
    let steered = |seed| half(Policy::Steer(Guide { prior: &prior, features: &features, levels: &[] }), seed);
    let sum = |of: &dyn Fn(u64) -> usize| (0..6).map(of).sum::<usize>();
    let (guided, chance) = (sum(&|seed| steered(seed).0), sum(&|seed| half(Policy::Draw(&uniform), seed).0));
    println!("half of {targets} targets: steered {}, random {}", guided / 6, chance / 6);
    assert!(2 * guided < chance, "{guided} {chance}");

    let (_, done) = steered(1);
    assert_eq!(steered(1).1, done, "the same seed gives the same campaign");
    let tilted =
        done.rounds.iter().flat_map(|round| &round.proposals).find(|one| one.provenance.proposer == "annealed");
    let one = tilted.expect("some round is annealed");
    assert!(one.provenance.temperature.is_some() && one.weight > 0.0);
    assert_eq!((one.provenance.verdicts.len(), one.provenance.verdicts[0].level.as_str()), (2, "F0"));
    assert_eq!((one.provenance.novelty[0].set.as_str(), one.provenance.seed), ("one oxide", 1));
    assert!(matches!(one.log_q, LogDensity::Exact(log_q) if log_q < 0.0));
    assert!(one.reason.contains("P(target)") && one.reason.contains("eV/atom"), "{}", one.reason);
}

/// Predictions of heat that go up and down with it, by `slope`, and an error that only the row knows.
fn level(lab: &ReplayLab, slope: f64) -> [HeatLevel; 1] {
    let error = |row: usize| 0.6 * ((row as f64 * 0.618_033_988_7).fract() - 0.5);
    let heat = lab.heat.iter().enumerate().map(|(row, heat)| Some(slope * (heat - 1.0) + 1.0 + error(row)));
    [HeatLevel::new("F2", heat.collect(), (0.3, 0.3), 0.7)]
}

#[test]
fn a_level_of_the_twin_saves_evaluations_and_a_lying_one_is_left_out() {
    let (lab, assessed) = laboratory();
    let settings = settings();
    let background = Background { assessed: &assessed, known: &[] };
    let prior = Listed::uniform(lab.rows.len());
    let features: Vec<Vec<f64>> = lab.rows.iter().map(descriptors).collect();
    let run = |levels: &[HeatLevel], seed: u64| {
        let guide = Guide { prior: &prior, features: &features, levels };
        run_campaign(&lab, Policy::Search(guide), background, &settings, seed).unwrap()
    };
    let half = |done: &Campaign| {
        let found = done.found_at(&lab, &settings.target);
        found[found.len().div_ceil(2) - 1]
    };
    let sum = |levels: &[HeatLevel]| (0..6).map(|seed| half(&run(levels, seed))).sum::<usize>();
    let (honest, liar) = (level(&lab, 1.0), level(&lab, -1.0));
    let (alone, helped, misled) = (sum(&[]), sum(&honest), sum(&liar));
    println!("half of the targets: no twin {}, twin {}, lying twin {}", alone / 6, helped / 6, misled / 6);
    assert!(4 * helped < 3 * alone, "{helped} {alone}");

    let done = run(&liar, 1);
    let last = done.rounds.last().unwrap();
    assert!(last.dropped && last.levels[0].contains("left out"), "{:?}", last.levels);
    let done = run(&honest, 1);
    assert!(done.rounds.iter().all(|round| !round.dropped));
    let proposal = &done.rounds[1].proposals[0];
    assert_eq!(
        (proposal.provenance.proposer.as_str(), proposal.provenance.verdicts[1].level.as_str()),
        ("search", "F2")
    );
    assert!(proposal.provenance.verdicts[1].says.contains("correlation"), "{proposal:?}");
    assert_eq!(run(&honest, 1), done, "the same seed gives the same campaign");

    let short = [HeatLevel { heat: vec![None; 3], ..honest[0].clone() }];
    let guide = Guide { prior: &prior, features: &features, levels: &short };
    let refused = run_campaign(&lab, Policy::Search(guide), background, &settings, 1);
    assert_eq!(refused, Err(CampaignError::Lengths { rows: lab.rows.len(), listed: 3 }));
}

#[test]
fn a_ban_holds_from_then_on() {
    let (lab, _) = laboratory();
    let tantalum = element("Ta");
    let rules = PerovskiteRules {
        inventory: Inventory { banned: [tantalum].into(), ..Inventory::default() },
        ..PerovskiteRules::default()
    };
    let assessed: Vec<Assessment> = lab.rows.iter().map(|row| rules.assess(row)).collect();
    let banned: Vec<bool> = lab.rows.iter().map(|row| row.sites().contains(&tantalum)).collect();
    let prior = Listed::rules(&assessed, &banned, 0.05);
    let total: f64 = prior.log_q.iter().map(|log| log.exp()).sum();
    assert!((total - 1.0).abs() < 1e-9);
    let features: Vec<Vec<f64>> = lab.rows.iter().map(descriptors).collect();
    let settings = CampaignSettings { most: 40, target: Target { heat_below: -9.0, gap: (1.0, 2.0) }, ..settings() };
    let background = Background { assessed: &assessed, known: &[] };
    let done = run_campaign(
        &lab,
        Policy::Steer(Guide { prior: &prior, features: &features, levels: &[] }),
        background,
        &settings,
        3,
    )
    .unwrap();
    let proposed = done.rounds.iter().flat_map(|round| &round.proposals);
    assert!(proposed.into_iter().all(|one| !one.candidate.sites().contains(&tantalum)));
}

/// The reference table, or `None` with a line that says so.
fn perov5() -> Option<ReplayLab> {
    let folder =
        std::env::var_os("PPU_REFERENCE_DATA").map_or_else(|| PathBuf::from("../../../shared/data"), PathBuf::from);
    let path = folder.join("perov5/perov5.csv");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not there; set PPU_REFERENCE_DATA", path.display());
        return None;
    };
    Some(ReplayLab::parse(&text).expect("the reference table is sound"))
}

#[test]
fn perov5_has_its_published_sums() {
    let Some(lab) = perov5() else { return };
    assert_eq!(lab.targets(&Target::default()).len(), 8);
    let table = FactorTable::new(&lab.factors(), lab.heat.clone()).unwrap();
    for (beta, ln_z, mean, variance, information) in [
        (2.0, -2.166376, 0.782704, 0.247050, 0.6010),
        (5.0, -3.578468, 0.209951, 0.141603, 2.5287),
        (10.0, -3.419609, -0.185340, 0.036166, 5.2730),
        (20.0, -0.630142, -0.327451, 0.005092, 7.1792),
    ] {
        let exact = table.exact(beta);
        assert!((exact.ln_z - ln_z).abs() < 1e-6 && (exact.mean - mean).abs() < 1e-6, "{exact:?}");
        assert!(
            (exact.variance - variance).abs() < 1e-6 && (exact.information - information).abs() < 1e-4,
            "{exact:?}"
        );
    }
    assert!((table.exact_length(5.0, 200) - 2.476).abs() < 2e-3);
    let choices = |factor: usize| {
        (0..table.len()).map(|state| table.neighbours(factor, state).len()).sum::<usize>() as f64 / table.len() as f64
    };
    assert!((choices(0) - 21.4).abs() < 0.1 && (choices(1) - 21.4).abs() < 0.1 && (choices(2) - 3.4).abs() < 0.1);
}

#[test]
fn rules_and_ion_exchange_find_half_of_the_targets_early() {
    let Some(lab) = perov5() else { return };
    let assessed: Vec<Assessment> = lab.rows.iter().map(|row| PerovskiteRules::default().assess(row)).collect();
    let rules = Listed::rules(&assessed, &vec![false; lab.rows.len()], 0.05);
    // Four perovskites of every textbook, none of them a target.
    let parents: Vec<Parent> = [("Sr", "Ti"), ("K", "Ta"), ("La", "Al"), ("Ca", "Zr")]
        .into_iter()
        .map(|(a, b)| {
            let one = Perovskite::new(element(a), element(b), ["O"; 3].map(element));
            let sites = PerovskiteRules::default().assess(&one).ions.expect("known compounds are neutral").to_vec();
            Parent { name: one.formula().to_string(), sites, weight: 1.0 }
        })
        .collect();
    let children: Vec<_> = assessed.iter().map(|one| one.ions.map(|ions| ions.to_vec())).collect();
    let table = SubstitutionTable::published();
    let found = IonExchange::new(table, &parents, &children, &ExchangeSettings::default());
    let exchange = Listed { name: "ion exchange".into(), log_q: found.log_q };
    let background = Background { assessed: &assessed, known: &[] };
    let half = |listed: &Listed| {
        let done = run_campaign(&lab, Policy::Rank(listed), background, &CampaignSettings::default(), 1).unwrap();
        done.found_at(&lab, &Target::default())[3]
    };
    println!("half of the targets: rules {}, ion exchange {}", half(&rules), half(&exchange));
    // Chance takes 3,366 evaluations; a twelfth of them is the yardstick.
    assert!(half(&rules) < 280);
    assert!(half(&exchange) < 3366 / 3);
}
