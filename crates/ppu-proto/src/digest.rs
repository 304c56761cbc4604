//! The digest of a command: what makes "the same key with other arguments" an error instead of a second action.

use prost::Message as _;

use crate::device::v1::Command;

/// BLAKE3 of the command's encoding. Arguments are lists sorted by name and the message has no maps, so equal commands
/// have equal bytes on every machine.
pub fn of(command: &Command) -> [u8; 32] {
    *blake3::hash(&command.encode_to_vec()).as_bytes()
}
