//! Atom, bond and angle convolutions, forward and reverse. Gathers and scatters run in the order of edges and angles.

use super::gated::{TILE, Tape};
use super::kernels::{DOUBLE, WIDTH, add, add_scaled, row, row_mut};
use super::network::{AngleConvolution, AtomConvolution, Linear};
use super::real::Real;
use crate::graph::{Angle, Edge, Graph};

/// Features, or derivatives by them: a row an atom, a bond, an angle.
#[derive(Debug, Clone)]
pub(super) struct Features<T> {
    pub(super) atoms: Vec<T>,
    pub(super) bonds: Vec<T>,
    pub(super) angles: Vec<T>,
}

/// Smooth weights of the messages, or derivatives by them.
#[derive(Debug, Clone)]
pub(super) struct Gates<T> {
    /// A row a bond.
    pub(super) atoms: Vec<T>,
    /// A row a bond that spans angles.
    pub(super) bonds: Vec<T>,
}

/// A row for each atom or bond with the given linear map applied.
fn mapped<T: Real>(linear: &Linear<T>, input: &[T], bias: Option<&[T]>) -> Vec<T> {
    let rows = input.len() / WIDTH;
    let mut output = match bias {
        Some(bias) => bias.repeat(rows),
        None => vec![T::ZERO; rows * linear.forward.columns()],
    };
    linear.forward.add_product(input, &mut output);
    output
}

/// Sums three rows.
#[inline(always)]
fn sum_of_three<T: Real>(to: &mut [T], a: &[T], b: &[T], c: &[T]) {
    for (((to, &a), &b), &c) in to.iter_mut().zip(a).zip(b).zip(c) {
        *to = a + b + c;
    }
}

impl<T: Real> AtomConvolution<T> {
    /// `h_i += O Σ_j φ(h_i, b_ij, h_j) · w_ij`.
    pub(super) fn forward(&self, graph: &Graph, features: &mut Features<T>, gates: &Gates<T>, tape: &mut Tape<T>) {
        let [centre, bond, neighbour] = &self.operands;
        let centres = mapped(centre, &features.atoms, Some(&self.bias));
        let neighbours = mapped(neighbour, &features.atoms, None);
        let bonds = mapped(bond, &features.bonds, None);
        let mut sums = vec![T::ZERO; features.atoms.len()];
        let mut tile = [T::ZERO; TILE * DOUBLE];
        for (index, edges) in graph.edges.chunks(TILE).enumerate() {
            let first = index * TILE;
            let input = &mut tile[..edges.len() * DOUBLE];
            for (to, edge) in input.chunks_exact_mut(DOUBLE).zip(edges) {
                let (a, b) = (row(&centres, edge.centre, DOUBLE), row(&bonds, edge.bond, DOUBLE));
                sum_of_three(to, a, b, row(&neighbours, edge.neighbour, DOUBLE));
            }
            self.gated.forward(input, first, tape);
            for (at, edge) in edges.iter().enumerate() {
                let message = row(&tape.messages, tape.place(first) + at, WIDTH);
                add_scaled(row_mut(&mut sums, edge.centre, WIDTH), message, row(&gates.atoms, edge.bond, WIDTH));
            }
        }
        self.output.forward.add_product(&sums, &mut features.atoms);
    }

