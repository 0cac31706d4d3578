//! Builds the repetition of rows for grouping sets.

use std::rc::Rc;

use weir_protocol::job_graph::DataType;

use super::{Column, GroupingSet, Node, NodeKind, free_name};

/// Each row of `input` once for each set. The last column has the id of the set.
pub fn expand(input: Rc<Node>, sets: Vec<GroupingSet>) -> Rc<Node> {
    let mut columns = input.columns.clone();
    for index in sets.iter().flat_map(|set| &set.nulls) {
        columns[*index].nullable = true;
        columns[*index].is_rowtime = false;
    }
    let name = free_name("$e", &columns);
    columns.push(Column { name, data_type: DataType::Bigint, nullable: false, is_rowtime: false });
    let (window, is_updating) = (input.window, input.is_updating);
    Rc::new(Node { kind: NodeKind::Expand { sets }, inputs: vec![input], columns, window, is_updating })
}
