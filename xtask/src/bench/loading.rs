//! How long a server takes at start to load a million keys from the file that it has saved: on one core, and on two.

use std::fs;

use ochre_testkit::{Reply, new_folder};

use super::memory::fill;
use super::results::{Results, Unit};
use super::{CLIENT_CORE, Contestant, SERVER_CORE};

pub const NAME: &str = "loading";

/// The number of keys, of 16 bytes with values of 64.
const KEYS: usize = 1_000_000;

/// The rows, with the cores of the server.
const ROWS: [(&str, &[usize]); 2] =
    [("loading-1M-keys", &[SERVER_CORE]), ("loading-1M-keys-2-cores", &[SERVER_CORE, CLIENT_CORE])];

pub fn measure(contestants: &[Contestant], rounds: usize, results: &mut Results) -> Result<(), String> {
    for contestant in contestants {
        // Each server loads its own file: none can load the newest files of both others.
        let folder = new_folder(contestant.kind);
        let measured = save(contestant, &folder).and_then(|()| {
            for _ in 0..rounds {
                for (row, cores) in ROWS {
                    let time_ms = load(contestant, &folder, cores)?;
                    println!("{row:28} {:8} {time_ms:.0} ms", contestant.name());
                    results.add(row, contestant.name(), Unit::Ms, time_ms);
                }
            }
            Ok(())
        });
        fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        measured.map_err(|error| format!("{NAME} of {}: {error}", contestant.name()))?;
    }
    Ok(())
}

fn save(contestant: &Contestant, folder: &std::path::Path) -> Result<(), String> {
    let server = contestant.launch().in_folder(folder).start();
    let mut client = server.client();
    let set = |number| vec![b"SET".to_vec(), format!("key:{number:012}").into_bytes(), vec![b'x'; 64]];
    fill(&mut client, KEYS, set).map_err(|error| error.to_string())?;
    match client.run("SAVE") {
        reply if reply == Reply::ok() => Ok(()),
        reply => Err(format!("SAVE: {reply}")),
    }
}

/// Returns the time that the server itself logs, in milliseconds, so that its start and its first connection are not in it.
fn load(contestant: &Contestant, folder: &std::path::Path, cores: &[usize]) -> Result<f64, String> {
    let server = contestant.launch().in_folder(folder).threads(cores.len()).pinned(cores).start();
    let log = server.log();
    let line = log.lines().find_map(|line| line.split_once("DB loaded from disk: "));
    let seconds = line.and_then(|(_, rest)| rest.split(' ').next()?.parse::<f64>().ok());
    if server.client().run("DBSIZE") != Reply::Integer(KEYS as i64) {
        return Err("keys are missing".into());
    }
    seconds.map(|seconds| seconds * 1000.0).ok_or_else(|| format!("the log has no time:\n{log}"))
}
