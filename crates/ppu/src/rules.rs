//! `ppu twin rules`: what charges, radii and the laboratory's bans say of compositions, before anything is computed or made.

use clap::Args;
use ppu_twin::rules::{
    ChargeSettings, ChargeVerdict, Charges, Element, Flag, Formula, Inventory, Ion, Mixing, PerovskiteFactors,
    PerovskiteRefusal, RadiusPolicy, Solubility, charge_balance, flags, mixing, perovskite_factors,
};
use serde_json::{Value, json};

use crate::exit;
use crate::twin::{print, with_cause};

#[derive(Debug, Args)]
pub(crate) struct RulesArguments {
    /// Formulas such as BaTiO3 or Ba(Ti4Zr)O15; solid solutions in whole numbers.
    #[arg(required = true)]
    formulas: Vec<String>,
    /// Elements that may not be used, such as Pb,Tl.
    #[arg(long, value_delimiter = ',')]
    ban: Vec<Element>,
    /// Oxidation states with a smaller share of the reports of their element are left out.
    #[arg(long, default_value_t = 0.0)]
    least_share: f64,
    /// Also let the atoms of one element be in two states.
    #[arg(long)]
    mixed_valence: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// What the rules say of one composition.
struct Judged {
    formula: Formula,
    banned: Option<String>,
    charges: ChargeVerdict,
    perovskite: Option<Result<PerovskiteFactors, PerovskiteRefusal>>,
    mixing: Vec<(Ion, Ion, Mixing)>,
    flags: Vec<Flag>,
}

pub(crate) fn run(arguments: &RulesArguments) -> anyhow::Result<u8> {
    if !(0.0..1.0).contains(&arguments.least_share) {
        return Err(exit::coded(exit::INVALID, "--least-share takes a number from 0 to below 1".to_owned()));
    }
    let read = |text: &String| text.parse::<Formula>().map_err(|error| exit::coded(exit::INVALID, with_cause(&error)));
    // All are read before the first is judged, so that a slip at the end prints nothing.
    let formulas = arguments.formulas.iter().map(read).collect::<anyhow::Result<Vec<Formula>>>()?;
    for formula in formulas {
        let judged = Judged::new(formula, arguments);
        print(&if arguments.json { judged.json()?.to_string() } else { judged.to_string() });
    }
    Ok(0)
}

impl Judged {
    fn new(formula: Formula, arguments: &RulesArguments) -> Judged {
        let settings = ChargeSettings {
            least_share: arguments.least_share,
            mixed_valence: arguments.mixed_valence,
            alloys_pass: true,
            ..ChargeSettings::default()
        };
        let charges = charge_balance(&formula, &settings);
        let inventory = Inventory { banned: arguments.ban.iter().copied().collect(), ..Inventory::default() };
        let ions: &[(Ion, u32)] = if let Charges::Balanced { ions, .. } = &charges.charges { ions } else { &[] };
        let pairs = ions.iter().enumerate().flat_map(|(at, (one, _))| {
            ions[at + 1..].iter().filter_map(move |(other, _)| Some((*one, *other, mixing(*one, *other)?)))
        });
        Judged {
            banned: inventory.check(&formula, 1.0).err().map(|refusal| refusal.to_string()),
            perovskite: as_perovskite(ions),
            mixing: pairs.filter(|(.., mixing)| mixing.solubility != Solubility::Rare).collect(),
            flags: flags(&formula, &charges.charges),
            charges,
            formula,
        }
    }

