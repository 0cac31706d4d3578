//! The file in which the shell keeps what was entered, without secrets.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::secrets::without_secrets;

/// The newest entries of the file that are kept when it is shortened.
const MAX_ENTRIES: usize = 2_000;
/// A longer file is shortened at the start of the shell, in bytes. Older entries of a still longer one are not read.
const MAX_BYTES: u64 = 1 << 20;
/// Longer entries are not written, in bytes.
const MAX_ENTRY_BYTES: usize = 64 << 10;

/// A history file. It has a line for each entry, with line breaks written as `\n` and backslashes as `\\`. Only its owner may read
/// it. Shells that run at once append to the same file.
#[derive(Debug)]
pub(super) struct HistoryFile {
    path: PathBuf,
}

impl HistoryFile {
    /// Opens the file, or creates it and its directory. Returns the entries too, oldest first.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<String>)> {
        if let Some(directory) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        // The file may be older than this program, or copied from elsewhere.
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
        let history = Self { path: path.to_owned() };
        let (entries, is_long) = read(&mut file)?;
        if is_long {
            history.shorten(&entries)?;
        }
        Ok((history, entries))
    }

    /// Appends what was entered, without its secrets. Nothing is written if they can't be told from the rest.
    pub(super) fn append(&self, entry: &str) -> io::Result<()> {
        let Some(entry) = without_secrets(entry.trim()) else { return Ok(()) };
        if entry.is_empty() || entry.len() > MAX_ENTRY_BYTES {
            return Ok(());
        }
        // In one write, so that the lines of two shells do not mix.
        OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?.write_all(line(&entry).as_bytes())
    }

    fn shorten(&self, entries: &[String]) -> io::Result<()> {
        let new = self.path.with_extension(format!("new-{}", std::process::id()));
        let text: String = entries.iter().map(|entry| line(entry)).collect();
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, &self.path)
    }
}

/// The newest entries, and whether the file has more than it should.
fn read(file: &mut File) -> io::Result<(Vec<String>, bool)> {
    let length = file.metadata()?.len();
    let is_cut = length > MAX_BYTES;
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line of the part that was read may be a part of a line.
    let entries: Vec<_> = text.lines().skip(usize::from(is_cut)).filter(|line| !line.is_empty()).map(entry).collect();
    let skipped = entries.len().saturating_sub(MAX_ENTRIES);
    Ok((entries[skipped..].to_vec(), is_cut || skipped > 0))
}

fn line(entry: &str) -> String {
    format!("{}\n", entry.replace('\\', "\\\\").replace('\r', "").replace('\n', "\\n"))
}

fn entry(line: &str) -> String {
    let mut entry = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => entry.extend(chars.next().map(|c| if c == 'n' { '\n' } else { c })),
            c => entry.push(c),
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn entries_come_back_as_they_were_entered_but_without_secrets() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("state/weir/sql_history");
        let (history, entries) = HistoryFile::open(&path).unwrap();
        assert!(entries.is_empty());
        for entered in ["SELECT 'a\\n'\n  FROM t;", "SET 's3.secret-key' = 'hush';", "SET s3.secret-key = hush;", "  "] {
            history.append(entered).unwrap();
        }
        let (_, entries) = HistoryFile::open(&path).unwrap();
        assert_eq!(entries, ["SELECT 'a\\n'\n  FROM t;", "SET 's3.secret-key' = '******';"]);
        assert!(!fs::read_to_string(&path).unwrap().contains("hush"));
    }

    #[test]
    fn only_the_owner_may_read_the_file_even_if_others_could_before() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("new/sql_history");
        HistoryFile::open(&path).unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        HistoryFile::open(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_long_file_is_shortened_to_its_newest_entries() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("sql_history");
        let filler = "x".repeat(1_000);
        let text: String = (0..3_000).map(|n| format!("SELECT {n} -- {filler}\n")).collect();
        fs::write(&path, text).unwrap();
        let (_, entries) = HistoryFile::open(&path).unwrap();
        assert!(entries.len() > 900 && entries.len() <= MAX_ENTRIES, "{}", entries.len());
        assert!(entries.iter().all(|entry| entry.starts_with("SELECT ")), "no entry is cut");
        assert!(entries.last().unwrap().starts_with("SELECT 2999 "));
        assert!(fs::metadata(&path).unwrap().len() <= MAX_BYTES);
        assert_eq!(HistoryFile::open(&path).unwrap().1, entries);
        assert_eq!(mode(&path), 0o600);
    }
}
