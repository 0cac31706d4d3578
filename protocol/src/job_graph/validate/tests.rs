use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A valid graph: source -> window (hash) -> sink.
fn graph() -> JobGraph {
    let graph = json!({
        "version": 1,
        "name": "bids per auction",
        "vertices": [
            {"id": "bids", "parallelism": 2,
             "operators": [
                {"kind": "source.datagen", "options": {"fields": [
                    {"name": "auction", "type": "bigint", "kind": "random", "min": 0, "max": 99},
                    {"name": "ts", "type": "timestamp_ms", "kind": "timestamp", "step_ms": 10}], "rows": 1000}},
                {"kind": "watermark", "options": {"column": "ts", "out_of_orderness_ms": 0}}],
             "output_schema": [{"name": "auction", "type": "bigint"}, {"name": "ts", "type": "timestamp_ms"}]},
            {"id": "count", "parallelism": 2,
             "operators": [{"kind": "window.tumbling", "options": {"time_column": "ts", "size_ms": 1000, "keys": ["auction"],
                "aggregates": [{"name": "n", "function": "count"}]}}],
             "output_schema": [{"name": "window_start", "type": "timestamp_ms"}, {"name": "auction", "type": "bigint"},
                {"name": "n", "type": "bigint"}]},
            {"id": "out", "parallelism": 2, "operators": [{"kind": "sink.file", "options": {"path": "/tmp/out", "format": "csv"}}]}
        ],
        "edges": [
            {"from": "bids", "to": "count", "partitioning": {"type": "hash", "keys": ["auction"]}},
            {"from": "count", "to": "out"}
        ],
        "checkpointing": {"interval_ms": 1000}
    });
    JobGraph::from_json(&graph.to_string()).unwrap()
}

fn codes(graph: &JobGraph) -> Vec<String> {
    validate(graph).err().unwrap_or_default().into_iter().map(|error| error.code).collect()
}

/// The codes after one change to the valid graph.
fn after(change: impl FnOnce(&mut JobGraph)) -> Vec<String> {
    let mut graph = graph();
    change(&mut graph);
    codes(&graph)
}

