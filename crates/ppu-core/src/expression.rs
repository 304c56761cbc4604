//! Arithmetic in protocols: `= total_ul * cs * (1 - br)`. Numbers, names, `+ - * /`, parentheses, comparisons, `min`, `max`.
//! Nothing else, so that a protocol can be read aloud and always ends.

use std::collections::BTreeMap;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// The text is not an expression.
    #[error("`{text}` cannot be read at column {column}: {expected} was expected")]
    Syntax {
        /// The whole text.
        text: String,
        /// Column counted from 1.
        column: usize,
        /// What would have fitted.
        expected: &'static str,
    },
    /// A name that is not a parameter.
    #[error("`{name}` is not a parameter of this protocol; it has {known}")]
    UnknownName {
        /// The name.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// Division by zero or overflow.
    #[error("`{text}` has no finite value")]
    NotFinite {
        /// The whole text.
        text: String,
    },
    /// Parentheses nested beyond any use.
    #[error("`{text}` is nested more than 32 levels deep")]
    TooDeep {
        /// The whole text.
        text: String,
    },
}

/// The value of an expression; comparisons give 1 or 0.
pub fn evaluate(text: &str, names: &BTreeMap<String, f64>) -> Result<f64, ExpressionError> {
    let mut reader = Reader { text, at: 0, names, depth: 0 };
    let value = reader.comparison()?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.expected("an operator"));
    }
    if value.is_finite() { Ok(value) } else { Err(ExpressionError::NotFinite { text: text.to_owned() }) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    names: &'a BTreeMap<String, f64>,
    depth: u32,
}

impl Reader<'_> {
    fn expected(&self, expected: &'static str) -> ExpressionError {
        ExpressionError::Syntax { text: self.text.to_owned(), column: self.at + 1, expected }
    }

    fn skip_space(&mut self) {
        self.at += self.text[self.at..].len() - self.text[self.at..].trim_start().len();
    }

    fn take(&mut self, symbol: &str) -> bool {
        self.skip_space();
        let found = self.text[self.at..].starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    fn word(&mut self) -> &str {
        self.skip_space();
        let rest = &self.text[self.at..];
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn comparison(&mut self) -> Result<f64, ExpressionError> {
        let left = self.sum()?;
        for (symbol, holds) in [
            ("<=", (|a, b| a <= b) as fn(f64, f64) -> bool),
            (">=", |a, b| a >= b),
            ("<", |a, b| a < b),
            (">", |a, b| a > b),
        ] {
            if self.take(symbol) {
                let right = self.sum()?;
                return Ok(f64::from(u8::from(holds(left, right))));
            }
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<f64, ExpressionError> {
        let mut value = self.product()?;
        loop {
            if self.take("+") {
                value += self.product()?;
            } else if self.take("-") {
                value -= self.product()?;
            } else {
                return Ok(value);
            }
        }
    }

    fn product(&mut self) -> Result<f64, ExpressionError> {
        let mut value = self.factor()?;
        loop {
            if self.take("*") {
                value *= self.factor()?;
            } else if self.take("/") {
                value /= self.factor()?;
            } else {
                return Ok(value);
            }
        }
    }

    fn factor(&mut self) -> Result<f64, ExpressionError> {
        self.depth += 1;
        if self.depth > 32 {
            return Err(ExpressionError::TooDeep { text: self.text.to_owned() });
        }
        let value = self.factor_inside();
        self.depth -= 1;
        value
    }

    fn factor_inside(&mut self) -> Result<f64, ExpressionError> {
        if self.take("-") {
            return Ok(-self.factor()?);
        }
        if self.take("(") {
            let value = self.comparison()?;
            return if self.take(")") { Ok(value) } else { Err(self.expected("`)`")) };
        }
        self.skip_space();
        let start = self.at;
        let rest = &self.text[start..];
        if rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            let length = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
            let value = rest[..length].parse().map_err(|_| self.expected("a number"))?;
            self.at += length;
            return Ok(value);
        }
        let name = self.word().to_owned();
        match name.as_str() {
            "" => Err(self.expected("a number, a parameter or `(`")),
            "min" | "max" => {
                let paired = self.take("(");
                let left = self.comparison()?;
                let comma = self.take(",");
                let right = self.comparison()?;
                if !(paired && comma && self.take(")")) {
                    return Err(self.expected("`min(a, b)` or `max(a, b)`"));
                }
                Ok(if name == "min" { left.min(right) } else { left.max(right) })
            }
            _ => self.names.get(&name).copied().ok_or_else(|| ExpressionError::UnknownName {
                name,
                known: self.names.keys().cloned().collect::<Vec<_>>().join(", "),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<f64, ExpressionError> {
        let names = BTreeMap::from([("cs".to_owned(), 0.25), ("total".to_owned(), 200.0)]);
        evaluate(text, &names)
    }

    #[test]
    fn arithmetic_binds_as_in_school() {
        assert_eq!(value("total * cs * (1 - 0.2)").unwrap(), 40.0);
        assert_eq!(value("1 + 2 * 3 - -4 / 2").unwrap(), 9.0);
        assert_eq!(value("max(total * cs, 60) >= 60").unwrap(), 1.0);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert_eq!(
            value("total * cz").unwrap_err().to_string(),
            "`cz` is not a parameter of this protocol; it has cs, total"
        );
        assert_eq!(
            value("total * ").unwrap_err().to_string(),
            "`total * ` cannot be read at column 9: a number, a parameter or `(` was expected"
        );
        assert!(matches!(value("1 / (cs - 0.25)"), Err(ExpressionError::NotFinite { .. })));
        assert!(matches!(value(&"(".repeat(100)), Err(ExpressionError::TooDeep { .. })));
    }
}
