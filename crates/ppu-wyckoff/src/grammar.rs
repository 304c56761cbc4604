//! What may come next: every hard rule of a crystal, with a look-ahead, so that no choice leads to a dead end and the
//! probabilities over the allowed choices are those of the crystals.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use ppu_atoms::Element;
use ppu_twin::rules::ChargeSettings;

use crate::charge::{self, ChargeError};
use crate::counts::{CountSet, Counts, MOST_ATOMS, MOST_ELEMENTS, added};
use crate::crystal::{Crystal, Orbit};
use crate::group::{GROUPS, SpaceGroup, space_group, space_groups};

/// Elements in the poorest crystal that is described.
pub const LEAST_ELEMENTS: usize = 2;
/// The option that ends a crystal, among its Wyckoff positions.
pub const STOP: u8 = u8::MAX;

/// What is wanted of a crystal. All of it is obeyed exactly.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The space group.
    pub group: Option<u8>,
    /// Elements that may be used; `None` for all.
    pub elements: Option<Vec<Element>>,
    /// Whether these elements must all be used.
    pub all_elements: bool,
    /// Whether and by which settings oxidation states must balance.
    pub charges: Option<ChargeSettings>,
    /// Atoms in the primitive cell, at most [`MOST_ATOMS`].
    pub most_atoms: usize,
}

impl Default for Condition {
    fn default() -> Condition {
        Condition { group: None, elements: None, all_elements: false, charges: None, most_atoms: MOST_ATOMS }
    }
}

/// Why a condition cannot be met.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConditionError {
    /// There is no such space group.
    #[error("{0} is no space group; they are numbered from 1 to 230")]
    Group(u8),
    /// Another number of elements must be used than a crystal can have.
    #[error(
        "{0} elements must be used, but only crystals of {LEAST_ELEMENTS} or {MOST_ELEMENTS} elements are supported"
    )]
    Elements(usize),
    /// More atoms than the tables hold.
    #[error("cells of {0} atoms are not supported; the limit is {MOST_ATOMS}")]
    Atoms(usize),
    /// The charge rule is not supported with these settings.
    #[error("the charge rule cannot be looked ahead")]
    Charges(#[source] ChargeError),
    /// No crystal meets the condition.
    #[error("no crystal meets the condition: check elements, charges, space group and the number of atoms")]
    Impossible,
}

/// Which choice is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// How many elements: the options are the numbers.
    Arity,
    /// The next element of the chemical system, in the order of atomic number: options are [`Element::index`].
    System,
    /// The space group: options are numbers less one.
    Group,
    /// The next occupied Wyckoff position, or [`STOP`]: options are indices into the positions of the group.
    Position,
    /// The element on the position just chosen: options are [`Element::index`].
    Occupant,
}

/// What is known of a crystal so far, and what follows from it.
#[derive(Debug, Clone)]
pub struct Partial {
    arity: usize,
    system: Vec<u8>,
    group: Option<&'static SpaceGroup>,
    orbits: Vec<(u8, u8)>,
    open: Option<u8>,
    counts: Counts,
    finished: bool,
    completion: Option<Arc<Completion>>,
}

/// The rules of one condition.
#[derive(Debug, Clone)]
pub struct Grammar {
    condition: Condition,
    /// Elements that may be used, a bit each.
    allowed: u128,
    /// With the charge rule: which elements may follow, by the number of elements in all and those before.
    charged: BTreeMap<(usize, Vec<u8>), u128>,
    /// Structures without a charge rule and with the full number of atoms share their look-ahead.
    plain: bool,
}

/// From which counts a crystal can still be completed.
#[derive(Debug)]
struct Completion {
    arity: usize,
    end: CountSet,
    /// For each position and slot: on this position or later ones, and on this one from this slot on.
    from: Vec<CountSet>,
}

static PLAIN: LazyLock<Vec<[OnceLock<Arc<Completion>>; 2]>> =
    LazyLock::new(|| (0..GROUPS).map(|_| Default::default()).collect());
/// Counts that the positions of each group can make up, for two and three elements.
static REACH: LazyLock<Vec<[CountSet; 2]>> =
    LazyLock::new(|| space_groups().map(|g| [reach(g, 2), reach(g, 3)]).collect());

