//! Vectors that a thread uses again: a query decodes column after column of the same length, and
//! memory that goes back to the system has to be cleared before it comes again, which costs more
//! than decoding.

use std::cell::RefCell;
use std::thread::LocalKey;

/// Smaller ones are cheap to allocate.
const BYTES_MIN: usize = 64 * 1024;

/// Larger ones are rare.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// How many of each type wait.
const COUNT_MAX: usize = 4;

type Waiting<T> = RefCell<Vec<Vec<T>>>;

/// What there are spare vectors of.
pub(crate) trait Spare: Sized + 'static {
    fn waiting() -> &'static LocalKey<Waiting<Self>>;
}

macro_rules! spare {
    ($($type:ty),*) => {$(
        impl Spare for $type {
            fn waiting() -> &'static LocalKey<Waiting<Self>> {
                thread_local! {
                    static WAITING: Waiting<$type> = const { RefCell::new(Vec::new()) };
                }
                &WAITING
            }
        }
    )*};
}

spare!(u8, u32, i32, i64, f64);

/// An empty vector with room for so many.
pub(crate) fn take<T: Spare>(capacity: usize) -> Vec<T> {
    let fits = |vector: &Vec<T>| vector.capacity() >= capacity;
    let take = |waiting: &Waiting<T>| {
        let mut waiting = waiting.borrow_mut();
        let at = waiting.iter().position(fits)?;
        Some(waiting.swap_remove(at))
    };
    let spare = if capacity * size_of::<T>() < BYTES_MIN { None } else { T::waiting().with(take) };
    spare.unwrap_or_else(|| Vec::with_capacity(capacity))
}

/// Keeps a vector for the next who asks.
pub(crate) fn give<T: Spare>(mut vector: Vec<T>) {
    let bytes = vector.capacity() * size_of::<T>();
    if !(BYTES_MIN..=BYTES_MAX).contains(&bytes) {
        return;
    }
    vector.clear();
    T::waiting().with(|waiting| {
        let mut waiting = waiting.borrow_mut();
        if waiting.len() < COUNT_MAX {
            waiting.push(vector);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_vectors_are_used_again() {
        let mut first: Vec<u32> = take(100_000);
        first.push(7);
        let place = first.as_ptr();
        give(first);
        let small: Vec<u32> = take(10);
        assert_ne!(small.as_ptr(), place);
        let larger: Vec<u32> = take(200_000);
        assert_ne!(larger.as_ptr(), place);
        let again: Vec<u32> = take(90_000);
        assert!(again.is_empty() && again.as_ptr() == place);
        (0..100).for_each(|_| give(Vec::<u32>::with_capacity(100_000)));
        assert_eq!(u32::waiting().with(|waiting| waiting.borrow().len()), COUNT_MAX);
    }
}
