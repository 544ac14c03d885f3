//! `zpages`: live pages about the process, at the paths that people know from the Collector.
//!
//! Differences to the Collector: `/debug/tracez` shows what components count and not spans of their
//! work by latency, as none are kept; `/debug/featurez` says that there are no feature
//! gates; there is no `/debug/expvarz`, which shows the Go runtime. The pages have no scripts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::SystemTime;

use async_trait::async_trait;

use super::health_check::{go_duration, rfc3339};
use super::pages::{Page, Pages, Site, put_text};
use crate::component::{Health, Layout};
use crate::receivers::{Listener, ServerSettings};
use crate::telemetry::{HistogramPart, MetricKind, Sample, Telemetry};

/// Where each page is, and what it is called.
const PAGES: [(&str, &str); 5] = [
    ("/debug/servicez", "service"),
    ("/debug/pipelinez", "pipelines"),
    ("/debug/extensionz", "extensions"),
    ("/debug/tracez", "work"),
    ("/debug/featurez", "feature gates"),
];

const STYLE_PATH: &str = "/debug/zpages.css";
const STYLE: &str = "\
:root{color-scheme:light dark}
body{font:14px/1.5 system-ui,sans-serif;margin:1.5rem;max-width:70rem}
nav a{margin-right:1rem}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}
th,td{text-align:left;padding:.15rem .8rem .15rem 0;vertical-align:top;border-bottom:1px solid #8884}
td.n{text-align:right;font-variant-numeric:tabular-nums}
";

/// Labels that name the component of a number.
const OWNERS: [&str; 5] = ["receiver", "processor", "exporter", "connector", "extension"];

/// The extension.
pub struct Zpages;

impl Zpages {
    /// Answers on a listener.
    ///
    /// # Errors
    /// The listener's address cannot be told.
    pub fn start(
        listener: Listener,
        server: ServerSettings,
        health: Health,
        telemetry: Telemetry,
    ) -> Result<Pages, String> {
        Pages::start(listener, server, Live { health, telemetry })
    }
}

struct Live {
    health: Health,
    telemetry: Telemetry,
}

#[async_trait]
impl Site for Live {
    async fn page(&self, path: &str, _: &str) -> Page {
        let path = path.strip_suffix('/').unwrap_or(path);
        Page::html(match path {
            "" | "/debug" | "/debug/servicez" => self.service(),
            "/debug/pipelinez" => self.pipelines(),
            "/debug/extensionz" => self.extensions(),
            "/debug/tracez" => self.work(),
            "/debug/featurez" => {
                document("feature gates", |out| paragraph(out, "Spanfall has no feature gates."))
            }
            STYLE_PATH => return Page::css(STYLE),
            _ => return Page::not_found(),
        })
    }
}

impl Live {
    fn service(&self) -> String {
        document("service", |out| {
            let (state, problems) = match self.health.problems() {
                Some(problems) if problems.is_empty() => ("ready", problems),
                Some(problems) => ("running with problems", problems),
                None => ("starting or stopping", Vec::new()),
            };
            let since = self.health.since();
            let layout = self.health.layout();
            let rows = [
                ("Name", "Spanfall".to_owned()),
                ("Version", env!("CARGO_PKG_VERSION").to_owned()),
                ("System", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
                ("Process", std::process::id().to_string()),
                ("State", state.to_owned()),
                ("Ready since", since.map_or_else(dash, |(time, _)| rfc3339(time))),
                ("Uptime", since.map_or_else(dash, |(_, then)| go_duration(then.elapsed()))),
                ("Configuration since", layout.since.map_or_else(dash, rfc3339)),
                ("Now", rfc3339(SystemTime::now())),
                ("Pipelines", layout.pipelines.len().to_string()),
                ("Extensions", layout.extensions.len().to_string()),
            ];
            table(out, &["", ""], rows.iter().map(|(name, value)| [cell(name), cell(value)]));
            if !problems.is_empty() {
                heading(out, "Problems");
                table(out, &["Component and problem"], problems.iter().map(|it| [cell(it)]));
            }
        })
    }

    fn pipelines(&self) -> String {
        document("pipelines", |out| {
            let layout = self.health.layout();
            let samples = self.telemetry.collect();
            let join = |ids: &[config::Id], arrow: &str| {
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                cell(&ids.join(arrow))
            };
            let rows = layout.pipelines.iter().map(|own| {
                [
                    cell(&own.id.to_string()),
                    join(&own.receivers, ", "),
                    join(&own.processors, " → "),
                    join(&own.exporters, ", "),
                ]
            });
            table(out, &["Pipeline", "Receivers", "Processors", "Exporters"], rows);
            let numbers = by_owner(&samples);
            for own in &layout.pipelines {
                heading(out, &own.id.to_string());
                let parts = own.receivers.iter().map(|id| ("receiver", id));
                let parts = parts.chain(own.processors.iter().map(|id| ("processor", id)));
                let parts = parts.chain(own.exporters.iter().map(|id| ("exporter", id)));
                let rows = parts.flat_map(|(kind, id)| {
                    // A connector is an exporter here and a receiver there, and counts as itself.
                    let id = id.to_string();
                    let own = numbers.get(&(kind, id.clone()));
                    let own = own.or_else(|| numbers.get(&("connector", id.clone())));
                    let own = own.map_or(&[][..], Vec::as_slice);
                    let rows = own.iter().map({
                        let id = id.clone();
                        move |sample| numbered(kind, &id, sample)
                    });
                    let none = || [cell(kind), cell(&id), cell(""), cell(""), cell("")];
                    let mut rows: Vec<_> = rows.collect();
                    if rows.is_empty() {
                        rows.push(none());
                    }
                    rows
                });
                table(out, &["", "Component", "Counts", "", ""], rows);
            }
        })
    }

    fn extensions(&self) -> String {
        document("extensions", |out| {
            let layout: Layout = self.health.layout();
            table(out, &["Extension"], layout.extensions.iter().map(|id| [cell(&id.to_string())]));
        })
    }

    fn work(&self) -> String {
        document("work", |out| {
            paragraph(
                out,
                "What components have counted since they were started. Spans of their work are not \
                 kept here: service.telemetry.traces sends them over OTLP.",
            );
            let samples = self.telemetry.collect();
            let of_owner = by_owner(&samples);
            let rows = of_owner
                .iter()
                .flat_map(|((kind, id), own)| own.iter().map(|it| numbered(kind, id, it)));
            table(out, &["", "Component", "Counts", "", ""], rows);
            let others: Vec<&Sample> =
                samples.iter().filter(|it| owner(it).is_none() && !is_bucket(it)).collect();
            if !others.is_empty() {
                heading(out, "Of the whole process");
                table(
                    out,
                    &["", "", "Counts", "", ""],
                    others.iter().map(|it| numbered("", "", it)),
                );
            }
        })
    }
}

/// The kind of component and the id that a number is of.
fn owner(sample: &Sample) -> Option<(&'static str, String)> {
    OWNERS.into_iter().find_map(|kind| {
        let (_, id) = sample.labels.iter().find(|(name, _)| *name == kind)?;
        Some((kind, id.clone()))
    })
}

/// Parts of distributions that would fill the page.
fn is_bucket(sample: &Sample) -> bool {
    matches!(sample.kind, MetricKind::Histogram(HistogramPart::Bucket(_)))
}

fn by_owner(samples: &[Sample]) -> BTreeMap<(&'static str, String), Vec<&Sample>> {
    let mut numbers: BTreeMap<_, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        if let Some(owner) = owner(sample).filter(|_| !is_bucket(sample)) {
            numbers.entry(owner).or_default().push(sample);
        }
    }
    numbers
}

fn dash() -> String {
    "–".to_owned()
}

enum Cell {
    Text(String),
    Number(String),
}

fn cell(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

/// A row for a number: whose, what, which of them, how much.
fn numbered(kind: &str, id: &str, sample: &Sample) -> [Cell; 5] {
    let own = sample.labels.iter().filter(|(name, _)| !OWNERS.contains(name));
    let labels: Vec<String> = own.map(|(name, value)| format!("{name}={value}")).collect();
    let kind_of = match sample.kind {
        MetricKind::Counter => "",
        MetricKind::Gauge => " (now)",
        MetricKind::Histogram(HistogramPart::Sum) => " (sum)",
        MetricKind::Histogram(_) => " (count)",
    };
    [
        cell(kind),
        cell(id),
        cell(&format!("{}{kind_of}", sample.name)),
        cell(&labels.join(" ")),
        // Bytes and spans are whole, seconds are not.
        Cell::Number(match sample.value.fract() == 0.0 {
            true => sample.value.to_string(),
            false => format!("{:.3}", sample.value),
        }),
    ]
}

fn document(title: &str, body: impl FnOnce(&mut String)) -> String {
    let mut out =
        String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    put_text(&mut out, &format!("Spanfall: {title}"));
    let _ =
        write!(out, "</title><link rel=\"stylesheet\" href=\"{STYLE_PATH}\"></head><body><nav>");
    for (path, name) in PAGES {
        let _ = write!(out, "<a href=\"{path}\">{name}</a>");
    }
    out.push_str("</nav><h1>");
    put_text(&mut out, title);
    out.push_str("</h1>");
    body(&mut out);
    out.push_str("</body></html>\n");
    out
}

fn heading(out: &mut String, text: &str) {
    out.push_str("<h2>");
    put_text(out, text);
    out.push_str("</h2>");
}

fn paragraph(out: &mut String, text: &str) {
    out.push_str("<p>");
    put_text(out, text);
    out.push_str("</p>");
}

fn table<const N: usize>(
    out: &mut String,
    heads: &[&str; N],
    rows: impl Iterator<Item = [Cell; N]>,
) {
    out.push_str("<table><thead><tr>");
    for head in heads {
        out.push_str("<th>");
        put_text(out, head);
        out.push_str("</th>");
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            let (open, text) = match &cell {
                Cell::Text(text) => ("<td>", text),
                Cell::Number(text) => ("<td class=\"n\">", text),
            };
            out.push_str(open);
            put_text(out, text);
            out.push_str("</td>");
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table>");
}
