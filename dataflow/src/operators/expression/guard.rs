//! AND and OR that evaluate their right side only for the rows that the left side leaves undecided.
//!
//! DataFusion's own AND and OR choose by the whole batch whether to evaluate the right side for all rows. With them, a row that
//! the left side excludes could fail the job, depending on the rows that happen to share its batch.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{DataType, Schema};
use arrow_select::filter::FilterBuilder;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Result, ScalarValue, internal_datafusion_err};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, Literal, NotExpr};

/// `left AND right` or `left OR right`, evaluated row by row.
#[derive(Debug, Clone, Eq)]
pub(super) struct Guard {
    left: Arc<dyn PhysicalExpr>,
    right: Arc<dyn PhysicalExpr>,
    /// The value of the left side that decides the result: false for AND, true for OR.
    decisive: bool,
    /// The input columns that the right side reads.
    columns: Vec<usize>,
    /// The right side over only those columns.
    narrowed: Arc<dyn PhysicalExpr>,
}

impl PartialEq for Guard {
    fn eq(&self, other: &Self) -> bool {
        self.left.eq(&other.left) && self.right.eq(&other.right) && self.decisive == other.decisive
    }
}

impl Hash for Guard {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.left.hash(state);
        self.right.hash(state);
        self.decisive.hash(state);
    }
}

impl Guard {
    /// The replacement of an AND or OR whose right side can fail; `None` for any other expression.
    pub(super) fn of(binary: &BinaryExpr) -> Result<Option<Self>> {
        let decisive = match binary.op() {
            Operator::And => false,
            Operator::Or => true,
            _ => return Ok(None),
        };
        if cannot_fail(binary.right()) {
            return Ok(None);
        }
        Self::new(binary.left().clone(), binary.right().clone(), decisive).map(Some)
    }

    fn new(left: Arc<dyn PhysicalExpr>, right: Arc<dyn PhysicalExpr>, decisive: bool) -> Result<Self> {
        let mut columns = Vec::new();
        right.apply(|node| {
            if let Some(column) = node.downcast_ref::<Column>()
                && !columns.contains(&column.index())
            {
                columns.push(column.index());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let narrowed = right.clone().transform_down(|node| {
            let place = |column: &Column| columns.iter().position(|index| *index == column.index());
            Ok(match node.downcast_ref::<Column>().and_then(|column| Some((column.name().to_owned(), place(column)?))) {
                Some((name, index)) => Transformed::yes(Arc::new(Column::new(&name, index)) as Arc<dyn PhysicalExpr>),
                None => Transformed::no(node),
            })
        })?;
        Ok(Self { left, right, decisive, columns, narrowed: narrowed.data })
    }

    fn evaluate_right(&self, batch: &RecordBatch, undecided: BooleanBuffer) -> Result<BooleanArray> {
        let rows = undecided.count_set_bits();
        if rows == batch.num_rows() {
            return boolean(self.right.evaluate(batch)?, rows);
        }
        let selection = FilterBuilder::new(&BooleanArray::new(undecided, None)).optimize().build();
        let columns = self.columns.iter().map(|index| selection.filter(batch.column(*index)));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        let schema = Arc::new(batch.schema_ref().project(&self.columns)?);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        boolean(self.narrowed.evaluate(&RecordBatch::try_new_with_options(schema, columns, &options)?)?, rows)
    }
}

fn boolean(value: ColumnarValue, rows: usize) -> Result<BooleanArray> {
    let array = value.into_array(rows)?;
    let array = array.as_boolean_opt().ok_or_else(|| internal_datafusion_err!("a side of AND or OR is not boolean"))?;
    Ok(array.clone())
}

/// Whether the expression has a value for every row. It errs on the safe side.
fn cannot_fail(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let itself = match expr.downcast_ref::<BinaryExpr>() {
        Some(binary) => matches!(
            binary.op(),
            Operator::And
                | Operator::Or
                | Operator::Eq
                | Operator::NotEq
                | Operator::Lt
                | Operator::LtEq
                | Operator::Gt
                | Operator::GtEq
                | Operator::IsDistinctFrom
                | Operator::IsNotDistinctFrom
        ),
        None => {
            expr.is::<Column>()
                || expr.is::<Literal>()
                || expr.is::<NotExpr>()
                || expr.is::<IsNullExpr>()
                || expr.is::<IsNotNullExpr>()
                || expr.is::<InListExpr>()
                || expr.is::<Guard>()
        }
    };
    itself && expr.children().into_iter().all(cannot_fail)
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}) {} ({})", self.left, if self.decisive { "OR" } else { "AND" }, self.right)
    }
}

impl PhysicalExpr for Guard {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        Ok(self.left.nullable(schema)? || self.right.nullable(schema)?)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let left = match self.left.evaluate(batch)? {
            // The right side must not be evaluated even once, because a constant fails without any row.
            ColumnarValue::Scalar(ScalarValue::Boolean(Some(value))) if value == self.decisive => {
                return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(value))));
            }
            left => boolean(left, batch.num_rows())?,
        };
        let decided = |row: usize| left.is_valid(row) && left.value(row) == self.decisive;
        let undecided = BooleanBuffer::collect_bool(left.len(), |row| !decided(row));
        if undecided.count_set_bits() == 0 {
            return Ok(ColumnarValue::Array(Arc::new(left)));
        }
        let right = self.evaluate_right(batch, undecided)?;
        let mut rights = right.iter();
        let combined: BooleanArray = (0..left.len())
            .map(|row| {
                if decided(row) {
                    return Some(self.decisive);
                }
                let right = rights.next().flatten();
                if left.is_valid(row) { right } else { right.filter(|value| *value == self.decisive) }
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(combined)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.left, &self.right]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self::new(children[0].clone(), children[1].clone(), self.decisive)?))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
