//! `spanfall components`.

use std::process::ExitCode;

use clap::Args;
use config::{Section, Status};

use crate::printer::Printer;

/// Arguments of `spanfall components`.
#[derive(Debug, Args)]
#[command(
    long_about = "Lists, as YAML, the components that a configuration may name, with the signals \
                  that they carry and the old names under which they are found, too.",
    after_help = "Examples:\n  \
        spanfall components\n  \
        spanfall components | grep -A3 kafka"
)]
pub struct ComponentsArgs {}

/// Lists.
pub fn run(_: ComponentsArgs, printer: &Printer) -> anyhow::Result<ExitCode> {
    printer.print(&list())?;
    Ok(ExitCode::SUCCESS)
}

fn list() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut out = format!(
        "buildinfo:\n  command: spanfall\n  description: Distributed tracing in one binary\n  \
         version: {version}\n"
    );
    let known = pipeline::components::known();
    for section in Section::ALL {
        out.push_str(&format!("{section}:\n"));
        let mut kinds: Vec<_> = known.section(section).iter().collect();
        kinds.sort_by_key(|kind| kind.name);
        for kind in &kinds {
            let signals: Vec<String> = match kind.status {
                Status::Here(signals) => signals.iter().map(ToString::to_string).collect(),
                Status::Connects(pairs) => {
                    pairs.iter().map(|(from, to)| format!("{from} to {to}")).collect()
                }
                _ => continue,
            };
            out.push_str(&format!("  - name: {}\n", kind.name));
            if !signals.is_empty() {
                out.push_str(&format!("    signals: [{}]\n", signals.join(", ")));
            }
            let is_old = |old: &&&config::Kind| match old.status {
                Status::Alias(today) => today == kind.name,
                _ => false,
            };
            let old: Vec<&str> = kinds.iter().filter(is_old).map(|old| old.name).collect();
            if !old.is_empty() {
                out.push_str(&format!("    also: [{}]\n", old.join(", ")));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_here_is_listed_and_nothing_else() {
        let list = list();
        assert!(list.contains("  - name: spanfall\n    signals: [traces]\n"), "{list}");
        assert!(list.contains("  - name: otlp_http\n"), "{list}");
        assert!(list.contains("    also: [otlphttp]\n"), "{list}");
        assert!(list.contains("    signals: [traces to metrics]\n"), "{list}");
        assert!(!list.contains("- name: otlphttp\n") && !list.contains("datadog"), "{list}");
    }
}
