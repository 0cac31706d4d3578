//! The types of aggregate calls, by Flink's rules.

use weir_protocol::job_graph::{DataType, ElementType};

/// One aggregate function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AggregateFunction {
    /// Its name in SQL in lower case, and in the option `aggregates` of operators.
    pub name: &'static str,
    /// Other names in SQL.
    pub aliases: &'static [&'static str],
    /// How a call is written.
    pub syntax: &'static str,
    /// One sentence that says what it returns.
    pub doc: &'static str,
    pub(super) function: Function,
}

impl AggregateFunction {
    /// Whether the rows of a group can be aggregated in parts that are merged later: their order does not matter, and a part takes less
    /// room than its rows.
    pub fn merges(&self, distinct: bool) -> bool {
        match self.function {
            // A repetition does not change these.
            Function::Min | Function::Max => true,
            Function::Count | Function::Sum | Function::Avg | Function::Variance { .. } => !distinct,
            Function::FirstValue | Function::LastValue | Function::ListAgg | Function::ArrayAgg | Function::Collect => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    FirstValue,
    LastValue,
    Variance { sample: bool, root: bool },
    ListAgg,
    ArrayAgg,
    Collect,
}

/// The types of an aggregate call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedAggregate {
    /// The function's name in the option `aggregates` of operators: an alias is replaced.
    pub function: &'static str,
    /// What each argument is cast to. An argument that has this type already is left as it is.
    pub arguments: Vec<DataType>,
    pub result: DataType,
    nulls: Nulls,
}

/// When a result is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nulls {
    Never,
    /// If no value was left to aggregate.
    WithoutValues,
    Possible,
}

impl ResolvedAggregate {
    /// Whether the result can be null in a group with at least one row. `argument` says whether the argument can be null, `filter`
    /// whether the call has a FILTER.
    pub fn nullable(&self, argument: bool, filter: bool) -> bool {
        match self.nulls {
            Nulls::Never => false,
            Nulls::WithoutValues => argument || filter,
            Nulls::Possible => true,
        }
    }
}

const fn function(name: &'static str, syntax: &'static str, doc: &'static str, function: Function) -> AggregateFunction {
    AggregateFunction { name, aliases: &[], syntax, doc, function }
}

const FUNCTIONS: &[AggregateFunction] = &[
    function("count", "COUNT(*) or COUNT([DISTINCT] x)", "The number of rows, or of values that are not NULL.", Function::Count),
    function(
        "sum",
        "SUM([DISTINCT] x)",
        "The sum; a sum of integers has their type and wraps around, a sum of decimals has 38 digits and is NULL if it has more.",
        Function::Sum,
    ),
    function(
        "avg",
        "AVG([DISTINCT] x)",
        "The average; that of integers has their type and is rounded towards zero.",
        Function::Avg,
    ),
    function("min", "MIN(x)", "The least value.", Function::Min),
    function("max", "MAX(x)", "The greatest value.", Function::Max),
    function("first_value", "FIRST_VALUE(x)", "The value that arrived first.", Function::FirstValue),
    function("last_value", "LAST_VALUE(x)", "The value that arrived last.", Function::LastValue),
    function(
        "stddev_pop",
        "STDDEV_POP([DISTINCT] x)",
        "The standard deviation of the whole population, in the type of an average.",
        Function::Variance { sample: false, root: true },
    ),
    AggregateFunction {
        name: "stddev_samp",
        aliases: &["stddev"],
        syntax: "STDDEV_SAMP([DISTINCT] x) or STDDEV([DISTINCT] x)",
        doc: "The standard deviation of a sample, in the type of an average; NULL for a single value.",
        function: Function::Variance { sample: true, root: true },
    },
    function(
        "var_pop",
        "VAR_POP([DISTINCT] x)",
        "The variance of the whole population, in the type of an average.",
        Function::Variance { sample: false, root: false },
    ),
    AggregateFunction {
        name: "var_samp",
        aliases: &["variance"],
        syntax: "VAR_SAMP([DISTINCT] x) or VARIANCE([DISTINCT] x)",
        doc: "The variance of a sample, in the type of an average; NULL for a single value.",
        function: Function::Variance { sample: true, root: false },
    },
    function(
        "listagg",
        "LISTAGG([DISTINCT] text [, delimiter])",
        "The texts, one after the other, with the delimiter between them; the delimiter is a constant, by default a comma.",
        Function::ListAgg,
    ),
    function(
        "array_agg",
        "ARRAY_AGG([DISTINCT] x) [{RESPECT | IGNORE} NULLS]",
        "An array of the values in the order of arrival, with NULLs unless they are ignored; NULL if there are none.",
        Function::ArrayAgg,
    ),
    function(
        "collect",
        "COLLECT([DISTINCT] x)",
        "A multiset of the values that are not NULL: each distinct value with its number.",
        Function::Collect,
    ),
];

