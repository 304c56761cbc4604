//! A small tree of XML elements for the parts of vendors' archives.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::error::ReadError;

/// Real files nest about twenty deep.
const DEEPEST: usize = 64;
/// Elements of a part; real parts hold some thousand and a row for each point.
const MOST_ELEMENTS: usize = 4_000_000;

/// An element with its attributes, text and children; names are without namespace.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The first element of that name at any depth, in document order.
    pub(super) fn find(&self, name: &str) -> Option<&Element> {
        self.children.iter().find_map(|child| if child.name == name { Some(child) } else { child.find(name) })
    }
}

/// Reads a whole part.
pub(super) fn parse(bytes: &[u8], part: &str) -> Result<Element, ReadError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ReadError::Encoding { part: part.to_owned(), byte: error.valid_up_to() as u64 })?;
    let mut reader = Reader::from_str(text);
    let broken = |byte: u64, what: String| ReadError::Xml { part: part.to_owned(), byte, what };
    let mut open = vec![Element::default()];
    let mut elements = 0;
    loop {
        let event = reader.read_event();
        let byte = reader.buffer_position();
        let top = open.len() - 1;
        match event {
            Ok(Event::Start(start)) => {
                open.push(element(&start).map_err(|what| broken(byte, what))?);
                elements += 1;
            }
            Ok(Event::Empty(start)) => {
                let child = element(&start).map_err(|what| broken(byte, what))?;
                open[top].children.push(child);
                elements += 1;
            }
            Ok(Event::End(_)) if top > 0 => {
                let done = open.pop().expect("the stack is not empty");
                open[top - 1].children.push(done);
            }
            Ok(Event::Text(part)) => open[top].text.push_str(part.trim()),
            Ok(Event::CData(part)) => open[top].text.push_str(&part),
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(source) => return Err(broken(byte, source.to_string())),
        }
        if elements > MOST_ELEMENTS || open.len() > DEEPEST {
            return Err(ReadError::TooMuch { part: part.to_owned(), what: "elements", most: MOST_ELEMENTS as u64 });
        }
    }
    if open.len() > 1 {
        let name = &open[open.len() - 1].name;
        return Err(broken(bytes.len() as u64, format!("<{name}> is not closed, so the part is cut short")));
    }
    let root = open.pop().and_then(|mut document| document.children.pop());
    root.ok_or_else(|| broken(bytes.len() as u64, "it holds no element".to_owned()))
}

fn element(start: &BytesStart<'_>) -> Result<Element, String> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        attributes.push((attribute.key.local_name().as_ref().to_owned(), attribute.value.to_string()));
    }
    Ok(Element { name: start.local_name().as_ref().to_owned(), attributes, ..Element::default() })
}
