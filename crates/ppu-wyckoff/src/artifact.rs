//! A trained model as one file.

use std::collections::BTreeMap;

use ppu_atoms::tensors::{Tensor, Tensors, TensorsError};

use crate::network::Network;
use crate::realise::Realiser;

/// A network, what it takes to give its crystals atoms, and where both come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    /// The network.
    pub network: Network<f32>,
    /// Volumes, cells and coordinates of the reference structures.
    pub realiser: Realiser,
    /// Source, licence, settings and figures of the training.
    pub notes: BTreeMap<String, String>,
}

/// Why a file is no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    /// It is no file of tensors.
    #[error("the file could not be read")]
    File(#[from] TensorsError),
    /// A tensor is missing or has another shape; the model was trained by another version.
    #[error("the tensor `{0}` is missing or not of the shape that this version has; train anew")]
    Tensor(String),
}

const TABLES: [&str; 3] = ["realiser.volumes", "realiser.cells", "realiser.coordinates"];

impl Artifact {
    /// The model that is part of this crate. Its data card stands beside it.
    ///
    /// # Errors
    /// [`ArtifactError`] when the file does not fit this version; a test reads it.
    pub fn shipped() -> Result<Artifact, ArtifactError> {
        Artifact::from_bytes(include_bytes!("../artifact/weights.safetensors"))
    }

    /// The same model gives the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut file = Tensors { metadata: self.notes.clone(), tensors: BTreeMap::new() };
        for (name, shape, range) in self.network.tensors() {
            file.tensors.insert(name, Tensor { shape, values: self.network.parameters()[range].to_vec() });
        }
        for (name, (width, values)) in TABLES.iter().zip(self.realiser.tables()) {
            file.tensors.insert((*name).to_owned(), Tensor { shape: vec![values.len() / width, width], values });
        }
        file.to_bytes()
    }

    /// Reads what [`Artifact::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`ArtifactError`] when the bytes are no such file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Artifact, ArtifactError> {
        let file = Tensors::from_bytes(bytes)?;
        let missing = |name: &str| ArtifactError::Tensor(name.to_owned());
        let mut network = Network::zero();
        for (name, shape, range) in network.tensors() {
            let tensor =
                file.tensors.get(&name).filter(|tensor| tensor.shape == shape).ok_or_else(|| missing(&name))?;
            network.parameters_mut()[range].copy_from_slice(&tensor.values);
        }
        let table = |name: &str| file.tensors.get(name).map(|tensor| tensor.values.as_slice());
        let realiser = match TABLES.map(table) {
            [Some(volumes), Some(cells), Some(coordinates)] => Realiser::from_tables(volumes, cells, coordinates),
            _ => None,
        };
        let realiser = realiser.ok_or_else(|| missing("realiser.*"))?;
        Ok(Artifact { network, realiser, notes: file.metadata })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Part, part};
    use crate::{Condition, Crystal, Grammar, Orbit, log_q};

    #[test]
    fn the_shipped_model_is_whole_and_small() {
        let model = Artifact::shipped().unwrap();
        assert!(model.notes["source"].contains("Materials Project") && model.notes["source"].contains("CC BY 4.0"));
        assert_eq!(Artifact::from_bytes(&model.to_bytes()), Ok(model.clone()));
        assert!(model.to_bytes().len() <= 2 << 20);
        let mut broken = model.to_bytes();
        broken.truncate(1000);
        assert!(matches!(Artifact::from_bytes(&broken), Err(ArtifactError::File(_))));
    }

    #[test]
    fn the_shipped_model_knows_the_structure_of_salts_that_it_has_not_seen() {
        let (network, uniform) = (Artifact::shipped().unwrap().network, Network::zero());
        let salts = ["Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba"]
            .into_iter()
            .flat_map(|cation| ["F", "Cl", "Br", "I", "O", "S", "Se"].map(|anion| [cation, anion]))
            .filter(|symbols| part(&symbols.concat().parse().unwrap()) == Part::Test);
        let (mut gain, mut count) = (0.0, 0.0);
        for symbols in salts {
            let elements = symbols.map(|symbol| symbol.parse().unwrap());
            let system = Condition { elements: Some(elements.to_vec()), all_elements: true, ..Condition::default() };
            let grammar = Grammar::new(&system).unwrap();
            let orbits = vec![Orbit { position: 0, element: elements[0] }, Orbit { position: 1, element: elements[1] }];
            let rock_salt = Crystal::new(225, orbits).unwrap().canonical();
            gain += log_q(&network, &grammar, 1.0, &rock_salt) - log_q(&uniform, &grammar, 1.0, &rock_salt);
            count += 1.0;
        }
        assert!(count > 0.0 && gain / count > 3.0, "rock salt gains {} nats over equal chances", gain / count);
    }
}
