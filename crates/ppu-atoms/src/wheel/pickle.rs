//! A reader for the pickles of network checkpoints (protocol 2, Python's `pickletools` describes the operations). It
//! knows the three names that such a pickle needs and builds plain values; it can run nothing, and anything else in the
//! input is an error.

use std::cell::RefCell;
use std::rc::Rc;

/// Deeper or longer input is no checkpoint: the published ones have some 6,000 values.
const MOST_VALUES: usize = 1 << 20;

/// Why a pickle cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// The bytes end early.
    #[error("it is cut short")]
    Truncated,
    /// An operation that checkpoints do not use.
    #[error("the operation {operation:#04x} at byte {at} does not belong in a checkpoint")]
    Operation {
        /// The operation's byte.
        operation: u8,
        /// Where it stands.
        at: usize,
    },
    /// A Python name that is not one of the three that checkpoints need.
    #[error("it names `{0}`, which does not belong in a checkpoint")]
    Name(String),
    /// An operation finds other values than it needs.
    #[error("the values at byte {0} are not those that the operation needs")]
    Values(usize),
    /// There are more values than any checkpoint has.
    #[error("it has more than {MOST_VALUES} values")]
    TooLong,
}

/// The names that may occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    OrderedDictionary,
    RebuildTensor,
    FloatStorage,
}

/// A tensor's place in a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// Name of the storage.
    pub(super) storage: Rc<str>,
    /// First number.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    /// Numbers from one index to the next along each axis.
    pub(super) strides: Vec<usize>,
}

/// Key and value of each entry in order.
pub(super) type Entries = Rc<RefCell<Vec<(Value, Value)>>>;

/// What a pickle can hold.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// None, a truth value or a real number: nothing that weights depend on.
    Ignored,
    Whole(u64),
    Text(Rc<str>),
    Tuple(Rc<Vec<Value>>),
    List,
    Dictionary(Entries),
    Name(Name),
    Storage(Rc<str>),
    Tensor(Rc<Stored>),
}

impl Value {
    /// The entry of a dictionary.
    pub(super) fn get(&self, key: &str) -> Option<Value> {
        let Value::Dictionary(entries) = self else { return None };
        let entries = entries.borrow();
        let is_wanted = |(name, _): &&(Value, Value)| matches!(name, Value::Text(name) if &**name == key);
        entries.iter().find(is_wanted).map(|(_, value)| value.clone())
    }

    fn dictionary() -> Self {
        Value::Dictionary(Rc::default())
    }
}

