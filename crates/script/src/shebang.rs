//! The first line of a script, such as `#!lua flags=no-writes,allow-stale`.

/// What the first line declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Whether there is such a line. Without one, the script is of the old kind, which is checked call by call.
    pub is_present: bool,
    /// `no-writes`: the script may not write.
    pub no_writes: bool,
    /// `allow-oom`: it may run while more memory is in use than allowed.
    pub allow_oom: bool,
}

/// Splits a script into what its first line declares and its body. The body keeps the end of the first line, so that lines count as the
/// client counts them.
///
/// # Errors
/// What is wrong with the line.
pub fn parse(source: &[u8]) -> Result<(Declared, &[u8]), String> {
    let mut declared = Declared::default();
    if !source.starts_with(b"#!") {
        return Ok((declared, source));
    }
    let Some(end) = source.iter().position(|&byte| byte == b'\n') else {
        return Err("Invalid script shebang".to_owned());
    };
    declared.is_present = true;
    let line = String::from_utf8_lossy(&source[..end]);
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
            match flag {
                "no-writes" => declared.no_writes = true,
                "allow-oom" => declared.allow_oom = true,
                // There is no replica and no cluster in which they would make a difference.
                "allow-stale" | "no-cluster" | "allow-cross-slot-keys" => {}
                _ => return Err(format!("Unexpected flag in script shebang: {flag}")),
            }
        }
    }
    Ok((declared, &source[end..]))
}
