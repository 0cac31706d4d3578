//! Binds aggregates, and SELECTs that group.

use std::rc::Rc;

use sqlparser::ast::{DuplicateTreatment, Function, FunctionArg, FunctionArgExpr, FunctionArguments, NullTreatment};
use sqlparser::tokenizer::Location;
use weir_dataflow::aggregates;
use weir_protocol::job_graph::DataType;

use super::call::operands;
use super::expression::Expressions;
use super::grouping::Groups;
use super::unsupported;
use crate::expression::{ExprKind, Typed};
use crate::script::SqlError;
use crate::stream::{
    AggregateCall, Column, GroupingSet, Node, NodeKind, WindowColumns, WindowOutput, WindowSource, calc, expand,
};

/// An aggregate over the rows of a group. Its parts are expressions over the input.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Aggregate {
    function: String,
    arguments: Vec<Typed>,
    distinct: bool,
    delimiter: Option<String>,
    ignore_nulls: bool,
    filter: Option<Typed>,
    data_type: DataType,
    nullable: bool,
}

/// What a SELECT computes of its groups.
#[derive(Debug)]
pub(super) struct Aggregates {
    /// The distinct aggregates, in the order of first use.
    pub(super) calls: Vec<Aggregate>,
    pub(super) groups: Groups,
}

/// Whether a function of this name in lower case is an aggregate.
pub(super) fn is_aggregate(name: &str) -> bool {
    aggregates::all().any(|aggregate| aggregate.name == name || aggregate.aliases.contains(&name))
}

/// The names of all aggregates.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    aggregates::all().map(|aggregate| aggregate.name)
}

impl Expressions<'_> {
    /// A call of an aggregate: the place of its result. Error: `SQL-GROUP` where no aggregate may stand.
    pub(super) fn aggregate(&mut self, name: &str, function: &Function, at: Location) -> Result<Typed, SqlError> {
        let shown = name.to_uppercase();
        if !function.within_group.is_empty() {
            return unsupported(&format!("WITHIN GROUP at {shown}"), at);
        }
        if function.null_treatment.is_some() && name != "array_agg" {
            return unsupported(&format!("IGNORE NULLS or RESPECT NULLS at {shown}"), at);
        }
        let Some(aggregates) = self.aggregates.take() else {
            let message = format!("{shown} is an aggregate, which {} can't contain", self.clause);
            return Err(SqlError::new("SQL-GROUP", message).at(at));
        };
        // Without a collector, an aggregate inside of an aggregate is refused.
        let clause = std::mem::replace(&mut self.clause, "another aggregate");
        let bound = self.aggregate_parts(name, function, at);
        self.clause = clause;
        let place = bound.map(|aggregate| aggregates.place(aggregate));
        self.aggregates = Some(aggregates);
        place
    }

    fn aggregate_parts(&mut self, name: &str, function: &Function, at: Location) -> Result<Aggregate, SqlError> {
        let (distinct, counts_rows) = match &function.args {
            FunctionArguments::List(list) => (
                list.duplicate_treatment == Some(DuplicateTreatment::Distinct),
                matches!(list.args.as_slice(), [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]),
            ),
            _ => (false, false),
        };
        let arguments = match counts_rows {
            true if name == "count" && !distinct => Vec::new(),
            true => return Err(SqlError::new("SQL-TYPE", format!("{}(*) does not exist", name.to_uppercase())).at(at)),
            false => operands(function, at)?.into_iter().map(|operand| self.bind(operand)).collect::<Result<Vec<_>, _>>()?,
        };
        let null_treatment = function.null_treatment;
        let filter = function.filter.as_ref().map(|filter| self.condition(filter)).transpose()?;
        let types: Vec<_> = arguments.iter().map(|argument| argument.data_type.clone()).collect();
        let resolved = aggregates::resolve(name, &types, distinct).map_err(|what| SqlError::new("SQL-TYPE", what).at(at))?;
        let nullable = resolved.nullable(arguments.iter().any(|argument| argument.nullable), filter.is_some());
        let (function, data_type) = (resolved.function.to_owned(), resolved.result);
        let mut arguments = arguments
            .into_iter()
            .zip(&resolved.arguments)
            .map(|(argument, to)| self.coerce(argument, to))
            .collect::<Result<Vec<_>, _>>()?;
        let delimiter = match arguments.len() {
            0 | 1 => None,
            _ => match arguments.pop().map(|argument| argument.kind) {
                Some(ExprKind::Literal(Some(text))) => Some(text),
                _ => return Err(SqlError::new("SQL-TYPE", "the delimiter of LISTAGG is a constant text").at(at)),
            },
        };
        let ignore_nulls = null_treatment == Some(NullTreatment::IgnoreNulls);
        Ok(Aggregate { function, arguments, distinct, delimiter, ignore_nulls, filter, data_type, nullable })
    }
}

