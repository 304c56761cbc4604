//! Checks of settings: types come from serde, ranges from here.

use serde::de::DeserializeOwned;

/// A setting out of its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The key.
    pub(crate) field: &'static str,
    /// What is wrong.
    pub(crate) message: String,
}

/// Settings that can tell what is wrong with them.
pub(crate) trait Check: DeserializeOwned {
    /// Everything that is out of range; empty when all is well.
    fn check(&self) -> Vec<Finding>;
}

/// Finds a number outside its limits, or not a number at all.
pub(crate) fn between(found: &mut Vec<Finding>, field: &'static str, value: f64, min: f64, max: f64) {
    if !(min..=max).contains(&value) {
        found.push(Finding { field, message: format!("`{field}` is {value}, but must be from {min} to {max}") });
    }
}

/// Reads settings out of a table and checks them. Errors are (key if one is to blame, message).
pub(crate) fn read<T: Check>(table: &toml::Table) -> Result<T, Vec<(String, String)>> {
    let settings: T = table.clone().try_into().map_err(|error: toml::de::Error| {
        let message = error.message().lines().collect::<Vec<_>>().join(" ");
        // serde quotes the key in question first: unknown field `x`, missing field `x`.
        let field = message.split('`').nth(1).filter(|key| table.contains_key(*key)).unwrap_or_default().to_owned();
        vec![(field, message)]
    })?;
    let found = settings.check();
    if found.is_empty() {
        return Ok(settings);
    }
    Err(found.into_iter().map(|finding| (finding.field.to_owned(), finding.message)).collect())
}
