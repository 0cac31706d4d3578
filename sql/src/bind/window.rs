//! Binds the windowing table functions TUMBLE, HOP and CUMULATE.

use std::rc::Rc;

use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned};
use sqlparser::tokenizer::Location;
use weir_protocol::job_graph::DataType;

use super::interval::{self, Length};
use super::relation::argument_name;
use super::{Binder, unsupported};
use crate::dialect::marker;
use crate::expression::ExprKind;
use crate::script::SqlError;
use crate::stream::{Column, Node, NodeKind, Window, WindowColumns, WindowOutput, WindowShape};

/// A table function with its parameters after DATA and TIMECOL, in order. The last may be omitted.
const FUNCTIONS: [(&str, &[&str]); 3] =
    [("TUMBLE", &["SIZE", "OFFSET"]), ("HOP", &["SLIDE", "SIZE", "OFFSET"]), ("CUMULATE", &["STEP", "SIZE", "OFFSET"])];

impl Binder<'_> {
    /// A call of a table function. Errors: `SQL-TYPE` for wrong arguments, `SQL-UNSUPPORTED` for other functions.
    pub(super) fn table_function(&self, name: &[String], args: &[FunctionArg], at: Location) -> Result<Rc<Node>, SqlError> {
        let shown = name.join(".").to_uppercase();
        let Some((_, lengths)) = FUNCTIONS.into_iter().find(|(function, _)| *function == shown) else {
            return Err(SqlError::unsupported(format!("the table function {shown}"))
                .at(at)
                .hint("there are TUMBLE, HOP and CUMULATE"));
        };
        let parameters: Vec<_> = ["DATA", "TIMECOL"].iter().chain(lengths).copied().collect();
        let values = by_parameter(&shown, &parameters, args, at)?;
        let [Some(data), Some(time_column), rest @ ..] = values.as_slice() else {
            return Err(wrong_call(&shown, &parameters, at));
        };
        let input = self.table_argument(data)?;
        if input.is_updating {
            return unsupported("a window over rows that change", data.span().start);
        }
        let time = time_attribute(&input, time_column)?;
        let [sizes @ .., offset] = rest else { return Err(wrong_call(&shown, &parameters, at)) };
        let offset = offset.map(length).transpose()?;
        let mut rest = sizes.iter().map(|value| value.map(positive_length).transpose()).collect::<Result<Vec<_>, _>>()?;
        rest.push(offset);
        let (shape, offset_ms) = match (shown.as_str(), rest.as_slice()) {
            ("TUMBLE", [Some(size_ms), offset]) => (WindowShape::Tumble { size_ms: *size_ms }, offset),
            ("HOP", [Some(slide_ms), Some(size_ms), offset]) => {
                (WindowShape::Hop { size_ms: *size_ms, slide_ms: *slide_ms }, offset)
            }
            ("CUMULATE", [Some(step_ms), Some(size_ms), offset]) => {
                (WindowShape::Cumulate { size_ms: *size_ms, step_ms: *step_ms }, offset)
            }
            _ => return Err(wrong_call(&shown, &parameters, at)),
        };
        if let WindowShape::Hop { size_ms, slide_ms: part } | WindowShape::Cumulate { size_ms, step_ms: part } = shape
            && size_ms % part != 0
        {
            let message = format!("{shown}: the size of a window must be a multiple of its {}", lengths[0].to_lowercase());
            return Err(SqlError::new("SQL-TYPE", message).at(at));
        }
        let zone = match input.columns[time].data_type {
            DataType::TimestampLtz(_) if self.environment.zone != "UTC" => Some(self.environment.zone.to_owned()),
            _ => None,
        };
        let window = Window { shape, offset_ms: offset_ms.unwrap_or(0), zone };
        Ok(assign(input, window, time))
    }

    /// `TABLE name` or `TABLE (query)`.
    fn table_argument(&self, argument: &Expr) -> Result<Rc<Node>, SqlError> {
        let at = argument.span().start;
        let Expr::Function(function) = argument else {
            return match argument {
                Expr::Subquery(query) => self.query(query),
                _ => Err(SqlError::new("SQL-TYPE", "the first argument of a window function is TABLE and a name").at(at)),
            };
        };
        if function.name.to_string() != marker::TABLE {
            return Err(SqlError::new("SQL-TYPE", "the first argument of a window function is TABLE and a name").at(at));
        }
        match &function.args {
            FunctionArguments::Subquery(query) => self.query(query),
            FunctionArguments::List(list) => match list.args.as_slice() {
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(name))] => match argument_name(name) {
                    Some(name) => self.named(&name, &[], at),
                    None => unsupported("this table as an argument", at),
                },
                _ => unsupported("PARTITION BY in the argument of a window function", at),
            },
            FunctionArguments::None => unsupported("this table as an argument", at),
        }
    }
}