impl Grammar {
    /// The rules of a condition.
    ///
    /// # Errors
    /// [`ConditionError`] when the condition is not supported, or nothing meets it.
    pub fn new(condition: &Condition) -> Result<Grammar, ConditionError> {
        if let Some(number) = condition.group.filter(|number| space_group(*number).is_none()) {
            return Err(ConditionError::Group(number));
        }
        if condition.most_atoms > MOST_ATOMS {
            return Err(ConditionError::Atoms(condition.most_atoms));
        }
        if let Some(settings) = &condition.charges {
            charge::supported(settings).map_err(ConditionError::Charges)?;
        }
        let allowed: u128 = match &condition.elements {
            Some(elements) => elements.iter().fold(0, |bits, element| bits | 1 << element.index()),
            None => (1 << Element::COUNT) - 1,
        };
        let count = allowed.count_ones() as usize;
        if condition.all_elements && !(LEAST_ELEMENTS..=MOST_ELEMENTS).contains(&count) {
            return Err(ConditionError::Elements(count));
        }
        let plain = condition.charges.is_none() && condition.most_atoms == MOST_ATOMS;
        let mut grammar = Grammar { condition: condition.clone(), allowed, charged: BTreeMap::new(), plain };
        if condition.charges.is_some() {
            grammar.tabulate();
        }
        if grammar.arities().is_empty() { Err(ConditionError::Impossible) } else { Ok(grammar) }
    }

    /// The condition that these rules enforce.
    #[must_use]
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Nothing known yet.
    #[must_use]
    pub fn start(&self) -> Partial {
        Partial {
            arity: 0,
            system: Vec::new(),
            group: None,
            orbits: Vec::new(),
            open: None,
            counts: Counts::default(),
            finished: false,
            completion: None,
        }
    }

    /// The next question and its allowed answers, of which there is always one at least; nothing when the crystal is complete.
    #[must_use]
    pub fn options(&self, partial: &Partial) -> Option<(Question, Vec<u8>)> {
        if partial.finished {
            return None;
        }
        let found = if partial.arity == 0 {
            (Question::Arity, self.arities())
        } else if partial.system.len() < partial.arity {
            (Question::System, members(self.elements_after(partial.arity, &partial.system)))
        } else if let (Some(group), Some(completion)) = (partial.group, &partial.completion) {
            match partial.open {
                None => (Question::Position, completion.positions(group, partial)),
                Some(position) => (Question::Occupant, completion.occupants(group, partial, position)),
            }
        } else {
            (Question::Group, self.groups(&partial.system))
        };
        Some(found)
    }

    /// Takes one of the allowed answers in.
    ///
    /// An answer that was not allowed is not noticed here; [`Grammar::options`] then has none.
    pub fn answer(&self, partial: &mut Partial, question: Question, option: u8) {
        match question {
            Question::Arity => partial.arity = usize::from(option),
            Question::System => partial.system.push(option),
            Question::Group => {
                partial.group = space_group(option + 1);
                partial.completion = partial.group.map(|group| self.completion(group, &partial.system));
            }
            Question::Position if option == STOP => partial.finished = true,
            Question::Position => partial.open = Some(option),
            Question::Occupant => {
                let slot = partial.system.iter().position(|element| *element == option).unwrap_or(0);
                if let (Some(position), Some(group)) = (partial.open.take(), partial.group) {
                    partial.orbits.push((position, slot as u8));
                    let atoms = group.positions[usize::from(position)].atoms;
                    partial.counts = added(partial.counts, atoms, slot).unwrap_or(partial.counts);
                }
            }
        }
    }

    /// The answers that make up a crystal, in order, or `None` if the rules forbid it.
    #[must_use]
    pub fn answers(&self, crystal: &Crystal) -> Option<Vec<(Question, u8)>> {
        let system = crystal.elements();
        let mut answers = vec![(Question::Arity, u8::try_from(system.len()).ok()?)];
        answers.extend(system.iter().map(|element| (Question::System, element.index() as u8)));
        answers.push((Question::Group, crystal.group() - 1));
        for orbit in crystal.orbits() {
            answers.push((Question::Position, orbit.position));
            answers.push((Question::Occupant, orbit.element.index() as u8));
        }
        answers.push((Question::Position, STOP));
        let mut partial = self.start();
        for (question, option) in &answers {
            let (asked, options) = self.options(&partial)?;
            if asked != *question || !options.contains(option) {
                return None;
            }
            self.answer(&mut partial, *question, *option);
        }
        Some(answers)
    }

