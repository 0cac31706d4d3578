//! Aggregate calls of an operator, planned over its input.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType as ArrowType, Field, Schema};
use serde::Deserialize;

use super::accumulator::{Accumulator, Count};
use super::cell::Cell;
use super::decimal::DecimalSum;
use super::distinct::Distinct;
use super::extreme::{Extreme, Preference};
use super::picked::Picked;
use super::retractable::{Counted, CountsShown, DistinctCounts, JoinedArrivals, ListedArrivals, PickedArrival, Retained};
use super::sum::{Sum, SumResult};
use super::text_list::TextList;
use super::typing::{self, Function};
use super::value_list::ValueList;
use super::variance::Variance;
use crate::operator::OperatorError;
use crate::schema;

/// An aggregate as it is written in the options.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AggregateOption {
    name: String,
    function: String,
    #[serde(default)]
    column: Option<String>,
    #[serde(default)]
    distinct: bool,
    #[serde(default)]
    filter: Option<String>,
    #[serde(default)]
    delimiter: Option<String>,
    #[serde(default)]
    ignore_nulls: bool,
}

/// An aggregate of `window.tumbling` or `window.hopping`, as it is written in the options.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandWritten {
    name: String,
    function: String,
    #[serde(default)]
    column: Option<String>,
}

/// An aggregate planned over an input schema.
#[derive(Debug, Clone)]
pub(crate) struct AggregateCall {
    name: String,
    kind: Kind,
    distinct: bool,
    /// Position of the input column; `None` counts rows.
    column: Option<usize>,
    /// Position of the boolean column that says which rows count.
    filter: Option<usize>,
    input: ArrowType,
    result: ArrowType,
    nullable: bool,
    merges: bool,
    signature: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Count,
    Sum {
        average: bool,
    },
    /// The sum of hand-written graphs, which does not wrap around.
    ExactSum {
        average: bool,
    },
    Extreme(Preference),
    Picked {
        last: bool,
    },
    Variance {
        sample: bool,
        root: bool,
    },
    TextList {
        delimiter: Arc<str>,
    },
    ValueList {
        ignore_nulls: bool,
    },
    Multiset,
}

/// What an aggregate reads of a batch.
#[derive(Debug, Clone)]
pub(crate) struct AggregateInput {
    pub(crate) column: Option<ArrayRef>,
    /// Which rows count; `None` if all do.
    pub(crate) valid: Option<NullBuffer>,
}

fn refuse(name: &str, code: &'static str, what: &str) -> OperatorError {
    OperatorError::fatal(code, format!("aggregate {name:?}: {what}"))
}

/// The error for a column that the function can't take.
fn unsupported(name: &str, function: &str, column: &str, found: &ArrowType) -> OperatorError {
    refuse(name, "AGG-TYPE", &format!("{function} can't take column {column:?} of type {}", schema::type_name(found)))
}

