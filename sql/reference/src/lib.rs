//! A naive evaluator of streaming plans: what the rows of a query must be, by definition.
//!
//! [`Reference`] computes a plan ([`weir_sql::stream::Node`]) over whole tables. A relation is a multiset of rows. There is no state,
//! no batch, no partition and no key group, and each operator is a few lines that follow its definition. With the operators of a job
//! it shares the scalar kernels of `calc` and nothing else: no aggregate, no window arithmetic and no changelog code. So a mistake of
//! an operator can't repeat itself here. A mistake in a scalar kernel can; the probes of Flink's answers find those.
//!
//! The rows of a streaming job are a changelog. Once they are folded ([`Changelog`]), they must be the relation that the reference
//! computes from the rows that were read so far. For windows, "so far" also means the watermark.
//!
//! Some results depend on more than a multiset: FIRST_VALUE, LAST_VALUE and LISTAGG on the order of rows, and variances on the order
//! in which doubles were added. The reference refuses them. Windows in a time zone are refused too.

mod aggregate;
mod calc;
mod changelog;
mod evaluate;
mod script;
mod value;
mod window;

pub use changelog::{Change, Changelog};
pub use evaluate::{Reference, Tables};
pub use script::{Insertion, insertions};
pub use value::{Relation, Row, Value, array_of, rows_of};
pub use weir_dataflow::changelog::RowKind;
