//! `cargo xtask bench`: Ochre beside the reference servers.

pub fn run(_arguments: &[String]) -> Result<(), String> {
    Err("not written yet".into())
}
