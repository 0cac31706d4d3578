//! Checks edges: the vertices that they connect, their columns and their partitioning.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{MAX_CHANNELS, MAX_INPUTS, Refusals, at_operator, at_vertex, clip};
use crate::job_graph::catalog::{OperatorRole, OperatorSpec, closest, is_custom, lookup};
use crate::job_graph::{Field, JobEdge, JobGraph, JobVertex, Partitioning};

type Vertices<'a> = BTreeMap<&'a str, &'a JobVertex>;

pub(super) fn check_edges(graph: &JobGraph, vertices: &Vertices<'_>, refusals: &mut Refusals) {
    let mut connected: Vec<(&JobEdge, &JobVertex, &JobVertex)> = Vec::with_capacity(graph.edges.len());
    let mut seen = BTreeSet::new();
    let mut channels = 0_u64;
    for (i, edge) in graph.edges.iter().enumerate() {
        if refusals.is_full() {
            return;
        }
        let at = format!("edge {i} ({:?} -> {:?})", clip(&edge.from), clip(&edge.to));
        let mut end = |uid: &str| {
            let vertex = vertices.get(uid).copied();
            if vertex.is_none() {
                let hint = closest(uid, vertices.keys().copied()).map(|close| format!("; did you mean {:?}?", clip(close)));
                let message = format!("no vertex {:?}{}", clip(uid), hint.unwrap_or_default());
                refusals.add("JG-DANGLING-EDGE", &at, message);
            }
            vertex
        };
        let (Some(from), Some(to)) = (end(&edge.from), end(&edge.to)) else { continue };
        if !seen.insert((&edge.from, &edge.to, edge.input)) {
            refusals.add("JG-DUPLICATE-EDGE", &at, "this edge appears twice, so every row would arrive twice");
            continue;
        }
        check_dealing(edge, from, to, &at, refusals);
        channels += match edge.partitioning {
            Partitioning::Forward => u64::from(from.parallelism),
            _ => u64::from(from.parallelism) * u64::from(to.parallelism),
        };
        if from.output_schema.is_empty() {
            refusals.add("JG-SCHEMA", &at, format!("{} has outputs and so needs an output_schema", at_vertex(from)));
        }
        connected.push((edge, from, to));
    }
    if channels > MAX_CHANNELS {
        let message = format!("{channels} pairs of connected subtasks; the limit is {MAX_CHANNELS}. Lower the parallelism");
        refusals.add("JG-LIMIT", "", message);
    }
    let mut incoming: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    let mut has_outputs = BTreeSet::new();
    for (edge, from, to) in connected {
        incoming.entry(to.uid.as_str()).or_default().push((edge, from));
        has_outputs.insert(from.uid.as_str());
    }
    for (uid, vertex) in vertices {
        let edges = incoming.get(uid).map_or(&[][..], Vec::as_slice);
        check_ends(vertex, !edges.is_empty(), has_outputs.contains(uid), refusals);
        check_inputs(vertex, edges, refusals);
        check_keyed(vertex, edges, refusals);
    }
}

/// Checks an edge's partitioning against both ends.
fn check_dealing(edge: &JobEdge, from: &JobVertex, to: &JobVertex, at: &str, refusals: &mut Refusals) {
    match &edge.partitioning {
        Partitioning::Forward if from.parallelism != to.parallelism => {
            let message = format!(
                "forward between parallelism {} and {}; make them equal or take rebalance or hash",
                from.parallelism, to.parallelism
            );
            refusals.add("JG-FORWARD-PARALLELISM", at, message);
        }
        Partitioning::Hash { keys } => {
            if keys.is_empty() {
                refusals.add("JG-HASH-KEY", at, "hash without keys; name at least one column");
            }
            let mut distinct = BTreeSet::new();
            for key in keys {
                if !distinct.insert(key) {
                    refusals.add("JG-HASH-KEY", at, format!("the key {:?} appears twice", clip(key)));
                }
                if !from.output_schema.is_empty() && !from.output_schema.iter().any(|field| field.name == *key) {
                    let hint = closest(key, from.output_schema.iter().map(|field| field.name.as_str()));
                    let hint = hint.map(|close| format!("; did you mean {:?}?", clip(close))).unwrap_or_default();
                    let message = format!("no column {:?} in the output of {}{hint}", clip(key), at_vertex(from));
                    refusals.add("JG-HASH-KEY", at, message);
                }
            }
        }
        Partitioning::Forward | Partitioning::Rebalance | Partitioning::Broadcast => {}
    }
}