impl AggregateCall {
    /// Plans a call with Flink's types. Errors: `AGG-FUNCTION` for an unknown function, `AGG-COLUMN` if the function needs a column
    /// and has none, `AGG-TYPE` if the function can't take the column's type, or if the filter is no boolean.
    pub(crate) fn plan(option: AggregateOption, input: &Schema) -> Result<Self, OperatorError> {
        let name = option.name;
        let Some(function) = typing::all().find(|function| function.name == option.function) else {
            let known: Vec<_> = typing::all().map(|function| function.name).collect();
            let what = format!("no function {:?}; there are {}", option.function, known.join(", "));
            return Err(refuse(&name, "AGG-FUNCTION", &what));
        };
        let filter = option.filter.map(|column| boolean_column(&name, input, &column)).transpose()?;
        let column = option.column.map(|column| schema::column_index(input, &column)).transpose()?;
        if column.is_none() && function.function != Function::Count {
            return Err(refuse(&name, "AGG-COLUMN", &format!("{} needs a column", function.name)));
        }
        let field = column.map(|column| input.field(column));
        let mut arguments = Vec::new();
        if let Some(field) = field {
            let data_type = schema::column_type(field.data_type());
            arguments.push(data_type.ok_or_else(|| unsupported(&name, function.name, field.name(), field.data_type()))?);
        }
        let resolved =
            typing::resolve(function.name, &arguments, option.distinct).map_err(|what| refuse(&name, "AGG-TYPE", &what))?;
        let delimiter = option.delimiter.unwrap_or_else(|| ",".into());
        let mut signature = function.name.to_owned();
        signature.push_str(if option.distinct { " distinct" } else { "" });
        arguments.iter().for_each(|argument| signature.push_str(&format!(" {argument}")));
        if function.function == Function::ListAgg {
            signature.push_str(&format!(" {delimiter:?}"));
        }
        signature.push_str(if option.ignore_nulls { " ignore nulls" } else { "" });
        signature.push_str(if filter.is_some() { " filter" } else { "" });
        Ok(Self {
            merges: function.merges(option.distinct),
            nullable: resolved.nullable(field.is_some_and(Field::is_nullable), filter.is_some()),
            result: schema::arrow_type(&resolved.result),
            input: field.map_or(ArrowType::Null, |field| field.data_type().clone()),
            kind: Kind::of(function.function, delimiter, option.ignore_nulls),
            // A repetition changes neither of these.
            distinct: option.distinct && !matches!(function.function, Function::Min | Function::Max),
            name,
            column,
            filter,
            signature,
        })
    }

    /// Plans a call with the types of hand-written graphs: exact sums of bigint or double, averages of double. Errors: as
    /// [`AggregateCall::plan`].
    pub(crate) fn plan_hand_written(option: HandWritten, input: &Schema) -> Result<Self, OperatorError> {
        let name = option.name;
        let (kind, distinct, debug_name) = match option.function.as_str() {
            "count" => (Kind::Count, false, "Count"),
            "sum" => (Kind::ExactSum { average: false }, false, "Sum"),
            "min" => (Kind::Extreme(Preference::LeastInTotalOrder), false, "Min"),
            "max" => (Kind::Extreme(Preference::GreatestInTotalOrder), false, "Max"),
            "avg" => (Kind::ExactSum { average: true }, false, "Avg"),
            "count_distinct" => (Kind::Count, true, "CountDistinct"),
            other => {
                let what = format!("no function {other:?}; there are count, sum, min, max, avg, count_distinct");
                return Err(refuse(&name, "AGG-FUNCTION", &what));
            }
        };
        let column = option.column.map(|column| schema::column_index(input, &column)).transpose()?;
        if column.is_none() && option.function != "count" {
            return Err(refuse(&name, "AGG-COLUMN", &format!("{} needs a column", option.function)));
        }
        let field = column.map(|column| input.field(column));
        let data_type = field.map_or(ArrowType::Null, |field| field.data_type().clone());
        let number = matches!(data_type, ArrowType::Int32 | ArrowType::Int64 | ArrowType::Float64);
        let fits = match &kind {
            Kind::ExactSum { .. } => number,
            Kind::Extreme(_) => number || matches!(data_type, ArrowType::Timestamp(..) | ArrowType::Utf8),
            _ => !distinct || schema::column_type(&data_type).is_some_and(|known| !known.is_nested()),
        };
        if let Some(field) = field.filter(|_| !fits) {
            return Err(unsupported(&name, &option.function, field.name(), field.data_type()));
        }
        let result = match &kind {
            Kind::ExactSum { average: true } => ArrowType::Float64,
            Kind::ExactSum { .. } if data_type == ArrowType::Float64 => ArrowType::Float64,
            Kind::Extreme(_) => data_type.clone(),
            _ => ArrowType::Int64,
        };
        let nullable = kind != Kind::Count && field.is_some_and(Field::is_nullable);
        // This text is part of the state format, by its checksum.
        let signature = format!("{debug_name} {data_type:?} {}", column.is_some());
        Ok(Self { name, kind, distinct, column, filter: None, input: data_type, result, nullable, merges: false, signature })
    }

    /// The output column of the aggregate.
    pub(crate) fn field(&self) -> Field {
        Field::new(&self.name, self.result.clone(), self.nullable)
    }

