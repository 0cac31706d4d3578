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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use weir_protocol::job_graph::JobGraph;

    use super::*;
    use crate::dialect::{Statement, parse_statement};
    use crate::planner::plan_query;
    use crate::script::split;
    use crate::session::Session;

    const TABLES: &str = "
        CREATE TABLE bids (auction BIGINT, price INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
            WITH ('connector' = 'datagen', 'number-of-rows' = '10');
        CREATE TABLE late_bids WITH ('connector' = 'datagen') LIKE bids (EXCLUDING OPTIONS);
        SET 'parallelism.default' = '2';\n";
    const COUNT: &str = "SELECT auction, COUNT(*), MAX(DISTINCT price) FROM bids GROUP BY auction";

    fn graph(script: &str) -> JobGraph {
        let script = format!("{TABLES}{script}");
        let mut session = Session::default();
        for statement in split(&script).unwrap() {
            let parsed = parse_statement(&statement).unwrap();
            if let Statement::Query(query) = &parsed {
                let sink = OperatorDescriptor::new("sink.blackhole", BTreeMap::new());
                let options = session.job_options("test");
                return plan_query(session.environment(), query, sink, &options).unwrap().job.graph;
            }
            session.command(&parsed).unwrap().unwrap();
        }
        panic!("no query")
    }

    /// The kinds of aggregating operators, each with what it takes.
    fn phases(script: &str) -> Vec<String> {
        let shown = |operator: &OperatorDescriptor| {
            let input = operator.options.get("input").and_then(|input| input.as_str()).unwrap_or("rows");
            operator.kind.contains("agg").then(|| format!("{} {input}", operator.kind))
        };
        graph(script).vertices.iter().flat_map(|vertex| &vertex.operators).filter_map(shown).collect()
    }

    #[test]
    fn rows_of_several_subtasks_are_aggregated_where_they_are() {
        assert_eq!(phases(COUNT), ["agg.local rows", "agg.group partials"]);
        assert_eq!(phases("SELECT COUNT(*) FROM bids"), ["agg.local rows", "agg.group partials"]);
        assert_eq!(phases("SELECT DISTINCT auction FROM bids"), ["agg.local rows", "agg.group partials"]);
        let window = "SELECT window_end, SUM(price) FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
            GROUP BY window_start, window_end";
        assert_eq!(phases(window), ["agg.local rows", "window.agg partials"]);
        let union =
            "SELECT auction, COUNT(*) FROM (SELECT auction FROM bids UNION ALL SELECT auction FROM late_bids) GROUP BY auction";
        assert_eq!(phases(union), ["agg.local rows", "agg.local rows", "agg.group partials"]);
    }

    #[test]
    fn a_first_phase_has_the_keys_windows_and_aggregates_of_the_second() {
        let graph = graph(
            "SELECT auction, AVG(price) FROM TABLE(HOP(TABLE bids, DESCRIPTOR(ts), INTERVAL '1' SECOND, INTERVAL '1' MINUTE))
            GROUP BY auction, window_start, window_end",
        );
        let [source, aggregation, _] = graph.vertices.as_slice() else { panic!("{} vertices", graph.vertices.len()) };
        let (local, global) = (source.operators.last().unwrap(), &aggregation.operators[0]);
        for name in ["keys", "aggregates", "window", "time_column"] {
            assert_eq!(local.options.get(name), global.options.get(name), "{name}");
        }
        assert_eq!(local.uid, None);
        assert_eq!(source.output_schema.last().map(|field| field.name.as_str()), Some(PARTIAL));
        assert!(source.name.ends_with(" -> LocalAggregate"), "{}", source.name);
    }

    #[test]
    fn other_rows_are_aggregated_in_one_phase() {
        for script in [
            &format!("SET 'table.optimizer.agg-phase-strategy' = 'ONE_PHASE'; {COUNT}"),
            &format!("SET 'parallelism.default' = '1'; {COUNT}"),
            "SELECT auction, COUNT(DISTINCT price) FROM bids GROUP BY auction",
            "SELECT auction, LAST_VALUE(price) FROM bids GROUP BY auction",
            "SELECT COUNT(*) FROM (VALUES (1), (2))",
        ] {
            assert!(phases(script).iter().all(|phase| !phase.contains("local")), "{script}: {:?}", phases(script));
        }
        // The second aggregation has changes as its input.
        let nested = format!("SELECT MAX(n) FROM ({}) AS counts (auction, n, dearest)", COUNT);
        assert_eq!(phases(&nested), ["agg.local rows", "agg.group partials", "agg.group changes"]);
    }

    #[test]
    fn state_is_found_again_if_there_are_more_phases_or_fewer() {
        let uid = |script: &str| {
            let graph = graph(script);
            let operators = graph.vertices.into_iter().flat_map(|vertex| vertex.operators);
            operators.filter(|operator| operator.kind == "agg.group").map(|operator| operator.uid).collect::<Vec<_>>()
        };
        assert_eq!(uid(COUNT), uid(&format!("SET 'table.optimizer.agg-phase-strategy' = 'ONE_PHASE'; {COUNT}")));
    }
}
