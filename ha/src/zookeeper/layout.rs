//! The paths of all znodes, and the encoding of keys and values. Pure.

use std::borrow::Cow;
use std::fmt::Write;

/// The znodes of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    cluster: String,
}

/// The name of a candidate's znode up to its sequence number.
const CANDIDATE: &str = "candidate-";

impl Layout {
    /// The layout below `<root>/<cluster>`. Slashes around the two names are ignored.
    pub(super) fn new(root: &str, cluster: &str) -> Self {
        let mut path = String::new();
        for segment in root.split('/').chain(cluster.split('/')).filter(|segment| !segment.is_empty()) {
            path.push('/');
            path.push_str(&encode_segment(segment));
        }
        Self { cluster: path }
    }

    fn child(&self, name: &str) -> String {
        format!("{}/{name}", self.cluster)
    }

    /// The znodes that must exist before anything else is done, each with its first value. Parents come first.
    pub(super) fn foundation(&self) -> Vec<(String, &'static str)> {
        let mut paths = Vec::new();
        let ends = [(self.latches(), ""), (self.epoch(), "0"), (self.successor(), ""), (self.store(), "")];
        for (path, value) in ends.into_iter().chain([(parent(&self.connection_info()).to_owned(), "")]) {
            for (at, _) in path.match_indices('/').skip(1) {
                let ancestor = (path[..at].to_owned(), "");
                if !paths.contains(&ancestor) {
                    paths.push(ancestor);
                }
            }
            paths.push((path, value));
        }
        paths
    }

    /// The parent of the candidates' znodes.
    pub(super) fn latches(&self) -> String {
        self.child("latch")
    }

    /// The path under which a candidate's znode is created; ZooKeeper appends the sequence number.
    pub(super) fn latch_prefix(&self) -> String {
        self.latch(CANDIDATE)
    }

    /// The znode of a candidate.
    pub(super) fn latch(&self, name: &str) -> String {
        format!("{}/latch/{name}", self.cluster)
    }

    /// The znode with the highest epoch ever granted. Every fenced write changes its version.
    pub(super) fn epoch(&self) -> String {
        self.child("epoch")
    }

    /// The znode with the name of the candidate znode that leads next, whatever its sequence number.
    pub(super) fn successor(&self) -> String {
        self.child("successor")
    }

    /// The znode with the published leader record.
    pub(super) fn leader_record(&self) -> String {
        self.child("leader_record")
    }

    /// The znode in which Flink's command line looks for the leader's REST address.
    pub(super) fn connection_info(&self) -> String {
        self.child("leader/rest_server/connection_info")
    }

    /// The parent of the typed stores' keys.
    pub(super) fn store(&self) -> String {
        self.child("store")
    }

    /// The znode of a key.
    pub(super) fn key_path(&self, key: &str) -> String {
        let mut path = self.store();
        for segment in key.split('/') {
            path.push('/');
            path.push_str(&encode_segment(segment));
        }
        path
    }

    /// The key of a znode; `None` if it is not a key below the store.
    pub(super) fn key_of(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix(self.store().as_str())?.strip_prefix('/')?;
        let segments: Option<Vec<_>> = rest.split('/').map(decode_segment).collect();
        Some(segments?.join("/"))
    }
}

/// The parent of a path; empty if the path has none.
pub(super) fn parent(path: &str) -> &str {
    path.rfind('/').map_or("", |at| &path[..at])
}

/// The last segment of a path.
pub(super) fn name(path: &str) -> &str {
    path.rfind('/').map_or(path, |at| &path[at + 1..])
}

/// The sequence number that ZooKeeper gave a candidate's znode.
pub(super) fn sequence(name: &str) -> Option<i64> {
    name.strip_prefix(CANDIDATE)?.parse().ok()
}

/// Whether a character must be escaped: ZooKeeper refuses it in names, or it is the escape character. ZooKeeper checks UTF-16
/// units, so every character above 0xffff is refused.
fn is_escaped(c: char) -> bool {
    matches!(u32::from(c), 0..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..) || c == '%'
}