    /// Describes the layout of the aggregate's state: equal signatures mean equal layouts.
    pub(crate) fn signature(&self) -> &str {
        &self.signature
    }

    /// What the aggregate reads of a batch.
    pub(crate) fn input(&self, batch: &RecordBatch) -> AggregateInput {
        let column = self.column.map(|column| batch.column(column).clone());
        let nulls = column.as_ref().and_then(|column| column.nulls()).filter(|nulls| nulls.null_count() > 0);
        let nulls = nulls.filter(|_| !self.keeps_nulls());
        let valid = match self.filter {
            None => nulls.cloned(),
            Some(filter) => {
                let filter = batch.column(filter).as_boolean();
                let is_true = NullBuffer::new(filter.values().clone());
                let is_true = NullBuffer::union(Some(&is_true), filter.nulls());
                NullBuffer::union(is_true.as_ref(), nulls)
            }
        };
        AggregateInput { column, valid }
    }

    fn keeps_nulls(&self) -> bool {
        self.kind == Kind::ValueList { ignore_nulls: false }
    }

    /// See [`AggregateFunction::merges`](super::AggregateFunction::merges). False in hand-written windows.
    pub(crate) fn merges(&self) -> bool {
        self.merges
    }

    /// An accumulator without slots.
    pub(crate) fn accumulator(&self) -> Box<dyn Accumulator> {
        match &self.input {
            ArrowType::Decimal128(..) if self.keeps_nulls() => self.accumulator_of::<Option<i128>>(),
            ArrowType::Float32 | ArrowType::Float64 if self.keeps_nulls() => self.accumulator_of::<Option<f64>>(),
            ArrowType::Utf8 if self.keeps_nulls() => self.accumulator_of::<Option<Box<str>>>(),
            ArrowType::Binary if self.keeps_nulls() => self.accumulator_of::<Option<Box<[u8]>>>(),
            _ if self.keeps_nulls() => self.accumulator_of::<Option<i64>>(),
            ArrowType::Decimal128(..) => self.accumulator_of::<i128>(),
            ArrowType::Float32 | ArrowType::Float64 => self.accumulator_of::<f64>(),
            ArrowType::Utf8 => self.accumulator_of::<Box<str>>(),
            ArrowType::Binary => self.accumulator_of::<Box<[u8]>>(),
            _ => self.accumulator_of::<i64>(),
        }
    }

    /// An accumulator without slots that can take rows back: [`Accumulator::change`].
    pub(crate) fn retractable_accumulator(&self) -> Box<dyn Accumulator> {
        match &self.input {
            ArrowType::Decimal128(..) if self.keeps_nulls() => self.retractable_of::<Option<i128>>(),
            ArrowType::Float32 | ArrowType::Float64 if self.keeps_nulls() => self.retractable_of::<Option<f64>>(),
            ArrowType::Utf8 if self.keeps_nulls() => self.retractable_of::<Option<Box<str>>>(),
            ArrowType::Binary if self.keeps_nulls() => self.retractable_of::<Option<Box<[u8]>>>(),
            _ if self.keeps_nulls() => self.retractable_of::<Option<i64>>(),
            ArrowType::Decimal128(..) => self.retractable_of::<i128>(),
            ArrowType::Float32 | ArrowType::Float64 => self.retractable_of::<f64>(),
            ArrowType::Utf8 => self.retractable_of::<Box<str>>(),
            ArrowType::Binary => self.retractable_of::<Box<[u8]>>(),
            _ => self.retractable_of::<i64>(),
        }
    }

