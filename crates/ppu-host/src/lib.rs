//! The computer that a process runs on: clocks, threads, randomness; real or simulated.
