//! The grammar of CIF 1.1 (Hall, Allen and Brown, Acta Cryst. A47, 655, 1991): data blocks, items, loops, quotes and text
//! fields. Values borrow from the text.

use super::CifError;

/// Longest piece of the file that a message quotes.
const QUOTED: usize = 40;

/// One value with the place where it begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Value<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
    /// A quoted `?` is a question mark, a bare one means unknown.
    pub(crate) quoted: bool,
}

impl<'a> Value<'a> {
    /// The text, or nothing for the bare placeholders `?` and `.`.
    pub(crate) fn known(&self) -> Option<&'a str> {
        let text = self.text.trim();
        (self.quoted || !matches!(text, "?" | ".")).then_some(text)
    }
}

/// A table: `values` holds the rows one after the other.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Loop<'a> {
    pub(crate) line: usize,
    /// Tags in lower case.
    pub(crate) tags: Vec<String>,
    pub(crate) values: Vec<Value<'a>>,
}

impl<'a> Loop<'a> {
    /// Number of the column with the first of `tags` that the loop has.
    pub(crate) fn column(&self, tags: &[&str]) -> Option<usize> {
        tags.iter().find_map(|wanted| self.tags.iter().position(|tag| tag == wanted))
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &[Value<'a>]> {
        self.values.chunks_exact(self.tags.len().max(1))
    }
}

/// What stands between one `data_` and the next.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Block<'a> {
    pub(crate) name: &'a str,
    pub(crate) line: usize,
    /// Tags in lower case with their values, in file order.
    pub(crate) items: Vec<(String, Value<'a>)>,
    pub(crate) loops: Vec<Loop<'a>>,
}

impl<'a> Block<'a> {
    /// The first known value of the first of `tags` that has one; a loop of one row counts as items.
    pub(crate) fn item(&self, tags: &[&str]) -> Option<(&str, Value<'a>)> {
        tags.iter().find_map(|wanted| {
            let single = self.items.iter().find(|(tag, value)| tag == wanted && value.known().is_some());
            if let Some((tag, value)) = single {
                return Some((tag.as_str(), *value));
            }
            let table = self.loops.iter().find(|table| table.tags.len() == table.values.len())?;
            let column = table.column(&[wanted])?;
            let value = table.values[column];
            value.known().map(|_| (table.tags[column].as_str(), value))
        })
    }

