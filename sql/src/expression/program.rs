//! Lowers typed expressions to a program of a `calc` operator, in which equal parts are one node.

use std::collections::HashMap;

use weir_dataflow::schema::{arrow_type, column_type};
use weir_protocol::job_graph::program::{ExprNode, ExprProgram, ProgramOutput};

use super::{ExprKind, Typed};
use crate::script::SqlError;
use crate::stream::Column;

/// The program that keeps the rows where `filter` is true and computes `outputs` as these columns. Error: `SQL-LIMIT`.
pub fn program(filter: Option<&Typed>, outputs: &[Typed], columns: &[Column]) -> Result<ExprProgram, SqlError> {
    let mut builder = Builder::default();
    let filter = filter.map(|filter| builder.node(filter));
    let outputs: Vec<_> = outputs
        .iter()
        .zip(columns)
        .map(|(expression, column)| ProgramOutput {
            name: column.name.clone(),
            node: builder.node(expression),
            nullable: column.nullable,
        })
        .collect();
    let program = ExprProgram { version: ExprProgram::VERSION, nodes: builder.nodes, filter, outputs };
    program.check().map_err(|what| {
        SqlError::new("SQL-LIMIT", format!("the expressions are too large: {what}")).hint("split the query into several views")
    })?;
    Ok(program)
}

#[derive(Default)]
struct Builder {
    nodes: Vec<ExprNode>,
    /// The nodes by their JSON form, which is unambiguous.
    known: HashMap<String, u32>,
}

impl Builder {
    fn nodes_of(&mut self, expressions: &[Typed]) -> Vec<u32> {
        expressions.iter().map(|expression| self.node(expression)).collect()
    }

    fn node(&mut self, expression: &Typed) -> u32 {
        let data_type = expression.data_type.clone();
        let node = match &expression.kind {
            ExprKind::Column(index) => {
                // The schema of the input has the widest type of several.
                let is_known = column_type(&arrow_type(&data_type)).as_ref() == Some(&data_type);
                ExprNode::Column { column: *index as u32, data_type: (!is_known).then_some(data_type) }
            }
            ExprKind::Literal(literal) => ExprNode::Literal { literal: literal.clone(), data_type },
            // None of these is left when a query is bound.
            ExprKind::UntypedNull | ExprKind::Aggregate(_) | ExprKind::GroupingSet => {
                ExprNode::Literal { literal: None, data_type }
            }
            ExprKind::Call { function, args } => {
                ExprNode::Call { call: function.0.call_name(), args: self.nodes_of(args), data_type }
            }
            ExprKind::Cast { value, or_null, zone } => {
                ExprNode::Cast { cast: self.node(value), data_type, or_null: *or_null, zone: zone.clone() }
            }
            ExprKind::Case { branches, otherwise } => ExprNode::Case {
                case: branches.iter().map(|(condition, value)| (self.node(condition), self.node(value))).collect(),
                otherwise: otherwise.as_ref().map(|otherwise| self.node(otherwise)),
                data_type,
            },
            ExprKind::And(operands) => ExprNode::And { and: self.nodes_of(operands) },
            ExprKind::Or(operands) => ExprNode::Or { or: self.nodes_of(operands) },
            ExprKind::Coalesce(operands) => ExprNode::Coalesce { coalesce: self.nodes_of(operands), data_type },
            ExprKind::Field { value, index } => ExprNode::Field { field: self.node(value), index: *index as u32, data_type },
        };
        if matches!(&expression.kind, ExprKind::Call { function, .. } if !function.0.deterministic) {
            // Two calls of RAND() are two numbers.
            self.nodes.push(node);
            return (self.nodes.len() - 1) as u32;
        }
        let key = serde_json::to_string(&node).unwrap_or_default();
        *self.known.entry(key).or_insert_with(|| {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        })
    }
}