    /// Adds to the derivatives what this convolution passes back.
    pub(super) fn reverse(
        &self,
        graph: &Graph,
        gates: &Gates<T>,
        tape: &Tape<T>,
        by: &mut Features<T>,
        by_gates: &mut Gates<T>,
    ) {
        let mut by_sums = vec![T::ZERO; by.atoms.len()];
        self.output.reverse.add_product(&by.atoms, &mut by_sums);
        let mut by_centres = vec![T::ZERO; graph.atoms() * DOUBLE];
        let mut by_neighbours = vec![T::ZERO; graph.atoms() * DOUBLE];
        let mut by_bonds = vec![T::ZERO; graph.bonds() * DOUBLE];
        let mut messages = [T::ZERO; TILE * WIDTH];
        let mut tile = [T::ZERO; TILE * DOUBLE];
        for (index, edges) in graph.edges.chunks(TILE).enumerate() {
            let first = index * TILE;
            for (at, &Edge { centre, bond, .. }) in edges.iter().enumerate() {
                let by_sum = row(&by_sums, centre, WIDTH);
                let message = row(&tape.messages, tape.place(first) + at, WIDTH);
                add_scaled(row_mut(&mut by_gates.atoms, bond, WIDTH), by_sum, message);
                multiply(row_mut(&mut messages, at, WIDTH), by_sum, row(&gates.atoms, bond, WIDTH));
            }
            let derivative = &mut tile[..edges.len() * DOUBLE];
            self.gated.reverse(&messages, first, tape, derivative);
            for (from, edge) in derivative.chunks_exact(DOUBLE).zip(edges) {
                add(row_mut(&mut by_centres, edge.centre, DOUBLE), from);
                add(row_mut(&mut by_neighbours, edge.neighbour, DOUBLE), from);
                add(row_mut(&mut by_bonds, edge.bond, DOUBLE), from);
            }
        }
        let [centre, bond, neighbour] = &self.operands;
        centre.reverse.add_product(&by_centres, &mut by.atoms);
        neighbour.reverse.add_product(&by_neighbours, &mut by.atoms);
        bond.reverse.add_product(&by_bonds, &mut by.bonds);
    }
}

#[inline(always)]
fn multiply<T: Real>(to: &mut [T], a: &[T], b: &[T]) {
    for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
        *to = a * b;
    }
}

/// The rows of one angle.
struct Ends {
    centre: usize,
    first: usize,
    second: usize,
}

fn ends(graph: &Graph, angle: &Angle) -> Ends {
    let bond = |edge: usize| graph.edges[edge].bond;
    Ends { centre: angle.centre, first: bond(angle.first), second: bond(angle.second) }
}

impl<T: Real> AngleConvolution<T> {
    /// With an output layer: `b_ij += O Σ_k φ(b_ij, b_ik, a, h_i) · w_ij · w_ik`. Without: `a += φ(b_ij, b_ik, a, h_i)`.
    pub(super) fn forward(&self, graph: &Graph, features: &mut Features<T>, gates: &Gates<T>, tape: &mut Tape<T>) {
        let [first_bond, second_bond, angle, centre] = &self.operands;
        let short = graph.short_bonds * WIDTH;
        let firsts = mapped(first_bond, &features.bonds[..short], Some(&self.bias));
        let seconds = mapped(second_bond, &features.bonds[..short], None);
        let centres = mapped(centre, &features.atoms, None);
        let mut sums = vec![T::ZERO; short];
        let mut tile = [T::ZERO; TILE * DOUBLE];
        for (index, angles) in graph.angles.chunks(TILE).enumerate() {
            let start = index * TILE;
            let input = &mut tile[..angles.len() * DOUBLE];
            for (to, angle) in input.chunks_exact_mut(DOUBLE).zip(angles) {
                let ends = ends(graph, angle);
                let (a, b) = (row(&firsts, ends.first, DOUBLE), row(&seconds, ends.second, DOUBLE));
                sum_of_three(to, a, b, row(&centres, ends.centre, DOUBLE));
            }
            let own = &mut features.angles[start * WIDTH..][..angles.len() * WIDTH];
            angle.forward.add_product(own, input);
            self.gated.forward(input, start, tape);
            let place = tape.place(start);
            if self.output.is_none() {
                add(own, &tape.messages[place * WIDTH..]);
                continue;
            }
            for (at, angle) in angles.iter().enumerate() {
                let ends = ends(graph, angle);
                let message = row(&tape.messages, place + at, WIDTH);
                let (one, two) = (row(&gates.bonds, ends.first, WIDTH), row(&gates.bonds, ends.second, WIDTH));
                let sum = row_mut(&mut sums, ends.first, WIDTH);
                for k in 0..WIDTH {
                    sum[k] += message[k] * one[k] * two[k];
                }
            }
        }
        if let Some(output) = &self.output {
            output.forward.add_product(&sums, &mut features.bonds[..short]);
        }
    }

