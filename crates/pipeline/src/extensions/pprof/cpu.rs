//! Where CPU time goes: a signal for every so much of it, and the stack of the thread that gets it.
//!
//! The system sends `SIGPROF` to a thread that runs whenever the process has used another 10 ms of
//! CPU time (`setitimer(2)`, `ITIMER_PROF`). The handler walks that thread's stack into a place of
//! its own in memory that was reserved before: it neither allocates nor locks.
//!
//! Written here, and not taken from a library: `pprof`, which there is for it, has had no release
//! since March 2025, and brings ten others that nothing else needs.
//!
//! The unwinder is the system's. With glibc 2.35 and later it takes no locks; before, and elsewhere,
//! one that a thread may take again. A thread that walks its stack for the heap's profile is left
//! alone.

use std::collections::HashMap;
use std::time::Duration;

use super::encode::Sample;

/// Samples in a second of CPU time.
pub(super) const HERTZ: u32 = 100;

/// Frames of a stack; what lies further out is cut off.
const DEPTH_MAX: usize = 64;

/// How often what was seen is taken out of the handlers' memory.
pub(super) const GATHER_INTERVAL: Duration = Duration::from_secs(5);

/// Places for samples between two gatherings, of 520 bytes each. Further ones are counted.
const PLACES_MAX: usize = 1 << 15;

/// Different stacks of a profile. Samples of further ones are counted.
const STACKS_MAX: usize = 1 << 15;

/// What was seen while a profile was taken.
#[derive(Default)]
pub(super) struct Seen {
    /// Stacks, with how often each was seen and the nanoseconds that this stands for.
    pub(super) samples: Vec<Sample<2>>,
    /// Signals for which there was no room.
    pub(super) lost: u64,
}

/// Why a profile cannot be taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CpuError {
    /// Another one is being taken.
    #[error("a CPU profile is being taken already; come again when it is done")]
    Busy,
    /// The system does not let us.
    #[error("the system sends no signals for CPU time: {0}")]
    System(String),
}

/// A profile that is being taken; ends when it is dropped.
pub(super) struct Recording {
    signals: sys::Recording,
    counts: HashMap<Box<[usize]>, i64>,
    lost: u64,
}

impl Recording {
    /// Begins one. One at a time in a process.
    pub(super) fn start() -> Result<Self, CpuError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // Twice of what can come, as nobody gathers on time on a busy machine.
        let seconds = 2 * GATHER_INTERVAL.as_secs() as usize;
        let places = seconds.saturating_mul(cores).saturating_mul(HERTZ as usize);
        let signals = sys::Recording::start(places.min(PLACES_MAX))?;
        Ok(Self { signals, counts: HashMap::new(), lost: 0 })
    }

    /// Takes out what was seen, to make room. To be done every [`GATHER_INTERVAL`].
    pub(super) fn gather(&mut self) {
        let (stacks, lost) = self.signals.take();
        self.lost += lost as u64;
        for stack in stacks {
            let room = self.counts.len() < STACKS_MAX;
            match self.counts.get_mut(&stack) {
                Some(count) => *count += 1,
                None if room => {
                    self.counts.insert(stack, 1);
                }
                None => self.lost += 1,
            }
        }
    }

    /// What was seen.
    pub(super) fn finish(mut self) -> Seen {
        self.gather();
        let Self { signals, counts, lost } = self;
        drop(signals);
        let nanos = 1_000_000_000 / i64::from(HERTZ);
        let samples = counts
            .into_iter()
            .map(|(stack, count)| Sample { stack, values: [count, count * nanos] })
            .collect();
        Seen { samples, lost }
    }
}

#[cfg(target_os = "linux")]
mod sys {
    use std::cell::UnsafeCell;
    use std::ffi::{c_int, c_void};
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

    use super::super::heap::is_walking;
    use super::{CpuError, DEPTH_MAX, HERTZ};

    static BUSY: AtomicBool = AtomicBool::new(false);
    /// Where handlers write; null while nobody records.
    static TARGET: AtomicPtr<Target> = AtomicPtr::new(ptr::null_mut());
    /// Handlers that may have read [`TARGET`] and not come to an end.
    static INSIDE: AtomicUsize = AtomicUsize::new(0);

    struct Stack {
        depth: usize,
        frames: [usize; DEPTH_MAX],
    }

    struct Target {
        /// The next place; beyond the last one, samples are lost.
        next: AtomicUsize,
        places: Box<[UnsafeCell<Stack>]>,
    }

    // SAFETY: a place is written by the one handler that got its number from `next`, and read when
    // no handler is left that could.
    unsafe impl Sync for Target {}

    pub(super) struct Recording {
        target: Box<Target>,
    }

    impl Target {
        fn new(places: usize) -> Box<Self> {
            let empty = |_| UnsafeCell::new(Stack { depth: 0, frames: [0; DEPTH_MAX] });
            let places = (0..places).map(empty).collect();
            Box::new(Self { next: AtomicUsize::new(0), places })
        }
    }

    /// From here on handlers write there, and to what they wrote to before no more.
    fn aim(target: *mut Target) {
        TARGET.store(target, Ordering::SeqCst);
        while INSIDE.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
    }

