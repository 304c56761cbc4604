//! "Can finish": from every state that can be reached, a final state can be reached. stateright's `eventually` asks for
//! more (on every path) and looks away at cycles, so this question has an explorer of its own: breadth first over the same
//! [`Model`], with every edge kept, and then backwards from the final states.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault};

use stateright::Model;

use crate::action::Action;
use crate::model::Protocol;
use crate::state::State;

/// What the explorer found.
#[derive(Debug, Clone)]
pub struct Explored {
    /// Distinct states.
    pub states: usize,
    /// Distinct transitions.
    pub transitions: usize,
    /// Final states.
    pub finished: usize,
    /// Longest shortest path from the first state.
    pub depth: u32,
    /// Whether everything within the bounds was visited; if not, the states at the edge count as able to finish.
    pub is_complete: bool,
    /// States from which no final state can be reached.
    pub stuck: usize,
    /// The shortest way into one of them.
    pub way_to_stuck: Option<Vec<Action>>,
}

struct Graph {
    /// Index by 64-bit fingerprint; with a million states a collision has a chance of 3 in 10⁸.
    indices: HashMap<u64, u32, BuildHasherDefault<Same>>,
    /// The state and action before, by index.
    before: Vec<(u32, Action)>,
    depth: Vec<u32>,
    /// Edges as (to, from).
    edges: Vec<(u32, u32)>,
}

/// Explores at most so many states.
pub fn explore(model: &Protocol, most_states: usize) -> Explored {
    let fingerprints = BuildHasherDefault::<Folded>::default();
    let mut graph = Graph { indices: HashMap::default(), before: Vec::new(), depth: Vec::new(), edges: Vec::new() };
    let mut goals: Vec<u32> = Vec::new();
    let mut layer: Vec<(u32, State)> = Vec::new();
    for state in model.init_states() {
        graph.indices.insert(fingerprints.hash_one(state), graph.before.len() as u32);
        layer.push((graph.before.len() as u32, state));
        graph.before.push((u32::MAX, Action::StartScheduler));
        graph.depth.push(0);
    }
    let mut finished = 0;
    let mut actions = Vec::new();
    while !layer.is_empty() && graph.before.len() < most_states {
        let mut next_layer = Vec::new();
        for (from, state) in layer {
            if state.is_finished() {
                goals.push(from);
                finished += 1;
            }
            actions.clear();
            model.actions(&state, &mut actions);
            for action in actions.drain(..) {
                let Some(next) = model.next_state(&state, action) else { continue };
                let count = graph.before.len() as u32;
                let to = *graph.indices.entry(fingerprints.hash_one(next)).or_insert(count);
                if to == count {
                    graph.before.push((from, action));
                    graph.depth.push(graph.depth[from as usize] + 1);
                    next_layer.push((to, next));
                }
                graph.edges.push((to, from));
            }
        }
        layer = next_layer;
    }
    // What was not looked into may finish for all that is known.
    goals.extend(layer.iter().map(|(index, _)| *index));
    let is_complete = layer.is_empty();
    graph.edges.sort_unstable();
    graph.edges.dedup();
    let can_finish = graph.reaches(&goals);
    let stuck: Vec<u32> =
        can_finish.iter().enumerate().filter(|(_, can)| !**can).map(|(index, _)| index as u32).collect();
    Explored {
        states: graph.before.len(),
        transitions: graph.edges.len(),
        finished,
        depth: graph.depth.last().copied().unwrap_or(0),
        is_complete,
        stuck: stuck.len(),
        // Indices grow with the depth, so the first one is the shallowest.
        way_to_stuck: stuck.first().map(|first| graph.way_to(*first)),
    }
}

/// Searches breadth first for the first state that violates a property; the states seen and the shortest way there.
/// stateright's own search looks at states in blocks, so its counterexamples are short but not always shortest.
pub fn shortest_violation(model: &Protocol, name: &'static str, most_states: usize) -> (usize, Option<Vec<Action>>) {
    let holds = model.property(name).condition;
    let fingerprints = BuildHasherDefault::<Folded>::default();
    let mut graph = Graph { indices: HashMap::default(), before: Vec::new(), depth: Vec::new(), edges: Vec::new() };
    let mut open = VecDeque::new();
    for state in model.init_states() {
        graph.indices.insert(fingerprints.hash_one(state), 0);
        graph.before.push((u32::MAX, Action::StartScheduler));
        open.push_back((0, state));
    }
    let mut actions = Vec::new();
    while let Some((from, state)) = open.pop_front() {
        model.actions(&state, &mut actions);
        for action in actions.drain(..) {
            let Some(next) = model.next_state(&state, action) else { continue };
            let count = graph.before.len() as u32;
            if *graph.indices.entry(fingerprints.hash_one(next)).or_insert(count) != count {
                continue;
            }
            graph.before.push((from, action));
            if !holds(model, &next) {
                return (graph.before.len(), Some(graph.way_to(count)));
            }
            open.push_back((count, next));
        }
        if graph.before.len() >= most_states {
            break;
        }
    }
    (graph.before.len(), None)
}

impl Graph {
    /// Which states reach one of these, by going backwards.
    fn reaches(&self, goals: &[u32]) -> Vec<bool> {
        let mut reaches = vec![false; self.before.len()];
        goals.iter().for_each(|goal| reaches[*goal as usize] = true);
        let mut open = goals.to_vec();
        while let Some(to) = open.pop() {
            let first = self.edges.partition_point(|edge| edge.0 < to);
            for (_, from) in self.edges[first..].iter().take_while(|edge| edge.0 == to) {
                if !std::mem::replace(&mut reaches[*from as usize], true) {
                    open.push(*from);
                }
            }
        }
        reaches
    }

    fn way_to(&self, index: u32) -> Vec<Action> {
        let mut way = Vec::new();
        let mut at = index;
        while let (before, action) = self.before[at as usize]
            && before != u32::MAX
        {
            way.push(action);
            at = before;
        }
        way.reverse();
        way
    }
}

/// Multiply and fold: as good as is needed to tell states apart, and many times faster than the hasher of the library.
#[derive(Clone, Copy)]
struct Folded(u64);

/// Odd, with about as many ones as zeros, so that every bit of the product depends on every bit of the word.
const MULTIPLIER: u64 = 0xa076_1d64_78bd_642f;
/// Keeps a product of zero from lasting.
const ADDEND: u64 = 0xe703_7ed1_a0b4_28db;

impl Default for Folded {
    fn default() -> Self {
        Folded(0x9e37_79b9_7f4a_7c15)
    }
}

impl Folded {
    fn fold(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value) * u128::from(MULTIPLIER);
        self.0 = (product as u64 ^ (product >> 64) as u64).wrapping_add(ADDEND);
    }
}

impl std::hash::Hasher for Folded {
    fn finish(&self) -> u64 {
        let mut last = *self;
        last.fold(0x2545_f491_4f6c_dd1d);
        last.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.chunks(8).for_each(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_le_bytes(word));
        });
    }

    fn write_u8(&mut self, value: u8) {
        self.fold(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.fold(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.fold(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.fold(value as u64);
    }
}

/// A fingerprint is its own hash.
#[derive(Default, Clone, Copy)]
struct Same(u64);

impl std::hash::Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
