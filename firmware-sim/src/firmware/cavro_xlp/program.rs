//! Command strings of the pump.

/// One command of a string. Operands are checked when the command is reached, not when the string arrives: the part
/// before a bad operand is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Initialise {
        force: u32,
        input: u32,
        output: u32,
        clockwise: bool,
    },
    InitialisePlunger,
    /// `A`/`P`/`D`; lower case reports ready while moving.
    Move {
        direction: Direction,
        amount: u32,
        quiet: bool,
    },
    Valve(u32),
    SpeedCode(u32),
    StartSpeed(u32),
    TopSpeed(u32),
    CutoffSpeed(u32),
    Slope(u32),
    Resolution(u32),
    Delay(u32),
    Halt(u32),
    LoopStart,
    LoopEnd(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Absolute,
    PickUp,
    Dispense,
}

impl Command {
    /// Letter under which executions are counted.
    pub(super) fn letter(&self) -> &'static str {
        match self {
            Command::Initialise { clockwise: true, .. } => "Z",
            Command::Initialise { .. } => "Y",
            Command::InitialisePlunger => "W",
            Command::Move { direction: Direction::Absolute, .. } => "A",
            Command::Move { direction: Direction::PickUp, .. } => "P",
            Command::Move { direction: Direction::Dispense, .. } => "D",
            Command::Valve(_) => "I",
            Command::SpeedCode(_) => "S",
            Command::StartSpeed(_) => "v",
            Command::TopSpeed(_) => "V",
            Command::CutoffSpeed(_) => "c",
            Command::Slope(_) => "L",
            Command::Resolution(_) => "N",
            Command::Delay(_) => "M",
            Command::Halt(_) => "H",
            Command::LoopStart => "g",
            Command::LoopEnd(_) => "G",
        }
    }
}

/// A command string, and whether it is to run at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) commands: Vec<Command>,
    pub(super) run: bool,
}

/// Reads a string; `None` when it holds a letter that is no command.
pub(super) fn parse(text: &[u8]) -> Option<Parsed> {
    let mut commands = Vec::new();
    let mut rest = text;
    while let Some((&letter, tail)) = rest.split_first() {
        if letter == b'R' {
            return tail.is_empty().then_some(Parsed { commands, run: true });
        }
        let (operands, tail) = operands(tail);
        commands.push(command(letter, &operands)?);
        rest = tail;
    }
    Some(Parsed { commands, run: false })
}

fn command(letter: u8, operands: &[u32]) -> Option<Command> {
    let first = operands.first().copied().unwrap_or(0);
    let moved = |direction| Some(Command::Move { direction, amount: first, quiet: letter.is_ascii_lowercase() });
    match letter {
        b'Z' | b'Y' => {
            let at = |index: usize| operands.get(index).copied().unwrap_or(0);
            Some(Command::Initialise { force: first, input: at(1), output: at(2), clockwise: letter == b'Z' })
        }
        b'W' => Some(Command::InitialisePlunger),
        b'A' | b'a' => moved(Direction::Absolute),
        b'P' | b'p' => moved(Direction::PickUp),
        b'D' | b'd' => moved(Direction::Dispense),
        b'I' | b'O' => Some(Command::Valve(first)),
        b'S' => Some(Command::SpeedCode(first)),
        b'v' => Some(Command::StartSpeed(first)),
        b'V' => Some(Command::TopSpeed(first)),
        b'c' => Some(Command::CutoffSpeed(first)),
        b'L' => Some(Command::Slope(first)),
        b'N' => Some(Command::Resolution(first)),
        b'M' => Some(Command::Delay(first)),
        b'H' => Some(Command::Halt(first)),
        b'g' => Some(Command::LoopStart),
        b'G' => Some(Command::LoopEnd(first)),
        _ => None,
    }
}

fn operands(text: &[u8]) -> (Vec<u32>, &[u8]) {
    let length = text.iter().position(|byte| !byte.is_ascii_digit() && *byte != b',').unwrap_or(text.len());
    let (digits, tail) = text.split_at(length);
    // A number too large for u32 is out of every range; the largest value keeps it so.
    let numbers = digits.split(|byte| *byte == b',').map(|number| {
        number.iter().try_fold(0_u32, |value, digit| value.checked_mul(10)?.checked_add(u32::from(digit - b'0')))
    });
    (numbers.map(|number| number.unwrap_or(u32::MAX)).collect(), tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read_command_by_command() {
        let parsed = parse(b"Z1,9,10I3P1500gD5G3R").unwrap();
        assert!(parsed.run);
        assert_eq!(parsed.commands[0], Command::Initialise { force: 1, input: 9, output: 10, clockwise: true });
        assert_eq!(parsed.commands[1], Command::Valve(3));
        assert_eq!(parsed.commands[2], Command::Move { direction: Direction::PickUp, amount: 1500, quiet: false });
        assert_eq!(parsed.commands[5], Command::LoopEnd(3));
    }

    #[test]
    fn a_string_without_r_is_for_the_buffer_and_an_unknown_letter_is_refused() {
        assert!(!parse(b"A1500").unwrap().run);
        assert_eq!(parse(b"A1500B3R"), None);
        assert_eq!(parse(b"A1RA2"), None);
    }
}
