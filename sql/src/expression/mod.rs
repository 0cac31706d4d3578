//! Typed expressions: names are resolved, and every operand has the type that its function takes.

mod program;
mod show;

use weir_dataflow::functions::Function;
use weir_protocol::job_graph::DataType;

pub use program::program;

/// An expression over the columns of one input.
#[derive(Debug, Clone, PartialEq)]
pub struct Typed {
    pub kind: ExprKind,
    pub data_type: DataType,
    pub nullable: bool,
}

/// What an expression computes.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A column of the input, by position.
    Column(usize),
    /// A result of the aggregation that the expression stands above, by position. It exists only while a SELECT is bound.
    Aggregate(usize),
    /// The number of the grouping set of the row, from 0. It exists only while a SELECT is bound.
    GroupingSet,
    /// A constant, as a literal of a program has it; `None` is NULL.
    Literal(Option<String>),
    /// NULL of no type yet. Its context gives it one.
    UntypedNull,
    Call {
        function: FunctionRef,
        args: Vec<Typed>,
    },
    Cast {
        value: Box<Typed>,
        or_null: bool,
        zone: Option<String>,
    },
    Case {
        branches: Vec<(Typed, Typed)>,
        otherwise: Option<Box<Typed>>,
    },
    And(Vec<Typed>),
    Or(Vec<Typed>),
    Coalesce(Vec<Typed>),
    /// A field of a ROW value, by position.
    Field {
        value: Box<Typed>,
        index: usize,
    },
}

/// A function of the registry. Two are equal if they have the same name and version.
#[derive(Debug, Clone, Copy)]
pub struct FunctionRef(pub &'static Function);

impl PartialEq for FunctionRef {
    fn eq(&self, other: &Self) -> bool {
        (self.0.name, self.0.version) == (other.0.name, other.0.version)
    }
}

impl Typed {
    /// A column of the input.
    pub fn column(index: usize, data_type: DataType, nullable: bool) -> Self {
        Self { kind: ExprKind::Column(index), data_type, nullable }
    }

    /// A constant, by its text in a program.
    pub fn literal(value: impl Into<String>, data_type: DataType) -> Self {
        Self { kind: ExprKind::Literal(Some(value.into())), data_type, nullable: false }
    }

    /// NULL of this type.
    pub fn null(data_type: DataType) -> Self {
        Self { kind: ExprKind::Literal(None), data_type, nullable: true }
    }

    /// The position of the column, if the expression is only a column.
    pub fn as_column(&self) -> Option<usize> {
        match self.kind {
            ExprKind::Column(index) => Some(index),
            _ => None,
        }
    }

    /// The direct operands.
    pub fn operands(&self) -> Vec<&Self> {
        match &self.kind {
            ExprKind::Column(_)
            | ExprKind::Aggregate(_)
            | ExprKind::GroupingSet
            | ExprKind::Literal(_)
            | ExprKind::UntypedNull => Vec::new(),
            ExprKind::Call { args, .. } => args.iter().collect(),
            ExprKind::Cast { value, .. } | ExprKind::Field { value, .. } => vec![value],
            ExprKind::Case { branches, otherwise } => {
                branches.iter().flat_map(|(condition, value)| [condition, value]).chain(otherwise.as_deref()).collect()
            }
            ExprKind::And(operands) | ExprKind::Or(operands) | ExprKind::Coalesce(operands) => operands.iter().collect(),
        }
    }

    /// Rebuilds the expression, with each part for which `replace` has something replaced by that.
    pub fn rewrite(&self, replace: &mut dyn FnMut(&Self) -> Option<Self>) -> Self {
        if let Some(replaced) = replace(self) {
            return replaced;
        }
        let mut all = |operands: &[Self]| operands.iter().map(|operand| operand.rewrite(replace)).collect::<Vec<_>>();
        let kind = match &self.kind {
            ExprKind::Column(_)
            | ExprKind::Aggregate(_)
            | ExprKind::GroupingSet
            | ExprKind::Literal(_)
            | ExprKind::UntypedNull => self.kind.clone(),
            ExprKind::Call { function, args } => ExprKind::Call { function: *function, args: all(args) },
            ExprKind::Cast { value, or_null, zone } => {
                ExprKind::Cast { value: Box::new(value.rewrite(replace)), or_null: *or_null, zone: zone.clone() }
            }
            ExprKind::Field { value, index } => ExprKind::Field { value: Box::new(value.rewrite(replace)), index: *index },
            ExprKind::Case { branches, otherwise } => ExprKind::Case {
                branches: branches
                    .iter()
                    .map(|(condition, value)| (condition.rewrite(replace), value.rewrite(replace)))
                    .collect(),
                otherwise: otherwise.as_ref().map(|otherwise| Box::new(otherwise.rewrite(replace))),
            },
            ExprKind::And(operands) => ExprKind::And(all(operands)),
            ExprKind::Or(operands) => ExprKind::Or(all(operands)),
            ExprKind::Coalesce(operands) => ExprKind::Coalesce(all(operands)),
        };
        Self { kind, data_type: self.data_type.clone(), nullable: self.nullable }
    }

    /// The expression over the input of the node that computes `columns`, instead of over its output.
    pub fn inlined(&self, columns: &[Self]) -> Self {
        self.rewrite(&mut |part| part.as_column().map(|index| columns[index].clone()))
    }

    /// The expression over an input whose columns are at other positions.
    pub fn moved(&self, position: &dyn Fn(usize) -> usize) -> Self {
        self.rewrite(&mut |part| part.as_column().map(|index| Self { kind: ExprKind::Column(position(index)), ..part.clone() }))
    }

    /// Calls `visit` for each column of the input that the expression names.
    pub fn visit_columns(&self, visit: &mut dyn FnMut(usize)) {
        self.any(&mut |part| {
            if let Some(index) = part.as_column() {
                visit(index);
            }
            false
        });
    }

    /// Whether `found` holds for some part of the expression.
    pub fn any(&self, found: &mut dyn FnMut(&Self) -> bool) -> bool {
        found(self) || self.operands().into_iter().any(|operand| operand.any(found))
    }

    /// Whether equal rows give equal results.
    pub fn is_deterministic(&self) -> bool {
        !self.any(&mut |part| matches!(&part.kind, ExprKind::Call { function, .. } if !function.0.deterministic))
    }

    /// Number of parts, counted no further than `most`.
    pub fn size(&self, most: usize) -> usize {
        let mut parts = 0;
        self.any(&mut |_| {
            parts += 1;
            parts >= most
        });
        parts
    }
}

/// The conjunction of two optional conditions.
pub fn both(first: Option<Typed>, second: Option<Typed>) -> Option<Typed> {
    let (first, second) = match (first, second) {
        (Some(first), Some(second)) => (first, second),
        (one, other) => return one.or(other),
    };
    let nullable = first.nullable || second.nullable;
    let mut operands = Vec::new();
    for condition in [first, second] {
        match condition.kind {
            ExprKind::And(parts) => operands.extend(parts),
            _ => operands.push(condition),
        }
    }
    Some(Typed { kind: ExprKind::And(operands), data_type: DataType::Boolean, nullable })
}
