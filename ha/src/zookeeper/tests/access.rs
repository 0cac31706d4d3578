//! Tests of chroots, authentication and encryption, and of the address that a stock Flink client reads.

use std::process::Command;

use zookeeper_client::{Acls, CreateMode, SaslOptions};

use super::*;

/// The options of a single member that reaches the servers without proxies.
fn options(servers: &Servers, quorum: &str) -> ZooKeeperOptions {
    let mut options = ZooKeeperOptions::new("jm-1", quorum, "/default");
    options.session_timeout = SESSION_TIMEOUT;
    options.connection_timeout = SESSION_TIMEOUT * 2 / 5;
    assert!(servers.directory().exists());
    options
}

async fn leads(options: &ZooKeeperOptions) -> (ZooKeeperProvider, LeaderElection, Leadership) {
    let provider = ZooKeeperProvider::start(options).expect("starts");
    let mut elections = [provider.campaign(candidate("jm-1"))];
    let (_, leadership) = granted(&mut elections).await;
    let [election] = elections;
    (provider, election, leadership)
}

#[tokio::test]
async fn all_znodes_are_below_the_chroot_and_flink_finds_the_leader_there() {
    let servers = Servers::start(1);
    let direct = servers.client().await;
    let addresses = servers.get().connect_string();
    let mut options = options(&servers, &format!("{addresses}/a/b"));
    options.root = "/flink".into();
    let (provider, _election, leadership) = leads(&options).await;
    assert!(committed(&provider.commit(&leadership, put("k", "v")).await));
    assert!(committed(&provider.publish(&leadership).await));
    let (value, _) = direct.get_data("/a/b/flink/default/store/k").await.expect("is there");
    assert_eq!(value, b"v");
    let info = "/a/b/flink/default/leader/rest_server/connection_info";
    let (bytes, stat) = direct.get_data(info).await.expect("is there");
    assert_eq!(Some(bytes), connection_info::encode("jm-1:2", leadership.epoch()));
    assert_ne!(stat.ephemeral_owner, 0, "the address is ephemeral");
    assert_eq!(direct.list_children("/").await.expect("lists").len(), 2, "the root has only the children `a` and `zookeeper`");
    provider.shutdown().await;
    assert_eq!(direct.check_stat(info).await.expect("reads"), None, "the address of a leader that left is removed");
    let record = direct.check_stat("/a/b/flink/default/leader_record").await.expect("reads");
    assert!(record.is_some(), "the record of the last leader remains");
}

/// The address of a former leader is replaced even if its session has not expired yet.
#[tokio::test]
async fn a_stale_address_is_replaced_by_the_next_leader() {
    let servers = Servers::start(1);
    let direct = servers.client().await;
    let quorum = servers.get().connect_string();
    let (provider, election, leadership) = leads(&options(&servers, &quorum)).await;
    let info = provider.inner.ensemble.layout.connection_info();
    let acls = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    direct.create(&info, b"a former leader's", &acls).await.expect("is created");
    assert!(committed(&provider.publish(&leadership).await));
    let (bytes, stat) = direct.get_data(&info).await.expect("is there");
    assert_eq!(Some(bytes), connection_info::encode("jm-1:2", leadership.epoch()));
    assert_ne!(stat.ephemeral_owner, direct.session_id().0);
    drop(election);
}