/// A segment of a key as the name of a znode. Each character that ZooKeeper refuses becomes its UTF-8 bytes, each written as
/// `%` and two hexadecimal digits. In `.` and `..` the first dot is written this way. The empty segment is `%`.
fn encode_segment(segment: &str) -> Cow<'_, str> {
    if segment.is_empty() {
        return Cow::Borrowed("%");
    }
    let dots = segment == "." || segment == "..";
    if !dots && !segment.contains(is_escaped) {
        return Cow::Borrowed(segment);
    }
    let mut encoded = String::new();
    for (at, c) in segment.char_indices() {
        if is_escaped(c) || (dots && at == 0) {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // A write to a `String` can't fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        } else {
            encoded.push(c);
        }
    }
    Cow::Owned(encoded)
}

/// Reverses [`encode_segment`]. `None` if the name is not valid.
fn decode_segment(encoded: &str) -> Option<String> {
    if encoded == "%" {
        return Some(String::new());
    }
    let mut bytes = Vec::new();
    let mut rest = encoded.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// A value as it is stored. A znode without data is not a key, it only nests others. So an empty value is stored as one zero
/// byte, and a value that begins with a zero byte gets another one in front. All other values, such as the typed stores' JSON,
/// are stored unchanged.
pub(super) fn encode_value(value: &[u8]) -> Cow<'_, [u8]> {
    match value.first() {
        None | Some(0) => Cow::Owned([&[0], value].concat()),
        Some(_) => Cow::Borrowed(value),
    }
}

/// The value in a znode's data; `None` if the znode only nests others.
pub(super) fn decode_value(mut data: Vec<u8>) -> Option<Vec<u8>> {
    match data.first() {
        None => None,
        Some(0) => Some(data.split_off(1)),
        Some(_) => Some(data),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_become_readable_paths() {
        let layout = Layout::new("/weir", "/default");
        assert_eq!(layout.key_path("jobs/07/graph"), "/weir/default/store/jobs/07/graph");
        assert_eq!(layout.key_of("/weir/default/store/jobs/07/graph").as_deref(), Some("jobs/07/graph"));
        assert_eq!(layout.key_of("/weir/default/epoch"), None);
        assert_eq!(layout.key_of("/weir/default/store"), None);
        assert_eq!(layout.connection_info(), "/weir/default/leader/rest_server/connection_info");
        assert_eq!(Layout::new("flink", "a/b"), Layout::new("/flink/", "/a/b"));
    }

    #[test]
    fn the_foundation_lists_parents_first() {
        let paths: Vec<_> = Layout::new("/weir", "/default").foundation().into_iter().map(|(path, _)| path).collect();
        for (at, path) in paths.iter().enumerate() {
            let above = parent(path);
            assert!(above.is_empty() || paths[..at].iter().any(|earlier| earlier == above), "{path} before its parent");
        }
        assert!(paths.contains(&"/weir/default/leader/rest_server".to_owned()));
    }

    #[test]
    fn only_a_candidates_name_has_a_sequence_number() {
        assert_eq!(sequence("candidate-0000000012"), Some(12));
        assert_eq!(sequence("other-0000000012"), None);
    }

    proptest! {
        #[test]
        fn every_key_has_a_legal_and_unique_path(key in "(\\PC|[/.%\\x00\u{7f}\u{fff0}]){1,20}") {
            let layout = Layout::new("/weir", "/default");
            let path = layout.key_path(&key);
            prop_assert_eq!(layout.key_of(&path), Some(key));
            for segment in path.split('/').skip(1) {
                prop_assert!(!segment.is_empty() && segment != "." && segment != "..");
                prop_assert!(!segment.chars().any(|c| c != '%' && is_escaped(c)));
            }
        }

        #[test]
        fn every_encoded_value_can_be_decoded(value in proptest::collection::vec(0u8..3, 0..4)) {
            let stored = encode_value(&value).into_owned();
            prop_assert!(!stored.is_empty());
            prop_assert_eq!(decode_value(stored), Some(value));
        }
    }
}
