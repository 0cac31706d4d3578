use crate::catalog::*; use crate::script::SqlError; use weir_protocol::job_graph::OperatorDescriptor;
pub struct D { pub operator: OperatorDescriptor, pub takes_changes: bool }
pub fn source(_: &ObjectPath, _: &CatalogTable, _: &[&str]) -> Result<D, SqlError> { todo!() }
pub fn sink(_: &ObjectPath, _: &CatalogTable) -> Result<D, SqlError> { todo!() }
