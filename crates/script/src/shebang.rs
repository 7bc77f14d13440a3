//! The first line of a script or library, such as `#!lua flags=no-writes,allow-stale` or `#!lua name=library`.

use crate::flags::ScriptFlags;

/// What the first line of a script declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Whether there is such a line. Without one, the script is of the old kind, which is checked call by call.
    pub is_present: bool,
    /// The flags.
    pub flags: ScriptFlags,
}

/// Splits a source into its first line and its body. The body keeps the end of the first line, so that lines count as the client counts them.
fn split(source: &[u8]) -> Option<(String, &[u8])> {
    let end = source.iter().position(|&byte| byte == b'\n')?;
    Some((String::from_utf8_lossy(&source[..end]).into_owned(), &source[end..]))
}

/// Splits a script into what its first line declares and its body.
///
/// # Errors
/// What is wrong with the line.
pub fn parse(source: &[u8]) -> Result<(Declared, &[u8]), String> {
    let mut declared = Declared::default();
    if !source.starts_with(b"#!") {
        return Ok((declared, source));
    }
    let (line, body) = split(source).ok_or("Invalid script shebang")?;
    declared.is_present = true;
    let mut words = line.split_ascii_whitespace();
    let engine = words.next().unwrap_or_default();
    if engine != "#!lua" {
        return Err(format!("Unexpected engine in script shebang: {engine}"));
    }
    for word in words {
        let Some(flags) = word.strip_prefix("flags=") else {
            return Err(format!("Unknown lua shebang option: {word}"));
        };
        for flag in flags.split(',').filter(|flag| !flag.is_empty()) {
            declared.flags |=
                ScriptFlags::named(flag).ok_or_else(|| format!("Unexpected flag in script shebang: {flag}"))?;
        }
    }
    Ok((declared, body))
}

/// Splits a library into its name and its body. (Redis: `functionExtractLibMetaData`)
///
/// # Errors
/// What is wrong with the line.
pub fn parse_library(source: &[u8]) -> Result<(String, &[u8]), String> {
    if !source.starts_with(b"#!") {
        return Err("Missing library metadata".to_owned());
    }
    let (line, body) = split(source).ok_or("Invalid library metadata")?;
    let mut words = line.split_ascii_whitespace();
    let engine = words.next().unwrap_or_default()[2..].to_owned();
    let mut name = None;
    for word in words {
        let value = word.get(..5).filter(|option| option.eq_ignore_ascii_case("name=")).map(|_| &word[5..]);
        let value = value.ok_or_else(|| format!("Invalid metadata value given: {word}"))?;
        if name.replace(value).is_some() {
            return Err("Invalid metadata value, name argument was given multiple times".to_owned());
        }
    }
    let name = name.ok_or("Library name was not given")?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        let reason = "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";
        return Err(reason.to_owned());
    }
    if !engine.eq_ignore_ascii_case("lua") {
        return Err(format!("Engine '{engine}' not found"));
    }
    Ok((name.to_owned(), body))
}
