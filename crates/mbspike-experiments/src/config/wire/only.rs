use crate::config::document::Node;
use crate::config::origin::ConfigError;

/// Refuses keys of a table that its kind has no use for.
pub(super) fn only(
    root: &Node,
    table: &str,
    kind: &str,
    given: &[(&str, bool)],
    allowed: &[&str],
) -> Result<(), ConfigError> {
    let Some((key, _)) = given.iter().find(|(key, is_given)| *is_given && !allowed.contains(key))
    else {
        return Ok(());
    };
    let dotted = format!("{table}.{key}");
    let has = if allowed.is_empty() {
        "has no settings".to_owned()
    } else {
        format!("has {}", allowed.join(", "))
    };
    let message = format!("{dotted} is of no use to \"{kind}\", which {has}");
    Err(ConfigError::new(root.origin_of(&dotted).clone(), message))
}