fn wrong_call(name: &str, parameters: &[&str], at: Location) -> SqlError {
    let lengths: Vec<_> = parameters[2..parameters.len() - 1].iter().map(|parameter| parameter.to_lowercase()).collect();
    let syntax = format!("{name}(TABLE table, DESCRIPTOR(time column), {}[, offset])", lengths.join(", "));
    SqlError::new("SQL-TYPE", format!("{name}: wrong arguments")).at(at).hint(syntax)
}

/// The value of each parameter, given by position or by name.
fn by_parameter<'e>(
    name: &str,
    parameters: &[&str],
    args: &'e [FunctionArg],
    at: Location,
) -> Result<Vec<Option<&'e Expr>>, SqlError> {
    let mut values = vec![None; parameters.len()];
    for (position, arg) in args.iter().enumerate() {
        let (parameter, value) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => (Some(position), expr),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                (parameters.iter().position(|known| known.eq_ignore_ascii_case(&name.value)), expr)
            }
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(expr), .. } => {
                (parameters.iter().position(|known| known.eq_ignore_ascii_case(&name.value)), expr)
            }
            _ => return Err(wrong_call(name, parameters, at)),
        };
        match parameter.and_then(|parameter| values.get_mut(parameter)) {
            Some(place) if place.is_none() => *place = Some(value),
            _ => return Err(wrong_call(name, parameters, at)),
        }
    }
    Ok(values)
}

/// The position of the column in `DESCRIPTOR(column)`. It must be event time.
fn time_attribute(input: &Node, descriptor: &Expr) -> Result<usize, SqlError> {
    let at = descriptor.span().start;
    let wrong = || SqlError::new("SQL-TYPE", "a window function needs DESCRIPTOR and the name of one time column").at(at);
    let Expr::Function(function) = descriptor else { return Err(wrong()) };
    let FunctionArguments::List(list) = &function.args else { return Err(wrong()) };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(name)))] = list.args.as_slice() else { return Err(wrong()) };
    if !function.name.to_string().eq_ignore_ascii_case("DESCRIPTOR") {
        return Err(wrong());
    }
    let scope = super::scope::Scope::of(input, Vec::new());
    let column = scope.name(name)?.as_column().unwrap_or_default();
    if is_processing_time(input, column) {
        return unsupported("a window over processing time (PROCTIME())", name.span.start);
    }
    if !input.columns[column].is_rowtime {
        let message = format!(
            "the window function needs a time attribute, but {:?} is an ordinary {}",
            name.value, input.columns[column].data_type
        );
        let hint =
            "declare it in CREATE TABLE by WATERMARK FOR; functions, casts and UNION ALL with other columns end a time attribute";
        return Err(SqlError::new("SQL-TIME", message).at(name.span.start).hint(hint));
    }
    Ok(column)
}

/// Whether a column is PROCTIME(), as a table or a view declares it.
fn is_processing_time(node: &Node, column: usize) -> bool {
    match &node.kind {
        NodeKind::Watermark { .. } => is_processing_time(node.input(), column),
        NodeKind::Calc { outputs, .. } => match &outputs[column].kind {
            ExprKind::Call { function, .. } => function.0.name == "proctime",
            ExprKind::Column(column) => is_processing_time(node.input(), *column),
            _ => false,
        },
        _ => false,
    }
}

fn positive_length(value: &Expr) -> Result<i64, SqlError> {
    match length(value)? {
        millis if millis > 0 => Ok(millis),
        millis => Err(SqlError::new("SQL-TYPE", format!("a length of {millis} ms is not positive")).at(value.span().start)),
    }
}

fn length(value: &Expr) -> Result<i64, SqlError> {
    let at = value.span().start;
    match interval::length(value).map_err(|error| error.at(at))? {
        Some(Length::Millis(millis)) => Ok(millis),
        Some(Length::Months(_)) => Err(SqlError::new("SQL-TYPE", "the length of a window can't be in months or years").at(at)),
        None => Err(SqlError::new("SQL-TYPE", "the length of a window is an INTERVAL such as INTERVAL '10' MINUTE").at(at)),
    }
}

/// The rows with their windows.
fn assign(input: Rc<Node>, window: Window, time: usize) -> Rc<Node> {
    let mut columns = input.columns.clone();
    let first = columns.len();
    for output in [WindowOutput::Start, WindowOutput::End, WindowOutput::Time] {
        let is_time = output == WindowOutput::Time;
        columns.push(Column {
            name: crate::stream::free_name(output.name(), &columns),
            data_type: if is_time { input.columns[time].data_type.clone() } else { DataType::TIMESTAMP_MS },
            nullable: false,
            is_rowtime: is_time,
        });
    }
    let is_zoned = matches!(input.columns[time].data_type, DataType::TimestampLtz(_));
    let positions = WindowColumns { start: Some(first), end: Some(first + 1), time: Some(first + 2), is_zoned };
    let kind = NodeKind::WindowAssign { window, time };
    Rc::new(Node { kind, inputs: vec![input], columns, window: Some(positions), is_updating: false })
}
