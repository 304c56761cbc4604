//! The safetensors format (huggingface/safetensors, format description): the length of a JSON header, the header, the
//! numbers. Only single-precision tensors are read or written.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Tensor, Weights, WeightsError};

/// The header of this network's file has some 15 kB; a length beyond this is a damaged file.
const LONGEST_HEADER: usize = 1 << 20;
/// Where the format keeps free text.
const METADATA: &str = "__metadata__";

/// Why bytes are no network in safetensors format.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SafetensorsError {
    /// The file ends early, or its first eight bytes are no length.
    #[error("the file is cut short or is no safetensors file")]
    Truncated,
    /// The header is no JSON of the form that the format describes.
    #[error("the header is not as the format describes it: {0}")]
    Header(String),
    /// A tensor is not of single precision.
    #[error("the tensor `{name}` has the type {found}, not F32")]
    Type {
        /// Its name.
        name: String,
        /// Its type.
        found: String,
    },
    /// The tensors are not those of the network.
    #[error("the tensors are not those of the network")]
    Network(#[source] WeightsError),
}

impl Weights {
    /// Reads a file that [`Weights::to_safetensors`] or another writer made.
    ///
    /// # Errors
    /// [`SafetensorsError`] when the bytes are cut short, no safetensors, or not this network.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, SafetensorsError> {
        let (header, data) = split(bytes)?;
        let metadata = metadata(&header)?;
        let mut tensors = BTreeMap::new();
        for (name, entry) in header.iter().filter(|(name, _)| *name != METADATA) {
            tensors.insert(name.clone(), tensor(name, entry, data)?);
        }
        Self::new(tensors, metadata).map_err(SafetensorsError::Network)
    }

    /// The same numbers and metadata as a file. The same weights give the same bytes.
    #[must_use]
    pub fn to_safetensors(&self) -> Vec<u8> {
        let mut header = Map::new();
        header.insert(METADATA.to_owned(), json!(self.metadata));
        let mut end = 0;
        for (name, tensor) in &self.tensors {
            let start = end;
            end += 4 * tensor.values.len();
            header.insert(name.clone(), json!({"dtype": "F32", "shape": tensor.shape, "data_offsets": [start, end]}));
        }
        let mut header = Value::Object(header).to_string().into_bytes();
        // Spaces up to a multiple of eight: readers may map the numbers in place.
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        for tensor in self.tensors.values() {
            bytes.extend(tensor.values.iter().flat_map(|value| value.to_le_bytes()));
        }
        bytes
    }
}

/// Licence, source and digests of a file, without its tensors.
///
/// # Errors
/// [`SafetensorsError`] when the bytes do not begin as a safetensors file.
pub fn read_metadata(bytes: &[u8]) -> Result<BTreeMap<String, String>, SafetensorsError> {
    metadata(&split(bytes)?.0)
}

fn split(bytes: &[u8]) -> Result<(Map<String, Value>, &[u8]), SafetensorsError> {
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or(SafetensorsError::Truncated)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| SafetensorsError::Truncated)?;
    if length > LONGEST_HEADER {
        return Err(SafetensorsError::Truncated);
    }
    let (header, data) = rest.split_at_checked(length).ok_or(SafetensorsError::Truncated)?;
    match serde_json::from_slice(header) {
        Ok(Value::Object(header)) => Ok((header, data)),
        Ok(_) => Err(SafetensorsError::Header("it is no object".to_owned())),
        Err(error) => Err(SafetensorsError::Header(error.to_string())),
    }
}

fn metadata(header: &Map<String, Value>) -> Result<BTreeMap<String, String>, SafetensorsError> {
    let Some(entry) = header.get(METADATA) else { return Ok(BTreeMap::new()) };
    let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    let read = entry.as_object().and_then(|entries| entries.iter().map(text).collect());
    read.ok_or_else(|| SafetensorsError::Header("its metadata are no texts".to_owned()))
}

fn tensor(name: &str, entry: &Value, data: &[u8]) -> Result<Tensor, SafetensorsError> {
    let broken = || SafetensorsError::Header(format!("the entry of `{name}` is incomplete"));
    let kind = entry.get("dtype").and_then(Value::as_str).ok_or_else(broken)?;
    if kind != "F32" {
        return Err(SafetensorsError::Type { name: name.to_owned(), found: kind.to_owned() });
    }
    let numbers = |key: &str| -> Option<Vec<usize>> {
        let list = entry.get(key)?.as_array()?;
        list.iter().map(|number| usize::try_from(number.as_u64()?).ok()).collect()
    };
    let shape = numbers("shape").ok_or_else(broken)?;
    let offsets = numbers("data_offsets").ok_or_else(broken)?;
    let [start, end] = offsets[..] else { return Err(broken()) };
    let part = data.get(start..end).ok_or(SafetensorsError::Truncated)?;
    let (values, rest) = part.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(broken());
    }
    Ok(Tensor { shape, values: values.iter().map(|value| f32::from_le_bytes(*value)).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_survive_a_round_trip_bit_by_bit() {
        let weights = Weights::random(3);
        let bytes = weights.to_safetensors();
        let back = Weights::from_safetensors(&bytes).unwrap();
        assert_eq!(back, weights);
        assert_eq!(back.to_safetensors(), bytes);
        assert_eq!(read_metadata(&bytes).unwrap()["source"], "untrained, seed 3");
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let bytes = Weights::random(3).to_safetensors();
        assert_eq!(Weights::from_safetensors(&bytes[..5]), Err(SafetensorsError::Truncated));
        assert_eq!(Weights::from_safetensors(&bytes[..bytes.len() - 1]), Err(SafetensorsError::Truncated));
        assert_eq!(Weights::from_safetensors(&[0xff; 64]), Err(SafetensorsError::Truncated));
        let text = String::from_utf8_lossy(&bytes[8..2000]).into_owned();
        let at = 8 + text.find("F32").unwrap();
        let mut other = bytes.clone();
        other[at..at + 3].copy_from_slice(b"F16");
        assert!(matches!(Weights::from_safetensors(&other), Err(SafetensorsError::Type { .. })));
    }
}
