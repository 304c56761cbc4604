//! MT-SICS replies (reference manual 11781363): `<command> <status> [parameters]`, each line ended by CR LF.

/// The longest line that is read.
pub(super) const LINE_LIMIT: usize = 256;

/// A line from the balance.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    /// A weight in milligrams.
    Weight { stable: bool, mass_mg: f64 },
    /// The action was done.
    Done { command: String },
    /// Not executable now: busy, or no stable weight.
    NotNow { command: String },
    /// The load is above the range.
    Overload { command: String },
    /// The load is below the range.
    Underload { command: String },
    /// A parameter is wrong.
    WrongParameter { command: String },
    /// A quoted text, such as the serial number.
    Text { command: String, text: String },
    /// A defect, such as `10b`.
    Defect(String),
    /// `ES`, `ET` or `EL`: the balance did not understand the question.
    NotUnderstood(String),
}

impl Reply {
    /// The command that the line answers, as far as it says so.
    pub(super) fn command(&self) -> Option<&str> {
        match self {
            Reply::Done { command }
            | Reply::NotNow { command }
            | Reply::Overload { command }
            | Reply::Underload { command }
            | Reply::WrongParameter { command }
            | Reply::Text { command, .. } => Some(command),
            Reply::Weight { .. } | Reply::Defect(_) => Some("S"),
            Reply::NotUnderstood(_) => None,
        }
    }
}

/// Reads one line without its end.
pub(super) fn reply(line: &str) -> Result<Reply, String> {
    let garbled = || format!("the balance sent `{}`", line.escape_debug());
    let parts: Vec<&str> = line.split_ascii_whitespace().collect();
    let command = || parts[0].to_owned();
    match parts.as_slice() {
        [only @ ("ES" | "ET" | "EL")] => Ok(Reply::NotUnderstood((*only).to_owned())),
        ["S", "S", "Error", defect] => Ok(Reply::Defect((*defect).to_owned())),
        ["S" | "T", status @ ("S" | "D"), value, unit] => {
            let mass_mg = mass_mg(value, unit).ok_or_else(garbled)?;
            if parts[0] == "T" {
                return Ok(Reply::Done { command: command() });
            }
            Ok(Reply::Weight { stable: *status == "S", mass_mg })
        }
        [_, "A", ..] if line.contains('"') => {
            let (_, quoted) = line.split_once('"').ok_or_else(garbled)?;
            let (text, rest) = quoted.rsplit_once('"').ok_or_else(garbled)?;
            if !rest.trim().is_empty() {
                return Err(garbled());
            }
            Ok(Reply::Text { command: command(), text: text.to_owned() })
        }
        [_, "A"] => Ok(Reply::Done { command: command() }),
        [_, "I"] => Ok(Reply::NotNow { command: command() }),
        [_, "+"] => Ok(Reply::Overload { command: command() }),
        [_, "-"] => Ok(Reply::Underload { command: command() }),
        [_, "L"] => Ok(Reply::WrongParameter { command: command() }),
        _ => Err(garbled()),
    }
}

fn mass_mg(value: &str, unit: &str) -> Option<f64> {
    if !value.bytes().all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte)) {
        return None;
    }
    let value: f64 = value.parse().ok()?;
    let factor = match unit {
        "g" => 1e3,
        "mg" => 1.0,
        "ug" | "µg" => 1e-3,
        "kg" => 1e6,
        _ => return None,
    };
    Some(value * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_in_the_manual() {
        assert_eq!(reply("S S     100.00 g"), Ok(Reply::Weight { stable: true, mass_mg: 100_000.0 }));
        assert_eq!(reply("S D      -0.12 mg"), Ok(Reply::Weight { stable: false, mass_mg: -0.12 }));
        assert_eq!(reply("S S Error 10b"), Ok(Reply::Defect("10b".to_owned())));
        let serial = Reply::Text { command: "I4".to_owned(), text: "B021002593".to_owned() };
        assert_eq!(reply("I4 A \"B021002593\""), Ok(serial));
        assert_eq!(reply("S I"), Ok(Reply::NotNow { command: "S".to_owned() }));
        assert_eq!(reply("S +"), Ok(Reply::Overload { command: "S".to_owned() }));
        assert_eq!(reply("Z -"), Ok(Reply::Underload { command: "Z".to_owned() }));
        assert_eq!(reply("Z A"), Ok(Reply::Done { command: "Z".to_owned() }));
        assert_eq!(reply("T S      12.30 g"), Ok(Reply::Done { command: "T".to_owned() }));
        assert_eq!(reply("M21 L"), Ok(Reply::WrongParameter { command: "M21".to_owned() }));
        for bare in ["ES", "ET", "EL"] {
            assert_eq!(reply(bare), Ok(Reply::NotUnderstood(bare.to_owned())));
        }
    }

    #[test]
    fn a_damaged_line_is_no_weight() {
        for line in
            ["S S     1O0.00 g", "S S     100.00", "S S     100.00 q", "S S 1 0 g", "", "S S inf g", "I4 A \"12"]
        {
            assert!(reply(line).is_err(), "{line}");
        }
    }
}