#[tokio::test]
async fn a_user_with_a_password_is_accepted_and_no_other_user_can_read_its_keys() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let jaas = directory.path().join("jaas.conf");
    let server =
        "Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_weir=\"secret\" user_other=\"else\"; };";
    std::fs::write(&jaas, server).expect("writes");
    let settings = weir_servers::ZooKeeperOptions {
        java: vec![format!("-Djava.security.auth.login.config={}", jaas.display())],
        config: vec![
            "authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider".into(),
            "enforce.auth.enabled=true".into(),
            "enforce.auth.schemes=sasl".into(),
        ],
        ..weir_servers::ZooKeeperOptions::default()
    };
    let servers = Servers::start_with(1, settings);
    let quorum = servers.get().connect_string();
    let mut options = options(&servers, &quorum);
    options.acl = Acl::Creator;
    let credentials = |password: &str| Some(Credentials { user: "weir".into(), password: password.into() });
    options.credentials = credentials("secret");
    let (provider, _election, leadership) = leads(&options).await;
    assert!(committed(&provider.commit(&leadership, put("k", "v")).await));
    let other = Client::connector().with_sasl(SaslOptions::digest_md5("other", "else"));
    let other = other.connect(&quorum).await.expect("connects");
    let refused = other.get_data("/weir/default/store/k").await;
    assert_eq!(refused.expect_err("is refused"), zookeeper_client::Error::NoAuth);

    // With the wrong password there is no session, and the error of a read says where to look.
    options.credentials = credentials("wrong");
    let stranger = ZooKeeperProvider::start(&options).expect("starts, because the server may be corrected later");
    let read = stranger.get("k").await;
    let explained = matches!(&read, Err(ReadError::Unavailable(reason)) if reason.contains("refuses this user"));
    assert!(explained, "{read:?}");
    assert!(!stranger.status().has_quorum);
    stranger.shutdown().await;
}

fn run(directory: &Path, program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).current_dir(directory).output().expect("runs");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Creates a certificate authority, and certificates that it signed for the server and for a member.
fn certificates(directory: &Path) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let authority = ["req", "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority"];
    run(directory, "openssl", &[&authority[..], &key[..]].concat());
    std::fs::write(directory.join("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").expect("writes");
    for name in ["server", "member"] {
        let (private, request, signed) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let subject = format!("/CN={name}");
        let ask = ["req", "-keyout", &private, "-out", &request, "-subj", &subject];
        run(directory, "openssl", &[&ask[..], &key[..5]].concat());
        let sign = ["x509", "-req", "-in", &request, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"];
        run(directory, "openssl", &[&sign[..], &["-extfile", "names", "-out", &signed][..]].concat());
    }
    let export = ["pkcs12", "-export", "-inkey", "server.key", "-in", "server.pem", "-out", "server.p12", "-passout"];
    run(directory, "openssl", &[&export[..], &["pass:password"][..]].concat());
    let import = ["-importcert", "-noprompt", "-alias", "ca", "-file", "ca.pem", "-keystore", "trust.p12"];
    run(directory, "keytool", &[&import[..], &["-storetype", "PKCS12", "-storepass", "password"][..]].concat());
}

#[tokio::test]
async fn connections_are_encrypted_and_both_ends_show_a_certificate() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    certificates(directory.path());
    let file = |name: &str| directory.path().join(name);
    let settings = weir_servers::ZooKeeperOptions {
        config: vec![
            "secureClientPort={secure_port}".into(),
            "secureClientPortAddress=127.0.0.1".into(),
            "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory".into(),
            format!("ssl.keyStore.location={}", file("server.p12").display()),
            "ssl.keyStore.password=password".into(),
            format!("ssl.trustStore.location={}", file("trust.p12").display()),
            "ssl.trustStore.password=password".into(),
            "ssl.clientAuth=need".into(),
        ],
        ..weir_servers::ZooKeeperOptions::default()
    };
    let servers = Servers::start_with(1, settings);
    let quorum = servers.get().secure_addresses()[0].to_string();
    let mut options = options(&servers, &quorum);
    let identity = Some((file("member.pem"), file("member.key")));
    options.tls = Some(Tls { ca: file("ca.pem"), identity });
    let (provider, _election, leadership) = leads(&options).await;
    assert!(committed(&provider.commit(&leadership, put("k", "v")).await));
    assert!(provider.get("k").await.expect("reads").is_some());

    // A member without a certificate is refused.
    options.tls = Some(Tls { ca: file("ca.pem"), identity: None });
    let stranger = ZooKeeperProvider::start(&options).expect("starts");
    assert!(stranger.get("k").await.is_err());
    stranger.shutdown().await;
}
