//! Checks a program against the columns of its input, prepares its kernels, and computes its constant parts.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType as ArrowType, Field, Schema, SchemaRef};
use weir_protocol::job_graph::DataType;
use weir_protocol::job_graph::catalog::closest;
use weir_protocol::job_graph::program::{ExprNode, ExprProgram};

use super::evaluate::Evaluator;
use super::scope::Scope;
use super::{Node, Output, Program, Shape};
use crate::functions::{self, Argument, Clock, Kernel, cast};
use crate::operator::OperatorError;
use crate::schema::{arrow_type, column_type};
use crate::time_zone::Zone;

/// Deepest nesting of operands that only some rows need. Each level is a recursion of the evaluator.
const MAX_DEPTH: usize = 100;

/// Functions that never fail and cost little, if their operands do.
const HARMLESS: &[&str] = &[
    "add@1",
    "subtract@1",
    "multiply@1",
    "negate@1",
    "eq@1",
    "ne@1",
    "lt@1",
    "le@1",
    "gt@1",
    "ge@1",
    "is_distinct@1",
    "is_not_distinct@1",
    "in@1",
    "not@1",
    "is_null@1",
    "is_not_null@1",
    "is_true@1",
    "is_not_true@1",
    "is_false@1",
    "is_not_false@1",
    "is_unknown@1",
    "is_not_unknown@1",
];

/// Constants are computed before the time is known, at this time too. Years of two digits then lie in another century.
const ANOTHER_CENTURY_MS: u64 = 100 * 366 * 86_400_000;

fn shape_error(message: impl Into<String>) -> OperatorError {
    OperatorError::fatal("PROGRAM-SHAPE", message)
}

fn mistyped(position: usize, message: impl std::fmt::Display) -> OperatorError {
    OperatorError::fatal("PROGRAM-TYPE", format!("node {position}: {message}"))
}

/// What is known of a node while compiling.
struct Known {
    data_type: DataType,
    nullable: bool,
    /// The text of a constant, if its type has one; `Some(None)` is NULL.
    constant: Option<Option<String>>,
    depth: usize,
}

/// A node that may have a kernel, and whether its value can be NULL.
type Prepared = (Shape, Option<Box<dyn Kernel>>, bool);

struct Compiler<'a> {
    input: &'a Schema,
    known: Vec<Option<Known>>,
    nodes: Vec<Node>,
    kernels: Vec<Option<Box<dyn Kernel>>>,
}

pub(super) fn compile(program: &ExprProgram, input: &SchemaRef) -> Result<Program, OperatorError> {
    program.check().map_err(|what| shape_error(format!("the program has {what}")))?;
    let mut compiler = Compiler { input, known: Vec::new(), nodes: Vec::new(), kernels: Vec::new() };
    for (position, (node, used)) in program.nodes.iter().zip(used(program)).enumerate() {
        if used {
            compiler.add(position, node)?;
        } else {
            compiler.known.push(None);
            compiler.nodes.push(Node { shape: Shape::Unused, arrow: ArrowType::Null, harmless: false });
            compiler.kernels.push(None);
        }
    }
    if let Some(filter) = program.filter {
        compiler.boolean(filter as usize, filter, "the filter")?;
    }
    let mut names = BTreeSet::new();
    let mut fields = Vec::new();
    for output in &program.outputs {
        if !names.insert(&output.name) {
            return Err(OperatorError::fatal("SCHEMA-DUPLICATE", format!("two columns are named {:?}; rename one", output.name)));
        }
        let node = &compiler.nodes[output.node as usize];
        fields.push(Field::new(&output.name, node.arrow.clone(), output.nullable));
    }
    let outputs = program.outputs.iter().map(|output| Output { node: output.node, nullable: output.nullable }).collect();
    let Compiler { nodes, kernels, .. } = compiler;
    Ok(Program { nodes, kernels, filter: program.filter, outputs, input: input.clone(), schema: Arc::new(Schema::new(fields)) })
}

/// Which nodes the filter or an output needs.
fn used(program: &ExprProgram) -> Vec<bool> {
    let mut used = vec![false; program.nodes.len()];
    for node in program.filter.iter().chain(program.outputs.iter().map(|output| &output.node)) {
        used[*node as usize] = true;
    }
    for position in (0..program.nodes.len()).rev() {
        if used[position] {
            for operand in program.nodes[position].operands() {
                used[operand as usize] = true;
            }
        }
    }
    used
}

