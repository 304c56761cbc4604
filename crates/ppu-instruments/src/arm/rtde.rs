//! Real-Time Data Exchange of Universal Robots (public RTDE guide): big-endian packages with a header of size (u16,
//! including the header) and type (u8).
//!
//! The driver reads two output registers, once in each connection: programs started since power-up and programs
//! finished since power-up. The robot programs of the lab count them; together they prove which program ran.

use std::time::Duration;

use ppu_driver::transport::{Connect, Frame, LineError, Port};
use serde::{Deserialize, Serialize};

use crate::dialogue::{self, Unheard};

/// Version of the protocol that is asked for.
const PROTOCOL_VERSION: u16 = 2;
/// Output registers that count programs.
const COUNTERS: &str = "output_int_register_24,output_int_register_25";
/// Output register in which the lab's programs keep what the gripper's own sensor feels: 1 for an object, 0 for none.
const GRIPPER: &str = "output_int_register_26";
/// Packages a second; the highest rate of older controllers, so that the one that is read comes at once.
const FREQUENCY_HZ: f64 = 125.0;
/// How long one package may take.
const PACKAGE_WITHIN: Duration = Duration::from_secs(1);
/// Longest package that is read: texts of the controller are shorter than that.
const PACKAGE_LIMIT: usize = 4096;
/// Messages (`M`) and early data that are passed over.
const PASSED_OVER: u32 = 16;
const HEADER: usize = 3;
/// Attempts at the whole conversation.
const ATTEMPTS: u32 = 3;

/// How often programs began and ended since power-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counters {
    pub(super) started: i32,
    pub(super) finished: i32,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Package {
    kind: u8,
    payload: Vec<u8>,
}

/// Reads the counters over a connection of its own.
pub(super) async fn read_counters(address: &str) -> Result<Counters, Unheard> {
    let [started, finished] = read_registers(address, COUNTERS).await?;
    let counters = Counters { started, finished };
    // More ends than beginnings, or negative counts, are not what the programs write.
    if counters.finished < 0 || counters.started < counters.finished {
        return Err(Unheard::Garbled(format!("impossible program counters {counters:?}")));
    }
    Ok(counters)
}

/// Reads whether the gripper feels an object.
pub(super) async fn read_gripper(address: &str) -> Result<bool, Unheard> {
    match read_registers(address, GRIPPER).await? {
        [0] => Ok(false),
        [1] => Ok(true),
        [other] => Err(Unheard::Garbled(format!("the gripper's register holds {other}"))),
    }
}

/// Reads some output registers over a connection of its own.
async fn read_registers<const N: usize>(address: &str, names: &str) -> Result<[i32; N], Unheard> {
    let mut last = Unheard::Line(LineError::Closed);
    for _ in 0..ATTEMPTS {
        let mut port = Port::new(Connect::Tcp { address: address.to_owned() });
        port.open().await?;
        match converse(&mut port, names).await {
            Ok(words) => return Ok(words),
            Err(unheard) => last = unheard,
        }
    }
    Err(last)
}

async fn converse<const N: usize>(port: &mut Port, names: &str) -> Result<[i32; N], Unheard> {
    let version = ask(port, b'V', &PROTOCOL_VERSION.to_be_bytes()).await?;
    if version != [1] {
        return Err(Unheard::Garbled(format!("RTDE refused version {PROTOCOL_VERSION}: {version:?}")));
    }
    let mut recipe = FREQUENCY_HZ.to_be_bytes().to_vec();
    recipe.extend_from_slice(names.as_bytes());
    let reply = ask(port, b'O', &recipe).await?;
    let [recipe, types @ ..] = reply.as_slice() else {
        return Err(Unheard::Garbled("RTDE sent an empty recipe".to_owned()));
    };
    if types != ["INT32"; N].join(",").as_bytes() {
        return Err(Unheard::Garbled(format!("RTDE answered the registers with {}", types.escape_ascii())));
    }
    let started = ask(port, b'S', &[]).await?;
    if started != [1] {
        return Err(Unheard::Garbled("RTDE did not start".to_owned()));
    }
    let data = await_package(port, b'U').await?;
    // The connection is closed at once; a pause is a courtesy whose answer nobody needs.
    let _ = dialogue::tell(port, &encode(b'P', &[])).await;
    registers(*recipe, &data)
}

async fn ask(port: &mut Port, kind: u8, payload: &[u8]) -> Result<Vec<u8>, Unheard> {
    dialogue::tell(port, &encode(kind, payload)).await?;
    await_package(port, kind).await
}

async fn await_package(port: &mut Port, kind: u8) -> Result<Vec<u8>, Unheard> {
    for _ in 0..PASSED_OVER {
        let bytes = port.line()?.read_frame(PACKAGE_LIMIT, PACKAGE_WITHIN, find_package).await?;
        let package = decode(&bytes).ok_or_else(|| Unheard::Garbled("a damaged RTDE package".to_owned()))?;
        if package.kind == kind {
            return Ok(package.payload);
        }
    }
    Err(Unheard::Garbled(format!("no RTDE package of type {} came", char::from(kind))))
}

fn encode(kind: u8, payload: &[u8]) -> Vec<u8> {
    let size = u16::try_from(HEADER + payload.len()).expect("requests are far shorter than 64 KiB");
    let mut package = size.to_be_bytes().to_vec();
    package.push(kind);
    package.extend_from_slice(payload);
    package
}

fn find_package(bytes: &[u8]) -> Frame {
    match bytes {
        // A size below that of a header would never end; the package is taken as it is and fails to decode.
        [high, low, ..] => match usize::from(u16::from_be_bytes([*high, *low])).max(HEADER) {
            size if bytes.len() >= size => Frame::Complete(size),
            _ => Frame::More,
        },
        _ => Frame::More,
    }
}

fn decode(bytes: &[u8]) -> Option<Package> {
    let [high, low, kind, payload @ ..] = bytes else { return None };
    let size = usize::from(u16::from_be_bytes([*high, *low]));
    (size == bytes.len()).then(|| Package { kind: *kind, payload: payload.to_vec() })
}

fn registers<const N: usize>(recipe: u8, data: &[u8]) -> Result<[i32; N], Unheard> {
    let garbled = || Unheard::Garbled(format!("RTDE data of {} bytes do not fit the recipe", data.len()));
    let [id, words @ ..] = data else { return Err(garbled()) };
    let (words, rest) = words.as_chunks::<4>();
    if *id != recipe || !rest.is_empty() {
        return Err(garbled());
    }
    let words: Vec<i32> = words.iter().map(|word| i32::from_be_bytes(*word)).collect();
    words.try_into().map_err(|_| garbled())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_carry_their_whole_size() {
        assert_eq!(encode(b'V', &2_u16.to_be_bytes()), [0, 5, b'V', 0, 2]);
        assert_eq!(find_package(&[0, 5, b'V', 0]), Frame::More);
        assert_eq!(find_package(&[0, 5, b'V', 0, 2, 0]), Frame::Complete(5));
        assert_eq!(decode(&[0, 5, b'V', 0, 2]).unwrap().payload, [0, 2]);
        assert_eq!(decode(&[0, 1, b'V']), None);
    }

    #[test]
    fn registers_need_their_recipe_and_their_length() {
        let data = [7, 0, 0, 0, 3, 0, 0, 0, 2];
        assert_eq!(registers::<2>(7, &data).unwrap(), [3, 2]);
        assert!(registers::<2>(8, &data).is_err());
        assert!(registers::<2>(7, &data[..8]).is_err());
        assert!(registers::<1>(7, &data).is_err());
    }
}
