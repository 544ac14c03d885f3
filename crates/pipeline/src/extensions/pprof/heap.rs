//! Where memory comes from: an allocator around another that looks at one allocation in every
//! 512 KiB, about, and remembers its stack until the memory is given back.
//!
//! Off, it costs the reading of one flag. On, an allocation takes its bytes off what is left until
//! the next sample (counted by each thread for itself), and giving back looks at one byte that
//! tells whether the memory may be among the samples.
//!
//! As Go does, samples are drawn so that every byte has the same chance, and scaled up by it: the
//! numbers are estimates of all memory that was asked for since sampling began.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::encode::Sample;

/// Bytes between two samples on average.
pub(super) const PERIOD_BYTES: usize = 512 << 10;

/// Frames of a stack; what lies further out is cut off.
const DEPTH_MAX: usize = 48;

/// Samples whose memory is in use: 32 GiB, about. Further ones are counted and not kept.
const LIVE_MAX: usize = 1 << 16;

/// Different stacks. Further ones are counted under none.
const STACKS_MAX: usize = 1 << 13;

/// Whether anybody samples.
static ON: AtomicBool = AtomicBool::new(false);
/// How many do.
static USERS: AtomicUsize = AtomicUsize::new(0);
/// Whether the process allocates through [`SampledAlloc`].
static IS_INSTALLED: AtomicBool = AtomicBool::new(false);

static SAMPLES: Mutex<Option<Samples>> = Mutex::new(None);

/// How many samples there are of addresses of one hash; what has reached the largest number stays
/// there, as nobody knows any more how many they were.
static MARKS: [AtomicU8; 1 << 16] = [const { AtomicU8::new(0) }; 1 << 16];

thread_local! {
    /// Bytes until the next sample, and the state of the numbers that are drawn; 0 before the first.
    static THREAD: Cell<(i64, u64)> = const { Cell::new((0, 0)) };
    /// This thread does the sampler's own work, of which no samples are taken.
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
    /// What this thread allocates is not to be seen.
    static IS_UNSEEN: Cell<bool> = const { Cell::new(false) };
}

/// An allocator whose allocations can be sampled: made the global one by the binary, so that the
/// extension `pprof` can tell where memory comes from.
pub struct SampledAlloc<A>(A);

impl<A> SampledAlloc<A> {
    /// Around another one, which does the work.
    pub const fn new(inner: A) -> Self {
        Self(inner)
    }
}

// SAFETY: everything is the inner allocator's, which gets what this one was given and whose answer
// is given back as it is. What is done besides neither touches that memory nor panics.
unsafe impl<A: GlobalAlloc> GlobalAlloc for SampledAlloc<A> {
    // Off, each of these is a look at a flag and a jump to the inner one.
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's duties are the inner allocator's, here and below.
        let take = || unsafe { self.0.alloc(layout) };
        if is_off() { take() } else { taken(take, layout.size()) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let take = || unsafe { self.0.alloc_zeroed(layout) };
        if is_off() { take() } else { taken(take, layout.size()) }
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // Before another thread may get it.
        if !is_off() {
            given_back(memory);
        }
        // SAFETY: as above.
        unsafe { self.0.dealloc(memory, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        let take = || unsafe { self.0.realloc(memory, layout, size) };
        if is_off() {
            return take();
        }
        given_back(memory);
        taken(take, size)
    }
}

#[inline]
fn is_off() -> bool {
    !ON.load(Ordering::Relaxed)
}

#[inline(never)]
fn taken(take: impl FnOnce() -> *mut u8, size: usize) -> *mut u8 {
    let memory = take();
    count(memory, size);
    memory
}

#[inline(never)]
fn given_back(memory: *mut u8) {
    if mark(memory as usize).load(Ordering::Relaxed) > 0 {
        forget(memory as usize);
    }
}

fn mark(address: usize) -> &'static AtomicU8 {
    // The lowest bits are the same everywhere.
    let hash =
        (address >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as usize) >> (usize::BITS - 16);
    &MARKS[hash & (MARKS.len() - 1)]
}

fn count(memory: *mut u8, size: usize) {
    if !IS_INSTALLED.load(Ordering::Relaxed) {
        IS_INSTALLED.store(true, Ordering::Relaxed);
    }
    THREAD.with(|thread| {
        let (left, state) = thread.get();
        let (left, state) = match state {
            0 => {
                // Its own place is as good a number as any, and differs between threads.
                let state = step((std::ptr::from_ref(thread) as u64) | 1);
                (gap(state), step(state))
            }
            _ => (left, state),
        };
        let left = left.saturating_sub(i64::try_from(size).unwrap_or(i64::MAX));
        if left > 0 {
            return thread.set((left, state));
        }
        thread.set((gap(state), step(state)));
        if !memory.is_null() && !IS_UNSEEN.with(Cell::get) {
            guarded(|| remember(memory as usize, size));
        }
    });
}

/// The next number (xorshift).
fn step(mut state: u64) -> u64 {
    state ^= state << 13;
    state ^= state >> 7;
    state ^ (state << 17)
}

/// Bytes until the next sample: many times drawn, exponentially distributed.
fn gap(state: u64) -> i64 {
    // The upper bits are the better ones; never 0.
    let uniform = ((state >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
    (-uniform.ln() * PERIOD_BYTES as f64) as i64
}

/// How many allocations of a size a sample of one stands for.
fn scale(size: usize) -> f64 {
    1.0 / -(-(size as f64) / PERIOD_BYTES as f64).exp_m1()
}

/// Does the sampler's own work, unless this thread is at it already.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    struct Out;
    impl Drop for Out {
        fn drop(&mut self) {
            IS_INSIDE.with(|inside| inside.set(false));
        }
    }
    if IS_INSIDE.with(|inside| inside.replace(true)) {
        return None;
    }
    let _out = Out;
    Some(work())
}

/// Does work whose own memory would be most of what there is to see.
pub(super) fn unseen<T>(work: impl FnOnce() -> T) -> T {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            IS_UNSEEN.with(|unseen| unseen.set(self.0));
        }
    }
    let _back = Back(IS_UNSEEN.with(|unseen| unseen.replace(true)));
    work()
}

