//! Checks the uids of operators: a restore finds state by them, so each must name one operator of the job.

use std::collections::BTreeMap;

use super::{MAX_UID_BYTES, Refusals, at_operator, clip};
use crate::job_graph::JobGraph;

/// Whether an operator may have this `uid`: it has 1 to [`MAX_UID_BYTES`] bytes and no control character.
pub fn is_legal_uid(uid: &str) -> bool {
    (1..=MAX_UID_BYTES).contains(&uid.len()) && !uid.chars().any(char::is_control)
}

pub(super) fn check_uids(graph: &JobGraph, refusals: &mut Refusals) {
    let mut first: BTreeMap<&str, String> = BTreeMap::new();
    for vertex in &graph.vertices {
        for (i, operator) in vertex.operators.iter().enumerate() {
            let Some(uid) = &operator.uid else { continue };
            let at = at_operator(vertex, i);
            if !is_legal_uid(uid) {
                let message = format!(
                    "the uid {:?} is empty, longer than {MAX_UID_BYTES} bytes or contains a control character; \
                     choose another one, or leave it out",
                    clip(uid)
                );
                refusals.add("JG-UID", at, message);
            } else if let Some(other) = first.get(uid.as_str()) {
                let message = format!("the uid {uid:?} already belongs to {other}; a uid is unique in the whole job");
                refusals.add("JG-DUPLICATE-UID", at, message);
            } else {
                first.insert(uid, at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::job_graph::validate::validate;

    /// Two vertices: a source with a watermark, and a sink.
    fn graph(uids: [Option<&str>; 3]) -> JobGraph {
        let graph = json!({
            "version": 1,
            "name": "uids",
            "vertices": [
                {"id": "in", "parallelism": 1,
                 "operators": [
                    {"kind": "source.datagen", "options": {"rows": 10, "fields": [
                        {"name": "ts", "type": "timestamp_ms", "kind": "timestamp", "step_ms": 10}]}},
                    {"kind": "watermark", "options": {"column": "ts", "out_of_orderness_ms": 0}}],
                 "output_schema": [{"name": "ts", "type": "timestamp_ms"}]},
                {"id": "out", "parallelism": 1, "operators": [{"kind": "sink.blackhole"}]}
            ],
            "edges": [{"from": "in", "to": "out"}]
        });
        let mut graph = JobGraph::from_json(&graph.to_string()).unwrap();
        let operators = graph.vertices.iter_mut().flat_map(|vertex| &mut vertex.operators);
        for (operator, uid) in operators.zip(uids) {
            operator.uid = uid.map(str::to_owned);
        }
        graph
    }

    fn refusals(uids: [Option<&str>; 3]) -> Vec<String> {
        validate(&graph(uids)).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn uids_are_optional_and_unique_within_the_whole_job() {
        assert_eq!(refusals([None, None, None]), [""; 0]);
        assert_eq!(refusals([Some("in"), None, Some("out")]), [""; 0], "a uid may be the id of a vertex");
        let within = refusals([Some("a"), Some("a"), None]);
        assert!(matches!(&within[..], [one] if one.starts_with("JG-DUPLICATE-UID: vertex \"in\", operator 1")), "{within:?}");
        let across = refusals([Some("a"), None, Some("a")]);
        assert!(matches!(&across[..], [one] if one.starts_with("JG-DUPLICATE-UID: vertex \"out\", operator 0")), "{across:?}");
        assert!(across[0].contains("vertex \"in\", operator 0 (source.datagen)"), "names the first one: {across:?}");
    }

    #[test]
    fn a_uid_has_1_to_128_bytes_and_no_control_characters() {
        let longest = "x".repeat(MAX_UID_BYTES);
        for legal in ["a", "agg.group:bids 3f#2", "größe", &longest] {
            assert_eq!(refusals([Some(legal), None, None]), [""; 0], "{legal:?}");
        }
        for illegal in ["", "a\nb", "\u{85}", &format!("{longest}x"), &"ö".repeat(65)] {
            let found = refusals([Some(illegal), Some(illegal), None]);
            assert!(found.len() == 2 && found.iter().all(|one| one.starts_with("JG-UID: ")), "{found:?}");
        }
    }

    #[test]
    fn a_uid_is_written_to_json_only_if_there_is_one() {
        let text = serde_json::to_string(&graph([Some("a"), None, None])).unwrap();
        assert_eq!(text.matches("\"uid\"").count(), 1);
        assert_eq!(JobGraph::from_json(&text).unwrap().vertices[0].operators[0].uid.as_deref(), Some("a"));
    }
}