/// Every aggregate function.
pub fn all() -> impl Iterator<Item = &'static AggregateFunction> {
    FUNCTIONS.iter()
}

/// Types a call of the aggregate `function`, whose name counts in lower case. COUNT(*) has no arguments. The error says what is
/// wrong, in words that stand alone.
pub fn resolve(function: &str, arguments: &[DataType], distinct: bool) -> Result<ResolvedAggregate, String> {
    let name = function.to_lowercase();
    let named = |candidate: &&AggregateFunction| candidate.name == name || candidate.aliases.contains(&name.as_str());
    let Some(found) = all().find(named) else {
        let known: Vec<_> = all().map(|function| function.name).collect();
        return Err(format!("no aggregate function is called {name:?}; there are {}", known.join(", ")));
    };
    typed(found, arguments, distinct).map_err(|what| format!("{}: {what}", found.name.to_uppercase()))
}

fn typed(found: &AggregateFunction, arguments: &[DataType], distinct: bool) -> Result<ResolvedAggregate, String> {
    let resolved = |arguments: &[DataType], result: DataType, nulls: Nulls| {
        Ok(ResolvedAggregate { function: found.name, arguments: arguments.to_vec(), result, nulls })
    };
    if found.function == Function::Count && arguments.is_empty() {
        return if distinct {
            Err("DISTINCT needs a value to count".into())
        } else {
            resolved(&[], DataType::Bigint, Nulls::Never)
        };
    }
    let most = if found.function == Function::ListAgg { 2 } else { 1 };
    if arguments.is_empty() || arguments.len() > most {
        return Err(format!(
            "takes {}, not {} arguments: {}",
            if most == 2 { "one or two" } else { "one" },
            arguments.len(),
            found.syntax
        ));
    }
    let value = &arguments[0];
    if distinct {
        check_distinct(found.function, value)?;
    }
    match found.function {
        Function::Count => resolved(arguments, DataType::Bigint, Nulls::Never),
        Function::Sum | Function::Avg | Function::Variance { .. } if !value.is_numeric() => {
            Err(format!("takes a number, not {value}"))
        }
        Function::Sum => {
            let result = match value {
                DataType::Decimal { scale, .. } => {
                    DataType::Decimal { precision: DataType::MAX_DECIMAL_PRECISION, scale: *scale }
                }
                other => other.clone(),
            };
            let nulls = if matches!(value, DataType::Decimal { .. }) { Nulls::Possible } else { Nulls::WithoutValues };
            resolved(arguments, result, nulls)
        }
        Function::Avg => {
            let nulls = if matches!(value, DataType::Decimal { .. }) { Nulls::Possible } else { Nulls::WithoutValues };
            resolved(arguments, average(value), nulls)
        }
        Function::Variance { .. } => resolved(arguments, average(value), Nulls::Possible),
        Function::Min | Function::Max if value.is_binary() || value.is_nested() => {
            Err(format!("can't compare values of type {value}"))
        }
        Function::FirstValue | Function::LastValue | Function::ArrayAgg | Function::Collect if value.is_nested() => {
            Err(format!("can't keep values of type {value}"))
        }
        Function::Min | Function::Max | Function::FirstValue | Function::LastValue => {
            resolved(arguments, value.clone(), Nulls::WithoutValues)
        }
        Function::ArrayAgg => {
            let element = ElementType { data_type: value.clone(), nullable: true };
            resolved(arguments, DataType::Array(Box::new(element)), Nulls::Possible)
        }
        Function::Collect => {
            let element = ElementType { data_type: value.clone(), nullable: true };
            resolved(arguments, DataType::Multiset(Box::new(element)), Nulls::Never)
        }
        Function::ListAgg => match arguments.iter().find(|argument| !argument.is_text()) {
            Some(other) => Err(format!("takes texts, not {other}; cast it to STRING")),
            None => resolved(arguments, value.clone(), Nulls::WithoutValues),
        },
    }
}

fn check_distinct(function: Function, value: &DataType) -> Result<(), String> {
    if value.is_nested() || value.is_binary() && function == Function::Count {
        return Err(format!("can't tell distinct values of type {value}"));
    }
    if function == Function::LastValue {
        return Err("can't be combined with DISTINCT".into());
    }
    Ok(())
}

/// The type of an average: that of the values, but decimals have 38 digits, at least 6 of them after the point.
fn average(value: &DataType) -> DataType {
    match value {
        DataType::Decimal { scale, .. } => {
            DataType::Decimal { precision: DataType::MAX_DECIMAL_PRECISION, scale: (*scale).max(6) }
        }
        other => other.clone(),
    }
}
