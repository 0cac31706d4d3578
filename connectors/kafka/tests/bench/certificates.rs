//! Certificates of an authority of our own.

use std::path::Path;
use std::process::Command;

/// The file with the certificate of the authority.
pub(crate) const AUTHORITY: &str = "ca.pem";
/// The file with a server's certificate.
pub(crate) const CERTIFICATE: &str = "server.crt";
/// The file with its key.
pub(crate) const KEY: &str = "server.key";
/// The file with both.
pub(crate) const SERVER: &str = "server.pem";

fn openssl(directory: &Path, arguments: &str) {
    let ran = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output().expect("openssl is installed");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

/// Makes an authority, and a key with a certificate of it for servers on loopback, in this directory.
pub(crate) fn certificates(directory: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(directory, &format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"));
    openssl(directory, &format!("req -new {key} -subj /CN=server -keyout server.key -out server.csr"));
    std::fs::write(directory.join("names"), "subjectAltName=IP:127.0.0.1\n").expect("a file");
    openssl(
        directory,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt",
    );
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).expect("a file");
    std::fs::write(directory.join(SERVER), read(KEY) + &read(CERTIFICATE)).expect("a file");
}