    fn retractable_of<C: Cell>(&self) -> Box<dyn Accumulator> {
        let plain: Box<dyn Accumulator> = match &self.kind {
            Kind::Extreme(preference) => {
                let shown = if preference.is_greatest() { CountsShown::Greatest } else { CountsShown::Least };
                Box::new(Counted::<C>::new(shown, self.input.clone()))
            }
            Kind::ValueList { .. } => Box::new(Retained::<C, _>::new(ListedArrivals { data_type: self.result.clone() })),
            Kind::Picked { last } => {
                Box::new(Retained::<C, _>::new(PickedArrival { last: *last, data_type: self.input.clone() }))
            }
            Kind::TextList { delimiter } => {
                Box::new(Retained::<Box<str>, _>::new(JoinedArrivals { delimiter: delimiter.clone() }))
            }
            Kind::Count | Kind::Sum { .. } | Kind::ExactSum { .. } | Kind::Variance { .. } | Kind::Multiset => {
                self.plain_accumulator::<C>()
            }
        };
        if !self.distinct {
            return plain;
        }
        let inner = (self.kind != Kind::Count).then_some(plain);
        Box::new(DistinctCounts::<C>::new(inner, self.input.clone()))
    }

    /// `C` is the kind of values that the input column has.
    fn accumulator_of<C: Cell>(&self) -> Box<dyn Accumulator> {
        let plain = self.plain_accumulator::<C>();
        // A repetition does not change the first value, as long as no row is taken back.
        if !self.distinct || self.kind == (Kind::Picked { last: false }) {
            return plain;
        }
        let inner = (self.kind != Kind::Count).then_some(plain);
        Box::new(Distinct::<C>::new(inner, self.input.clone()))
    }

    fn plain_accumulator<C: Cell>(&self) -> Box<dyn Accumulator> {
        let result = |average: bool| SumResult { name: self.name.clone(), average, data_type: self.result.clone() };
        match (&self.kind, &self.input) {
            (Kind::Count, _) => Box::new(Count::default()),
            (Kind::Sum { average }, ArrowType::Decimal128(..)) => {
                Box::new(DecimalSum::new(*average, &self.input, self.result.clone()))
            }
            (Kind::Sum { average: false }, ArrowType::Float32) => Box::new(Sum::<f32>::new(result(false))),
            (Kind::Sum { average } | Kind::ExactSum { average }, ArrowType::Float32 | ArrowType::Float64) => {
                Box::new(Sum::<f64>::new(result(*average)))
            }
            (Kind::Sum { average }, _) => Box::new(Sum::<i64>::new(result(*average))),
            (Kind::ExactSum { average }, _) => Box::new(Sum::<i128>::new(result(*average))),
            (Kind::Extreme(preference), _) => Box::new(Extreme::<C>::new(*preference, self.input.clone())),
            (Kind::Picked { last }, _) => Box::new(Picked::<C>::new(*last, self.input.clone())),
            (Kind::Variance { sample, root }, _) => Box::new(Variance::new(*sample, *root, self.result.clone())),
            (Kind::TextList { delimiter }, _) => Box::new(TextList::new(delimiter.clone())),
            (Kind::ValueList { .. }, _) => Box::new(ValueList::<C>::new(self.result.clone())),
            (Kind::Multiset, _) => Box::new(Counted::<C>::new(CountsShown::Multiset(self.result.clone()), self.input.clone())),
        }
    }
}

impl Kind {
    fn of(function: Function, delimiter: String, ignore_nulls: bool) -> Self {
        match function {
            Function::Count => Self::Count,
            Function::Sum => Self::Sum { average: false },
            Function::Avg => Self::Sum { average: true },
            Function::Min => Self::Extreme(Preference::Least),
            Function::Max => Self::Extreme(Preference::Greatest),
            Function::FirstValue => Self::Picked { last: false },
            Function::LastValue => Self::Picked { last: true },
            Function::Variance { sample, root } => Self::Variance { sample, root },
            Function::ListAgg => Self::TextList { delimiter: delimiter.into() },
            Function::ArrayAgg => Self::ValueList { ignore_nulls },
            Function::Collect => Self::Multiset,
        }
    }
}

fn boolean_column(aggregate: &str, input: &Schema, column: &str) -> Result<usize, OperatorError> {
    let index = schema::column_index(input, column)?;
    let data_type = input.field(index).data_type();
    if data_type != &ArrowType::Boolean {
        let what = format!("its filter {column:?} is of type {}, not BOOLEAN", schema::type_name(data_type));
        return Err(refuse(aggregate, "AGG-TYPE", &what));
    }
    Ok(index)
}
