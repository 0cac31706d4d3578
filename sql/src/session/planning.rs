//! What planning takes from a session, and the columns of tables, views and queries as binding gives them.

use sqlparser::ast::Query;

use super::Session;
use crate::bind::{self, Environment};
use crate::catalog::{CatalogTable, CatalogView, ColumnType, ObjectPath, TableColumnKind};
use crate::graph::JobOptions;
use crate::script::SqlError;
use crate::stream::Node;

impl Session {
    /// What binding needs to know of the session.
    pub fn environment(&self) -> Environment<'_> {
        Environment { catalog: &self.catalog, zone: self.options.local_time_zone() }
    }

    /// What a job of this name takes from the session.
    pub fn job_options(&self, name: &str) -> JobOptions {
        JobOptions {
            name: self.options.pipeline_name().unwrap_or(name).to_owned(),
            parallelism: self.options.parallelism(),
            max_parallelism: self.options.max_parallelism(),
            auto_watermark_interval_ms: self.options.auto_watermark_interval_ms(),
            idle_timeout_ms: self.options.idle_timeout_ms(),
            state_ttl_ms: self.options.state_ttl_ms(),
            two_phase_aggregation: self.options.two_phase_aggregation(),
        }
    }

    /// The columns of a query.
    pub fn query_columns(&self, query: &Query) -> Result<Vec<ColumnType>, SqlError> {
        bind::query(self.environment(), query).map(|bound| columns(&bound))
    }

    /// The columns of a table, computed ones too. An error says which expression is wrong.
    pub(super) fn table_columns(&self, path: &ObjectPath, table: &CatalogTable) -> Result<Vec<ColumnType>, SqlError> {
        // A connector need not have the metadata as long as the table is only declared.
        let mut declared = table.clone();
        for column in &mut declared.columns {
            if let TableColumnKind::Metadata { data_type, nullable, .. } = &column.kind {
                column.kind = TableColumnKind::Physical { data_type: data_type.clone(), nullable: *nullable };
            }
        }
        bind::table(self.environment(), path, &declared).map(|bound| columns(&bound))
    }

    /// The columns of a stored view, by its own names.
    pub(super) fn view_columns(&self, path: &ObjectPath, view: &CatalogView) -> Result<Vec<ColumnType>, SqlError> {
        bind::view(self.environment(), path, view).map(|bound| columns(&bound))
    }
}

fn columns(node: &Node) -> Vec<ColumnType> {
    let column = |column: &crate::stream::Column| ColumnType {
        name: column.name.clone(),
        data_type: column.data_type.clone(),
        nullable: column.nullable,
        time: column.is_rowtime.then_some("ROWTIME"),
    };
    node.columns.iter().map(column).collect()
}
