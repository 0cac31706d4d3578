//! The type that several values have in common: of the branches of CASE, of the sides of UNION, of the arguments of COALESCE.

use weir_protocol::job_graph::{DataType, ElementType, RowField};

use super::decimal;

/// How approximate numbers and points in time combine. Flink has two rules.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// The first of FLOAT and DOUBLE wins, and TIMESTAMP over TIMESTAMP_LTZ.
    LeastRestrictive,
    /// DOUBLE wins over FLOAT, and TIMESTAMP_LTZ over TIMESTAMP.
    Merged,
}

/// The common type of CASE, IF, UNION, arithmetic and comparison, which all values can be cast to. `None` if there is none. The
/// order counts: of FLOAT and DOUBLE, the first wins. The caller leaves out untyped NULLs.
pub fn common_type(types: &[DataType]) -> Option<DataType> {
    combine(types, Rule::LeastRestrictive)
}

/// The common type of COALESCE, IFNULL, GREATEST and LEAST. `None` if there is none.
pub fn merged_type(types: &[DataType]) -> Option<DataType> {
    combine(types, Rule::Merged)
}

fn combine(types: &[DataType], rule: Rule) -> Option<DataType> {
    let (first, rest) = types.split_first()?;
    rest.iter().try_fold(first.clone(), |common, next| pair(&common, next, rule))
}