/// Checks that sources have no inputs, sinks have no outputs, and all other vertices have both.
fn check_ends(vertex: &JobVertex, has_inputs: bool, has_outputs: bool, refusals: &mut Refusals) {
    let (Some(first), Some(last)) = (vertex.operators.first(), vertex.operators.last()) else { return };
    let at = at_vertex(vertex);
    let role = |kind: &str| lookup(kind).map(|spec| spec.role);
    match role(&first.kind) {
        Some(OperatorRole::Source) if has_inputs => {
            refusals.add("JG-SOURCE-INPUT", &at, format!("an edge leads into a source ({}); sources have no input", first.kind));
        }
        Some(OperatorRole::Transform | OperatorRole::Sink) if !has_inputs => {
            refusals.add("JG-NO-INPUT", &at, format!("no edge leads into it, and {} is not a source", first.kind));
        }
        _ => {}
    }
    match role(&last.kind) {
        Some(OperatorRole::Sink) if has_outputs => {
            refusals.add("JG-SINK-OUTPUT", &at, format!("an edge leads out of a sink ({}); sinks have no output", last.kind));
        }
        Some(OperatorRole::Source | OperatorRole::Transform) if !has_outputs => {
            let message =
                format!("its rows go nowhere: no edge leads out, and {} is not a sink. sink.blackhole drops rows", last.kind);
            refusals.add("JG-NO-OUTPUT", &at, message);
        }
        _ => {}
    }
}

/// Checks that every input has an edge, that every edge leads to an existing input, and that all edges of one input bring the
/// same columns.
fn check_inputs(vertex: &JobVertex, edges: &[(&JobEdge, &JobVertex)], refusals: &mut Refusals) {
    let Some(first) = vertex.operators.first() else { return };
    let at = at_vertex(vertex);
    let given: BTreeSet<u32> = edges.iter().map(|(edge, _)| edge.input).collect();
    let inputs = match lookup(&first.kind) {
        Some(spec) => spec.inputs,
        None if is_custom(&first.kind) => given.len() as u32,
        None => return,
    };
    if let Some(beyond) = given.iter().find(|input| **input >= inputs.clamp(1, MAX_INPUTS)) {
        let message = format!("an edge leads to input {beyond}, but {} has {inputs}, numbered from 0", clip(&first.kind));
        refusals.add("JG-INPUT", &at, message);
    } else if !given.is_empty()
        && let Some(missing) = (0..inputs).find(|input| !given.contains(input))
    {
        refusals.add("JG-NO-INPUT", &at, format!("no edge leads to input {missing} of {}", first.kind));
    }
    if vertex.input_schemas.len() > inputs as usize {
        let message = format!("{} input_schemas for {inputs} inputs", vertex.input_schemas.len());
        refusals.add("JG-SCHEMA", &at, message);
    }
    let mut brought: BTreeMap<u32, &JobVertex> = BTreeMap::new();
    for (edge, from) in edges {
        let first = *brought.entry(edge.input).or_insert(from);
        if first.output_schema != from.output_schema {
            let message =
                format!("input {} is a union of {} and {} with different columns", edge.input, at_vertex(first), at_vertex(from));
            refusals.add("JG-SCHEMA", &at, message);
        }
        if let Some(expected) = vertex.input_schemas.get(edge.input as usize)
            && !expected.is_empty()
            && let Err(why) = fits(&from.output_schema, expected)
        {
            refusals.add("JG-SCHEMA", &at, format!("input {} does not fit what {} emits: {why}", edge.input, at_vertex(from)));
        }
    }
}

