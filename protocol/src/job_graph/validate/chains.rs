//! Checks one vertex: its parallelism, its chain and its schemas.

use super::{Refusals, at_operator, at_vertex, check_name, check_schema, clip, options};
use crate::job_graph::catalog::{CATALOG, OperatorRole, closest, is_custom, lookup};
use crate::job_graph::{JobGraph, JobVertex};

pub(super) fn check_vertex(graph: &JobGraph, vertex: &JobVertex, refusals: &mut Refusals) {
    let at = at_vertex(vertex);
    check_name("the vertex's name", &vertex.name, &at, refusals);
    if vertex.parallelism == 0 {
        refusals.add("JG-PARALLELISM", &at, "parallelism is 0; take at least 1");
    } else if vertex.parallelism > graph.max_parallelism {
        let message = format!("parallelism is {}, above max_parallelism {}", vertex.parallelism, graph.max_parallelism);
        refusals.add("JG-PARALLELISM", &at, message);
    }
    check_schema("output_schema", &vertex.output_schema, &at, refusals);
    for (input, schema) in vertex.input_schemas.iter().enumerate() {
        check_schema(&format!("input_schemas[{input}]"), schema, &at, refusals);
    }
    if vertex.operators.is_empty() {
        refusals.add("JG-CHAIN", &at, "the chain is empty; a vertex has at least one operator");
    }
    for (i, operator) in vertex.operators.iter().enumerate() {
        let at = at_operator(vertex, i);
        check_name("the operator's kind", &operator.kind, &at, refusals);
        let Some(spec) = lookup(&operator.kind) else {
            if !is_custom(&operator.kind) {
                let hint = closest(&operator.kind, CATALOG.iter().map(|spec| spec.kind)).map_or_else(
                    || "an operator of your own has a kind that starts with x.".to_owned(),
                    |kind| format!("did you mean {kind}?"),
                );
                refusals.add("JG-UNKNOWN-OPERATOR", at, format!("no operator of kind {:?}; {hint}", clip(&operator.kind)));
            }
            continue;
        };
        match spec.role {
            OperatorRole::Source if i > 0 => refusals.add("JG-CHAIN", &at, "a source can only be the first of a chain"),
            OperatorRole::Sink if i + 1 < vertex.operators.len() => {
                refusals.add("JG-CHAIN", &at, "a sink can only be the last of a chain");
            }
            _ if spec.inputs > 1 && i > 0 => {
                refusals.add(
                    "JG-CHAIN",
                    &at,
                    format!("an operator with {} inputs can only be the first of a chain", spec.inputs),
                );
            }
            _ => {}
        }
        options::check_options(spec, operator, &at, refusals);
    }
}