    fn json(&self) -> anyhow::Result<Value> {
        let perovskite = match &self.perovskite {
            None => Value::Null,
            Some(Ok(factors)) => serde_json::to_value(factors)?,
            Some(Err(refusal)) => json!({ "refused": refusal.to_string() }),
        };
        let mixing = self.mixing.iter().map(|(one, other, mixing)| {
            let ions = [one.to_string(), other.to_string()];
            Ok(json!({ "ions": ions, "mixing": serde_json::to_value(mixing)? }))
        });
        Ok(json!({
            "formula": self.formula.to_string(),
            "passes": self.banned.is_none() && self.charges.passes(),
            "refused": self.banned,
            "charges": serde_json::to_value(&self.charges.charges)?,
            "settings": serde_json::to_value(self.charges.settings)?,
            "perovskite": perovskite,
            "mixing": mixing.collect::<anyhow::Result<Vec<Value>>>()?,
            "flags": serde_json::to_value(&self.flags)?,
        }))
    }
}

/// The factors where two cations are one each to three anions; the larger one is A.
fn as_perovskite(ions: &[(Ion, u32)]) -> Option<Result<PerovskiteFactors, PerovskiteRefusal>> {
    let (cations, anions): (Vec<_>, Vec<_>) = ions.iter().copied().partition(|(ion, _)| ion.charge > 0);
    let [(a, 1), (b, 1)] = cations[..] else { return None };
    let three = anions.iter().map(|(_, count)| count).sum::<u32>() == 3;
    three.then(|| perovskite_factors(a, b, &anions, RadiusPolicy::NearestCoordination))
}

impl std::fmt::Display for Judged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::from_iter(self.banned.clone());
        parts.push(match &self.charges.charges {
            Charges::Balanced { ions, .. } => {
                let mut ions = ions.clone();
                ions.sort_by_key(|(ion, _)| ion.charge < 0);
                let listed = ions.iter().map(|(ion, count)| match count {
                    1 => ion.to_string(),
                    count => format!("{count} {ion}"),
                });
                format!("neutral as {}", listed.collect::<Vec<_>>().join(" "))
            }
            Charges::OutOfOrder => "neutral only with a cation as electronegative as an anion".to_owned(),
            Charges::Unbalanced => "no usual oxidation states are neutral".to_owned(),
            Charges::NoStates(element) => format!("no oxidation state of {element} is listed"),
            Charges::Alloy => "metals alone, nothing to balance".to_owned(),
            Charges::Elemental => "one element, nothing to balance".to_owned(),
        });
        match &self.perovskite {
            Some(Ok(found)) => parts.push(format!(
                "as a perovskite: tolerance factor {:.3}, octahedral factor {:.3}, tau {:.2}, probability {:.2}{}",
                found.tolerance,
                found.octahedral,
                found.tau,
                found.probability,
                if found.substituted { ", radii of a neighbouring coordination" } else { "" }
            )),
            Some(Err(refusal)) => parts.push(format!("as a perovskite: {refusal}")),
            None => {}
        }
        // Ions of unlike charge and size belong on sites of their own.
        let alike = |found: &Mixing| found.solubility == Solubility::Complete || !found.compensated;
        for (one, other, found) in self.mixing.iter().filter(|(.., found)| alike(found)) {
            let how = if found.solubility == Solubility::Complete { "in all proportions" } else { "in part" };
            let but = if found.compensated { ", with another exchange for the charge" } else { "" };
            parts.push(format!(
                "{one} and {other} can share a site {how} (radii {:.0} % apart{but})",
                100.0 * found.mismatch
            ));
        }
        let cautions: Vec<String> = self.flags.iter().filter_map(caution).collect();
        if !cautions.is_empty() {
            parts.push(format!("caution: {}", cautions.join(", ")));
        }
        write!(f, "{}: {}", self.formula, parts.join("; "))
    }
}

/// A caution in words; that ions mix is said already.
fn caution(flag: &Flag) -> Option<String> {
    match flag {
        Flag::DisorderLikely(..) => None,
        Flag::Toxic(element) => Some(format!("{element} is toxic")),
        Flag::Radioactive(element) => Some(format!("{element} is radioactive")),
        Flag::Scarce(element) => Some(format!("{element} is scarce")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(formula: &str, ban: &[&str]) -> Judged {
        let arguments = RulesArguments {
            formulas: Vec::new(),
            ban: ban.iter().map(|symbol| symbol.parse().unwrap()).collect(),
            least_share: 0.0,
            mixed_valence: false,
            json: false,
        };
        Judged::new(formula.parse().unwrap(), &arguments)
    }

    #[test]
    fn compositions_are_judged_in_a_line_each() {
        insta::assert_snapshot!(
            ["BaTiO3", "CsPbI3", "Ba5Sr5Ti10O30", "NaCl2", "FeNi", "BaTaO2N", "MgTiO3"]
                .map(|formula| judged(formula, &["Pb"]).to_string())
                .join("\n")
        );
    }

    #[test]
    fn programs_read_the_same_as_data() {
        let found = judged("CsPbI3", &[]).json().unwrap();
        assert_eq!(found["passes"], true);
        // Goldschmidt's factor of CsPbI3 with Shannon's radii: (188 + 220) / (√2 (119 + 220)).
        assert!((found["perovskite"]["tolerance"].as_f64().unwrap() - 0.851).abs() < 1e-3);
        assert_eq!(judged("CsPbI3", &["Pb"]).json().unwrap()["passes"], false);
        assert_eq!(judged("NaCl2", &[]).json().unwrap()["passes"], false);
    }
}
