//! The threads of the engine, and what keeps them from their work.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parking_lot::Mutex;

/// Problems by worker.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    problems: Mutex<BTreeMap<&'static str, String>>,
}

impl Workers {
    /// Runs a worker's whole life. One that ends before it was told to is a problem for good.
    pub(crate) fn live(
        &self,
        name: &'static str,
        stopping: impl Fn() -> bool,
        life: impl FnOnce(),
    ) {
        let ended = catch_unwind(AssertUnwindSafe(life));
        if ended.is_err() || !stopping() {
            tracing::error!(worker = name, "a worker of the store died");
            self.set_problem(name, format!("the {name} died; restart Spanfall and report this"));
        }
    }

    pub(crate) fn set_problem(&self, name: &'static str, problem: String) {
        self.problems.lock().insert(name, problem);
    }

    pub(crate) fn clear_problem(&self, name: &'static str) {
        self.problems.lock().remove(name);
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        self.problems.lock().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_or_an_early_end_is_a_problem() {
        let workers = Workers::default();
        workers.live("sealer", || true, || {});
        assert!(workers.problems().is_empty());
        workers.live("sealer", || true, || panic!("a bug"));
        workers.live("writer", || false, || {});
        let problems = workers.problems();
        assert_eq!(problems.len(), 2);
        assert!(problems[0].contains("the sealer died"), "{problems:?}");
    }
}