fn message_after(change: impl FnOnce(&mut JobGraph)) -> String {
    let mut graph = graph();
    change(&mut graph);
    validate(&graph).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_valid_graph_passes() {
    assert_eq!(validate(&graph()), Ok(()));
    assert_eq!(topological_order(&graph()), Ok(vec![0, 1, 2]));
}

#[test]
fn each_structural_error_has_its_code() {
    assert_eq!(after(|g| g.version = 2), ["JG-VERSION"]);
    assert_eq!(
        after(|g| {
            g.vertices.clear();
            g.edges.clear();
        }),
        ["JG-EMPTY"]
    );
    assert_eq!(after(|g| g.edges[1].to = "oot".into())[0], "JG-DANGLING-EDGE");
    assert!(message_after(|g| g.edges[1].to = "oout".into()).contains("did you mean \"out\"?"));
    assert!(after(|g| g.vertices[1].uid = "bids".into()).contains(&"JG-DUPLICATE-ID".to_owned()));
    assert!(after(|g| g.vertices[1].uid = String::new()).contains(&"JG-NAME".to_owned()));
    assert_eq!(after(|g| g.name = "a\nb".into()), ["JG-NAME"]);
    assert_eq!(after(|g| g.edges.push(g.edges[1].clone())), ["JG-DUPLICATE-EDGE"]);
    assert!(after(|g| g.vertices[2].parallelism = 0).contains(&"JG-PARALLELISM".to_owned()));
    assert!(after(|g| g.vertices[2].parallelism = 129).contains(&"JG-PARALLELISM".to_owned()));
    assert!(after(|g| g.max_parallelism = 0).contains(&"JG-PARALLELISM".to_owned()));
    assert_eq!(after(|g| g.vertices[2].parallelism = 3), ["JG-FORWARD-PARALLELISM"]);
    assert_eq!(after(|g| g.vertices[2].operators.clear()), ["JG-CHAIN"]);
    assert_eq!(after(|g| g.vertices[0].operators.swap(0, 1))[0], "JG-CHAIN");
    assert!(after(|g| g.edges.remove(0).input = 0).contains(&"JG-NO-INPUT".to_owned()));
    assert_eq!(after(|g| g.edges.truncate(1)), ["JG-NO-OUTPUT", "JG-NO-INPUT"]);
    assert_eq!(after(|g| g.edges[1].input = 1), ["JG-INPUT"]);
}

#[test]
fn cycles_and_self_loops_are_refused() {
    let cycle = |g: &mut JobGraph| {
        g.edges.push(super::super::JobEdge {
            from: "count".into(),
            to: "count".into(),
            input: 0,
            partitioning: Partitioning::Rebalance,
        });
    };
    assert!(after(cycle).contains(&"JG-CYCLE".to_owned()));
    let into_source = |g: &mut JobGraph| {
        g.edges.push(super::super::JobEdge {
            from: "count".into(),
            to: "bids".into(),
            input: 0,
            partitioning: Partitioning::Rebalance,
        });
    };
    assert_eq!(after(into_source), ["JG-SOURCE-INPUT", "JG-CYCLE"]);
    let out_of_sink = |g: &mut JobGraph| {
        g.vertices[2].output_schema = g.vertices[1].output_schema.clone();
        g.edges.push(super::super::JobEdge {
            from: "out".into(),
            to: "count".into(),
            input: 0,
            partitioning: Partitioning::Hash { keys: vec!["auction".into()] },
        });
    };
    let found = after(out_of_sink);
    assert!(found.contains(&"JG-SINK-OUTPUT".to_owned()) && found.contains(&"JG-CYCLE".to_owned()), "{found:?}");
}

#[test]
fn each_invalid_option_has_its_code_and_a_suggestion() {
    fn set(vertex: usize, operator: usize, name: &'static str, value: Value) -> impl FnOnce(&mut JobGraph) {
        move |g| {
            g.vertices[vertex].operators[operator].options.insert(name.to_owned(), value);
        }
    }
    assert_eq!(after(|g| g.vertices[1].operators[0].kind = "window.tumblign".into())[0], "JG-UNKNOWN-OPERATOR");
    assert!(
        message_after(|g| g.vertices[1].operators[0].kind = "window.tumblign".into()).contains("did you mean window.tumbling?")
    );
    assert_eq!(after(set(1, 0, "sizems", json!(1))), ["JG-UNKNOWN-OPTION"]);
    assert!(message_after(set(1, 0, "sizems", json!(1))).contains("did you mean \"size_ms\"?"));
    assert_eq!(after(set(1, 0, "size_ms", json!(0))), ["JG-OPTION-TYPE"]);
    assert_eq!(after(set(1, 0, "size_ms", json!(-1))), ["JG-OPTION-TYPE"]);
    assert_eq!(after(set(1, 0, "size_ms", json!("1 s"))), ["JG-OPTION-TYPE"]);
    assert_eq!(after(set(1, 0, "size_ms", json!(u64::MAX))), ["JG-OPTION-TYPE"]);
    assert_eq!(after(set(1, 0, "aggregates", json!([]))), ["JG-OPTION-TYPE"]);
    assert_eq!(after(set(1, 0, "aggregates", json!([{"name": "s", "function": "sum"}]))), ["JG-MISSING-OPTION"]);
    assert_eq!(after(set(1, 0, "aggregates", json!([{"name": "s", "function": "summ", "column": "a"}]))), ["JG-OPTION-TYPE"]);
    assert_eq!(after(set(1, 0, "keys", json!(["auction", "auction"])))[0], "JG-OPTION-TYPE");
    assert_eq!(after(|g| drop(g.vertices[1].operators[0].options.remove("size_ms"))), ["JG-MISSING-OPTION"]);
    assert_eq!(after(set(2, 0, "format", json!("cvs"))), ["JG-OPTION-TYPE"]);
    assert!(message_after(set(2, 0, "format", json!("cvs"))).contains("did you mean \"csv\"?"));
    assert_eq!(after(set(1, 0, "window_end", Value::Null)), Vec::<String>::new());
    let hop = |slide: i64| {
        move |g: &mut JobGraph| {
            g.vertices[1].operators[0].kind = "window.hopping".into();
            g.vertices[1].operators[0].options.insert("slide_ms".into(), json!(slide));
        }
    };
    assert_eq!(after(hop(500)), Vec::<String>::new());
    assert_eq!(after(hop(2000)), ["JG-OPTION-TYPE"]);
}

#[test]
fn a_group_needs_an_input_and_a_key_or_an_aggregate() {
    let with = |options: Value| {
        after(move |g: &mut JobGraph| {
            g.vertices[1].operators[0] = serde_json::from_value(json!({"kind": "agg.group", "options": options})).unwrap();
        })
    };
    assert_eq!(with(json!({"keys": ["auction"], "input": "rows"})), Vec::<String>::new());
    let aggregates = json!([{"name": "s", "function": "sum", "column": "price", "distinct": true, "filter": "keep"}]);
    let all =
        json!({"keys": ["auction"], "input": "changes", "aggregates": aggregates, "state_ttl_ms": 0, "update_before": false});
    assert_eq!(with(all), Vec::<String>::new());
    assert_eq!(with(json!({"keys": ["auction"]})), ["JG-MISSING-OPTION"]);
    assert_eq!(with(json!({"keys": ["auction"], "input": "upserts"})), ["JG-OPTION-TYPE"]);
    assert_eq!(with(json!({"keys": ["auction"], "input": "rows", "state_ttl_ms": -1})), ["JG-OPTION-TYPE"]);
    let sum = json!([{"name": "s", "function": "sum"}]);
    assert_eq!(with(json!({"keys": ["auction"], "input": "rows", "aggregates": sum})), ["JG-MISSING-OPTION"]);
    // Without keys, the hash edge of this graph is refused too.
    assert!(with(json!({"keys": [], "input": "rows"})).contains(&"JG-MISSING-OPTION".to_owned()));
}

#[test]
fn windows_of_sql_are_checked_by_their_type() {
    let with = |window: Value, more: Value| {
        move |g: &mut JobGraph| {
            let mut options = json!({"window": window, "time_column": "ts", "keys": ["auction"]});
            more.as_object().unwrap().iter().for_each(|(name, value)| options[name] = value.clone());
            g.vertices[1].operators[0] = serde_json::from_value(json!({"kind": "window.agg", "options": options})).unwrap();
        }
    };
    let window = |window: Value| after(with(window, json!({})));
    let aggregates = |list: Value| after(with(json!({"type": "tumble", "size_ms": 10}), json!({"aggregates": list})));
    assert_eq!(window(json!({"type": "tumble", "size_ms": 10, "offset_ms": -3})), Vec::<String>::new());
    assert_eq!(window(json!({"type": "hop", "size_ms": 10, "slide_ms": 5})), Vec::<String>::new());
    assert_eq!(window(json!({"type": "cumulate", "size_ms": 10, "step_ms": 2, "offset_ms": 100})), Vec::<String>::new());
    let attached = json!({"type": "attached", "start": "a", "end": "b"});
    assert_eq!(after(with(attached.clone(), json!({"time_column": null}))), Vec::<String>::new());
    assert_eq!(window(attached), ["JG-UNKNOWN-OPTION"]);
    assert_eq!(window(json!({"type": "hop", "size_ms": 10, "slide_ms": 4})), ["JG-OPTION-TYPE"]);
    assert_eq!(window(json!({"type": "hop", "size_ms": 10, "slide_ms": 20})), ["JG-OPTION-TYPE"]);
    assert_eq!(window(json!({"type": "cumulate", "size_ms": 20_000, "step_ms": 1})), ["JG-LIMIT"]);
    assert_eq!(window(json!({"type": "tumble", "size_ms": 10, "offset_ms": 10})), ["JG-OPTION-TYPE"]);
    assert_eq!(window(json!({"type": "tumble"})), ["JG-MISSING-OPTION"]);
    assert_eq!(window(json!({"type": "tumble", "size_ms": 10, "step_ms": 5})), ["JG-UNKNOWN-OPTION"]);
    assert_eq!(window(json!({"type": "tumbel", "size_ms": 10})), ["JG-OPTION-TYPE"]);
    assert_eq!(window(json!("tumble")), ["JG-OPTION-TYPE"]);
    assert_eq!(after(with(json!({"type": "tumble", "size_ms": 10}), json!({"time_column": null}))), ["JG-MISSING-OPTION"]);
    let full = json!([{"name": "n", "function": "count", "column": "auction", "distinct": true, "filter": "f"}, {"name": "m", "function": "count"}]);
    assert_eq!(aggregates(full), Vec::<String>::new());
    assert_eq!(aggregates(json!([{"name": "n", "function": "count", "distinct": true}])), ["JG-MISSING-OPTION"]);
    assert_eq!(aggregates(json!([{"name": "n", "function": "max", "column": "a", "delimiter": ";"}])), ["JG-UNKNOWN-OPTION"]);
}

#[test]
fn a_watermark_has_one_origin() {
    let options = |options: Value| after(move |g| g.vertices[0].operators[1].options = serde_json::from_value(options).unwrap());
    assert_eq!(options(json!({"column": "ts", "watermark_column": "w", "interval_ms": 0})), Vec::<String>::new());
    assert_eq!(options(json!({"column": "ts"})), ["JG-MISSING-OPTION"]);
    assert_eq!(options(json!({"column": "ts", "watermark_column": "w", "out_of_orderness_ms": 1})), ["JG-OPTION-TYPE"]);
    assert_eq!(options(json!({"column": "ts", "interval_ms": 5, "out_of_orderness_ms": 1})), ["JG-OPTION-TYPE"]);
}

#[test]
fn custom_operators_are_not_checked() {
    let own = |g: &mut JobGraph| {
        g.vertices[1].operators[0].kind = "x.my_window".into();
        g.vertices[1].operators[0].options.insert("anything".into(), json!({"goes": [1, 2]}));
    };
    assert_eq!(after(own), Vec::<String>::new());
    assert_eq!(after(|g| g.vertices[1].operators[0].kind = "x.".into())[0], "JG-UNKNOWN-OPERATOR");
}

#[test]
fn keyed_operators_need_rows_hashed_by_their_keys() {
    assert_eq!(after(|g| g.edges[0].partitioning = Partitioning::Forward), ["JG-HASH-KEY"]);
    assert_eq!(after(|g| g.edges[0].partitioning = Partitioning::Hash { keys: vec!["ts".into()] }), ["JG-HASH-KEY"]);
    assert!(
        after(|g| g.edges[0].partitioning = Partitioning::Hash { keys: vec!["actuion".into()] })
            .contains(&"JG-HASH-KEY".to_owned())
    );
    assert_eq!(after(|g| drop(g.vertices[1].operators[0].options.insert("keys".into(), json!([])))), ["JG-HASH-KEY"]);
    let global = |g: &mut JobGraph| {
        g.vertices[1].operators[0].options.insert("keys".into(), json!([]));
        g.vertices[1].parallelism = 1;
        g.vertices[2].parallelism = 1;
        g.edges[0].partitioning = Partitioning::Rebalance;
    };
    assert_eq!(after(global), Vec::<String>::new());
}

#[test]
fn a_join_needs_both_inputs_and_equal_key_types() {
    let join = |g: &mut JobGraph| {
        let mut names = g.vertices[0].clone();
        names.uid = "names".into();
        g.vertices.push(names);
        g.vertices[1].operators = vec![
            serde_json::from_value(json!({"kind": "join.latest", "options":
                {"keys": ["auction"], "right_keys": ["auction"], "right_columns": ["ts"], "time_column": "ts",
                    "right_time_column": "ts"}}))
            .unwrap(),
        ];
        let mut right = g.edges[0].clone();
        right.from = "names".into();
        right.input = 1;
        g.edges.push(right);
    };
    assert_eq!(after(join), Vec::<String>::new());
    assert_eq!(
        after(|g| {
            join(g);
            g.edges.pop();
            g.vertices.pop();
        }),
        ["JG-NO-INPUT"]
    );
    assert_eq!(
        after(|g| {
            join(g);
            g.vertices[3].output_schema[0].data_type = super::super::DataType::String;
        }),
        ["JG-HASH-KEY"]
    );
}

#[test]
fn schemas_are_checked_along_edges() {
    assert_eq!(after(|g| g.vertices[1].output_schema.clear()), ["JG-SCHEMA"]);
    assert_eq!(after(|g| g.vertices[1].output_schema[1].name = "window_start".into()), ["JG-SCHEMA"]);
    assert_eq!(after(|g| g.vertices[2].input_schemas = vec![g.vertices[0].output_schema.clone()]), ["JG-SCHEMA"]);
    assert_eq!(after(|g| g.vertices[2].input_schemas = vec![g.vertices[1].output_schema.clone()]), Vec::<String>::new());
    let stricter = |g: &mut JobGraph| {
        let mut schema = g.vertices[1].output_schema.clone();
        schema[0].nullable = false;
        g.vertices[2].input_schemas = vec![schema];
    };
    assert_eq!(after(stricter), ["JG-SCHEMA"]);
}

#[test]
fn settings_out_of_range_are_refused() {
    assert_eq!(after(|g| g.checkpointing.get_or_insert_default().interval_ms = 1), ["JG-CHECKPOINTING"]);
    assert_eq!(after(|g| g.checkpointing.get_or_insert_default().timeout_ms = 0), ["JG-CHECKPOINTING"]);
    assert_eq!(after(|g| g.checkpointing.get_or_insert_default().min_pause_ms = u64::MAX), ["JG-CHECKPOINTING"]);
    assert_eq!(after(|g| g.checkpointing.get_or_insert_default().retained = 0), ["JG-CHECKPOINTING"]);
    assert_eq!(after(|g| g.checkpointing.get_or_insert_default().max_concurrent = 0), ["JG-CHECKPOINTING"]);
    assert_eq!(after(|g| g.restore_from = Some(String::new())), ["JG-CHECKPOINTING"]);
    let strategy = |multiplier: f64, jitter: f64| RestartStrategyConfig::ExponentialDelay {
        initial_backoff_ms: 1,
        max_backoff_ms: 2,
        backoff_multiplier: multiplier,
        reset_backoff_threshold_ms: 1,
        jitter_factor: jitter,
    };
    assert_eq!(after(|g| g.restart_strategy = Some(strategy(f64::NAN, 0.1))), ["JG-RESTART"]);
    assert_eq!(after(|g| g.restart_strategy = Some(strategy(2.0, f64::INFINITY))), ["JG-RESTART"]);
    assert_eq!(after(|g| g.restart_strategy = Some(strategy(2.0, 0.0))), Vec::<String>::new());
}

#[test]
fn oversized_graphs_are_refused_at_once() {
    assert_eq!(after(|g| g.vertices = vec![g.vertices[0].clone(); MAX_VERTICES + 1]), ["JG-LIMIT"]);
    assert_eq!(after(|g| g.edges = vec![g.edges[0].clone(); MAX_EDGES + 1]), ["JG-LIMIT"]);
    assert_eq!(after(|g| g.vertices[0].parallelism = u32::MAX), ["JG-LIMIT"]);
    assert_eq!(after(|g| g.name = "n".repeat(5 << 20)), ["JG-LIMIT"]);
    assert_eq!(after(|g| g.name = "n".repeat(300)), ["JG-LIMIT"]);
    let big = json!("v".repeat(MAX_OPTION_BYTES));
    assert_eq!(after(|g| drop(g.vertices[0].operators[0].options.insert("rows".into(), big))), ["JG-LIMIT"]);
    let keys = Partitioning::Hash { keys: vec!["auction".into(); 1_000] };
    assert_eq!(after(|g| g.edges[0].partitioning = keys), ["JG-LIMIT"]);
}

#[test]
fn an_option_of_the_deepest_allowed_nesting_survives_encoding_and_a_deeper_one_is_refused() {
    let nested = |levels: usize| {
        move |g: &mut JobGraph| {
            let value = (1..levels).fold(json!(1), |inner, _| json!({ "a": inner }));
            g.vertices[1].operators[0].kind = "x.own".into();
            g.vertices[1].operators[0].options.insert("deep".into(), value);
        }
    };
    assert_eq!(after(nested(MAX_NESTING + 1)), ["JG-LIMIT"]);
    let mut deepest = graph();
    nested(MAX_NESTING)(&mut deepest);
    assert_eq!(validate(&deepest), Ok(()));
    assert_eq!(JobGraph::decode(&deepest.encode()), Ok(deepest));
}

#[test]
fn json_errors_have_a_location() {
    let error = JobGraph::from_json("{\n  \"version\": 1,\n  \"nam\": \"x\"}").unwrap_err();
    assert_eq!((error.code.as_str(), error.location.as_str()), ("JG-JSON", "line 3, column 7"));
    assert!(error.message.contains("unknown field `nam`"), "{}", error.message);
    let deep = format!("{{\"vertices\": {}", "[".repeat(100_000));
    assert_eq!(JobGraph::from_json(&deep).unwrap_err().code, "JG-JSON");
    assert_eq!(JobGraph::from_json(&" ".repeat(MAX_JSON_BYTES + 1)).unwrap_err().code, "JG-LIMIT");
    for text in ["", "null", "[]", "{}", "{\"version\": 1e400}", "{\"version\": -1}", "{\"name\": \"\\ud800\"}"] {
        assert_eq!(JobGraph::from_json(text).unwrap_err().code, "JG-JSON", "{text}");
    }
}

#[test]
fn a_value_of_the_wrong_type_is_named_in_plain_words() {
    let with = |member: &str, value: Value| {
        let mut graph = serde_json::to_value(graph()).unwrap();
        let (outer, inner) = member.split_once('.').unwrap_or((member, ""));
        if inner.is_empty() {
            graph[outer] = value
        } else {
            graph[outer][inner] = value
        }
        JobGraph::from_json(&serde_json::to_string_pretty(&graph).unwrap()).unwrap_err().message
    };
    for (member, value, message) in [
        (
            "checkpointing.interval_ms",
            json!("1 s"),
            "\"interval_ms\" must be a whole number, zero or more, without a unit, because it is in milliseconds, not the text \"1 s\"",
        ),
        ("checkpointing.interval_ms", json!("1:30"), "not the text \"1:30\""),
        ("checkpointing.retained", json!(-1), "\"retained\" must be a whole number, zero or more, not -1"),
        ("checkpointing.retained", json!(1.5), "\"retained\" must be a whole number, zero or more, not 1.5"),
        (
            "checkpointing.retain_on_cancellation",
            json!("yes"),
            "\"retain_on_cancellation\" must be true or false, not the text \"yes\"",
        ),
        ("name", json!(7), "\"name\" must be a text, not 7"),
        ("edges", json!("none"), "\"edges\" must be a list, not the text \"none\""),
        ("checkpointing", json!(5), "\"checkpointing\" must be an object, not 5"),
    ] {
        let found = with(member, value);
        assert!(found.contains(message), "{member}: {found}");
        assert!(!["u64", "u32", "struct", "expected"].iter().any(|word| found.contains(word)), "{found}");
    }
}

#[test]
fn length_and_number_of_messages_are_limited() {
    let mut graph = graph();
    let long = "y".repeat(100_000);
    graph.edges = (0..1_000)
        .map(|i| super::super::JobEdge {
            from: format!("{long}{i}").chars().rev().take(200).collect(),
            to: "out".into(),
            input: 0,
            partitioning: Partitioning::Rebalance,
        })
        .collect();
    let errors = validate(&graph).unwrap_err();
    assert!(errors.len() <= MAX_ERRORS);
    assert!(errors.iter().all(|error| error.to_string().len() < 2_000));
}

pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Value::from),
        "[a-z_]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{0,6}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