    impl Recording {
        pub(super) fn start(places: usize) -> Result<Self, CpuError> {
            if BUSY.swap(true, Ordering::SeqCst) {
                return Err(CpuError::Busy);
            }
            // The first walk of a process may load what later ones use.
            backtrace::trace(|_| false);
            // From here on dropping it undoes all.
            let own = Self { target: Target::new(places) };
            aim(ptr::from_ref(&*own.target).cast_mut());
            install().and_then(|()| tick(1_000_000 / HERTZ)).map_err(CpuError::System)?;
            Ok(own)
        }

        /// The stacks that were seen since the last time, and how many found no place.
        pub(super) fn take(&mut self) -> (Vec<Box<[usize]>>, usize) {
            let next = Target::new(self.target.places.len());
            aim(ptr::from_ref(&*next).cast_mut());
            let target = std::mem::replace(&mut self.target, next);
            let taken = target.next.load(Ordering::SeqCst);
            let stacks = target.places.iter().take(taken).filter_map(|place| {
                // SAFETY: no handler is left that could write; see `aim`.
                let stack = unsafe { &*place.get() };
                let frames = stack.frames.get(..stack.depth)?;
                (!frames.is_empty()).then(|| frames.into())
            });
            (stacks.collect(), taken.saturating_sub(target.places.len()))
        }
    }

    impl Drop for Recording {
        fn drop(&mut self) {
            // To turn a timer off cannot fail.
            let _ = tick(0);
            aim(ptr::null_mut());
            BUSY.store(false, Ordering::SeqCst);
        }
    }

    /// Sets the handler. It stays: a signal that comes late would end the process without it.
    fn install() -> Result<(), String> {
        // SAFETY: all zeros are a valid `sigaction`, whose fields are then set as sigaction(2)
        // says; the handler has the type that `SA_SIGINFO` asks for.
        let done = unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_signal;
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            libc::sigaction(libc::SIGPROF, &action, ptr::null_mut())
        };
        match done {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error().to_string()),
        }
    }

    /// A signal for every so many microseconds of CPU time; 0 is none.
    fn tick(micros: u32) -> Result<(), String> {
        let time = libc::timeval { tv_sec: 0, tv_usec: libc::suseconds_t::from(micros) };
        let timer = libc::itimerval { it_interval: time, it_value: time };
        // SAFETY: the timer is a valid one and outlives the call.
        match unsafe { libc::setitimer(libc::ITIMER_PROF, &timer, ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error().to_string()),
        }
    }

    /// Runs on the stack of the thread that was interrupted, at any of its instructions.
    extern "C" fn on_signal(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
        // SAFETY: the thread's own `errno`, which the interrupted code may be about to read.
        let errno = unsafe { *libc::__errno_location() };
        INSIDE.fetch_add(1, Ordering::SeqCst);
        // SAFETY: not null means that it is in use at least until `INSIDE` is 0, see `aim`.
        if let Some(target) = unsafe { TARGET.load(Ordering::SeqCst).as_ref() } {
            record(target, context);
        }
        INSIDE.fetch_sub(1, Ordering::SeqCst);
        // SAFETY: as above.
        unsafe { *libc::__errno_location() = errno };
    }

    fn record(target: &Target, context: *mut c_void) {
        let Some(place) = target.places.get(target.next.fetch_add(1, Ordering::SeqCst)) else {
            return;
        };
        // A walk within a walk could meet a lock of the unwinder's that it holds itself.
        if is_walking() {
            return;
        }
        // SAFETY: the number of this place was given to this handler alone.
        let stack = unsafe { &mut *place.get() };
        let interrupted = interrupted_at(context);
        // Above the interrupted function lie this handler and what called it.
        let mut is_above = interrupted.is_some();
        let mut above = 0;
        // SAFETY: on this system the unwinder takes care of several threads; the lock that the safe
        // version has is for others.
        unsafe {
            backtrace::trace_unsynchronized(|frame| {
                let address = frame.ip() as usize;
                is_above = is_above && Some(address) != interrupted;
                if is_above {
                    above += 1;
                    // It should have come long ago: this stack cannot be told.
                    return above < 16;
                }
                match stack.frames.get_mut(stack.depth) {
                    Some(place) => *place = address,
                    None => return false,
                }
                stack.depth += 1;
                true
            });
        }
    }

    /// The instruction that the signal came before.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn interrupted_at(context: *mut c_void) -> Option<usize> {
        // SAFETY: with `SA_SIGINFO` the system hands over a `ucontext_t`.
        let machine = unsafe { &context.cast::<libc::ucontext_t>().as_ref()?.uc_mcontext };
        #[cfg(target_arch = "x86_64")]
        return Some(machine.gregs[libc::REG_RIP as usize] as usize);
        #[cfg(target_arch = "aarch64")]
        return Some(machine.pc as usize);
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn interrupted_at(_: *mut c_void) -> Option<usize> {
        None
    }
}

#[cfg(not(target_os = "linux"))]
mod sys {
    use super::CpuError;

    pub(super) struct Recording;

    impl Recording {
        pub(super) fn start(_: usize) -> Result<Self, CpuError> {
            Err(CpuError::System("CPU profiles are taken on Linux alone".to_owned()))
        }

        pub(super) fn take(&mut self) -> (Vec<Box<[usize]>>, usize) {
            (Vec::new(), 0)
        }
    }
}