/// Reads a pickle.
pub(super) fn read(bytes: &[u8]) -> Result<Value, PickleError> {
    let mut reader = Reader { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: Vec::new() };
    loop {
        if reader.stack.len() > MOST_VALUES {
            return Err(PickleError::TooLong);
        }
        let at = reader.at;
        let operation = reader.take(1)?[0];
        if operation == b'.' {
            return reader.pop();
        }
        reader.step(operation, at)?;
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: Vec<Option<Value>>,
}

impl<'a> Reader<'a> {
    fn step(&mut self, operation: u8, at: usize) -> Result<(), PickleError> {
        let value = match operation {
            0x80 if self.take(1)? == [2] => return Ok(()),
            b'}' => Value::dictionary(),
            b']' => Value::List,
            b')' => Value::Tuple(Rc::default()),
            b'N' | 0x88 | 0x89 => Value::Ignored,
            b'G' => {
                self.take(8)?;
                Value::Ignored
            }
            b'K' => Value::Whole(self.number(1)?),
            b'M' => Value::Whole(self.number(2)?),
            b'J' => Value::Whole(self.number(4)?),
            b'X' => self.text()?,
            b'c' => Value::Name(self.name()?),
            b'(' => {
                self.marks.push(self.stack.len());
                return Ok(());
            }
            b't' => Value::Tuple(Rc::new(self.since_mark()?)),
            0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(operation - 0x84));
                Value::Tuple(Rc::new(self.stack.split_off(from.ok_or(PickleError::Values(at))?)))
            }
            b'q' | b'r' => {
                let place = self.number(if operation == b'q' { 1 } else { 4 })?;
                return self.remember(place);
            }
            b'h' | b'j' => {
                let place = self.number(if operation == b'h' { 1 } else { 4 })?;
                self.recall(place)?
            }
            b'Q' => self.storage()?,
            b'R' => self.reduce()?,
            b'a' | b'e' | b's' | b'u' | b'b' => return self.change(operation),
            _ => return Err(PickleError::Operation { operation, at }),
        };
        self.stack.push(value);
        Ok(())
    }

    /// Operations that change the value below their operands.
    fn change(&mut self, operation: u8) -> Result<(), PickleError> {
        let operands = match operation {
            b'e' | b'u' => self.since_mark()?,
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => vec![self.pop()?],
        };
        match (operation, self.stack.last()) {
            // Lists hold nothing that is needed; the state of an object is its metadata.
            (b'a' | b'e', Some(Value::List)) | (b'b', Some(Value::Dictionary(_))) => Ok(()),
            (b's' | b'u', Some(Value::Dictionary(entries))) if operands.len().is_multiple_of(2) => {
                let pairs = operands.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
                entries.borrow_mut().extend(pairs);
                Ok(())
            }
            _ => Err(PickleError::Values(self.at)),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], PickleError> {
        let end = self.at.checked_add(length).ok_or(PickleError::Truncated)?;
        let part = self.bytes.get(self.at..end).ok_or(PickleError::Truncated)?;
        self.at = end;
        Ok(part)
    }

    fn number(&mut self, length: usize) -> Result<u64, PickleError> {
        Ok(self.take(length)?.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    }

    fn text(&mut self) -> Result<Value, PickleError> {
        let length = usize::try_from(self.number(4)?).map_err(|_| PickleError::Truncated)?;
        let at = self.at;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| PickleError::Values(at))?;
        Ok(Value::Text(text.into()))
    }

    fn line(&mut self) -> Result<String, PickleError> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or(PickleError::Truncated)?;
        let line = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.at += length + 1;
        Ok(line)
    }

    fn name(&mut self) -> Result<Name, PickleError> {
        let (module, name) = (self.line()?, self.line()?);
        match (module.as_str(), name.as_str()) {
            ("collections", "OrderedDict") => Ok(Name::OrderedDictionary),
            ("torch._utils", "_rebuild_tensor_v2") => Ok(Name::RebuildTensor),
            ("torch", "FloatStorage") => Ok(Name::FloatStorage),
            _ => Err(PickleError::Name(format!("{module}.{name}"))),
        }
    }

    fn pop(&mut self) -> Result<Value, PickleError> {
        // Values below a mark belong to an operation that is still to come.
        if self.marks.last().is_some_and(|&mark| mark == self.stack.len()) {
            return Err(PickleError::Values(self.at));
        }
        self.stack.pop().ok_or(PickleError::Values(self.at))
    }

    fn since_mark(&mut self) -> Result<Vec<Value>, PickleError> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or(PickleError::Values(self.at))?;
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, place: u64) -> Result<(), PickleError> {
        let place = usize::try_from(place).ok().filter(|&place| place < MOST_VALUES).ok_or(PickleError::TooLong)?;
        if self.memo.len() <= place {
            self.memo.resize(place + 1, None);
        }
        self.memo[place] = Some(self.stack.last().cloned().ok_or(PickleError::Values(self.at))?);
        Ok(())
    }

    fn recall(&self, place: u64) -> Result<Value, PickleError> {
        let known = usize::try_from(place).ok().and_then(|place| self.memo.get(place)?.clone());
        known.ok_or(PickleError::Values(self.at))
    }

    /// ('storage', type, name, device, length) → a storage.
    fn storage(&mut self) -> Result<Value, PickleError> {
        let wrong = PickleError::Values(self.at);
        let Value::Tuple(parts) = self.pop()? else { return Err(wrong) };
        match parts.as_slice() {
            [
                Value::Text(kind),
                Value::Name(Name::FloatStorage),
                Value::Text(name),
                Value::Text(_),
                Value::Whole(_),
            ] if &**kind == "storage" => Ok(Value::Storage(name.clone())),
            _ => Err(wrong),
        }
    }

    /// The two calls that occur: an empty ordered dictionary, and a tensor from (storage, offset, shape, strides, …).
    fn reduce(&mut self) -> Result<Value, PickleError> {
        let wrong = PickleError::Values(self.at);
        let (Value::Tuple(arguments), Value::Name(name)) = (self.pop()?, self.pop()?) else { return Err(wrong) };
        match (name, arguments.as_slice()) {
            (Name::OrderedDictionary, []) => Ok(Value::dictionary()),
            (
                Name::RebuildTensor,
                [Value::Storage(storage), Value::Whole(offset), Value::Tuple(shape), Value::Tuple(strides), ..],
            ) => {
                let lengths = |values: &[Value]| -> Option<Vec<usize>> {
                    let length = |value: &Value| match value {
                        Value::Whole(length) => usize::try_from(*length).ok(),
                        _ => None,
                    };
                    values.iter().map(length).collect()
                };
                let offset = usize::try_from(*offset).ok();
                match (offset, lengths(shape), lengths(strides)) {
                    (Some(offset), Some(shape), Some(strides)) => {
                        Ok(Value::Tensor(Rc::new(Stored { storage: storage.clone(), offset, shape, strides })))
                    }
                    _ => Err(wrong),
                }
            }
            _ => Err(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_run_something_is_refused() {
        let attack = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.";
        assert_eq!(read(attack).unwrap_err(), PickleError::Name("os.system".to_owned()));
        // The opcode that looks a name up on the stack, and one that imports.
        for operation in [0x93, b'i', b'o', 0x81] {
            let found = read(&[0x80, 2, operation]);
            assert_eq!(found.unwrap_err(), PickleError::Operation { operation, at: 2 });
        }
    }

    #[test]
    fn broken_input_is_an_error_and_no_panic() {
        let good = b"\x80\x02}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00b]K\x07au.";
        let value = read(good).unwrap();
        assert!(matches!(value.get("a"), Some(Value::Whole(1))) && matches!(value.get("b"), Some(Value::List)));
        for length in 0..good.len() {
            assert!(read(&good[..length]).is_err());
            for byte in 0..=255 {
                let mut changed = good.to_vec();
                changed[length] = byte;
                let _: Result<Value, PickleError> = read(&changed);
            }
        }
        assert_eq!(read(b"\x80\x02r\xff\xff\xff\xff.").unwrap_err(), PickleError::TooLong);
    }
}
