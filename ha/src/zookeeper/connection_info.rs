//! The leader's REST address in the form that a stock `flink` command line reads: a string and a UUID, serialized as by Java.

use weir_protocol::LeaderEpoch;

/// Magic number and version of Java's object streams.
const STREAM: [u8; 4] = [0xac, 0xed, 0x00, 0x05];
const BLOCK_DATA: u8 = 0x77;
const BLOCK_DATA_LONG: u8 = 0x7a;
/// The serialized class `java.util.UUID`, with two fields of type `long`.
const UUID_CLASS: &[u8; 60] =
    b"\x73\x72\x00\x0ejava.util.UUID\xbc\x99\x03\xf7\x98\x6d\x85\x2f\x02\x00\x02J\x00\x0cleastSigBitsJ\x00\x0bmostSigBits\x78\x70";
/// Maximum length of the address in bytes. A longer one would need several blocks, and no host name is nearly as long.
const ADDRESS_LIMIT: usize = 1_000;

/// The bytes for the REST service at `host:port`; `None` if the address is too long. The leader's session id is made from the
/// epoch. Flink only compares it.
pub(super) fn encode(rest_address: &str, epoch: LeaderEpoch) -> Option<Vec<u8>> {
    let url = format!("http://{rest_address}");
    if url.len() > ADDRESS_LIMIT {
        return None;
    }
    let length = url.len() as u16;
    let mut bytes = STREAM.to_vec();
    let block = length + 2;
    if let Ok(short) = u8::try_from(block) {
        bytes.extend([BLOCK_DATA, short]);
    } else {
        bytes.push(BLOCK_DATA_LONG);
        bytes.extend(u32::from(block).to_be_bytes());
    }
    bytes.extend(length.to_be_bytes());
    bytes.extend(url.as_bytes());
    bytes.extend(UUID_CLASS);
    // The least significant half comes first, because Java sorts the fields by name. Its top bit is the variant of a UUID.
    bytes.extend(0x8000_0000_0000_0000_u64.to_be_bytes());
    bytes.extend(epoch.0.to_be_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_bytes_have_the_length_that_flink_writes() {
        let bytes = encode("127.0.0.1:8081", LeaderEpoch(7)).expect("is short enough");
        assert_eq!("http://127.0.0.1:8081".len(), 21);
        assert_eq!(bytes.len(), 105);
        assert_eq!(encode("127.0.0.1:18081", LeaderEpoch(7)).expect("is short enough").len(), 106);
        assert_eq!(encode(&"x".repeat(2_000), LeaderEpoch(7)), None);
    }

    /// Java itself can read the bytes, for a short and for a long block.
    #[test]
    fn java_reads_the_address_and_the_session_id() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let program = directory.path().join("Read.java");
        let source = "import java.io.*; class Read { public static void main(String[] files) throws Exception {
            for (String file : files) { try (var in = new ObjectInputStream(new FileInputStream(file))) {
            System.out.println(in.readUTF() + \" \" + in.readObject()); } } } }";
        std::fs::write(&program, source).expect("writes");
        let long = format!("{}:8081", "host.".repeat(60));
        let mut command = Command::new("java");
        command.args(["-Xshare:auto", "-XX:TieredStopAtLevel=1"]).arg(&program);
        for (number, address) in ["127.0.0.1:8081", &long].into_iter().enumerate() {
            let file = directory.path().join(number.to_string());
            let epoch = LeaderEpoch(0x0000_0001_0000_0002);
            std::fs::write(&file, encode(address, epoch).expect("is short enough")).expect("writes");
            command.arg(file);
        }
        let output = command.output().expect("java runs");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() && errors.contains("compiler") {
            eprintln!("skipped: there is no Java compiler: {errors}");
            return;
        }
        let id = "00000001-0000-0002-8000-000000000000";
        let expected = format!("http://127.0.0.1:8081 {id}\nhttp://{long} {id}\n");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{errors}");
    }
}