/// Whether an input that declares `expected` accepts rows of schema `brought`.
fn fits(brought: &[Field], expected: &[Field]) -> Result<(), String> {
    if brought.len() != expected.len() {
        return Err(format!("{} columns instead of {}", brought.len(), expected.len()));
    }
    for (i, (brought, expected)) in brought.iter().zip(expected).enumerate() {
        if brought.name != expected.name || brought.data_type != expected.data_type {
            return Err(format!(
                "column {i} is {:?} of type {:?} instead of {:?} of type {:?}",
                clip(&brought.name),
                brought.data_type,
                clip(&expected.name),
                expected.data_type
            ));
        }
        if brought.nullable && !expected.nullable {
            return Err(format!("column {:?} may be null", clip(&brought.name)));
        }
    }
    Ok(())
}

/// Keyed operators find their state by key group. Their rows must therefore be hashed by exactly the same columns.
fn check_keyed(vertex: &JobVertex, edges: &[(&JobEdge, &JobVertex)], refusals: &mut Refusals) {
    let keyed = vertex.operators.iter().enumerate().filter_map(|(i, operator)| Some((i, operator, lookup(&operator.kind)?)));
    for (i, operator, spec) in keyed.filter(|(_, _, spec)| !spec.key_options.is_empty()) {
        // With one subtask, every row is at the right subtask under every partitioning.
        if vertex.parallelism <= 1 {
            continue;
        }
        let at = at_operator(vertex, i);
        // If an earlier operator may have renamed columns, only the dataflow crate can compare them.
        let renamed = vertex.operators[..i].iter().any(|before| before.kind == "project" || is_custom(&before.kind));
        for (input, option) in spec.key_options.iter().enumerate() {
            let keys = text_list(operator.options.get(*option));
            if keys.is_empty() {
                let message = format!("without keys all rows are one group: it needs parallelism 1, not {}", vertex.parallelism);
                refusals.add("JG-HASH-KEY", &at, message);
                continue;
            }
            for (edge, from) in edges.iter().filter(|(edge, _)| edge.input as usize == input) {
                match &edge.partitioning {
                    Partitioning::Hash { keys: hashed }
                        if renamed || hashed.iter().map(String::as_str).eq(keys.iter().copied()) => {}
                    _ => {
                        let message = format!(
                            "its input {input} from {} must be partitioned by hash of exactly {}",
                            at_vertex(from),
                            clip(&format!("{keys:?}"))
                        );
                        refusals.add("JG-HASH-KEY", &at, message);
                    }
                }
            }
        }
        check_key_types(operator_keys(spec, operator), edges, &at, refusals);
    }
}

fn operator_keys<'a>(spec: &OperatorSpec, operator: &'a crate::job_graph::OperatorDescriptor) -> Vec<Vec<&'a str>> {
    spec.key_options.iter().map(|option| text_list(operator.options.get(*option))).collect()
}

/// Keys that are compared with each other must have the same type, because only equal types hash equally.
fn check_key_types(keys: Vec<Vec<&str>>, edges: &[(&JobEdge, &JobVertex)], at: &str, refusals: &mut Refusals) {
    let type_of = |input: usize, key: &str| {
        let (_, from) = edges.iter().find(|(edge, _)| edge.input as usize == input)?;
        from.output_schema.iter().find(|field| field.name == key).map(|field| field.data_type.clone())
    };
    let [left, right] = keys.as_slice() else { return };
    for (left, right) in left.iter().zip(right) {
        if let (Some(a), Some(b)) = (type_of(0, left), type_of(1, right))
            && a != b
        {
            let message =
                format!("key {:?} is of type {a:?} but {:?} of type {b:?}; cast one of them first", clip(left), clip(right));
            refusals.add("JG-HASH-KEY", at, message);
        }
    }
}

fn text_list(value: Option<&Value>) -> Vec<&str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}
