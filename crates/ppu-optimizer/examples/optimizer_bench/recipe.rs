//! A committee in words, to compare others with the default: `flat,smooth,forest kappa=1 rule=rank score=bound`.

use ppu_optimizer::committee::{Kind, Recipe, Rule, Score};
use ppu_optimizer::gp::Prior;

use crate::{Problem, number};

/// The default with what the text changes of it. The first word names the members.
pub(crate) fn parse(text: &str) -> Result<Recipe, Problem> {
    let mut words = text.split_whitespace();
    let kinds = words.next().unwrap_or_default().split(',').map(kind).collect::<Result<Vec<Kind>, Problem>>()?;
    let mut recipe = Recipe { kinds, ..Recipe::default() };
    for word in words {
        match word.split_once('=').ok_or(format!("`{word}` is not name=value"))? {
            ("kappa", value) => recipe.kappa = number(value)?,
            ("equal", value) => recipe.equal = number(value)?,
            ("temper", value) => recipe.temper = number(value)?,
            ("sparse", value) => recipe.sparse = number(value)?,
            ("rule", "rank") => recipe.rule = Rule::Rank,
            ("rule", "log") => recipe.rule = Rule::LogRank,
            ("score", "bound") => recipe.score = Score::Bound,
            ("score", "improvement") => recipe.score = Score::Improvement,
            ("score", "both") => recipe.score = Score::Both,
            ("score", "mixture") => recipe.score = Score::Mixture,
            _ => return Err(format!("a recipe has no `{word}`")),
        }
    }
    Ok(recipe)
}

fn kind(name: &str) -> Result<Kind, Problem> {
    Ok(match name {
        "flat" => Kind::Process(Prior::Flat),
        "scaled" => Kind::Process(Prior::DimensionScaled),
        "smooth" => Kind::Process(Prior::SmoothNoisy),
        "half" => Kind::Process(Prior::HalfRange),
        "forest" => Kind::Forest,
        other => return Err(format!("there is no member `{other}`")),
    })
}