prop_compose! {
    fn any_operator()(
        known in prop::option::weighted(0.9, 0..super::super::catalog::CATALOG.len()),
        names in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        values in prop::collection::vec(any_value(), 6), uid in prop::option::of(".{0,3}"),
    ) -> super::super::OperatorDescriptor {
        let spec = known.map(|i| &super::super::catalog::CATALOG[i]);
        let options = names.iter().zip(values).map(|(index, value)| {
            let name = match spec {
                Some(spec) if !spec.options.is_empty() => index.get(spec.options).name,
                _ => "other",
            };
            (name.to_owned(), value)
        });
        let kind = spec.map_or("x.own", |spec| spec.kind);
        super::super::OperatorDescriptor { uid, ..super::super::OperatorDescriptor::new(kind, options.collect()) }
    }
}

prop_compose! {
    pub(crate) fn any_graph()(
        version in 0_u32..3,
        job_id in prop::option::of(any::<u128>().prop_map(crate::JobId)),
        name in ".{0,20}",
        max_parallelism in prop_oneof![0_u32..300, any::<u32>()],
        vertices in prop::collection::vec(("[abc]{0,2}", prop_oneof![0_u32..5, any::<u32>()],
            prop::collection::vec(any_operator(), 0..4), any_schema(), prop::collection::vec(any_schema(), 0..3)), 0..6),
        edges in prop::collection::vec(("[abc]{0,2}", "[abc]{0,2}", prop_oneof![0_u32..3, any::<u32>()], any_partitioning()), 0..8),
        (restore_from, allow_non_restored_state) in (prop::option::of(".{0,10}"), any::<bool>()),
        interval_ms in any::<u64>(),
    ) -> JobGraph {
        JobGraph {
            version, job_id, name, max_parallelism, restore_from, allow_non_restored_state,
            vertices: vertices.into_iter().map(|(uid, parallelism, operators, output_schema, input_schemas)| JobVertex {
                name: uid.clone(), uid, parallelism, operators, output_schema, input_schemas,
            }).collect(),
            edges: edges.into_iter().map(|(from, to, input, partitioning)| super::super::JobEdge { from, to, input, partitioning }).collect(),
            checkpointing: Some(super::super::CheckpointConfig { interval_ms, ..Default::default() }),
            restart_strategy: None,
        }
    }
}

