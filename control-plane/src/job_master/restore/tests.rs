use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use weir_protocol::checkpoint::{KeyGroupHandle, StateHandle};

use super::*;
use crate::job_master::testing::{graph, metadata};

/// An operator from `kind` or `kind:uid`. Kinds that begin with `map` save no state.
fn operator(text: &str) -> OperatorDescriptor {
    let (kind, uid) = text.split_once(':').map_or((text, None), |(kind, uid)| (kind, Some(uid.to_string())));
    OperatorDescriptor { uid, ..OperatorDescriptor::new(kind, BTreeMap::new()) }
}

/// A graph from `(vertex, parallelism, chain)`. A chain is written as the texts of its operators, with spaces in between.
fn job(vertices: &[(&str, u32, &str)]) -> JobGraph {
    let vertex = |&(uid, parallelism, chain): &(&str, u32, &str)| JobVertex {
        uid: uid.to_string(),
        name: String::new(),
        parallelism,
        operators: chain.split_whitespace().map(operator).collect(),
        output_schema: Vec::new(),
        input_schemas: Vec::new(),
    };
    JobGraph::clone(&graph(vertices.iter().map(vertex).collect(), Vec::new()))
}

/// The text that a subtask of an operator saves. It names the operator by its uid, or else by its place.
fn saved_by(vertex: &str, position: usize, operator: &OperatorDescriptor, subtask: u32) -> String {
    match &operator.uid {
        Some(uid) => format!("{uid}/{subtask}"),
        None => format!("{vertex}.{position}/{subtask}"),
    }
}

/// A checkpoint of a graph. Every subtask of every operator with state saved its text, as operator state and as a key group.
fn checkpoint(graph: &JobGraph) -> CheckpointMetadata {
    let mut checkpoint = metadata(3, graph);
    for part in &mut checkpoint.subtasks {
        let ExecutionVertexId { vertex: id, subtask } = part.execution_vertex;
        let vertex = graph.vertices.iter().find(|vertex| vertex.id() == id).expect("a vertex of the graph");
        for (position, (state, operator)) in part.operators.iter_mut().zip(&vertex.operators).enumerate() {
            if operator.kind.starts_with("map") {
                continue;
            }
            let text = StateHandle::Inline(Bytes::from(saved_by(&vertex.uid, position, operator, subtask)));
            state.operator_state = Some(text.clone());
            state.key_groups = vec![KeyGroupHandle { key_group: subtask, state: text }];
        }
    }
    checkpoint
}

/// The same checkpoint as an older build wrote it: without uids and kinds.
fn old(mut checkpoint: CheckpointMetadata) -> CheckpointMetadata {
    for operator in checkpoint.subtasks.iter_mut().flat_map(|part| &mut part.operators) {
        (operator.uid, operator.kind) = (None, None);
    }
    checkpoint
}

fn text(state: &OperatorSnapshot) -> String {
    let Some(StateHandle::Inline(bytes)) = &state.operator_state else { panic!("it has an operator state") };
    assert_eq!(state.key_groups[0].state, StateHandle::Inline(bytes.clone()), "key groups stay with their operator");
    String::from_utf8_lossy(bytes).into_owned()
}

/// What one subtask of a vertex restores: for each operator the former parallelism and the texts, or nothing at all.
fn restored(checkpoint: &CheckpointMetadata, graph: &JobGraph, vertex: &str, subtask: u32) -> Vec<(u32, Vec<String>)> {
    let vertex = ExecutionJobVertex::new(graph.vertex(vertex).expect("a vertex of the graph").clone());
    let state = Assignment::new(checkpoint, graph).subtask_state(&vertex, subtask);
    state.iter().map(|one| (one.former_parallelism, one.parts.iter().map(|(_, state)| text(state)).collect())).collect()
}

/// The same for all operators of all vertices, for subtask 0. `-` means that the operator starts empty.
fn taken(checkpoint: &CheckpointMetadata, graph: &JobGraph) -> String {
    let of = |vertex: &JobVertex| {
        let state = restored(checkpoint, graph, &vertex.uid, 0);
        let first = |position: usize| state.get(position).and_then(|(_, texts)| texts.first().cloned());
        (0..vertex.operators.len()).map(move |i| first(i).unwrap_or("-".to_string())).collect::<Vec<_>>().join(" ")
    };
    graph.vertices.iter().map(of).collect::<Vec<_>>().join(" | ")
}

