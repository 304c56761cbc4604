//! Faults of the transmission: what happens to a correct reply on its way out.

use rand::RngExt;

use super::{Fault, FaultPlan, Firing};
use crate::device::Firmware;

/// A piece of output: wait, then write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Wall time to wait after the previous piece, in milliseconds.
    pub delay_ms: u64,
    /// What to write.
    pub bytes: Vec<u8>,
}

impl Chunk {
    /// A piece that is written at once.
    pub fn now(bytes: Vec<u8>) -> Self {
        Self { delay_ms: 0, bytes }
    }
}

/// What a session remembers of its replies.
#[derive(Debug, Default)]
pub struct ReplyMemory {
    previous: Option<Vec<u8>>,
    held: Vec<u8>,
}

/// A reply after its faults: what to send, and which faults struck it.
#[derive(Debug, Default)]
pub struct Transmitted {
    /// The pieces to write, in order; empty when the reply was lost.
    pub chunks: Vec<Chunk>,
    /// The faults that struck, for the ledger.
    pub struck: Vec<(Fault, Firing)>,
}

/// Sends one reply through the armed transport faults.
pub fn transmit(
    plan: &mut FaultPlan,
    firmware: &dyn Firmware,
    memory: &mut ReplyMemory,
    request: &[u8],
    reply: Vec<u8>,
) -> Transmitted {
    let mut out = Transmitted::default();
    let mut bytes = reply.clone();
    if memory.previous.is_some() && strike(plan, &mut out, Fault::StaleReply, request).is_some() {
        bytes = memory.previous.clone().unwrap_or_default();
    }
    memory.previous = Some(reply);
    if strike(plan, &mut out, Fault::LostReply, request).is_some() {
        return out;
    }
    corrupt(plan, firmware, request, &mut bytes, &mut out);
    if strike(plan, &mut out, Fault::JoinedReplies, request).is_some() {
        memory.held.extend_from_slice(&bytes);
        return out;
    }
    if !memory.held.is_empty() {
        bytes.splice(0..0, std::mem::take(&mut memory.held));
    }
    if strike(plan, &mut out, Fault::DuplicateReply, request).is_some() {
        bytes.extend_from_within(..);
    }
    pace(plan, request, bytes, &mut out);
    out
}

/// What a receiver with wrong line settings sees: every byte changed, none of them printable.
pub fn garble(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte.rotate_left(3) ^ 0x9c | 0x80).collect()
}

fn strike(plan: &mut FaultPlan, out: &mut Transmitted, fault: Fault, request: &[u8]) -> Option<u64> {
    let firing = plan.strike(fault, request)?;
    let delay_ms = firing.delay_ms;
    out.struck.push((fault, firing));
    Some(delay_ms)
}

fn corrupt(plan: &mut FaultPlan, firmware: &dyn Firmware, request: &[u8], bytes: &mut Vec<u8>, out: &mut Transmitted) {
    if strike(plan, out, Fault::WrongSlave, request).is_some() {
        firmware.spoil_address(bytes);
    }
    if strike(plan, out, Fault::ShortCount, request).is_some() {
        firmware.shorten(bytes);
    }
    if strike(plan, out, Fault::BadChecksum, request).is_some() {
        firmware.spoil_checksum(bytes);
    }
    if !bytes.is_empty() && strike(plan, out, Fault::BitFlip, request).is_some() {
        let bit = plan.random().random_range(0..bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    if strike(plan, out, Fault::TruncatedReply, request).is_some() {
        bytes.truncate(bytes.len() / 2);
    }
    if strike(plan, out, Fault::GarbagePrefix, request).is_some() {
        // Up to 30 bytes: more than the 20 that a common Modbus library skips before it gives up.
        let length = plan.random().random_range(3..=30);
        let garbage: Vec<u8> = (0..length).map(|_| plan.random().random()).collect();
        bytes.splice(0..0, garbage);
    }
    if strike(plan, out, Fault::Unsolicited, request).is_some() {
        bytes.splice(0..0, firmware.unsolicited());
    }
}

fn pace(plan: &mut FaultPlan, request: &[u8], bytes: Vec<u8>, out: &mut Transmitted) {
    let late_ms = strike(plan, out, Fault::LateReply, request).unwrap_or(0);
    if let Some(gap_ms) = strike(plan, out, Fault::ByteDribble, request) {
        out.chunks = bytes.into_iter().map(|byte| Chunk { delay_ms: gap_ms, bytes: vec![byte] }).collect();
    } else if let Some(gap_ms) = strike(plan, out, Fault::SplitWrite, request).filter(|_| bytes.len() > 1) {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        out.chunks = vec![Chunk::now(first.to_vec()), Chunk { delay_ms: gap_ms, bytes: second.to_vec() }];
    } else {
        out.chunks = vec![Chunk::now(bytes)];
    }
    if let Some(first) = out.chunks.first_mut() {
        first.delay_ms += late_ms;
    }
}
