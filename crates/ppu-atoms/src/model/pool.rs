//! Memory that one evaluation leaves for the next: fresh pages cost as much as a tenth of the arithmetic.

use std::sync::{Mutex, PoisonError};

/// Buffers of an ordinary crystal are kept; the hundreds of megabytes of a large one are not. In numbers, 64 MB.
const MOST_KEPT: usize = 16 << 20;

/// Buffers that are free. What they hold is left over from before and must be overwritten before it is read.
#[derive(Debug, Default)]
pub(super) struct Pool<T>(Mutex<Vec<Vec<T>>>);

impl<T> Clone for Pool<T> {
    /// A clone begins with no buffers: they are no part of what a model is.
    fn clone(&self) -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T: Copy + Default> Pool<T> {
    /// A buffer of the given length, with arbitrary numbers in it.
    pub(super) fn take(&self, length: usize) -> Vec<T> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = (0..free.len()).filter(|&at| free[at].capacity() >= length);
        let mut buffer = match fitting.min_by_key(|&at| free[at].capacity()) {
            Some(at) => free.swap_remove(at),
            None => Vec::new(),
        };
        drop(free);
        buffer.resize(length, T::default());
        buffer
    }

    /// Takes buffers back.
    pub(super) fn give(&self, buffers: impl IntoIterator<Item = Vec<T>>) {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept: usize = free.iter().map(Vec::capacity).sum();
        for buffer in buffers {
            if kept + buffer.capacity() <= MOST_KEPT {
                kept += buffer.capacity();
                free.push(buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_large_ones_do_not_stay() {
        let pool = Pool::<f32>::default();
        let first = pool.take(1000);
        let place = first.as_ptr();
        pool.give([first]);
        let again = pool.take(900);
        assert_eq!((again.as_ptr(), again.len()), (place, 900));
        pool.give([again, pool.take(MOST_KEPT)]);
        assert!(pool.0.lock().unwrap().iter().map(Vec::capacity).sum::<usize>() <= MOST_KEPT);
        assert_eq!(pool.clone().0.lock().unwrap().len(), 0);
    }
}
