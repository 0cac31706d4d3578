//! Expressions as EXPLAIN shows them.

use super::{ExprKind, Typed};

impl Typed {
    /// The expression in the notation of Flink's plans, over columns of these names.
    pub fn show(&self, columns: &[&str]) -> String {
        let all = |operands: &[Self], between: &str| {
            operands.iter().map(|operand| operand.show(columns)).collect::<Vec<_>>().join(between)
        };
        match &self.kind {
            ExprKind::Column(index) => columns.get(*index).map_or_else(|| format!("${index}"), |name| (*name).to_owned()),
            ExprKind::Aggregate(index) => format!("$agg{index}"),
            ExprKind::GroupingSet => "$set".into(),
            ExprKind::UntypedNull | ExprKind::Literal(None) => "null".into(),
            ExprKind::Literal(Some(text)) if self.data_type.is_numeric() || self.data_type == super::DataType::Boolean => {
                text.clone()
            }
            ExprKind::Literal(Some(text)) if self.data_type.is_text() => format!("'{}'", text.replace('\'', "''")),
            ExprKind::Literal(Some(text)) => format!("{text}:{}", self.data_type),
            ExprKind::Call { function, args } => match (operator(function.0.name), args.as_slice()) {
                (Some(sign), [left, right]) => format!("({} {sign} {})", left.show(columns), right.show(columns)),
                (_, args) => format!("{}({})", function.0.name.to_uppercase(), all(args, ", ")),
            },
            ExprKind::Cast { value, or_null, .. } => {
                let name = if *or_null { "TRY_CAST" } else { "CAST" };
                format!("{name}({} AS {})", value.show(columns), self.data_type)
            }
            ExprKind::Case { branches, otherwise } => {
                let mut text = String::from("CASE");
                for (condition, value) in branches {
                    text.push_str(&format!(" WHEN {} THEN {}", condition.show(columns), value.show(columns)));
                }
                if let Some(otherwise) = otherwise {
                    text.push_str(&format!(" ELSE {}", otherwise.show(columns)));
                }
                text + " END"
            }
            ExprKind::And(operands) => format!("({})", all(operands, " AND ")),
            ExprKind::Or(operands) => format!("({})", all(operands, " OR ")),
            ExprKind::Coalesce(operands) => format!("COALESCE({})", all(operands, ", ")),
            ExprKind::Field { value, index } => format!("{}.{index}", value.show(columns)),
        }
    }
}

/// The sign of a function that is written between its operands.
fn operator(name: &str) -> Option<&'static str> {
    Some(match name {
        "add" => "+",
        "subtract" => "-",
        "multiply" => "*",
        "divide" => "/",
        "mod" => "%",
        "eq" => "=",
        "ne" => "<>",
        "lt" => "<",
        "le" => "<=",
        "gt" => ">",
        "ge" => ">=",
        "concat_operator" => "||",
        _ => return None,
    })
}
