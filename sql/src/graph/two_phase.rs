//! Aggregation in two phases: rows are aggregated where they are, and what they add up to is distributed by key.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use serde_json::json;
use weir_dataflow::aggregates;
use weir_dataflow::operators::PARTIAL;
use weir_protocol::job_graph::{DataType, Field, JobVertex, OperatorDescriptor};

use crate::stream::{AggregateCall, Node, NodeKind};

/// The options of an aggregation that its first phase has too.
const SHARED: [&str; 5] = ["keys", "aggregates", "window", "time_column", "zone"];

/// Whether the rows of a node can be aggregated in two phases: they are only added, and their aggregates can be computed in parts.
pub(super) fn is_possible(node: &Node) -> bool {
    let (NodeKind::WindowAggregate { aggregates, .. } | NodeKind::GroupAggregate { aggregates, .. }) = &node.kind else {
        return false;
    };
    !node.input().is_updating && aggregates.iter().all(merges)
}

fn merges(call: &AggregateCall) -> bool {
    aggregates::all().any(|function| function.name == call.function && function.merges(call.distinct))
}

/// Whether nothing but `node` reads the rows of its input. `consumers` has the number of consumers of each node.
pub(super) fn is_only_reader(node: &Node, consumers: &HashMap<*const Node, usize>) -> bool {
    let only = |input: &Rc<Node>| consumers.get(&Rc::as_ptr(input)).copied().unwrap_or(0) <= 1;
    node.inputs.iter().all(|input| only(input) && (!matches!(input.kind, NodeKind::Union) || is_only_reader(input, consumers)))
}

/// Lets these vertices aggregate their rows for `aggregation`, which takes the results from now on.
pub(super) fn split(aggregation: &mut OperatorDescriptor, vertices: &mut [JobVertex], inputs: &[usize]) {
    let shared = aggregation.options.iter().filter(|(name, _)| SHARED.contains(&name.as_str()));
    let local = OperatorDescriptor::new("agg.local", shared.map(|(name, value)| (name.clone(), value.clone())).collect());
    aggregation.options.insert("input".to_owned(), json!("partials"));
    for input in inputs.iter().collect::<BTreeSet<_>>() {
        let vertex = &mut vertices[*input];
        vertex.operators.push(local.clone());
        vertex.name.push_str(" -> LocalAggregate");
        vertex.output_schema.push(Field { name: PARTIAL.to_owned(), data_type: DataType::Bytes, nullable: true });
    }
}
