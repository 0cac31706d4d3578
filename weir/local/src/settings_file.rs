//! The configuration file of one process. A process gets its settings in a file, because every user of the machine can read its
//! command line.

use std::collections::BTreeMap;
use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Only this user may read and write the file, because settings may contain secrets.
const MODE: u32 = 0o600;

/// Writes settings (`key=value`) as YAML. A later setting wins over an earlier one with the same key.
pub(super) fn write(path: &Path, settings: &[String]) -> io::Result<()> {
    let text = yaml(settings)?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(path)?;
    // The mode above only affects a new file.
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.write_all(text.as_bytes())
}

fn yaml(settings: &[String]) -> io::Result<String> {
    let mut values = BTreeMap::new();
    for setting in settings {
        let expected =
            || io::Error::new(io::ErrorKind::InvalidInput, format!("{setting:?} is not a setting: expected key=value"));
        let (key, value) = setting.split_once('=').ok_or_else(expected)?;
        values.insert(key.trim(), value.trim());
    }
    Ok(values.into_iter().map(|(key, value)| format!("{}: {}\n", quoted(key), quoted(value))).collect())
}

/// A text as a double-quoted scalar of YAML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => quoted += &format!("\\U{:08x}", u32::from(control)),
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_setting_of_a_key_wins_and_every_text_is_quoted() {
        let settings = ["b=1", "a.b = it's \"x\"\\=y: # ", "b=2\n3"].map(str::to_owned);
        assert_eq!(yaml(&settings).unwrap(), "\"a.b\": \"it's \\\"x\\\"\\\\=y: #\"\n\"b\": \"2\\U0000000a3\"\n");
        assert!(yaml(&["no value".to_owned()]).is_err());
    }

    #[test]
    fn only_the_user_may_read_the_file() {
        let path = std::env::temp_dir().join(format!("weir-settings-{}", std::process::id()));
        std::fs::write(&path, "everybody may read this").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        write(&path, &["s3.secret-key=hush".to_owned()]).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!((mode & 0o777, text.as_str()), (0o600, "\"s3.secret-key\": \"hush\"\n"));
    }
}
