//! The service graph: calls, by client, server and type of connection.

use hashbrown::HashMap;
use model::{kind, status_code};
use traceql::Static;

use super::tally::{self, Durations, Local, Tally, Totals};
use super::{Services, Times, Traces};
use crate::column::Column;
use crate::columns::name;
use crate::piece::Damaged;
use crate::query::Stop;
use crate::query::slab::{NONE, Slab};
use crate::query::value::attribute_at;
use crate::trace_metrics::{Cells, ConnectionType, ServiceGraphSeries, TraceMetricsRequest};

/// What names the server of a client without one, the first that there is.
const PEERS: [(&str, ConnectionType); 5] = [
    ("db.namespace", ConnectionType::Database),
    ("db.name", ConnectionType::Database),
    ("db.system", ConnectionType::Database),
    ("db.system.name", ConnectionType::Database),
    ("peer.service", ConnectionType::VirtualNode),
];

/// The client of a root.
const USER: &str = "user";

/// Client, server and type.
pub(super) type Key = (String, String, ConnectionType);

impl tally::Key for Key {
    fn text_bytes(&self) -> usize {
        self.0.len() + self.1.len()
    }
}

/// The same by numbers of a slab.
type LocalKey = (u32, u32, ConnectionType);

/// The first numbers of a cell: calls and those that failed. Durations of servers and of clients
/// follow.
const CALLS: usize = 0;
const FAILED: usize = 1;
const SERVERS: usize = 2;

/// How many numbers a cell has.
pub(super) fn width(request: &TraceMetricsRequest) -> usize {
    SERVERS + 2 * Durations { bounds: &request.bounds }.width()
}

/// Bytes that a series takes beside its cells and texts, about.
pub(super) fn series_bytes(request: &TraceMetricsRequest) -> usize {
    512 + request.edges.len() * 16
}

/// Counts the calls of a slab.
pub(super) fn count(
    slab: &Slab<'_>,
    traces: &Traces<'_>,
    request: &TraceMetricsRequest,
    totals: &Totals<Key>,
) -> Result<(), Stop> {
    let kinds = slab.required(name::KIND)?;
    let kinds = kinds.int32s();
    let parents = slab.parents()?;
    let mut calls = Calls::of(slab, request)?;
    // Clients that have no server among their children.
    let mut unanswered: Vec<Ended> = Vec::new();
    let mut is_answered: Vec<bool> = Vec::new();
    for trace in traces.of(slab) {
        let rows = slab.trace_rows(trace);
        let shared = traces.cell(slab, trace);
        is_answered.clear();
        is_answered.resize(rows.len(), false);
        for row in rows.clone() {
            if ![kind::SERVER, kind::CONSUMER].contains(&kinds[row]) {
                continue;
            }
            let parent = Some(parents[row]).filter(|&parent| parent != NONE);
            let parent = parent.map(|parent| parent as usize).filter(|at| rows.contains(at));
            let connection = match (parent.map(|parent| kinds[parent]), kinds[row]) {
                (Some(kind::PRODUCER), kind::CONSUMER) => ConnectionType::Messaging,
                (Some(kind::CLIENT | kind::PRODUCER), _) => ConnectionType::Direct,
                (None, kind::SERVER) if slab.parent_id(row)? == 0 => ConnectionType::VirtualNode,
                _ => continue,
            };
            if let Some(parent) = parent {
                is_answered[parent - rows.start] = true;
            }
            if let Some(cell) = calls.times.cell(traces, trace, shared, row)? {
                let server = calls.services.number(row)?;
                let client = match parent {
                    Some(parent) => calls.services.number(parent)?,
                    None => calls.virtual_node(USER),
                };
                calls.add(cell, (client, server, connection), parent, Some(row), totals)?;
            }
        }
        for row in rows.clone() {
            if kinds[row] == kind::CLIENT
                && !is_answered[row - rows.start]
                && let Some(cell) = calls.times.cell(traces, trace, shared, row)?
            {
                unanswered.push((row, cell));
            }
        }
    }
    for (key, connection) in PEERS {
        if unanswered.is_empty() {
            break;
        }
        let nodes = calls.nodes_of(slab, key, &unanswered)?;
        let mut rest = Vec::new();
        for ((row, cell), node) in unanswered.into_iter().zip(nodes) {
            match node {
                None => rest.push((row, cell)),
                Some(server) => {
                    let client = calls.services.number(row)?;
                    calls.add(cell, (client, server, connection), Some(row), None, totals)?;
                }
            }
        }
        unanswered = rest;
    }
    calls.flush(totals)
}

/// The series of what was counted.
pub(super) fn series(tally: &Tally<Key>, request: &TraceMetricsRequest) -> Vec<ServiceGraphSeries> {
    let cells_count = request.edges.len().saturating_sub(1);
    let clients = SERVERS + Durations { bounds: &request.bounds }.width();
    let mut all = Vec::new();
    tally.each(|(client, server, connection_type), cells| {
        let mut series = ServiceGraphSeries {
            client: client.clone(),
            server: server.clone(),
            connection_type: *connection_type,
            calls: vec![0; cells_count],
            failed: vec![0; cells_count],
            server_durations: Cells::default(),
            client_durations: Cells::default(),
        };
        let push = |cells: &mut Cells, cell: u32, numbers: &[u64]| {
            if numbers[1..].iter().any(|&count| count > 0) {
                cells.push(cell, numbers[0], &numbers[1..]);
            }
        };
        for (cell, numbers) in cells {
            series.calls[cell as usize] = numbers[CALLS];
            series.failed[cell as usize] = numbers[FAILED];
            push(&mut series.server_durations, cell, &numbers[SERVERS..clients]);
            push(&mut series.client_durations, cell, &numbers[clients..]);
        }
        all.push(series);
    });
    all
}

