//! ALTER and DROP.

use super::cursor::Cursor;
use super::{AlterTable, Drop, DropObject, Statement, TableChange};
use crate::script::SqlError;

/// `ALTER TABLE [IF EXISTS] table RENAME TO | SET | RESET`.
pub(super) fn alter(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    let start = cursor.place();
    cursor.expect(&["ALTER"])?;
    for other in ["VIEW", "DATABASE", "CATALOG", "FUNCTION", "MODEL", "MATERIALIZED", "CONNECTION", "TEMPORARY"] {
        if cursor.is(&[other]) {
            return Err(SqlError::unsupported(format!("ALTER {other}")).at(start).hint("drop it and create it again"));
        }
    }
    cursor.expect(&["TABLE"])?;
    let if_exists = cursor.take(&["IF", "EXISTS"]);
    let name = cursor.plain_name()?;
    let change = if cursor.take(&["RENAME", "TO"]) {
        TableChange::Rename(cursor.plain_name()?)
    } else if cursor.take(&["SET"]) {
        TableChange::SetOptions(cursor.list(Cursor::option)?)
    } else if cursor.take(&["RESET"]) {
        TableChange::ResetOptions(cursor.list(Cursor::string)?)
    } else {
        for other in ["ADD", "MODIFY", "DROP", "RENAME", "PARTITION", "COMPACT"] {
            if cursor.is(&[other]) {
                return Err(SqlError::unsupported(format!("ALTER TABLE … {other}"))
                    .at(start)
                    .hint("drop the table and create it again"));
            }
        }
        return Err(cursor.unexpected("RENAME TO, SET or RESET"));
    };
    Ok(Statement::AlterTable(AlterTable { name, if_exists, change }))
}

/// `DROP [TEMPORARY] TABLE | VIEW | DATABASE`.
pub(super) fn drop(cursor: &mut Cursor) -> Result<Statement, SqlError> {
    let start = cursor.place();
    cursor.expect(&["DROP"])?;
    let temporary = cursor.take(&["TEMPORARY"]);
    let object = if cursor.take(&["TABLE"]) {
        DropObject::Table
    } else if cursor.take(&["VIEW"]) {
        DropObject::View
    } else if !temporary && cursor.take(&["DATABASE"]) {
        DropObject::Database { cascade: false }
    } else {
        for other in ["FUNCTION", "SYSTEM", "CATALOG", "MODEL", "MATERIALIZED", "CONNECTION"] {
            if cursor.is(&[other]) {
                return Err(SqlError::unsupported(format!("DROP {other}")).at(start));
            }
        }
        return Err(cursor.unexpected("TABLE, VIEW or DATABASE"));
    };
    let if_exists = cursor.take(&["IF", "EXISTS"]);
    let name = cursor.plain_name()?;
    let object = match object {
        DropObject::Database { .. } if cursor.take(&["CASCADE"]) => DropObject::Database { cascade: true },
        DropObject::Database { .. } => {
            let _ = cursor.take(&["RESTRICT"]);
            object
        }
        other => other,
    };
    Ok(Statement::Drop(Drop { object, name, temporary, if_exists }))
}