    /// Adds to the derivatives what this convolution passes back.
    pub(super) fn reverse(
        &self,
        graph: &Graph,
        gates: &Gates<T>,
        tape: &Tape<T>,
        by: &mut Features<T>,
        by_gates: &mut Gates<T>,
    ) {
        let short = graph.short_bonds;
        let by_sums = self.output.as_ref().map(|output| {
            let mut by_sums = vec![T::ZERO; short * WIDTH];
            output.reverse.add_product(&by.bonds[..short * WIDTH], &mut by_sums);
            by_sums
        });
        let mut by_firsts = vec![T::ZERO; short * DOUBLE];
        let mut by_seconds = vec![T::ZERO; short * DOUBLE];
        let mut by_centres = vec![T::ZERO; graph.atoms() * DOUBLE];
        let mut messages = [T::ZERO; TILE * WIDTH];
        let mut tile = [T::ZERO; TILE * DOUBLE];
        for (index, angles) in graph.angles.chunks(TILE).enumerate() {
            let start = index * TILE;
            let own = &mut by.angles[start * WIDTH..][..angles.len() * WIDTH];
            match &by_sums {
                None => messages[..own.len()].copy_from_slice(own),
                Some(by_sums) => {
                    for (at, angle) in angles.iter().enumerate() {
                        let message = row(&tape.messages, tape.place(start) + at, WIDTH);
                        let to = row_mut(&mut messages, at, WIDTH);
                        by_bond_message(&ends(graph, angle), by_sums, message, gates, by_gates, to);
                    }
                }
            }
            let derivative = &mut tile[..angles.len() * DOUBLE];
            self.gated.reverse(&messages, start, tape, derivative);
            self.operands[2].reverse.add_product(derivative, own);
            for (from, angle) in derivative.chunks_exact(DOUBLE).zip(angles) {
                let ends = ends(graph, angle);
                add(row_mut(&mut by_firsts, ends.first, DOUBLE), from);
                add(row_mut(&mut by_seconds, ends.second, DOUBLE), from);
                add(row_mut(&mut by_centres, ends.centre, DOUBLE), from);
            }
        }
        let [first_bond, second_bond, _, centre] = &self.operands;
        first_bond.reverse.add_product(&by_firsts, &mut by.bonds[..short * WIDTH]);
        second_bond.reverse.add_product(&by_seconds, &mut by.bonds[..short * WIDTH]);
        centre.reverse.add_product(&by_centres, &mut by.atoms);
    }
}

/// Derivatives by one message to a bond (written to `to`) and by its two weights.
#[inline]
fn by_bond_message<T: Real>(
    ends: &Ends,
    by_sums: &[T],
    message: &[T],
    gates: &Gates<T>,
    by_gates: &mut Gates<T>,
    to: &mut [T],
) {
    let by_sum = row(by_sums, ends.first, WIDTH);
    let (one, two) = (row(&gates.bonds, ends.first, WIDTH), row(&gates.bonds, ends.second, WIDTH));
    let by_one = row_mut(&mut by_gates.bonds, ends.first, WIDTH);
    for k in 0..WIDTH {
        to[k] = by_sum[k] * one[k] * two[k];
        by_one[k] += by_sum[k] * message[k] * two[k];
    }
    let by_two = row_mut(&mut by_gates.bonds, ends.second, WIDTH);
    for k in 0..WIDTH {
        by_two[k] += by_sum[k] * message[k] * one[k];
    }
}
