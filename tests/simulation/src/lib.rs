//! The real scheduler and drivers in one process, with simulated network, disk, time and faults.
