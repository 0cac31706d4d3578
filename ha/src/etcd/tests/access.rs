//! Tests of TLS and authentication.

use std::path::PathBuf;
use std::process::Command;

use etcd_client::Permission;
use weir_servers::{EtcdTls, free_port};

use super::*;

/// A certificate authority, made with the `openssl` program.
struct Authority {
    directory: TempDir,
}

impl Authority {
    fn new() -> Self {
        let authority = Self { directory: tempfile::tempdir().expect("a temporary directory") };
        authority.openssl(
            &["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
                .into_iter()
                .chain(["-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority"])
                .collect::<Vec<_>>(),
        );
        authority
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(self.directory.path()).output();
        let output = output.expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A certificate for 127.0.0.1 and its key.
    fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        let (key, request, certificate) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        std::fs::write(self.path("extensions"), "subjectAltName=IP:127.0.0.1\n").expect("writes");
        let subject = format!("/CN={name}");
        self.openssl(
            &["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
                .into_iter()
                .chain(["-keyout", &key, "-out", &request, "-subj", &subject])
                .collect::<Vec<_>>(),
        );
        self.openssl(
            &["x509", "-req", "-in", &request, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
                .into_iter()
                .chain(["-out", &certificate, "-days", "2", "-extfile", "extensions"])
                .collect::<Vec<_>>(),
        );
        (self.path(&certificate), self.path(&key))
    }
}

fn options(servers: &EtcdCluster) -> EtcdOptions {
    EtcdOptions::new(servers.endpoints(), "/default")
}

async fn leads(options: &EtcdOptions) {
    let provider = EtcdProvider::start(options).expect("starts");
    let mut election = provider.campaign(candidate("jm-0"));
    let leadership = granted(&mut election).await;
    assert!(committed(&provider.commit(&leadership, put_any("k", "v")).await));
    assert_eq!(provider.get("k").await.expect("reads").expect("is there").value, "v");
    provider.shutdown().await;
}

#[tokio::test]
async fn mutual_tls_works_and_wrong_certificates_are_refused() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.issue("etcd");
    let identity = authority.issue("weir");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let tls = EtcdTls { certificate, key, client_ca: Some(authority.path("ca.pem")) };
    let etcd =
        EtcdCluster::start_with(&etcd_3_7(), 1, directory.path(), ServerOptions { tls: Some(tls), ..ServerOptions::default() })
            .expect("starts");
    let with = |ca: &Authority, identity: Option<(PathBuf, PathBuf)>| EtcdOptions {
        tls: Some(Tls { ca: ca.path("ca.pem"), identity }),
        ..options(&etcd)
    };
    leads(&with(&authority, Some(identity.clone()))).await;

    let refused = |options: EtcdOptions| EtcdProvider::start(&options).map(|_| ()).expect_err("is refused");
    let unknown = refused(with(&stranger, Some(identity.clone())));
    assert!(matches!(unknown, StartError::Handshake { .. }), "{unknown}");
    for identity in [None, Some(stranger.issue("weir"))] {
        // The handshake ends before etcd looks at the client's certificate. So its refusal may be lost, and then the reads fail.
        match EtcdProvider::start(&with(&authority, identity)) {
            Err(error) => assert!(matches!(error, StartError::Handshake { .. }), "{error}"),
            Ok(provider) => {
                let read = provider.get("k").await;
                let explained = |reason: &str| reason.contains("accept this client's certificate") || reason.contains("alert");
                assert!(matches!(&read, Err(ReadError::Unavailable(reason)) if explained(reason)), "{read:?}");
            }
        }
    }
    let mixed = refused(with(&authority, Some((identity.0, stranger.path("weir.key")))));
    assert!(matches!(mixed, StartError::Tls { .. }), "{mixed}");
    let plain = refused(EtcdOptions { tls: None, ..options(&etcd) });
    assert!(matches!(plain, StartError::Invalid(_)), "{plain}");
}

/// An etcd without TLS closes or resets the connection during the handshake. An etcd that is shutting down does the same, so
/// the provider starts and retries. The errors of its reads give the likely reason.
#[tokio::test]
async fn tls_to_an_etcd_without_tls_is_explained_in_the_error() {
    let servers = Servers::start(&etcd_3_7(), 1);
    let authority = Authority::new();
    let mut options = options(&servers.etcd);
    options.endpoints = options.endpoints.iter().map(|endpoint| endpoint.replace("http:", "https:")).collect();
    options.tls = Some(Tls { ca: authority.path("ca.pem"), identity: None });
    let provider = EtcdProvider::start(&options).expect("starts");
    let read = provider.get("k").await;
    assert!(matches!(&read, Err(ReadError::Unavailable(reason)) if reason.contains("does etcd speak it")), "{read:?}");
    assert!(!provider.status().has_quorum);
}

#[tokio::test]
async fn a_permitted_user_works_and_other_users_are_refused() {
    let servers = Servers::start(&etcd_3_7(), 1);
    let mut client = servers.client().await;
    client.user_add("root", "root", None).await.expect("adds root");
    client.user_grant_role("root", "root").await.expect("grants root");
    client.role_add("weir").await.expect("adds a role");
    let all = Permission::read_write("/weir/").with_prefix();
    client.role_grant_permission("weir", all).await.expect("permits");
    for user in ["weir", "guest"] {
        client.user_add(user, "secret", None).await.expect("adds a user");
    }
    client.user_grant_role("weir", "weir").await.expect("grants");
    client.auth_enable().await.expect("enables authentication");

    let with = |user: &str, password: &str| EtcdOptions {
        credentials: Some(Credentials { user: user.into(), password: password.into() }),
        ..options(&servers.etcd)
    };
    leads(&with("weir", "secret")).await;
    let refused = |options: EtcdOptions| EtcdProvider::start(&options).map(|_| ()).expect_err("is refused");
    for options in [with("weir", "wrong"), with("nobody", "secret"), with("guest", "secret"), options(&servers.etcd)] {
        let error = refused(options);
        assert!(matches!(error, StartError::Denied { .. }), "{error}");
        assert!(!error.to_string().contains("secret"));
    }
}

/// A server may begin to listen later, so the provider starts.
#[tokio::test]
async fn a_provider_starts_although_an_endpoint_is_down() {
    let servers = Servers::start(&etcd_3_7(), 1);
    let mut options = options(&servers.etcd);
    options.endpoints.insert(0, format!("http://127.0.0.1:{}", free_port().unwrap()));
    leads(&options).await;
}
