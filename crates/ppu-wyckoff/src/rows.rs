//! Which rows of the embedding table a token of the sequence adds up, and which ones stand for an answer.

use std::sync::LazyLock;

use ppu_atoms::Element;

use crate::counts::{MOST_ATOMS, MOST_ELEMENTS};
use crate::grammar::{Partial, Question, STOP};
use crate::group::{GROUPS, space_groups};

/// Tokens of the longest crystal: start, arity, system, group, and one orbit an atom.
pub(crate) const LONGEST: usize = 3 + MOST_ELEMENTS + MOST_ATOMS;
/// Rows that a Wyckoff position adds up.
const OF_POSITION: usize = 5;
/// Positions of one site symmetry beyond this share a row: only the most symmetric choices of cell have more.
const ENUMERATIONS: usize = 8;

/// The table: where each kind of row begins.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Rows in all.
    pub(crate) count: usize,
    start: usize,
    arities: usize,
    elements: usize,
    groups: usize,
    stop: usize,
    totals: usize,
    own: usize,
    indices: usize,
    /// For each group the rows of its positions.
    positions: Vec<Vec<[u16; OF_POSITION]>>,
}

/// The one table.
pub(crate) static ROWS: LazyLock<Rows> = LazyLock::new(Rows::new);

impl Rows {
    fn new() -> Rows {
        let mut count = 0;
        let mut take = |rows: usize| {
            let start = count;
            count += rows;
            start
        };
        let start = take(2);
        let arities = take(MOST_ELEMENTS + 1);
        let elements = take(Element::COUNT);
        let groups = take(GROUPS);
        let stop = take(1);
        let totals = take(MOST_ATOMS + 1);
        let own = take(MOST_ATOMS + 1);
        let indices = take(LONGEST);
        let mut symmetries: Vec<&str> =
            space_groups().flat_map(|group| &group.positions).map(|position| position.site_symmetry.as_str()).collect();
        symmetries.sort_unstable();
        symmetries.dedup();
        let (sites, enumerations) = (take(symmetries.len()), take(ENUMERATIONS));
        let (atoms, freedoms) = (take(MOST_ATOMS + 2), take(4));
        let mut own_row = take(space_groups().map(|group| group.positions.len()).sum());
        let positions = space_groups()
            .map(|group| {
                let rows = group.positions.iter().map(|position| {
                    let site = symmetries.binary_search(&position.site_symmetry.as_str()).unwrap_or(0);
                    own_row += 1;
                    [
                        sites + site,
                        enumerations + position.enumeration.min(ENUMERATIONS - 1),
                        atoms + position.atoms.min(MOST_ATOMS + 1),
                        freedoms + position.freedom,
                        own_row - 1,
                    ]
                    .map(|row| row as u16)
                });
                rows.collect()
            })
            .collect();
        Rows { count, start, arities, elements, groups, stop, totals, own, indices, positions }
    }

    /// The rows of an answer.
    pub(crate) fn option(&self, question: Question, group: usize, option: u8) -> Answer {
        let one = |row: usize| Answer { rows: [row as u16; OF_POSITION], length: 1 };
        match question {
            Question::Arity => one(self.arities + usize::from(option)),
            Question::System | Question::Occupant => one(self.elements + usize::from(option)),
            Question::Group => one(self.groups + usize::from(option)),
            Question::Position if option == STOP => one(self.stop),
            Question::Position => self.position(group, option),
        }
    }

    /// The rows of a position of the group with this number less one.
    pub(crate) fn position(&self, group: usize, position: u8) -> Answer {
        Answer { rows: self.positions[group][usize::from(position)], length: OF_POSITION }
    }

    /// The first token: which space group is asked for, if any.
    pub(crate) fn start(&self, group: Option<u8>) -> Token {
        let mut token = vec![self.indices as u16];
        match group {
            None => token.push(self.start as u16),
            Some(number) => {
                token.push(self.start as u16 + 1);
                token.push((self.groups + usize::from(number) - 1) as u16);
            }
        }
        token
    }

    /// The token that tells an answer, `index` tokens after the start; none after a position, which waits for its occupant.
    pub(crate) fn token(&self, index: usize, question: Question, option: u8, after: &Partial) -> Option<Token> {
        let mut token = vec![(self.indices + index) as u16];
        let group = after.group().map_or(0, |group| usize::from(group.number) - 1);
        match question {
            Question::Position => return None,
            Question::Occupant => {
                let (position, slot) = *after.orbits().last()?;
                let counts = after.counts();
                let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
                token.extend(self.position(group, position).rows());
                token.push((self.elements + usize::from(option)) as u16);
                token.push((self.totals + total) as u16);
                token.push((self.own + usize::from(counts[usize::from(slot)])) as u16);
            }
            _ => token.extend(self.option(question, group, option).rows()),
        }
        Some(token)
    }
}

/// Rows that are added up to one input of the network.
pub(crate) type Token = Vec<u16>;

/// Rows that are added up to the embedding of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    rows: [u16; OF_POSITION],
    length: usize,
}

impl Answer {
    pub(crate) fn rows(&self) -> &[u16] {
        &self.rows[..self.length]
    }
}
