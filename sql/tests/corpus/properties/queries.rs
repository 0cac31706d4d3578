//! Random queries. A list of numbers makes all choices, so that a shorter list or smaller numbers make a simpler query.

/// Makes choices. When the numbers are used up, it always chooses the first possibility.
#[derive(Clone)]
pub(super) struct Dice<'a> {
    choices: &'a [u8],
}

impl<'a> Dice<'a> {
    pub(super) fn new(choices: &'a [u8]) -> Self {
        Self { choices }
    }

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        let Some((first, rest)) = self.choices.split_first() else { return 0 };
        self.choices = rest;
        usize::from(*first) % bound.max(1)
    }

    fn pick<'b, T>(&mut self, from: &'b [T]) -> &'b T {
        &from[self.below(from.len())]
    }
}

/// The types of columns, as far as they decide what can be done with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Int,
    Bigint,
    Decimal,
    /// Halves, of which sums are exact.
    Double,
    /// A double whose sum depends on the order of addition.
    Inexact,
    Text,
    Boolean,
    Time,
}

impl Type {
    /// Whether sums do not depend on the order of addition.
    fn is_summable(self) -> bool {
        matches!(self, Self::Int | Self::Bigint | Self::Decimal | Self::Double)
    }
}

/// A query, and what it returns.
#[derive(Clone)]
struct Rows {
    sql: String,
    columns: Vec<(String, Type)>,
    /// Whether rows may be taken back.
    updating: bool,
}

/// The text of a query.
pub(super) fn query(dice: &mut Dice<'_>) -> String {
    let depth = 1 + dice.below(4);
    rows(dice, depth, "t").sql
}

fn rows(dice: &mut Dice<'_>, depth: usize, table: &str) -> Rows {
    if depth == 0 {
        return leaf(dice, table);
    }
    match dice.below(8) {
        0 => projected(dice, depth, table),
        1 => filtered(dice, depth, table),
        2 => distinct(dice, depth, table),
        3 => union(dice, depth, table),
        _ => grouped(dice, depth, table),
    }
}

fn leaf(dice: &mut Dice<'_>, table: &str) -> Rows {
    let columns = [
        ("k", Type::Int),
        ("s", Type::Text),
        ("v", Type::Bigint),
        ("d", Type::Decimal),
        ("f", Type::Double),
        ("b", Type::Boolean),
    ];
    let columns: Vec<_> = columns.into_iter().map(|(name, of)| (name.to_owned(), of)).collect();
    if table == "t" && dice.below(3) == 1 {
        return windowed(dice, columns);
    }
    let names: Vec<_> = columns.iter().map(|(name, _)| name.as_str()).collect();
    Rows { sql: format!("SELECT {} FROM {table}", names.join(", ")), columns, updating: false }
}

/// Windows over `t`: the rows with their windows, or aggregates of each.
fn windowed(dice: &mut Dice<'_>, columns: Vec<(String, Type)>) -> Rows {
    let shapes = [
        "TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND)",
        "HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '6' SECOND)",
        "CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '8' SECOND)",
        "HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '3' SECOND, INTERVAL '9' SECOND)",
        "TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '7' SECOND, INTERVAL '1' SECOND)",
    ];
    let shape = dice.pick(&shapes);
    let from = format!("FROM TABLE({shape})");
    if dice.below(4) == 3 {
        let mut columns: Vec<_> = columns.into_iter().take(3).collect();
        columns.push(("window_start".into(), Type::Time));
        columns.push(("window_end".into(), Type::Time));
        return Rows { sql: format!("SELECT k, s, v, window_start, window_end {from}"), columns, updating: false };
    }
    let condition = match dice.below(3) {
        2 => format!(" WHERE {}", condition(dice, &columns)),
        _ => String::new(),
    };
    let key = (dice.below(3) > 0).then(|| dice.pick(&columns).clone());
    let mut selected = vec![("window_start".to_owned(), "window_start".to_owned(), Type::Time)];
    selected.push(("window_end".into(), "window_end".into(), Type::Time));
    selected.extend(key.as_ref().map(|(name, of)| (name.clone(), "key0".into(), *of)));
    for number in 0..=dice.below(3) {
        let (call, of) = aggregate(dice, &columns);
        selected.push((call, format!("a{number}"), of));
    }
    let keys = key.map_or(String::new(), |(name, _)| format!(", {name}"));
    let first = Rows {
        sql: format!("SELECT {} {from}{condition} GROUP BY window_start, window_end{keys}", list(&selected)),
        columns: selected.into_iter().map(|(_, name, of)| (name, of)).collect(),
        updating: false,
    };
    if dice.below(4) < 3 {
        return first;
    }
    // The windows of the first aggregation are aggregated once more.
    let values: Vec<_> = first.columns.iter().filter(|(name, _)| name.starts_with('a')).cloned().collect();
    let (call, of) = aggregate(dice, &values);
    let sql = format!("SELECT window_start, window_end, {call} AS b0 FROM ({}) GROUP BY window_start, window_end", first.sql);
    let columns = vec![("window_start".into(), Type::Time), ("window_end".into(), Type::Time), ("b0".into(), of)];
    Rows { sql, columns, updating: false }
}

