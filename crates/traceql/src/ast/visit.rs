//! Which fields a query reads.

use std::collections::HashSet;

use super::{
    Field, FieldExpr, MetricsFunction, MetricsQuery, Pipeline, Query, QueryKind, Scalar,
    SpansetExpr, Stage,
};

impl Query {
    /// Every attribute and intrinsic that the query names, each once, in order of appearance.
    pub fn attributes(&self) -> Vec<Field> {
        let mut fields = Vec::new();
        let mut seen = HashSet::new();
        let mut add = |field: &Field| {
            if seen.insert(field.clone()) {
                fields.push(field.clone());
            }
        };
        match &self.kind {
            QueryKind::Search(pipeline) => pipeline.visit(&mut add),
            QueryKind::Metrics(metrics) => metrics.visit(&mut add),
        }
        fields
    }
}

impl Pipeline {
    /// Calls `visit` with every field that is named, in order.
    pub fn visit(&self, visit: &mut impl FnMut(&Field)) {
        for stage in &self.stages {
            match stage {
                Stage::Spansets(expr) => expr.visit(visit),
                Stage::Filter(filter) => {
                    filter.left.visit(visit);
                    filter.right.visit(visit);
                }
                Stage::By(expr) => expr.visit(visit),
                Stage::Coalesce => {}
                Stage::Select(fields) => fields.iter().for_each(&mut *visit),
            }
        }
    }
}

impl SpansetExpr {
    /// Calls `visit` with every field that is named, in order.
    pub fn visit(&self, visit: &mut impl FnMut(&Field)) {
        match self {
            Self::Filter(expr) => expr.visit(visit),
            Self::And(all) | Self::Or(all) => all.iter().for_each(|expr| expr.visit(visit)),
            Self::Structural { left, right, .. } => {
                left.visit(visit);
                right.visit(visit);
            }
            Self::Not(inner) => inner.visit(visit),
            Self::Pipeline(pipeline) => pipeline.visit(visit),
        }
    }
}

impl FieldExpr {
    /// Calls `visit` with every field that is named, in order.
    pub fn visit(&self, visit: &mut impl FnMut(&Field)) {
        match self {
            Self::Static(_) => {}
            Self::Field(field) => visit(field),
            Self::All(all) | Self::Any(all) => all.iter().for_each(|expr| expr.visit(visit)),
            Self::Compare { left, right, .. } | Self::Arithmetic { left, right, .. } => {
                left.visit(visit);
                right.visit(visit);
            }
            Self::Matches { value, .. } | Self::Exists { value, .. } => value.visit(visit),
            Self::Negate(inner) | Self::Not(inner) => inner.visit(visit),
        }
    }
}

impl Scalar {
    /// Calls `visit` with every field that is named, in order.
    pub fn visit(&self, visit: &mut impl FnMut(&Field)) {
        match self {
            Self::Static(_) => {}
            Self::Aggregate(aggregate) => {
                if let Some(expr) = &aggregate.expr {
                    expr.visit(visit);
                }
            }
            Self::Arithmetic { left, right, .. } => {
                left.visit(visit);
                right.visit(visit);
            }
            Self::Negate(inner) => inner.visit(visit),
        }
    }

    /// Whether it depends on a spanset at all.
    pub fn has_aggregate(&self) -> bool {
        match self {
            Self::Static(_) => false,
            Self::Aggregate(_) => true,
            Self::Arithmetic { left, right, .. } => left.has_aggregate() || right.has_aggregate(),
            Self::Negate(inner) => inner.has_aggregate(),
        }
    }
}

impl MetricsQuery {
    /// Calls `visit` with every field that is named, in order.
    pub fn visit(&self, visit: &mut impl FnMut(&Field)) {
        match self {
            Self::Leaf(leaf) => {
                leaf.pipeline.visit(visit);
                match &leaf.function {
                    MetricsFunction::Rate | MetricsFunction::CountOverTime => {}
                    MetricsFunction::OverTime(_, field)
                    | MetricsFunction::Quantile { field, .. }
                    | MetricsFunction::Histogram(field) => visit(field),
                    MetricsFunction::Compare { selection, .. } => selection.visit(visit),
                }
                leaf.by.iter().for_each(visit);
            }
            Self::Scalar(_) => {}
            Self::Binary { left, right, .. } => {
                left.visit(visit);
                right.visit(visit);
            }
            Self::TopK { inner, .. } | Self::BottomK { inner, .. } | Self::Filter { inner, .. } => {
                inner.visit(visit);
            }
        }
    }
}