impl Aggregates {
    fn place(&mut self, aggregate: Aggregate) -> Typed {
        let (data_type, nullable) = (aggregate.data_type.clone(), aggregate.nullable);
        let index = self.calls.iter().position(|known| *known == aggregate).unwrap_or_else(|| {
            self.calls.push(aggregate);
            self.calls.len() - 1
        });
        Typed { kind: ExprKind::Aggregate(index), data_type, nullable }
    }

    /// Whether the SELECT has neither GROUP BY nor an aggregate.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.groups.is_empty()
    }
}

/// A SELECT with groups. All expressions are over the input.
pub(super) struct Grouping {
    pub(super) aggregates: Aggregates,
    pub(super) filter: Option<Typed>,
    pub(super) having: Option<Typed>,
    pub(super) outputs: Vec<(String, Typed)>,
}

/// The aggregation of `input` and the columns computed from it. It is one per window if both window columns are grouped. Errors:
/// `SQL-GROUP` for a column that is neither grouped nor aggregated, `SQL-UNSUPPORTED` for windows over rows that change.
pub(super) fn group(input: Rc<Node>, grouping: Grouping, zone: &str, at: Location) -> Result<Rc<Node>, SqlError> {
    let Grouping { aggregates, filter, having, outputs } = grouping;
    let groups = &aggregates.groups;
    let role = |position: usize| {
        if groups.is_missing_somewhere(position) { None } else { window_role(&input, &groups.expressions[position]) }
    };
    let mut roles: Vec<_> = (0..groups.expressions.len()).map(role).collect();
    if !(roles.contains(&Some(WindowOutput::Start)) && roles.contains(&Some(WindowOutput::End))) {
        // A window column alone is a key like any other.
        roles.fill(None);
    } else if input.is_updating {
        return unsupported("a window over rows that change", at);
    }
    let windowed = roles.iter().any(Option::is_some);
    // The expressions of GROUP BY that are keys of the aggregation.
    let keys: Vec<_> = (0..roles.len()).filter(|position| roles[*position].is_none()).collect();
    // The operator emits them in this order, whatever the order in GROUP BY.
    let mut window_outputs = vec![WindowOutput::Start, WindowOutput::End, WindowOutput::Time];
    window_outputs.retain(|output| roles.contains(&Some(*output)));
    let aggregated = if windowed {
        let (node, calls, source) = window_input(&input, &keys, &aggregates, filter, zone);
        let (node, keys) = expanded(node, groups, &keys);
        window_aggregate(node, &input, &keys, calls, source, &window_outputs)
    } else {
        let (columns, calls) = aggregation_input(&input, &keys, &aggregates);
        let (node, keys) = expanded(calc(input.clone(), filter, columns), groups, &keys);
        group_aggregate(node, &keys, calls)
    };

    // Above the aggregation, a grouped expression is a column, and so is an aggregate. The set comes behind the keys.
    let results = keys.len() + usize::from(groups.has_sets());
    let set_ids: Vec<_> = groups.ids(&keys).into_iter().map(|(id, _)| id).collect();
    let place = |part: &Typed| {
        match &part.kind {
            ExprKind::Aggregate(index) => return Some(aggregated.column(results + index)),
            ExprKind::Call { function, args } if function.0.name == "in" && args[0].kind == ExprKind::GroupingSet => {
                return Some(in_sets(part, aggregated.column(keys.len()), &set_ids));
            }
            _ => {}
        }
        let group = groups.position(part)?;
        let position = match roles[group] {
            None => keys.iter().position(|key| *key == group)?,
            Some(role) => results + aggregates.calls.len() + window_outputs.iter().position(|output| *output == role)?,
        };
        Some(aggregated.column(position))
    };
    let above = |expression: &Typed| {
        let mut loose = None;
        let placed = expression.rewrite(&mut |part| {
            let placed = place(part);
            if placed.is_none() {
                loose = loose.or(part.as_column());
            }
            placed
        });
        match loose {
            None => Ok(placed),
            Some(column) => {
                let name = &input.columns[column].name;
                let message = format!("column {name:?} is neither in GROUP BY nor in an aggregate");
                Err(SqlError::new("SQL-GROUP", message).at(at))
            }
        }
    };
    let having = having.as_ref().map(above).transpose()?;
    let outputs = outputs.iter().map(|(name, output)| Ok((name.clone(), above(output)?))).collect::<Result<_, SqlError>>()?;
    Ok(calc(aggregated, having, outputs))
}

