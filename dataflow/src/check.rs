//! Plans a whole job graph without running it, so that bad expressions and schemas are refused before submission.

use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_graph::validate::GraphError;
use weir_protocol::{ExecutionAttemptId, ExecutionVertexId, Generation, JobId, LeaderEpoch};

use crate::chain::OperatorChain;
use crate::operator::{OperatorContext, OperatorError};
use crate::registry::OperatorRegistry;

/// Builds every chain of a graph, without I/O, and drops the chains. The graph must have passed
/// [`validate`](weir_protocol::job_graph::validate::validate). Returns one error for each vertex whose chain can't be built; its
/// code is that of the operator, expression or schema.
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
    if errors.is_empty() { Ok(()) } else { Err(errors) }
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
        let by_t = json!({"type": "hash", "keys": ["t"]});
        assert_eq!(refused(&graph("n > 3", by_t, json!([]))), [("KEY-PARTITIONING".into(), "vertex \"out\"".into())]);
    }
}
