//! From the published Python package to weights: the wheel is a zip archive, its member a checkpoint, the checkpoint a
//! zip archive of a pickle and raw numbers. Nothing of it is ever executed.
//!
//! The package is `chgnet` 0.4.2 on the Python Package Index; any of its wheels will do, since the digest that counts is
//! that of the member.

mod pickle;
mod zip;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::tensors::Tensor;
use crate::weights::{Weights, WeightsError, hexadecimal};
pub use pickle::PickleError;
use pickle::{Stored, Value};
pub use zip::ZipError;
use zip::{Archive, Longest};

/// Package and version whose members the digests below are those of.
pub const PACKAGE: (&str, &str) = ("chgnet", "0.4.2");
/// The licence of package and weights travels with every copy.
const LICENCE_MEMBER: &str = "chgnet-0.4.2.dist-info/licenses/LICENSE";
/// Under this name the licence stands in the converted file.
pub const LICENCE_KEY: &str = "licence";

/// Training data that the weights owe credit to.
const CREDIT_PBE: &str = "B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023); trained on MPtrj, from the Materials \
    Project (CC BY 4.0)";
const CREDIT_R2SCAN: &str = "B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023); r2SCAN transfer learning on MP-r2SCAN, \
    from the Materials Project (CC BY 4.0)";

/// A trained network of the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Head {
    /// CHGNet 0.3.0: PBE and PBE+U energies.
    Pbe,
    /// The r²SCAN network made from it by transfer learning.
    R2scan,
}

impl Head {
    /// Both heads.
    pub const ALL: [Head; 2] = [Head::Pbe, Head::R2scan];

    /// The name that the package and our files give it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Head::Pbe => "0.3.0",
            Head::R2scan => "r2scan",
        }
    }

    /// The wheel's member that holds it.
    #[must_use]
    pub fn member(self) -> &'static str {
        match self {
            Head::Pbe => "chgnet/pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
            Head::R2scan => "chgnet/pretrained/r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
        }
    }

    /// SHA-256 of that member.
    #[must_use]
    pub fn member_sha256(self) -> &'static str {
        match self {
            Head::Pbe => "d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1",
            Head::R2scan => "8eba3db0f35a2788bb3ae22885ad340591e27996f213c6643af522a633b50dad",
        }
    }

    fn credit(self) -> &'static str {
        match self {
            Head::Pbe => CREDIT_PBE,
            Head::R2scan => CREDIT_R2SCAN,
        }
    }
}