fn list(selected: &[(String, String, Type)]) -> String {
    selected.iter().map(|(what, name, _)| format!("{what} AS {name}")).collect::<Vec<_>>().join(", ")
}

fn projected(dice: &mut Dice<'_>, depth: usize, table: &str) -> Rows {
    let input = rows(dice, depth - 1, table);
    let selected: Vec<_> = (0..=dice.below(4))
        .map(|number| {
            let (what, of) = scalar(dice, &input.columns);
            (what, format!("p{number}"), of)
        })
        .collect();
    Rows {
        sql: format!("SELECT {} FROM ({})", list(&selected), input.sql),
        columns: selected.into_iter().map(|(_, name, of)| (name, of)).collect(),
        updating: input.updating,
    }
}

/// An expression that never fails.
fn scalar(dice: &mut Dice<'_>, columns: &[(String, Type)]) -> (String, Type) {
    let (name, of) = dice.pick(columns).clone();
    match (of, dice.below(6)) {
        (Type::Int, 1) => (format!("{name} + 1"), Type::Int),
        (Type::Int, 2) => (format!("MOD({name}, 3)"), Type::Int),
        (Type::Int | Type::Bigint, 3) => (format!("COALESCE(CAST({name} AS BIGINT), 7)"), Type::Bigint),
        (Type::Bigint, 1) => (format!("{name} * 3"), Type::Bigint),
        (Type::Bigint, 2) => (format!("MOD({name}, 2)"), Type::Bigint),
        (Type::Text, 1) => (format!("UPPER({name})"), Type::Text),
        (Type::Text, 2) => (format!("CHAR_LENGTH({name})"), Type::Int),
        (Type::Text, 3) => (format!("{name} || 'x'"), Type::Text),
        (Type::Boolean, 1) => (format!("NOT {name}"), Type::Boolean),
        (Type::Double, 1) => (format!("{name} + 0.5E0"), Type::Double),
        (_, 4) => {
            let condition = condition(dice, columns);
            (format!("CASE WHEN {condition} THEN {name} END"), of)
        }
        (_, 5) => (condition(dice, columns), Type::Boolean),
        _ => (name, of),
    }
}

fn condition(dice: &mut Dice<'_>, columns: &[(String, Type)]) -> String {
    let (name, of) = dice.pick(columns).clone();
    match (of, dice.below(5)) {
        (_, 1) => format!("{name} IS NULL"),
        (Type::Int | Type::Bigint | Type::Decimal | Type::Double | Type::Inexact, 2) => format!("{name} > 0"),
        (Type::Int | Type::Bigint, 3) => format!("MOD({name}, 2) = 0"),
        (Type::Int | Type::Bigint | Type::Decimal, 4) => format!("{name} IN (1, 2)"),
        (Type::Text, 2) => format!("{name} = 'a'"),
        (Type::Text, 3) => format!("{name} < 'b'"),
        (Type::Boolean, 2) => name,
        (Type::Boolean, 3) => format!("{name} IS NOT TRUE"),
        _ => format!("{name} IS NOT NULL"),
    }
}

fn filtered(dice: &mut Dice<'_>, depth: usize, table: &str) -> Rows {
    let input = rows(dice, depth - 1, table);
    let condition = condition(dice, &input.columns);
    Rows { sql: format!("SELECT * FROM ({}) WHERE {condition}", input.sql), ..input }
}

fn distinct(dice: &mut Dice<'_>, depth: usize, table: &str) -> Rows {
    let input = rows(dice, depth - 1, table);
    let mut columns: Vec<(String, Type)> = Vec::new();
    for _ in 0..=dice.below(3) {
        let column = dice.pick(&input.columns);
        if !columns.contains(column) {
            columns.push(column.clone());
        }
    }
    let names: Vec<_> = columns.iter().map(|(name, _)| name.as_str()).collect();
    Rows { sql: format!("SELECT DISTINCT {} FROM ({})", names.join(", "), input.sql), columns, updating: input.updating }
}

