use std::io::Write;

use weir_control_plane::dispatcher::DispatcherOptions;
use weir_control_plane::job_master::JobMasterOptions;
use weir_dataflow::registry::OperatorRegistry;
use weir_ha::raft::RaftTiming;
use weir_worker::TaskManagerOptions;

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
        assert_eq!(config.milliseconds(&option::HEARTBEAT_INTERVAL), 1_000);
        assert_eq!(config.milliseconds(&option::HEARTBEAT_TIMEOUT), 9_000);
    }
}

#[test]
fn overrides_win_over_the_file() {
    let config = load("rest.port: 1234\n", &["rest.port=4321"]).unwrap();
    assert_eq!(config.get(&option::REST_PORT), 4321);
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
    let largest = load(&format!("{threshold}: 1 mb\n"), &[]).unwrap();
    assert_eq!(largest.get(&option::CHECKPOINTING_DATA_INLINE_THRESHOLD), MemorySize(1 << 20));
    assert!(load(&format!("{threshold}: 1048577\n"), &[]).unwrap_err().to_string().contains("at most 1 mb"));
    for host in ["0.0.0.0", "'::'"] {
        let everywhere = format!("taskmanager.bind-host: {host}\n");
        let error = load(&everywhere, &[]).unwrap_err().to_string();
        assert!(error.contains("CONFIG-CONTRADICTION") && error.contains("taskmanager.host"), "{error}");
        load(&everywhere, &["taskmanager.host=worker-1"]).unwrap();
    }
}

#[test]
fn a_list_is_read_from_a_sequence_and_from_text() {
    let sequence = load("high-availability.raft.members: [a@h:1, b@h:2]\n", &[]).unwrap();
    let text = load("high-availability.raft.members: a@h:1;b@h:2\n", &[]).unwrap();
    assert_eq!(sequence.get(&option::HA_RAFT_MEMBERS), ["a@h:1", "b@h:2"]);
    assert_eq!(sequence.get(&option::HA_RAFT_MEMBERS), text.get(&option::HA_RAFT_MEMBERS));
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
        ("rest.port: 70000\n", "CONFIG-VALUE"),
        ("taskmanager.numberOfTaskSlots: 4294967297\n", "CONFIG-VALUE"),
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
fn a_secret_that_others_can_read_is_noticed() {
    use std::os::unix::fs::PermissionsExt;
    let on_command_line = load("", &["s3.secret-key=hush"]).unwrap();
    assert!(matches!(on_command_line.notices(), [notice] if notice.contains("s3.secret-key was set with -D")));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"s3.secret-key: hush\n").unwrap();
    for (mode, notices) in [(0o600, 0), (0o640, 1), (0o644, 1)] {
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let config = Config::load(Some(file.path()), &[]).unwrap();
        assert_eq!(config.notices().len(), notices, "{mode:o}: {:?}", config.notices());
        assert!(!config.notices().concat().contains("hush"));
    }
}

#[test]
fn settings_configure_another_process_in_the_same_way() {
    let config = load("high-availability.raft.members: [a@h:1, b@h:2]\nrest.port: 1\n", &["rest.port=2"]).unwrap();
    assert_eq!(config.settings(), ["high-availability.raft.members=a@h:1,b@h:2", "rest.port=2"]);
}

#[test]
fn ports_are_read_from_a_number_a_range_and_a_list() {
    let ports =
        |text: &str| load("", &[&format!("taskmanager.data.port={text}")]).map(|it| it.get(&option::TASKMANAGER_DATA_PORT).0);
    assert_eq!(ports("0").unwrap(), [0]);
    assert_eq!(ports("6130-6132").unwrap(), [6130, 6131, 6132]);
    assert_eq!(ports("6130, 7000-7001").unwrap(), [6130, 7000, 7001]);
    for text in ["", "x", "70000", "2-1", "0-5", "1-", "-1", "1-2-3"] {
        let error = ports(text).unwrap_err().to_string();
        assert!(error.starts_with("CONFIG-VALUE"), "{text}: {error}");
    }
}

#[test]
fn every_default_fits_its_option_and_keys_are_sorted() {
    for option in OPTIONS {
        // `Config::get` relies on this. An option without a default must accept that it is not set.
        assert_eq!((option.check)(option.default), Ok(()), "{}", option.key);
    }
    assert!(OPTIONS.is_sorted_by_key(|option| option.key));
}

#[test]
fn option_structs_have_the_defaults_of_the_options() {
    let config = Config::default();
    let job_master = JobMasterOptions::default();
    assert_eq!(job_master.slot_request_timeout_ms, config.milliseconds(&option::SLOT_REQUEST_TIMEOUT));
    assert_eq!(job_master.cancellation_interval_ms, config.milliseconds(&option::TASK_CANCELLATION_INTERVAL));
    assert_eq!(job_master.cancellation_timeout_ms, config.milliseconds(&option::TASK_CANCELLATION_TIMEOUT));
    assert_eq!(job_master.checkpoint_history, config.get(&option::WEB_CHECKPOINTS_HISTORY));
    assert_eq!(job_master.exception_history, config.get(&option::WEB_EXCEPTION_HISTORY_SIZE));
    let dispatcher = DispatcherOptions::default();
    assert_eq!(dispatcher.max_results, config.get(&option::JOBSTORE_MAX_CAPACITY));
    assert_eq!(dispatcher.result_retention_ms, config.milliseconds(&option::JOBSTORE_EXPIRATION_TIME));
    assert_eq!(dispatcher.checkpointing, config.checkpoint_config());
    assert_eq!(dispatcher.restart_strategy, config.restart_strategy_config());
    let task_manager = TaskManagerOptions::new("tm".to_owned(), Vec::new(), OperatorRegistry::default());
    assert_eq!(task_manager.bind_host, config.get(&option::TASKMANAGER_BIND_HOST));
    assert_eq!(task_manager.host, config.get(&option::TASKMANAGER_HOST));
    assert_eq!(task_manager.slots, config.get(&option::TASKMANAGER_SLOTS));
    assert_eq!(task_manager.memory_bytes, config.get(&option::TASKMANAGER_MEMORY_PROCESS_SIZE).0);
    assert_eq!(task_manager.inline_state_limit as u64, config.get(&option::CHECKPOINTING_DATA_INLINE_THRESHOLD).0);
    assert_eq!(task_manager.heartbeat_interval_ms, config.milliseconds(&option::HEARTBEAT_INTERVAL));
    assert_eq!(task_manager.heartbeat_timeout_ms, config.milliseconds(&option::HEARTBEAT_TIMEOUT));
    let raft = RaftTiming::default();
    assert_eq!(raft.heartbeat, config.get(&option::HA_RAFT_HEARTBEAT_INTERVAL));
    assert_eq!(raft.election_min, config.get(&option::HA_RAFT_ELECTION_TIMEOUT_MIN));
    assert_eq!(raft.election_max, config.get(&option::HA_RAFT_ELECTION_TIMEOUT_MAX));
}