fn any_schema() -> impl Strategy<Value = Vec<Field>> {
    use super::super::DataType::*;
    let data_type = prop::sample::select(vec![Boolean, Int, Bigint, Double, String, Timestamp(3)]);
    let field =
        ("[a-c]{0,2}", data_type, any::<bool>()).prop_map(|(name, data_type, nullable)| Field { name, data_type, nullable });
    prop::collection::vec(field, 0..3)
}

fn any_partitioning() -> impl Strategy<Value = Partitioning> {
    prop_oneof![
        Just(Partitioning::Forward),
        Just(Partitioning::Rebalance),
        Just(Partitioning::Broadcast),
        prop::collection::vec("[a-c]{0,2}", 0..3).prop_map(|keys| Partitioning::Hash { keys }),
    ]
}

proptest! {
    #[test]
    fn no_graph_makes_the_check_panic(graph in any_graph()) {
        let _ = validate(&graph);
    }

    #[test]
    fn a_graph_survives_encoding_and_equal_graphs_have_equal_bytes(graph in any_graph()) {
        let bytes = graph.encode();
        let back = JobGraph::decode(&bytes).unwrap();
        prop_assert_eq!(&back, &graph);
        prop_assert_eq!(back.encode(), bytes);
    }

    #[test]
    fn the_fingerprint_ignores_only_the_job_id_and_the_restore_path(graph in any_graph(), id in any::<u128>()) {
        let mut other = graph.clone();
        other.job_id = Some(crate::JobId(id));
        other.restore_from = Some("elsewhere".to_owned());
        other.allow_non_restored_state ^= true;
        prop_assert_eq!(other.fingerprint(), graph.fingerprint());
        other.max_parallelism ^= 1;
        prop_assert_ne!(other.fingerprint(), graph.fingerprint());
    }

    #[test]
    fn a_graph_survives_json_except_the_last_bit_of_a_number(mut graph in any_graph()) {
        for operator in graph.vertices.iter_mut().flat_map(|vertex| &mut vertex.operators) {
            operator.options.values_mut().for_each(without_fractions);
        }
        let text = serde_json::to_string(&graph).unwrap();
        prop_assert_eq!(JobGraph::from_json(&text), Ok(graph));
    }

    #[test]
    fn random_bytes_never_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..512), framed in any::<bool>()) {
        let bytes = if framed { [&b"WEIR-JG\n\0\0\0\x01"[..], &bytes].concat() } else { bytes };
        let _ = JobGraph::decode(&bytes);
    }

    #[test]
    fn a_damaged_graph_never_makes_the_decoder_panic(at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = graph().encode().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = with;
        let _ = JobGraph::decode(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        if let Ok(graph) = JobGraph::decode(&bytes) {
            let _ = validate(&graph);
        }
    }

    #[test]
    fn random_text_never_makes_the_json_reader_panic(text in ".{0,200}") {
        let _ = JobGraph::from_json(&text);
    }
}

