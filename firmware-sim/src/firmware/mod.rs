//! One module an instrument: its bytes, its states and its timing.

pub mod aeris_uai;
pub mod cavro_xlp;
pub mod epc3016;
pub mod ika_cmag;
pub mod mettler_sics;
pub mod ocean_obp;
pub mod ur5e;

#[cfg(test)]
pub(crate) mod testing;

/// Cuts the next line off the front of `input`, without its line end; a line longer than `limit` is dropped.
pub(crate) fn cut_line(input: &mut Vec<u8>, limit: usize) -> Option<Vec<u8>> {
    loop {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            if input.len() > limit {
                input.clear();
            }
            return None;
        };
        let mut line: Vec<u8> = input.drain(..=end).collect();
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        if line.len() <= limit {
            return Some(line);
        }
    }
}
