//! Plans a whole job graph without running it, so that bad expressions and schemas are refused before submission.

use weir_protocol::job_graph::validate::GraphError;
use weir_protocol::job_graph::{JobEdge, JobGraph, Partitioning};
use weir_protocol::{ExecutionAttemptId, ExecutionVertexId, Generation, JobId, LeaderEpoch};

use crate::chain::OperatorChain;
use crate::key_group::KeyPartitioner;
use crate::operator::{OperatorContext, OperatorError};
use crate::registry::OperatorRegistry;
use crate::schema;

/// Builds every chain of a graph, without I/O, and drops the chains. The graph must have passed
/// [`validate`](weir_protocol::job_graph::validate::validate). Returns one error for each vertex whose chain can't be built, and for each
/// hash edge whose keys can't be keys; its code is that of the operator, expression, schema or key.
pub fn check_graph(graph: &JobGraph, registry: &OperatorRegistry) -> Result<(), Vec<GraphError>> {
    let mut errors = Vec::new();
    for vertex in &graph.vertices {
        let edges = graph.inputs_of(&vertex.uid).filter_map(|edge| {
            let producer = graph.vertex(&edge.from)?;
            Some((edge.input, producer.output_schema.as_slice(), &edge.partitioning))
        });
        // Attempts are not known before submission. No check depends on them, so any attempt of the first subtask will do.
        let attempt = ExecutionAttemptId {
            job: graph.job_id.unwrap_or(JobId(0)),
            execution_vertex: ExecutionVertexId { vertex: vertex.id(), subtask: 0 },
            generation: Generation { epoch: LeaderEpoch(0), attempt: 0 },
        };
        let built = OperatorContext::of_vertex(vertex, attempt, graph.max_parallelism, edges)
            .and_then(|context| OperatorChain::build(vertex, registry, context));
        if let Err(OperatorError { code, message, .. }) = built {
            errors.push(GraphError::new(code, format!("vertex {:?}", vertex.uid), message));
        }
    }
    for edge in &graph.edges {
        if let Err(OperatorError { code, message, .. }) = check_keys(graph, edge) {
            errors.push(GraphError::new(code, format!("edge {:?} to {:?}", edge.from, edge.to), message));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Checks that the keys of a hash edge can be keys. Error: `KEY-TYPE`.
fn check_keys(graph: &JobGraph, edge: &JobEdge) -> Result<(), OperatorError> {
    let (Partitioning::Hash { keys }, Some(producer)) = (&edge.partitioning, graph.vertex(&edge.from)) else { return Ok(()) };
    let schema = schema::to_arrow(&producer.output_schema)?;
    KeyPartitioner::new(&schema, keys, graph.max_parallelism, 1).map(|_| ())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::operators::tests::registry;

    fn graph(predicate: &str, partitioning: Value, output: Value) -> JobGraph {
        let window = json!({"kind": "window.tumbling", "options": {
            "time_column": "t", "size_ms": 10, "keys": ["n"], "aggregates": [{"name": "rows", "function": "count"}]}});
        serde_json::from_value(json!({
            "version": 1, "name": "test",
            "vertices": [
                {"id": "in", "parallelism": 2,
                 "operators": [{"kind": "x.numbers"}, {"kind": "filter", "options": {"predicate": predicate}}],
                 "output_schema": [{"name": "n", "type": "bigint"}, {"name": "t", "type": "timestamp_ms"}]},
                {"id": "out", "parallelism": 2, "operators": [window], "output_schema": output},
            ],
            "edges": [{"from": "in", "to": "out", "partitioning": partitioning}],
        }))
        .unwrap()
    }

    fn refused(graph: &JobGraph) -> Vec<(String, String)> {
        let errors = check_graph(graph, &registry()).err().unwrap_or_default();
        errors.into_iter().map(|error| (error.code, error.location)).collect()
    }

    #[test]
    fn every_bad_vertex_of_a_graph_is_reported() {
        let by_n = || json!({"type": "hash", "keys": ["n"]});
        assert_eq!(refused(&graph("n > 3", by_n(), json!([]))), []);
        let wrong = json!([{"name": "rows", "type": "string"}]);
        assert_eq!(
            refused(&graph("m > 3", by_n(), wrong)),
            [("EXPR-COLUMN".into(), "vertex \"in\"".into()), ("CHAIN-SCHEMA".into(), "vertex \"out\"".into())]
        );
        let mut nested = graph("n > 3", by_n(), json!([]));
        nested.vertices[0].output_schema[0].data_type = "ARRAY<BIGINT>".parse().unwrap();
        let codes: Vec<_> = refused(&nested).into_iter().map(|(code, location)| format!("{code} {location}")).collect();
        assert!(codes.contains(&"KEY-TYPE edge \"in\" to \"out\"".to_owned()), "{codes:?}");
        let by_t = json!({"type": "hash", "keys": ["t"]});
        assert_eq!(refused(&graph("n > 3", by_t, json!([]))), [("KEY-PARTITIONING".into(), "vertex \"out\"".into())]);
    }
}