fn without_fractions(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => *value = json!(0.5),
        Value::Array(items) => items.iter_mut().for_each(without_fractions),
        Value::Object(entries) => entries.values_mut().for_each(without_fractions),
        _ => {}
    }
}

#[test]
fn a_malformed_program_is_refused_with_the_reason() {
    let with = |program: Value| {
        move |graph: &mut JobGraph| {
            let calc = json!({"kind": "calc", "options": {"program": program}});
            graph.vertices[0].operators.push(serde_json::from_value(calc).unwrap());
        }
    };
    let program = |node: u32| json!({"version": 1, "nodes": [{"column": 0}, {"column": 1}], "outputs": [{"name": "auction", "node": node}]});
    assert_eq!(after(with(program(1))), [""; 0]);
    assert_eq!(after(with(program(2))), ["JG-OPTION-TYPE"]);
    assert!(message_after(with(program(2))).contains("there is no node 2"));
    assert!(message_after(with(json!({"version": 2, "nodes": [], "outputs": []}))).contains("version 2"));
    assert_eq!(after(with(json!("a + 1"))), ["JG-OPTION-TYPE"]);
}

#[test]
fn a_transaction_must_outlast_the_time_between_checkpoints() {
    let with = |guarantee: &'static str, timeout: Option<&'static str>, interval_ms: u64| {
        move |graph: &mut JobGraph| {
            let mut options = json!({
                "bootstrap_servers": "b:9092", "topic": "t", "guarantee": guarantee, "value": {"format": {"kind": "json"}},
            });
            if let Some(timeout) = timeout {
                options["properties"] = json!({"transaction.timeout.ms": timeout});
            }
            let sink = json!({"kind": "sink.kafka", "options": options});
            let last = graph.vertices.last_mut().unwrap();
            *last.operators.last_mut().unwrap() = serde_json::from_value(sink).unwrap();
            graph.checkpointing = Some(CheckpointConfig { interval_ms, ..CheckpointConfig::default() });
        }
    };
    assert_eq!(after(with("exactly-once", None, 899_999)), [""; 0]);
    assert_eq!(after(with("exactly-once", None, 900_000)), ["JG-TRANSACTION-TIMEOUT"]);
    assert_eq!(after(with("exactly-once", Some("5000"), 10_000)), ["JG-TRANSACTION-TIMEOUT"]);
    assert_eq!(after(with("at-least-once", Some("5000"), 10_000)), [""; 0]);
}
