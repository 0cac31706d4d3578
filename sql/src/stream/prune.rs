//! Shares equal nodes of a plan, and removes the columns that nothing needs.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::{AggregateCall, GroupingSet, Node, NodeKind, WindowColumns, WindowSource};
use crate::expression::Typed;

/// The same plan, in which equal nodes are one node and each node emits only columns that a consumer reads.
pub fn prune(sinks: Vec<Rc<Node>>) -> Vec<Rc<Node>> {
    let mut order = Vec::new();
    let sinks: Vec<_> = sinks.iter().map(|sink| shared(sink, &mut order)).collect();
    let mut required: HashMap<*const Node, BTreeSet<usize>> = HashMap::new();
    for sink in &sinks {
        required.insert(Rc::as_ptr(sink), (0..sink.columns.len()).collect());
    }
    // Consumers come after their inputs in the order, so backwards each node's needs are complete before it passes them on.
    for node in order.iter().rev() {
        let mut wanted = required.remove(&Rc::as_ptr(node)).unwrap_or_default();
        if wanted.is_empty() && !node.columns.is_empty() {
            // Rows without columns can't be counted once they travel.
            wanted.insert(0);
        }
        for (index, input) in node.inputs.iter().enumerate() {
            required.entry(Rc::as_ptr(input)).or_default().extend(needs(node, index, &wanted));
        }
        required.insert(Rc::as_ptr(node), wanted);
    }
    let mut rebuilt: HashMap<*const Node, (Rc<Node>, Vec<Option<usize>>)> = HashMap::new();
    for node in &order {
        let wanted = &required[&Rc::as_ptr(node)];
        let inputs: Vec<_> = node.inputs.iter().map(|input| &rebuilt[&Rc::as_ptr(input)]).collect();
        let rebuilt_node = rebuild(node, wanted, &inputs);
        rebuilt.insert(Rc::as_ptr(node), rebuilt_node);
    }
    sinks.iter().map(|sink| rebuilt[&Rc::as_ptr(sink)].0.clone()).collect()
}

/// The node in `order` that is equal to this one; inputs come before their consumers.
fn shared(node: &Rc<Node>, order: &mut Vec<Rc<Node>>) -> Rc<Node> {
    let inputs: Vec<_> = node.inputs.iter().map(|input| shared(input, order)).collect();
    let same = |other: &&Rc<Node>| {
        other.kind == node.kind
            && other.columns == node.columns
            && other.inputs.len() == inputs.len()
            && other.inputs.iter().zip(&inputs).all(|(a, b)| Rc::ptr_eq(a, b))
    };
    if let Some(known) = order.iter().find(same) {
        return known.clone();
    }
    let unified = Rc::new(Node { inputs, ..(**node).clone() });
    order.push(unified.clone());
    unified
}

/// The columns of an input that a node needs to emit the wanted columns.
fn needs(node: &Node, input: usize, wanted: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut needed = BTreeSet::new();
    match &node.kind {
        NodeKind::Scan { .. } | NodeKind::Values { .. } => {}
        NodeKind::Sink { .. } | NodeKind::Collect { .. } => needed.extend(0..node.inputs[input].columns.len()),
        NodeKind::Union => needed.extend(wanted),
        NodeKind::Calc { filter, outputs } => {
            for expression in filter.iter().chain(wanted.iter().map(|index| &outputs[*index])) {
                expression.visit_columns(&mut |column| {
                    needed.insert(column);
                });
            }
        }
        NodeKind::Watermark { time, watermark } => {
            needed.extend(wanted);
            needed.extend([*time, *watermark]);
        }
        NodeKind::WindowAssign { time, .. } => {
            needed.extend(wanted.iter().filter(|index| **index < node.inputs[input].columns.len()));
            needed.insert(*time);
        }
        NodeKind::Expand { sets } => {
            needed.extend(wanted.iter().filter(|index| **index < node.inputs[input].columns.len()));
            needed.extend(sets.iter().flat_map(|set| &set.nulls));
        }
        NodeKind::WindowAggregate { window, keys, aggregates, .. } => {
            match window {
                WindowSource::Time { time, .. } => needed.extend([*time]),
                WindowSource::Attached { start, end, .. } => needed.extend([*start, *end]),
            }
            needed.extend(keys);
            needed.extend(of_calls(aggregates));
        }
        NodeKind::GroupAggregate { keys, aggregates } => {
            needed.extend(keys);
            needed.extend(of_calls(aggregates));
        }
    }
    needed
}

/// The columns that aggregates read.
fn of_calls(aggregates: &[AggregateCall]) -> impl Iterator<Item = &usize> {
    aggregates.iter().flat_map(|call| call.arguments.iter().chain(&call.filter))
}

type Rebuilt = (Rc<Node>, Vec<Option<usize>>);

