//! Whether what runs is configured, and what is configured runs.

use std::collections::{HashMap, HashSet};

use super::{Document, Reference};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::id::{Id, Section};
use crate::suggest;

/// The most ids that a message lists.
const IDS_SHOWN_MAX: usize = 40;

/// Reports references to nothing, references that come twice, and components without any.
pub(super) fn check(document: &Document, diagnostics: &mut Diagnostics) {
    let configured: HashMap<Section, HashSet<&Id>> = Section::ALL
        .into_iter()
        .map(|section| {
            (section, document.section(section).iter().map(|component| &component.id).collect())
        })
        .collect();
    let mut used: HashSet<(Section, &Id)> = HashSet::new();
    let mut check = |path: &str, list: &'_ [Reference], sections: &[Section]| {
        let mut before: HashMap<&Id, &Reference> = HashMap::new();
        for reference in list {
            let found = sections.iter().find(|section| {
                configured.get(section).is_some_and(|ids| ids.contains(&reference.id))
            });
            let one = sections.first().map_or("component", |section| section.one());
            match (found, before.insert(&reference.id, reference)) {
                (_, Some(first)) => {
                    let shown = reference.node.shown();
                    let error = format!("{path}: references {one} {shown:?} multiple times");
                    diagnostics.push(
                        Diagnostic::error(error)
                            .at_node(&reference.node, "named again")
                            .at(first.at, "first here"),
                    );
                }
                (None, None) if diagnostics.is_full() => diagnostics.leave_out(),
                (None, None) => {
                    diagnostics.push(not_configured(document, path, reference, sections));
                }
                (Some(_), None) => {}
            }
        }
    };
    check("service::extensions", &document.service.extensions, &[Section::Extensions]);
    for pipeline in &document.service.pipelines {
        let path = format!("service::pipelines::{}", pipeline.id);
        check(&path, &pipeline.receivers, &[Section::Receivers, Section::Connectors]);
        check(&path, &pipeline.processors, &[Section::Processors]);
        check(&path, &pipeline.exporters, &[Section::Exporters, Section::Connectors]);
    }
    let service = &document.service;
    used.extend(service.extensions.iter().map(|one| (Section::Extensions, &one.id)));
    for pipeline in &service.pipelines {
        let lists = [
            (Section::Receivers, &pipeline.receivers),
            (Section::Connectors, &pipeline.receivers),
            (Section::Processors, &pipeline.processors),
            (Section::Exporters, &pipeline.exporters),
            (Section::Connectors, &pipeline.exporters),
        ];
        for (section, list) in lists {
            used.extend(list.iter().map(|reference| (section, &reference.id)));
        }
    }
    if service.pipelines.is_empty() {
        return;
    }
    for component in Section::ALL.iter().flat_map(|section| document.section(*section)) {
        let section = component.section;
        if component.kind.is_some() && !used.contains(&(section, &component.id)) {
            let one = section.one();
            let warning = format!("{one} \"{}\" is configured but not used", component.id);
            let place = match section {
                Section::Extensions => "service.extensions".to_owned(),
                Section::Connectors => {
                    "the exporters of one pipeline and the receivers of another".to_owned()
                }
                section => format!("the {section} of a pipeline"),
            };
            let warning = Diagnostic::warning(warning)
                .at(component.at, "it is not started")
                .help(format!("name it in {place}, or leave it out"));
            diagnostics.push(warning);
        }
    }
}

fn not_configured(
    document: &Document,
    path: &str,
    reference: &Reference,
    sections: &[Section],
) -> Diagnostic {
    let one = sections.first().map_or("component", |section| section.one());
    let shown = reference.node.shown();
    let ids: Vec<String> = sections
        .iter()
        .flat_map(|section| document.section(*section))
        .map(|component| component.id.to_string())
        .collect();
    let near = suggest::nearest(&reference.id.to_string(), ids.iter().map(String::as_str));
    let elsewhere = Section::ALL.into_iter().find_map(|section| {
        document.component(section, &reference.id).filter(|_| !sections.contains(&section))
    });
    let label = match (&elsewhere, near) {
        (Some(other), _) => format!("this is configured as {}", article(other.section.one())),
        (None, Some(near)) => format!("did you mean `{near}`?"),
        (None, None) => format!("no {one} has this id"),
    };
    let error = format!("{path}: references {one} {shown:?} which is not configured");
    let error = Diagnostic::error(error).at_node(&reference.node, label);
    let error = match elsewhere {
        Some(other) => error.at(other.at, "configured here"),
        None => error,
    };
    let names = sections.iter().map(|section| section.name()).collect::<Vec<_>>().join(" or ");
    match ids.as_slice() {
        [] => error.help(format!("there are no {names} in this configuration")),
        ids => {
            let shown = ids.get(..ids.len().min(IDS_SHOWN_MAX)).unwrap_or_default().join(", ");
            let more = if ids.len() > IDS_SHOWN_MAX { ", …" } else { "" };
            error.help(format!("{names} of this configuration: {shown}{more}"))
        }
    }
}

fn article(noun: &str) -> String {
    let is_vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if is_vowel { "an" } else { "a" })
}
