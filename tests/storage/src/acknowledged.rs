//! What a process said was durable, line by line over a pipe.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use ppu_store::ArtifactHash;

/// What was acknowledged before the process was killed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// Records of the journal, or of the one engine that a writer has: sequence and digest of the content.
    pub records: BTreeMap<u64, String>,
    /// Records of the driver's ledger.
    pub ledger: BTreeMap<u64, String>,
    /// Raw data: name and length in bytes.
    pub artifacts: BTreeMap<ArtifactHash, u64>,
}

impl Acknowledged {
    /// How many acknowledgements there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.records.len() + self.ledger.len() + self.artifacts.len()
    }

    /// Takes one line in.
    ///
    /// # Errors
    /// The line says nothing that is known.
    pub fn take(&mut self, line: &str) -> anyhow::Result<()> {
        let mut words = line.split(' ');
        let mut word = || words.next().with_context(|| format!("`{line}` is too short"));
        match word()? {
            "record" => drop(self.records.insert(word()?.parse()?, word()?.to_owned())),
            "ledger" => drop(self.ledger.insert(word()?.parse()?, word()?.to_owned())),
            "artifact" => drop(self.artifacts.insert(word()?.parse()?, word()?.parse()?)),
            other => bail!("`{other}` is no acknowledgement"),
        }
        Ok(())
    }
}

/// The digest of a content in an acknowledgement.
#[must_use]
pub fn digest(content: &[u8]) -> String {
    blake3::hash(content).to_hex().to_string()
}