/// Why a wheel gives no weights.
#[derive(Debug, thiserror::Error)]
pub enum WheelError {
    /// An archive cannot be read.
    #[error("the archive `{part}` cannot be read")]
    Zip {
        /// The wheel or its member.
        part: String,
        /// Why.
        #[source]
        source: ZipError,
    },
    /// A member is not there.
    #[error("the archive `{part}` has no member `{member}`; is it a wheel of chgnet 0.4.2?")]
    Missing {
        /// The wheel or its member.
        part: String,
        /// What was looked for.
        member: String,
    },
    /// The member is another one than the one pinned.
    #[error("the SHA-256 of `{member}` is {found}, not {expected}: do not use this file")]
    Digest {
        /// The member.
        member: String,
        /// Its digest.
        found: String,
        /// The digest it should have.
        expected: String,
    },
    /// The checkpoint's index holds what it should not.
    #[error("the index of the checkpoint cannot be read")]
    Pickle(#[source] PickleError),
    /// The index has no tensors where they should be, or one that is not plain.
    #[error("the checkpoint is not laid out as expected: {0}")]
    Layout(String),
    /// The tensors are not those of the network.
    #[error("the tensors of the checkpoint are not those of the network")]
    Network(#[source] WeightsError),
}

/// The weights of one head from the bytes of a wheel, with the package's licence among their metadata.
///
/// # Errors
/// [`WheelError`] when the wheel is damaged or another one, or its member is not the one pinned.
pub fn weights(wheel: &[u8], head: Head) -> Result<Weights, WheelError> {
    let archive = open(wheel, "wheel")?;
    let checkpoint = member(&archive, "wheel", head.member())?;
    let found = hexadecimal(&Sha256::digest(&checkpoint));
    if found != head.member_sha256() {
        let expected = head.member_sha256().to_owned();
        return Err(WheelError::Digest { member: head.member().to_owned(), found, expected });
    }
    let licence = member(&archive, "wheel", LICENCE_MEMBER)?;
    let [package, version] = [PACKAGE.0, PACKAGE.1];
    let entries = [
        ("model", format!("CHGNet {}", head.name())),
        ("source", format!("{package} {version}, {}", head.member())),
        ("source_sha256", found),
        ("credit", head.credit().to_owned()),
        (LICENCE_KEY, String::from_utf8_lossy(&licence).into_owned()),
    ];
    let metadata = entries.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
    Weights::new(tensors(&checkpoint, head.member())?, metadata).map_err(WheelError::Network)
}

/// The tensors below `model.state_dict` of a checkpoint (a zip archive with a `data.pkl` and raw storages).
fn tensors(checkpoint: &[u8], part: &str) -> Result<BTreeMap<String, Tensor>, WheelError> {
    let archive = open(checkpoint, part)?;
    let missing = || WheelError::Missing { part: part.to_owned(), member: "data.pkl".to_owned() };
    let index = archive.names().find(|name| name.ends_with("/data.pkl")).ok_or_else(missing)?.to_owned();
    let root = index.trim_end_matches("data.pkl");
    let value = pickle::read(&member(&archive, part, &index)?).map_err(WheelError::Pickle)?;
    let layout = |what: &str| WheelError::Layout(what.to_owned());
    let state = value.get("model").and_then(|model| model.get("state_dict"));
    let Some(Value::Dictionary(entries)) = state else { return Err(layout("it has no model.state_dict")) };
    let mut tensors = BTreeMap::new();
    for (name, value) in entries.borrow().iter() {
        let (Value::Text(name), Value::Tensor(stored)) = (name, value) else {
            return Err(layout("model.state_dict holds something else than named tensors"));
        };
        let bytes = member(&archive, part, &format!("{root}data/{}", stored.storage))?;
        let tensor = plain(stored, &bytes).ok_or_else(|| WheelError::Layout(format!("`{name}` is not dense")))?;
        tensors.insert(name.to_string(), tensor);
    }
    Ok(tensors)
}

/// The numbers of a tensor that lies in its storage row by row.
fn plain(stored: &Stored, bytes: &[u8]) -> Option<Tensor> {
    let mut expected = 1usize;
    for (&length, &stride) in stored.shape.iter().zip(&stored.strides).rev() {
        if stride != expected {
            return None;
        }
        expected = expected.checked_mul(length)?;
    }
    let start = stored.offset.checked_mul(4)?;
    let part = bytes.get(start..start.checked_add(expected.checked_mul(4)?)?)?;
    let (values, _) = part.as_chunks::<4>();
    let values = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
    (stored.shape.len() == stored.strides.len()).then(|| Tensor { shape: stored.shape.clone(), values })
}

fn open<'a>(bytes: &'a [u8], part: &str) -> Result<Archive<'a>, WheelError> {
    Archive::open(bytes).map_err(|source| WheelError::Zip { part: part.to_owned(), source })
}

fn member(archive: &Archive<'_>, part: &str, name: &str) -> Result<Vec<u8>, WheelError> {
    // Checkpoints have 5 MB; nothing else that is read is longer.
    match archive.read(name, Longest(32 << 20)) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(WheelError::Missing { part: part.to_owned(), member: name.to_owned() }),
        Err(source) => Err(WheelError::Zip { part: part.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_wheel_is_refused() {
        assert!(matches!(weights(b"", Head::Pbe), Err(WheelError::Zip { .. })));
        assert!(matches!(weights(&[7; 4000], Head::R2scan), Err(WheelError::Zip { .. })));
        let other = zip::stored(&[("a.txt", b"text")]);
        assert!(matches!(weights(&other, Head::Pbe), Err(WheelError::Missing { .. })));
        let forged = zip::stored(&[(Head::Pbe.member(), b"not the checkpoint")]);
        assert!(matches!(weights(&forged, Head::Pbe), Err(WheelError::Digest { .. })));
    }

    #[test]
    fn a_checkpoint_gives_its_tensors() {
        // {'model': {'state_dict': {'w': tensor of shape (2, 1) from the second number of storage '0'}}}
        let mut index = b"\x80\x02}X\x05\x00\x00\x00model}X\x0a\x00\x00\x00state_dict}".to_vec();
        index.extend(b"X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(");
        index.extend(b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x03tQ");
        index.extend(b"K\x01K\x02K\x01\x86K\x01K\x01\x86\x89ccollections\nOrderedDict\n)RtRsss.");
        let numbers: Vec<u8> = [1.5f32, -2.0, 8.25].iter().flat_map(|value| value.to_le_bytes()).collect();
        let checkpoint = zip::stored(&[("root/data.pkl", &index), ("root/data/0", &numbers)]);
        let found = tensors(&checkpoint, "test").unwrap();
        assert_eq!(found["w"], Tensor { shape: vec![2, 1], values: vec![-2.0, 8.25] });
        let short = zip::stored(&[("root/data.pkl", &index), ("root/data/0", &numbers[..8])]);
        assert!(matches!(tensors(&short, "test"), Err(WheelError::Layout(_))));
        let gone = zip::stored(&[("root/data.pkl", &index)]);
        assert!(matches!(tensors(&gone, "test"), Err(WheelError::Missing { .. })));
    }
}
