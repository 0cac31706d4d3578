//! Expression programs: typed expressions as the planner lowers them, which a persisted job keeps for its whole life.

use serde::{Deserialize, Serialize};

use super::DataType;

/// The filter and the output columns of a `calc` operator, as one flat list of nodes that share common parts.
///
/// Evaluation: the filter comes first, then the outputs, only for rows where the filter is true. Operands that only some rows need
/// (in CASE, AND, OR, COALESCE) are evaluated only for these rows, so that a guarded division can't fail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExprProgram {
    /// Version of the format: [`ExprProgram::VERSION`].
    pub version: u32,
    /// The nodes. Each names only earlier ones, by position.
    pub nodes: Vec<ExprNode>,
    /// The node that decides which rows remain, if any. Its type is BOOLEAN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<u32>,
    /// The output columns, in order.
    pub outputs: Vec<ProgramOutput>,
}

/// One output column of a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramOutput {
    pub name: String,
    pub node: u32,
    /// Whether values may be null. If a null occurs nevertheless, the job fails.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub nullable: bool,
}

/// One node of a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum ExprNode {
    /// A column of the input, by position.
    Column {
        column: u32,
        /// Its exact type, if the schema of the input can't tell: the digits of times, the lengths of texts.
        #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
        data_type: Option<DataType>,
    },
    /// A constant, written as Flink casts its type to STRING (bytes in hexadecimal); `null` is NULL.
    Literal {
        literal: Option<String>,
        #[serde(rename = "type")]
        data_type: DataType,
    },
    /// A call of a function. Its name carries a version, e.g. `split_index@1`: if the result of a function changes, it gets a new
    /// one, so that a persisted job keeps its meaning.
    Call {
        call: String,
        args: Vec<u32>,
        #[serde(rename = "type")]
        data_type: DataType,
    },
    /// A conversion to another type.
    Cast {
        cast: u32,
        #[serde(rename = "type")]
        data_type: DataType,
        /// Whether a value that can't be converted gives NULL instead of failing the job.
        #[serde(rename = "try", default, skip_serializing_if = "std::ops::Not::not")]
        or_null: bool,
        /// The time zone of conversions between points in time and local times or texts; UTC if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        zone: Option<String>,
    },
    /// The value of the first branch whose condition is true, else `otherwise`, else NULL.
    Case {
        /// Pairs of condition and value.
        case: Vec<(u32, u32)>,
        #[serde(rename = "else", default, skip_serializing_if = "Option::is_none")]
        otherwise: Option<u32>,
        #[serde(rename = "type")]
        data_type: DataType,
    },
    /// True if all operands are true, false if one is false, else NULL.
    And { and: Vec<u32> },
    /// True if one operand is true, false if all are false, else NULL.
    Or { or: Vec<u32> },
    /// The first operand that is not NULL.
    Coalesce {
        coalesce: Vec<u32>,
        #[serde(rename = "type")]
        data_type: DataType,
    },
    /// A field of a ROW value, by position.
    Field {
        field: u32,
        index: u32,
        #[serde(rename = "type")]
        data_type: DataType,
    },
}

impl ExprNode {
    /// The nodes that this one names.
    pub fn operands(&self) -> Vec<u32> {
        match self {
            Self::Column { .. } | Self::Literal { .. } => Vec::new(),
            Self::Call { args, .. } => args.clone(),
            Self::Cast { cast, .. } => vec![*cast],
            Self::Case { case, otherwise, .. } => {
                case.iter().flat_map(|(condition, value)| [*condition, *value]).chain(*otherwise).collect()
            }
            Self::And { and } => and.clone(),
            Self::Or { or } => or.clone(),
            Self::Coalesce { coalesce, .. } => coalesce.clone(),
            Self::Field { field, .. } => vec![*field],
        }
    }
}

impl ExprProgram {
    /// The version that this build writes.
    pub const VERSION: u32 = 1;
    /// Most nodes of a program.
    pub const MAX_NODES: usize = 20_000;

    /// Checks the shape: versions, limits, and that each node names only earlier ones. Types and functions are checked by the
    /// worker's compiler. The error says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        if self.version != Self::VERSION {
            return Err(format!("version {} of expression programs; this build reads {}", self.version, Self::VERSION));
        }
        if self.nodes.len() > Self::MAX_NODES {
            return Err(format!("{} nodes; the maximum is {}", self.nodes.len(), Self::MAX_NODES));
        }
        for (position, node) in self.nodes.iter().enumerate() {
            if let Some(wrong) = node.operands().into_iter().find(|operand| *operand as usize >= position) {
                return Err(format!("node {position} names node {wrong}, which does not come before it"));
            }
            let operands_missing = match node {
                ExprNode::Case { case, .. } => case.is_empty(),
                ExprNode::And { and: operands }
                | ExprNode::Or { or: operands }
                | ExprNode::Coalesce { coalesce: operands, .. } => operands.is_empty(),
                _ => false,
            };
            if operands_missing {
                return Err(format!("node {position} has no operands"));
            }
        }
        let used = self.filter.iter().chain(self.outputs.iter().map(|output| &output.node));
        if let Some(wrong) = used.into_iter().find(|node| **node as usize >= self.nodes.len()) {
            return Err(format!("there is no node {wrong}"));
        }
        Ok(())
    }
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn program(nodes: serde_json::Value) -> ExprProgram {
        serde_json::from_value(json!({"version": 1, "nodes": nodes, "outputs": [{"name": "a", "node": 0}]})).unwrap()
    }

    #[test]
    fn the_json_form_of_every_node_is_this() {
        let nodes = json!([
            {"column": 2},
            {"column": 3, "type": "TIMESTAMP(0)"},
            {"literal": "5", "type": "INT"},
            {"literal": null, "type": "STRING"},
            {"call": "split_index@1", "args": [0, 1], "type": "STRING"},
            {"cast": 1, "type": "BIGINT"},
            {"cast": 1, "type": "STRING", "try": true, "zone": "Europe/Berlin"},
            {"case": [[0, 1], [2, 3]], "else": 4, "type": "INT"},
            {"and": [0, 1]},
            {"or": [0, 1]},
            {"coalesce": [0, 1], "type": "INT"},
            {"field": 0, "index": 1, "type": "INT"},
        ]);
        let read = program(nodes.clone());
        assert_eq!(serde_json::to_value(&read.nodes).unwrap(), nodes);
        assert_eq!(read.check(), Ok(()));
    }

    #[test]
    fn a_program_that_names_later_or_absent_nodes_is_refused() {
        assert!(program(json!([{"and": [0]}])).check().unwrap_err().contains("does not come before"));
        assert!(program(json!([])).check().unwrap_err().contains("no node 0"));
        assert!(program(json!([{"column": 0}, {"or": []}])).check().unwrap_err().contains("no operands"));
        let mut other = program(json!([{"column": 0}]));
        other.version = 2;
        assert!(other.check().unwrap_err().contains("version 2"));
    }
}
