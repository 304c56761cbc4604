//! The safetensors format (huggingface/safetensors, format description): the length of a JSON header, the header, the
//! numbers. Single precision alone.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The header has some 5 kB; a length beyond this is a damaged file.
const LONGEST_HEADER: usize = 1 << 20;
const METADATA: &str = "__metadata__";

/// Named tensors and free texts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tensors {
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) tensors: BTreeMap<String, Tensor>,
}

/// Numbers with a shape, the last index fastest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// Why bytes are no file of single-precision tensors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SafetensorsError {
    /// The file ends early, or its first eight bytes are no length.
    #[error("the file is cut short or is no safetensors file")]
    Truncated,
    /// The header is not as the format describes it.
    #[error("the header is not as the format describes it: {0}")]
    Header(String),
}

impl Tensors {
    /// The same tensors give the same bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
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
        let values = self.tensors.values().flat_map(|tensor| &tensor.values);
        bytes.extend(values.flat_map(|value| value.to_le_bytes()));
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Tensors, SafetensorsError> {
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or(SafetensorsError::Truncated)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length > LONGEST_HEADER {
            return Err(SafetensorsError::Truncated);
        }
        let (header, data) = rest.split_at_checked(length).ok_or(SafetensorsError::Truncated)?;
        let header: Map<String, Value> =
            serde_json::from_slice(header).map_err(|error| SafetensorsError::Header(error.to_string()))?;
        let mut found = Tensors::default();
        for (name, entry) in &header {
            if name == METADATA {
                let texts = entry.as_object().into_iter().flatten();
                found.metadata =
                    texts.filter_map(|(key, text)| Some((key.clone(), text.as_str()?.to_owned()))).collect();
            } else {
                found.tensors.insert(name.clone(), tensor(name, entry, data)?);
            }
        }
        Ok(found)
    }
}

fn tensor(name: &str, entry: &Value, data: &[u8]) -> Result<Tensor, SafetensorsError> {
    let broken = || SafetensorsError::Header(format!("the entry of `{name}` is incomplete, or not of the type F32"));
    let numbers = |key: &str| -> Option<Vec<usize>> {
        entry.get(key)?.as_array()?.iter().map(|number| usize::try_from(number.as_u64()?).ok()).collect()
    };
    let shape = numbers("shape").ok_or_else(broken)?;
    let offsets = numbers("data_offsets").ok_or_else(broken)?;
    let ([start, end], Some("F32")) = (&offsets[..], entry.get("dtype").and_then(Value::as_str)) else {
        return Err(broken());
    };
    let (values, rest) = data.get(*start..*end).ok_or(SafetensorsError::Truncated)?.as_chunks::<4>();
    if !rest.is_empty()
        || shape.iter().try_fold(1, |product: usize, side| product.checked_mul(*side)) != Some(values.len())
    {
        return Err(broken());
    }
    Ok(Tensor { shape, values: values.iter().map(|value| f32::from_le_bytes(*value)).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_survive_a_round_trip_and_damage_is_refused() {
        let mut tensors = Tensors::default();
        tensors.metadata.insert("source".to_owned(), "a test".to_owned());
        tensors
            .tensors
            .insert("a".to_owned(), Tensor { shape: vec![2, 3], values: vec![1.0, -2.5, 0.0, 1e-9, 4.0, 5.0] });
        tensors.tensors.insert("b".to_owned(), Tensor { shape: vec![1], values: vec![7.0] });
        let bytes = tensors.to_bytes();
        assert_eq!(Tensors::from_bytes(&bytes), Ok(tensors));
        assert_eq!(Tensors::from_bytes(&bytes[..bytes.len() - 1]), Err(SafetensorsError::Truncated));
        assert_eq!(Tensors::from_bytes(&[0xff; 64]), Err(SafetensorsError::Truncated));
        let damaged = String::from_utf8_lossy(&bytes[8..]).replacen("F32", "F16", 1);
        let damaged = [&bytes[..8], damaged.as_bytes()].concat();
        assert!(matches!(
            Tensors::from_bytes(&damaged),
            Err(SafetensorsError::Header(_) | SafetensorsError::Truncated)
        ));
    }
}