fn refusal(checkpoint: &CheckpointMetadata, graph: &JobGraph) -> String {
    check(checkpoint, graph).map_or_else(|mismatch| mismatch.to_string(), |()| "fits".to_string())
}

fn dropping(graph: &JobGraph) -> JobGraph {
    JobGraph { allow_non_restored_state: true, ..graph.clone() }
}

fn texts(expected: &[&str]) -> Vec<String> {
    expected.iter().map(ToString::to_string).collect()
}

#[test]
fn with_unchanged_parallelism_a_subtask_gets_its_own_state_and_the_number_of_former_subtasks() {
    let graph = job(&[("v", 3, "map agg")]);
    assert_eq!(restored(&checkpoint(&graph), &graph, "v", 1), [(3, vec![]), (3, texts(&["v.1/1"]))]);
}

#[test]
fn when_rescaling_a_subtask_gets_the_state_of_every_former_subtask() {
    let (one, two, three) = (job(&[("v", 1, "agg")]), job(&[("v", 2, "agg")]), job(&[("v", 3, "agg")]));
    assert_eq!(restored(&checkpoint(&one), &two, "v", 0), [(1, texts(&["v.0/0"]))]);
    assert_eq!(restored(&checkpoint(&three), &two, "v", 1), [(3, texts(&["v.0/0", "v.0/1", "v.0/2"]))]);
}

#[test]
fn b6_a_checkpoint_that_does_not_fit_the_graph_is_refused() {
    let fits = checkpoint(&job(&[("v", 2, "agg")]));
    assert_eq!(check(&fits, &job(&[("v", 2, "agg"), ("new", 1, "agg")])), Ok(()));

    let mut other = fits.clone();
    other.max_parallelism = 7;
    assert!(matches!(check(&other, &job(&[("v", 2, "agg")])), Err(RestoreMismatch::MaxParallelism { .. })));

    let without = job(&[("w", 2, "agg")]);
    assert!(matches!(check(&fits, &without), Err(RestoreMismatch::UnknownVertex(_))));
    assert_eq!(check(&fits, &dropping(&without)), Ok(()), "the user drops the state of v");
    assert_eq!(restored(&fits, &dropping(&without), "w", 0), []);

    let longer = job(&[("v", 2, "agg agg")]);
    assert!(matches!(check(&fits, &longer), Err(RestoreMismatch::Chain { checkpoint: 1, graph: 2, .. })));
    assert!(check(&fits, &dropping(&longer)).is_err(), "the position does not tell whose state it is");

    let mut torn = fits;
    torn.subtasks.remove(0);
    let refused = check(&torn, &job(&[("v", 2, "agg")]));
    assert_eq!(refused, Err(RestoreMismatch::Incomplete { uid: "v".to_string(), subtask: 0 }));
}

#[test]
fn an_operator_with_a_uid_keeps_its_state_if_others_are_inserted_before_it_or_removed() {
    let before = checkpoint(&job(&[("v", 2, "map source:s map agg:a")]));
    let after = job(&[("v", 2, "source:s map1 map2 map3 agg:a map")]);
    assert_eq!(check(&before, &after), Ok(()));
    assert_eq!(taken(&before, &after), "s/0 - - - a/0 -");
    assert_eq!(restored(&before, &after, "v", 1)[4], (2, texts(&["a/1"])));
}

