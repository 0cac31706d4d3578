use std::io::Write;

use super::*;

fn load(yaml: &str, overrides: &[&str]) -> Result<Config, ConfigError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(yaml.as_bytes()).unwrap();
    let overrides: Vec<_> = overrides.iter().map(|pair| (*pair).to_owned()).collect();
    Config::load(Some(file.path()), &overrides)
}

#[test]
fn nested_and_dotted_keys_mean_the_same() {
    let nested = load("heartbeat:\n  interval: 1 s\n  timeout: 9 s\n", &[]).unwrap();
    let dotted = load("heartbeat.interval: 1 s\nheartbeat.timeout: 9 s\n", &[]).unwrap();
    for config in [nested, dotted] {
        assert_eq!(config.milliseconds("heartbeat.interval"), 1_000);
        assert_eq!(config.milliseconds("heartbeat.timeout"), 9_000);
    }
}

#[test]
fn overrides_win_over_the_file() {
    let config = load("rest.port: 1234\n", &["rest.port=4321"]).unwrap();
    assert_eq!(config.integer("rest.port"), 4321);
}

#[test]
fn an_unknown_key_is_refused_with_a_suggestion() {
    let error = load("hartbeat.interval: 1 s\n", &[]).unwrap_err().to_string();
    assert!(error.contains("CONFIG-UNKNOWN-KEY") && error.contains("heartbeat.interval"), "{error}");
}

#[test]
fn contradictions_are_refused() {
    let error = load("heartbeat.interval: 5 s\nheartbeat.timeout: 5 s\n", &[]).unwrap_err().to_string();
    assert!(error.contains("CONFIG-CONTRADICTION"), "{error}");
    let threshold = "execution.checkpointing.data-inline-threshold";
    assert_eq!(load(&format!("{threshold}: 1 mb\n"), &[]).unwrap().size(threshold), 1 << 20);
    assert!(load(&format!("{threshold}: 1048577\n"), &[]).unwrap_err().to_string().contains("at most 1 mb"));
}

#[test]
fn a_list_is_read_from_a_sequence_and_from_text() {
    let sequence = load("high-availability.raft.members: [a@h:1, b@h:2]\n", &[]).unwrap();
    let text = load("high-availability.raft.members: a@h:1;b@h:2\n", &[]).unwrap();
    assert_eq!(sequence.list("high-availability.raft.members"), ["a@h:1", "b@h:2"]);
    assert_eq!(sequence.list("high-availability.raft.members"), text.list("high-availability.raft.members"));
}

#[test]
fn jvm_keys_are_ignored_with_a_notice() {
    let config = load("jobmanager.memory.process.size: 1600m\n", &[]).unwrap();
    assert_eq!(config.notices().len(), 1);
}

#[test]
fn bad_yaml_and_bad_values_are_refused_with_a_code() {
    for (yaml, code) in [
        ("a: b: c", "CONFIG-SYNTAX"),
        ("- 1\n- 2\n", "CONFIG-SYNTAX"),
        ("rest.port: many\n", "CONFIG-VALUE"),
        ("high-availability.type: zookeper\n", "CONFIG-VALUE"),
        ("taskmanager.numberOfTaskSlots: 0\n", "CONFIG-CONTRADICTION"),
    ] {
        let error = load(yaml, &[]).unwrap_err().to_string();
        assert!(error.starts_with(code), "{yaml:?}: {error}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let keys = ["s3.secret-key", "high-availability.etcd.password", "high-availability.zookeeper.client.sasl.password"];
    let config = load(&keys.map(|key| format!("{key}: hush\n")).concat(), &[]).unwrap();
    assert!(!format!("{:?}", config.shown()).contains("hush"));
}

#[test]
fn every_default_fits_its_option_and_keys_are_sorted() {
    for option in OPTIONS {
        if let Some(default) = option.default {
            assert_eq!(check_value(option, default), Ok(()), "{}", option.key);
        }
    }
    assert!(OPTIONS.is_sorted_by_key(|option| option.key));
}
