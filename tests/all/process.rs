//! Child processes: started, listened to, ended by their own id and never left behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// How long anything may take; a machine with two cores runs several tests at once.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// What a process has printed so far.
#[derive(Default)]
struct Output {
    text: Mutex<(String, bool)>,
    more: Condvar,
}

/// A running program. Dropping it kills it.
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts a program and collects both of its streams.
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let output = Arc::new(Output::default());
        let streams: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|stream| Box::new(stream) as _),
            child.stderr.take().map(|stream| Box::new(stream) as _),
        ];
        let readers = streams.into_iter().flatten().map(|stream| collect(stream, output.clone()));
        let readers = readers.collect();
        Self { name, child, output, readers }
    }

    /// The process' id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything printed so far.
    pub fn output(&self) -> String {
        // Poisoned when a wait for it failed; it is as good as ever.
        self.output.text.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Waits until the output answers the question; panics with it when the process ends before.
    pub fn wait_for<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let until = Instant::now() + DEADLINE;
        let mut text = self.output.text.lock().unwrap();
        loop {
            if let Some(found) = find(&text.0) {
                return found;
            }
            let ended = text.1;
            let left = until.saturating_duration_since(Instant::now());
            let name = &self.name;
            assert!(!ended, "{name} ended before it printed {what}:\n{}", text.0);
            assert!(!left.is_zero(), "{name} did not print {what}:\n{}", text.0);
            text = self.output.more.wait_timeout(text, left).unwrap().0;
        }
    }

    /// Kills at once, as a power cut of this process alone.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process id");
        rustix::process::kill_process(pid, signal).expect("the process lives");
    }

    /// Closes the process' stdin.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        let status = wait_until(&format!("the end of {}", self.name), || {
            self.child.try_wait().expect("waiting for a child")
        });
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader of output");
        }
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            // The harness shows it beside the failure.
            println!("--- output of {} ---\n{}---", self.name, self.output());
        }
    }
}

fn collect(stream: Box<dyn Read + Send>, output: Arc<Output>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).unwrap_or(0);
            let mut text = output.text.lock().unwrap_or_else(PoisonError::into_inner);
            text.0.push_str(&String::from_utf8_lossy(&line));
            text.1 |= read == 0;
            output.more.notify_all();
            if read == 0 {
                return;
            }
        }
    })
}

/// What a program that ended has left.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// Runs a program to its end, with this on its stdin.
pub fn run(command: &mut Command, stdin: &[u8]) -> Finished {
    let shown = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
    let mut pipe = child.stdin.take().expect("a pipe");
    let input = stdin.to_vec();
    // Whoever does not read its stdin closes it.
    let writer = std::thread::spawn(move || drop(pipe.write_all(&input)));
    let timer = Timer::start(child.id());
    let output = child.wait_with_output().expect("output of a child");
    assert!(!timer.stop(), "{shown} took longer than {DEADLINE:?}");
    writer.join().expect("a writer of input");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Kills a process that takes too long.
struct Timer {
    stopped: Arc<(Mutex<bool>, Condvar)>,
    thread: JoinHandle<bool>,
}

impl Timer {
    fn start(id: u32) -> Self {
        let stopped = Arc::new((Mutex::new(false), Condvar::new()));
        let shared = stopped.clone();
        let thread = std::thread::spawn(move || {
            let (lock, changed) = &*shared;
            let guard = lock.lock().unwrap();
            let wait = changed.wait_timeout_while(guard, DEADLINE, |stopped| !*stopped).unwrap();
            if wait.1.timed_out()
                && let Some(pid) = Pid::from_raw(id.cast_signed())
            {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
            wait.1.timed_out()
        });
        Self { stopped, thread }
    }

    /// True when the time was over.
    fn stop(self) -> bool {
        *self.stopped.0.lock().unwrap() = true;
        self.stopped.1.notify_all();
        self.thread.join().expect("a timer")
    }
}

/// Asks again until there is an answer.
pub fn wait_until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "waited {DEADLINE:?} in vain for {what}");
        // Between two looks, not instead of one.
        std::thread::sleep(Duration::from_millis(20));
    }
}