/// Two relations of the same shape, the second over the other table, or both over the same.
fn union(dice: &mut Dice<'_>, depth: usize, table: &str) -> Rows {
    let other = *dice.pick(&["u", "t"]);
    let mut same = dice.clone();
    let left = rows(dice, depth - 1, table);
    let mut right = rows(&mut same, depth - 1, other);
    if right.columns != left.columns {
        right = left.clone();
    }
    let is_windowed = left.sql.contains("TABLE(") && !right.sql.contains("TABLE(");
    let right = if is_windowed { left.clone() } else { right };
    let condition = condition(dice, &right.columns);
    Rows {
        sql: format!("SELECT * FROM ({}) UNION ALL SELECT * FROM ({}) WHERE {condition}", left.sql, right.sql),
        columns: left.columns,
        updating: left.updating || right.updating,
    }
}

fn grouped(dice: &mut Dice<'_>, depth: usize, table: &str) -> Rows {
    let input = rows(dice, depth - 1, table);
    let mut keys: Vec<(String, Type)> = Vec::new();
    for _ in 0..dice.below(3) {
        let key = dice.pick(&input.columns);
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }
    let mut selected: Vec<_> =
        keys.iter().enumerate().map(|(number, (name, of))| (name.clone(), format!("g{number}"), *of)).collect();
    for number in 0..=dice.below(4) {
        let (call, of) = aggregate(dice, &input.columns);
        selected.push((call, format!("a{number}"), of));
    }
    let group = match keys.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>() {
        keys if keys.is_empty() => String::new(),
        keys => format!(" GROUP BY {}", keys.join(", ")),
    };
    let having = match dice.below(4) {
        3 => {
            let (call, of) = aggregate(dice, &input.columns);
            format!(" HAVING {}", condition(dice, &[(call, of)]))
        }
        _ => String::new(),
    };
    Rows {
        sql: format!("SELECT {} FROM ({}){group}{having}", list(&selected), input.sql),
        columns: selected.into_iter().map(|(_, name, of)| (name, of)).collect(),
        updating: true,
    }
}

fn aggregate(dice: &mut Dice<'_>, columns: &[(String, Type)]) -> (String, Type) {
    let (name, of) = dice.pick(columns).clone();
    let distinct = *dice.pick(&["", "", "DISTINCT "]);
    let (call, result) = match dice.below(7) {
        1 => (format!("COUNT({distinct}{name})"), Type::Bigint),
        2 if of.is_summable() => (format!("SUM({distinct}{name})"), of),
        3 if of.is_summable() => (format!("AVG({distinct}{name})"), if of == Type::Double { Type::Inexact } else { of }),
        4 => (format!("MIN({name})"), of),
        5 => (format!("MAX({name})"), of),
        6 => (format!("COUNT(DISTINCT {name})"), Type::Bigint),
        _ => ("COUNT(*)".to_owned(), Type::Bigint),
    };
    let filter = match dice.below(4) {
        3 => format!(" FILTER (WHERE {})", condition(dice, columns)),
        _ => String::new(),
    };
    (format!("{call}{filter}"), result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Choice;

    /// So that the property is about all of them.
    #[test]
    fn random_queries_have_every_part_that_can_be_planned() {
        let mut choice = Choice::new(1);
        let queries: Vec<_> = (0..600)
            .map(|_| {
                let choices: Vec<u8> = (0..choice.below(160)).map(|_| choice.below(256) as u8).collect();
                query(&mut Dice::new(&choices))
            })
            .collect();
        for part in [
            "TUMBLE(",
            "HOP(",
            "CUMULATE(",
            "UNION ALL",
            "SELECT DISTINCT",
            "COUNT(DISTINCT",
            "SUM(DISTINCT",
            "AVG(",
            "MIN(",
            "MAX(",
            "FILTER (WHERE",
            "HAVING",
            "CASE WHEN",
            "FROM u",
            "b0",
        ] {
            let number = queries.iter().filter(|query| query.contains(part)).count();
            assert!(number >= 10, "only {number} of {} queries have {part}", queries.len());
        }
        let nested = queries.iter().filter(|query| query.matches("COUNT(").count() > 2 && query.matches("GROUP BY").count() > 1);
        assert!(nested.count() >= 50);
    }
}