/// Whether this thread may be walking a stack.
pub(super) fn is_walking() -> bool {
    IS_INSIDE.with(Cell::get)
}

fn samples() -> MutexGuard<'static, Option<Samples>> {
    // Nothing panics under it; were it so, the numbers would still be numbers.
    SAMPLES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remember(address: usize, size: usize) {
    let (mut frames, mut depth) = ([0usize; DEPTH_MAX], 0);
    // SAFETY: on the systems that this is for the unwinder takes care of several threads.
    unsafe {
        backtrace::trace_unsynchronized(|frame| match frames.get_mut(depth) {
            Some(place) => {
                *place = frame.ip() as usize;
                depth += 1;
                true
            }
            None => false,
        });
    }
    if let Some(samples) = &mut *samples()
        && samples.add(address, size, frames.get(..depth).unwrap_or_default())
    {
        let _ = mark(address)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_add(1));
    }
}

fn forget(address: usize) {
    guarded(|| {
        if let Some(samples) = &mut *samples()
            && samples.remove(address)
        {
            let _ = mark(address).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < u8::MAX).then(|| count.saturating_sub(1))
            });
        }
    });
}

/// What was asked for by one stack, scaled up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Asked {
    objects: f64,
    bytes: f64,
}

impl Asked {
    fn add(&mut self, size: usize) {
        let scale = scale(size);
        self.objects += scale;
        self.bytes += scale * size as f64;
    }
}

/// Samples, in bounded memory.
#[derive(Default)]
struct Samples {
    /// By their number; the first stands for those without room.
    stacks: Vec<(Box<[usize]>, Asked)>,
    numbers: HashMap<Box<[usize]>, usize>,
    /// Size and stack of what is in use, by its address.
    live: HashMap<usize, (usize, usize)>,
    lost: u64,
}

impl Samples {
    /// Whether it is kept until it is removed.
    fn add(&mut self, address: usize, size: usize, stack: &[usize]) -> bool {
        if self.stacks.is_empty() {
            self.stacks.push((Box::default(), Asked::default()));
        }
        let number = match self.numbers.get(stack) {
            Some(&known) => known,
            None if self.stacks.len() < STACKS_MAX => {
                self.numbers.insert(stack.into(), self.stacks.len());
                self.stacks.push((stack.into(), Asked::default()));
                self.stacks.len() - 1
            }
            None => 0,
        };
        if let Some((_, asked)) = self.stacks.get_mut(number) {
            asked.add(size);
        }
        if self.live.len() >= LIVE_MAX {
            self.lost += 1;
            return false;
        }
        // None was there: memory in use is not given out twice.
        self.live.insert(address, (size, number)).is_none()
    }

    fn remove(&mut self, address: usize) -> bool {
        self.live.remove(&address).is_some()
    }

