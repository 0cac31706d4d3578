//! Shows a plan in the notation of Flink's EXPLAIN.

use super::{AggregateCall, Node, NodeKind, Window, WindowShape, WindowSource};

/// The plan below each of these nodes, as an indented tree.
pub fn explain(node: &Node) -> String {
    let mut text = String::new();
    draw(node, 0, &mut text);
    text
}

fn draw(node: &Node, depth: usize, text: &mut String) {
    match depth {
        0 => {}
        depth => text.push_str(&format!("{}+- ", "   ".repeat(depth - 1))),
    }
    text.push_str(&describe(node));
    if node.is_updating {
        text.push_str(" changelog=[I,UB,UA,D]");
    }
    text.push('\n');
    for input in &node.inputs {
        draw(input, depth + 1, text);
    }
}

/// One node in one line.
pub fn describe(node: &Node) -> String {
    let names = node.names().join(", ");
    match &node.kind {
        NodeKind::Scan { path, .. } => {
            format!("TableSourceScan(table=[[{}, {}, {}]], fields=[{names}])", path.catalog, path.database, path.name)
        }
        NodeKind::Values { rows } => {
            let row = |row: &Vec<_>| {
                format!(
                    "{{ {} }}",
                    row.iter().map(|value: &crate::expression::Typed| value.show(&[])).collect::<Vec<_>>().join(", ")
                )
            };
            let shown: Vec<_> = rows.iter().take(5).map(row).collect();
            let more = if rows.len() > 5 { ", …" } else { "" };
            format!("Values(tuples=[[{}{more}]])", shown.join(", "))
        }
        NodeKind::Calc { filter, outputs } => {
            let input = node.input().names();
            let output = |(name, expression): (&str, &crate::expression::Typed)| {
                let shown = expression.show(&input);
                if shown == name { shown } else { format!("{shown} AS {name}") }
            };
            let select: Vec<_> = node.names().into_iter().zip(outputs).map(output).collect();
            let filter = filter.as_ref().map(|filter| format!(", where=[{}]", filter.show(&input))).unwrap_or_default();
            format!("Calc(select=[{}]{filter})", select.join(", "))
        }
        NodeKind::Watermark { time, watermark } => {
            let columns = &node.columns;
            format!("WatermarkAssigner(rowtime=[{}], watermark=[{}])", columns[*time].name, columns[*watermark].name)
        }
        NodeKind::WindowAssign { window, time } => {
            format!("WindowTableFunction(window=[{}])", show_window(window, &node.input().columns[*time].name))
        }
        NodeKind::Expand { sets } => {
            let input = node.input().names();
            let id = node.columns.last().map_or("", |column| &column.name);
            let set = |set: &super::GroupingSet| {
                let nulls: Vec<_> = set.nulls.iter().map(|column| format!("null AS {}", input[*column])).collect();
                format!("{{{}}}", nulls.into_iter().chain([format!("{} AS {id}", set.id)]).collect::<Vec<_>>().join(", "))
            };
            format!("Expand(projects=[{}])", sets.iter().map(set).collect::<Vec<_>>().join(", "))
        }
        NodeKind::WindowAggregate { window, keys, aggregates, outputs } => {
            let input = node.input().names();
            let window = match window {
                WindowSource::Time { window, time } => show_window(window, input[*time]),
                WindowSource::Attached { start, end, .. } => format!("win_start=[{}], win_end=[{}]", input[*start], input[*end]),
            };
            let mut select = selected(node, keys, aggregates);
            select.extend(outputs.iter().map(|output| output.name().to_owned()));
            format!("WindowAggregate(groupBy=[{}], window=[{window}], select=[{}])", show_keys(node, keys), select.join(", "))
        }
        NodeKind::GroupAggregate { keys, aggregates } => {
            let select = selected(node, keys, aggregates).join(", ");
            format!("GroupAggregate(groupBy=[{}], select=[{select}])", show_keys(node, keys))
        }
        NodeKind::Union => format!("Union(all=[true], union=[{names}])"),
        NodeKind::Collect { .. } => format!("Collect(fields=[{names}])"),
        NodeKind::Sink { path, .. } => {
            format!("Sink(table=[{path}], fields=[{}])", node.input().names().join(", "))
        }
    }
}

fn show_keys(node: &Node, keys: &[usize]) -> String {
    let input = node.input().names();
    keys.iter().map(|key| input[*key]).collect::<Vec<_>>().join(", ")
}

/// The keys and aggregates that an aggregation emits.
fn selected(node: &Node, keys: &[usize], aggregates: &[AggregateCall]) -> Vec<String> {
    let input = node.input().names();
    let calls = aggregates.iter().zip(node.names().into_iter().skip(keys.len()));
    let calls = calls.map(|(call, name)| format!("{} AS {name}", show_call(call, &input)));
    keys.iter().map(|key| input[*key].to_owned()).chain(calls).collect()
}

fn show_call(call: &AggregateCall, input: &[&str]) -> String {
    let arguments: Vec<_> = call.arguments.iter().map(|argument| input[*argument]).collect();
    let arguments = if arguments.is_empty() { "*".into() } else { arguments.join(", ") };
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    let filter = call.filter.map(|filter| format!(" FILTER {}", input[filter])).unwrap_or_default();
    let nulls = if call.ignore_nulls { " IGNORE NULLS" } else { "" };
    format!("{}({distinct}{arguments}){nulls}{filter}", call.function.to_uppercase())
}

fn show_window(window: &Window, time: &str) -> String {
    let offset = if window.offset_ms == 0 { String::new() } else { format!(", offset=[{}]", duration(window.offset_ms)) };
    let zone = window.zone.as_ref().map(|zone| format!(", zone=[{zone}]")).unwrap_or_default();
    let shape = match window.shape {
        WindowShape::Tumble { size_ms } => format!("TUMBLE(time_col=[{time}], size=[{}]", duration(size_ms)),
        WindowShape::Hop { size_ms, slide_ms } => {
            format!("HOP(time_col=[{time}], size=[{}], slide=[{}]", duration(size_ms), duration(slide_ms))
        }
        WindowShape::Cumulate { size_ms, step_ms } => {
            format!("CUMULATE(time_col=[{time}], max_size=[{}], step=[{}]", duration(size_ms), duration(step_ms))
        }
    };
    format!("{shape}{offset}{zone})")
}

/// A duration as Flink's plans show it.
fn duration(millis: i64) -> String {
    for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)] {
        if millis != 0 && millis % length == 0 {
            return format!("{} {unit}", millis / length);
        }
    }
    format!("{millis} ms")
}
