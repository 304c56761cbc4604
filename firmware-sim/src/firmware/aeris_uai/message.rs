//! The `@`-separated text of the automation interface.

const END: &[u8] = b"@END";
/// Longest request; more without `@END` is noise.
const LONGEST: usize = 4096;

/// A request, taken apart at `@`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Words without a value, in order.
    pub(super) words: Vec<String>,
    fields: Vec<(String, String)>,
}

/// Cuts the next complete request off the front of `input`, `@END` included; what precedes its `@` is dropped.
pub(super) fn cut(input: &mut Vec<u8>) -> Option<Vec<u8>> {
    let start = input.iter().position(|byte| *byte == b'@').unwrap_or(input.len());
    input.drain(..start);
    match input.windows(END.len()).position(|window| window == END) {
        Some(end) => Some(input.drain(..end + END.len()).collect()),
        None => {
            if input.len() > LONGEST {
                input.clear();
            }
            None
        }
    }
}

impl Message {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (mut words, mut fields) = (Vec::new(), Vec::new());
        for part in text.split('@').map(str::trim).filter(|part| !part.is_empty() && *part != "END") {
            match part.split_once('=') {
                Some((name, value)) => fields.push((name.trim().to_owned(), value.trim().to_owned())),
                None => words.push(part.to_owned()),
            }
        }
        Self { words, fields }
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.words.iter().any(|known| known == word)
    }

    /// The sample id, if it can also name a file.
    pub(super) fn sample_id(&self) -> Result<&str, String> {
        let id = self.value("SAMPLE_ID").ok_or("no sample id")?;
        let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
        let usable = !id.is_empty() && id.len() <= 128 && !id.starts_with('.') && id.chars().all(plain);
        if usable { Ok(id) } else { Err("invalid sample id".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_end_with_end_wherever_the_stream_is_cut() {
        let mut input = b"\r\n@STATUS_REQUEST@SYS".to_vec();
        assert_eq!(cut(&mut input), None);
        input.extend(b"TEM@END@SAMPLE@ADD");
        let message = Message::parse(&cut(&mut input).unwrap());
        assert!(message.has("SYSTEM"));
        assert_eq!(input, b"@SAMPLE@ADD");
    }

    #[test]
    fn a_sample_id_must_be_fit_for_a_file_name() {
        let id = |text: &str| Message::parse(text.as_bytes()).sample_id().map(str::to_owned);
        assert_eq!(id("@SAMPLE@ADD@SAMPLE_ID=S01-run.2@END").unwrap(), "S01-run.2");
        assert!(id("@SAMPLE@ADD@SAMPLE_ID=../etc@END").is_err());
        assert!(id("@SAMPLE@ADD@END").is_err());
    }
}