    fn arities(&self) -> Vec<u8> {
        let count = self.allowed.count_ones() as usize;
        let range = if self.condition.all_elements { count..=count } else { LEAST_ELEMENTS..=MOST_ELEMENTS };
        range.filter(|arity| self.elements_after(*arity, &[]) != 0).map(|arity| arity as u8).collect()
    }

    /// Elements that may follow those chosen, so that a system of `arity` elements with a crystal results.
    fn elements_after(&self, arity: usize, chosen: &[u8]) -> u128 {
        let later = chosen.last().map_or(u128::MAX, |last| u128::MAX << last << 1) & self.allowed;
        let missing = arity - chosen.len();
        if self.condition.all_elements {
            // The first one that is left. With the charge rule the table below knows whether there is a crystal at all.
            let possible = self.reachable(arity)
                && (self.condition.charges.is_none() || self.charged.contains_key(&(arity, Vec::new())));
            return if possible { later & later.wrapping_neg() } else { 0 };
        }
        if self.condition.charges.is_none() {
            // The last so many of the allowed ones have too few after them.
            let mut open = if self.reachable(arity) { later } else { 0 };
            for _ in 1..missing {
                open &= !(1_u128 << (127 - open.leading_zeros().min(127)));
            }
            return open;
        }
        self.charged.get(&(arity, chosen.to_vec())).copied().unwrap_or(0)
    }

    /// Whether the group that is asked for can hold so many elements.
    fn reachable(&self, arity: usize) -> bool {
        let enough = CountSet::all_present(arity, self.condition.most_atoms);
        match self.condition.group {
            Some(number) => REACH[usize::from(number) - 1][arity - LEAST_ELEMENTS].meets(&enough),
            None => !enough.is_empty(),
        }
    }

    fn groups(&self, system: &[u8]) -> Vec<u8> {
        let valid = self.valid(system);
        let fits = |index: &u8| {
            let wanted = self.condition.group.is_none_or(|number| number - 1 == *index);
            wanted && REACH[usize::from(*index)][system.len() - LEAST_ELEMENTS].meets(&valid)
        };
        (0..GROUPS as u8).filter(fits).collect()
    }

    /// The compositions of a system that may stand at the end.
    fn valid(&self, system: &[u8]) -> CountSet {
        match &self.condition.charges {
            None => CountSet::all_present(system.len(), self.condition.most_atoms),
            Some(settings) => charge::balanced(system, settings, self.condition.most_atoms),
        }
    }

    fn completion(&self, group: &'static SpaceGroup, system: &[u8]) -> Arc<Completion> {
        let build = || Arc::new(Completion::new(group, self.valid(system)));
        if self.plain {
            PLAIN[usize::from(group.number) - 1][system.len() - LEAST_ELEMENTS].get_or_init(build).clone()
        } else {
            build()
        }
    }

    /// Finds all systems with a crystal that obeys the charge rule.
    fn tabulate(&mut self) {
        let (Some(settings), limit) = (self.condition.charges, self.condition.most_atoms) else { return };
        let group = self.condition.group.map(|number| &REACH[usize::from(number) - 1]);
        let possible = |system: &[u8]| {
            charge::any_balanced(system, &settings, limit, group.map(|reach| &reach[system.len() - LEAST_ELEMENTS]))
        };
        let elements = members(self.allowed);
        let mut found: BTreeMap<(usize, Vec<u8>), u128> = BTreeMap::new();
        let mut keep = |system: &[u8]| {
            for (at, element) in system.iter().enumerate() {
                *found.entry((system.len(), system[..at].to_vec())).or_insert(0) |= 1 << element;
            }
        };
        for (at, first) in elements.iter().enumerate() {
            for (next, second) in elements.iter().enumerate().skip(at + 1) {
                if possible(&[*first, *second]) {
                    keep(&[*first, *second]);
                }
                for third in &elements[next + 1..] {
                    if possible(&[*first, *second, *third]) {
                        keep(&[*first, *second, *third]);
                    }
                }
            }
        }
        self.charged = found;
    }
}

