//! Functions whose arguments have a syntax of their own: EXTRACT, TRIM, FLOOR … TO and so on. They become plain calls.

use sqlparser::ast::{CeilFloorKind, DateTimeField, Expr, TrimWhereField, Value, ValueWithSpan};
use sqlparser::tokenizer::Location;
use weir_protocol::job_graph::DataType;

use super::expression::{Expressions, type_error};
use super::{literal, unsupported};
use crate::dialect::cast_type;
use crate::expression::Typed;
use crate::script::SqlError;

impl Expressions<'_> {
    /// Binds an expression that is not a plain operator or call. Error: `SQL-UNSUPPORTED` for syntax that Flink has not, or Weir not yet.
    pub(super) fn special_form(&mut self, expr: &Expr, at: Location) -> Result<Typed, SqlError> {
        match expr {
            Expr::TypedString(typed) => self.typed_string(&cast_type(&typed.data_type).map_err(type_error)?, &typed.value),
            Expr::Extract { field, expr, .. } => {
                let value = self.bind(expr)?;
                self.call("extract", vec![unit_literal(field), value], at)
            }
            Expr::Ceil { expr, field } => self.rounded("ceil", expr, field, at),
            Expr::Floor { expr, field } => self.rounded("floor", expr, field, at),
            Expr::Position { expr, r#in } => self.call_on("position", &[expr, r#in], at),
            Expr::Substring { expr, substring_from: Some(from), substring_for, .. } => {
                let operands: Vec<&Expr> = [expr, from].into_iter().chain(substring_for).map(AsRef::as_ref).collect();
                self.call_on("substring", &operands, at)
            }
            Expr::Trim { trim_where, trim_what, expr, trim_characters: None } => {
                let side = match trim_where {
                    None | Some(TrimWhereField::Both) => "BOTH",
                    Some(TrimWhereField::Leading) => "LEADING",
                    Some(TrimWhereField::Trailing) => "TRAILING",
                };
                let what = trim_what.as_ref().map(|what| self.bind(what)).transpose()?;
                let value = self.bind(expr)?;
                let what = what.unwrap_or_else(|| literal::text_literal(" "));
                self.call("trim", vec![literal::text_literal(side), what, value], at)
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let operands: Vec<&Expr> =
                    [expr, overlay_what, overlay_from].into_iter().chain(overlay_for).map(AsRef::as_ref).collect();
                self.call_on("overlay", &operands, at)
            }
            Expr::Array(array) => {
                let elements: Vec<&Expr> = array.elem.iter().collect();
                self.call_on("array", &elements, at)
            }
            other => {
                let shown: String = other.to_string().chars().take(60).collect();
                unsupported(&format!("the expression {shown}"), at)
            }
        }
    }

    fn rounded(&mut self, name: &str, value: &Expr, field: &CeilFloorKind, at: Location) -> Result<Typed, SqlError> {
        let value = self.bind(value)?;
        match field {
            CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => self.call(name, vec![value], at),
            CeilFloorKind::DateTimeField(unit) => self.call(name, vec![value, unit_literal(unit)], at),
            CeilFloorKind::Scale(_) => unsupported(&format!("{} with a scale", name.to_uppercase()), at),
        }
    }

    fn typed_string(&self, data_type: &DataType, value: &ValueWithSpan) -> Result<Typed, SqlError> {
        let at = value.span.start;
        match (&value.value, data_type) {
            (Value::SingleQuotedString(text), DataType::Date | DataType::Time(_) | DataType::Timestamp(_)) => {
                literal::time(data_type, text).map_err(|error| error.at(at))
            }
            _ => unsupported(&format!("a literal of type {data_type}"), at),
        }
    }
}

/// A unit of time as the constant argument of a function.
fn unit_literal(unit: &DateTimeField) -> Typed {
    literal::text_literal(&unit.to_string().to_uppercase())
}
