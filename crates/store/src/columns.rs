//! The columns of every table: their names, and what their values are.
//!
//! A column's name tells its type, so that pieces of a store need no schema to agree. An attribute
//! column is called `attr.<type>.<key>`. docs/block-format.md describes each for other readers.

use crate::types::{Level, ValueType};

/// The tables of a piece that grow with its spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Table {
    Spans,
    Events,
    Links,
    SpansRest,
    EventsRest,
    LinksRest,
}

impl Table {
    pub(crate) const ALL: [Self; 6] = [
        Self::Spans,
        Self::Events,
        Self::Links,
        Self::SpansRest,
        Self::EventsRest,
        Self::LinksRest,
    ];

    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Self::Spans => "spans.parquet",
            Self::Events => "events.parquet",
            Self::Links => "links.parquet",
            Self::SpansRest => "spans-rest.parquet",
            Self::EventsRest => "events-rest.parquet",
            Self::LinksRest => "links-rest.parquet",
        }
    }

    /// Where the attributes of a main table sit.
    pub(crate) fn level(self) -> Option<Level> {
        match self {
            Self::Spans => Some(Level::Span),
            Self::Events => Some(Level::Event),
            Self::Links => Some(Level::Link),
            Self::SpansRest | Self::EventsRest | Self::LinksRest => None,
        }
    }

    /// The table of the attributes that have no column of their own in this one.
    pub(crate) fn rest(self) -> Self {
        match self {
            Self::Spans | Self::SpansRest => Self::SpansRest,
            Self::Events | Self::EventsRest => Self::EventsRest,
            Self::Links | Self::LinksRest => Self::LinksRest,
        }
    }
}

pub(crate) mod name {
    pub(crate) const TRACE_ID: &str = "trace_id";
    pub(crate) const SPAN_ID: &str = "span_id";
    pub(crate) const PARENT_DISTANCE: &str = "parent_distance";
    pub(crate) const PARENT_SPAN_ID: &str = "parent_span_id";
    pub(crate) const START: &str = "start_offset_nano";
    pub(crate) const DURATION: &str = "duration_nano";
    pub(crate) const NAME: &str = "name";
    pub(crate) const KIND: &str = "kind";
    pub(crate) const STATUS: &str = "status_code";
    pub(crate) const STATUS_MESSAGE: &str = "status_message";
    pub(crate) const TRACE_STATE: &str = "trace_state";
    pub(crate) const FLAGS: &str = "flags";
    pub(crate) const DROPPED_ATTRIBUTES: &str = "dropped_attributes_count";
    pub(crate) const DROPPED_EVENTS: &str = "dropped_events_count";
    pub(crate) const DROPPED_LINKS: &str = "dropped_links_count";
    pub(crate) const SCOPE: &str = "scope";
    /// Row of the owner, in tables of events, links and rest.
    pub(crate) const ROW: &str = "row";
    pub(crate) const TIME: &str = "time_offset_nano";
    pub(crate) const KEY: &str = "key";
}

/// The columns of the three main tables that are always there, in the order they are written.
pub(crate) fn required(table: Table) -> &'static [&'static str] {
    match table {
        Table::Spans => &[
            name::TRACE_ID,
            name::SPAN_ID,
            name::PARENT_DISTANCE,
            name::START,
            name::DURATION,
            name::NAME,
            name::KIND,
            name::STATUS,
            name::SCOPE,
        ],
        Table::Events => &[name::ROW, name::TIME, name::NAME],
        Table::Links => &[name::ROW, name::TRACE_ID, name::SPAN_ID],
        Table::SpansRest | Table::EventsRest | Table::LinksRest => &[name::ROW, name::KEY],
    }
}

const ATTRIBUTE: &str = "attr.";

/// The name of an attribute's column.
pub(crate) fn attribute_column(value_type: ValueType, key: &str) -> String {
    format!("{ATTRIBUTE}{}.{key}", value_type.name())
}

/// The type and key of an attribute's column; `None` for other columns.
pub(crate) fn parse_attribute_column(column: &str) -> Option<(ValueType, &str)> {
    let (value_type, key) = column.strip_prefix(ATTRIBUTE)?.split_once('.')?;
    Some((ValueType::from_name(value_type)?, key))
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Text,
    Bytes,
    Int32,
    /// 32 bits without sign.
    Count,
    Int64,
    Double,
    Bool,
    /// Eight bytes, big endian.
    Id8,
    /// Sixteen bytes, big endian.
    Id16,
}

/// What the values of a column are, by its name.
pub(crate) fn kind(column: &str) -> Kind {
    if let Some((value_type, _)) = parse_attribute_column(column) {
        return value_kind(value_type);
    }
    match column {
        name::TRACE_ID => Kind::Id16,
        name::SPAN_ID | name::PARENT_SPAN_ID => Kind::Id8,
        name::START | name::DURATION | name::TIME => Kind::Int64,
        name::NAME | name::STATUS_MESSAGE | name::TRACE_STATE | name::KEY => Kind::Text,
        name::FLAGS | name::DROPPED_ATTRIBUTES | name::DROPPED_EVENTS | name::DROPPED_LINKS => {
            Kind::Count
        }
        // The value columns of rest tables are named for their type alone.
        other => ValueType::from_name(other).map_or(Kind::Int32, value_kind),
    }
}

fn value_kind(value_type: ValueType) -> Kind {
    match value_type {
        ValueType::String => Kind::Text,
        ValueType::Int => Kind::Int64,
        ValueType::Double => Kind::Double,
        ValueType::Bool => Kind::Bool,
        ValueType::Bytes | ValueType::Any => Kind::Bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attribute_names_survive_dots() {
        let column = attribute_column(ValueType::Int, "http.response.status_code");
        assert_eq!(column, "attr.int.http.response.status_code");
        assert_eq!(
            parse_attribute_column(&column),
            Some((ValueType::Int, "http.response.status_code"))
        );
        assert_eq!(parse_attribute_column("attr.any."), Some((ValueType::Any, "")));
        assert_eq!(parse_attribute_column("name"), None);
    }
}