/// The node over its rebuilt inputs, and where each of its former columns is now.
fn rebuild(node: &Node, wanted: &BTreeSet<usize>, inputs: &[&Rebuilt]) -> Rebuilt {
    // A needed column is always there; anything else would be a mistake of `needs`.
    let position = |column: usize| inputs[0].1[column].unwrap_or_default();
    let kept_columns = |kept: &BTreeSet<usize>| kept.iter().map(|index| node.columns[*index].clone()).collect::<Vec<_>>();
    let mut kept: BTreeSet<usize> = (0..node.columns.len()).collect();
    let kind = match &node.kind {
        NodeKind::Scan { .. } | NodeKind::Values { .. } => {
            kept.clone_from(wanted);
            match &node.kind {
                NodeKind::Values { rows } => NodeKind::Values {
                    rows: rows.iter().map(|row| wanted.iter().map(|index| row[*index].clone()).collect()).collect(),
                },
                other => other.clone(),
            }
        }
        NodeKind::Calc { filter, outputs } => {
            kept.clone_from(wanted);
            let moved = |expression: &Typed| expression.moved(&position);
            NodeKind::Calc {
                filter: filter.as_ref().map(moved),
                outputs: wanted.iter().map(|index| moved(&outputs[*index])).collect(),
            }
        }
        NodeKind::Watermark { time, watermark } => {
            kept = kept_inputs(inputs[0]);
            NodeKind::Watermark { time: position(*time), watermark: position(*watermark) }
        }
        NodeKind::WindowAssign { window, time } => {
            let added = node.columns.len() - 3..node.columns.len();
            kept = kept_inputs(inputs[0]);
            kept.extend(added);
            NodeKind::WindowAssign { window: window.clone(), time: position(*time) }
        }
        NodeKind::Expand { sets } => {
            kept = kept_inputs(inputs[0]);
            kept.insert(node.columns.len() - 1);
            let moved = |set: &GroupingSet| GroupingSet {
                nulls: set.nulls.iter().map(|column| position(*column)).collect(),
                ..set.clone()
            };
            NodeKind::Expand { sets: sets.iter().map(moved).collect() }
        }
        NodeKind::WindowAggregate { window, keys, aggregates, outputs } => NodeKind::WindowAggregate {
            window: match window {
                WindowSource::Time { window, time } => WindowSource::Time { window: window.clone(), time: position(*time) },
                WindowSource::Attached { start, end, zone } => {
                    WindowSource::Attached { start: position(*start), end: position(*end), zone: zone.clone() }
                }
            },
            keys: keys.iter().map(|key| position(*key)).collect(),
            aggregates: moved_calls(aggregates, &position),
            outputs: outputs.clone(),
        },
        NodeKind::GroupAggregate { keys, aggregates } => NodeKind::GroupAggregate {
            keys: keys.iter().map(|key| position(*key)).collect(),
            aggregates: moved_calls(aggregates, &position),
        },
        NodeKind::Union => {
            kept.clone_from(wanted);
            let inputs = inputs.iter().map(|input| only(input, wanted)).collect();
            return finish(node, NodeKind::Union, inputs, &kept, kept_columns(&kept));
        }
        NodeKind::Sink { .. } | NodeKind::Collect { .. } => node.kind.clone(),
    };
    let inputs = inputs.iter().map(|input| input.0.clone()).collect();
    finish(node, kind, inputs, &kept, kept_columns(&kept))
}

fn moved_calls(aggregates: &[AggregateCall], position: &dyn Fn(usize) -> usize) -> Vec<AggregateCall> {
    let moved = |call: &AggregateCall| AggregateCall {
        arguments: call.arguments.iter().map(|argument| position(*argument)).collect(),
        filter: call.filter.map(position),
        ..call.clone()
    };
    aggregates.iter().map(moved).collect()
}

fn finish(node: &Node, kind: NodeKind, inputs: Vec<Rc<Node>>, kept: &BTreeSet<usize>, columns: Vec<super::Column>) -> Rebuilt {
    let mut positions = vec![None; node.columns.len()];
    kept.iter().enumerate().for_each(|(now, before)| positions[*before] = Some(now));
    let window = node.window.map(|window| WindowColumns {
        start: window.start.and_then(|column| positions[column]),
        end: window.end.and_then(|column| positions[column]),
        time: window.time.and_then(|column| positions[column]),
        is_zoned: window.is_zoned,
    });
    (Rc::new(Node { kind, inputs, columns, window, is_updating: node.is_updating }), positions)
}

/// The former columns that an input still emits.
fn kept_inputs(input: &Rebuilt) -> BTreeSet<usize> {
    input.1.iter().enumerate().filter(|(_, now)| now.is_some()).map(|(before, _)| before).collect()
}

/// An input of a union that emits just the wanted columns: another consumer may need more of it.
fn only(input: &Rebuilt, wanted: &BTreeSet<usize>) -> Rc<Node> {
    let outputs = wanted.iter().filter_map(|column| input.1[*column]);
    let named = |index: usize| (input.0.columns[index].name.clone(), input.0.column(index));
    super::calc(input.0.clone(), None, outputs.map(named).collect())
}
