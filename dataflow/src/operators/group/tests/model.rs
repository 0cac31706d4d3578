//! The operator, row by row, with a list of values for each group and aggregate.

use std::collections::BTreeMap;

use super::*;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    Int(i64),
    Text(String),
}

/// Function, column, DISTINCT, FILTER, delimiter.
type Call = (&'static str, Option<&'static str>, bool, bool, Option<&'static str>);

const CALLS: &[Call] = &[
    ("count", None, false, false, None),
    ("count", Some("v"), false, false, None),
    ("count", Some("v"), false, true, None),
    ("sum", Some("v"), false, false, None),
    ("avg", Some("v"), false, false, None),
    ("sum", Some("d"), false, true, None),
    ("avg", Some("m"), false, false, None),
    ("min", Some("v"), false, false, None),
    ("max", Some("d"), false, false, None),
    ("max", Some("s"), false, true, None),
    ("first_value", Some("v"), false, false, None),
    ("last_value", Some("s"), false, false, None),
    ("listagg", Some("s"), false, false, None),
    ("listagg", Some("s"), true, false, Some("|")),
    ("count", Some("s"), true, false, None),
    ("sum", Some("v"), true, true, None),
    ("first_value", Some("v"), true, false, None),
];

/// The option `aggregates`.
pub(super) fn descriptors() -> Value {
    let call = |(index, (function, column, distinct, filter, delimiter)): (usize, &Call)| {
        json!({"name": format!("a{index}"), "function": function, "column": column, "distinct": distinct,
            "filter": filter.then_some("keep"), "delimiter": delimiter})
    };
    CALLS.iter().enumerate().map(call).collect()
}

#[derive(Debug, Clone, Default)]
struct Values {
    /// The values that are there, in the order of arrival.
    list: Vec<Cell>,
    /// With DISTINCT: the values in the order in which they appeared, and how often each is there.
    distinct: Vec<(Cell, i64)>,
    sum: i64,
    count: i64,
}

#[derive(Debug, Clone)]
struct Group {
    rows: i64,
    values: Vec<Values>,
    touched_ms: u64,
}

/// The operator.
pub(super) struct Model {
    setup: Setup,
    groups: BTreeMap<Vec<String>, Group>,
    pub(super) now_ms: u64,
    /// Rows that took away from a group that did not exist.
    pub(super) missing: u64,
}

impl Model {
    pub(super) fn new(setup: &Setup) -> Self {
        Self { setup: setup.clone(), groups: BTreeMap::new(), now_ms: 0, missing: 0 }
    }

    /// The changes that a batch must cause, in their order.
    pub(super) fn process(&mut self, changes: &[Change]) -> Vec<Vec<String>> {
        let mut touched: Vec<(Vec<String>, Option<Vec<String>>)> = Vec::new();
        for (row, kind) in changes {
            let key: Vec<String> = self.setup.keys.iter().map(|name| text(column(row, name))).collect();
            let ttl = self.setup.ttl_ms;
            self.groups.retain(|_, group| ttl == 0 || group.touched_ms + ttl > self.now_ms);
            if kind.weight() < 0 && !self.groups.contains_key(&key) {
                self.missing += 1;
                continue;
            }
            if !touched.iter().any(|(known, _)| *known == key) {
                touched.push((key.clone(), self.groups.get(&key).map(Group::results)));
            }
            let calls = if self.setup.with_aggregates { CALLS.len() } else { 0 };
            let new = || Group { rows: 0, values: vec![Values::default(); calls], touched_ms: 0 };
            let group = self.groups.entry(key.clone()).or_insert_with(new);
            group.touched_ms = self.now_ms;
            group.rows += kind.weight();
            for (values, call) in group.values.iter_mut().zip(CALLS) {
                if call.3 && row.keep != Some(true) {
                    continue;
                }
                let value = call.1.map_or(Some(Cell::Int(0)), |name| column(row, name));
                value.into_iter().for_each(|value| self.missing += values.change(value, kind.weight(), call));
            }
            if group.rows == 0 {
                self.groups.remove(&key);
            }
        }
        touched.into_iter().flat_map(|(key, old)| self.changes(key, old)).collect()
    }

    fn changes(&self, key: Vec<String>, old: Option<Vec<String>>) -> Vec<Vec<String>> {
        let line = |kind: &str, results: Vec<String>| {
            let kind = (!self.setup.is_plain()).then(|| kind.to_owned());
            key.iter().cloned().chain(results).chain(kind).collect()
        };
        match (old, self.groups.get(&key).map(Group::results)) {
            (None, None) => vec![],
            (None, Some(new)) => vec![line("+I", new)],
            (Some(old), None) => vec![line("-D", old)],
            (Some(old), Some(new)) if old == new && self.setup.ttl_ms == 0 => vec![],
            (Some(_), Some(_)) if self.setup.is_plain() => vec![],
            (Some(old), Some(new)) if self.setup.update_before => vec![line("-U", old), line("+U", new)],
            (Some(_), Some(new)) => vec![line("+U", new)],
        }
    }
}

impl Group {
    fn results(&self) -> Vec<String> {
        self.values.iter().zip(CALLS).map(|(values, call)| values.result(call)).collect()
    }
}

impl Values {
    /// Returns 1 if a value is taken away that is not there.
    fn change(&mut self, value: Cell, weight: i64, call: &Call) -> u64 {
        if !call.2 {
            return self.change_list(value, weight, call);
        }
        match self.distinct.iter().position(|(known, _)| *known == value) {
            None if weight < 0 => return 1,
            None => {
                self.distinct.push((value.clone(), 1));
                return self.change_list(value, 1, call);
            }
            Some(index) => {
                self.distinct[index].1 += weight;
                if self.distinct[index].1 == 0 {
                    self.distinct.remove(index);
                    return self.change_list(value, -1, call);
                }
            }
        }
        0
    }

    fn change_list(&mut self, value: Cell, weight: i64, call: &Call) -> u64 {
        self.count += weight;
        if let Cell::Int(value) = value {
            self.sum += weight * value;
        }
        if weight > 0 {
            self.list.push(value);
            return 0;
        }
        match self.list.iter().position(|known| *known == value) {
            Some(index) => {
                self.list.remove(index);
                0
            }
            // Numbers are taken away from a sum whether they are there or not.
            None => u64::from(!matches!(call.0, "count" | "sum" | "avg")),
        }
    }

    fn result(&self, (function, column, _, _, delimiter): &Call) -> String {
        let some = self.count != 0;
        let value = match *function {
            "count" => return self.count.to_string(),
            "sum" => some.then_some(Cell::Int(self.sum)),
            "avg" if *column == Some("m") => return if some { average(self.sum * 25, self.count) } else { "NULL".into() },
            "avg" => some.then(|| Cell::Int(self.sum / self.count)),
            "min" => self.list.iter().min().cloned(),
            "max" => self.list.iter().max().cloned(),
            "first_value" => self.list.first().cloned(),
            "last_value" => self.list.last().cloned(),
            _ => {
                let texts: Vec<_> = self.list.iter().cloned().map(|value| text(Some(value))).collect();
                (!texts.is_empty()).then(|| Cell::Text(texts.join(delimiter.unwrap_or(","))))
            }
        };
        match value {
            Some(Cell::Int(value)) if *column == Some("d") => format!("{:?}", value as f64 / 2.0),
            value => text(value),
        }
    }
}

/// The average of hundredths, with six digits, rounded half away from zero.
fn average(hundredths: i64, count: i64) -> String {
    let (sum, count) = (hundredths * 10_000 * count.signum(), count.abs());
    let rounded = (sum.abs() * 2 + count) / (count * 2);
    let sign = if sum < 0 && rounded > 0 { "-" } else { "" };
    format!("{sign}{}.{:06}", rounded / 1_000_000, rounded % 1_000_000)
}

fn column(row: &Row, name: &str) -> Option<Cell> {
    match name {
        "k" => row.k.map(Cell::Int),
        "s" => row.s.clone().map(Cell::Text),
        _ => row.v.map(Cell::Int),
    }
}

fn text(value: Option<Cell>) -> String {
    match value {
        None => "NULL".into(),
        Some(Cell::Int(value)) => value.to_string(),
        Some(Cell::Text(text)) => text,
    }
}
