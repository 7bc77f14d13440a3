//! `cargo xtask test`, `verify` and `fix`.

use std::time::{Duration, Instant};

use ochre_testkit::{references, workspace};

use crate::shell::{build_server, cargo, run};
use crate::{asan, generated, loom};

/// A part of the tests.
struct Part {
    name: String,
    run: Box<dyn Fn() -> Result<(), String>>,
}

impl Part {
    fn new(name: &str, run: impl Fn() -> Result<(), String> + 'static) -> Part {
        Part { name: name.into(), run: Box::new(run) }
    }
}

/// Runs all parts, or those that are named. A failure does not stop the other parts; a summary at the end lists all of them.
pub fn test(names: &[String]) -> Result<(), String> {
    let mut parts = vec![
        Part::new("fmt", format_is_right),
        Part::new("clippy", clippy),
        Part::new("doc", documentation),
        Part::new("unit", || run(&mut cargo(&["test", "--workspace", "--exclude", "ochre-tests"]))),
    ];
    for program in test_programs()? {
        let name = program.clone();
        parts
            .push(Part::new(&name, move || run(&mut cargo(&["test", "--package", "ochre-tests", "--test", &program]))));
    }
    parts.push(Part::new("generated", generated::are_current));
    parts.push(Part::new("loom", loom::run));
    parts.push(Part::new("asan", asan::run));
    if !names.is_empty() {
        let known: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("there is no part {unknown}; there are {}", known.join(", ")));
        }
        parts.retain(|part| names.contains(&part.name));
    }

    let mut results: Vec<(String, Duration, Result<(), String>)> = Vec::new();
    let mut step = |name: &str, run: &dyn Fn() -> Result<(), String>| {
        println!("\n== {name}");
        let start = Instant::now();
        let result = run();
        let passed = result.is_ok();
        results.push((name.into(), start.elapsed(), result));
        passed
    };
    // Without these two no part can run.
    let ready = step("set-up", &|| references::set_up().map(drop)) && step("build", &build_server);
    if ready {
        for part in &parts {
            step(&part.name, &part.run);
        }
    }

    println!("\n== summary");
    for (name, time, result) in &results {
        let outcome = match result {
            Ok(()) => "passed".to_string(),
            Err(error) => format!("FAILED  {}", error.lines().next().unwrap_or_default()),
        };
        println!("{name:16} {:>7.1} s  {outcome}", time.as_secs_f64());
    }
    let failed: Vec<&str> =
        results.iter().filter(|(_, _, result)| result.is_err()).map(|(name, _, _)| name.as_str()).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// Checks what needs no test to run: format, lints, documentation and generated files. It changes no file.
pub fn verify() -> Result<(), String> {
    format_is_right()?;
    clippy()?;
    documentation()?;
    build_server()?;
    generated::are_current()
}

/// Formats the code and writes the generated files, so that [`verify`] accepts both.
pub fn fix() -> Result<(), String> {
    run(&mut cargo(&["fmt", "--all"]))?;
    build_server()?;
    generated::write()
}

fn format_is_right() -> Result<(), String> {
    run(&mut cargo(&["fmt", "--all", "--check"])).map_err(|error| format!("{error}; `cargo xtask fix` formats"))
}

fn clippy() -> Result<(), String> {
    run(&mut cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// Builds the documentation of all crates. A warning, such as a link that leads nowhere, is an error.
fn documentation() -> Result<(), String> {
    run(cargo(&["doc", "--quiet", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

/// The test programs of tests/, in the order of its manifest.
fn test_programs() -> Result<Vec<String>, String> {
    let path = workspace::root().join("tests/Cargo.toml");
    let manifest = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let programs = manifest
        .split("[[test]]")
        .skip(1)
        .filter_map(|section| section.lines().find_map(|line| line.strip_prefix("name = ")))
        .map(|name| name.trim().trim_matches('"').to_string());
    Ok(programs.collect())
}
