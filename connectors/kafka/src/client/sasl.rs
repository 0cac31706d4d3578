//! Authentication by SASL: PLAIN and SCRAM.
//!
//! Sources: RFC 4616 (PLAIN), RFC 5802 and 7677 (SCRAM), KIP-152 (how Kafka carries them).

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use ring::{digest, hmac, pbkdf2};

use super::{ClientError, Connection};

/// Who connects, and how that is proved.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) mechanism: Mechanism,
    pub(crate) user: String,
    pub(crate) password: String,
}

/// Passwords don't belong into logs.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("mechanism", &self.mechanism).field("user", &self.user).finish_non_exhaustive()
    }
}

/// A mechanism of SASL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

/// Most rounds of hashing that a broker may ask for. More would only cost time.
const MAX_ROUNDS: u32 = 1_000_000;

impl Mechanism {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Plain, Self::ScramSha256, Self::ScramSha512].into_iter().find(|mechanism| mechanism.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Authenticates a new connection.
pub(super) async fn authenticate(connection: &mut Connection, credentials: &Credentials) -> Result<(), ClientError> {
    let refused = |connection: &Connection, reason: String| ClientError::Authentication {
        address: connection.address().to_owned(),
        reason,
    };
    let mechanism = StrBytes::from_static_str(credentials.mechanism.name());
    let answer = connection.call((1, 1), &SaslHandshakeRequest::default().with_mechanism(mechanism)).await?;
    if answer.error_code != 0 {
        let offered: Vec<_> = answer.mechanisms.iter().map(StrBytes::as_str).collect();
        let wanted = credentials.mechanism.name();
        let reason = if offered.is_empty() {
            format!("the broker takes no credentials here, and so not {wanted}; is this the listener for SASL?")
        } else {
            format!("the broker does not take {wanted}; it takes {}", offered.join(", "))
        };
        return Err(refused(connection, reason));
    }
    let algorithms = match credentials.mechanism {
        Mechanism::Plain => {
            let Credentials { user, password, .. } = credentials;
            return exchange(connection, format!("\0{user}\0{password}").into_bytes()).await.map(drop);
        }
        Mechanism::ScramSha256 => {
            Algorithms { digest: &digest::SHA256, hmac: hmac::HMAC_SHA256, pbkdf2: pbkdf2::PBKDF2_HMAC_SHA256 }
        }
        Mechanism::ScramSha512 => {
            Algorithms { digest: &digest::SHA512, hmac: hmac::HMAC_SHA512, pbkdf2: pbkdf2::PBKDF2_HMAC_SHA512 }
        }
    };
    let scram = Scram { algorithms, credentials, nonce: format!("{:032x}", weir_world::random_id()) };
    let first = exchange(connection, scram.first().into_bytes()).await?;
    let (last, signature) = scram.last(&first).map_err(|reason| refused(connection, reason))?;
    let answer = exchange(connection, last.into_bytes()).await?;
    if answer == format!("v={}", BASE64.encode(signature)).as_bytes() {
        return Ok(());
    }
    Err(refused(connection, "the broker could not prove that it knows the password".to_owned()))
}

async fn exchange(connection: &mut Connection, bytes: Vec<u8>) -> Result<Bytes, ClientError> {
    let answer = connection.call((1, 2), &SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(bytes))).await?;
    if answer.error_code == 0 {
        return Ok(answer.auth_bytes);
    }
    let reason = answer.error_message.map_or_else(|| super::error::describe(answer.error_code), |message| message.to_string());
    Err(ClientError::Authentication { address: connection.address().to_owned(), reason })
}

struct Algorithms {
    digest: &'static digest::Algorithm,
    hmac: hmac::Algorithm,
    pbkdf2: pbkdf2::Algorithm,
}

/// The client's side of one SCRAM conversation.
struct Scram<'a> {
    algorithms: Algorithms,
    credentials: &'a Credentials,
    nonce: String,
}

impl Scram<'_> {
    fn first_bare(&self) -> String {
        let user = self.credentials.user.replace('=', "=3D").replace(',', "=2C");
        format!("n={user},r={}", self.nonce)
    }

    fn first(&self) -> String {
        format!("n,,{}", self.first_bare())
    }

    /// The last message, and the signature with which the broker must answer it.
    fn last(&self, server_first: &[u8]) -> Result<(String, Vec<u8>), String> {
        let text = std::str::from_utf8(server_first).map_err(|_| "the broker's challenge is not UTF-8".to_owned())?;
        let field = |name: &str| {
            text.split(',')
                .find_map(|field| field.strip_prefix(name))
                .ok_or_else(|| format!("the broker's challenge has no {name}"))
        };
        let (nonce, salt, rounds) = (field("r=")?, field("s=")?, field("i=")?);
        if !nonce.starts_with(&self.nonce) {
            return Err("the broker's challenge is for somebody else".to_owned());
        }
        let salt = BASE64.decode(salt).map_err(|error| format!("the broker's salt can't be read: {error}"))?;
        let rounds = rounds.parse().ok().filter(|rounds: &NonZeroU32| rounds.get() <= MAX_ROUNDS);
        let rounds = rounds.ok_or_else(|| "the broker's number of rounds can't be used".to_owned())?;

        let mut salted = vec![0; self.algorithms.digest.output_len()];
        pbkdf2::derive(self.algorithms.pbkdf2, rounds, &salt, self.credentials.password.as_bytes(), &mut salted);
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{text},{without_proof}", self.first_bare());
        let client_key = self.sign(&salted, b"Client Key");
        let stored_key = digest::digest(self.algorithms.digest, &client_key);
        let proof: Vec<u8> = client_key
            .iter()
            .zip(self.sign(stored_key.as_ref(), signed.as_bytes()))
            .map(|(key, signature)| key ^ signature)
            .collect();
        let server_key = self.sign(&salted, b"Server Key");
        Ok((format!("{without_proof},p={}", BASE64.encode(proof)), self.sign(&server_key, signed.as_bytes())))
    }

    fn sign(&self, key: &[u8], message: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(self.algorithms.hmac, key), message).as_ref().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3.
    #[test]
    fn the_conversation_of_the_rfc_comes_out() {
        let credentials =
            Credentials { mechanism: Mechanism::ScramSha256, user: "user".to_owned(), password: "pencil".to_owned() };
        let algorithms = Algorithms { digest: &digest::SHA256, hmac: hmac::HMAC_SHA256, pbkdf2: pbkdf2::PBKDF2_HMAC_SHA256 };
        let scram = Scram { algorithms, credentials: &credentials, nonce: "rOprNGfwEbeRWgbNEkqO".to_owned() };
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (last, signature) = scram.last(challenge.as_bytes()).unwrap();
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(last, expected);
        assert_eq!(BASE64.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        for bad in ["", "r=other,s=W22Z,i=1", "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=0", "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=999999999"]
        {
            assert!(scram.last(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