impl Compiler<'_> {
    fn of(&self, node: u32) -> Result<&Known, OperatorError> {
        self.known.get(node as usize).and_then(Option::as_ref).ok_or_else(|| shape_error(format!("there is no node {node}")))
    }

    fn add(&mut self, position: usize, node: &ExprNode) -> Result<(), OperatorError> {
        let mut kernel = None;
        let (shape, data_type, nullable, constant) = match node {
            ExprNode::Column { column, data_type } => {
                let index = *column as usize;
                let field = self.input.fields().get(index);
                let field = field.ok_or_else(|| {
                    shape_error(format!(
                        "node {position} names column {index}; the input is {}",
                        crate::schema::describe(self.input)
                    ))
                })?;
                let data_type = match data_type {
                    Some(exact) if arrow_type(exact) == *field.data_type() => exact.clone(),
                    Some(other) => return Err(mistyped(position, format!("column {:?} is no {other}", field.name()))),
                    None => column_type(field.data_type()).ok_or_else(|| mistyped(position, field.data_type()))?,
                };
                (Shape::Column(index), data_type, field.is_nullable(), None)
            }
            ExprNode::Literal { literal, data_type } => {
                let array = cast::read_literal(literal.as_deref(), data_type).map_err(|what| mistyped(position, what))?;
                (Shape::Constant(array), data_type.clone(), literal.is_none(), Some(literal.clone()))
            }
            ExprNode::Call { call, args, data_type } => {
                let (shape, prepared, nullable) = self.call(position, call, args, data_type)?;
                kernel = prepared;
                (shape, data_type.clone(), nullable, None)
            }
            ExprNode::Cast { cast: operand, data_type, or_null, zone } => {
                let (shape, prepared, nullable) = self.cast(position, *operand, data_type, *or_null, zone.as_deref())?;
                kernel = prepared;
                (shape, data_type.clone(), nullable, None)
            }
            ExprNode::Case { case, otherwise, data_type } => {
                let (shape, nullable) = self.case(position, case, *otherwise, data_type)?;
                (shape, data_type.clone(), nullable, None)
            }
            ExprNode::And { and: operands } | ExprNode::Or { or: operands } => {
                let decisive = matches!(node, ExprNode::Or { .. });
                for operand in operands {
                    self.boolean(position, *operand, "an operand of AND or OR")?;
                }
                let nullable = self.any_nullable(operands)?;
                (Shape::Connective { operands: operands.clone(), decisive }, DataType::Boolean, nullable, None)
            }
            ExprNode::Coalesce { coalesce, data_type } => {
                let (shape, nullable) = self.coalesce(position, coalesce, data_type)?;
                (shape, data_type.clone(), nullable, None)
            }
            ExprNode::Field { field, index, data_type } => {
                let (shape, nullable) = self.field(position, *field, *index, data_type)?;
                (shape, data_type.clone(), nullable, None)
            }
        };
        let depth = self.depth(&shape)?;
        if depth > MAX_DEPTH {
            return Err(shape_error(format!(
                "node {position} nests conditions more than {MAX_DEPTH} deep; split the query by views"
            )));
        }
        let harmless = self.is_harmless(node, &shape);
        self.nodes.push(Node { shape, arrow: arrow_type(&data_type), harmless });
        self.kernels.push(kernel);
        self.known.push(Some(Known { data_type, nullable, constant, depth }));
        self.fold(position);
        Ok(())
    }

    fn any_nullable(&self, operands: &[u32]) -> Result<bool, OperatorError> {
        operands.iter().try_fold(false, |any, operand| Ok(any | self.of(*operand)?.nullable))
    }

    fn boolean(&self, position: usize, node: u32, what: &str) -> Result<(), OperatorError> {
        let found = &self.of(node)?.data_type;
        if *found == DataType::Boolean { Ok(()) } else { Err(mistyped(position, format!("{what} is {found}, not BOOLEAN"))) }
    }

    fn layout(&self, position: usize, node: u32, expected: &DataType, what: &str) -> Result<(), OperatorError> {
        same_layout(position, &self.of(node)?.data_type, expected, what)
    }

    fn case(
        &self,
        position: usize,
        case: &[(u32, u32)],
        otherwise: Option<u32>,
        data_type: &DataType,
    ) -> Result<(Shape, bool), OperatorError> {
        for (condition, _) in case {
            self.boolean(position, *condition, "a condition")?;
        }
        let values: Vec<u32> = case.iter().map(|(_, value)| *value).chain(otherwise).collect();
        for value in &values {
            self.layout(position, *value, data_type, "a value of CASE")?;
        }
        let nullable = otherwise.is_none() || self.any_nullable(&values)?;
        Ok((Shape::Case { branches: case.to_vec(), otherwise }, nullable))
    }

    fn coalesce(&self, position: usize, operands: &[u32], data_type: &DataType) -> Result<(Shape, bool), OperatorError> {
        let mut nullable = true;
        for operand in operands {
            self.layout(position, *operand, data_type, "an operand of COALESCE")?;
            nullable &= self.of(*operand)?.nullable;
        }
        Ok((Shape::Coalesce(operands.to_vec()), nullable))
    }

    fn field(&self, position: usize, node: u32, index: u32, data_type: &DataType) -> Result<(Shape, bool), OperatorError> {
        let row = self.of(node)?;
        let DataType::Row(fields) = &row.data_type else {
            return Err(mistyped(position, format!("{} is no ROW", row.data_type)));
        };
        let wanted = fields.get(index as usize);
        let wanted = wanted.ok_or_else(|| mistyped(position, format!("{} has no field {index}", row.data_type)))?;
        same_layout(position, &wanted.data_type, data_type, "the field")?;
        Ok((Shape::Field { row: node, index: index as usize }, row.nullable || wanted.nullable))
    }

    fn cast(
        &self,
        position: usize,
        operand: u32,
        to: &DataType,
        or_null: bool,
        zone: Option<&str>,
    ) -> Result<Prepared, OperatorError> {
        let failed = |what: String| mistyped(position, what);
        let from = self.of(operand)?;
        let loses = cast::explicit(&from.data_type, to).map_err(failed)?;
        let zone = zone.map_or(Ok(Zone::UTC), Zone::parse).map_err(failed)?;
        let nullable = from.nullable || loses || or_null;
        if cast::is_identity(&from.data_type, to) {
            return Ok((Shape::Same(operand), None, nullable));
        }
        let kernel = cast::prepare(&from.data_type, to, cast::Options { or_null, zone }).map_err(failed)?;
        Ok((Shape::Call { operands: vec![operand], deterministic: true }, Some(kernel), nullable))
    }

    fn call(&self, position: usize, name: &str, operands: &[u32], data_type: &DataType) -> Result<Prepared, OperatorError> {
        let function = functions::by_call_name(name).ok_or_else(|| unknown_function(name))?;
        let operand = |node: &u32| {
            let known = self.of(*node)?;
            let constant = known.constant.as_ref().map(Option::as_deref);
            Ok(Argument { data_type: &known.data_type, nullable: known.nullable, constant })
        };
        let arguments = operands.iter().map(operand).collect::<Result<Vec<_>, OperatorError>>()?;
        let failed = |what: String| mistyped(position, format!("{} {what}", function.name));
        let resolved = (function.resolve)(&arguments).map_err(failed)?;
        if resolved.arguments.len() != operands.len() {
            return Err(mistyped(position, format!("{} takes {} arguments", function.name, resolved.arguments.len())));
        }
        for (operand, expected) in operands.iter().zip(&resolved.arguments) {
            self.layout(position, *operand, expected, "an argument")?;
        }
        same_layout(position, &resolved.result, data_type, "the result")?;
        match (name, operands) {
            ("if@1", [condition, yes, no]) => {
                let shape = Shape::Case { branches: vec![(*condition, *yes)], otherwise: Some(*no) };
                Ok((shape, None, resolved.nullable))
            }
            ("ifnull@1", operands) => Ok((Shape::Coalesce(operands.to_vec()), None, resolved.nullable)),
            _ => {
                let kernel = (function.kernel)(&arguments, data_type).map_err(failed)?;
                let shape = Shape::Call { operands: operands.to_vec(), deterministic: function.deterministic };
                Ok((shape, Some(kernel), resolved.nullable))
            }
        }
    }

    /// How deep evaluating the node recurses: operands that all rows need cost no depth.
    fn depth(&self, shape: &Shape) -> Result<usize, OperatorError> {
        let of = |node: &u32| self.of(*node).map(|known| known.depth);
        let deepest = |mut nodes: &mut dyn Iterator<Item = &u32>, more: usize| {
            let nodes = &mut nodes;
            nodes.try_fold(0, |deepest: usize, node| Ok::<_, OperatorError>(deepest.max(of(node)? + more)))
        };
        match shape {
            Shape::Unused | Shape::Column(_) | Shape::Constant(_) => Ok(0),
            Shape::Same(node) | Shape::Field { row: node, .. } => of(node),
            Shape::Call { operands, .. } => deepest(&mut operands.iter(), 0),
            Shape::Connective { operands, .. } | Shape::Coalesce(operands) => {
                Ok(of(&operands[0])?.max(deepest(&mut operands[1..].iter(), 1)?))
            }
            Shape::Case { branches, otherwise } => {
                let guarded = branches
                    .iter()
                    .enumerate()
                    .flat_map(|(i, (condition, value))| [(i > 0).then_some(condition), Some(value)].into_iter().flatten());
                Ok(of(&branches[0].0)?.max(deepest(&mut guarded.chain(otherwise.iter()), 1)?))
            }
        }
    }

    fn is_harmless(&self, node: &ExprNode, shape: &Shape) -> bool {
        let operands = match (node, shape) {
            (ExprNode::Call { call, .. }, Shape::Call { .. }) if !HARMLESS.contains(&call.as_str()) => return false,
            (ExprNode::Cast { .. }, Shape::Call { .. }) => return false,
            // Each of these has work of its own.
            (_, Shape::Case { .. } | Shape::Coalesce(_)) => return false,
            _ => node.operands(),
        };
        operands.iter().all(|operand| self.nodes[*operand as usize].harmless)
    }

    /// Replaces a node by its value if its operands are constants. A failure stays, because the node may stand behind a condition.
    fn fold(&mut self, position: usize) {
        let is_constant = |node: &u32| matches!(self.nodes[*node as usize].shape, Shape::Constant(_));
        let foldable = match &self.nodes[position].shape {
            Shape::Unused | Shape::Column(_) | Shape::Constant(_) => false,
            Shape::Same(node) | Shape::Field { row: node, .. } => is_constant(node),
            Shape::Call { operands, deterministic } => *deterministic && operands.iter().all(is_constant),
            Shape::Connective { operands, .. } | Shape::Coalesce(operands) => operands.iter().all(is_constant),
            Shape::Case { branches, otherwise } => {
                branches.iter().all(|(condition, value)| is_constant(condition) && is_constant(value))
                    && otherwise.iter().all(is_constant)
            }
        };
        if !foldable {
            return;
        }
        let Some(array) = self.constant_value(position as u32) else { return };
        if let Some(known) = self.known.get_mut(position).and_then(Option::as_mut) {
            known.constant = cast::write_literal(&array, &known.data_type).ok();
            known.nullable = arrow_array::Array::is_null(&array, 0);
        }
        self.nodes[position].shape = Shape::Constant(array);
        self.nodes[position].harmless = true;
        self.kernels[position] = None;
    }

    /// The value of a node without columns; `None` if it fails, or if it depends on the time at which it is computed.
    fn constant_value(&mut self, node: u32) -> Option<ArrayRef> {
        let clocks = [0, ANOTHER_CENTURY_MS].map(|now_ms| Clock { now_ms, ..Clock::default() });
        let [one, other] = clocks.map(|clock| self.value_at(clock, node));
        one.filter(|one| other.is_some_and(|other| one == &other))
    }

    fn value_at(&mut self, clock: Clock, node: u32) -> Option<ArrayRef> {
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).ok()?;
        let mut evaluator = Evaluator::new(&self.nodes, &mut self.kernels, clock);
        evaluator.value(&mut Scope::of_batch(&row), node).ok().map(|value| value.array().clone())
    }
}

/// Checks that values of two types are held alike. Lengths of texts and digits of times may differ, since a column of the input has
/// lost them.
fn same_layout(position: usize, found: &DataType, expected: &DataType, what: &str) -> Result<(), OperatorError> {
    if found == expected || arrow_type(found) == arrow_type(expected) {
        return Ok(());
    }
    Err(mistyped(position, format!("{what} is {found}, not {expected}")))
}

fn unknown_function(name: &str) -> OperatorError {
    let names: Vec<String> = functions::all().map(functions::Function::call_name).collect();
    let shown: String = name.chars().take(64).collect();
    let hint =
        closest(name, names.iter().map(String::as_str)).map(|known| format!("; did you mean {known}?")).unwrap_or_default();
    OperatorError::fatal("PROGRAM-FUNCTION", format!("this build has no function {shown:?}{hint}"))
}
