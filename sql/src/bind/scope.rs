//! The columns that an expression can name.

use sqlparser::ast::Ident;
use weir_protocol::job_graph::DataType;
use weir_protocol::job_graph::catalog::closest;

use crate::expression::{ExprKind, Typed};
use crate::script::SqlError;
use crate::stream::{Column, Node};

/// The columns of a relation, under the names that FROM gives it.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// The names by which the relation of each column is called: its alias, or the parts of its full name.
    pub(super) qualifiers: Vec<Vec<String>>,
    pub(super) columns: Vec<Column>,
}

impl Scope {
    /// The columns of `node`, which is called `qualifier`: the alias, or the parts of a table's name.
    pub(super) fn of(node: &Node, qualifier: Vec<String>) -> Self {
        Self { qualifiers: vec![qualifier; node.columns.len()], columns: node.columns.clone() }
    }

    fn column(&self, index: usize) -> Typed {
        let column = &self.columns[index];
        Typed::column(index, column.data_type.clone(), column.nullable)
    }

    /// The column of this name. Errors: `SQL-NAME` if there is none or there are several.
    pub(super) fn name(&self, ident: &Ident) -> Result<Typed, SqlError> {
        let mut found = self.columns.iter().enumerate().filter(|(_, column)| column.name == ident.value);
        match (found.next(), found.next()) {
            (Some((index, _)), None) => Ok(self.column(index)),
            (Some(_), Some(_)) => {
                let message = format!("column {:?} is ambiguous", ident.value);
                Err(SqlError::new("SQL-NAME", message).at(ident.span.start).hint("put the table's name before it"))
            }
            (None, _) => Err(self.unknown(ident)),
        }
    }

    /// The column `table.column`, or a field of a ROW column. Error: `SQL-NAME`.
    pub(super) fn path(&self, idents: &[Ident]) -> Result<Typed, SqlError> {
        // The longest qualifier wins; what remains after the column are fields.
        for length in (1..idents.len()).rev() {
            let qualifier: Vec<_> = idents[..length].iter().map(|ident| ident.value.as_str()).collect();
            let of_relation =
                |index: usize| self.qualifiers[index].iter().map(String::as_str).collect::<Vec<_>>().ends_with(&qualifier);
            if !(0..self.columns.len()).any(of_relation) {
                continue;
            }
            let name = &idents[length];
            let Some(index) =
                (0..self.columns.len()).find(|index| of_relation(*index) && self.columns[*index].name == name.value)
            else {
                return Err(self.unknown(name));
            };
            return fields(self.column(index), &idents[length + 1..]);
        }
        match idents {
            [name, rest @ ..] if self.columns.iter().any(|column| column.name == name.value) => fields(self.name(name)?, rest),
            [name, ..] => {
                let known = self.qualifiers.iter().filter_map(|qualifier| qualifier.last()).map(String::as_str);
                let hint = closest(&name.value, known).map(|close| format!("did you mean {close:?}?"));
                let error =
                    SqlError::new("SQL-NAME", format!("there is no table or column {:?} here", name.value)).at(name.span.start);
                Err(SqlError { hint, ..error })
            }
            [] => Err(SqlError::new("SQL-NAME", "a name is missing")),
        }
    }

    /// The positions of the columns of the relation of this name.
    pub(super) fn of_relation(&self, name: &[String]) -> Vec<usize> {
        (0..self.columns.len()).filter(|index| self.qualifiers[*index].ends_with(name)).collect()
    }

    fn unknown(&self, ident: &Ident) -> SqlError {
        let hint = match closest(&ident.value, self.columns.iter().map(|column| column.name.as_str())) {
            Some(close) => format!("did you mean {close:?}?"),
            None if self.columns.is_empty() => "there are no columns here".into(),
            None => {
                let names: Vec<_> = self.columns.iter().take(20).map(|column| column.name.as_str()).collect();
                let more = if self.columns.len() > 20 { ", …" } else { "" };
                format!("the columns are {}{more}", names.join(", "))
            }
        };
        SqlError::new("SQL-NAME", format!("there is no column {:?}", ident.value)).at(ident.span.start).hint(hint)
    }
}

/// A field of a field … of a ROW value.
fn fields(value: Typed, path: &[Ident]) -> Result<Typed, SqlError> {
    path.iter().try_fold(value, field)
}

/// The field of this name. Error: `SQL-NAME`.
pub(super) fn field(value: Typed, name: &Ident) -> Result<Typed, SqlError> {
    let DataType::Row(fields) = &value.data_type else {
        let message = format!("{:?} is no field: the value before it has type {}", name.value, value.data_type);
        return Err(SqlError::new("SQL-NAME", message).at(name.span.start));
    };
    let Some(index) = fields.iter().position(|field| field.name == name.value) else {
        let hint =
            closest(&name.value, fields.iter().map(|field| field.name.as_str())).map(|close| format!("did you mean {close:?}?"));
        let error = SqlError::new("SQL-NAME", format!("the row has no field {:?}", name.value)).at(name.span.start);
        return Err(SqlError { hint, ..error });
    };
    let (data_type, nullable) = (fields[index].data_type.clone(), fields[index].nullable || value.nullable);
    Ok(Typed { kind: ExprKind::Field { value: Box::new(value), index }, data_type, nullable })
}