/// Which window column a grouped expression is, if it is one.
fn window_role(input: &Node, group: &Typed) -> Option<WindowOutput> {
    let column = Some(group.as_column()?);
    let window = input.window?;
    [(window.start, WindowOutput::Start), (window.end, WindowOutput::End), (window.time, WindowOutput::Time)]
        .into_iter()
        .find(|(position, _)| *position == column)
        .map(|(_, output)| output)
}

/// The columns that are aggregated, keys first, then arguments and filters, and the calls over them.
fn aggregation_input(input: &Node, keys: &[usize], aggregates: &Aggregates) -> (Vec<(String, Typed)>, Vec<AggregateCall>) {
    let mut columns: Vec<(String, Typed)> = Vec::new();
    for key in keys.iter().map(|key| &aggregates.groups.expressions[*key]) {
        let name = key.as_column().map_or_else(|| format!("$f{}", columns.len()), |index| input.columns[index].name.clone());
        columns.push((name, key.clone()));
    }
    // Sets make keys NULL, but not what is aggregated.
    let shared_from = if aggregates.groups.has_sets() { columns.len() } else { 0 };
    let mut argument = |expression: &Typed| {
        let known = columns.iter().skip(shared_from).position(|(_, known)| known == expression);
        known.map(|known| known + shared_from).unwrap_or_else(|| {
            let name =
                expression.as_column().map_or_else(|| format!("$f{}", columns.len()), |index| input.columns[index].name.clone());
            columns.push((name, expression.clone()));
            columns.len() - 1
        })
    };
    let calls: Vec<_> = aggregates
        .calls
        .iter()
        .map(|aggregate| AggregateCall {
            function: aggregate.function.clone(),
            arguments: aggregate.arguments.iter().map(&mut argument).collect(),
            distinct: aggregate.distinct,
            delimiter: aggregate.delimiter.clone(),
            ignore_nulls: aggregate.ignore_nulls,
            filter: aggregate.filter.as_ref().map(&mut argument),
            data_type: aggregate.data_type.clone(),
            nullable: aggregate.nullable,
        })
        .collect();
    if columns.is_empty() {
        // COUNT(*) alone reads no column, but rows need one to travel.
        columns.push(("$f0".into(), Typed::literal("true", DataType::Boolean)));
    }
    (columns, calls)
}

/// The rows that are aggregated, with what places a row in its window as last columns. If the rows come straight from a window
/// function, the aggregate assigns the windows itself.
fn window_input(
    input: &Rc<Node>,
    keys: &[usize],
    aggregates: &Aggregates,
    filter: Option<Typed>,
    zone: &str,
) -> (Rc<Node>, Vec<AggregateCall>, WindowSource) {
    let (mut columns, calls) = aggregation_input(input, keys, aggregates);
    if let Some((below, window, time, below_filter, computed)) = assigned_below(input) {
        let windowed = below.columns.len();
        let over_below = |expression: &Typed| expression.inlined(&computed);
        let names_window = |expression: &Typed| {
            let mut found = false;
            expression.visit_columns(&mut |column| found |= column >= windowed);
            found
        };
        let inlined: Vec<_> = columns.iter().map(|(name, expression)| (name.clone(), over_below(expression))).collect();
        let filter = crate::expression::both(below_filter, filter.as_ref().map(over_below));
        if !inlined.iter().map(|(_, expression)| expression).chain(&filter).any(names_window) {
            let mut inlined = inlined;
            let position = inlined.len();
            inlined.push((below.columns[time].name.clone(), below.column(time)));
            return (calc(below, filter, inlined), calls, WindowSource::Time { window, time: position });
        }
    }
    // The caller has checked that the rows have both columns.
    let window = input.window.unwrap_or_default();
    let (start, end) = (window.start.unwrap_or_default(), window.end.unwrap_or_default());
    let position = columns.len();
    columns.push(("window_start".into(), input.column(start)));
    columns.push(("window_end".into(), input.column(end)));
    let zone = window.is_zoned.then(|| zone.to_owned());
    let source = WindowSource::Attached { start: position, end: position + 1, zone };
    (calc(input.clone(), filter, columns), calls, source)
}