impl Partial {
    /// Elements of the chemical system, as far as they are known, as [`Element::index`].
    #[must_use]
    pub fn system(&self) -> &[u8] {
        &self.system
    }

    /// Number of elements; 0 as long as it is not known.
    #[must_use]
    pub fn arity(&self) -> usize {
        self.arity
    }

    /// The space group, once it is known.
    #[must_use]
    pub fn group(&self) -> Option<&'static SpaceGroup> {
        self.group
    }

    /// The position that waits for its element.
    #[must_use]
    pub fn open(&self) -> Option<u8> {
        self.open
    }

    /// Orbits so far: position, and which element of the system.
    #[must_use]
    pub fn orbits(&self) -> &[(u8, u8)] {
        &self.orbits
    }

    /// Atoms of each element of the system in the primitive cell so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The crystal, if it is complete.
    #[must_use]
    pub fn crystal(&self) -> Option<Crystal> {
        let orbit = |(position, slot): &(u8, u8)| {
            let element = Element::from_number(u32::from(*self.system.get(usize::from(*slot))?) + 1).ok()?;
            Some(Orbit { position: *position, element })
        };
        let orbits: Option<Vec<Orbit>> = self.orbits.iter().map(orbit).collect();
        if self.finished { Crystal::new(self.group?.number, orbits?).ok() } else { None }
    }
}

impl Completion {
    fn new(group: &SpaceGroup, end: CountSet) -> Completion {
        let arity = end.arity();
        let mut from: Vec<CountSet> = Vec::with_capacity(group.positions.len() * arity);
        let mut later = end.clone();
        for position in group.positions.iter().rev() {
            let mut here = later.clone();
            for slot in (0..arity).rev() {
                if position.freedom == 0 {
                    here.join(&later.before(position.atoms, slot));
                } else {
                    while here.join(&here.before(position.atoms, slot)) {}
                }
                from.push(here.clone());
            }
            later = here;
        }
        from.reverse();
        Completion { arity, end, from }
    }

    /// Counts from which positions from `position` on complete a crystal.
    fn from(&self, position: usize, slot: usize) -> &CountSet {
        self.from.get(position * self.arity + slot).unwrap_or(&self.end)
    }

    fn positions(&self, group: &SpaceGroup, partial: &Partial) -> Vec<u8> {
        let first = partial.orbits.last().map_or(0, |(last, _)| usize::from(*last));
        let open = (first..group.positions.len()).filter(|at| self.slots(group, partial, *at).next().is_some());
        let mut found: Vec<u8> = open.map(|at| at as u8).collect();
        if self.end.contains(partial.counts) {
            found.push(STOP);
        }
        found
    }

    fn occupants(&self, group: &SpaceGroup, partial: &Partial, position: u8) -> Vec<u8> {
        self.slots(group, partial, usize::from(position)).map(|slot| partial.system[slot]).collect()
    }

    /// Elements that may come onto a position: in order, and with a completion afterwards.
    fn slots(&self, group: &SpaceGroup, partial: &Partial, at: usize) -> impl Iterator<Item = usize> {
        let position = &group.positions[at];
        let first = match partial.orbits.last() {
            Some((last, _)) if usize::from(*last) == at && position.freedom == 0 => self.arity,
            Some((last, slot)) if usize::from(*last) == at => usize::from(*slot),
            _ => 0,
        };
        let (counts, fixed) = (partial.counts, position.freedom == 0);
        (first..self.arity).filter(move |slot| {
            let target = if fixed { self.from(at + 1, 0) } else { self.from(at, *slot) };
            added(counts, position.atoms, *slot).is_some_and(|sum| target.contains(sum))
        })
    }
}

/// Counts that the positions of a group can make up.
fn reach(group: &SpaceGroup, arity: usize) -> CountSet {
    let mut found = CountSet::empty(arity);
    found.insert(Counts::default());
    for position in &group.positions {
        let before = found.clone();
        for slot in 0..arity {
            if position.freedom == 0 {
                found.join(&before.after(position.atoms, slot));
            } else {
                while found.join(&found.after(position.atoms, slot)) {}
            }
        }
    }
    found
}

fn members(bits: u128) -> Vec<u8> {
    (0..Element::COUNT as u8).filter(|index| bits >> index & 1 == 1).collect()
}
