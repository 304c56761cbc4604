//! Named arrays of numbers and their file: the safetensors format (huggingface/safetensors, format description), which is the
//! length of a JSON header, the header, the numbers. Single precision alone.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The headers of our networks have 5 to 15 kB; a length beyond this is a damaged file.
const LONGEST_HEADER: usize = 1 << 20;
/// Where the format keeps free text.
const METADATA: &str = "__metadata__";

/// Named arrays, and what must travel with them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tensors {
    /// Licence, source, digests, settings.
    pub metadata: BTreeMap<String, String>,
    /// The arrays.
    pub tensors: BTreeMap<String, Tensor>,
}

/// An array in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Length along each axis.
    pub shape: Vec<usize>,
    /// The numbers, as many as the product of the lengths.
    pub values: Vec<f32>,
}

/// Why bytes are no file of single-precision tensors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorsError {
    /// The file ends early, or its first eight bytes are no length.
    #[error("the file is cut short or is no safetensors file")]
    Truncated,
    /// The header is not as the format describes it.
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
}

impl Tensors {
    /// The file. The same tensors give the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
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

    /// Reads what [`Tensors::to_bytes`] or another writer made.
    ///
    /// # Errors
    /// [`TensorsError`] when the bytes are cut short, no safetensors, or not of single precision.
    pub fn from_bytes(bytes: &[u8]) -> Result<Tensors, TensorsError> {
        let (mut header, data) = split(bytes)?;
        let metadata = match header.remove(METADATA) {
            None => BTreeMap::new(),
            Some(entry) => serde_json::from_value(entry)
                .map_err(|_| TensorsError::Header("its metadata are no texts".to_owned()))?,
        };
        let tensors = header.iter().map(|(name, entry)| Ok((name.clone(), tensor(name, entry, data)?)));
        Ok(Tensors { metadata, tensors: tensors.collect::<Result<_, _>>()? })
    }
}

fn split(bytes: &[u8]) -> Result<(Map<String, Value>, &[u8]), TensorsError> {
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or(TensorsError::Truncated)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > LONGEST_HEADER {
        return Err(TensorsError::Truncated);
    }
    let (header, data) = rest.split_at_checked(length).ok_or(TensorsError::Truncated)?;
    let header = serde_json::from_slice(header).map_err(|error| TensorsError::Header(error.to_string()))?;
    Ok((header, data))
}

fn tensor(name: &str, entry: &Value, data: &[u8]) -> Result<Tensor, TensorsError> {
    let broken = || TensorsError::Header(format!("the entry of `{name}` is incomplete"));
    let kind = entry.get("dtype").and_then(Value::as_str).ok_or_else(broken)?;
    if kind != "F32" {
        return Err(TensorsError::Type { name: name.to_owned(), found: kind.to_owned() });
    }
    let numbers = |key: &str| -> Option<Vec<usize>> {
        entry.get(key)?.as_array()?.iter().map(|number| usize::try_from(number.as_u64()?).ok()).collect()
    };
    let shape = numbers("shape").ok_or_else(broken)?;
    let offsets = numbers("data_offsets").ok_or_else(broken)?;
    let [start, end] = offsets[..] else { return Err(broken()) };
    let (values, rest) = data.get(start..end).ok_or(TensorsError::Truncated)?.as_chunks::<4>();
    let count = shape.iter().try_fold(1, |product: usize, side| product.checked_mul(*side));
    if !rest.is_empty() || count != Some(values.len()) {
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
        assert_eq!(Tensors::from_bytes(&bytes[..bytes.len() - 1]), Err(TensorsError::Truncated));
        assert_eq!(Tensors::from_bytes(&[0xff; 64]), Err(TensorsError::Truncated));
        let changed = |from: &[u8], to: &[u8]| {
            let at = bytes.windows(from.len()).position(|part| part == from).unwrap();
            Tensors::from_bytes(&[&bytes[..at], to, &bytes[at + from.len()..]].concat())
        };
        assert!(matches!(changed(b"F32", b"F16"), Err(TensorsError::Type { .. })));
        assert!(matches!(changed(b"[2,3]", b"[2,4]"), Err(TensorsError::Header(_))));
        assert!(matches!(changed(b"\"a test\"", b"12345678"), Err(TensorsError::Header(_))));
    }
}
