//! Proves that client libraries work as applications use them. Each script is run by the Python of the tests' environment, with the port as
//! its first argument. It succeeds if all its assertions hold.

use std::path::Path;
use std::process::Command;

use ochre_testkit::{Launch, references};

#[track_caller]
fn run(script: &str, threads: usize) {
    run_with(script, &[], threads);
}

#[track_caller]
fn run_with(script: &str, arguments: &[&str], threads: usize) {
    let references = references::set_up().unwrap_or_else(|error| panic!("no Python: {error}"));
    let server = Launch::subject().threads(threads).start();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script);
    // -B: no bytecode files beside the scripts.
    let output = Command::new(references.python)
        .arg("-B")
        .arg(path)
        .arg(server.port().to_string())
        .args(arguments)
        .output()
        .expect("the Python that was just set up starts");
    assert!(
        output.status.success(),
        "{script}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn redis_py_strings_and_keys() {
    run("strings_and_keys.py", 4);
}

#[test]
fn redis_py_transactions() {
    run("transactions.py", 4);
}

#[test]
fn redis_py_pubsub() {
    run("pubsub.py", 4);
}

#[test]
fn redis_py_pool_and_threads() {
    run("pool_and_threads.py", 4);
}

#[test]
fn redis_py_asyncio() {
    run("asyncio_client.py", 4);
}

#[test]
fn redis_py_queues_in_lists() {
    run_with("queues.py", &["lists"], 4);
}

#[test]
fn redis_py_queues_in_sorted_sets() {
    run_with("queues.py", &["sorted_sets"], 4);
}

#[test]
fn redis_py_queues_in_streams() {
    run_with("queues.py", &["streams"], 4);
}