type Assigned = (Rc<Node>, crate::stream::Window, usize, Option<Typed>, Vec<Typed>);

/// If `input` is a window function or a calc over one: what is below it, the window, the position of its event time, and the
/// filter and columns of the calc over the window function's columns.
fn assigned_below(input: &Rc<Node>) -> Option<Assigned> {
    let (filter, outputs, assign) = match &input.kind {
        NodeKind::Calc { filter, outputs } => (filter.clone(), outputs.clone(), input.input()),
        _ => (None, input.all_columns(), input),
    };
    match &assign.kind {
        NodeKind::WindowAssign { window, time } => Some((assign.input().clone(), window.clone(), *time, filter, outputs)),
        _ => None,
    }
}

/// The keys and the results of aggregates, as columns of an aggregation.
fn result_columns(node: &Node, keys: &[usize], calls: &[AggregateCall]) -> Vec<Column> {
    let keys = keys.iter().map(|key| Column { is_rowtime: false, ..node.columns[*key].clone() });
    let results = calls.iter().enumerate().map(|(index, call)| Column {
        name: format!("$agg{index}"),
        data_type: call.data_type.clone(),
        nullable: call.nullable,
        is_rowtime: false,
    });
    keys.chain(results).collect()
}

/// The rows that are aggregated, once for each set if there are several, and the positions of the keys in them.
fn expanded(node: Rc<Node>, groups: &Groups, keys: &[usize]) -> (Rc<Node>, Vec<usize>) {
    let mut positions: Vec<_> = (0..keys.len()).collect();
    if !groups.has_sets() {
        return (node, positions);
    }
    positions.push(node.columns.len());
    let sets = groups.ids(keys).into_iter().map(|(id, nulls)| GroupingSet { id, nulls }).collect();
    (expand(node, sets), positions)
}

/// The condition that the row is of one of these sets, which are numbered in the condition and have ids in the rows.
fn in_sets(condition: &Typed, id: Typed, ids: &[i64]) -> Typed {
    condition.rewrite(&mut |part| match &part.kind {
        ExprKind::GroupingSet => Some(id.clone()),
        ExprKind::Literal(Some(number)) => {
            let set = number.parse().ok().and_then(|number: usize| ids.get(number))?;
            Some(Typed::literal(set.to_string(), DataType::Bigint))
        }
        _ => None,
    })
}

fn group_aggregate(node: Rc<Node>, keys: &[usize], calls: Vec<AggregateCall>) -> Rc<Node> {
    let columns = result_columns(&node, keys, &calls);
    // Groups without aggregates never change: a group's first row is its only result, until a change takes its last row away.
    let is_updating = !calls.is_empty() || node.is_updating;
    let kind = NodeKind::GroupAggregate { keys: keys.to_vec(), aggregates: calls };
    Rc::new(Node { kind, inputs: vec![node], columns, window: None, is_updating })
}

fn window_aggregate(
    node: Rc<Node>,
    input: &Node,
    keys: &[usize],
    calls: Vec<AggregateCall>,
    source: WindowSource,
    outputs: &[WindowOutput],
) -> Rc<Node> {
    let mut columns = result_columns(&node, keys, &calls);
    let first_window = columns.len();
    let time_column = input.window.and_then(|window| window.time);
    columns.extend(outputs.iter().map(|output| Column {
        name: format!("${}", output.name()),
        data_type: match (output, time_column) {
            (WindowOutput::Time, Some(time)) => input.columns[time].data_type.clone(),
            _ => DataType::TIMESTAMP_MS,
        },
        nullable: false,
        is_rowtime: *output == WindowOutput::Time,
    }));
    let position = |wanted| outputs.iter().position(|output| *output == wanted).map(|index| first_window + index);
    let window = WindowColumns {
        start: position(WindowOutput::Start),
        end: position(WindowOutput::End),
        time: position(WindowOutput::Time),
        is_zoned: input.window.is_some_and(|window| window.is_zoned),
    };
    let kind = NodeKind::WindowAggregate { window: source, keys: keys.to_vec(), aggregates: calls, outputs: outputs.to_vec() };
    Rc::new(Node { kind, inputs: vec![node], columns, window: Some(window), is_updating: false })
}
