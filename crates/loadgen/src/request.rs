//! Records into an `ExportTraceServiceRequest`, grouped by resource and scope.

use crate::catalog::{Catalog, SCOPES};
use crate::operation::{END_AFTER_START, PARENT_ID_AT, SPAN_ID_AT, TRACE_ID_AT};
use crate::piece::{Filling, put_length, varint_length};
use crate::rng::mix;
use crate::trace::{LINK_LENGTH, Links, Record};

/// Tags of the fields in use.
const RESOURCE_SPANS: u8 = 1 << 3 | 2;
const SCOPE_SPANS: u8 = 2 << 3 | 2;
const SPAN: u8 = 2 << 3 | 2;
const LINK: u8 = 13 << 3 | 2;
const FLAGS: [u8; 2] = [0x85, 0x01];

#[derive(Debug, Clone, Copy, Default)]
struct Group {
    spans: u32,
    /// Of all spans with their tags and lengths.
    bytes: u32,
}

/// Buffers that requests share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Encoder {
    groups: Vec<Group>,
    /// Records by group.
    order: Vec<u32>,
    next: Vec<u32>,
}

impl Encoder {
    /// Appends the request.
    pub(crate) fn encode(
        &mut self,
        catalog: &Catalog,
        links: &mut Links,
        records: &[Record],
        out: &mut Vec<u8>,
    ) {
        self.group(catalog, records);
        let spans: usize = self.groups.iter().map(|group| group.bytes as usize).sum();
        // Resources and scopes are a fifth of a small request; more would only grow the buffer.
        out.reserve(spans + spans / 4 + 4096);
        let mut from = 0;
        for (instance, groups) in catalog.instances.iter().zip(self.groups.chunks_exact(SCOPES)) {
            if groups.iter().all(|group| group.spans == 0) {
                continue;
            }
            let scope_length = |(group, scope): (&Group, &Vec<u8>)| match group.spans {
                0 => 0,
                _ => {
                    let length = scope.len() + group.bytes as usize;
                    1 + varint_length(length) + length
                }
            };
            let length = instance.resource.len()
                + groups.iter().zip(&instance.scopes).map(scope_length).sum::<usize>()
                + catalog.schema_url.len();
            out.push(RESOURCE_SPANS);
            put_length(out, length);
            out.extend_from_slice(&instance.resource);
            for (group, scope) in groups.iter().zip(&instance.scopes) {
                if group.spans == 0 {
                    continue;
                }
                out.push(SCOPE_SPANS);
                put_length(out, scope.len() + group.bytes as usize);
                out.extend_from_slice(scope);
                let to = from + group.spans as usize;
                for &index in &self.order[from..to] {
                    put_span(catalog, links, &records[index as usize], out);
                }
                from = to;
            }
            out.extend_from_slice(&catalog.schema_url);
        }
    }

    /// A counting sort, which keeps the order inside each group.
    fn group(&mut self, catalog: &Catalog, records: &[Record]) {
        self.groups.clear();
        self.groups.resize(catalog.instances.len() * SCOPES, Group::default());
        for record in records {
            let group = &mut self.groups[usize::from(record.group)];
            let length = usize::from(record.length);
            group.spans += 1;
            group.bytes += (1 + varint_length(length) + length) as u32;
        }
        self.next.clear();
        let mut total = 0;
        for group in &self.groups {
            self.next.push(total);
            total += group.spans;
        }
        self.order.clear();
        self.order.resize(records.len(), 0);
        for (index, record) in records.iter().enumerate() {
            let next = &mut self.next[usize::from(record.group)];
            self.order[*next as usize] = index as u32;
            *next += 1;
        }
    }
}

#[inline]
fn put_span(catalog: &Catalog, links: &mut Links, record: &Record, out: &mut Vec<u8>) {
    let pieces = &catalog.operations.pieces;
    let template = &catalog.operations.templates[usize::from(record.template)];
    let duration = record.end_unix_nano - record.start_unix_nano;
    let mut filling = Filling {
        // Not from the generator's numbers: the same spans come, however requests cut them.
        random: mix(record.span_id),
        trace: record.trace_id[1],
        moment_unix_nano: record.start_unix_nano + duration / 4 * 3,
    };
    out.push(SPAN);
    put_length(out, usize::from(record.length));
    let main = pieces.put(out, template.main, &mut filling);
    let start_at = usize::from(template.start_at);
    set(main, TRACE_ID_AT, record.trace_id[0].to_be_bytes());
    set(main, TRACE_ID_AT + 8, record.trace_id[1].to_be_bytes());
    set(main, SPAN_ID_AT, record.span_id.to_be_bytes());
    if !template.is_root {
        set(main, PARENT_ID_AT, record.parent_span_id.to_be_bytes());
    }
    set(main, start_at, record.start_unix_nano.to_le_bytes());
    set(main, start_at + END_AFTER_START, record.end_unix_nano.to_le_bytes());

    pieces.put(out, record.rare, &mut filling);
    pieces.put(out, record.event, &mut filling);
    if record.link != 0 {
        let (trace_id, span_id) = links.take(record.link);
        out.extend_from_slice(&[LINK, (LINK_LENGTH - 2) as u8, 0x0a, 16]);
        out.extend_from_slice(&trace_id[0].to_be_bytes());
        out.extend_from_slice(&trace_id[1].to_be_bytes());
        out.extend_from_slice(&[0x12, 8]);
        out.extend_from_slice(&span_id.to_be_bytes());
    }
    pieces.put(out, template.status, &mut filling);
    if template.flags != 0 {
        out.extend_from_slice(&FLAGS);
        out.extend_from_slice(&template.flags.to_le_bytes());
    }
}

#[inline]
fn set(bytes: &mut [u8], at: usize, value: [u8; 8]) {
    bytes[at..at + 8].copy_from_slice(&value);
}
