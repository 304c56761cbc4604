//! Sets of compositions: up to three counts of atoms, as bits, so that looking ahead costs a few shifts.

use std::sync::LazyLock;

/// Atoms in the largest primitive cell that is described: the limit of MP-20.
pub const MOST_ATOMS: usize = 20;
/// Elements in the richest crystal that is described: the data at hand are binaries and ternaries.
pub const MOST_ELEMENTS: usize = 3;

const RADIX: usize = MOST_ATOMS + 1;
const STRIDES: [usize; MOST_ELEMENTS] = [1, RADIX, RADIX * RADIX];

/// Atoms of each element of a crystal, in the order of its elements.
pub type Counts = [u8; MOST_ELEMENTS];

/// A set of counts of `arity` elements, together at most [`MOST_ATOMS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CountSet {
    arity: usize,
    words: Vec<u64>,
}

/// For each arity and each limit the counts that sum to no more.
static WITHIN: LazyLock<Vec<Vec<CountSet>>> = LazyLock::new(|| {
    let limits = |arity| (0..=MOST_ATOMS).map(|limit| CountSet::within_limit(arity, limit)).collect();
    (0..=MOST_ELEMENTS).map(limits).collect()
});

impl CountSet {
    pub(crate) fn empty(arity: usize) -> CountSet {
        CountSet { arity, words: vec![0; RADIX.pow(arity as u32).div_ceil(64)] }
    }

    pub(crate) fn arity(&self) -> usize {
        self.arity
    }

    /// Every count from 1 on, together at most `limit` atoms.
    pub(crate) fn all_present(arity: usize, limit: usize) -> CountSet {
        let mut found = CountSet::empty(arity);
        each(arity, limit, |counts| {
            if counts[..arity].iter().all(|count| *count > 0) {
                found.insert(counts);
            }
        });
        found
    }

    fn within_limit(arity: usize, limit: usize) -> CountSet {
        let mut found = CountSet::empty(arity);
        each(arity, limit, |counts| found.insert(counts));
        found
    }

    pub(crate) fn insert(&mut self, counts: Counts) {
        let at = index(counts);
        self.words[at / 64] |= 1 << (at % 64);
    }

    pub(crate) fn contains(&self, counts: Counts) -> bool {
        let at = index(counts);
        self.words[at / 64] >> (at % 64) & 1 == 1
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub(crate) fn meets(&self, other: &CountSet) -> bool {
        self.words.iter().zip(&other.words).any(|(a, b)| a & b != 0)
    }

    /// Takes the members of another set in; tells whether any was new.
    pub(crate) fn join(&mut self, other: &CountSet) -> bool {
        let mut grown = false;
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            grown |= more & !*word != 0;
            *word |= more;
        }
        grown
    }

    /// The counts that `atoms` more of element `slot` bring into this set.
    pub(crate) fn before(&self, atoms: usize, slot: usize) -> CountSet {
        let mut found = CountSet::empty(self.arity);
        if atoms > MOST_ATOMS {
            return found;
        }
        let (whole, part) = (atoms * STRIDES[slot] / 64, atoms * STRIDES[slot] % 64);
        let word = |at: usize| self.words.get(at).copied().unwrap_or(0);
        let limit = &WITHIN[self.arity][MOST_ATOMS - atoms];
        for (at, (to, within)) in found.words.iter_mut().zip(&limit.words).enumerate() {
            // In two steps: a shift by 64 is none.
            *to = (word(at + whole) >> part | (word(at + whole + 1) << 1) << (63 - part)) & within;
        }
        found
    }

    /// What `atoms` more of element `slot` make of the members, where that is not too many.
    pub(crate) fn after(&self, atoms: usize, slot: usize) -> CountSet {
        let mut found = CountSet::empty(self.arity);
        if atoms > MOST_ATOMS {
            return found;
        }
        let (whole, part) = (atoms * STRIDES[slot] / 64, atoms * STRIDES[slot] % 64);
        let limit = &WITHIN[self.arity][MOST_ATOMS - atoms];
        let word = |at: Option<usize>| at.map_or(0, |at| self.words[at] & limit.words[at]);
        for (at, to) in found.words.iter_mut().enumerate() {
            *to = word(at.checked_sub(whole)) << part | (word(at.checked_sub(whole + 1)) >> 1) >> (63 - part);
        }
        found
    }
}

/// `counts` with `atoms` more of element `slot`, or nothing where that is too many.
pub(crate) fn added(mut counts: Counts, atoms: usize, slot: usize) -> Option<Counts> {
    let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
    (total + atoms <= MOST_ATOMS).then(|| {
        counts[slot] += atoms as u8;
        counts
    })
}

/// Every choice of counts with a sum of at most `limit`.
pub(crate) fn each(arity: usize, limit: usize, mut visit: impl FnMut(Counts)) {
    let most = |slot: usize| if slot < arity { limit } else { 0 };
    for third in 0..=most(2) {
        for second in 0..=most(1).min(limit - third) {
            for first in 0..=most(0).min(limit - third - second) {
                visit([first as u8, second as u8, third as u8]);
            }
        }
    }
}

fn index(counts: Counts) -> usize {
    counts.iter().zip(STRIDES).map(|(count, stride)| usize::from(*count) * stride).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_are_those_of_the_plain_definition() {
        for arity in 1..=MOST_ELEMENTS {
            let mut set = CountSet::empty(arity);
            each(arity, MOST_ATOMS, |counts| {
                if (counts[0] as usize * 7 + counts[1] as usize * 5 + counts[2] as usize * 3) % 4 == 1 {
                    set.insert(counts);
                }
            });
            for (atoms, slot) in [(1, 0), (3, arity - 1), (20, 0), (16, arity / 2), (24, 0)] {
                let (before, mut after) = (set.before(atoms, slot), CountSet::empty(arity));
                each(arity, MOST_ATOMS, |counts| {
                    let sum = added(counts, atoms, slot);
                    assert_eq!(before.contains(counts), sum.is_some_and(|sum| set.contains(sum)));
                    if let Some(sum) = sum.filter(|_| set.contains(counts)) {
                        after.insert(sum);
                    }
                });
                assert_eq!(set.after(atoms, slot), after);
            }
        }
    }

    #[test]
    fn sets_are_joined_and_compared() {
        let (mut few, all) = (CountSet::all_present(2, 3), CountSet::all_present(2, 20));
        assert!(few.meets(&all) && few.contains([1, 2, 0]) && !few.contains([0, 1, 0]));
        assert!(few.join(&all) && !few.join(&all) && few == all && !few.is_empty());
    }
}