#[test]
fn an_operator_with_a_uid_keeps_its_state_in_another_vertex_and_is_rescaled_by_its_own_former_parallelism() {
    let before = checkpoint(&job(&[("in", 1, "source:s"), ("v", 3, "agg:a map agg:b")]));
    let after = job(&[("in", 1, "source:s"), ("v", 2, "agg:b"), ("w", 3, "map agg:a source:new")]);
    assert_eq!(check(&before, &after), Ok(()));
    assert_eq!(restored(&before, &after, "w", 2), [(0, vec![]), (3, texts(&["a/2"])), (0, vec![])]);
    assert_eq!(restored(&before, &after, "v", 0), [(3, texts(&["b/0", "b/1", "b/2"]))]);

    let joined = job(&[("v", 1, "source:s map agg:a agg:b")]);
    assert_eq!(check(&before, &joined), Ok(()));
    let expected = [(1, texts(&["s/0"])), (0, vec![]), (3, texts(&["a/0", "a/1", "a/2"])), (3, texts(&["b/0", "b/1", "b/2"]))];
    assert_eq!(restored(&before, &joined, "v", 0), expected);
}

#[test]
fn state_of_a_uid_that_the_graph_no_longer_has_is_refused_until_the_user_drops_it() {
    let before = checkpoint(&job(&[("v", 2, "source:s agg:a agg:b")]));
    let after = job(&[("v", 2, "source:s agg:b")]);
    let refused = refusal(&before, &after);
    assert!(refused.starts_with("RESTORE-UNKNOWN-UID: the checkpoint holds state of the operator \"a\" (agg)"), "{refused}");
    assert!(refused.contains("former uid") && refused.contains("--allow-non-restored-state"), "{refused}");
    assert_eq!(refusal(&before, &dropping(&after)), "fits");
    assert_eq!(taken(&before, &dropping(&after)), "s/0 b/0");
    // Another uid at the same place is another operator: it starts empty.
    let replaced = job(&[("v", 2, "source:s agg:c agg:b")]);
    assert!(refusal(&before, &replaced).starts_with("RESTORE-UNKNOWN-UID"));
    assert_eq!(taken(&before, &dropping(&replaced)), "s/0 - b/0");
}

#[test]
fn an_operator_whose_uid_has_no_state_in_the_checkpoint_starts_empty() {
    let before = checkpoint(&job(&[("v", 2, "source:s")]));
    let after = job(&[("v", 2, "source:s agg:new"), ("w", 2, "agg:other")]);
    assert_eq!(refusal(&before, &after), "fits");
    assert_eq!(taken(&before, &after), "s/0 - | -");
    assert_eq!(restored(&before, &after, "w", 0), [], "no operator of the task restores anything");
}

#[test]
fn a_checkpoint_without_uids_is_matched_by_vertex_and_position_also_if_the_graph_has_uids_now() {
    let graph = job(&[("v", 2, "source agg"), ("w", 2, "sink")]);
    let with_uids = job(&[("v", 2, "source:s agg:a"), ("w", 2, "sink:w")]);
    for before in [checkpoint(&graph), old(checkpoint(&graph))] {
        for after in [&graph, &with_uids] {
            assert_eq!(refusal(&before, after), "fits");
            assert_eq!(taken(&before, after), "v.0/0 v.1/0 | w.0/0");
        }
        let longer = job(&[("v", 2, "source:s map agg:a"), ("w", 2, "sink:w")]);
        assert!(refusal(&before, &longer).starts_with("RESTORE-CHAIN"));
        let moved = job(&[("v", 2, "source:s agg:a"), ("x", 2, "sink:w")]);
        assert!(refusal(&before, &moved).starts_with("RESTORE-UNKNOWN-VERTEX"));
    }
    // An operator that has lost its uid is found at its place.
    assert_eq!(refusal(&checkpoint(&with_uids), &graph), "fits");
    assert_eq!(taken(&checkpoint(&with_uids), &graph), "s/0 a/0 | w/0");
}

#[test]
fn in_a_mixed_chain_state_without_a_uid_is_taken_only_at_its_place_in_a_chain_of_the_same_length() {
    let before = checkpoint(&job(&[("v", 2, "source agg:a map sink")]));
    let uid_added = job(&[("v", 2, "source:s agg:a map sink")]);
    assert_eq!((refusal(&before, &uid_added), taken(&before, &uid_added)), ("fits".into(), "v.0/0 a/0 - v.3/0".into()));
    let replaced = job(&[("v", 2, "source map agg:a sink")]);
    assert_eq!((refusal(&before, &replaced), taken(&before, &replaced)), ("fits".into(), "v.0/0 - a/0 v.3/0".into()));

    for shifted in ["source agg:a sink", "source map agg:a map sink"] {
        let shifted = job(&[("v", 2, shifted)]);
        assert!(refusal(&before, &shifted).starts_with("RESTORE-CHAIN"));
        assert!(refusal(&before, &dropping(&shifted)).starts_with("RESTORE-CHAIN"));
    }
    // Only operators without a uid need their place; the others may leave the vertex.
    let renamed = dropping(&job(&[("w", 2, "source agg:a map sink")]));
    assert_eq!((refusal(&before, &renamed), taken(&before, &renamed)), ("fits".into(), "- a/0 - -".into()));
}

