//! The stateful skeleton of a plan, by which state is found again after an edit of the query.

use super::{Node, NodeKind, WindowOutput, WindowShape, WindowSource};
use crate::expression::Typed;

/// What identifies the state of a node: its kind and keys, and the sources and stateful nodes below it. Filters, projections and
/// watermark delays do not count, so a query keeps its state when they are edited.
pub fn skeleton(node: &Node) -> String {
    let inputs = || node.inputs.iter().map(|input| skeleton(input)).collect::<Vec<_>>().join(",");
    match &node.kind {
        NodeKind::Scan { path, .. } => format!("scan({path})"),
        NodeKind::Values { .. } => "values".into(),
        NodeKind::Calc { .. } | NodeKind::Watermark { .. } | NodeKind::Expand { .. } => inputs(),
        NodeKind::WindowAssign { window, .. } => format!("window({})[{}]", shape(&window.shape), inputs()),
        NodeKind::WindowAggregate { window, keys, .. } => {
            let keys: Vec<_> = keys.iter().map(|key| origin(node.input(), *key)).collect();
            let window = match window {
                WindowSource::Time { window, .. } => shape(&window.shape),
                WindowSource::Attached { .. } => "attached".into(),
            };
            format!("window-aggregate({window},{})[{}]", keys.join(","), inputs())
        }
        NodeKind::GroupAggregate { keys, .. } => {
            let keys: Vec<_> = keys.iter().map(|key| origin(node.input(), *key)).collect();
            format!("group-aggregate({})[{}]", keys.join(","), inputs())
        }
        NodeKind::Union => format!("union[{}]", inputs()),
        NodeKind::Sink { path, .. } => format!("sink({path})[{}]", inputs()),
        NodeKind::Collect { .. } => format!("collect[{}]", inputs()),
    }
}

fn shape(window: &WindowShape) -> String {
    match window {
        WindowShape::Tumble { size_ms } => format!("tumble {size_ms}"),
        WindowShape::Hop { size_ms, slide_ms } => format!("hop {size_ms} {slide_ms}"),
        WindowShape::Cumulate { size_ms, step_ms } => format!("cumulate {size_ms} {step_ms}"),
    }
}

/// A column in terms of the columns of tables and of stateful nodes.
fn origin(node: &Node, column: usize) -> String {
    match &node.kind {
        NodeKind::Calc { outputs, .. } => {
            let input = node.input();
            let origins: Vec<_> = (0..input.columns.len()).map(|index| origin_if_used(&outputs[column], input, index)).collect();
            outputs[column].show(&origins.iter().map(String::as_str).collect::<Vec<_>>())
        }
        NodeKind::Watermark { .. } => origin(node.input(), column),
        // Ids mean the same while the keys are the same, whatever other sets there are.
        NodeKind::Expand { .. } if column == node.input().columns.len() => "$e".into(),
        NodeKind::Expand { .. } => origin(node.input(), column),
        NodeKind::WindowAssign { .. } => match column.checked_sub(node.input().columns.len()) {
            None => origin(node.input(), column),
            Some(added) => [WindowOutput::Start, WindowOutput::End, WindowOutput::Time][added].name().into(),
        },
        NodeKind::WindowAggregate { keys, .. } | NodeKind::GroupAggregate { keys, .. } => match keys.get(column) {
            Some(key) => origin(node.input(), *key),
            None => format!("#{column}"),
        },
        NodeKind::Union => format!("union.{}", node.columns[column].name),
        NodeKind::Scan { path, .. } | NodeKind::Sink { path, .. } => format!("{path}.{}", node.columns[column].name),
        NodeKind::Values { .. } => format!("values.{column}"),
        NodeKind::Collect { .. } => origin(node.input(), column),
    }
}

fn origin_if_used(expression: &Typed, input: &Node, column: usize) -> String {
    let mut used = false;
    expression.visit_columns(&mut |index| used |= index == column);
    if used { origin(input, column) } else { String::new() }
}
