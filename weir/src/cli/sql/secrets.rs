//! Which statements hold secrets. The history file must not keep them.

/// Parts of the names of options whose values are secret: Flink's list.
const SENSITIVE: [&str; 13] = [
    "password",
    "secret",
    "token",
    "apikey",
    "api-key",
    "access-key",
    "account.key",
    "auth-params",
    "service-key",
    "basic-auth",
    "jaas.config",
    "http-headers",
    "credential",
];

/// What stands for a secret.
const HIDDEN: &str = "'******'";

/// The statements without the values of secret options, as the history may keep them; `None` if it can't be told where the secrets
/// are.
///
/// A text is hidden if it is the value of an option with such a name, or if it holds a secret itself, as `…?password=x` or
/// `scheme://user:x@host` do.
pub(super) fn without_secrets(statements: &str) -> Option<String> {
    let mut kept = String::with_capacity(statements.len());
    let mut rest = statements;
    while let Some(start) = rest.find('\'') {
        let length = text_length(&rest[start..]);
        kept.push_str(&rest[..start]);
        let Some(length) = length else {
            // The text is never closed, so it is unknown which option it belongs to.
            return (!is_sensitive(statements) && !holds_secret(rest)).then(|| kept + &rest[start..]);
        };
        let text = &rest[start..start + length];
        let is_hidden = option_before(&kept).is_some_and(is_sensitive) || holds_secret(text);
        kept.push_str(if is_hidden { HIDDEN } else { text });
        rest = &rest[start + length..];
    }
    kept.push_str(rest);
    // Flink's shell also takes SET key = value without quotes.
    let bare =
        |line: &str| line.split_once('=').is_some_and(|(key, value)| is_sensitive(key) && !value.trim_start().starts_with('\''));
    (!kept.split([';', '\n', ',']).any(bare)).then_some(kept)
}

/// The length of the text that begins here, with its quotes. Two quotes inside are one character.
fn text_length(from: &str) -> Option<usize> {
    let mut at = 1;
    loop {
        at += from[at..].find('\'')? + 1;
        match from[at..].starts_with('\'') {
            true => at += 1,
            false => return Some(at),
        }
    }
}

/// The name of the option whose value follows `before`, as in `'name' =`.
fn option_before(before: &str) -> Option<&str> {
    let before = before.trim_end().strip_suffix('=')?.trim_end();
    match before.strip_suffix('\'') {
        Some(quoted) => quoted.rsplit('\'').next(),
        None => before.split(|c: char| c.is_whitespace() || matches!(c, ',' | '(' | ';')).next_back(),
    }
}

fn is_sensitive(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    SENSITIVE.iter().any(|part| name.contains(part))
}

/// Whether a text holds a secret beside other things.
fn holds_secret(text: &str) -> bool {
    let has_password = |rest: &str| {
        let authority = rest.split(['/', '?', '#', '\'']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
    };
    let in_address = text.match_indices("://").any(|(at, found)| has_password(&text[at + found.len()..]));
    let assigned = text.split_once('=').is_some() && {
        let mut names = text.split('=');
        names.next_back();
        names.any(|before| {
            let name = before.rsplit(|c: char| c.is_whitespace() || matches!(c, '&' | '?' | ';' | ',' | '\'')).next();
            name.is_some_and(is_sensitive)
        })
    };
    in_address || assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_options_are_hidden_and_nothing_else_is() {
        let statement = "CREATE TABLE t (password STRING) WITH (\n  'connector' = 'filesystem', 's3.secret-key'='hu''sh', \
                         'API_KEY' = 'k',\n  'path' = '/it''s/here')";
        let expected = "CREATE TABLE t (password STRING) WITH (\n  'connector' = 'filesystem', 's3.secret-key'='******', \
                        'API_KEY' = '******',\n  'path' = '/it''s/here')";
        assert_eq!(without_secrets(statement).as_deref(), Some(expected));
        let plain = "SELECT a AS token, 'it''s' FROM t WHERE password = b AND c = 'x';";
        assert_eq!(
            without_secrets("SELECT 'it''s' FROM t WHERE c = 'x';").as_deref(),
            Some("SELECT 'it''s' FROM t WHERE c = 'x';")
        );
        assert!(without_secrets(plain).is_none_or(|kept| kept == plain));
    }

    #[test]
    fn secrets_inside_addresses_are_hidden() {
        for (text, hidden) in [
            ("'jdbc:mysql://h/db?user=u&password=hush'", true),
            ("'https://me:hush@host/path'", true),
            ("'org.apache.kafka.PlainLoginModule required username=\"u\" password=\"hush\";'", true),
            ("'https://host/a@b:c'", false),
            ("'a=b'", false),
        ] {
            let expected = if hidden { HIDDEN } else { text };
            assert_eq!(
                without_secrets(&format!("SET 'url' = {text};")).as_deref(),
                Some(format!("SET 'url' = {expected};").as_str())
            );
        }
    }

    #[test]
    fn what_can_not_be_hidden_is_not_kept() {
        assert_eq!(without_secrets("SET s3.secret-key = hush;"), None);
        assert_eq!(without_secrets("CREATE TABLE t WITH ('password' = 'hush"), None);
        assert_eq!(without_secrets("SELECT 'never closed").as_deref(), Some("SELECT 'never closed"));
        assert_eq!(without_secrets("SET parallelism.default = 2").as_deref(), Some("SET parallelism.default = 2"));
    }
}
