//! Proves that ARCHITECTURE.md is true: the files and functions that it names exist, and no file imports from a higher floor. Crates
//! without floors have no circular imports.

mod imports;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::PathBuf,
};

use ochre_testkit::workspace;

use self::imports::{Crate, Import};

#[test]
fn the_functions_on_the_way_of_a_request_exist() {
    let page = fs::read_to_string(workspace::root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md can be read");
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect::<Vec<_>>();
    let steps: Vec<Vec<String>> =
        page.lines().map(cells).filter(|cells| cells.len() > 5 && cells[1].parse::<u32>().is_ok()).collect();
    let numbers: Vec<&str> = steps.iter().map(|cells| &*cells[1]).collect();
    assert_eq!(numbers, (1..=11).map(|step| step.to_string()).collect::<Vec<_>>());
    for cells in &steps {
        let (file, function) = (&cells[2], &cells[3]);
        let code = fs::read_to_string(workspace::root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let defined = [format!("fn {function}("), format!("fn {function}<")];
        assert!(defined.iter().any(|definition| code.contains(definition)), "{file} has no function {function}");
    }
}

#[test]
fn the_paths_of_the_page_exist() {
    let page = fs::read_to_string(workspace::root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md can be read");
    let paths: Vec<&str> = page
        .split('`')
        .filter(|quoted| ["crates/", "tests/", "xtask/"].iter().any(|top| quoted.starts_with(top)))
        .filter(|quoted| !quoted.contains(' '))
        .collect();
    assert!(paths.len() > 8, "ARCHITECTURE.md has paths between backquotes");
    for path in paths {
        assert!(workspace::root().join(path).exists(), "{path} does not exist");
    }
}

#[test]
fn no_file_imports_from_a_higher_floor() {
    let page = fs::read_to_string(workspace::root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md can be read");
    let floors = Floors::read(&page);
    let faults = floors.faults(&Crate::read(&workspace::root().join("crates/server/src")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_modules_of_a_folder_import_each_other_in_a_circle() {
    let crates = workspace::root().join("crates");
    let mut roots: Vec<PathBuf> = fs::read_dir(&crates)
        .expect("there is a folder crates")
        .map(|entry| entry.expect("the entry can be read").path())
        .collect();
    roots.push(workspace::root().join("xtask"));
    roots.retain(|root| *root != crates.join("server"));
    let mut faults = Vec::new();
    for root in roots {
        let circles = circles(&Crate::read(&root.join("src")));
        faults.extend(circles.iter().map(|circle| format!("{}: {circle}", root.display())));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The floors of crates/server, from the table in ARCHITECTURE.md.
struct Floors {
    /// A file, or a folder with a slash at its end, with its floor.
    places: Vec<(String, u32)>,
}

impl Floors {
    fn read(page: &str) -> Floors {
        let (_, section) = page.split_once("\n## Floors").expect("ARCHITECTURE.md has a section about floors");
        let section = section.split("\n## ").next().unwrap_or_default();
        let mut places = Vec::new();
        for line in section.lines() {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let Some(floor) = cells.get(1).and_then(|cell| cell.parse().ok()) else { continue };
            places.extend(cells[2].split('`').skip(1).step_by(2).map(|place| (place.to_owned(), floor)));
        }
        Floors { places }
    }

    /// The floor of a file: that of the longest place that contains it.
    fn of(&self, file: &str) -> Option<u32> {
        let lies_in = |place: &str| place == file || place.ends_with('/') && file.starts_with(place);
        self.places.iter().filter(|(place, _)| lies_in(place)).max_by_key(|(place, _)| place.len()).map(|(_, at)| *at)
    }

    /// Messages about imports that go upward, files without a floor, and places without a file.
    fn faults(&self, of: &Crate) -> Vec<String> {
        let homeless = of.files.iter().filter(|file| self.of(file).is_none());
        let mut faults: Vec<String> = homeless.map(|file| format!("{file} is on no floor")).collect();
        let is_empty = |place: &str| !of.files.iter().any(|file| file.starts_with(place));
        faults.extend(
            self.places.iter().filter(|(place, _)| is_empty(place)).map(|(place, _)| format!("{place} does not exist")),
        );
        for import in of.imports() {
            if let (Some(from), Some(to)) = (self.of(&import.from), self.of(&import.to))
                && from < to
            {
                let Import { from: file, path, .. } = import;
                faults.push(format!("{file} (floor {from}) imports {path} (floor {to})"));
            }
        }
        faults
    }
}

/// Modules that, like `lib.rs`, may import modules that import them. `collection.rs` defines what a collection is, and lists all types.
const FACES: &[&str] = &["collection"];

/// The circular imports among the modules of each folder. A module stands for everything below it. The `mod.rs` of a folder may import its
/// modules and be imported by them.
fn circles(of: &Crate) -> Vec<String> {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Import { from, to, .. } in of.imports() {
        let (from, to) = (names(&from), names(&to));
        if FACES.contains(&&*from.join("/")) {
            continue;
        }
        let shared = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
        if shared < from.len() && shared < to.len() {
            edges.entry(from[..=shared].join("/")).or_default().insert(to[..=shared].join("/"));
        }
    }
    let mut found = Vec::new();
    for start in edges.keys() {
        // A search for paths from here, shortest first. A circle is reported from its first module in alphabetical order.
        let mut ways = VecDeque::from([vec![start]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop_front() {
            for next in edges.get(way[way.len() - 1]).into_iter().flatten() {
                if next == start {
                    let circle: Vec<&str> = way.iter().chain([&start]).map(|module| module.as_str()).collect();
                    found.push(circle.join(" → "));
                    ways.clear();
                    break;
                }
                if next > start && seen.insert(next) {
                    ways.push_back(way.iter().copied().chain([next]).collect());
                }
            }
        }
    }
    found
}

/// The path of a file's module, from the crate's root. It is empty for the root itself.
fn names(file: &str) -> Vec<&str> {
    let names = file.trim_end_matches(".rs").split('/');
    names.filter(|name| !["lib", "main", "mod"].contains(name)).collect()
}

#[test]
fn an_import_that_goes_upward_is_seen() {
    let floors = Floors::read(
        "# Page\n\n## Floors\n\n| floor | files | why |\n|---|---|---|\n| 0 | `clock.rs` | x |\n\
         | 1 | `commands/table.rs` | y |\n| 2 | `commands/`, `gone/` | z |\n\n## Next\n\n| 3 | `x.rs` | no floor |\n",
    );
    let files = [
        ("clock.rs", "use crate::commands::{table::Row, lists};"),
        ("commands/lists.rs", "use super::table; use crate::clock;"),
        ("commands/mod.rs", "pub mod lists; pub mod table;"),
        ("commands/table.rs", "fn f() { super::lists::push() }"),
        ("new.rs", ""),
    ];
    assert_eq!(
        floors.faults(&Crate::of(files)),
        [
            "new.rs is on no floor",
            "gone/ does not exist",
            "clock.rs (floor 0) imports crate::commands::lists (floor 2)",
            "clock.rs (floor 0) imports crate::commands::table::Row (floor 1)",
            "commands/table.rs (floor 1) imports super::lists::push (floor 2)",
        ]
    );
}

#[test]
fn a_circle_is_seen() {
    let files = [
        ("lib.rs", "pub use a::A; pub struct Root;"),
        ("a.rs", "use crate::{b::leaf::B, Root};"),
        ("b/mod.rs", "mod leaf; mod twig;"),
        ("b/leaf.rs", "use crate::c; use super::twig;"),
        ("b/twig.rs", "use super::leaf;"),
        ("c.rs", "use crate::A;"),
        ("d.rs", "use crate::a;"),
    ];
    assert_eq!(circles(&Crate::of(files)), ["a → b → c → a", "b/leaf → b/twig → b/leaf"]);
}
