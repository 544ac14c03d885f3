//! What a query that is still being typed says of spans.

use crate::ast::{FieldExpr, MetricsQuery, Pipeline, QueryKind, SpansetExpr, Stage, Static};
use crate::lexer::{Token, TokenKind, tokens};
use crate::parser::{DEPTH_MAX, QUERY_BYTES_MAX, filter, parse};
use crate::pattern::PATTERNS_MAX;

/// The spans that a half-typed query is about, for offering the names and values that they have.
/// Conditions that are not whole count as true and braces are closed. What says nothing of spans,
/// or cannot be made sense of, is `None`: no filter.
///
/// Of a pipeline only the first stage counts.
pub fn lenient(text: &str) -> Option<SpansetExpr> {
    let query = match parse(text) {
        Ok(query) => query,
        Err(_) => parse(&repaired(text)?).ok()?,
    };
    let pipeline = match query.kind {
        QueryKind::Search(pipeline) => pipeline,
        QueryKind::Metrics(metrics) => only_pipeline(metrics)?,
    };
    match pipeline.stages.into_iter().next()? {
        Stage::Spansets(SpansetExpr::Filter(expr)) if is_true(&expr) => None,
        Stage::Spansets(expr) => Some(expr),
        _ => None,
    }
}

/// The pipeline of a metrics query that has one alone.
fn only_pipeline(metrics: MetricsQuery) -> Option<Pipeline> {
    match metrics {
        MetricsQuery::Leaf(leaf) => Some(leaf.pipeline),
        MetricsQuery::TopK { inner, .. }
        | MetricsQuery::BottomK { inner, .. }
        | MetricsQuery::Filter { inner, .. } => only_pipeline(*inner),
        MetricsQuery::Scalar(_) | MetricsQuery::Binary { .. } => None,
    }
}

fn is_true(expr: &FieldExpr) -> bool {
    match expr {
        FieldExpr::Static(value) => *value == Static::Bool(true),
        FieldExpr::All(all) => all.iter().all(is_true),
        FieldExpr::Any(any) => any.iter().any(is_true),
        _ => false,
    }
}

/// The first stage, each pair of braces made whole.
fn repaired(text: &str) -> Option<String> {
    if text.len() > QUERY_BYTES_MAX {
        return None;
    }
    let (tokens, _) = tokens(text);
    let pattern = |token: &&Token| matches!(token.kind, TokenKind::Sign("=~" | "!~"));
    if tokens.iter().filter(pattern).count() > PATTERNS_MAX {
        return None;
    }
    let mut out = String::new();
    let mut open = 0usize;
    let mut rest = tokens.as_slice();
    while let [token, after @ ..] = rest {
        rest = after;
        match token.kind {
            TokenKind::Sign("{") => {
                let length = rest.iter().position(|token| token.kind == TokenKind::Sign("}"));
                let inside = &rest[..length.unwrap_or(rest.len() - 1)];
                rest = &rest[length.map_or(rest.len(), |length| length + 1)..];
                out.push('{');
                repair(text, inside, &mut out, 0);
                out.push('}');
            }
            TokenKind::Sign("|") | TokenKind::End => break,
            TokenKind::Sign(sign) => {
                match sign {
                    "(" => open += 1,
                    ")" => open = open.checked_sub(1)?,
                    _ => {}
                }
                out.push(' ');
                out.push_str(sign);
            }
            _ => return None,
        }
    }
    // An operator at the end waits for a side that may be anything.
    if !out.ends_with(['}', ')']) {
        out.push_str("{}");
    }
    out.push_str(&")".repeat(open));
    Some(out)
}

/// Writes a condition with what is not whole left out. Tokens in parentheses are looked at once
/// more, all others once, however deep.
fn repair(text: &str, tokens: &[Token], out: &mut String, depth: usize) {
    let mut level = 0usize;
    let mut start = 0;
    for at in 0..=tokens.len() {
        let sign = match tokens.get(at).map(|token| &token.kind) {
            Some(TokenKind::Sign(sign)) => *sign,
            Some(_) => continue,
            None => "",
        };
        match sign {
            "(" => level += 1,
            ")" => level = level.saturating_sub(1),
            "&&" | "||" if level == 0 => {
                matcher(text, &tokens[start..at], out, depth);
                out.push_str(sign);
                start = at + 1;
            }
            "" => matcher(text, &tokens[start..], out, depth),
            _ => {}
        }
    }
}

fn matcher(text: &str, tokens: &[Token], out: &mut String, depth: usize) {
    let [first, inside @ ..] = tokens else {
        return out.push_str("true");
    };
    if first.kind == TokenKind::Sign("(") && depth < DEPTH_MAX {
        match closing(inside) {
            // `(…)` alone, closed or not yet.
            Some(end) if end + 1 < inside.len() => {}
            end => {
                out.push('(');
                repair(text, &inside[..end.unwrap_or(inside.len())], out, depth + 1);
                return out.push(')');
            }
        }
    }
    let end = tokens.last().map_or(first.end, |token| token.end);
    let matcher = &text[first.start..end];
    match filter(matcher) {
        Ok(_) => out.push_str(matcher),
        Err(_) => out.push_str("true"),
    }
}

/// Where the parenthesis closes that opened before these tokens.
fn closing(tokens: &[Token]) -> Option<usize> {
    let mut level = 0usize;
    tokens.iter().position(|token| match token.kind {
        TokenKind::Sign("(") => {
            level += 1;
            false
        }
        TokenKind::Sign(")") if level == 0 => true,
        TokenKind::Sign(")") => {
            level -= 1;
            false
        }
        _ => false,
    })
}