    /// The first loop that has one of `tags`.
    pub(crate) fn table(&self, tags: &[&str]) -> Option<&Loop<'a>> {
        self.loops.iter().find(|table| table.column(tags).is_some())
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'a> {
    Data(&'a str),
    Loop,
    Save,
    Tag(&'a str),
    Value(&'a str, bool),
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Lexer<'a> {
    /// Skips blanks and comments; true when the next token stands at the start of a line.
    fn skip(&mut self) -> bool {
        let bytes = self.text.as_bytes();
        let mut starts_line = self.at == 0 || bytes[self.at - 1] == b'\n' || bytes[self.at - 1] == b'\r';
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'\n' => {
                    self.line += 1;
                    starts_line = true;
                }
                b'\r' => starts_line = true,
                b' ' | b'\t' | 0x0b | 0x0c => starts_line = false,
                b'#' => {
                    while bytes.get(self.at).is_some_and(|byte| !matches!(byte, b'\n' | b'\r')) {
                        self.at += 1;
                    }
                    continue;
                }
                _ => break,
            }
            self.at += 1;
        }
        starts_line
    }

    fn next(&mut self) -> Result<Option<(Token<'a>, usize)>, CifError> {
        let starts_line = self.skip();
        let rest = &self.text[self.at..];
        let line = self.line;
        let Some(&first) = rest.as_bytes().first() else { return Ok(None) };
        if first == b';' && starts_line {
            return self.text_field(line).map(Some);
        }
        if first == b'\'' || first == b'"' {
            return self.quoted(first, line).map(Some);
        }
        let end = rest.find(|c: char| c.is_ascii_whitespace() || c == '\u{b}').unwrap_or(rest.len());
        let word = &rest[..end];
        self.at += end;
        let starts_with = |prefix: &str| word.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
        let token = if first == b'_' {
            Token::Tag(word)
        } else if starts_with("data_") {
            Token::Data(&word[5..])
        } else if word.eq_ignore_ascii_case("loop_") {
            Token::Loop
        } else if starts_with("save_") {
            Token::Save
        } else {
            Token::Value(word, false)
        };
        Ok(Some((token, line)))
    }

    /// A quote ends where the quote character stands before a blank, so that `'O'Neill'` is one word.
    fn quoted(&mut self, quote: u8, line: usize) -> Result<(Token<'a>, usize), CifError> {
        let bytes = self.text.as_bytes();
        let from = self.at + 1;
        let mut end = from;
        loop {
            match bytes.get(end) {
                None | Some(b'\n' | b'\r') => return Err(CifError::OpenQuote { line }),
                Some(&byte) if byte == quote && bytes.get(end + 1).is_none_or(u8::is_ascii_whitespace) => break,
                Some(_) => end += 1,
            }
        }
        self.at = end + 1;
        Ok((Token::Value(&self.text[from..end], true), line))
    }

    fn text_field(&mut self, line: usize) -> Result<(Token<'a>, usize), CifError> {
        let bytes = self.text.as_bytes();
        let from = self.at + 1;
        let mut end = from;
        loop {
            match bytes.get(end) {
                None => return Err(CifError::OpenText { line }),
                Some(b'\n') => {
                    self.line += 1;
                    if bytes.get(end + 1) == Some(&b';') {
                        break;
                    }
                }
                Some(b'\r') if bytes.get(end + 1) == Some(&b';') => break,
                Some(_) => {}
            }
            end += 1;
        }
        self.at = end + 2;
        Ok((Token::Value(self.text[from..end].trim_matches(['\r', '\n']), true), line))
    }
}

/// Reads every data block.
pub(crate) fn parse(text: &str) -> Result<Vec<Block<'_>>, CifError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lexer = Lexer { text, at: 0, line: 1 };
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut tag: Option<(String, usize)> = None;
    let mut table: Option<Loop<'_>> = None;
    while let Some((token, line)) = lexer.next()? {
        if let (Some((tag, at)), false) = (&tag, matches!(token, Token::Value(..))) {
            return Err(CifError::NoValue { line: *at, tag: tag.clone() });
        }
        // A loop ends at the first token that cannot belong to it.
        let ends_loop = match (&token, &table) {
            (Token::Tag(_), Some(table)) => !table.values.is_empty(),
            (Token::Value(..), _) => false,
            _ => table.is_some(),
        };
        if ends_loop && let (Some(done), Some(block)) = (table.take(), blocks.last_mut()) {
            block.loops.push(checked(done)?);
        }
        match token {
            Token::Data(name) => blocks.push(Block { name, line, ..Block::default() }),
            // Save frames belong to dictionaries; their content reads as part of the block.
            Token::Save => {}
            _ if blocks.is_empty() => return Err(CifError::BeforeBlock { line, text: shortened(token) }),
            Token::Loop => table = Some(Loop { line, tags: Vec::new(), values: Vec::new() }),
            Token::Tag(name) => match &mut table {
                Some(table) => table.tags.push(name.to_ascii_lowercase()),
                None => tag = Some((name.to_ascii_lowercase(), line)),
            },
            Token::Value(text, quoted) => {
                let value = Value { text, line, quoted };
                match (tag.take(), &mut table) {
                    (Some((tag, _)), _) => {
                        blocks.last_mut().expect("checked above").items.push((tag, value));
                    }
                    (None, Some(table)) if !table.tags.is_empty() => table.values.push(value),
                    _ => return Err(CifError::NoTag { line, text: shortened(token) }),
                }
            }
        }
    }
    if let Some((tag, line)) = tag {
        return Err(CifError::NoValue { line, tag });
    }
    if let (Some(done), Some(block)) = (table, blocks.last_mut()) {
        block.loops.push(checked(done)?);
    }
    Ok(blocks)
}

fn checked(table: Loop<'_>) -> Result<Loop<'_>, CifError> {
    let columns = table.tags.len();
    match table.tags.first() {
        None => Err(CifError::EmptyLoop { line: table.line }),
        Some(_) if table.values.len().is_multiple_of(columns) => Ok(table),
        Some(tag) => {
            Err(CifError::LoopShape { line: table.line, tag: tag.clone(), values: table.values.len(), columns })
        }
    }
}

fn shortened(token: Token<'_>) -> String {
    let text = match token {
        Token::Data(text) | Token::Tag(text) | Token::Value(text, _) => text,
        Token::Loop => "loop_",
        Token::Save => "save_",
    };
    text.chars().take(QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_text_fields_comments_and_line_ends_are_read() {
        let text = "#c\r\ndata_One _a 'it's one' # _b no\r\n_B\r\n;line 1\r\nline 2\r\n;\r\n_c \"x # y\" _d ? _e '?'\r\nDATA_two\r\n\
                    LOOP_ _x _y\r\n1 2\r\n 'a b' ; \r\n_z .\r\n";
        let blocks = parse(text).unwrap();
        assert_eq!((blocks.len(), blocks[0].name, blocks[1].name), (2, "One", "two"));
        let item = |tag| blocks[0].item(&[tag]).map(|(_, value)| (value.text, value.line));
        assert_eq!(item("_a"), Some(("it's one", 2)));
        assert_eq!(item("_b"), Some(("line 1\r\nline 2", 4)));
        assert_eq!(item("_c"), Some(("x # y", 7)));
        assert_eq!((item("_d"), item("_e")), (None, Some(("?", 7))));
        let table = blocks[1].table(&["_y"]).unwrap();
        assert_eq!((table.column(&["_y"]), table.rows().count()), (Some(1), 2));
        assert_eq!(table.rows().nth(1).unwrap()[0].text, "a b");
        assert_eq!(blocks[1].items[0].0, "_z");
    }

    #[test]
    fn broken_files_are_named_with_line_and_tag() {
        for (text, message) in [
            ("data_a\n_t 'abc\n", "the quote that opens in line 2 is not closed"),
            ("data_a\n_t\n;abc\n", "the text field that opens in line 3 is not closed"),
            ("data_a\n_t\n_u 1", "`_t` in line 2 has no value"),
            ("data_a\n_t", "`_t` in line 2 has no value"),
            ("data_a\n\nvalue", "`value` in line 3 belongs to no tag"),
            ("data_a loop_\n_t _u 1 2 3 _v 4", "the loop in line 1 with `_t` has 3 values for 2 columns"),
            ("data_a\nloop_\ndata_b", "the loop in line 2 names no tag"),
            ("hello", "`hello` in line 1 stands before the first data block"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }
}
