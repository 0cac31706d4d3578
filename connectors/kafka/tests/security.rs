//! TLS and SASL against a real broker.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod bench;

use std::path::Path;

use serde_json::{Value, json};
use weir_dataflow::operator::OperatorError;
use weir_servers::{KafkaCluster, KafkaOptions};

use self::bench::certificates::{AUTHORITY, SERVER, certificates};
use self::bench::{Reader, Sink, create_topic, id_schema, ids};

/// A broker with a second listener, on which users named `me` need the password `secret`.
fn secure_kafka(directory: &Path) -> KafkaCluster {
    certificates(directory);
    let properties = [
        "listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port},SECURE://127.0.0.1:{secure_port}",
        "listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
        "listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_me=\"secret\";",
        "listener.name.secure.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
        "listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
        "ssl.keystore.type=PEM",
    ];
    let mut properties: Vec<_> = properties.map(str::to_owned).to_vec();
    properties.push(format!("ssl.keystore.location={}", directory.join(SERVER).display()));
    let kafka =
        KafkaCluster::start_with(1, directory, KafkaOptions { properties, ..KafkaOptions::default() }).expect("it starts");
    let brokers = kafka.bootstrap_servers();
    // One request can't set both.
    for secret in ["SCRAM-SHA-256=[password=secret]", "SCRAM-SHA-512=[password=secret]"] {
        let arguments =
            ["--bootstrap-server", &brokers, "--alter", "--add-config", secret, "--entity-type", "users", "--entity-name", "me"];
        kafka.tool("org.apache.kafka.tools.ConfigCommand", &arguments).expect("a user");
    }
    kafka
}

fn write(kafka: &KafkaCluster, properties: Value, first: i64) -> Result<(), OperatorError> {
    let mut options = Sink::options(kafka, "safe", "exactly-once", properties);
    options["bootstrap_servers"] = json!(kafka.secure_addresses()[0].to_string());
    let mut sink = Sink::new(&options, id_schema(), (0, 1), &[]);
    sink.try_ready()?;
    sink.write(ids(first..first + 10));
    sink.operator.on_end_of_input(&mut bench::Nowhere)?;
    sink.checkpoint(1);
    // At the end, this waits for the commit.
    sink.complete(1);
    Ok(())
}

#[test]
fn rows_go_over_tls_with_every_mechanism_and_whoever_has_no_right_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let kafka = secure_kafka(directory.path());
    create_topic(&kafka, "safe", 1);
    let authority = directory.path().join(AUTHORITY);
    let with = |mechanism: &str, password: &str, trusted: &Path| {
        let login = format!("org.example.LoginModule required username=\"me\" password=\"{password}\";");
        json!({
            "security.protocol": "SASL_SSL", "sasl.mechanism": mechanism, "sasl.jaas.config": login,
            "ssl.truststore.type": "PEM", "ssl.truststore.location": trusted.to_str(),
        })
    };
    for (turn, mechanism) in (0..).zip(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]) {
        write(&kafka, with(mechanism, "secret", &authority), turn * 10).unwrap();
        let error = write(&kafka, with(mechanism, "wrong", &authority), 1_000).unwrap_err();
        assert_eq!((error.code, error.retryable), ("KAFKA-AUTHENTICATION", false), "{error}");
        assert!(!error.message.contains("wrong"), "a password stays secret: {error}");
    }
    let mut options = Reader::options(&kafka, "safe", "read_committed");
    options["bootstrap_servers"] = json!(kafka.secure_addresses()[0].to_string());
    options["properties"] = with("SCRAM-SHA-256", "secret", &authority);
    assert_eq!(Reader::new(&options, (0, 1), &[]).read_ids(30), (0..30).collect::<Vec<_>>());

    // A broker that somebody else vouches for, and a file that does not exist.
    let other = directory.path().join("other");
    std::fs::create_dir(&other).unwrap();
    certificates(&other);
    for (trusted, why) in [(other.join(AUTHORITY), "TLS"), (directory.path().join("absent.pem"), "absent.pem")] {
        let error = write(&kafka, with("PLAIN", "secret", &trusted), 1_000).unwrap_err();
        assert_eq!(error.code, "KAFKA-AUTHENTICATION", "{error}");
        assert!(error.message.contains(why), "{error}");
    }
}