fn pair(a: &DataType, b: &DataType, rule: Rule) -> Option<DataType> {
    use DataType as T;
    if a == b {
        return Some(a.clone());
    }
    if a.is_numeric() && b.is_numeric() {
        return numbers(a, b, rule);
    }
    if a.is_text() && b.is_text() {
        return Some(text_of(length(a)?.max(length(b)?)));
    }
    if a.is_binary() && b.is_binary() {
        let length = length(a)?.max(length(b)?);
        return Some(if length == u32::MAX { T::Bytes } else { T::Varbinary(length) });
    }
    Some(match (a, b) {
        (T::Time(p), T::Time(q)) => T::Time(*p.max(q)),
        (T::Timestamp(p), T::Timestamp(q)) => T::Timestamp(*p.max(q)),
        (T::TimestampLtz(p), T::TimestampLtz(q)) => T::TimestampLtz(*p.max(q)),
        (T::Timestamp(p), T::TimestampLtz(q)) | (T::TimestampLtz(p), T::Timestamp(q)) => match rule {
            Rule::LeastRestrictive => T::Timestamp(*p.max(q)),
            Rule::Merged => T::TimestampLtz(*p.max(q)),
        },
        (T::Array(a), T::Array(b)) => T::Array(Box::new(element(a, b, rule)?)),
        (T::Multiset(a), T::Multiset(b)) => T::Multiset(Box::new(element(a, b, rule)?)),
        (T::Map(k, v), T::Map(l, w)) => T::Map(Box::new(element(k, l, rule)?), Box::new(element(v, w, rule)?)),
        (T::Row(a), T::Row(b)) if a.len() == b.len() => {
            let field = |(a, b): (&RowField, &RowField)| {
                let data_type = pair(&a.data_type, &b.data_type, rule)?;
                Some(RowField { name: a.name.clone(), data_type, nullable: a.nullable || b.nullable })
            };
            T::Row(a.iter().zip(b).map(field).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn element(a: &ElementType, b: &ElementType, rule: Rule) -> Option<ElementType> {
    Some(ElementType { data_type: pair(&a.data_type, &b.data_type, rule)?, nullable: a.nullable || b.nullable })
}

fn numbers(a: &DataType, b: &DataType, rule: Rule) -> Option<DataType> {
    use DataType as T;
    let approximate = |t: &DataType| matches!(t, T::Float | T::Double);
    Some(match (approximate(a), approximate(b)) {
        (true, true) => match rule {
            Rule::LeastRestrictive => a.clone(),
            Rule::Merged => T::Double,
        },
        (true, false) if b.is_integer() => a.clone(),
        (false, true) if a.is_integer() => b.clone(),
        (true, false) | (false, true) => T::Double,
        (false, false) if a.is_integer() && b.is_integer() => a.max(b).clone(),
        (false, false) => decimal::wider_type(decimal::precision_and_scale(a)?, decimal::precision_and_scale(b)?),
    })
}

/// Longest text or bytes of this type; `u32::MAX` if there is no limit.
fn length(data_type: &DataType) -> Option<u32> {
    match data_type {
        DataType::Char(n) | DataType::Varchar(n) | DataType::Binary(n) | DataType::Varbinary(n) => Some(*n),
        DataType::String | DataType::Bytes => Some(u32::MAX),
        _ => None,
    }
}

fn text_of(length: u32) -> DataType {
    if length == u32::MAX { DataType::String } else { DataType::Varchar(length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rule: fn(&[DataType]) -> Option<DataType>, types: &str) -> String {
        let types: Vec<DataType> = types.split(" | ").map(|text| text.parse().unwrap()).collect();
        rule(&types).map_or_else(|| "none".to_owned(), |found| found.to_string())
    }

    #[test]
    fn case_and_union_take_flinks_least_restrictive_type() {
        for (types, expected) in [
            ("INT | BIGINT", "BIGINT"),
            ("TINYINT | SMALLINT", "SMALLINT"),
            ("INT | DECIMAL(2, 1)", "DECIMAL(11, 1)"),
            ("DECIMAL(10, 2) | DECIMAL(20, 5)", "DECIMAL(20, 5)"),
            ("DECIMAL(38, 2) | DECIMAL(38, 20)", "DECIMAL(38, 2)"),
            ("DECIMAL(10, 2) | BIGINT", "DECIMAL(21, 2)"),
            ("FLOAT | BIGINT", "FLOAT"),
            ("FLOAT | DECIMAL(10, 2)", "DOUBLE"),
            ("FLOAT | DOUBLE", "FLOAT"),
            ("DOUBLE | FLOAT", "DOUBLE"),
            ("CHAR(1) | CHAR(3)", "VARCHAR(3)"),
            ("CHAR(3) | CHAR(3)", "CHAR(3)"),
            ("VARCHAR(2) | STRING", "STRING"),
            ("BINARY(1) | VARBINARY(3)", "VARBINARY(3)"),
            ("BYTES | BINARY(2)", "BYTES"),
            ("TIMESTAMP(0) | TIMESTAMP(6)", "TIMESTAMP(6)"),
            ("TIMESTAMP_LTZ(3) | TIMESTAMP(0)", "TIMESTAMP(3)"),
            ("DATE | TIMESTAMP(3)", "none"),
            ("TIME(0) | DATE", "none"),
            ("INT | STRING", "none"),
            ("BOOLEAN | INT", "none"),
            ("ARRAY<INT> | ARRAY<BIGINT NOT NULL>", "ARRAY<BIGINT>"),
            ("ROW<a INT> | ROW<b BIGINT>", "ROW<`a` BIGINT>"),
            ("INT | BIGINT | DOUBLE", "DOUBLE"),
        ] {
            assert_eq!(of(common_type, types), expected, "{types}");
        }
        assert_eq!(common_type(&[]), None);
    }

    #[test]
    fn coalesce_takes_flinks_merged_type() {
        for (types, expected) in [
            ("FLOAT | DOUBLE", "DOUBLE"),
            ("FLOAT | DECIMAL(2, 1)", "DOUBLE"),
            ("TIMESTAMP(3) | TIMESTAMP_LTZ(6)", "TIMESTAMP_LTZ(6)"),
            ("CHAR(2) | VARCHAR(5)", "VARCHAR(5)"),
            ("INT | DECIMAL(3, 1)", "DECIMAL(11, 1)"),
            ("INT | STRING", "none"),
        ] {
            assert_eq!(of(merged_type, types), expected, "{types}");
        }
    }
}