#[test]
fn state_without_a_uid_is_refused_if_another_operator_is_at_its_place() {
    let before = checkpoint(&job(&[("v", 1, "source agg:a sink"), ("w", 1, "agg")]));
    let other_kind = refusal(&before, &job(&[("v", 1, "source agg:a map"), ("w", 1, "agg")]));
    let expected = "RESTORE-OPERATOR: operator 2 of vertex \"v\" was sink when the checkpoint was taken and is map now";
    assert!(other_kind.starts_with(expected), "{other_kind}");
    let with_own_state = refusal(&before, &job(&[("v", 1, "source map sink"), ("w", 1, "agg:a")]));
    let expected =
        "RESTORE-OPERATOR: operator 0 of vertex \"w\" was agg when the checkpoint was taken and is agg with the uid \"a\" now";
    assert!(with_own_state.starts_with(expected), "{with_own_state}");
}

#[test]
fn an_operator_without_a_uid_takes_no_state_that_another_one_takes_by_uid() {
    let before = checkpoint(&job(&[("v", 1, "agg:a"), ("w", 1, "map")]));
    let after = job(&[("v", 1, "agg"), ("w", 1, "agg:a")]);
    assert_eq!((refusal(&before, &after), taken(&before, &after)), ("fits".into(), "- | a/0".into()));
}

#[test]
fn operators_that_saved_no_state_can_come_and_go() {
    for before in [checkpoint(&job(&[("v", 2, "map map"), ("w", 1, "map")])), old(checkpoint(&job(&[("v", 2, "map map")])))] {
        assert_eq!(refusal(&before, &job(&[("v", 2, "map"), ("x", 1, "agg")])), "fits");
    }
}

/// A job as lists of operators: `Some(uid)` has state, `None` has none.
type Chains = Vec<(u32, Vec<Option<u32>>)>;

fn job_of(chains: &Chains, number: impl Fn(usize) -> usize) -> JobGraph {
    let name = |operator: &Option<u32>| operator.map_or("map".to_string(), |uid| format!("agg:{uid}"));
    let described: Vec<_> = chains
        .iter()
        .enumerate()
        .map(|(i, (parallelism, chain))| {
            let chain: Vec<_> = chain.iter().map(name).collect();
            (format!("v{}", number(i)), *parallelism, chain.join(" "))
        })
        .collect();
    let vertices: Vec<_> =
        described.iter().map(|(uid, parallelism, chain)| (uid.as_str(), *parallelism, chain.as_str())).collect();
    job(&vertices)
}

/// Deals the operators with state, in any order, to chains of any parallelism, with operators without state in between.
fn any_chains(operators: Vec<u32>) -> impl Strategy<Value = Chains> {
    let slots = prop::collection::vec((0_usize..4, 0_usize..3), operators.len());
    let order = Just(operators).prop_shuffle();
    (order, slots, prop::collection::vec(1_u32..4, 4)).prop_map(|(operators, slots, parallelisms)| {
        let mut chains: Chains = parallelisms.into_iter().map(|parallelism| (parallelism, vec![None])).collect();
        for (uid, (chain, stateless)) in operators.into_iter().zip(slots) {
            chains[chain].1.extend(vec![None; stateless]);
            chains[chain].1.push(Some(uid));
        }
        chains
    })
}