    fn seen(&self) -> Seen {
        let mut live = vec![Asked::default(); self.stacks.len()];
        for &(size, number) in self.live.values() {
            if let Some(asked) = live.get_mut(number) {
                asked.add(size);
            }
        }
        let whole = |asked: &Asked| [asked.objects.round() as i64, asked.bytes.round() as i64];
        let samples = self.stacks.iter().zip(&live).map(|((stack, asked), live)| {
            let ([objects, bytes], [live_objects, live_bytes]) = (whole(asked), whole(live));
            Sample { stack: stack.clone(), values: [objects, bytes, live_objects, live_bytes] }
        });
        let samples = samples.filter(|sample| sample.values.iter().any(|&value| value > 0));
        Seen { samples: samples.collect(), lost: self.lost }
    }
}

/// What was seen since sampling began.
#[derive(Default)]
pub(super) struct Seen {
    /// Stacks, with objects and bytes asked for, and objects and bytes in use.
    pub(super) samples: Vec<Sample<4>>,
    /// Samples for which there was no room.
    pub(super) lost: u64,
}

/// Allocations are sampled as long as one of these lives.
pub(super) struct Sampling(());

impl Sampling {
    /// Begins to sample, if the process allocates through [`SampledAlloc`].
    pub(super) fn start() -> Option<Self> {
        guarded(|| {
            let mut samples = samples();
            if USERS.fetch_add(1, Ordering::Relaxed) == 0 {
                *samples = Some(Samples::default());
                ON.store(true, Ordering::Relaxed);
            }
        });
        let own = Self(());
        // If it comes through the sampler, this does.
        drop(std::hint::black_box(Box::new(std::hint::black_box(0u64))));
        IS_INSTALLED.load(Ordering::Relaxed).then_some(own)
    }

    /// What was seen up to now.
    pub(super) fn seen(&self) -> Seen {
        guarded(|| samples().as_ref().map(Samples::seen)).flatten().unwrap_or_default()
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        guarded(|| {
            let mut samples = samples();
            if USERS.fetch_sub(1, Ordering::Relaxed) == 1 {
                ON.store(false, Ordering::Relaxed);
                *samples = None;
                // Under the lock: nobody adds marks meanwhile.
                MARKS.iter().for_each(|mark| mark.store(0, Ordering::Relaxed));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_period_as_their_mean_and_scales_undo_them() {
        let (mut state, mut sum, mut hits) = (step(42), 0.0, 0);
        const DRAWS: u32 = 200_000;
        const SIZE: usize = 100 << 10;
        for _ in 0..DRAWS {
            let gap = gap(state);
            assert!(gap >= 0);
            sum += gap as f64;
            hits += u32::from(gap < SIZE as i64);
            state = step(state);
        }
        let mean = sum / f64::from(DRAWS) / PERIOD_BYTES as f64;
        assert!((0.98..1.02).contains(&mean), "{mean}");
        let estimate = f64::from(hits) * scale(SIZE) / f64::from(DRAWS);
        assert!((0.98..1.02).contains(&estimate), "{estimate}");
        assert!((scale(1) * 1.0 - PERIOD_BYTES as f64).abs() < 1.0, "{}", scale(1));
        assert!(scale(1 << 30) - 1.0 < 1e-9);
    }

    #[test]
    fn memory_that_is_given_back_is_in_use_no_more() {
        let mut samples = Samples::default();
        let big = 1 << 30;
        assert!(samples.add(16, big, &[1, 2]));
        assert!(samples.add(32, big, &[1, 2]));
        assert!(samples.add(48, big, &[3]));
        assert!(samples.remove(16));
        assert!(!samples.remove(16));
        let mut seen = samples.seen().samples;
        seen.sort_by(|a, b| a.stack.cmp(&b.stack));
        let big = big as i64;
        let own = |stack: &[usize], values| Sample { stack: stack.into(), values };
        let expected = [own(&[1, 2], [2, 2 * big, 1, big]), own(&[3], [1, big, 1, big])];
        assert_eq!(seen, expected);
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_left_out_of_the_sums() {
        let mut samples = Samples::default();
        let many = LIVE_MAX + 10;
        for at in 0..many {
            samples.add(at, 1 << 30, &[at]);
        }
        assert_eq!(samples.live.len(), LIVE_MAX);
        assert_eq!(samples.stacks.len(), STACKS_MAX);
        let seen = samples.seen();
        assert_eq!(seen.lost, 10);
        let sum = |of: usize| seen.samples.iter().map(|sample| sample.values[of]).sum::<i64>();
        assert_eq!(sum(0), many as i64);
        assert_eq!(sum(2), LIVE_MAX as i64);
    }
}
