//! Tables of Kafka whose messages are Avro, with a schema registry, on a cluster of real processes.

use weir_servers::{KafkaCluster, SchemaRegistry};

use super::cluster::Cluster;
use super::kafka::create_topic;
use super::{Run, run};

/// Tables in Avro: one of rows with keys, one of changes, and the rows that go into them.
fn tables(kafka: &KafkaCluster, registry: &SchemaRegistry) -> String {
    let table = |topic: &str, formats: &str| {
        let (brokers, url) = (kafka.bootstrap_servers(), registry.url());
        format!(
            "'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}',
             'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
             'sink.delivery-guarantee' = 'exactly-once', {}",
            formats.replace("URL", &url)
        )
    };
    format!(
        "SET 'parallelism.default' = '1';
         SET 'table.dml-sync' = 'true';
         CREATE TABLE orders (id BIGINT NOT NULL, product STRING, price DECIMAL(9, 2), at TIMESTAMP(3),
           buyer ROW<name STRING, age INT>) WITH ({});
         CREATE TABLE revenue (product STRING, total DECIMAL(38, 2), n BIGINT NOT NULL) WITH ({});",
        table(
            "orders",
            "'key.format' = 'avro-confluent', 'key.avro-confluent.url' = 'URL', 'key.fields' = 'id',
             'value.format' = 'avro-confluent', 'value.avro-confluent.url' = 'URL', 'value.fields-include' = 'EXCEPT_KEY'"
        ),
        table("revenue", "'format' = 'debezium-avro-confluent', 'debezium-avro-confluent.url' = 'URL'")
    )
}

const ROWS: &str = "INSERT INTO orders VALUES
    (1, 'apple', 1.50, TIMESTAMP '2026-01-01 10:00:00.001', ROW('ann', 30)),
    (2, 'pear', 2.25, TIMESTAMP '2026-01-01 10:00:01', ROW('bob', CAST(NULL AS INT))),
    (3, 'apple', 0.25, CAST(NULL AS TIMESTAMP(3)), CAST(NULL AS ROW<name STRING, age INT>)),
    (4, CAST(NULL AS STRING), CAST(NULL AS DECIMAL(9, 2)), TIMESTAMP '2026-01-01 10:00:03', ROW('cy', 5));";

#[test]
fn avro_with_a_registry_is_written_and_read_by_scripts() {
    let cluster = Cluster::start(1);
    let kafka = KafkaCluster::start(1, &cluster.place().join("kafka")).expect("Kafka starts");
    let registry = SchemaRegistry::start(cluster.place()).expect("the registry starts");
    create_topic(&kafka, "orders", 1);
    create_topic(&kafka, "revenue", 1);
    let (tables, addresses) = (tables(&kafka, &registry), cluster.addresses());
    let say = |statements: &str| -> Run {
        let ended = run(&["-m", &addresses, "-o", "csv", "-e", &format!("{tables} {statements}")]);
        assert_eq!(ended.code, Some(0), "{statements}: {ended:?}");
        ended
    };
    let lines = |ended: Run| -> Vec<String> {
        let mut lines: Vec<_> = ended.out.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };

    say(ROWS);
    for (subject, names) in [("orders-key", ["id", "long"]), ("orders-value", ["record_buyer", "timestamp-millis"])] {
        let schema = registry.latest(subject).expect("it is registered");
        assert!(names.iter().all(|name| schema.contains(name)), "{subject}: {schema}");
    }
    let read = say("SELECT id, product, price, at, buyer.name AS who, buyer.age AS age FROM orders;");
    let expected = [
        "1,apple,1.50,2026-01-01 10:00:00.001,ann,30",
        "2,pear,2.25,2026-01-01 10:00:01.000,bob,",
        "3,apple,0.25,,,",
        "4,,,2026-01-01 10:00:03.000,cy,5",
        "id,product,price,at,who,age",
    ];
    assert_eq!(lines(read), expected);

    say("INSERT INTO revenue SELECT product, SUM(price), COUNT(*) FROM orders WHERE product IS NOT NULL GROUP BY product;");
    assert!(registry.latest("revenue-value").expect("it is registered").contains("before"));
    let read = say("SELECT SUM(n) AS orders, SUM(total) AS total FROM revenue;");
    assert_eq!(lines(read), ["3,4.00", "orders,total"]);
}