/// An operator: whether it has state, and perhaps a uid.
fn any_mixed_job() -> impl Strategy<Value = JobGraph> {
    let operator = ("map|agg|sink", prop::option::of(0_u32..4));
    let vertices = prop::collection::vec((1_u32..3, prop::collection::vec(operator, 1..4)), 1..4);
    vertices.prop_map(|vertices| {
        let mut used = BTreeSet::new();
        let mut unique = |uid: Option<u32>| uid.filter(|uid| used.insert(*uid));
        let mut graph = job(&[]);
        for (i, (parallelism, operators)) in vertices.into_iter().enumerate() {
            let texts = operators.into_iter().map(|(kind, uid)| match unique(uid) {
                Some(uid) => format!("{kind}:{uid}"),
                None => kind,
            });
            let (name, chain) = (format!("v{i}"), texts.collect::<Vec<_>>().join(" "));
            graph.vertices.extend(job(&[(name.as_str(), parallelism, chain.as_str())]).vertices);
        }
        graph
    })
}

proptest! {
    #[test]
    fn with_uids_no_edit_of_a_graph_loses_or_swaps_state(
        before in any_chains((0..6).collect()), after in any_chains((0..8).collect()), shift in 0_usize..4,
    ) {
        let (before, graph) = (job_of(&before, |i| i), job_of(&after, |i| i + shift));
        let saved = checkpoint(&before);
        prop_assert_eq!(check(&saved, &graph), Ok(()));
        let mut found = 0;
        for (vertex, (parallelism, chain)) in graph.vertices.iter().zip(&after) {
            for subtask in 0..*parallelism {
                let state = restored(&saved, &graph, &vertex.uid, subtask);
                for (position, uid) in chain.iter().enumerate() {
                    let (former, taken) = state.get(position).cloned().unwrap_or_default();
                    // Operators 6 and 7 are new.
                    let Some(uid) = uid.filter(|uid| *uid < 6) else {
                        prop_assert_eq!(taken, Vec::<String>::new());
                        continue;
                    };
                    let holds = |vertex: &&JobVertex| vertex.operators.iter().any(|one| one.uid == Some(uid.to_string()));
                    let was = before.vertices.iter().find(holds).expect("it was in the former graph").parallelism;
                    let wanted = (0..was).filter(|one| was != *parallelism || *one == subtask);
                    prop_assert_eq!((former, taken), (was, wanted.map(|one| format!("{uid}/{one}")).collect()));
                    found += usize::from(subtask == 0);
                }
            }
        }
        prop_assert_eq!(found, 6);
    }

    #[test]
    fn of_any_two_graphs_the_restore_is_refused_or_every_state_goes_to_one_operator_of_its_uid_or_place(
        before in any_mixed_job(), after in any_mixed_job(),
    ) {
        let saved = checkpoint(&before);
        let fits = check(&saved, &after).is_ok();
        let mut expected = BTreeSet::new();
        for vertex in &before.vertices {
            let stateful = vertex.operators.iter().enumerate().filter(|(_, operator)| operator.kind != "map");
            expected.extend(stateful.map(|(position, operator)| saved_by(&vertex.uid, position, operator, 0)));
        }
        let mut found = BTreeSet::new();
        for vertex in &after.vertices {
            for (position, operator) in vertex.operators.iter().enumerate() {
                let state = restored(&saved, &after, &vertex.uid, 0);
                let Some(text) = state.get(position).and_then(|(_, texts)| texts.first().cloned()) else { continue };
                let place = saved_by(&vertex.uid, position, &OperatorDescriptor { uid: None, ..operator.clone() }, 0);
                let former = before.vertex(&vertex.uid).and_then(|vertex| vertex.operators.get(position));
                let at_place = former.is_some_and(|former| former.kind == operator.kind
                    && (former.uid.is_none() || operator.uid.is_none())
                    && text == former.uid.as_ref().map_or(place, |uid| format!("{uid}/0")));
                let by_uid = operator.uid.as_ref().is_some_and(|uid| text == format!("{uid}/0"));
                prop_assert!(by_uid || at_place, "{} {} takes {text}", vertex.uid, position);
                prop_assert!(found.insert(text.clone()), "{text} is taken twice");
            }
        }
        prop_assert!(!fits || found == expected, "{found:?} of {expected:?} are restored");
        prop_assert!(fits || found != expected, "nothing is left over, but it is refused");
    }
}