/// A client's row, and the cell in which it ends.
type Ended = (usize, u32);

/// The calls of a slab.
struct Calls<'s, 'p> {
    request: &'s TraceMetricsRequest,
    services: Services<'s, 'p>,
    times: Times<'s, 'p>,
    statuses: Column,
    /// Names of virtual nodes; their numbers follow those of services.
    nodes: Vec<String>,
    node_numbers: HashMap<String, u32>,
    local: Local<LocalKey>,
}

impl<'s, 'p> Calls<'s, 'p> {
    fn of(slab: &'s Slab<'p>, request: &'s TraceMetricsRequest) -> Result<Self, Damaged> {
        Ok(Self {
            request,
            services: Services::of(slab)?,
            times: Times::of(slab)?,
            statuses: slab.required(name::STATUS)?,
            nodes: Vec::new(),
            node_numbers: HashMap::new(),
            local: Local::new(width(request)),
        })
    }

    /// The number of a virtual node.
    fn virtual_node(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.node_numbers.get(name) {
            return number;
        }
        let number = self.services.end() + self.nodes.len() as u32;
        self.nodes.push(name.to_owned());
        self.node_numbers.insert(name.to_owned(), number);
        number
    }

    /// For each client the virtual node that an attribute names.
    fn nodes_of(
        &mut self,
        slab: &Slab<'_>,
        key: &str,
        clients: &[Ended],
    ) -> Result<Vec<Option<u32>>, Damaged> {
        let mut nodes = vec![None; clients.len()];
        for (value_type, column) in slab.spans.attribute(key, None)? {
            // The same few texts over and over: each is looked up once.
            let texts = column.codes().map_or(0, |(_, texts)| texts.len());
            let mut of_code: Vec<Option<Option<u32>>> = vec![None; texts];
            for (node, &(row, _)) in nodes.iter_mut().zip(clients) {
                let Some(place) = column.place(row).filter(|_| node.is_none()) else { continue };
                let mut look =
                    || self.node(&attribute_at(value_type, column.values(), place).single());
                *node = match column.codes() {
                    Some((codes, _)) => *of_code[codes[place] as usize].get_or_insert_with(look),
                    None => look(),
                };
            }
        }
        // Rare attributes have no column; these are ordered by row, as clients are.
        let extra = slab.spans.extra(key)?;
        if !extra.is_empty() {
            for (node, &(row, _)) in nodes.iter_mut().zip(clients) {
                let first = extra.partition_point(|(of, _)| (*of as usize) < row);
                let own = extra[first..].iter().take_while(|(of, _)| *of as usize == row);
                for (_, value) in own {
                    *node = node.or_else(|| self.node(&value.clone().single()));
                }
            }
        }
        Ok(nodes)
    }

    /// The virtual node that a value names.
    fn node(&mut self, value: &Static) -> Option<u32> {
        match value {
            Static::String(text) if !text.is_empty() => Some(self.virtual_node(text)),
            Static::Int(number) => Some(self.virtual_node(&number.to_string())),
            Static::Float(number) => Some(self.virtual_node(&number.to_string())),
            Static::Bool(truth) => Some(self.virtual_node(&truth.to_string())),
            _ => None,
        }
    }

    fn name(&self, number: u32) -> &str {
        match number.checked_sub(self.services.end()) {
            None => self.services.name(number),
            Some(node) => self.nodes.get(node as usize).map_or("", String::as_str),
        }
    }

    /// Counts a call between two ends, of which one may be virtual, by the numbers of their names.
    fn add(
        &mut self,
        cell: u32,
        key: LocalKey,
        client: Option<usize>,
        server: Option<usize>,
        totals: &Totals<Key>,
    ) -> Result<(), Stop> {
        if self.request.services.is_some()
            && !self.request.asks_for(self.name(key.0))
            && !self.request.asks_for(self.name(key.1))
        {
            return Ok(());
        }
        let durations = Durations { bounds: &self.request.bounds };
        let is_error = |row: usize| self.statuses.int32_at(row) == status_code::ERROR;
        let failed = client.into_iter().chain(server).any(is_error);
        let numbers = self.local.cell(key, cell);
        numbers[CALLS] += 1;
        numbers[FAILED] += u64::from(failed);
        let (servers, clients) = numbers[SERVERS..].split_at_mut(durations.width());
        for (numbers, row) in [(servers, server), (clients, client)] {
            if let Some(row) = row {
                durations.add(numbers, self.times.duration(row));
            }
        }
        // A trace may have any number of spans.
        if self.local.is_full() { self.flush(totals) } else { Ok(()) }
    }

    /// Adds the calls to those of other slabs.
    fn flush(&mut self, totals: &Totals<Key>) -> Result<(), Stop> {
        let mut local = std::mem::replace(&mut self.local, Local::new(width(self.request)));
        let name = |number| self.name(number).to_owned();
        totals.add(&mut local, |(client, server, of)| (name(client), name(server), of))?;
        self.local = local;
        Ok(())
    }
}
